//! Draws the model: any size of terminal, with colours or without, and without letters that it may not have.
mod processes;
mod sites;
mod spark;
mod stacks;

use ratatui::Frame;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};

use super::model::{Model, View};
use super::snapshot::Snapshot;
use super::words;
use crate::output::{Size, counted, utc};
use crate::top::order::TopSort;

/// How to draw.
#[derive(Clone, Copy, Debug)]
pub struct Theme {
    /// With colours; otherwise bold, dim and reversed letters only.
    pub colour: bool,
    /// With letters that are not ASCII.
    pub unicode: bool,
}

impl Theme {
    fn colour(self, colour: Color) -> Style {
        if self.colour { Style::new().fg(colour) } else { Style::new() }
    }

    /// What grows.
    fn growing(self) -> Style {
        self.colour(Color::Red).add_modifier(Modifier::BOLD)
    }

    /// What grows less and less.
    fn shrinking(self) -> Style {
        self.colour(Color::Green)
    }

    fn python(self) -> Style {
        self.colour(Color::Green)
    }

    fn warning(self) -> Style {
        self.colour(Color::Yellow).add_modifier(Modifier::BOLD)
    }
}

const BOLD: Style = Style::new().add_modifier(Modifier::BOLD);
const DIM: Style = Style::new().add_modifier(Modifier::DIM);
const REVERSED: Style = Style::new().add_modifier(Modifier::REVERSED);

/// The rows of an area from the top, one after another; what has no room is left out.
struct Rows<'a> {
    buffer: &'a mut Buffer,
    area: Rect,
    next: u16,
}

impl Rows<'_> {
    fn line(&mut self, line: &Line) {
        self.styled(line, Style::new());
    }

    /// A line of which the whole row has this style too.
    fn styled(&mut self, line: &Line, style: Style) {
        if self.next < self.area.height {
            let y = self.area.y + self.next;
            self.buffer.set_line(self.area.x, y, line, self.area.width);
            self.buffer.set_style(Rect { y, height: 1, ..self.area }, style);
            self.next += 1;
        }
    }

    fn left(&self) -> usize {
        usize::from(self.area.height - self.next)
    }

    fn width(&self) -> usize {
        self.area.width.into()
    }
}

/// Draws all of it.
pub fn draw(frame: &mut Frame, model: &mut Model, theme: Theme) {
    let area = frame.area();
    let head = match area.height {
        0..=4 => 0,
        5..=7 => 1,
        _ => 3,
    };
    let foot = u16::from(area.height >= 5);
    let body = Rect { y: area.y + head, height: area.height - head - foot, ..area };
    let buffer = frame.buffer_mut();
    let mut rows = Rows { buffer: &mut *buffer, area: Rect { height: head, ..area }, next: 0 };
    header(&mut rows, model, theme);
    let mut rows = Rows { buffer: &mut *buffer, area: body, next: 0 };
    match &model.view {
        View::Sites => sites::draw(&mut rows, model, theme),
        View::Processes => processes::draw(&mut rows, model, theme),
        View::Stacks(..) => stacks::draw(&mut rows, model, theme),
        View::Help => help(&mut rows, model),
    }
    let bottom = Rect { y: area.bottom().saturating_sub(foot), height: foot, ..area };
    footer(&mut Rows { buffer, area: bottom, next: 0 }, model);
}

fn header(rows: &mut Rows, model: &Model, theme: Theme) {
    let snapshot = &model.snapshot;
    let time = utc(snapshot.at_ns);
    let paused = if model.is_paused { "PAUSED  " } else { "" };
    let processes = format!(", {}", words::processes(snapshot));
    let fixed = "unfreed top  ".len() + processes.len() + paused.len() + time.len();
    let name = words::cut(&snapshot.recording, rows.width().saturating_sub(fixed).max(8));
    let space = rows.width().saturating_sub(fixed + name.chars().count());
    rows.line(&Line::from(vec![
        Span::styled("unfreed top ", DIM),
        Span::styled(name, BOLD),
        Span::raw(processes),
        Span::raw(format!("{:space$} ", "")),
        Span::styled(paused, theme.warning()),
        Span::raw(time),
    ]));
    let total = &snapshot.total;
    let mut line = vec![
        Span::raw("unfreed "),
        Span::styled(Size(total.held.bytes).to_string(), BOLD),
        Span::raw(format!(" in {}", counted(total.held.blocks, "block"))),
    ];
    if total.growth.is_some() {
        line.push(Span::raw(", "));
        line.push(growth(total.growth, theme));
        line.push(Span::raw("/min"));
    }
    line.push(Span::raw(words::resident(snapshot)));
    rows.line(&Line::from(line));
    rows.line(&Line::from(state(snapshot, theme)));
}

/// What the numbers are of.
fn state(snapshot: &Snapshot, theme: Theme) -> Vec<Span<'static>> {
    let lost = format!("lost {}", crate::output::Number(snapshot.lost));
    let lost = Span::styled(lost, if snapshot.lost > 0 { theme.warning() } else { Style::new() });
    let disk = Span::raw(format!("recording {}, ", Size(snapshot.disk_bytes)));
    let mut line = vec![disk, lost];
    if snapshot.has_ended {
        line.push(Span::styled(format!("  {}", words::ENDED), theme.warning()));
    } else {
        line.push(Span::raw(format!("  {}", words::reading(snapshot))));
    }
    line
}

fn growth(growth: Option<f64>, theme: Theme) -> Span<'static> {
    let style = match growth {
        Some(bytes) if bytes >= 1.0 => theme.growing(),
        Some(bytes) if bytes <= -1.0 => theme.shrinking(),
        _ => Style::new(),
    };
    Span::styled(words::growth(growth), style)
}

/// The same in a column.
fn growth_column(bytes: Option<f64>, width: usize, theme: Theme) -> Span<'static> {
    let span = growth(bytes, theme);
    Span::styled(format!("{:>width$}", span.content), span.style)
}

fn footer(rows: &mut Rows, model: &Model) {
    if model.is_typing {
        let line = Line::from(vec![
            Span::styled(format!("/{}", model.filter), BOLD),
            Span::styled(" ", REVERSED),
            Span::styled("  Enter keeps it, Esc drops it", DIM),
        ]);
        return rows.line(&line);
    }
    let keys = match model.view {
        View::Stacks(..) | View::Help => "q back",
        View::Processes => "q quit  ? keys  Tab sites  / filter  g u n sort  p pause",
        View::Sites => "q quit  ? keys  Enter stack  Tab processes  / filter  g u n sort  l f s m by",
    };
    let mut line = vec![Span::styled(keys, DIM)];
    if !model.filter.is_empty() {
        line.insert(0, Span::styled(format!("/{}  ", model.filter), BOLD));
    }
    rows.line(&Line::from(line));
}

/// The column by which rows are sorted stands out.
fn heading(label: String, is_sorted: bool) -> Span<'static> {
    let style =
        if is_sorted { BOLD.add_modifier(Modifier::REVERSED | Modifier::UNDERLINED) } else { REVERSED };
    Span::styled(label, style)
}

fn is_sorted(model: &Model, sort: TopSort) -> bool {
    model.sort() == sort
}

fn help(rows: &mut Rows, model: &mut Model) {
    let lines = words::HELP.lines().count();
    let first = model.first_row(rows.left(), lines, None);
    for line in words::HELP.lines().skip(first) {
        rows.line(&Line::raw(line));
    }
}
