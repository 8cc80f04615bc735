//! Whether a site belongs to the start of its program, as its stacks tell.
use crate::aggregate::Phase;

/// Whether a stack is of the program's start; `None` if frames do not tell.
pub fn is_start(phase: Option<Phase>) -> Option<bool> {
    phase.map(|phase| phase != Phase::Run)
}

/// A site is of the start if no more of what it keeps is not: the table of a module's names is enlarged by a line that imports.
const STRAY: f64 = 0.001;

/// Whether a site is of the program's start, by the phase of each stack and how much of it is unfreed; `None` if frames do not tell.
pub fn startup(stacks: impl Iterator<Item = (Option<Phase>, u64)>) -> Option<bool> {
    let (mut all_start, mut run, mut kept) = (true, 0, 0);
    for (phase, unfreed) in stacks {
        let is_start = is_start(phase)?;
        all_start &= is_start;
        run += if is_start { 0 } else { unfreed };
        kept += unfreed;
    }
    Some(all_start || kept > 0 && run as f64 <= STRAY * kept as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stray_block_makes_no_work_of_an_import() {
        let (import, run) = (Some(Phase::Import), Some(Phase::Run));
        let startup = |stacks: &[(Option<Phase>, u64)]| startup(stacks.iter().copied());
        assert_eq!(startup(&[(import, 0)]), Some(true));
        assert_eq!(startup(&[(import, 33_000), (run, 1)]), Some(true));
        assert_eq!(startup(&[(import, 900), (run, 1)]), Some(false));
        assert_eq!(startup(&[(import, 0), (run, 0)]), Some(false));
        assert_eq!(startup(&[(import, 9), (None, 0)]), None);
    }
}
