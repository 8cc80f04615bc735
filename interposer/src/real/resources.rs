//! The functions behind our hooks of descriptors and mappings. What an argument means is the hooks' to know: each is handed
//! on as its register has it.

use core::ffi::{c_int, c_void};

super::functions! {
    /// `__errno_location`: the place of errno.
    errno_location = b"__errno_location": fn() -> *mut c_int;
    /// `open`.
    open = b"open": fn(usize, usize, usize) -> c_int;
    /// `open64`.
    open64 = b"open64" or b"open": fn(usize, usize, usize) -> c_int;
    /// `__open_2`.
    open_2 = b"__open_2" or b"open": fn(usize, usize) -> c_int;
    /// `__open64_2`.
    open64_2 = b"__open64_2" or b"open": fn(usize, usize) -> c_int;
    /// `openat`.
    openat = b"openat": fn(usize, usize, usize, usize) -> c_int;
    /// `openat64`.
    openat64 = b"openat64" or b"openat": fn(usize, usize, usize, usize) -> c_int;
    /// `__openat_2`.
    openat_2 = b"__openat_2" or b"openat": fn(usize, usize, usize) -> c_int;
    /// `__openat64_2`.
    openat64_2 = b"__openat64_2" or b"openat": fn(usize, usize, usize) -> c_int;
    /// `creat`.
    creat = b"creat": fn(usize, usize) -> c_int;
    /// `creat64`.
    creat64 = b"creat64" or b"creat": fn(usize, usize) -> c_int;
    /// `mkstemp`.
    mkstemp = b"mkstemp": fn(usize) -> c_int;
    /// `mkstemp64`.
    mkstemp64 = b"mkstemp64" or b"mkstemp": fn(usize) -> c_int;
    /// `mkostemp`.
    mkostemp = b"mkostemp": fn(usize, usize) -> c_int;
    /// `mkostemp64`.
    mkostemp64 = b"mkostemp64" or b"mkostemp": fn(usize, usize) -> c_int;
    /// `mkstemps`.
    mkstemps = b"mkstemps": fn(usize, usize) -> c_int;
    /// `mkstemps64`.
    mkstemps64 = b"mkstemps64" or b"mkstemps": fn(usize, usize) -> c_int;
    /// `mkostemps`.
    mkostemps = b"mkostemps": fn(usize, usize, usize) -> c_int;
    /// `mkostemps64`.
    mkostemps64 = b"mkostemps64" or b"mkostemps": fn(usize, usize, usize) -> c_int;
    /// `shm_open`.
    shm_open = b"shm_open": fn(usize, usize, usize) -> c_int;
    /// `posix_openpt`.
    posix_openpt = b"posix_openpt": fn(usize) -> c_int;
    /// `socket`.
    socket = b"socket": fn(usize, usize, usize) -> c_int;
    /// `accept`.
    accept = b"accept": fn(usize, usize, usize) -> c_int;
    /// `accept4`.
    accept4 = b"accept4": fn(usize, usize, usize, usize) -> c_int;
    /// `dup`.
    dup = b"dup": fn(usize) -> c_int;
    /// `dup2`.
    dup2 = b"dup2": fn(usize, usize) -> c_int;
    /// `dup3`.
    dup3 = b"dup3": fn(usize, usize, usize) -> c_int;
    /// `fcntl`.
    fcntl = b"fcntl": fn(usize, usize, usize) -> c_int;
    /// `fcntl64`.
    fcntl64 = b"fcntl64" or b"fcntl": fn(usize, usize, usize) -> c_int;
    /// `epoll_create`.
    epoll_create = b"epoll_create": fn(usize) -> c_int;
    /// `epoll_create1`.
    epoll_create1 = b"epoll_create1": fn(usize) -> c_int;
    /// `eventfd`.
    eventfd = b"eventfd": fn(usize, usize) -> c_int;
    /// `memfd_create`.
    memfd_create = b"memfd_create": fn(usize, usize) -> c_int;
    /// `timerfd_create`.
    timerfd_create = b"timerfd_create": fn(usize, usize) -> c_int;
    /// `signalfd`.
    signalfd = b"signalfd": fn(usize, usize, usize) -> c_int;
    /// `inotify_init`.
    inotify_init = b"inotify_init": fn() -> c_int;
    /// `inotify_init1`.
    inotify_init1 = b"inotify_init1": fn(usize) -> c_int;
    /// `pipe`.
    pipe = b"pipe": fn(usize) -> c_int;
    /// `pipe2`.
    pipe2 = b"pipe2": fn(usize, usize) -> c_int;
    /// `socketpair`.
    socketpair = b"socketpair": fn(usize, usize, usize, usize) -> c_int;
    /// `recvmsg`.
    recvmsg = b"recvmsg": fn(usize, usize, usize) -> isize;
    /// `fopen`.
    fopen = b"fopen": fn(usize, usize) -> *mut c_void;
    /// `fopen64`.
    fopen64 = b"fopen64" or b"fopen": fn(usize, usize) -> *mut c_void;
    /// `freopen`.
    freopen = b"freopen": fn(usize, usize, usize) -> *mut c_void;
    /// `freopen64`.
    freopen64 = b"freopen64" or b"freopen": fn(usize, usize, usize) -> *mut c_void;
    /// `tmpfile`.
    tmpfile = b"tmpfile": fn() -> *mut c_void;
    /// `tmpfile64`.
    tmpfile64 = b"tmpfile64" or b"tmpfile": fn() -> *mut c_void;
    /// `popen`.
    popen = b"popen": fn(usize, usize) -> *mut c_void;
    /// `opendir`.
    opendir = b"opendir": fn(usize) -> *mut c_void;
    /// `fileno`.
    fileno = b"fileno": fn(*mut c_void) -> c_int;
    /// `dirfd`.
    dirfd = b"dirfd": fn(*mut c_void) -> c_int;
    /// `close`.
    close = b"close": fn(usize) -> c_int;
    /// `fclose`.
    fclose = b"fclose": fn(*mut c_void) -> c_int;
    /// `pclose`.
    pclose = b"pclose": fn(*mut c_void) -> c_int;
    /// `closedir`.
    closedir = b"closedir": fn(*mut c_void) -> c_int;
    /// `close_range`.
    close_range = b"close_range": fn(usize, usize, usize) -> c_int;
    /// `closefrom`.
    closefrom = b"closefrom": fn(usize);
    /// `mmap`.
    mmap = b"mmap": fn(usize, usize, usize, usize, usize, usize) -> usize;
    /// `mmap64`.
    mmap64 = b"mmap64" or b"mmap": fn(usize, usize, usize, usize, usize, usize) -> usize;
    /// `munmap`.
    munmap = b"munmap": fn(usize, usize) -> c_int;
    /// `mremap`.
    mremap = b"mremap": fn(usize, usize, usize, usize, usize) -> usize;
}
