//! What would make a process smaller, where it is known to help and the numbers show that it would here.
use super::Kind;
use super::places::Allocator;
use super::process::ProcessRss;

/// Less than this is not worth a setting ...
const LEAST: u64 = 8 << 20;
/// ... nor is a smaller part of the resident memory, in percent.
const SHARE: u64 = 10;
/// Heaps of arenas that are many.
const ARENAS: usize = 4;

/// An advice: a word for programs, and a line for people.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Advice {
    /// Which one it is.
    pub id: &'static str,
    /// What to do and why.
    pub text: String,
}

/// What there is to say of a process that runs. `size` writes bytes for people.
pub fn advice(process: &ProcessRss, size: &dyn Fn(u64) -> String) -> Vec<Advice> {
    let rss = process.rss();
    let is_much = |bytes: u64| bytes >= LEAST && bytes >= rss / 100 * SHARE;
    let mut advice = Vec::new();
    let mut say = |id, text: String| advice.push(Advice { id, text });
    let free = |kind: Kind| process.row(kind).rss;
    let (pages, space) = (free(Kind::FreePages), free(Kind::FreeSpace));
    let arenas: Vec<_> = process.heaps.iter().filter(|heap| !heap.main).collect();
    let in_arenas: u64 = arenas.iter().map(|heap| heap.beneath + heap.above + heap.beside).sum();
    if arenas.len() >= ARENAS && is_much(in_arenas) {
        say(
            "arena-max",
            format!(
                "MALLOC_ARENA_MAX=2 (mallopt M_ARENA_MAX) lets threads share free memory: {} lies free in {} heaps \
                 of arenas",
                size(in_arenas),
                arenas.len()
            ),
        );
    }
    let above: u64 = process.heaps.iter().map(|heap| heap.above).sum();
    match process.allocator {
        Allocator::Glibc if is_much(pages) => {
            say(
                "trim",
                format!(
                    "malloc_trim(0), called now and then, gives back whole free pages wherever they lie: {} here",
                    size(pages)
                ),
            );
            if is_much(above) {
                say(
                    "trim-threshold",
                    format!(
                        "MALLOC_TRIM_THRESHOLD_=131072 (mallopt M_TRIM_THRESHOLD) gives back earlier what is free \
                         at the top of a heap: {} here",
                        size(above)
                    ),
                );
            }
        }
        Allocator::Named("jemalloc") if is_much(pages) => say(
            "decay",
            format!(
                "MALLOC_CONF=background_thread:true,dirty_decay_ms:1000 gives back {} earlier",
                size(pages)
            ),
        ),
        _ => {}
    }
    if is_much(space) {
        let what = "is free on pages that unfreed blocks hold: memory is fragmented";
        let whom = "see which stacks hold it; a pool for these blocks, or jemalloc, keeps them together";
        say("fragmented", format!("{} {what}; {whom}", size(space)));
    }
    let python = &process.python;
    if is_much(free(Kind::PythonFree)) && python.filled < python.resident / 2 {
        say(
            "python-arenas",
            format!(
                "Python gives back an arena when its last object is freed: {} are less than half full; see which \
                 stacks' objects hold them",
                python.half_empty
            ),
        );
    }
    let other = free(Kind::Anonymous);
    if process.mapped.is_none() && is_much(other) && other >= rss / 5 {
        say("mmap", format!("'unfreed run --mmap' records which stacks map the other {}", size(other)));
    }
    if process.lazy_free >= LEAST {
        say(
            "lazy-free",
            format!("{} of it the kernel takes back when memory is short", size(process.lazy_free)),
        );
    }
    advice
}
