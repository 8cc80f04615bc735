//! The stacks of one site.
use ratatui::style::Style;
use ratatui::text::{Line, Span};

use super::{BOLD, DIM, Rows, Theme};
use crate::output::counted;
use crate::top::model::{Model, View};
use crate::top::snapshot::{self, LineKind};
use crate::top::words;

/// Column in which places begin, where functions allow it.
const PLACES: usize = 38;

pub fn draw(rows: &mut Rows, model: &mut Model, theme: Theme) {
    let View::Stacks(key, content) = &model.view else { return };
    let site = model.snapshot.sites.iter().find(|site| site.key == *key);
    let Some(content) = content else {
        return rows.line(&Line::raw("looking up ..."));
    };
    let growth = site.map_or(String::new(), |site| format!(", {}/min", words::growth(site.growth)));
    let title = format!("{}  ({}{growth})", content.name, counted(content.stacks as u64, "stack"));
    let mut lines = vec![Line::styled(words::cut(&title, rows.width()), BOLD)];
    if content.lines.is_empty() {
        lines.push(Line::raw("it holds nothing any more"));
    }
    let width = rows.width();
    lines.extend(content.lines.iter().flat_map(|line| drawn(line, width, theme)));
    let first = model.first_row(rows.left(), lines.len(), None);
    lines.iter().skip(first).for_each(|line| rows.line(line));
}

fn drawn(line: &snapshot::Line, width: usize, theme: Theme) -> Vec<Line<'static>> {
    let style = match line.kind {
        LineKind::Title => return vec![Line::raw(""), Line::styled(line.text.clone(), BOLD)],
        LineKind::Note => return vec![Line::styled(format!("  {}", line.text), DIM)],
        LineKind::Python => theme.python(),
        LineKind::Native => Style::new(),
    };
    let function = Span::styled(format!("  {}", line.text), style);
    let place = Span::styled(line.place.clone(), DIM);
    let used = 2 + line.text.chars().count();
    if used + 2 + line.place.chars().count() > width.max(PLACES) {
        let place = Line::from(vec![Span::raw("    "), place]);
        return if line.place.is_empty() {
            vec![Line::from(function)]
        } else {
            vec![Line::from(function), place]
        };
    }
    let room = width.saturating_sub(used + line.place.chars().count());
    let space = PLACES.saturating_sub(used).max(2).min(room);
    vec![Line::from(vec![function, Span::raw(format!("{:space$}", "")), place])]
}
