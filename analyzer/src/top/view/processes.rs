//! The table of processes.
use ratatui::text::{Line, Span};

use super::{DIM, REVERSED, Rows, Theme, growth_column, heading, is_sorted};
use crate::output::{Number, Size};
use crate::top::model::Model;
use crate::top::order::TopSort;
use crate::top::snapshot::Process;
use crate::top::words;

const PID: usize = 8;
const STATE: usize = 14;
const SIZE: usize = 10;
const BLOCKS: usize = 11;
const GROWTH: usize = 11;
/// Narrower terminals do without the number of blocks.
const WIDE: usize = 100;

pub fn draw(rows: &mut Rows, model: &mut Model, theme: Theme) {
    let width = rows.width();
    let blocks = if width < WIDE { 0 } else { BLOCKS };
    let sorted = |sort| is_sorted(model, sort);
    let heads = vec![
        Span::styled(format!("{:>PID$} {:<STATE$}{:>SIZE$}", "pid", "state", "RSS"), REVERSED),
        heading(format!("{:>SIZE$}", "unfreed"), sorted(TopSort::Unfreed)),
        heading(format!("{:>blocks$.blocks$}", "blocks"), sorted(TopSort::Blocks)),
        heading(format!("{:>GROWTH$}", "growth/min"), sorted(TopSort::Growth)),
        Span::styled("  command", REVERSED),
    ];
    rows.styled(&Line::from(heads), REVERSED);
    let page = rows.left();
    let count = model.processes().len();
    let first = model.first_row(page, count, None);
    let command = width.saturating_sub(PID + 1 + STATE + 2 * SIZE + blocks + GROWTH + 2);
    for process in model.processes().into_iter().skip(first) {
        let line = row(process, blocks, command, theme);
        if process.runs { rows.line(&line) } else { rows.styled(&line, DIM) }
    }
}

fn row(process: &Process, blocks: usize, command: usize, theme: Theme) -> Line<'static> {
    let size = |bytes: Option<u64>| bytes.map_or_else(|| "-".to_string(), |bytes| Size(bytes).to_string());
    let count = process.held.map_or_else(|| "-".to_string(), |held| Number(held.blocks).to_string());
    Line::from(vec![
        Span::raw(format!("{:>PID$} {:<STATE$}", process.pid, words::cut(&process.state, STATE))),
        Span::raw(format!("{:>SIZE$}", size(process.resident))),
        Span::raw(format!("{:>SIZE$}", size(process.held.map(|held| held.bytes)))),
        Span::raw(format!("{count:>blocks$.blocks$}")),
        growth_column(process.growth, GROWTH, theme),
        Span::raw(format!("  {}", words::cut(&process.command, command))),
    ])
}
