//! The words that the processes of a synthetic run share.
use recording::run;

/// Its bytes: when it began and when epochs did, monotonic ms; marks with the epoch, the time in ms, and how often each was
/// said. Names are of at most eight bytes.
pub fn words(begun_ms: u64, epochs: &[(usize, u64)], marks: &[(&str, u64, u64, u64)]) -> Vec<u8> {
    let mut words = vec![0; run::SIZE];
    words[..8].copy_from_slice(&run::MAGIC);
    let mut put = |at: usize, value: u64| words[at..at + 8].copy_from_slice(&value.to_le_bytes());
    put(run::AT_VERSION, u64::from(run::VERSION));
    put(run::AT_BEGUN, begun_ms);
    put(run::CONTROL, epochs.iter().map(|(epoch, _)| *epoch as u64).max().unwrap_or(1));
    for (epoch, ms) in epochs {
        put(run::EPOCH_TIMES + 8 * epoch, *ms);
    }
    for (index, (name, epoch, ms, said)) in marks.iter().enumerate() {
        let at = run::MARKS + run::MARK * index;
        let mut text = [0; 8];
        text[..name.len()].copy_from_slice(name.as_bytes());
        for (place, value) in [
            (run::MARK_EPOCH, *epoch),
            (run::MARK_REALTIME, (1_795_000_000_000 + ms) * 1_000_000),
            (run::MARK_MONOTONIC, ms * 1_000_000),
            (run::MARK_SAID, *said),
            (run::MARK_LENGTH, name.len() as u64),
            (run::MARK_TEXT, u64::from_le_bytes(text)),
        ] {
            put(at + place, value);
        }
    }
    words
}
