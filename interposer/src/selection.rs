//! Which programs of a run are recorded: `UNFREED_ONLY` and `UNFREED_EXCLUDE`.
//!
//! Each is a list of patterns between colons, in which `*` stands for anything. One with a `/` is compared with the whole
//! path of the executable, another with its name; and both with the path by which it was executed, which is that of
//! a script if that is what was. Asked of each image once: a forked child is recorded if its parent is.

use crate::start;
use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Longest list. A longer one is not taken.
pub const LIST_MAX: usize = 2048;

/// A list of patterns.
pub struct List {
    bytes: UnsafeCell<[u8; LIST_MAX]>,
    len: AtomicUsize,
}

// SAFETY: the bytes are written by `set` alone, which the process's single initialising thread calls before anyone reads.
unsafe impl Sync for List {}

/// What alone is recorded, if it is not empty.
pub static ONLY: List = List::empty();
/// What is not recorded.
pub static EXCLUDED: List = List::empty();

impl List {
    const fn empty() -> List {
        List { bytes: UnsafeCell::new([0; LIST_MAX]), len: AtomicUsize::new(0) }
    }

    /// Called by the initialising thread alone.
    pub(crate) fn set(&self, list: &[u8]) {
        // SAFETY: see above.
        let bytes = unsafe { &mut *self.bytes.get() };
        if let Some(place) = bytes.get_mut(..list.len()) {
            place.copy_from_slice(list);
            self.len.store(list.len(), Relaxed);
        }
    }

    fn get(&self) -> &[u8] {
        // SAFETY: see above.
        unsafe { (&*self.bytes.get()).get(..self.len.load(Relaxed)).unwrap_or(&[]) }
    }
}

/// Whether this image is to be recorded. `scratch` is memory for a path.
#[cold]
pub fn is_recorded(scratch: &mut [u8]) -> bool {
    let (only, excluded) = (ONLY.get(), EXCLUDED.get());
    if only.is_empty() && excluded.is_empty() {
        return true;
    }
    let executable = start::executable(scratch);
    let any = |list| has(list, executable) || has(list, start::executed());
    (only.is_empty() || any(only)) && !any(excluded)
}

/// Whether a pattern of the list is that of `path`.
fn has(list: &[u8], path: &[u8]) -> bool {
    let name = path.rsplit(|&byte| byte == b'/').next().unwrap_or(path);
    let patterns = list.split(|&byte| byte == b':').filter(|pattern| !pattern.is_empty());
    let mut subjects = patterns.map(|pattern| (pattern, if pattern.contains(&b'/') { path } else { name }));
    subjects.any(|(pattern, subject)| matches(pattern, subject))
}

/// Whether the whole of `text` is what `pattern` says.
fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut at, mut place) = (0, 0);
    // Where the last star was, and how far the text was when it had taken no more than it has.
    let mut star: Option<(usize, usize)> = None;
    while let Some(byte) = text.get(at) {
        if pattern.get(place) == Some(&b'*') {
            star = Some((place, at));
            place += 1;
        } else if pattern.get(place) == Some(byte) {
            (place, at) = (place + 1, at + 1);
        } else if let Some((last, taken)) = star {
            star = Some((last, taken + 1));
            (place, at) = (last + 1, taken + 1);
        } else {
            return false;
        }
    }
    pattern.get(place..).unwrap_or(&[]).iter().all(|&byte| byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_anything() {
        for (pattern, text, expected) in [
            ("sh", "sh", true),
            ("sh", "bash", false),
            ("*sh", "bash", true),
            ("python3*", "python3.11", true),
            ("python3*", "python3", true),
            ("python", "python3", false),
            ("*", "", true),
            ("", "", true),
            ("", "x", false),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-c-b", false),
            ("**x**", "x", true),
            ("*ab", "aab", true),
        ] {
            assert_eq!(matches(pattern.as_bytes(), text.as_bytes()), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn names_and_paths_are_told_apart() {
        for (list, path, expected) in [
            ("sh:env", "/usr/bin/env", true),
            ("sh:env", "/usr/bin/python3", false),
            ("/usr/bin/*", "/usr/bin/env", true),
            ("/usr/bin/env", "/bin/env", false),
            ("*/bin/env", "/usr/bin/env", true),
            ("bin", "/usr/bin/env", false),
            ("::", "", false),
            ("", "/usr/bin/env", false),
            ("env", "env", true),
        ] {
            assert_eq!(has(list.as_bytes(), path.as_bytes()), expected, "{list} {path}");
        }
    }

    #[test]
    fn a_list_that_is_too_long_is_not_taken() {
        let list = List::empty();
        list.set(&[b'x'; LIST_MAX]);
        assert_eq!(list.get().len(), LIST_MAX);
        list.set(&[b'y'; LIST_MAX + 1]);
        assert_eq!(list.get(), [b'x'; LIST_MAX]);
    }
}
