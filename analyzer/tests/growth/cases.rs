//! The table of traces: what is simulated, under which settings, and what is true of it.
use analyzer::growth::Verdict::{self, GcOnly, Plateau, Resident, Temporary};

use crate::bounded::{self, Drop};
use crate::leaks;
use crate::scene::{Load, Scene, Setting};
use crate::trace::{Process, View};

/// What is true of a trace.
#[derive(Clone, Copy, Debug)]
pub enum Truth {
    /// A leak. The number is that of leaked blocks that the verdict must know, if `true`: that of an array, whose last block is larger
    /// than all before, cannot be compared.
    Leak(bool),
    /// No leak: one of these verdicts.
    Not(&'static [Verdict]),
}

type Site = Box<dyn Fn(&mut Scene)>;
type Build = Box<dyn Fn(Setting, u64) -> Vec<Process>>;

/// A kind of trace.
pub struct Case {
    pub name: &'static str,
    pub truth: Truth,
    pub settings: &'static [Setting],
    pub build: Build,
    /// The window begins at this part of the run.
    pub since: Option<f64>,
    pub only_unfreed: bool,
}

impl Case {
    pub fn view(&self, setting: &Setting) -> View {
        View {
            since: self.since.map(|part| part * setting.ms),
            clock: setting.clock,
            buckets: setting.buckets,
            only_unfreed: self.only_unfreed,
        }
    }

    fn since(self, part: f64) -> Case {
        Case { since: Some(part), ..self }
    }

    fn only_unfreed(self) -> Case {
        Case { only_unfreed: true, ..self }
    }

    fn on(self, settings: &'static [Setting]) -> Case {
        Case { settings, ..self }
    }
}

const fn setting(ms: f64, startup: f64, requests: usize, load: Load, clock: f64) -> Setting {
    Setting { ms, startup, requests, load, clock, buckets: 1 << 10 }
}

/// Services, and scripts of a few seconds.
pub const ALL: &[Setting] = &[
    setting(60_000.0, 0.05, 2_000, Load::Steady, 1.0),
    setting(600_000.0, 0.01, 3_000, Load::Random, 1.0),
    setting(300_000.0, 0.02, 2_400, Load::Bursts, 4.0),
    setting(1_800_000.0, 0.005, 3_000, Load::Waves, 1.0),
    setting(120_000.0, 0.04, 2_000, Load::Rising, 1.0),
    setting(3_000.0, 0.2, 1_000, Load::Steady, 4.0),
    setting(240_000.0, 0.03, 2_000, Load::ThenIdle, 1.0),
];

/// Loops of some hundred rounds.
const LOOPS: &[Setting] = &[
    setting(1_500.0, 0.3, 100, Load::Steady, 4.0),
    setting(4_000.0, 0.1, 300, Load::Steady, 4.0),
    setting(900.0, 0.5, 60, Load::Steady, 1.0),
];

/// Loops without pauses, whose rounds take less than the clock's step.
const BUSY: &[Setting] =
    &[setting(2_000.0, 0.3, 3_000, Load::Steady, 4.0), setting(1_200.0, 0.1, 2_000, Load::Steady, 1.0)];

fn one(name: &'static str, truth: Truth, site: impl Fn(&mut Scene) + 'static) -> Case {
    let site: Site = Box::new(site);
    let build = move |setting, seed| {
        let mut scene = Scene::new(setting, seed);
        site(&mut scene);
        vec![scene.process()]
    };
    Case { name, truth, settings: ALL, build: Box::new(build), since: None, only_unfreed: false }
}

/// Several processes: each with its own begin and length, as parts of the run.
fn several(
    name: &'static str,
    truth: Truth,
    lives: &'static [(f64, f64)],
    site: impl Fn(&mut Scene, usize) + 'static,
) -> Case {
    let build = move |setting: Setting, seed: u64| {
        let worker = |(index, &(begin, length)): (usize, &(f64, f64))| {
            let requests = (setting.requests as f64 * length / 2.0) as usize;
            let startup = (0.003 / length).min(0.3);
            let setting = Setting { ms: setting.ms * length, startup, requests, ..setting };
            let mut scene = Scene::new(setting, seed * 1_000 + index as u64);
            site(&mut scene, index);
            scene.process().later(begin / length * setting.ms)
        };
        lives.iter().enumerate().map(worker).collect()
    };
    Case { name, truth, settings: ALL, build: Box::new(build), since: None, only_unfreed: false }
}

const LEAK: Truth = Truth::Leak(true);
const STAYS: Truth = Truth::Not(&[Plateau, Resident]);
const BOUNDED: Truth = Truth::Not(&[Plateau]);
const PASSES: Truth = Truth::Not(&[Temporary]);
/// It lives for about a hundredth of the window: a store that turns over fast, or work that lasts.
const BRIEF: Truth = Truth::Not(&[Temporary, Plateau]);

/// Workers side by side, one of them begun late.
const WORKERS: &[(f64, f64)] = &[(0.01, 0.99), (0.01, 0.99), (0.5, 0.5), (0.85, 0.15)];
/// Workers that are replaced after some requests.
const REPLACED: &[(f64, f64)] = &[
    (0.00, 0.24),
    (0.02, 0.20),
    (0.22, 0.25),
    (0.24, 0.22),
    (0.46, 0.26),
    (0.47, 0.22),
    (0.69, 0.23),
    (0.72, 0.20),
    (0.92, 0.08),
    (0.92, 0.08),
];

pub fn leaks() -> Vec<Case> {
    vec![
        one("one block per request", LEAK, |s| leaks::each(s, 1, 0.0)),
        one("some blocks per request, unlike sizes", LEAK, |s| leaks::each(s, 7, 1.2)),
        one("loop of some hundred rounds", LEAK, |s| leaks::each(s, 2, 0.3)).on(LOOPS),
        one("one in a hundred requests", LEAK, |s| leaks::every(s, 100, 2e3, 0.0)),
        one("five events, at even distances", LEAK, |s| {
            leaks::every(s, s.requests.len() / 5, 1e5, 0.0);
        }),
        one("twenty events at random", LEAK, |s| leaks::about(s, 22, 5e4, 0.0)),
        one("twenty large unlike blocks at random", LEAK, |s| leaks::about(s, 22, 1e6, 0.8)),
        one("batches", LEAK, |s| leaks::batches(s, 12, 1_000)),
        one("clumps", LEAK, |s| leaks::clumps(s, 0.02)),
        one("one in a thousand beneath churn", LEAK, |s| {
            let ms = s.end() / 200.0;
            leaks::beneath_churn(s, 20, 1_000, ms);
        }),
        one("one in a hundred beneath much in use", LEAK, |s| {
            let ms = s.end() / 30.0;
            leaks::beneath_churn(s, 5, 100, ms);
        }),
        one("one in ten beneath long use", LEAK, |s| {
            let ms = s.end() / 8.0;
            leaks::beneath_churn(s, 3, 10, ms);
        }),
        one("array, doubled", Truth::Leak(false), |s| leaks::enlarged(s, 2.0, 64.0)),
        one("list of Python", Truth::Leak(false), |s| leaks::enlarged(s, 1.125, 64.0)),
        one("array, half as large again", Truth::Leak(false), |s| leaks::enlarged(s, 1.5, 64.0)),
        one("one in twenty beneath churn, and what the first requests load", Truth::Leak(false), |s| {
            let ms = s.end() / 300.0;
            bounded::loaded_first(s, 5_000);
            leaks::beneath_churn(s, 6, 120, ms);
        }),
        one("one in ten beneath a table of slots", Truth::Leak(false), |s| {
            bounded::slots(s, 40, 2.0);
            leaks::every(s, 10, 56.0, 0.0);
        }),
        one("began in the middle", LEAK, |s| leaks::began(s, 0.5, false)),
        one("began in the middle of churn", LEAK, |s| leaks::began(s, 0.45, true)),
        one("timer", LEAK, |s| leaks::timer(s, 60)),
        one("unbounded cache", LEAK, |s| leaks::heaps(s, 0.8)),
        one("cycles, some not collected", LEAK, |s| leaks::beneath_collector(s, 12, 30)),
        one("cycles, few not collected", LEAK, |s| leaks::beneath_collector(s, 25, 200)),
        one("with data of start-up", LEAK, |s| {
            s.load_at_startup(5_000, 300.0);
            leaks::each(s, 1, 0.2);
        }),
        one("few, with data of start-up", LEAK, |s| {
            s.load_at_startup(20_000, 300.0);
            leaks::every(s, 50, 300.0, 0.0);
        }),
        one("beneath a full cache", LEAK, |s| {
            bounded::cache(s, s.requests.len() / 20, None, Drop::Oldest, 0.3);
            leaks::every(s, 20, 400.0, 0.0);
        }),
        one("beneath a cache that is slow to turn over", LEAK, |s| {
            bounded::cache(s, s.requests.len() / 6, None, Drop::Any, 0.0);
            leaks::every(s, 5, 400.0, 0.0);
        }),
        one("beneath a pool", Truth::Leak(false), |s| {
            bounded::pool(s, s.end() / 300.0);
            leaks::every(s, 10, 1_500.0, 0.0);
        }),
        one("since a mark", LEAK, |s| {
            s.load_at_startup(3_000, 200.0);
            leaks::each(s, 1, 0.4);
        })
        .since(0.35)
        .on(&ALL[..6]),
        one("since a mark, beneath churn", LEAK, |s| {
            let ms = s.end() / 100.0;
            leaks::beneath_churn(s, 8, 200, ms);
        })
        .since(0.2)
        .on(&ALL[..6]),
        one("only the unfreed known", LEAK, |s| leaks::each(s, 1, 0.2)).only_unfreed(),
        one("cache larger than the window", LEAK, |s| {
            bounded::cache(s, 1_000_000, None, Drop::Oldest, 0.3);
            s.lives.iter_mut().for_each(|life| life.is_leaked = true);
        }),
        several("workers", LEAK, WORKERS, |s, _| leaks::each(s, 1, 0.2)),
        several("workers, few events each", LEAK, WORKERS, |s, _| {
            let few = s.requests.len() / 5;
            leaks::every(s, few.max(1), 1e4, 0.0);
        }),
        several("one worker of them", LEAK, WORKERS, |s, index| match index {
            0 => leaks::each(s, 1, 0.2),
            _ => bounded::churn(s, 1, 1.0),
        }),
        several("replaced workers", LEAK, REPLACED, |s, _| {
            s.load_at_startup(500, 100.0);
            leaks::each(s, 1, 0.2);
        }),
        several("replaced workers, few events each", LEAK, REPLACED, |s, _| {
            let few = s.requests.len() / 6;
            leaks::every(s, few.max(1), 1e4, 0.0);
        }),
        called("code that was called in one part only", LEAK, |s| leaks::in_turn(s, 0.2, 0.4)),
        called("code that was called first", LEAK, |s| leaks::in_turn(s, 0.0, 0.2)),
    ]
}

/// A site of whose code it is known when it was called.
fn called(name: &'static str, truth: Truth, site: fn(&mut Scene) -> Vec<f64>) -> Case {
    let build = move |setting, seed| {
        let mut scene = Scene::new(setting, seed);
        let calls = site(&mut scene);
        vec![Process { calls: Some(calls), ..scene.process() }]
    };
    Case { name, truth, settings: ALL, build: Box::new(build), since: None, only_unfreed: false }
}

pub fn bounded() -> Vec<Case> {
    let cache = |name, part: f64, keys: Option<f64>, drop, spread| {
        one(name, BOUNDED, move |s: &mut Scene| {
            let count = s.requests.len() as f64;
            let keys = keys.map(|keys| (count * part * keys) as usize);
            bounded::cache(s, (count * part) as usize, keys, drop, spread);
        })
    };
    vec![
        one("table of slots, some hardly ever met", BOUNDED, |s| bounded::slots(s, 190, 2.5)),
        one("table of slots, and what the first requests load", STAYS, |s| {
            bounded::loaded_first(s, 9_000);
            bounded::slots(s, 300, 2.0);
        }),
        cache("cache, turned over twenty times", 0.05, None, Drop::Oldest, 0.0),
        cache("cache, turned over five times", 0.2, None, Drop::Oldest, 0.6),
        cache("cache, turned over twice", 0.45, None, Drop::Oldest, 0.3),
        cache("cache, full after two thirds", 0.66, None, Drop::Oldest, 0.0),
        cache("cache that drops any, five times", 0.2, None, Drop::Any, 0.5),
        cache("cache that drops any, twice", 0.4, None, Drop::Any, 0.0),
        cache("cache with hits", 0.1, Some(3.0), Drop::Oldest, 0.5),
        cache("cache with many hits", 0.1, Some(1.3), Drop::Oldest, 0.5),
        cache("cache with room for all", 0.1, Some(0.8), Drop::Oldest, 0.5),
        cache("cache, since a mark", 0.15, None, Drop::Oldest, 0.5).since(0.3).on(&ALL[..6]),
        cache("cache, slow, since a mark", 0.3, None, Drop::Any, 0.5).since(0.5).on(&ALL[..6]),
        cache("cache, only the unfreed known", 0.3, None, Drop::Oldest, 0.5).only_unfreed(),
        one("time to live of a twentieth", BRIEF, |s| bounded::sessions(s, 0.05, 0.0)).on(&ALL[..6]),
        one("time to live of a fifth", BOUNDED, |s| bounded::sessions(s, 0.2, 0.0)).on(&ALL[..6]),
        one("sessions of a hundredth", BRIEF, |s| bounded::sessions(s, 0.01, 1.0)),
        one("sessions of a twentieth", BRIEF, |s| bounded::sessions(s, 0.05, 1.0)),
        one("sessions of a fifth", BRIEF, |s| bounded::sessions(s, 0.2, 1.0)),
        one("sessions of a third, since a mark", BRIEF, |s| bounded::sessions(s, 0.3, 1.0))
            .since(0.5)
            .on(&ALL[..4]),
        one("registry, each met three times", STAYS, |s| bounded::registry(s, 3.0)),
        one("registry, each met ten times", STAYS, |s| bounded::registry(s, 10.0)),
        one("registry, each met a hundred times", STAYS, |s| bounded::registry(s, 100.0)),
        one("registry with popular things", STAYS, |s| bounded::popular_registry(s, 200)),
        one("pool", STAYS, |s| bounded::pool(s, s.end() / 100.0)).on(&ALL[..4]),
        one("pool, hardly used", STAYS, |s| bounded::pool(s, s.end() / 1_000.0)).on(&ALL[..4]),
        one("first uses, three", STAYS, |s| bounded::first_uses(s, 3)),
        one("first uses, five", STAYS, |s| bounded::first_uses(s, 5)),
        one("first uses, eight", STAYS, |s| bounded::first_uses(s, 8)),
        one("made once, at a third", Truth::Not(&[Resident]), |s| bounded::once(s, 2_000, 0.3)),
        one("made once, late", Truth::Not(&[Resident]), |s| bounded::once(s, 2_000, 0.8)),
        one("one block, made late", Truth::Not(&[Resident]), |s| bounded::once(s, 1, 0.75)),
        one("start-up", Truth::Not(&[Resident]), |s| s.load_at_startup(3_000, 400.0)),
        one("start-up, one block", Truth::Not(&[Resident]), |s| s.load_at_startup(1, 4e7)),
        one("start-up and churn", STAYS, |s| {
            s.load_at_startup(1_000, 400.0);
            bounded::churn(s, 2, s.end() / 2e3);
        }),
        one("start-up, before a mark", Truth::Not(&[Resident]), |s| s.load_at_startup(500, 100.0)).since(0.3),
        one("a request's blocks", PASSES, |s| bounded::churn(s, 6, 5.0)),
        one("a request's blocks, many at once", PASSES, |s| bounded::churn(s, 3, s.end() / 300.0)),
        one("a round's blocks", PASSES, |s| bounded::churn(s, 5, 2.0)).on(LOOPS),
        one("buffers", PASSES, |s| bounded::buffers(s, s.end() / 3e3)),
        one("queue", BRIEF, bounded::queue),
        one("jobs, three", BRIEF, |s| bounded::batch_jobs(s, 2.6)).on(&ALL[..6]),
        one("jobs, many", BRIEF, |s| bounded::batch_jobs(s, 17.3)),
        one("cycles, three collections", Truth::Not(&[GcOnly]), |s| bounded::cycles(s, 3.4, false))
            .on(&ALL[..6]),
        one("cycles, many collections", Truth::Not(&[GcOnly]), |s| bounded::cycles(s, 33.0, false)),
        one("cycles, some of them old", Truth::Not(&[GcOnly]), |s| bounded::cycles(s, 60.0, true)),
        one("cycles in a loop", Truth::Not(&[GcOnly]), |s| bounded::cycles(s, 7.2, false)).on(LOOPS),
        one("cycles among what a call uses", Truth::Not(&[GcOnly]), |s| {
            let between = s.end() / s.requests.len() as f64;
            bounded::churn(s, 20, between / 3.0);
            bounded::cycles(s, s.requests.len() as f64 / 20.0, false);
        })
        .on(BUSY),
        one("cycles among what is used for as long", BRIEF, |s| {
            let between = s.end() / s.requests.len() as f64;
            bounded::churn(s, 10, 5.0 * between);
            bounded::cycles(s, s.requests.len() as f64 / 20.0, false);
        })
        .on(BUSY),
        one("array that was filled", STAYS, |s| bounded::array(s, 0.4)),
        one("replaced now and then", BRIEF, |s| bounded::replaced(s, 9, 1)),
        one("replaced, many blocks", BRIEF, |s| bounded::replaced(s, 6, 300)),
        one("stopped half way", STAYS, |s| bounded::stopped(s, 0.5)),
        one("stopped after three quarters", STAYS, |s| bounded::stopped(s, 0.75)),
        several("workers: start-up", Truth::Not(&[Resident]), WORKERS, |s, _| s.load_at_startup(800, 200.0)),
        several("workers: a request's blocks", PASSES, WORKERS, |s, _| bounded::churn(s, 3, 5.0)),
        several("replaced workers: start-up", Truth::Not(&[Resident]), REPLACED, |s, _| {
            s.load_at_startup(800, 200.0);
        }),
        several("replaced workers: cache", BOUNDED, REPLACED, |s, _| {
            bounded::cache(s, s.requests.len() / 8, None, Drop::Oldest, 0.3);
        }),
        several("replaced workers: registry", STAYS, REPLACED, |s, _| bounded::registry(s, 8.0)),
        several("replaced workers: first uses", STAYS, REPLACED, |s, _| bounded::first_uses(s, 5)),
        several("replaced workers: pool", STAYS, REPLACED, |s, _| bounded::pool(s, s.end() / 100.0)),
        called("registry that is called on", STAYS, |s| {
            bounded::registry(s, 8.0);
            s.requests.clone()
        }),
    ]
}
