//! What is said of numbers, on the screen and in plain lines.
use super::snapshot::Snapshot;
use crate::output::{Number, Size, counted, duration, signed_size};

/// What keys do.
pub const HELP: &str = "\
Sites are lines of your code, or functions, stacks, modules. Each holds what
is unfreed now of what it allocated. Its growth is the slope of the line that
fits the last readings best; the bars are what it held at each of them. That
alone is no leak: caches grow while they fill, and then stop.

  g u n        sort by growth, unfreed bytes, number of blocks
  l f s m      sites are lines, functions, stacks, modules
  Enter        the stacks of the site at the cursor; q or Esc goes back
  Up Down      move the cursor; so do k j, PageUp PageDown, Home End
  Tab          sites or processes
  /            only those with this text in their names; Esc shows all
  p or Space   what is shown stands still; the readings go on
  q            quit

RSS is what the kernel has given to the processes: also memory that is free
in the allocator, code, stacks and files, and what several processes share
once for each. 'unfreed rss' tells these apart.
The tables are read while the processes run: a block that moves just then
may be missing, or twice. Sums are those of what was read.
'unfreed report' is exact.";

/// What was held as the last processes ended.
pub const ENDED: &str = "ended: what was held then";

/// Bytes per minute: `+1.2 MiB`, `0`, or `-` where that is not known.
pub fn growth(growth: Option<f64>) -> String {
    match growth {
        None => "-".to_string(),
        Some(bytes) if bytes.abs() < 1.0 => "0".to_string(),
        Some(bytes) => signed_size(bytes as i128),
    }
}

/// The processes that are spoken of.
pub fn processes(snapshot: &Snapshot) -> String {
    let count = if snapshot.has_ended { snapshot.processes.len() } else { snapshot.running() };
    counted(count as u64, "process")
}

/// What the processes have resident: `, RSS 12.3 MiB`; nothing where that is not known.
pub fn resident(snapshot: &Snapshot) -> String {
    snapshot.resident().map_or_else(String::new, |bytes| format!(", RSS {}", Size(bytes)))
}

/// When the tables were read, and how long ago for the first time that counts.
pub fn reading(snapshot: &Snapshot) -> String {
    let window = match snapshot.window_ms {
        0 => "one reading so far".to_string(),
        ms => format!("growth of the last {}", duration(ms * 1_000_000)),
    };
    match snapshot.age_ms {
        // Less is not worth a word.
        0..500 => window,
        ms => format!("{window}, read {} ago", duration(ms * 1_000_000)),
    }
}

/// What no row shows: sites beyond the last one, and stacks whose sites are not known. `None` if that is nothing.
pub fn rest(more: usize, bytes: u64, snapshot: &Snapshot) -> Option<String> {
    let (stacks, held) = snapshot.nameless;
    let more = (more > 0).then(|| format!("{} more, {} unfreed", Number(more as u64), Size(bytes)));
    let nameless = (stacks > 0)
        .then(|| format!("{} in {} not looked up yet", Size(held.bytes), counted(stacks, "stack")));
    let parts: Vec<String> = more.into_iter().chain(nameless).collect();
    (!parts.is_empty()).then(|| format!("({})", parts.join("; ")))
}

/// The name of a site in so many characters: directories go first.
pub fn site(name: &str, width: usize) -> String {
    let mut name = name;
    while name.chars().count() > width
        && let Some((directory, rest)) = name.split_once('/')
        && !directory.contains(' ')
        && !rest.is_empty()
    {
        name = rest;
    }
    cut(name, width)
}

/// A text in so many characters, its end cut.
pub fn cut(text: &str, width: usize) -> String {
    crate::aggregate::cut(text, width.max(3)).chars().take(width).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_names_lose_directories_first() {
        for (name, width, shown) in [
            ("srv/shop/charge.py:5 leak", 30, "srv/shop/charge.py:5 leak"),
            ("srv/shop/charge.py:5 leak", 24, "shop/charge.py:5 leak"),
            ("srv/shop/charge.py:5 leak", 12, "charge.py..."),
            ("leak srv/shop/charge.py", 12, "leak srv/..."),
            ("srv/", 3, "..."),
            ("", 0, ""),
        ] {
            assert_eq!(site(name, width), shown, "{name} in {width}");
        }
    }
}
