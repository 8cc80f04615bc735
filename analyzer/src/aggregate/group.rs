//! What makes a group when sites are not whole stacks, and what it is called.
//!
//! A group by function, line or module is that of the innermost frame that is not an allocator's own: the code that
//! asked for the memory.
use super::frame::Frame;
use super::paths::{PathId, Paths, hash};
use crate::cli::By;

/// A group: what it is for the id, what it is called, and the one frame that stands for it.
pub(super) struct Group {
    pub hash: u64,
    pub name: String,
    pub frame: Option<Frame>,
}

/// The frame that asked for the memory.
pub(super) fn asking_frame(paths: &Paths, path: PathId) -> Option<u32> {
    let mut frames = paths.frame_numbers(path);
    let innermost = frames.next()?;
    let mut at = innermost;
    loop {
        if !paths.frame_at(at).is_allocator() {
            return Some(at);
        }
        match frames.next() {
            Some(next) => at = next,
            None => return Some(innermost),
        }
    }
}

/// The group of stacks whose asking frame is this one.
pub(super) fn of_frame(by: By, frame: Option<&Frame>) -> Group {
    let Some(frame) = frame else {
        return Group { hash: hash(by as u64, b"?"), name: "?".to_string(), frame: None };
    };
    let (identity, name, shown) = match by {
        By::Line => match frame.place() {
            Some(place) => (place.clone(), place, frame.clone()),
            None => (frame.identity(), frame.label(), frame.clone()),
        },
        By::Module => {
            let module = frame.module_name().unwrap_or("?").to_string();
            let shown = Frame { module: frame.module.clone(), ..Frame::unknown() };
            (module, frame.module.clone().unwrap_or_else(|| "?".to_string()), shown)
        }
        _ => {
            let reason = if frame.function.is_none() { frame.reason.clone() } else { None };
            (frame.identity(), frame.label(), Frame { line: None, inlined: false, reason, ..frame.clone() })
        }
    };
    Group { hash: hash(by as u64, identity.as_bytes()), name, frame: Some(shown) }
}

/// The group of a process or thread, whose `identity` is the same in another run.
pub(super) fn named(by: By, identity: &str, name: String) -> Group {
    Group { hash: hash(by as u64, identity.as_bytes()), name, frame: None }
}
