//! How finely the time of a run is told: by the recorded clock, in ms, or in 1,024ths of one where all its work takes no longer than
//! some hundred of them. The allocations of a thread within one ms of its clock then lie evenly in it, in their order: what
//! comes first in a loop of microseconds is told from what comes last.
use recording::{Event, StackId};

use crate::reader::{Recording, Step, Writer};

/// Ticks of a ms that is told finely.
const TICKS: u64 = 1 << 10;

/// From the clock to ticks, in which the verdicts count time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Scale {
    origin_ms: u64,
    /// Ticks in a ms.
    pub per_ms: u64,
}

impl Scale {
    /// A tick is a ms of the monotonic clock.
    pub const CLOCK: Scale = Scale { origin_ms: 0, per_ms: 1 };

    /// In ticks from this time on, monotonic ms.
    pub fn fine(origin_ms: u64) -> Scale {
        Scale { origin_ms, per_ms: TICKS }
    }

    /// Where a ms begins.
    #[inline(always)]
    pub fn ticks(self, ms: u64) -> u64 {
        ms.saturating_sub(self.origin_ms).saturating_mul(self.per_ms)
    }

    /// When a tick is, monotonic ms.
    pub fn ms(self, ticks: u64) -> f64 {
        self.origin_ms as f64 + ticks as f64 / self.per_ms as f64
    }
}

/// How many blocks each writer of a process allocated in each step of its clock.
pub struct Pace {
    scale: Scale,
    steps: Vec<Vec<u32>>,
}

impl Pace {
    /// Of a process. Reads its events; nothing, if these are told by the clock.
    pub fn of(recording: &Recording, scale: Scale) -> Pace {
        if scale == Scale::CLOCK {
            return Pace { scale, steps: Vec::new() };
        }
        let reader = recording.chunks();
        let writers = recording.writers.values();
        let steps = writers.map(|chunks| steps(Writer::new(recording, &reader, chunks))).collect();
        Pace { scale, steps }
    }

    /// When it is, of a writer whose allocations up to now were told to `walk`.
    #[inline(always)]
    pub fn now(&self, walk: &Walk, clock_ms: u64) -> u64 {
        match walk.step > 0 && walk.clock_ms == clock_ms {
            true => walk.now,
            false => self.scale.ticks(clock_ms),
        }
    }

    /// When the next allocation of a writer was, by its clock.
    #[inline(always)]
    pub fn allocated(&self, writer: usize, walk: &mut Walk, clock_ms: u64) -> u64 {
        if walk.step == 0 || walk.clock_ms != clock_ms {
            *walk = Walk { step: walk.step + 1, clock_ms, place: 0, now: 0 };
        }
        let count = self.steps.get(writer).and_then(|steps| steps.get(walk.step - 1)).copied().unwrap_or(1);
        // Of a process that still runs there may be more by now.
        let place = walk.place.min(count.saturating_sub(1));
        walk.place += 1;
        walk.now =
            self.scale.ticks(clock_ms) + self.scale.per_ms * u64::from(place) / u64::from(count.max(1));
        walk.now
    }
}

/// A place among the allocations of a writer.
#[derive(Clone, Copy, Default)]
pub struct Walk {
    /// Steps of the clock begun.
    step: usize,
    clock_ms: u64,
    /// Allocations in this step.
    place: u32,
    now: u64,
}

/// The stack of an event that allocates a block: arenas are none.
pub fn allocates(event: &Event) -> Option<StackId> {
    match *event {
        Event::Alloc { stack, .. } | Event::ReallocEnd { stack, .. } => {
            (stack != StackId::ARENA).then_some(stack)
        }
        _ => None,
    }
}

fn steps(mut writer: Writer) -> Vec<u32> {
    let (mut clock_ms, mut last) = (0, None);
    let mut steps: Vec<u32> = Vec::new();
    writer.run(|step| {
        match step {
            Step::Chunk { clock_ms: clock, .. } => clock_ms = clock.max(clock_ms),
            Step::Event(Event::Clock(clock)) => clock_ms = clock,
            Step::Event(event) if allocates(&event).is_some() => {
                if last.replace(clock_ms) != Some(clock_ms) {
                    steps.push(0);
                }
                steps.last_mut().into_iter().for_each(|count| *count = count.saturating_add(1));
            }
            _ => {}
        }
        true
    });
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn allocations_of_a_ms_lie_evenly_in_it() {
        let pace = Pace { scale: Scale::fine(1_000), steps: vec![vec![4, 1], vec![2]] };
        let mut walk = Walk::default();
        assert_eq!(pace.now(&walk, 1_001), TICKS, "nothing was allocated yet");
        let mut at = |clock_ms| pace.allocated(0, &mut walk, clock_ms);
        assert_eq!([at(1_001), at(1_001), at(1_001), at(1_001)], [1_024, 1_280, 1_536, 1_792]);
        assert_eq!([at(1_001), at(1_005), at(1_005)], [1_792, 5_120, 5_120], "more than were counted");
        assert_eq!((pace.now(&walk, 1_005), pace.now(&walk, 1_006)), (5_120, 6_144));
        assert_eq!(pace.allocated(1, &mut Walk::default(), 999), 0, "before the origin");
        assert_eq!(pace.scale.ms(5_120), 1_005.0);
    }

    #[test]
    fn by_the_clock_a_tick_is_a_ms() {
        let pace = Pace { scale: Scale::CLOCK, steps: Vec::new() };
        let mut walk = Walk::default();
        assert_eq!([7, 7, 9].map(|ms| pace.allocated(3, &mut walk, ms)), [7, 7, 9]);
    }
}
