//! What the screen shows and what keys do to that. Pure: snapshots and keys in, effects out.
use std::cmp::Ordering;

use super::snapshot::{Opened, Process, Site, Snapshot};
use crate::top::order::{TopBy, TopSort};

/// A key, as far as it means something.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Key {
    /// A character.
    Char(char),
    /// Opens.
    Enter,
    /// Closes.
    Escape,
    /// Deletes a character.
    Backspace,
    /// The other table.
    Tab,
    /// A row up.
    Up,
    /// A row down.
    Down,
    /// A page up.
    PageUp,
    /// A page down.
    PageDown,
    /// The first row.
    Home,
    /// The last row.
    End,
    /// Ends at once, whatever is shown.
    Interrupt,
}

/// What is to be done elsewhere.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Effect {
    /// Nothing.
    None,
    /// The screen is to be left.
    Quit,
    /// The source is to make other sites.
    By(TopBy),
    /// The stacks of this site are wanted.
    Open(u64),
}

/// What is on the screen.
#[derive(Clone, PartialEq, Debug)]
pub enum View {
    /// The sites.
    Sites,
    /// The processes.
    Processes,
    /// The stacks of a site; `None` until they are there.
    Stacks(u64, Option<Opened>),
    /// What keys do.
    Help,
}

/// All that the screen shows.
#[derive(Debug)]
pub struct Model {
    /// The latest, or that at which it was paused.
    pub snapshot: Snapshot,
    /// What came while it is paused.
    newer: Option<Snapshot>,
    /// What is on the screen.
    pub view: View,
    /// What comes first; by itself what grows while something runs.
    sort: Option<TopSort>,
    /// What makes a site.
    pub by: TopBy,
    /// Only sites with this in their names, in whatever case.
    pub filter: String,
    /// Whether the filter is being typed.
    pub is_typing: bool,
    /// Whether what is shown stands still.
    pub is_paused: bool,
    /// The site that the cursor is on, once it was moved.
    selected: Option<u64>,
    /// First row on the screen, and how many there are.
    scroll: usize,
    page: usize,
}

impl Model {
    /// Before anything was read.
    pub fn new(by: TopBy, sort: Option<TopSort>) -> Model {
        Model {
            snapshot: Snapshot { by, ..Snapshot::default() },
            newer: None,
            view: View::Sites,
            sort,
            by,
            filter: String::new(),
            is_typing: false,
            is_paused: false,
            selected: None,
            scroll: 0,
            page: 1,
        }
    }

    /// What comes first.
    pub fn sort(&self) -> TopSort {
        let own = if self.snapshot.has_ended { TopSort::Unfreed } else { TopSort::Growth };
        self.sort.unwrap_or(own)
    }

    /// Something was read.
    pub fn update(&mut self, snapshot: Snapshot) {
        match self.is_paused && snapshot.by == self.snapshot.by {
            true => self.newer = Some(snapshot),
            false => (self.snapshot, self.newer) = (snapshot, None),
        }
    }

    /// The stacks that were asked for are there.
    pub fn opened(&mut self, opened: Opened) {
        if let View::Stacks(key, content) = &mut self.view
            && *key == opened.key
        {
            *content = Some(opened);
        }
    }

    /// The sites to show, in order.
    pub fn sites(&self) -> Vec<&Site> {
        let filter = self.filter.to_lowercase();
        let sites = self.snapshot.sites.iter();
        let mut shown: Vec<&Site> =
            sites.filter(|site| filter.is_empty() || site.name.to_lowercase().contains(&filter)).collect();
        let sort = self.sort();
        // Total: what holds as much is told apart by its name, and that by what it is.
        shown.sort_by(|a, b| {
            order(sort, b, a).then_with(|| a.name.cmp(&b.name)).then_with(|| a.key.cmp(&b.key))
        });
        shown
    }

    /// The processes to show, in order: those that run first.
    pub fn processes(&self) -> Vec<&Process> {
        let filter = self.filter.to_lowercase();
        let wanted = |process: &&Process| {
            let text = format!("{} {}", process.pid, process.command).to_lowercase();
            filter.is_empty() || text.contains(&filter)
        };
        let mut shown: Vec<&Process> = self.snapshot.processes.iter().filter(wanted).collect();
        let held = |process: &Process| process.held.map_or(0, |held| held.bytes);
        let blocks = |process: &Process| process.held.map_or(0, |held| held.blocks);
        shown.sort_by(|a, b| {
            let by_key = match self.sort() {
                TopSort::Growth => grows(b.growth, a.growth),
                TopSort::Unfreed => held(b).cmp(&held(a)),
                TopSort::Blocks => blocks(b).cmp(&blocks(a)),
            };
            b.runs.cmp(&a.runs).then(by_key).then(held(b).cmp(&held(a))).then(a.pid.cmp(&b.pid))
        });
        shown
    }

    /// The row of the cursor among `sites`, if it was moved.
    pub fn cursor(&self, sites: &[&Site]) -> Option<usize> {
        let selected = self.selected?;
        sites.iter().position(|site| site.key == selected)
    }

    /// The screen has so many rows for what is listed, of which there are `count`, one of them below the cursor: the first to show.
    pub fn first_row(&mut self, page: usize, count: usize, cursor: Option<usize>) -> usize {
        self.page = page.max(1);
        if let Some(cursor) = cursor {
            self.scroll = self.scroll.clamp((cursor + 1).saturating_sub(self.page), cursor);
        }
        self.scroll = self.scroll.min(count.saturating_sub(self.page));
        self.scroll
    }

    /// A key was pressed.
    pub fn key(&mut self, key: Key) -> Effect {
        if key == Key::Interrupt {
            return Effect::Quit;
        }
        if self.is_typing {
            return self.typed(key);
        }
        match (key, &self.view) {
            (Key::Char('q'), View::Sites | View::Processes) => return Effect::Quit,
            (Key::Char('q') | Key::Escape | Key::Backspace | Key::Enter, View::Stacks(..) | View::Help) => {
                self.show(View::Sites)
            }
            (Key::Escape, _) => self.filter.clear(),
            (Key::Char('?' | 'h'), View::Help) => self.show(View::Sites),
            (Key::Char('?' | 'h'), _) => self.show(View::Help),
            (Key::Tab, View::Sites) => self.show(View::Processes),
            (Key::Tab, _) => self.show(View::Sites),
            (Key::Char('/'), View::Sites | View::Processes) => self.is_typing = true,
            (Key::Char('p' | ' '), _) => self.pause(),
            (Key::Char('g'), _) => self.sort = Some(TopSort::Growth),
            (Key::Char('u'), _) => self.sort = Some(TopSort::Unfreed),
            (Key::Char('n'), _) => self.sort = Some(TopSort::Blocks),
            (Key::Char(letter @ ('l' | 'f' | 's' | 'm')), View::Sites) => return self.group(letter),
            (Key::Enter, View::Sites) => return self.open(),
            _ => self.go(key),
        }
        Effect::None
    }

    fn show(&mut self, view: View) {
        (self.view, self.scroll) = (view, 0);
    }

    fn typed(&mut self, key: Key) -> Effect {
        match key {
            Key::Char(letter) => self.filter.push(letter),
            Key::Backspace => drop(self.filter.pop()),
            Key::Escape => (self.filter, self.is_typing) = (String::new(), false),
            Key::Enter => self.is_typing = false,
            _ => {}
        }
        (self.selected, self.scroll) = (None, 0);
        Effect::None
    }

    fn pause(&mut self) {
        self.is_paused = !self.is_paused;
        if let Some(newer) = self.newer.take() {
            self.snapshot = newer;
        }
    }

    fn group(&mut self, letter: char) -> Effect {
        self.by = match letter {
            'f' => TopBy::Function,
            's' => TopBy::Stack,
            'm' => TopBy::Module,
            _ => TopBy::Line,
        };
        (self.selected, self.scroll) = (None, 0);
        Effect::By(self.by)
    }

    fn open(&mut self) -> Effect {
        let sites = self.sites();
        let cursor = self.cursor(&sites).unwrap_or(0);
        let Some(key) = sites.get(cursor).map(|site| site.key) else { return Effect::None };
        self.selected = Some(key);
        self.show(View::Stacks(key, None));
        Effect::Open(key)
    }

    /// Moves the cursor where there is one, else what is seen.
    fn go(&mut self, key: Key) {
        let page = self.page as isize;
        let by = match key {
            Key::Up | Key::Char('k') => -1,
            Key::Down | Key::Char('j') => 1,
            Key::PageUp => -page,
            Key::PageDown => page,
            Key::Home => isize::MIN / 2,
            Key::End => isize::MAX / 2,
            _ => return,
        };
        if self.view != View::Sites {
            // Bounded when it is drawn.
            self.scroll = self.scroll.saturating_add_signed(by);
            return;
        }
        let sites = self.sites();
        let last = sites.len().saturating_sub(1);
        let row = match self.cursor(&sites) {
            Some(row) => row.saturating_add_signed(by).min(last),
            None if by > 1 => last.min(by as usize),
            None => 0,
        };
        self.selected = sites.get(row).map(|site| site.key);
    }
}

fn order(sort: TopSort, a: &Site, b: &Site) -> Ordering {
    let (bytes, blocks) = (a.held.bytes.cmp(&b.held.bytes), a.held.blocks.cmp(&b.held.blocks));
    match sort {
        TopSort::Growth => grows(a.growth, b.growth).then(bytes).then(blocks),
        TopSort::Unfreed => bytes.then(blocks),
        TopSort::Blocks => blocks.then(bytes),
    }
}

/// What is not known is as if it did not grow. Less than a byte per minute is none.
fn grows(a: Option<f64>, b: Option<f64>) -> Ordering {
    let whole = |growth: Option<f64>| growth.unwrap_or(0.0) as i64;
    whole(a).cmp(&whole(b))
}
