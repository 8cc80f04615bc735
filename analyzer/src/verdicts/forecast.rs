//! When memory is used up, if what is unfreed goes on growing as it does.

/// A limit, and what is used of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Room {
    /// Bytes.
    pub limit: u64,
    /// The cgroup whose limit it is; `None`: the user named it.
    pub cgroup: Option<String>,
    /// Bytes used.
    pub used: u64,
    /// What is used is what the kernel counts, not what is unfreed.
    pub is_measured: bool,
    /// The processes in it, of those of the report.
    pub processes: Vec<usize>,
}

/// When a limit is reached.
#[derive(Clone, PartialEq, Debug)]
pub struct Forecast {
    /// Which limit.
    pub room: Room,
    /// Bytes that its processes grow by in a minute, together.
    pub per_minute: f64,
    /// Minutes from the end of the window; 0: it is reached.
    pub minutes: f64,
    /// The process that grows fastest, and the bytes that it grows by in a minute.
    pub first: Option<(usize, f64)>,
}

/// Longer than this nothing stays as it is.
const LONGEST_MINUTES: f64 = 366.0 * 24.0 * 60.0;

/// Of these limits, the one that is reached first. `rates`: bytes that each process of the report grows by in a minute.
pub fn forecast(rooms: Vec<Room>, rates: &[f64]) -> Option<Forecast> {
    let rate = |process: &usize| rates.get(*process).copied().unwrap_or(0.0);
    let forecasts = rooms.into_iter().filter_map(|room| {
        let per_minute: f64 = room.processes.iter().map(rate).sum();
        let minutes = room.limit.saturating_sub(room.used) as f64 / per_minute;
        let first = room.processes.iter().copied().max_by(|a, b| rate(a).total_cmp(&rate(b)));
        let first = first.map(|process| (process, rate(&process)));
        (per_minute > 0.0 && minutes < LONGEST_MINUTES).then_some(Forecast {
            room,
            per_minute,
            minutes,
            first,
        })
    });
    forecasts.min_by(|a, b| a.minutes.total_cmp(&b.minutes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn room(limit: u64, used: u64, processes: &[usize]) -> Room {
        Room { limit, cgroup: None, used, is_measured: true, processes: processes.to_vec() }
    }

    #[test]
    fn the_limit_that_is_reached_first() {
        let rates = [0.0, 10.0, 30.0];
        let found =
            forecast(vec![room(1_000, 200, &[0, 1, 2]), room(500, 450, &[1])], &rates).expect("both grow");
        assert_eq!((found.minutes, found.per_minute, found.first), (5.0, 10.0, Some((1, 10.0))));
        let found = forecast(vec![room(1_000, 200, &[0, 1, 2])], &rates).expect("two grow");
        assert_eq!((found.minutes, found.first), (20.0, Some((2, 30.0))));
        assert_eq!(forecast(vec![room(100, 150, &[2])], &rates).map(|found| found.minutes), Some(0.0));
        assert_eq!(forecast(vec![room(1_000, 200, &[0])], &rates), None, "nothing grows");
        assert_eq!(forecast(vec![room(u64::MAX, 200, &[1])], &rates), None, "never");
    }
}
