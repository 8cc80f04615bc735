//! bench
#![allow(missing_docs, clippy::all)]
use analyzer::reader::{self, Recording};
use analyzer::replay::{self, *};
use std::time::Instant;
fn main() {
    let path = std::env::args().nth(1).unwrap();
    let run = reader::open(std::path::Path::new(&path)).unwrap_or_else(|_| panic!());
    let r: &Recording = &run.recordings[0];
    let options = Options { until: Moment::End, from: Source::Events, ..Options::default() };
    for _ in 0..4 {
        let t = Instant::now();
        let a = replay::observe(r, &options, &mut (), &|_| {});
        let plain = t.elapsed();
        let t = Instant::now();
        let mut line = Timeline::new(0, r.header.monotonic_ns / 1_000_000);
        let b = replay::observe(r, &options, &mut line, &|_| {});
        let with = t.elapsed();
        let n = a.events as f64;
        println!(
            "{} events plain {:?} ({:.1} ns) timeline {:?} ({:.1} ns), sites {}, shift {}, points {}",
            b.events,
            plain,
            plain.as_nanos() as f64 / n,
            with,
            with.as_nanos() as f64 / n,
            a.sites.len(),
            line.axis().shift,
            (0..a.sites.len()).map(|s| line.points(s).len()).sum::<usize>()
        );
    }
}
