//! The terminal: keys, signals and what was read come in on one channel, and each is answered by drawing.
//!
//! The terminal is given back as it was whatever ends this: q, a signal, an error, a panic on any thread.
use std::io;
use std::mem::ManuallyDrop;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::event::{self, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use ratatui::crossterm::execute;
use ratatui::crossterm::terminal::{Clear, ClearType, EnterAlternateScreen, enable_raw_mode};
use ratatui::{DefaultTerminal, Terminal};

use super::model::{Effect, Key, Model};
use super::snapshot::{Opened, Snapshot};
use super::source::Source;
use super::view::{self, Theme};
use crate::error::{Failure, reason};
use crate::top::order::TopBy;

/// What happens.
enum Event {
    Key(Key),
    /// Ctrl-Z.
    Suspend,
    /// The terminal has another size, which may have changed what it shows; or Ctrl-L: something else has written to it.
    Redraw,
    Read(Box<Snapshot>),
    Opened(Opened),
    Signal(i32),
    /// There is no terminal any more.
    NoTerminal,
    /// The source has ended, which it does by a panic only.
    NoSource,
}

/// What the source is asked for beside snapshots.
enum Request {
    By(TopBy),
    Open(u64),
}

/// Signals that end the command.
const ENDING: [i32; 4] = [libc::SIGINT, libc::SIGTERM, libc::SIGHUP, libc::SIGQUIT];

/// Shows the screen until it is left; the exit status.
pub fn run(source: Source, model: &mut Model, interval: Duration, theme: Theme) -> Result<u8, Failure> {
    let failed = |why: io::Error| {
        Failure::new("terminal", reason(&why), "'unfreed top REC 1 1' prints lines, as does every pipe")
    };
    let signals = block_signals();
    let (sender, events) = mpsc::channel();
    let (requests, asked) = mpsc::channel();
    let mut screen = Screen(ManuallyDrop::new(ratatui::try_init().map_err(failed)?));
    let (of_keys, of_signals) = (sender.clone(), sender.clone());
    thread::spawn(move || read_keys(&of_keys));
    thread::spawn(move || wait_for_signals(signals, &of_signals));
    thread::spawn(move || read(source, interval, &asked, &Last(sender)));
    show(&mut screen, model, theme, &events, &requests).map_err(failed).and_then(|ended| match ended {
        Ended::Quit => Ok(0),
        Ended::Signal(signal) => Ok(128 + signal as u8),
        Ended::NoSource => Err(Failure::new("unfreed top", "reading failed by a bug in unfreed", "")),
    })
}

enum Ended {
    Quit,
    Signal(i32),
    NoSource,
}

fn show(
    screen: &mut Screen,
    model: &mut Model,
    theme: Theme,
    events: &Receiver<Event>,
    requests: &Sender<Request>,
) -> io::Result<Ended> {
    loop {
        screen.0.draw(|frame| view::draw(frame, model, theme))?;
        let mut next = events.recv().ok();
        // What has come meanwhile is drawn at once.
        while let Some(event) = next {
            let effect = match event {
                Event::Key(key) => model.key(key),
                Event::Suspend => {
                    screen.suspend()?;
                    Effect::None
                }
                Event::Redraw => {
                    screen.redraw()?;
                    Effect::None
                }
                Event::Read(snapshot) => {
                    model.update(*snapshot);
                    Effect::None
                }
                Event::Opened(opened) => {
                    model.opened(opened);
                    Effect::None
                }
                Event::Signal(signal) => return Ok(Ended::Signal(signal)),
                Event::NoTerminal => return Ok(Ended::Quit),
                Event::NoSource => return Ok(Ended::NoSource),
            };
            // The source is there until it says that it is not.
            let _ = match effect {
                Effect::None => Ok(()),
                Effect::Quit => return Ok(Ended::Quit),
                Effect::By(by) => requests.send(Request::By(by)),
                Effect::Open(key) => requests.send(Request::Open(key)),
            };
            next = events.try_recv().ok();
        }
    }
}

/// The terminal, until it is dropped. ratatui's own drop prints if that fails, and where the terminal is gone printing panics.
struct Screen(ManuallyDrop<DefaultTerminal>);

impl Screen {
    /// Stops as other programs do on Ctrl-Z, and goes on when it is continued.
    fn suspend(&mut self) -> io::Result<()> {
        ratatui::try_restore()?;
        // SAFETY: no memory is touched. The signal is for the process group: the shell takes the terminal.
        unsafe { libc::kill(0, libc::SIGTSTP) };
        enable_raw_mode()?;
        execute!(io::stdout(), EnterAlternateScreen)?;
        self.redraw()
    }

    /// Draws all of it the next time, and not what has changed.
    fn redraw(&mut self) -> io::Result<()> {
        execute!(io::stdout(), Clear(ClearType::All))?;
        self.0 = ManuallyDrop::new(Terminal::new(CrosstermBackend::new(io::stdout()))?);
        Ok(())
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // Nobody can be told if that fails.
        let _ = ratatui::try_restore();
        let _ = self.0.show_cursor();
    }
}

/// Says that the thread which has it ends.
struct Last(Sender<Event>);

impl Drop for Last {
    fn drop(&mut self) {
        let _ = self.0.send(Event::NoSource);
    }
}

/// Reads the recording every so often, and what is asked for in between.
fn read(mut source: Source, interval: Duration, asked: &Receiver<Request>, events: &Last) {
    let mut next = Instant::now();
    loop {
        let event = match asked.recv_timeout(next.saturating_duration_since(Instant::now())) {
            Ok(Request::By(by)) => {
                source.set_by(by);
                Event::Read(Box::new(source.look()))
            }
            Ok(Request::Open(key)) => {
                let gone = Opened { key, ..Opened::default() };
                Event::Opened(source.open(key).unwrap_or(gone))
            }
            Err(RecvTimeoutError::Timeout) => {
                let read = Event::Read(Box::new(source.look()));
                next = (next + interval).max(Instant::now() + interval / 2);
                read
            }
            Err(RecvTimeoutError::Disconnected) => return,
        };
        if events.0.send(event).is_err() {
            return;
        }
    }
}

fn read_keys(events: &Sender<Event>) {
    loop {
        let event = match event::read() {
            Ok(event::Event::Key(key)) if key.kind != KeyEventKind::Release => match meaning(key) {
                Some(event) => event,
                None => continue,
            },
            Ok(event::Event::Resize(..)) => Event::Redraw,
            Ok(_) => continue,
            Err(why) if why.kind() == io::ErrorKind::Interrupted => continue,
            Err(_) => Event::NoTerminal,
        };
        let is_over = matches!(event, Event::NoTerminal);
        if events.send(event).is_err() || is_over {
            return;
        }
    }
}

fn meaning(key: KeyEvent) -> Option<Event> {
    if key.modifiers.contains(KeyModifiers::CONTROL) {
        return match key.code {
            KeyCode::Char('c') => Some(Event::Key(Key::Interrupt)),
            KeyCode::Char('z') => Some(Event::Suspend),
            KeyCode::Char('l') => Some(Event::Redraw),
            _ => None,
        };
    }
    Some(Event::Key(match key.code {
        KeyCode::Char(letter) => Key::Char(letter),
        KeyCode::Enter => Key::Enter,
        KeyCode::Esc => Key::Escape,
        KeyCode::Backspace => Key::Backspace,
        KeyCode::Tab | KeyCode::BackTab => Key::Tab,
        KeyCode::Up => Key::Up,
        KeyCode::Down => Key::Down,
        KeyCode::PageUp => Key::PageUp,
        KeyCode::PageDown => Key::PageDown,
        KeyCode::Home => Key::Home,
        KeyCode::End => Key::End,
        _ => return None,
    }))
}

/// Keeps the ending signals from this thread and those that it starts; they are for the one that waits for them.
fn block_signals() -> libc::sigset_t {
    // SAFETY: a sigset_t of zeros is valid memory for sigemptyset, which makes it a set; all pointers are to it.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&mut set);
        ENDING.iter().for_each(|&signal| _ = libc::sigaddset(&mut set, signal));
        libc::pthread_sigmask(libc::SIG_BLOCK, &set, std::ptr::null_mut());
        set
    }
}

fn wait_for_signals(signals: libc::sigset_t, events: &Sender<Event>) {
    let mut signal = 0;
    // SAFETY: both pointers are to values of ours.
    while unsafe { libc::sigwait(&signals, &mut signal) } == 0 {
        if events.send(Event::Signal(signal)).is_err() {
            return;
        }
    }
}
