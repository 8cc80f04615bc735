//! Timelines of recordings whose course is known, because these tests made them.
mod synthetic;

use analyzer::growth::Lifetimes;
use analyzer::reader::Recording;
use analyzer::replay::{
    self, Axis, BUCKETS, LifetimesBySite, Moment, Options, Point, Replayed, Survivors, Timeline,
};
use synthetic::{Recorder, Scratch};

/// Recorders begin at 1 s.
const BEGUN_MS: u64 = 1_000;

fn observe(recorder: &Recorder, until: Moment, origin_ms: u64) -> (Replayed, Timeline) {
    let scratch = Scratch::new("timeline");
    let recording = Recording::open(&recorder.write(&scratch.0)).expect("it is a recording");
    let mut timeline = Timeline::new(origin_ms, recording.header.monotonic_ns / 1_000_000);
    let options = Options { until, ..Options::default() };
    let replayed = replay::observe(&recording, &options, &mut timeline, &|_| {});
    (replayed, timeline)
}

fn point(bucket: u64, born: (u64, u64), freed: (u64, u64)) -> Point {
    Point {
        bucket,
        born_blocks: born.0,
        born_bytes: born.1,
        freed_blocks: freed.0,
        freed_bytes: freed.1,
        ..Point::default()
    }
}

#[test]
fn each_site_has_what_it_did_in_each_bucket() {
    let mut r = Recorder::new(0);
    let (first, second) = (r.stack(&[0x1000]), r.stack(&[0x2000]));
    let a = r.writer();
    r.clock(a, 1_005);
    r.alloc(a, 0x10000, 10, first);
    r.alloc(a, 0x20000, 20, first);
    r.clock(a, 1_007);
    r.free(a, 0x10000);
    r.alloc(a, 0x30000, 30, second);
    r.clock(a, 1_500);
    r.realloc_begin(a, 0x20000);
    r.realloc_end(a, 0x20000, 25, second);
    let (replayed, timeline) = observe(&r, Moment::End, BEGUN_MS);
    assert_eq!(timeline.axis(), Axis { origin_ms: BEGUN_MS, shift: 0 });
    assert_eq!(timeline.buckets(), 0..=500);
    assert_eq!(
        timeline.points(0),
        [point(5, (2, 30), (0, 0)), point(7, (0, 0), (1, 10)), point(500, (0, 0), (1, 20))]
    );
    assert_eq!(timeline.points(1), [point(7, (1, 30), (0, 0)), point(500, (1, 25), (0, 0))]);
    let survivors = |bucket, bytes| Survivors { bucket, blocks: 1, bytes };
    assert_eq!(timeline.survivors(&replayed), [vec![], vec![survivors(7, 30), survivors(500, 25)]]);
    assert!(timeline.points(2).is_empty(), "a site that is not there has no points");
}

#[test]
fn what_came_after_the_moment_is_left_out() {
    let mut r = Recorder::new(0);
    let stack = r.stack(&[0x1000]);
    let a = r.writer();
    r.clock(a, 1_005);
    r.alloc(a, 0x10000, 10, stack);
    r.clock(a, 1_100);
    r.free(a, 0x10000);
    let (_, timeline) = observe(&r, Moment::Time(1_050), BEGUN_MS);
    assert_eq!(timeline.points(0), [point(5, (1, 10), (0, 0))]);
}

#[test]
fn long_recordings_have_wider_buckets_and_the_same_sums() {
    for lasts_ms in [BUCKETS - 1, BUCKETS, BUCKETS + 1, 5 * BUCKETS - 1, 1 << 30] {
        let mut r = Recorder::new(0);
        let stack = r.stack(&[0x1000]);
        let a = r.writer();
        for step in 0..=100 {
            r.clock(a, BEGUN_MS + lasts_ms * step / 100);
            r.alloc(a, 0x10000 + 64 * step, step, stack);
            if step % 2 == 0 {
                r.free(a, 0x10000 + 64 * step);
            }
        }
        // The run began long before this process: that makes its buckets no wider.
        let (replayed, timeline) = observe(&r, Moment::End, 3);
        let buckets = timeline.buckets();
        let count = buckets.end() - buckets.start() + 1;
        // Where a bucket begins before the process does, there may be one more.
        assert!(count <= BUCKETS && count > BUCKETS / 2 - 2, "{count} buckets of {lasts_ms} ms");
        let mut sum = Point::default();
        timeline.points(0).iter().for_each(|point| sum.add(point));
        assert_eq!(sum, point(0, (101, 5_050), (51, 2_550)));
        assert!(timeline.points(0).is_sorted_by(|a, b| a.bucket < b.bucket));
        assert!(timeline.points(0).iter().all(|point| buckets.contains(&point.bucket)));
        // What survived of a bucket was born in it.
        for survivors in &timeline.survivors(&replayed)[0] {
            let born = timeline.points(0).iter().find(|point| point.bucket == survivors.bucket);
            assert!(born.is_some_and(|born| born.born_blocks >= survivors.blocks));
        }
    }
}

#[test]
fn threads_whose_clocks_differ() {
    let mut r = Recorder::new(0);
    let stack = r.stack(&[0x1000]);
    let (a, b, c) = (r.writer(), r.writer(), r.writer());
    r.clock(a, 1_200);
    r.alloc(a, 0x10000, 10, stack);
    r.clock(b, 1_195); // read before the other one's, and came behind it
    r.alloc(b, 0x10040, 20, stack);
    r.clock(b, 1_300);
    r.alloc(b, 0x10080, 30, stack);
    r.free(c, 0x10080); // a thread that only frees notes no clock
    r.free(c, 0x10000);
    let (replayed, timeline) = observe(&r, Moment::End, BEGUN_MS);
    assert_eq!(
        timeline.points(0),
        [point(195, (1, 20), (0, 0)), point(200, (1, 10), (0, 0)), point(300, (1, 30), (2, 40))]
    );
    assert_eq!(timeline.survivors(&replayed)[0], [Survivors { bucket: 195, blocks: 1, bytes: 20 }]);
}

#[test]
fn processes_of_a_run_are_brought_to_one_axis() {
    let mut timelines: Vec<Timeline> = [(1, 500), (2, 70_000)]
        .into_iter()
        .map(|(pid, lasts_ms)| {
            let mut r = Recorder::new(pid);
            let stack = r.stack(&[0x1000]);
            let a = r.writer();
            for ms in (0..lasts_ms).step_by(100) {
                r.clock(a, BEGUN_MS + ms);
                r.alloc(a, 0x10000 + 64 * ms, 1, stack);
            }
            observe(&r, Moment::End, 200).1
        })
        .collect();
    assert_eq!([timelines[0].axis().shift, timelines[1].axis().shift], [0, 7]);
    replay::align(&mut timelines);
    assert_eq!(timelines[0].axis(), timelines[1].axis());
    // Buckets of 128 ms from 200 on: 1000 is in the seventh.
    let first = |timeline: &Timeline| timeline.points(0).iter().map(|p| (p.bucket, p.born_blocks)).collect();
    let points: Vec<(u64, u64)> = first(&timelines[0]);
    assert_eq!(points, [(6, 1), (7, 2), (8, 1), (9, 1)]);
    assert_eq!(timelines[0].axis().begin_ms(6), 200 + 6 * 128);
    assert_eq!(first(&timelines[1])[..3], [(6, 1), (7, 2), (8, 1)]);
}

#[test]
fn a_clock_that_cannot_be_is_no_end_of_it() {
    let mut r = Recorder::new(0);
    let stack = r.stack(&[0x1000]);
    let a = r.writer();
    r.alloc(a, 0x10000, 10, stack);
    r.clock(a, u64::MAX >> 8);
    r.alloc(a, 0x10040, 10, stack);
    let (_, timeline) = observe(&r, Moment::End, BEGUN_MS);
    let born: u64 = timeline.points(0).iter().map(|point| point.born_blocks).sum();
    assert_eq!((born, *timeline.buckets().start()), (2, 0));
}

#[test]
fn lifetimes_of_what_is_freed_in_a_window() {
    let mut r = Recorder::new(0);
    let (first, second) = (r.stack(&[0x1000]), r.stack(&[0x2000]));
    let (a, b) = (r.writer(), r.writer());
    r.clock(a, 1_100);
    (0..4).for_each(|i| r.alloc(a, 0x10000 + 64 * i, 10, first));
    r.free(a, 0x10000); // before the window
    r.clock(a, 1_200);
    r.free(a, 0x10040);
    r.alloc(a, 0x20000, 10, second);
    r.free(b, 0x20000); // at once, by a thread that notes no clock
    r.clock(a, 1_300);
    r.free(a, 0x10080);
    r.clock(a, 1_400);
    r.free(a, 0x100c0); // behind it
    let scratch = Scratch::new("lifetimes");
    let recording = Recording::open(&r.write(&scratch.0)).expect("it is a recording");
    let mut lifetimes = LifetimesBySite::new(1_150..1_400);
    let options = Options { until: Moment::End, ..Options::default() };
    replay::observe(&recording, &options, &mut lifetimes, &|_| {});
    let (mut long, mut short) = (Lifetimes::default(), Lifetimes::default());
    long.add(100, 1);
    long.add(200, 1);
    short.add(0, 1);
    assert_eq!((lifetimes.of(0), lifetimes.of(1), lifetimes.of(2)), (long, short, Lifetimes::default()));
}
