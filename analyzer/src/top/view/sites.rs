//! The table of sites.
use ratatui::text::{Line, Span};

use super::{REVERSED, Rows, Theme, growth_column, heading, is_sorted, spark};
use crate::output::{Number, Size};
use crate::top::model::Model;
use crate::top::order::{TopBy, TopSort};
use crate::top::snapshot::Site;
use crate::top::words;

const UNFREED: usize = 10;
const BLOCKS: usize = 10;
const GROWTH: usize = 11;

/// Columns for bars, by the width of all.
fn bars(width: usize) -> usize {
    match width {
        ..60 => 0,
        60..120 => 10,
        120..160 => 20,
        _ => 40,
    }
}

fn title(by: TopBy) -> &'static str {
    match by {
        TopBy::Line => "line",
        TopBy::Function => "function",
        TopBy::Stack => "stack",
        TopBy::Module => "module",
    }
}

pub fn draw(rows: &mut Rows, model: &mut Model, theme: Theme) {
    let width = rows.width();
    let bars = bars(width);
    let gap = if bars > 0 { bars + 2 } else { 0 };
    let sorted = |sort| is_sorted(model, sort);
    let heads = vec![
        heading(format!("{:>UNFREED$}", "unfreed"), sorted(TopSort::Unfreed)),
        heading(format!("{:>BLOCKS$}", "blocks"), sorted(TopSort::Blocks)),
        heading(format!("{:>GROWTH$}", "growth/min"), sorted(TopSort::Growth)),
        Span::styled(format!("{:gap$}  {}", "", title(model.snapshot.by)), REVERSED),
    ];
    rows.styled(&Line::from(heads), REVERSED);
    // The last row says what the others do not.
    let page = rows.left().saturating_sub(1);
    let (count, cursor) = {
        let sites = model.sites();
        (sites.len(), model.cursor(&sites))
    };
    let first = model.first_row(page, count, cursor);
    let sites = model.sites();
    let name = width.saturating_sub(UNFREED + BLOCKS + GROWTH + gap + 2);
    for (at, site) in sites.iter().enumerate().skip(first).take(page) {
        let line = row(site, bars, name, theme);
        if cursor == Some(at) { rows.styled(&line, REVERSED) } else { rows.line(&line) }
    }
    if sites.is_empty() {
        let why = match (model.filter.is_empty(), model.snapshot.at_ns) {
            (false, _) => "no site has this in its name",
            (true, 0) => "reading ...",
            (true, _) if model.snapshot.nameless.0 > 0 => "looking up what stacks are ...",
            (true, _) => "nothing is unfreed",
        };
        rows.line(&Line::raw(why));
    }
    let hidden = sites.iter().take(first).chain(sites.iter().skip(first + page));
    let bytes = hidden.clone().fold(0u64, |sum, site| sum.saturating_add(site.held.bytes));
    if let Some(rest) = words::rest(hidden.count(), bytes, &model.snapshot) {
        rows.line(&Line::styled(rest, super::DIM));
    }
}

fn row(site: &Site, bars: usize, name: usize, theme: Theme) -> Line<'static> {
    let mut line = vec![
        Span::raw(format!("{:>UNFREED$}", Size(site.held.bytes))),
        Span::raw(format!("{:>BLOCKS$}", Number(site.held.blocks))),
        growth_column(site.growth, GROWTH, theme),
        Span::raw("  "),
    ];
    if bars > 0 {
        line.push(Span::raw(format!("{}  ", spark::bars(&site.series, bars, theme.unicode))));
    }
    line.push(Span::raw(words::site(&site.name, name)));
    Line::from(line)
}
