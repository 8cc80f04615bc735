//! What the environment asks for, read once before the first event.
//!
//! `UNFREED_DIR`: the directory of the recording; without it nothing is recorded.
//!
//! `UNFREED_SANDBOX_RESERVE`: MiB of recording that are kept ready where a seccomp filter forbids more; 16 if not given.
//!
//! `UNFREED_MODE`: the permissions of its files in octal digits, whatever the process's mask; its user may always read and
//! write them. Without it 600.
//!
//! `UNFREED_PYTHON_OBJECTS`: with `off` of Python's objects only what malloc sees is recorded.
//!
//! `UNFREED_MAX_LOG`: how many bytes of events a run keeps: a number, with K, M or G of as many KiB, MiB or GiB, or `unlimited`.
//! With 0 it keeps none. Without it 1 GiB.
//!
//! `UNFREED_START`: with `off` nothing is recorded before the run is switched on.
//!
//! `UNFREED_FDS`, `UNFREED_MMAP`: with `1` descriptors, or anonymous mappings, are recorded too.
//!
//! `UNFREED_ONLY`, `UNFREED_EXCLUDE`: which programs are recorded, see [`crate::selection`].

use crate::selection::{EXCLUDED, ONLY};
use crate::start;
use crate::sys::{self, Fd};
use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering::Relaxed};

/// Longest path of a directory, its ending NUL included.
pub const DIRECTORY_MAX: usize = 1024;

/// The directory of the recording.
pub struct Directory {
    bytes: UnsafeCell<[u8; DIRECTORY_MAX]>,
    len: UnsafeCell<usize>,
}

// SAFETY: written by `read_environment` alone, which the process's single initialising thread calls once before
// any other thread can pass the state that says so.
unsafe impl Sync for Directory {}

/// Filled by [`read_environment`].
pub static DIRECTORY: Directory =
    Directory { bytes: UnsafeCell::new([0; DIRECTORY_MAX]), len: UnsafeCell::new(0) };

impl Directory {
    /// The path, empty if nothing is to be recorded.
    pub fn path(&self) -> &[u8] {
        // SAFETY: nobody writes once it can be read, see above.
        unsafe { (&*self.bytes.get()).get(..*self.len.get()).unwrap_or(&[]) }
    }

    /// A relative path is one from the directory of this moment. What is too long is not taken.
    fn set(&self, path: &[u8]) {
        // SAFETY: called by the single initialising thread.
        let (bytes, len) = unsafe { (&mut *self.bytes.get(), &mut *self.len.get()) };
        let mut at = 0;
        if !path.is_empty() && path.first() != Some(&b'/') {
            // One that was removed, or is outside of the root, has no path.
            let Ok(here) = sys::current_directory(bytes) else { return };
            at = here.len() + 1;
            bytes.iter_mut().skip(at - 1).take(1).for_each(|separator| *separator = b'/');
        }
        if let Some(place) = bytes.get_mut(at..at + path.len()).filter(|_| at + path.len() < DIRECTORY_MAX) {
            place.copy_from_slice(path);
            *len = at + path.len();
        }
    }
}

static NO_PYTHON_OBJECTS: AtomicBool = AtomicBool::new(false);

/// Whether blocks of Python's own allocators are recorded.
pub fn python_objects() -> bool {
    !NO_PYTHON_OBJECTS.load(Relaxed)
}

static SANDBOX_RESERVE_MIB: AtomicUsize = AtomicUsize::new(16);

/// Bytes of recording to keep ready where the program forbids to get more.
pub fn sandbox_reserve() -> usize {
    SANDBOX_RESERVE_MIB.load(Relaxed) << 20
}

/// Whether a kind of resource is recorded: a byte, for hooks that begin with a look at it.
#[repr(transparent)]
pub struct Wanted(AtomicBool);

impl Wanted {
    /// Whether it was asked for.
    #[inline(always)]
    pub fn is(&self) -> bool {
        self.0.load(Relaxed)
    }
}

/// Descriptors that are opened and closed.
pub static DESCRIPTORS: Wanted = Wanted(AtomicBool::new(false));
/// Anonymous mappings.
pub static MAPPINGS: Wanted = Wanted(AtomicBool::new(false));

/// This process records nothing.
pub fn no_resources() {
    DESCRIPTORS.0.store(false, Relaxed);
    MAPPINGS.0.store(false, Relaxed);
}

static MAX_LOG: AtomicU64 = AtomicU64::new(1 << 30);
static STARTS_OFF: AtomicBool = AtomicBool::new(false);

/// Bytes of events that the run keeps: 0 for none, `u64::MAX` for all.
pub fn max_log() -> u64 {
    MAX_LOG.load(Relaxed)
}

/// Whether events are kept at all.
#[inline(always)]
pub fn events() -> bool {
    MAX_LOG.load(Relaxed) != 0
}

/// Whether nothing is recorded before the run is switched on.
pub fn starts_off() -> bool {
    STARTS_OFF.load(Relaxed)
}

/// A number of bytes, with a unit that is a power of 1024; `None` where it is none.
fn bytes(text: &[u8]) -> Option<u64> {
    if text == b"unlimited" {
        return Some(u64::MAX);
    }
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let shift = match text.get(digits..)? {
        b"" => 0,
        b"K" | b"KB" | b"KiB" => 10,
        b"M" | b"MB" | b"MiB" => 20,
        b"G" | b"GB" | b"GiB" => 30,
        _ => return None,
    };
    let digit = |number: u64, digit: &u8| number.checked_mul(10)?.checked_add(u64::from(digit - b'0'));
    let number = text.get(..digits).filter(|digits| !digits.is_empty())?.iter().try_fold(0, digit)?;
    number.checked_mul(1 << shift)
}

/// A decimal number; `None` where it is none, or larger than any sensible one.
fn number(text: &[u8]) -> Option<usize> {
    let digits = !text.is_empty() && text.len() < 8 && text.iter().all(u8::is_ascii_digit);
    digits.then(|| text.iter().fold(0, |number, digit| number * 10 + usize::from(digit - b'0')))
}

/// Permissions of files, 0 if none were asked for.
static MODE: AtomicU32 = AtomicU32::new(0);

/// The permissions that were asked for.
pub fn mode() -> Option<u32> {
    Some(MODE.load(Relaxed)).filter(|&mode| mode != 0)
}

fn set_mode(digits: &[u8]) {
    let digit =
        |mode: u32, digit: &u8| matches!(digit, b'0'..=b'7').then(|| mode << 3 | u32::from(digit - b'0'));
    let mode = digits.iter().try_fold(0, digit);
    if let Some(mode) = mode.filter(|_| !digits.is_empty()) {
        MODE.store(mode & 0o666 | 0o600, Relaxed);
    }
}

type Set = fn(&[u8]);

/// The variables, and who takes their values.
const VARIABLES: [(&[u8], Set); 10] = [
    (b"UNFREED_DIR=", |path| DIRECTORY.set(path)),
    (b"UNFREED_SANDBOX_RESERVE=", |value| {
        if let Some(mib) = number(value) {
            SANDBOX_RESERVE_MIB.store(mib, Relaxed);
        }
    }),
    (b"UNFREED_MODE=", set_mode),
    (b"UNFREED_PYTHON_OBJECTS=", |value| NO_PYTHON_OBJECTS.store(value == b"off", Relaxed)),
    (b"UNFREED_MAX_LOG=", |value| {
        if let Some(bytes) = bytes(value) {
            MAX_LOG.store(bytes, Relaxed);
        }
    }),
    (b"UNFREED_START=", |value| STARTS_OFF.store(value == b"off", Relaxed)),
    (b"UNFREED_FDS=", |value| DESCRIPTORS.0.store(value == b"1", Relaxed)),
    (b"UNFREED_MMAP=", |value| MAPPINGS.0.store(value == b"1", Relaxed)),
    (b"UNFREED_ONLY=", |list| ONLY.set(list)),
    (b"UNFREED_EXCLUDE=", |list| EXCLUDED.set(list)),
];

/// Which of [`VARIABLES`] were found. Of several of one name the first counts, as for getenv.
#[derive(Default)]
struct Found([bool; VARIABLES.len()]);

impl Found {
    /// Takes a string of the environment, `NAME=value`.
    fn take(&mut self, entry: &[u8]) {
        for ((name, set), found) in VARIABLES.into_iter().zip(&mut self.0) {
            if let Some(value) = entry.strip_prefix(name).filter(|_| !*found) {
                *found = true;
                set(value);
            }
        }
    }
}

/// Reads the environment that the process was started with.
///
/// # Safety
/// Called by the initialising thread alone. `buffer` is scratch memory.
pub unsafe fn read_environment(buffer: &mut [u8]) {
    let mut found = Found::default();
    if let Ok(file) = Fd::open_read(b"/proc/self/environ\0") {
        each_entry(|buffer| file.read(buffer).unwrap_or(0), buffer, |entry| found.take(entry));
    } else {
        // SAFETY: no other thread changes the environment while the first one initialises.
        unsafe { read_memory(|entry| found.take(entry)) };
    }
}

/// Visits NUL-terminated strings, of any length; those that `buffer` cannot hold are left out.
fn each_entry(mut read: impl FnMut(&mut [u8]) -> usize, buffer: &mut [u8], mut visit: impl FnMut(&[u8])) {
    let (mut kept, mut in_long_string) = (0, false);
    loop {
        let got = read(buffer.get_mut(kept..).unwrap_or(&mut []));
        let filled = kept + got;
        let mut rest = buffer.get(..filled).unwrap_or(&[]);
        while let Some(len) = rest.iter().position(|&byte| byte == 0) {
            if !in_long_string {
                visit(rest.get(..len).unwrap_or(&[]));
            }
            in_long_string = false;
            rest = rest.get(len + 1..).unwrap_or(&[]);
        }
        if got == 0 {
            return;
        }
        in_long_string |= rest.len() == buffer.len();
        kept = if in_long_string { 0 } else { rest.len() };
        buffer.copy_within(filled - kept..filled, 0);
    }
}

/// Visits the C library's environment.
///
/// # Safety
/// No other thread may change the environment.
unsafe fn read_memory(mut visit: impl FnMut(&[u8])) {
    let mut entry = start::environment();
    // SAFETY: null, or a null-terminated array of NUL-terminated strings.
    unsafe {
        while !entry.is_null() && !(*entry).is_null() {
            visit(core::ffi::CStr::from_ptr((*entry).cast()).to_bytes());
            entry = entry.add(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is visited when the environment comes in pieces of this size.
    fn visited(environment: &[u8], piece: usize) -> Vec<Vec<u8>> {
        let mut rest = environment;
        let read = |buffer: &mut [u8]| {
            let len = rest.len().min(piece).min(buffer.len());
            let (now, later) = rest.split_at(len);
            buffer[..len].copy_from_slice(now);
            rest = later;
            len
        };
        let mut entries = Vec::new();
        each_entry(read, &mut [0; 64], |entry| entries.push(entry.to_vec()));
        entries
    }

    #[test]
    fn each_string_is_visited_wherever_reads_end() {
        let long = [b'x'; 200];
        let environment = [b"A=1\0LONG=".as_slice(), &long, b"\0UNFREED_DIR=/some/where\0B=2\0"].concat();
        for piece in 1..80 {
            let entries: [&[u8]; 3] = [b"A=1", b"UNFREED_DIR=/some/where", b"B=2"];
            assert_eq!(visited(&environment, piece), entries, "{piece}");
            // What looks like a variable within a longer string is none.
            let within = [&long[..], b"UNFREED_DIR=/x\0", b"\0C=\0"].concat();
            let entries: [&[u8]; 2] = [b"", b"C="];
            assert_eq!(visited(&within, piece), entries, "{piece}");
        }
        assert!(visited(b"", 10).is_empty());
    }

    #[test]
    fn of_several_variables_of_a_name_the_first_counts() {
        let mut found = Found::default();
        assert!(python_objects());
        found.take(b"UNFREED_PYTHON_OBJECTS=off");
        found.take(b"UNFREED_PYTHON_OBJECTS=on");
        assert!(!python_objects());
        Found::default().take(b"UNFREED_PYTHON_OBJECTS=on");
        assert!(python_objects());
        let mut found = Found::default();
        found.take(b"NOT_UNFREED_DIR=/other");
        found.take(b"UNFREED_DIR=/first");
        found.take(b"UNFREED_DIR=/second");
        assert_eq!(DIRECTORY.path(), b"/first");
        let here = std::env::current_dir().expect("tests run somewhere");
        DIRECTORY.set(b"below/it");
        assert_eq!(DIRECTORY.path(), here.join("below/it").as_os_str().as_encoded_bytes());
        DIRECTORY.set(&[b'x'; DIRECTORY_MAX]);
        assert_eq!(DIRECTORY.path(), here.join("below/it").as_os_str().as_encoded_bytes());
    }

    #[test]
    fn permissions_are_octal_digits() {
        for (text, expected) in
            [("640", 0o640), ("0666", 0o666), ("4755", 0o644), ("0", 0o600), ("077", 0o666)]
        {
            set_mode(text.as_bytes());
            assert_eq!(mode(), Some(expected), "{text}");
        }
        for wrong in ["", "rw-r-----", "648", "-1"] {
            set_mode(wrong.as_bytes());
            assert_eq!(mode(), Some(0o666), "{wrong}");
        }
    }
    #[test]
    fn sizes_have_units_of_1024() {
        let sizes = [
            ("0", Some(0)),
            ("17", Some(17)),
            ("64K", Some(64 << 10)),
            ("64M", Some(64 << 20)),
            ("3GiB", Some(3 << 30)),
            ("3MB", Some(3 << 20)),
            ("unlimited", Some(u64::MAX)),
            ("17179869184G", None),
            ("99999999999999999999", None),
            ("", None),
            ("M", None),
            ("-1", None),
            ("1.5G", None),
            ("1 G", None),
        ];
        for (text, expected) in sizes {
            assert_eq!(bytes(text.as_bytes()), expected, "{text}");
        }
    }
}
