//! Every raw system call of the library: no libc wrapper, so no errno, no cancellation point, no lock. One that the
//! program has forbidden is not made (see [`sandbox`]): it gives EPERM.
//!
//! A failed call gives the errno as `Err`. Nothing here allocates.

use crate::sandbox;
use core::arch::asm;

/// An errno.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Errno(pub i32);

/// Result of a system call.
pub type Result<T> = core::result::Result<T, Errno>;

#[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
compile_error!("libunfreed.so is written for x86-64 Linux");

/// One system call.
///
/// # Safety
/// The arguments must be what the kernel expects of `number`, and any memory that it writes must be the caller's.
#[inline(always)]
pub unsafe fn call(number: libc::c_long, args: [usize; 6]) -> Result<usize> {
    if !sandbox::allows(number, &args) {
        return Err(Errno(libc::EPERM));
    }
    let result: isize;
    // SAFETY: the kernel keeps all registers but rax, rcx and r11; the caller answers for the arguments.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") number as isize => result,
            in("rdi") args[0], in("rsi") args[1], in("rdx") args[2],
            in("r10") args[3], in("r8") args[4], in("r9") args[5],
            lateout("rcx") _, lateout("r11") _,
            options(nostack)
        );
    }
    if (-4095..0).contains(&result) { Err(Errno(-result as i32)) } else { Ok(result as usize) }
}

/// A file that is closed when it goes out of scope.
pub struct Fd(i32);

impl Drop for Fd {
    fn drop(&mut self) {
        // SAFETY: the descriptor was opened by `open` and is closed once.
        let _ = unsafe { call(libc::SYS_close, [self.0 as usize, 0, 0, 0, 0, 0]) };
    }
}

/// Writes to standard error, for a library that is built to be measured.
#[cfg(unfreed_timed)]
pub fn write_error(text: &[u8]) {
    let _ = core::mem::ManuallyDrop::new(Fd(2)).write(text);
}

impl Fd {
    /// Opens `path`, which ends with a NUL byte, close-on-exec.
    ///
    /// Descriptors 0 to 2 are never taken: a program started without them opens its own there.
    pub fn open(path: &[u8], flags: i32, mode: u32) -> Result<Fd> {
        debug_assert_eq!(path.last(), Some(&0));
        let flags = (flags | libc::O_CLOEXEC) as usize;
        let args = [libc::AT_FDCWD as usize, path.as_ptr() as usize, flags, mode as usize, 0, 0];
        // SAFETY: the path is readable and ends with NUL.
        let fd = Fd(unsafe { retry(libc::SYS_openat, args)? } as i32);
        if fd.0 > 2 {
            return Ok(fd);
        }
        // SAFETY: duplicates our own descriptor.
        let high =
            unsafe { call(libc::SYS_fcntl, [fd.0 as usize, libc::F_DUPFD_CLOEXEC as usize, 3, 0, 0, 0]) };
        high.map(|number| Fd(number as i32))
    }

    /// Opens a file for reading.
    pub fn open_read(path: &[u8]) -> Result<Fd> {
        Fd::open(path, libc::O_RDONLY, 0)
    }

    /// Reads up to `buffer.len()` bytes.
    pub fn read(&self, buffer: &mut [u8]) -> Result<usize> {
        // SAFETY: the buffer is the caller's and writable.
        unsafe {
            retry(libc::SYS_read, [self.0 as usize, buffer.as_mut_ptr() as usize, buffer.len(), 0, 0, 0])
        }
    }

    /// Reads until `buffer` is full or the file ends.
    pub fn read_all<'b>(&self, buffer: &'b mut [u8]) -> Result<&'b [u8]> {
        let mut len = 0;
        while len < buffer.len() {
            match self.read(&mut buffer[len..])? {
                0 => break,
                n => len += n,
            }
        }
        Ok(&buffer[..len])
    }

    /// Writes `bytes`, or as many as the file takes.
    pub fn write(&self, bytes: &[u8]) -> Result<usize> {
        // SAFETY: the bytes are readable.
        unsafe { retry(libc::SYS_write, [self.0 as usize, bytes.as_ptr() as usize, bytes.len(), 0, 0, 0]) }
    }

    /// Writes one after the other by one call, so that nobody's bytes come between.
    pub fn write_both(&self, first: &[u8], second: &[u8]) -> Result<usize> {
        let parts = [first, second]
            .map(|part| libc::iovec { iov_base: part.as_ptr().cast_mut().cast(), iov_len: part.len() });
        // SAFETY: the bytes are readable, and the kernel only reads them.
        unsafe { retry(libc::SYS_writev, [self.0 as usize, parts.as_ptr() as usize, parts.len(), 0, 0, 0]) }
    }

    /// Writes all of `bytes` at `offset`.
    pub fn write_at(&self, bytes: &[u8], offset: u64) -> Result<()> {
        let args = [self.0 as usize, bytes.as_ptr() as usize, bytes.len(), offset as usize, 0, 0];
        // SAFETY: the bytes are readable.
        let written = unsafe { retry(libc::SYS_pwrite64, args)? };
        if written == bytes.len() { Ok(()) } else { Err(Errno(libc::ENOSPC)) }
    }

    /// What `stat` says of the file.
    pub fn status(&self) -> Result<libc::stat> {
        let mut stat = core::mem::MaybeUninit::<libc::stat>::zeroed();
        // SAFETY: the kernel fills the structure that it is given.
        unsafe {
            call(libc::SYS_fstat, [self.0 as usize, stat.as_mut_ptr() as usize, 0, 0, 0, 0])?;
            Ok(stat.assume_init())
        }
    }

    /// Sets the file's size.
    pub fn truncate(&self, size: u64) -> Result<()> {
        // SAFETY: no memory is involved.
        unsafe { retry(libc::SYS_ftruncate, [self.0 as usize, size as usize, 0, 0, 0, 0]).map(drop) }
    }

    /// Has a file system that writes changed blocks to new places (btrfs) write those of this empty file in place.
    pub fn write_in_place(&self) {
        const GET_FLAGS: usize = 0x8008_6601; // FS_IOC_GETFLAGS
        const SET_FLAGS: usize = 0x4008_6602;
        const NO_COPY_ON_WRITE: libc::c_long = 0x0080_0000; // FS_NOCOW_FL
        let mut flags: libc::c_long = 0;
        // SAFETY: both calls are about a word of at most the size of a long. Other file systems refuse one of them.
        unsafe {
            if self.ioctl(GET_FLAGS, (&raw mut flags) as usize).is_ok() {
                flags |= NO_COPY_ON_WRITE;
                let _ = self.ioctl(SET_FLAGS, (&raw mut flags) as usize);
            }
        }
    }

    /// Sets the file's permissions.
    pub fn set_mode(&self, mode: u32) -> Result<()> {
        // SAFETY: no memory is involved.
        unsafe { call(libc::SYS_fchmod, [self.0 as usize, mode as usize, 0, 0, 0, 0]).map(drop) }
    }

    /// Gives the file to a user and a group; `u32::MAX` leaves either as it is.
    pub fn set_owner(&self, user: u32, group: u32) -> Result<()> {
        // SAFETY: no memory is involved.
        unsafe { call(libc::SYS_fchown, [self.0 as usize, user as usize, group as usize, 0, 0, 0]).map(drop) }
    }

    /// Allocates `size` bytes at `offset`.
    pub fn allocate(&self, offset: u64, size: u64) -> Result<()> {
        // SAFETY: no memory is involved.
        unsafe {
            retry(libc::SYS_fallocate, [self.0 as usize, 0, offset as usize, size as usize, 0, 0]).map(drop)
        }
    }

    /// Maps `size` bytes at `offset` shared, with protection `protection`.
    pub fn map_shared(&self, size: usize, offset: u64, protection: i32) -> Result<usize> {
        let flags = libc::MAP_SHARED | libc::MAP_NORESERVE;
        let args = [0, size, protection as usize, flags as usize, self.0 as usize, offset as usize];
        // SAFETY: a new mapping at a place of the kernel's choice touches no memory in use.
        unsafe { call(libc::SYS_mmap, args) }
    }

    /// An `ioctl` with a pointer argument.
    ///
    /// # Safety
    /// `argument` must point to what `request` reads and writes.
    pub unsafe fn ioctl(&self, request: usize, argument: usize) -> Result<usize> {
        // SAFETY: handed to the caller.
        unsafe { call(libc::SYS_ioctl, [self.0 as usize, request, argument, 0, 0, 0]) }
    }
}

/// A system call, again while a signal interrupts it.
///
/// # Safety
/// As for [`call`].
unsafe fn retry(number: libc::c_long, args: [usize; 6]) -> Result<usize> {
    loop {
        // SAFETY: handed to the caller.
        match unsafe { call(number, args) } {
            Err(Errno(libc::EINTR)) => {}
            result => return result,
        }
    }
}

/// Zeroed memory that forked children share; no swap is reserved.
pub fn map_shared_memory(size: usize) -> Result<usize> {
    let flags = libc::MAP_SHARED | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: a new mapping at a place of the kernel's choice touches no memory in use.
    unsafe { call(libc::SYS_mmap, [0, size, protection as usize, flags as usize, usize::MAX, 0]) }
}

/// Maps `size` bytes of the file that is mapped shared at `at`, from the offset that is mapped there on.
pub fn map_again(at: usize, size: usize) -> Result<usize> {
    let args = [at, 0, size, libc::MREMAP_MAYMOVE as usize, 0, 0];
    // SAFETY: with an old size of 0 the old mapping stays, and a new one is made at a place of the kernel's choice.
    unsafe { call(libc::SYS_mremap, args) }
}

/// Private zeroed memory; no swap is reserved.
pub fn map_memory(size: usize) -> Result<usize> {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: a new mapping at a place of the kernel's choice touches no memory in use.
    unsafe { call(libc::SYS_mmap, [0, size, protection as usize, flags as usize, usize::MAX, 0]) }
}

/// The same, not in core dumps.
pub fn map_private(size: usize) -> Result<usize> {
    let at = map_memory(size)?;
    let _ = advise(at, size, libc::MADV_DONTDUMP);
    Ok(at)
}

/// Allocates and maps the pages of a file.
pub const MADV_POPULATE_WRITE: i32 = 23;

/// Gives advice on memory of our own.
pub fn advise(at: usize, size: usize, advice: i32) -> Result<()> {
    // SAFETY: callers name memory that they mapped, and advice that their use of it expects.
    unsafe { call(libc::SYS_madvise, [at, size, advice as usize, 0, 0, 0]).map(drop) }
}

/// Lets pages of our own leave memory, in a program that locks all that is mapped.
pub fn unlock(at: usize, size: usize) {
    // SAFETY: callers name memory that they mapped; what is in it stays.
    let _ = unsafe { call(libc::SYS_munlock, [at, size, 0, 0, 0, 0]) };
}

/// Makes a mapping of our own readable and writable.
pub fn make_writable(at: usize, size: usize) -> Result<()> {
    let protection = (libc::PROT_READ | libc::PROT_WRITE) as usize;
    // SAFETY: callers name memory that they mapped.
    unsafe { call(libc::SYS_mprotect, [at, size, protection, 0, 0, 0]).map(drop) }
}

/// Gives memory of our own back.
///
/// # Safety
/// Nothing may use it any more.
pub unsafe fn unmap(at: usize, size: usize) {
    // SAFETY: handed to the caller.
    let _ = unsafe { call(libc::SYS_munmap, [at, size, 0, 0, 0, 0]) };
}

/// Makes a directory at `path`, which ends with a NUL byte; its mode is less what the process's mask forbids.
pub fn make_directory(path: &[u8], mode: u32) -> Result<()> {
    debug_assert_eq!(path.last(), Some(&0));
    let args = [libc::AT_FDCWD as usize, path.as_ptr() as usize, mode as usize, 0, 0, 0];
    // SAFETY: the path ends with NUL.
    unsafe { call(libc::SYS_mkdirat, args).map(drop) }
}

/// Gives the file at `from` the path `to`; both end with a NUL byte.
pub fn rename(from: &[u8], to: &[u8]) {
    debug_assert!(from.last() == Some(&0) && to.last() == Some(&0));
    let at = libc::AT_FDCWD as usize;
    // SAFETY: the paths end with NUL.
    let _ = unsafe { call(libc::SYS_renameat, [at, from.as_ptr() as usize, at, to.as_ptr() as usize, 0, 0]) };
}

/// Gives the file at `from` the path `to` if there is nothing; both end with a NUL byte.
pub fn rename_new(from: &[u8], to: &[u8]) -> Result<()> {
    debug_assert!(from.last() == Some(&0) && to.last() == Some(&0));
    let at = libc::AT_FDCWD as usize;
    let (from, to) = (from.as_ptr() as usize, to.as_ptr() as usize);
    let no_replace = libc::RENAME_NOREPLACE as usize;
    // SAFETY: the paths end with NUL.
    match unsafe { call(libc::SYS_renameat2, [at, from, at, to, no_replace, 0]) } {
        // Some file systems cannot do that, but link.
        Err(Errno(libc::EINVAL | libc::ENOSYS)) => {
            // SAFETY: as above.
            unsafe {
                call(libc::SYS_linkat, [at, from, at, to, 0, 0])?;
                call(libc::SYS_unlinkat, [at, from, 0, 0, 0, 0]).map(drop)
            }
        }
        result => result.map(drop),
    }
}

/// Removes the file at `path`, which ends with a NUL byte.
pub fn remove_file(path: &[u8]) {
    debug_assert_eq!(path.last(), Some(&0));
    // SAFETY: the path ends with NUL.
    let _ =
        unsafe { call(libc::SYS_unlinkat, [libc::AT_FDCWD as usize, path.as_ptr() as usize, 0, 0, 0, 0]) };
}

/// Reads where a link points to.
pub fn read_link<'b>(path: &[u8], buffer: &'b mut [u8]) -> Result<&'b [u8]> {
    debug_assert_eq!(path.last(), Some(&0));
    let args =
        [libc::AT_FDCWD as usize, path.as_ptr() as usize, buffer.as_mut_ptr() as usize, buffer.len(), 0, 0];
    // SAFETY: the path ends with NUL and the buffer is the caller's.
    let len = unsafe { call(libc::SYS_readlinkat, args)? };
    Ok(buffer.get(..len).unwrap_or(&[]))
}

/// The working directory; an error where it lies outside of the root.
pub fn current_directory(buffer: &mut [u8]) -> Result<&[u8]> {
    // SAFETY: the buffer is the caller's.
    let len = unsafe { call(libc::SYS_getcwd, [buffer.as_mut_ptr() as usize, buffer.len(), 0, 0, 0, 0])? };
    let path = buffer.get(..len.saturating_sub(1)).unwrap_or(&[]);
    if path.first() == Some(&b'/') { Ok(path) } else { Err(Errno(libc::ENOENT)) }
}

/// What `stat` says of the file at `path`.
pub fn status(path: &[u8]) -> Result<libc::stat> {
    debug_assert_eq!(path.last(), Some(&0));
    let mut stat = core::mem::MaybeUninit::<libc::stat>::zeroed();
    let args = [libc::AT_FDCWD as usize, path.as_ptr() as usize, stat.as_mut_ptr() as usize, 0, 0, 0];
    // SAFETY: the path ends with NUL and the kernel fills the structure that it is given.
    unsafe {
        call(libc::SYS_newfstatat, args)?;
        Ok(stat.assume_init())
    }
}

fn number(number: libc::c_long) -> u32 {
    // SAFETY: called for calls without arguments only.
    unsafe { call(number, [0; 6]) }.unwrap_or(0) as u32
}

/// Process id; 0 where the kernel cannot be asked, as for the others here.
pub fn pid() -> u32 {
    number(libc::SYS_getpid)
}

/// Process id of the parent.
pub fn parent_pid() -> u32 {
    number(libc::SYS_getppid)
}

/// Kernel thread id.
pub fn tid() -> u32 {
    number(libc::SYS_gettid)
}

/// User id.
pub fn user() -> u32 {
    number(libc::SYS_getuid)
}

/// Whether thread `tid` of process `pid` has ended. A thread id that was used again counts as alive.
pub fn thread_is_gone(pid: u32, tid: u32) -> bool {
    // SAFETY: signal 0 only asks whether the thread is there.
    let result = unsafe { call(libc::SYS_tgkill, [pid as usize, tid as usize, 0, 0, 0, 0]) };
    result == Err(Errno(libc::ESRCH))
}

/// The thread's name, filled up with 0.
pub fn thread_name() -> [u8; 15] {
    let mut name = [0u8; 16];
    // SAFETY: PR_GET_NAME writes 16 bytes.
    let _ = unsafe {
        call(libc::SYS_prctl, [libc::PR_GET_NAME as usize, name.as_mut_ptr() as usize, 0, 0, 0, 0])
    };
    let mut result = [0; 15];
    result.copy_from_slice(&name[..15]);
    result
}

/// A clock in ns.
pub fn clock_ns(clock: libc::clockid_t) -> Result<u64> {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the kernel fills the structure that it is given.
    unsafe { call(libc::SYS_clock_gettime, [clock as usize, (&raw mut time) as usize, 0, 0, 0, 0])? };
    Ok(time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64)
}

/// Waits for what another thread is about to do: until `is_done`, which is asked every 200 us, or for a second.
/// Returns whether it is done.
#[cold]
pub fn wait_for(mut is_done: impl FnMut() -> bool) -> bool {
    let time = libc::timespec { tv_sec: 0, tv_nsec: 200_000 };
    for _ in 0..5_000 {
        if is_done() {
            return true;
        }
        // SAFETY: the kernel reads the structure that it is given.
        let _ = unsafe { call(libc::SYS_nanosleep, [(&raw const time) as usize, 0, 0, 0, 0, 0]) };
    }
    is_done()
}

/// Random bits; 0 where the kernel has none yet.
pub fn random() -> u64 {
    let mut value = 0u64;
    // SAFETY: the kernel writes the eight bytes that it is given.
    let _ = unsafe {
        call(libc::SYS_getrandom, [(&raw mut value) as usize, 8, libc::GRND_NONBLOCK as usize, 0, 0, 0])
    };
    value
}

/// The soft limit of a resource; `u64::MAX` if there is none.
pub fn limit(resource: u32) -> u64 {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the kernel fills the structure that it is given.
    let result =
        unsafe { call(libc::SYS_prlimit64, [0, resource as usize, 0, (&raw mut limit) as usize, 0, 0]) };
    if result.is_ok() { limit.rlim_cur } else { u64::MAX }
}

/// Whether the page of `address` can be read: the kernel reads a signal set there for a call that must fail. Not
/// where it cannot be asked.
pub fn is_readable(address: usize) -> bool {
    let no_such_operation = usize::MAX;
    // SAFETY: with an operation that does not exist nothing is changed, whatever the memory holds.
    let result = unsafe { call(libc::SYS_rt_sigprocmask, [no_such_operation, address & !7, 0, 8, 0, 0]) };
    result == Err(Errno(libc::EINVAL))
}
