//! A program on a terminal of its own, and what it has drawn there.
//!
//! The terminal knows what `unfreed` uses: text, cursor positions, clearing, and the alternate screen. Colours and the like are
//! noted only as being there.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use crate::{Program, process};

/// Only a hang reaches it.
const LIMIT: Duration = Duration::from_secs(60);

/// The terminal and the program on it.
pub struct Terminal {
    child: Child,
    master: File,
    slave: OwnedFd,
    output: Receiver<Vec<u8>>,
    screen: Screen,
    before: String,
}

impl Terminal {
    /// Starts a program on a terminal of so many columns and rows.
    pub fn start(program: &Program, (columns, rows): (u16, u16)) -> Terminal {
        let (mut master, mut slave) = (0, 0);
        let size = libc::winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        // SAFETY: the first two are places for descriptors, the size is valid, and null stands for defaults.
        let opened =
            unsafe { libc::openpty(&mut master, &mut slave, std::ptr::null_mut(), std::ptr::null(), &size) };
        assert_eq!(opened, 0, "a pseudo-terminal");
        // SAFETY: both were just opened, and nobody else has them.
        let (master, slave) = unsafe { (File::from_raw_fd(master), OwnedFd::from_raw_fd(slave)) };
        let end = || Stdio::from(slave.try_clone().expect("a descriptor"));
        let mut command = program.command();
        command
            .env("TERM", "xterm-256color")
            .env("LANG", "C.UTF-8")
            .env_remove("LC_ALL")
            .env_remove("NO_COLOR");
        command.envs(program.environment());
        command.stdin(end()).stdout(end()).stderr(end());
        // SAFETY: between fork and exec it makes two system calls and touches no memory.
        unsafe {
            command.pre_exec(|| {
                let taken = libc::setsid() >= 0 && libc::ioctl(0, libc::TIOCSCTTY, 0) == 0;
                if taken { Ok(()) } else { Err(std::io::Error::last_os_error()) }
            });
        }
        let before = attributes(&slave);
        let child = command.spawn().unwrap_or_else(|error| panic!("{program}: {error}"));
        let (sender, output) = mpsc::channel();
        let mut reader = master.try_clone().expect("a descriptor");
        thread::spawn(move || {
            let mut bytes = [0; 65_536];
            while let Ok(len @ 1..) = reader.read(&mut bytes) {
                if sender.send(bytes[..len].to_vec()).is_err() {
                    return;
                }
            }
        });
        Terminal { child, master, slave, output, screen: Screen::new(columns, rows), before }
    }

    /// Waits until the screen is as wanted; its lines then.
    pub fn wait_for(&mut self, what: &str, wanted: impl Fn(&[String]) -> bool) -> Vec<String> {
        self.wait_while(what, wanted, || {})
    }

    /// The same; whenever something was drawn, and it is not that, `meanwhile` is done.
    pub fn wait_while(
        &mut self,
        what: &str,
        wanted: impl Fn(&[String]) -> bool,
        mut meanwhile: impl FnMut(),
    ) -> Vec<String> {
        let until = Instant::now() + LIMIT;
        loop {
            let lines = self.screen.lines();
            if wanted(&lines) {
                return lines;
            }
            let Ok(bytes) = self.output.recv_timeout(until.saturating_duration_since(Instant::now())) else {
                panic!("{what}: not on the screen\n{}", lines.join("\n"));
            };
            self.screen.write(&bytes);
            meanwhile();
        }
    }

    /// Presses keys.
    pub fn press(&mut self, keys: &str) {
        self.master.write_all(keys.as_bytes()).expect("a terminal can be written to");
    }

    /// Gives the terminal another size.
    pub fn resize(&mut self, (columns, rows): (u16, u16)) {
        let size = libc::winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        self.screen = Screen { alternate: self.screen.alternate, ..Screen::new(columns, rows) };
        use std::os::fd::AsRawFd;
        // SAFETY: the size is valid for the call.
        assert_eq!(unsafe { libc::ioctl(self.master.as_raw_fd(), libc::TIOCSWINSZ, &size) }, 0);
    }

    /// Whether colours were used so far.
    pub fn has_colours(&self) -> bool {
        self.screen.coloured
    }

    /// Sends a signal.
    pub fn signal(&self, signal: i32) {
        // SAFETY: no memory is touched; the process was started here and is not yet waited for.
        assert_eq!(unsafe { libc::kill(self.child.id() as i32, signal) }, 0);
    }

    /// Waits for the end; the status. The terminal must be as it was.
    pub fn end(mut self) -> ExitStatus {
        let status = process::wait(self.child, LIMIT).expect("the program ends");
        assert_eq!(attributes(&self.slave), self.before, "the terminal's attributes");
        drop(self.slave);
        while let Ok(bytes) = self.output.recv_timeout(LIMIT) {
            self.screen.write(&bytes);
        }
        assert!(!self.screen.alternate && self.screen.cursor_shown, "the terminal's screen is given back");
        status
    }
}

/// What `stty` would print, more or less.
fn attributes(terminal: &OwnedFd) -> String {
    use std::os::fd::AsRawFd;
    // SAFETY: zeros are a valid termios, which the call fills in.
    let termios = unsafe {
        let mut termios: libc::termios = std::mem::zeroed();
        assert_eq!(libc::tcgetattr(terminal.as_raw_fd(), &mut termios), 0);
        termios
    };
    format!("{:x} {:x} {:x} {:x}", termios.c_iflag, termios.c_oflag, termios.c_cflag, termios.c_lflag)
}

/// What is on the screen.
struct Screen {
    cells: Vec<Vec<char>>,
    row: usize,
    column: usize,
    alternate: bool,
    cursor_shown: bool,
    coloured: bool,
    /// Bytes of a sequence that is not whole.
    rest: Vec<u8>,
}

impl Screen {
    fn new(columns: u16, rows: u16) -> Screen {
        let cells = vec![vec![' '; columns.into()]; rows.into()];
        Screen {
            cells,
            row: 0,
            column: 0,
            alternate: false,
            cursor_shown: true,
            coloured: false,
            rest: Vec::new(),
        }
    }

    fn lines(&self) -> Vec<String> {
        self.cells.iter().map(|row| row.iter().collect::<String>().trim_end().to_string()).collect()
    }

    fn write(&mut self, bytes: &[u8]) {
        self.rest.extend_from_slice(bytes);
        let bytes = std::mem::take(&mut self.rest);
        let mut at = 0;
        while at < bytes.len() {
            match self.one(&bytes[at..]) {
                Some(len) => at += len,
                None => break,
            }
        }
        self.rest = bytes[at..].to_vec();
    }

    /// Does what the bytes begin with, and how many that were; `None`: they end within it.
    fn one(&mut self, bytes: &[u8]) -> Option<usize> {
        match bytes[0] {
            0x1b => self.sequence(bytes),
            b'\r' => {
                self.column = 0;
                Some(1)
            }
            b'\n' => {
                self.row += 1;
                Some(1)
            }
            0..0x20 => Some(1),
            first => {
                let len = [1, 2, 3, 4][[0x80, 0xe0, 0xf0].iter().filter(|&&least| first >= least).count()];
                let text = std::str::from_utf8(bytes.get(..len)?).expect("text is UTF-8");
                self.put(text.chars().next()?);
                Some(len)
            }
        }
    }

    fn put(&mut self, letter: char) {
        if let Some(cell) = self.cells.get_mut(self.row).and_then(|row| row.get_mut(self.column)) {
            *cell = letter;
        }
        self.column += 1;
    }

    fn sequence(&mut self, bytes: &[u8]) -> Option<usize> {
        if *bytes.get(1)? != b'[' {
            return Some(2);
        }
        let end = 2 + bytes[2..].iter().position(|byte| (0x40..=0x7e).contains(byte))?;
        let words = std::str::from_utf8(&bytes[2..end]).expect("parameters are ASCII");
        let number = |at: usize| words.split(';').nth(at).and_then(|word| word.parse::<usize>().ok());
        match bytes[end] {
            b'H' => {
                let place = |at| number(at).unwrap_or(1).saturating_sub(1);
                (self.row, self.column) = (place(0), place(1));
            }
            b'J' => self.cells.iter_mut().for_each(|row| row.fill(' ')),
            b'm' => {
                let mut codes = words.split(';').filter_map(|word| word.parse::<u8>().ok());
                self.coloured |= codes.any(|code| matches!(code, 31..=38 | 41..=48));
            }
            last @ (b'h' | b'l') => match words {
                "?1049" => self.alternate = last == b'h',
                "?25" => self.cursor_shown = last == b'h',
                _ => {}
            },
            _ => {}
        }
        Some(end + 1)
    }
}
