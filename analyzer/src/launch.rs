//! Starts a program and waits for it, unnoticed by both sides.
//!
//! The program gets what this process was started with: descriptors, signal mask and dispositions, process group,
//! environment but for those of the recording. What Rust's runtime changed before `main` (SIGPIPE, closed descriptors) is
//! undone, which `std::process::Command` does not. Signals sent to this process alone are passed on; those of the
//! terminal reach the program by themselves, because both are in one process group.
use std::ffi::{CStr, CString, OsStr};
use std::io;
use std::mem::MaybeUninit;
use std::os::unix::ffi::OsStrExt;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering::Relaxed};

use libc::{c_char, c_int, pid_t, sigset_t};

/// What to execute.
pub struct Program<'a> {
    /// The executable file.
    pub path: &'a OsStr,
    /// Arguments, the program's own name first.
    pub arguments: Vec<&'a OsStr>,
    /// Environment variables to set, by name.
    pub variables: Vec<(&'a str, &'a OsStr)>,
}

/// How a program ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ended {
    /// It exited with this status.
    Exited(u8),
    /// This signal killed it.
    Killed(c_int),
}

impl Ended {
    /// As a shell says it.
    pub fn status(self) -> u8 {
        match self {
            Ended::Exited(status) => status,
            Ended::Killed(signal) => 128 + signal as u8,
        }
    }
}

static SIGPIPE_WAS_IGNORED: AtomicBool = AtomicBool::new(false);
/// Bit N: descriptor N was closed.
static CLOSED: AtomicU8 = AtomicU8::new(0);

/// Runs before Rust's runtime, which ignores SIGPIPE and opens /dev/null for closed descriptors 0 to 2.
extern "C" fn note_inherited_state() {
    // SAFETY: queries that write only the zeroed struct given to them.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        if libc::sigaction(libc::SIGPIPE, ptr::null(), &mut action) == 0 {
            SIGPIPE_WAS_IGNORED.store(action.sa_sigaction == libc::SIG_IGN, Relaxed);
        }
        for fd in 0..3 {
            if libc::fcntl(fd, libc::F_GETFD) == -1 {
                CLOSED.fetch_or(1 << fd, Relaxed);
            }
        }
    }
}

#[used]
#[unsafe(link_section = ".init_array")]
static BEFORE_MAIN: extern "C" fn() = note_inherited_state;

/// Runs the program to its end. `Err` is what `execve` said.
pub fn run(program: &Program) -> io::Result<Ended> {
    let image = Image::new(program)?;
    let signals = Signals::hold();
    let child = spawn(&image, &signals)?;
    let ended = wait(child, &signals);
    signals.release();
    Ok(ended)
}

/// The arguments of `execve`, made before the fork.
struct Image {
    path: CString,
    _strings: Vec<CString>,
    arguments: Vec<*const c_char>,
    environment: Vec<*const c_char>,
}

impl Image {
    fn new(program: &Program) -> io::Result<Image> {
        let c_string = |bytes: &[u8]| CString::new(bytes).map_err(io::Error::other);
        let mut strings = Vec::new();
        for argument in &program.arguments {
            strings.push(c_string(argument.as_bytes())?);
        }
        for (name, value) in &program.variables {
            strings.push(c_string(&[name.as_bytes(), b"=", value.as_bytes()].concat())?);
        }
        let (arguments, ours) = strings.split_at(program.arguments.len());
        // SAFETY: nothing in this single-threaded process changes the environment.
        let inherited = unsafe { environment() };
        let is_ours = |entry: &CStr| {
            program.variables.iter().any(|(name, _)| {
                entry.to_bytes().strip_prefix(name.as_bytes()).is_some_and(|rest| rest.starts_with(b"="))
            })
        };
        let kept = inherited.iter().filter(|entry| !is_ours(entry)).map(|entry| entry.as_ptr());
        let ended = |pointers: &mut dyn Iterator<Item = *const c_char>| {
            let mut list: Vec<_> = pointers.collect();
            list.push(ptr::null());
            list
        };
        Ok(Image {
            path: c_string(program.path.as_bytes())?,
            arguments: ended(&mut arguments.iter().map(|text| text.as_ptr())),
            environment: ended(&mut kept.chain(ours.iter().map(|text| text.as_ptr()))),
            _strings: strings,
        })
    }
}

/// The environment as it is, with entries that `std::env` would leave out.
///
/// # Safety
/// Nothing may change the environment while the result is used.
unsafe fn environment() -> Vec<&'static CStr> {
    let mut entries = Vec::new();
    // SAFETY: `environ` is a list of C strings that ends with a null pointer; the caller answers for changes.
    unsafe {
        let mut entry = libc::environ as *const *const c_char;
        while !entry.is_null() && !(*entry).is_null() {
            entries.push(CStr::from_ptr(*entry));
            entry = entry.add(1);
        }
    }
    entries
}

/// Signals of this process while the program runs: all blocked, to be taken one by one.
struct Signals {
    taken: sigset_t,
    mask_before: sigset_t,
    child_action_before: libc::sigaction,
}

impl Signals {
    fn hold() -> Signals {
        // SAFETY: every pointer is to a local; all-zero is a valid sigaction (SIG_DFL) and sigset.
        unsafe {
            let mut taken: sigset_t = std::mem::zeroed();
            libc::sigfillset(&mut taken);
            // A fault of our own must end us, not be taken.
            for fault in
                [libc::SIGSEGV, libc::SIGBUS, libc::SIGFPE, libc::SIGILL, libc::SIGTRAP, libc::SIGSYS]
            {
                libc::sigdelset(&mut taken, fault);
            }
            let mut mask_before: sigset_t = std::mem::zeroed();
            libc::sigprocmask(libc::SIG_BLOCK, &taken, &mut mask_before);
            // Inherited SIG_IGN would reap the program before its status is read.
            let default: libc::sigaction = std::mem::zeroed();
            let mut child_action_before: libc::sigaction = std::mem::zeroed();
            libc::sigaction(libc::SIGCHLD, &default, &mut child_action_before);
            Signals { taken, mask_before, child_action_before }
        }
    }

    /// The next signal, and whether a process sent it rather than the kernel.
    fn next(&self) -> (c_int, bool) {
        loop {
            let mut info = MaybeUninit::<libc::siginfo_t>::zeroed();
            // SAFETY: both pointers are to locals; the struct is valid all zero and the call fills it.
            let (signal, info) =
                unsafe { (libc::sigwaitinfo(&self.taken, info.as_mut_ptr()), info.assume_init()) };
            if signal > 0 {
                return (signal, info.si_code <= 0);
            }
        }
    }

    fn release(&self) {
        // SAFETY: sets the mask that this process was started with.
        unsafe { libc::sigprocmask(libc::SIG_SETMASK, &self.mask_before, ptr::null_mut()) };
    }

    /// In the forked child: what this process was started with. Only async-signal-safe calls.
    unsafe fn restore_in_child(&self) {
        // SAFETY: all-zero is SIG_DFL; descriptors 0 to 2 that were closed at our start are nobody's.
        unsafe {
            let default: libc::sigaction = std::mem::zeroed();
            if !SIGPIPE_WAS_IGNORED.load(Relaxed) {
                libc::sigaction(libc::SIGPIPE, &default, ptr::null_mut());
            }
            libc::sigaction(libc::SIGCHLD, &self.child_action_before, ptr::null_mut());
            for fd in 0..3 {
                if CLOSED.load(Relaxed) & (1 << fd) != 0 {
                    libc::close(fd);
                }
            }
            self.release();
        }
    }
}

/// Forks and executes; `Err` if that failed.
fn spawn(image: &Image, signals: &Signals) -> io::Result<pid_t> {
    let mut ends = [0; 2];
    // SAFETY: the array takes the two descriptors, which nobody else closes.
    if unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let [read_end, write_end] = ends;
    // SAFETY: the child calls async-signal-safe functions alone and ends by execve or _exit; the image's pointers
    // are to strings that outlive it; the errno's bytes are written to and read from a local.
    unsafe {
        let child = libc::fork();
        if child == 0 {
            signals.restore_in_child();
            libc::execve(image.path.as_ptr(), image.arguments.as_ptr(), image.environment.as_ptr());
            let errno = *libc::__errno_location();
            libc::write(write_end, (&raw const errno).cast(), 4);
            libc::_exit(127);
        }
        let forked = if child < 0 { Err(io::Error::last_os_error()) } else { Ok(child) };
        libc::close(write_end);
        let mut errno: c_int = 0;
        let failed = forked.is_ok() && libc::read(read_end, (&raw mut errno).cast(), 4) == 4;
        libc::close(read_end);
        if failed {
            libc::waitpid(child, ptr::null_mut(), 0);
            signals.release();
            return Err(io::Error::from_raw_os_error(errno));
        }
        if forked.is_ok() {
            let_go_of_descriptors();
        }
        forked
    }
}

/// Closes this process's copies of what the program was given, standard error excepted: the other end of a pipe must
/// see when the program closes it.
fn let_go_of_descriptors() {
    // SAFETY: no descriptor above 2 is owned by anything in this process; 0 and 1 stay open, as /dev/null.
    unsafe {
        let null = libc::open(c"/dev/null".as_ptr(), libc::O_RDWR | libc::O_CLOEXEC);
        if null >= 0 {
            libc::dup2(null, 0);
            libc::dup2(null, 1);
        }
        libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, 0);
    }
}

fn wait(child: pid_t, signals: &Signals) -> Ended {
    loop {
        let (signal, sent) = signals.next();
        if signal == libc::SIGCHLD {
            if let Some(ended) = reap(child) {
                return ended;
            }
        } else if sent || signal == libc::SIGALRM {
            // An alarm that was set before our start is the program's. Not reaped, so the id is still the program's.
            // SAFETY: no memory is involved.
            unsafe { libc::kill(child, signal) };
        }
    }
}

/// Takes what is known of children: as process 1 of a container we inherit others.
fn reap(child: pid_t) -> Option<Ended> {
    let mut ended = None;
    loop {
        let mut status = 0;
        // SAFETY: the status is a local.
        let pid = unsafe { libc::waitpid(-1, &mut status, libc::WNOHANG | libc::WUNTRACED) };
        if pid <= 0 {
            return ended;
        }
        if pid != child {
            continue;
        }
        if libc::WIFEXITED(status) {
            ended = Some(Ended::Exited(libc::WEXITSTATUS(status) as u8));
        } else if libc::WIFSIGNALED(status) {
            ended = Some(Ended::Killed(libc::WTERMSIG(status)));
        } else if matches!(libc::WSTOPSIG(status), libc::SIGTSTP | libc::SIGTTIN | libc::SIGTTOU) {
            // Job control: the shell waits for us, so we stop too until it continues the process group.
            // SAFETY: no memory is involved.
            unsafe { libc::kill(libc::getpid(), libc::SIGSTOP) };
        }
    }
}
