//! Work that may take only so much of one core, over time: the longer it took, the later it is done again.
use std::time::{Duration, Instant};

/// Processor time that there is for some work: an account into which a part of the time is paid.
pub struct Budget {
    /// Which part of one core it may take.
    share: f64,
    /// What is saved up at most, seconds.
    credit: f64,
    /// Seconds; below 0 what was overdrawn.
    balance: f64,
    paid: Option<Instant>,
}

impl Budget {
    /// Nothing is saved up: work is due at once, and again when it is paid for.
    pub fn new(share: f64) -> Budget {
        Budget::with_credit(share, Duration::ZERO)
    }

    /// So much is saved up, and will be again.
    pub fn with_credit(share: f64, credit: Duration) -> Budget {
        Budget { share, credit: credit.as_secs_f64(), balance: credit.as_secs_f64(), paid: None }
    }

    fn pay(&mut self, now: Instant) {
        let since = self.paid.map_or(Duration::ZERO, |paid| now.saturating_duration_since(paid));
        self.balance = (self.balance + self.share * since.as_secs_f64()).min(self.credit);
        self.paid = Some(now);
    }

    /// Whether work may be done now.
    pub fn is_due(&mut self, now: Instant) -> bool {
        self.pay(now);
        self.balance >= 0.0
    }

    /// Whether it may be done even if it does not matter: the credit need not be kept for what does.
    pub fn is_full(&mut self, now: Instant) -> bool {
        self.pay(now);
        self.balance >= self.credit
    }

    /// Does it.
    pub fn spend<T>(&mut self, now: Instant, work: impl FnOnce() -> T) -> T {
        let before = spent();
        let done = work();
        self.took(now, spent().saturating_sub(before));
        done
    }

    fn took(&mut self, now: Instant, cost: Duration) {
        self.pay(now);
        self.balance -= cost.as_secs_f64();
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
        assert!(budget.is_due(now + Duration::from_millis(2_001)));
        assert_eq!(budget.spend(now, || 7), 7);
    }

    #[test]
    fn a_credit_is_for_what_matters() {
        let now = Instant::now();
        let mut budget = Budget::with_credit(0.01, Duration::from_millis(100));
        assert!(budget.is_full(now));
        budget.took(now, Duration::from_millis(60));
        assert!(budget.is_due(now) && !budget.is_full(now));
        budget.took(now, Duration::from_millis(60));
        assert!(!budget.is_due(now));
        assert!(budget.is_due(now + Duration::from_secs(3)) && !budget.is_full(now + Duration::from_secs(3)));
        assert!(budget.is_full(now + Duration::from_secs(13)));
    }
}
