//! Which frame of a stack is the user's own: the one that a site is named after.
//!
//! Told by paths alone, since the files may be on another machine. Python code is the user's unless it is in
//! `site-packages` or `dist-packages`, in `lib/python3.X`, a command in `bin`, or in no file (`<frozen ...>`, `<string>`). Native code is
//! the user's unless it is a library in the system's directories, the interpreter, or the standard library of C++ or
//! Rust. So these are taken for what they are not: a package that is installed for editing, or by way of `PYTHONPATH`,
//! is the user's own; an application that was installed with pip is not; nor are code under `lib/python3.X` that is
//! neither, and a standard library outside it. `--own` mends the second, and `--ignore` the first.
use super::frame::{Frame, Kind};
use super::paths::{PathId, Paths};
use crate::python::origin::Origin;

/// What the user calls his own beside what is told by itself.
#[derive(Clone, Default, Debug)]
pub struct Own {
    added: Vec<String>,
}

impl Own {
    /// With these directories, files or packages, as they are in the paths of code.
    pub fn new(added: &[String]) -> Own {
        let plain = |path: &String| path.trim_start_matches("./").trim_matches('/').to_string();
        Own { added: added.iter().map(plain).filter(|path| !path.is_empty()).collect() }
    }

    /// The frame that names a stack: the innermost of those that are most the user's; `None`: it has no frames.
    pub fn headline(&self, paths: &Paths, path: PathId) -> Option<u32> {
        let python = paths.python_frame(path).is_some();
        let rank = |frame: &u32| self.rank(paths.frame_at(*frame), python);
        // The first one of those with the least rank.
        paths.frame_numbers(path).min_by_key(rank)
    }

    /// Whether a frame is the user's.
    pub fn owns(&self, frame: &Frame) -> bool {
        self.rank(frame, false) == 0
    }

    /// Whether all that is the user's is told by itself.
    pub(super) fn is_plain(&self) -> bool {
        self.added.is_empty()
    }

    /// How little a frame is the user's, of a stack with Python frames or without.
    pub(super) fn rank(&self, frame: &Frame, python: bool) -> u8 {
        if self.is_added(frame) {
            return 0;
        }
        match (frame.kind, frame.origin()) {
            (Kind::Python, Some((origin, _))) => {
                let file = frame.file.as_deref().unwrap_or("<>");
                match origin {
                    // What is typed at a prompt is the user's; `<string>` and its like are written by libraries too.
                    Origin::Own if is_installed_script(file) => 1,
                    Origin::Own if !file.starts_with('<') => 0,
                    Origin::Own if file == "<stdin>" || file.starts_with("<ipython-input") => 0,
                    Origin::Installed => 1,
                    Origin::Own => 2,
                    Origin::Standard => 3,
                }
            }
            _ if python => 9,
            _ if frame.is_allocator() => 8,
            _ if frame.interpreter || frame.is_system_library() || frame.is_standard_library() => 5,
            _ if frame.function.as_deref() == Some("_start") => 5,
            _ => 0,
        }
    }

    fn is_added(&self, frame: &Frame) -> bool {
        let holds = |path: &Option<String>| {
            path.as_deref().is_some_and(|path| self.added.iter().any(|added| within(path, added)))
        };
        !self.added.is_empty() && (holds(&frame.file) || holds(&frame.module))
    }
}

/// What pip makes of an entry point: `venv/bin/gunicorn`.
fn is_installed_script(file: &str) -> bool {
    let mut parts = file.rsplit('/');
    parts.next().is_some_and(|name| !name.contains('.')) && parts.next() == Some("bin")
}

/// Whether a path has `part` as one or more of its whole components; `mylib` is `mylib.py` too.
fn within(path: &str, part: &str) -> bool {
    let whole = |(at, _): (usize, &str)| {
        let rest = &path[at + part.len()..];
        let begins = at == 0 || path.as_bytes()[at - 1] == b'/';
        begins && (rest.is_empty() || rest.starts_with('/') || rest == ".py")
    };
    path.match_indices(part).any(whole)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aggregate::Filter;

    fn python(file: &str) -> Frame {
        Frame { kind: Kind::Python, file: Some(file.into()), line: Some(1), ..Frame::unknown() }
    }

    fn native(module: &str, function: &str) -> Frame {
        Frame { module: Some(module.into()), function: Some(function.into()), ..Frame::unknown() }
    }

    /// The place in the stack of its headline.
    fn headline(own: &[&str], stack: &[Frame]) -> Option<usize> {
        let own = Own::new(&own.iter().map(ToString::to_string).collect::<Vec<_>>());
        let mut paths = Paths::new(Filter::default());
        let mut path = paths.root(Some(recording::EndReason::Complete));
        for frame in stack.iter().rev() {
            let frame = paths.frame(frame.clone());
            path = paths.extend(path, frame);
        }
        let found = own.headline(&paths, path)?;
        stack.iter().position(|frame| frame == paths.frame_at(found))
    }

    #[test]
    fn the_innermost_frame_of_the_users_code_names_a_stack() {
        let stack = [
            native("/usr/bin/python3.11", "list_repeat"),
            python("/usr/lib/python3.11/json/decoder.py"),
            python("<frozen importlib._bootstrap>"),
            python("<string>"),
            python("/app/venv/lib/python3.11/site-packages/shop/models.py"),
            python("/app/shop/views.py"),
            python("/app/shop/main.py"),
            native("/app/native/wrapper", "main"),
        ];
        assert_eq!(headline(&[], &stack), Some(5));
        assert_eq!(headline(&["site-packages/shop"], &stack), Some(4));
        assert_eq!(headline(&["./shop/models.py"], &stack), Some(4));
        assert_eq!(headline(&["json"], &stack), Some(1));
        let command = [python("/x/site-packages/gunicorn/arbiter.py"), python("/x/bin/gunicorn")];
        assert_eq!(headline(&[], &command), Some(0));
        assert_eq!(headline(&[], &[&stack[1..2], &command[1..]].concat()), Some(1), "a script of the user's");
        assert_eq!(headline(&["son", "site", "hop/"], &stack), Some(5), "whole components");
        assert_eq!(headline(&[], &stack[..5]), Some(4), "an installed package rather than the others");
        assert_eq!(headline(&[], &stack[..4]), Some(3), "python -c");
        assert_eq!(headline(&[], &stack[..3]), Some(1));
        assert_eq!(headline(&["python3.11"], &stack[..1]), Some(0));
        assert_eq!(headline(&[], &[]), None);
        let module =
            [python("/x/lib/python3.8/abc.py"), python("/x/site-packages/six.py"), python("/app/a.py")];
        assert_eq!(headline(&["six"], &module), Some(1), "a package of one file");
    }

    #[test]
    fn of_native_code_the_program_and_its_libraries_are_the_users() {
        let stack = [
            native("/opt/unfreed/libunfreed.so", "malloc"),
            native("/usr/lib/x86_64-linux-gnu/libstdc++.so.6", "operator new(unsigned long)"),
            native("/opt/shop/server", "void std::vector<int, A>::_M_realloc_insert<int>(int&&)"),
            native("/opt/shop/libshop.so", "shop::Cache::add(int)"),
            native("/opt/shop/server", "main"),
            native("/usr/lib/x86_64-linux-gnu/libc.so.6", "__libc_start_main"),
        ];
        assert_eq!(headline(&[], &stack), Some(3));
        assert_eq!(headline(&["libstdc++.so.6"], &stack), Some(1));
        let library = [&stack[..2], &stack[5..]].concat();
        assert_eq!(headline(&[], &library), Some(2), "no allocator where there is another");
        assert_eq!(headline(&[], &stack[..1]), Some(0));
        let start = [stack[5].clone(), native("/opt/python/bin/python3.13", "_start")];
        assert_eq!(headline(&[], &start), Some(0), "what begins every program");
    }
}
