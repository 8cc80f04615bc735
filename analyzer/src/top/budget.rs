//! Work that may take only so much of one core, over time: the longer it took, the later it is done again.
use std::time::{Duration, Instant};

/// When some work is due again.
pub struct Budget {
    /// Which part of one core it may take.
    share: f64,
    next: Option<Instant>,
}

impl Budget {
    /// Due at once.
    pub fn new(share: f64) -> Budget {
        Budget { share, next: None }
    }

    /// Whether it may be done now.
    pub fn is_due(&self, now: Instant) -> bool {
        self.next.is_none_or(|next| next <= now)
    }

    /// Does it.
    pub fn spend<T>(&mut self, now: Instant, work: impl FnOnce() -> T) -> T {
        let before = spent();
        let done = work();
        self.took(now, spent().saturating_sub(before));
        done
    }

    fn took(&mut self, now: Instant, cost: Duration) {
        self.next = now.checked_add(cost.div_f64(self.share));
    }
}

/// Processor time that this process has taken: what waits for a processor, or for the disk, costs nobody anything.
fn spent() -> Duration {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `now` is a valid timespec to write to, and the call has no other effect.
    let failed = unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut now) } != 0;
    if failed { Duration::ZERO } else { Duration::new(now.tv_sec as u64, now.tv_nsec as u32) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn costly_work_is_done_rarely() {
        let now = Instant::now();
        let mut budget = Budget::new(0.01);
        assert!(budget.is_due(now), "the first time");
        budget.took(now, Duration::from_millis(20));
        assert!(!budget.is_due(now + Duration::from_millis(1_999)));
        assert!(budget.is_due(now + Duration::from_secs(2)));
        assert_eq!(budget.spend(now, || 7), 7);
    }
}
