//! The counters, and how they leave the process.

use std::io::Write;

macro_rules! counts {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        #[derive(Default)]
        pub struct Counts {
            $($(#[$doc])* pub $name: u64,)*
            /// Frames of the deepest stack.
            pub max_depth: u64,
        }

        impl Counts {
            pub fn add(&mut self, other: &Counts) {
                $(self.$name += other.$name;)*
                self.max_depth = self.max_depth.max(other.max_depth);
            }

            fn json(&self) -> String {
                let mut text = format!("{{\"pid\":{},\"max_depth\":{}", std::process::id(), self.max_depth);
                $(text += &format!(",\"{}\":{}", stringify!($name), self.$name);)*
                text + "}\n"
            }
        }
    };
}

counts! {
    /// Stacks compared.
    captures,
    frames,
    /// The capture with the suffix cache gave another stack than the one without.
    suffix_differs,
    /// A frame differs from libgcc's.
    oracle_differs,
    /// libgcc goes on where we end.
    oracle_longer,
    /// We go on where libgcc ends, without a reason.
    oracle_shorter,
    /// We go on by frame pointers where libgcc has no unwind information.
    frame_pointer,
    /// Deeper than what is kept; that much was compared.
    cut,
    /// How our stacks ended.
    end_complete,
    end_no_info,
    end_bad_frame,
    end_unsupported,
    end_outside,
    /// Allocations within the checker, or in a signal handler that interrupted it.
    nested,
    unloads,
    modules,
}

/// Appends the sums to the file that the environment names.
pub extern "C" fn at_exit() {
    let Some(_thread) = crate::state::enter() else { return };
    let line = crate::state::totals().json();
    let Some(path) = std::env::var_os("UNWIND_CHECK_OUT") else { return };
    if let Ok(mut file) = std::fs::OpenOptions::new().append(true).create(true).open(path) {
        let _ = file.write_all(line.as_bytes());
    }
}
