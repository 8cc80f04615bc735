//! What the kernel put on the process's first stack: arguments, environment and auxiliary vector, one behind the other.
//! For where there is no /proc.

use crate::link_map::weak_address;
use crate::sys;
use core::ffi::CStr;
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Where the arguments begin, with their number; 0 if that is not known.
static ORIGIN: AtomicUsize = AtomicUsize::new(0);
/// Where the auxiliary vector is, 0 if that is not known.
static VECTOR: AtomicUsize = AtomicUsize::new(0);
/// More arguments are not looked for.
const MOST_ARGUMENTS: usize = 1 << 16;
const WORD: usize = size_of::<usize>();

/// Auxiliary vector: address of the program headers.
pub const AT_PHDR: usize = 3;
/// Their number.
pub const AT_PHNUM: usize = 5;
/// Address of the path by which the program was executed.
const AT_EXECFN: usize = 31;

/// The C library's environment, which ends with null; null before there is one.
pub fn environment() -> *const *const u8 {
    let environ = weak_address!("environ") as *const *const *const u8;
    // SAFETY: null, or the C library's variable.
    unsafe { environ.as_ref() }.map_or(core::ptr::null(), |environ| *environ)
}

/// Remembers the places, while the environment is still the kernel's.
#[cold]
pub fn find() {
    let environment = environment() as usize;
    if let Some(origin) = origin(environment) {
        ORIGIN.store(origin, Relaxed);
        // SAFETY: found to be the first stack, on which the vector follows the environment.
        let vector = environment + (1 + unsafe { words(environment) }.count()) * WORD;
        VECTOR.store(vector, Relaxed);
    }
}

/// The number of arguments lies before them, and they before null and the environment. Where the environment is no longer
/// the kernel's something else does.
fn origin(environment: usize) -> Option<usize> {
    let mut readable = usize::MAX;
    let mut word = |at: usize| {
        if at >> 12 != readable && !sys::is_readable(at) {
            return None;
        }
        readable = at >> 12;
        // SAFETY: the page is readable.
        Some(unsafe { (at as *const usize).read_unaligned() })
    };
    if environment == 0 || word(environment.checked_sub(WORD)?)? != 0 {
        return None;
    }
    let before = |count: usize| environment.checked_sub((count + 2) * WORD);
    for count in 0..MOST_ARGUMENTS {
        let at = before(count)?;
        if word(at)? == count {
            return Some(at);
        }
    }
    None
}

/// The words from `at` up to the next 0.
///
/// # Safety
/// They must lie on the process's first stack.
unsafe fn words(at: usize) -> impl Iterator<Item = usize> {
    // SAFETY: each list there ends with 0.
    (0..).map(move |index| unsafe { (at as *const usize).add(index).read() }).take_while(|word| *word != 0)
}

/// The string at `address`, which the kernel gave.
fn string(address: usize) -> &'static CStr {
    // SAFETY: the kernel's strings end with NUL and lie on the first stack, which stays.
    unsafe { CStr::from_ptr(address as *const _) }
}

/// The arguments, each ended by NUL, as far as `out` has room.
pub fn arguments(out: &mut [u8]) -> &[u8] {
    let mut len = 0;
    let origin = ORIGIN.load(Relaxed);
    if origin != 0 {
        // SAFETY: found to be the first stack.
        for argument in unsafe { words(origin + WORD) } {
            for &byte in string(argument).to_bytes_with_nul() {
                let Some(place) = out.get_mut(len) else { break };
                *place = byte;
                len += 1;
            }
        }
    }
    out.get(..len).unwrap_or(&[])
}

/// An entry of the auxiliary vector.
pub fn auxiliary(kind: usize) -> Option<usize> {
    let vector = Some(VECTOR.load(Relaxed)).filter(|vector| *vector != 0)?;
    // SAFETY: on the first stack there are pairs up to one of kind 0.
    let pairs = (0..).map(|index| unsafe { (vector as *const [usize; 2]).add(index).read() });
    let mut entries = pairs.take_while(|[kind, _]| *kind != 0);
    entries.find(|[found, _]| *found == kind).map(|[_, value]| value)
}

/// The path by which the process was executed, empty if it is not known.
pub fn executed() -> &'static [u8] {
    auxiliary(AT_EXECFN).filter(|address| *address != 0).map_or(c"", string).to_bytes()
}

/// Path of the executable: without /proc the one by which it was executed; empty if it is not known.
pub fn executable(out: &mut [u8]) -> &[u8] {
    // Asked twice, since the first answer would hold on to `out`.
    if sys::read_link(b"/proc/self/exe\0", out).is_ok() {
        return sys::read_link(b"/proc/self/exe\0", out).unwrap_or(&[]);
    }
    let path = executed();
    let mut len = 0;
    if !path.is_empty() && path.first() != Some(&b'/') {
        len = sys::current_directory(out).map_or(0, <[u8]>::len);
    }
    let slash = if len > 0 { &b"/"[..] } else { &[] };
    for &byte in slash.iter().chain(path) {
        let Some(place) = out.get_mut(len) else { break };
        *place = byte;
        len += 1;
    }
    out.get(..len).unwrap_or(&[])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_stack_says_what_proc_says() {
        find();
        assert_ne!(ORIGIN.load(Relaxed), 0, "the environment is the kernel's");
        let mut room = [0; 4096];
        assert_eq!(arguments(&mut room), std::fs::read("/proc/self/cmdline").expect("/proc is mounted"));
        let vector = std::fs::read("/proc/self/auxv").expect("/proc is mounted");
        let word = |bytes: &[u8]| usize::from_le_bytes(bytes.try_into().expect("eight bytes"));
        for entry in vector.chunks(16).filter(|entry| word(&entry[..8]) != 0) {
            assert_eq!(auxiliary(word(&entry[..8])), Some(word(&entry[8..])));
        }
        assert_eq!(auxiliary(12345), None);
        let exe = std::fs::read_link("/proc/self/exe").expect("/proc is mounted");
        assert_eq!(executable(&mut room), exe.as_os_str().as_encoded_bytes());
        let executed = auxiliary(AT_EXECFN).map(string).expect("the kernel says it");
        let executed = std::fs::canonicalize(executed.to_str().expect("a path")).expect("it is there");
        assert_eq!(executed, exe);
    }

    #[test]
    fn another_environment_is_not_the_first_stack() {
        let elsewhere: [usize; 4] = [7, 1, 2, 0];
        assert_eq!(origin((&raw const elsewhere[2]) as usize), None);
        assert_eq!(origin(0), None);
        assert_eq!(origin(8), None);
    }
}
