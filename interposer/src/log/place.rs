//! Where the process's file lies: in `DIR/live/` while the process runs, in `DIR` once it has exited.
//!
//! A mapped file that somebody cuts ends its process by SIGBUS, and nothing that can be afforded prevents that. So
//! it lies where those who tidy, rotate or truncate the files of `DIR` do not meet it.
//!
//! What is here must survive fork: it is the parent's file, until [`create`] makes the child's own. Where that fails
//! [`set`] names the parent's again.

use crate::config::{self, DIRECTORY, DIRECTORY_MAX};
use crate::sys::{self, Errno, Fd};
use core::cell::UnsafeCell;
use recording::layout::{LIVE_DIRECTORY, directory_mode};
use recording::run::RUN;

/// A directory's path, and what is added to it.
const PATH_MAX: usize = DIRECTORY_MAX + 32;

/// A path that ends with NUL, empty before it is set.
struct Path(UnsafeCell<[u8; PATH_MAX]>);

// SAFETY: written by `set`, `create` and the first `open_run` alone, which run in the single initialising thread before the
// file can be used.
unsafe impl Sync for Path {}

/// While the process runs.
static LIVE: Path = Path(UnsafeCell::new([0; PATH_MAX]));
/// When it has exited.
static SETTLED: Path = Path(UnsafeCell::new([0; PATH_MAX]));
/// Of the run's words.
static RUN_WORDS: Path = Path(UnsafeCell::new([0; PATH_MAX]));
/// Of new ones.
static NEW_RUN_WORDS: Path = Path(UnsafeCell::new([0; PATH_MAX]));

impl Path {
    fn get(&self) -> &[u8] {
        // SAFETY: see above.
        let bytes = unsafe { &*self.0.get() };
        let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(0);
        bytes.get(..=end).unwrap_or(b"\0")
    }

    /// `DIR` and what follows it, each part after a `/`.
    fn set(&self, parts: &[&[u8]]) {
        // SAFETY: see above.
        let bytes = unsafe { &mut *self.0.get() };
        bytes.fill(0);
        let mut place = bytes.iter_mut();
        let mut put = |part: &[u8]| part.iter().zip(&mut place).for_each(|(&byte, place)| *place = byte);
        put(DIRECTORY.path());
        for part in parts {
            put(b"/");
            put(part);
        }
    }
}

fn hexadecimal(id: u64) -> [u8; 16] {
    let mut digits = [0; 16];
    for (place, digit) in digits.iter_mut().zip((0..16).rev()) {
        *place = b"0123456789abcdef"[(id >> (4 * digit)) as usize & 15];
    }
    digits
}

/// The file is `ID.unfreed` with this id in hexadecimal.
pub fn set(id: u64) {
    let mut name = *b"0123456789abcdef.unfreed";
    name.iter_mut().zip(hexadecimal(id)).for_each(|(place, digit)| *place = digit);
    LIVE.set(&[LIVE_DIRECTORY.as_bytes(), &name]);
    SETTLED.set(&[&name]);
}

/// A new file with this id. Where `live/` cannot be had it lies in `DIR` at once.
pub fn create(id: u64) -> sys::Result<Fd> {
    let create = |path: &Path| {
        set(id);
        create_at(path)
    };
    let again = |errno| {
        if errno == Errno(libc::ENOENT) {
            make_directories();
        }
        create(&LIVE)
    };
    create(&LIVE).or_else(again).or_else(|_| create(&SETTLED))
}

fn create_at(path: &Path) -> sys::Result<Fd> {
    let fd = Fd::open(path.get(), libc::O_RDWR | libc::O_CREAT | libc::O_EXCL, 0o600)?;
    // Whatever the umask is.
    let _ = fd.set_mode(config::mode().unwrap_or(0o600));
    Ok(fd)
}

/// Whatever somebody has put in the place of a file of ours.
const AGAIN: i32 = libc::O_RDWR | libc::O_NOFOLLOW | libc::O_NONBLOCK;

/// The file of the run's words.
pub fn open_run() -> sys::Result<Fd> {
    if RUN_WORDS.get() == b"\0" {
        RUN_WORDS.set(&[LIVE_DIRECTORY.as_bytes(), RUN.as_bytes()]);
    }
    Fd::open(RUN_WORDS.get(), AGAIN, 0)
}

/// A new file of the run's words, which nobody else finds. Called by the initialising thread alone.
pub fn create_run(id: u64) -> sys::Result<Fd> {
    let mut name = *b"run.0123456789abcdef";
    name.iter_mut().skip(4).zip(hexadecimal(id)).for_each(|(place, digit)| *place = digit);
    NEW_RUN_WORDS.set(&[LIVE_DIRECTORY.as_bytes(), &name]);
    let file = create_at(&NEW_RUN_WORDS).or_else(|errno| {
        if errno == Errno(libc::ENOENT) {
            make_directories();
        }
        create_at(&NEW_RUN_WORDS)
    })?;
    // A service may begin as one user and go on as the one whose directory it is.
    if let Some(model) = directory() {
        let _ =
            file.set_owner(model.st_uid, model.st_gid).or_else(|_| file.set_owner(u32::MAX, model.st_gid));
    }
    Ok(file)
}

/// The new file is the run's, unless there is one.
pub fn publish_run() -> sys::Result<()> {
    sys::rename_new(NEW_RUN_WORDS.get(), RUN_WORDS.get())
}

/// Removes the new file.
pub fn remove_new_run() {
    sys::remove_file(NEW_RUN_WORDS.get());
}

/// Whose the directory is.
pub fn owner() -> Option<u32> {
    directory().map(|status| status.st_uid)
}

fn directory() -> Option<libc::stat> {
    SETTLED.set(&[]);
    sys::status(SETTLED.get()).ok()
}

/// Makes `live/`, and `DIR` if that is missing too.
fn make_directories() {
    LIVE.set(&[LIVE_DIRECTORY.as_bytes()]);
    SETTLED.set(&[]);
    let _ = make_live().or_else(|_| {
        if let (Ok(directory), Some(mode)) = (make_directory(&SETTLED), config::mode()) {
            let _ = directory.set_mode(directory_mode(mode));
        }
        // Also where another process made the directory meanwhile.
        make_live()
    });
}

fn make_directory(path: &Path) -> sys::Result<Fd> {
    sys::make_directory(path.get(), 0o700)?;
    Fd::open(path.get(), libc::O_DIRECTORY | libc::O_NOFOLLOW, 0)
}

/// Who may write to `DIR` may write to `live/`: a service may begin as one user and go on as another.
fn make_live() -> sys::Result<()> {
    let live = make_directory(&LIVE)?;
    let model = sys::status(SETTLED.get())?;
    // Of a directory of somebody else the group at least.
    let _ = live.set_owner(model.st_uid, model.st_gid).or_else(|_| live.set_owner(u32::MAX, model.st_gid));
    live.set_mode(model.st_mode & 0o3777)
}

/// The file again, by its path.
pub fn open() -> sys::Result<Fd> {
    let open = |path: &Path| Fd::open(path.get(), AGAIN, 0);
    open(&LIVE).or_else(|errno| open(&SETTLED).map_err(|_| errno))
}

/// Removes the file that was just created.
pub fn remove() {
    sys::remove_file(LIVE.get());
    sys::remove_file(SETTLED.get());
}

/// The process exits: its file lies where it stays.
pub fn settle() {
    sys::rename(LIVE.get(), SETTLED.get());
}
