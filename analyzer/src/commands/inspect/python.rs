//! What a recording has of Python, and how well its stacks go together with the native ones.
use std::io::{self, Write};

use recording::EndReason;

use crate::aggregate::PythonStacks;
use crate::fast_map::FastMap;
use crate::python::merge::{Fit, Merge, Pair, Rest};
use crate::reader::{Definitions, lookup_address};
use crate::replay::{Replayed, Totals};

/// Stacks that are printed of each kind; the others look like them.
const STACKS: usize = 20;

/// Prints it; nothing for a process without Python. `stacks`: those that do not fit too.
pub fn python(
    replayed: &Replayed,
    definitions: &Definitions,
    stacks: bool,
    out: &mut dyn Write,
) -> io::Result<()> {
    for interpreter in &definitions.python.interpreters {
        let text = interpreter.text.replace('\n', " ");
        let (walked, objects) = (interpreter.walked, interpreter.objects);
        writeln!(out, "  Python {:#x} ({text}): frames {walked}, objects {objects}", interpreter.version)?;
    }
    for (begin, end) in definitions.python.loops() {
        writeln!(out, "  evaluation loop {begin:#x}-{end:#x}")?;
    }
    let mut known = FastMap::default();
    let merged: Vec<(&Totals, Pair, Fit)> = replayed
        .sites
        .iter()
        .filter_map(|site| {
            let pair = definitions.pair(site.stack)?;
            Some((site, pair, fit(definitions, pair, &mut known)))
        })
        .collect();
    if merged.is_empty() && definitions.python.interpreters.is_empty() {
        return Ok(());
    }
    let mut counts = PythonStacks::default();
    merged.iter().for_each(|(site, _, fit)| counts.add(*fit, site.allocations));
    writeln!(
        out,
        "  {} code objects; {} allocations in {} stacks with Python frames: {} not followed, {} with more \
         evaluation loops, {} with more entries",
        definitions.python.code_count(),
        counts.allocations,
        merged.len(),
        counts.not_walked,
        counts.more_loops,
        counts.mismatched
    )?;
    if stacks {
        for kind in [Fit::MoreEntries, Fit::MoreLoops, Fit::NotWalked] {
            for (site, pair, fit) in merged.iter().filter(|(_, _, fit)| *fit == kind).take(STACKS) {
                writeln!(out, "  stack {}: {fit:?}, {} allocations", site.stack.0, site.allocations)?;
                chains(definitions, *pair, out)?;
            }
        }
    }
    Ok(())
}

/// How well two chains go together; `known` is of what is left of such ones behind an entry.
fn fit(definitions: &Definitions, pair: Pair, known: &mut FastMap<Pair, Fit>) -> Fit {
    let mut merge = Merge::new(definitions);
    let (mut rest, mut met) = (pair, Vec::new());
    let fit = loop {
        if let Some(&fit) = known.get(&rest) {
            break fit;
        }
        met.push(rest);
        match merge.part(rest, |_| {}) {
            Rest::More(more) => rest = more,
            Rest::End(_, fit) => break fit,
        }
    };
    known.extend(met.into_iter().map(|pair| (pair, fit)));
    fit
}

/// Both chains as they were recorded, innermost first.
fn chains(definitions: &Definitions, pair: Pair, out: &mut dyn Write) -> io::Result<()> {
    let mut lines = Vec::new();
    let end = definitions.stack(pair.native, |_, node| {
        let place = match definitions.module_of(node) {
            Some(module) => {
                let module = &definitions.modules[module];
                let offset = lookup_address(node).wrapping_sub(module.bias);
                format!("{}+{offset:#x}", module.path.display())
            }
            None => format!("{:#x}", node.pc.0),
        };
        let mark = if definitions.python.evaluates(lookup_address(node)) { '*' } else { ' ' };
        lines.push(format!("    {mark} {place}"));
        true
    });
    lines.push(format!("    native end: {end:?}"));
    let mut id = pair.python;
    while let (Some(node), true) = (definitions.python_node(id), lines.len() < 1 << 12) {
        let mark = if node.entry { '*' } else { ' ' };
        let name = match definitions.python.code(node.code) {
            Some(code) => format!("{} {}", code.name, code.file),
            None => "-".to_string(),
        };
        lines.push(format!("    {mark} {} {name} at {}", node.code, node.instruction));
        id = node.parent;
    }
    lines.push(format!("    Python end: {:?}", EndReason::from_id(id)));
    lines.iter().try_for_each(|line| writeln!(out, "{line}"))
}
