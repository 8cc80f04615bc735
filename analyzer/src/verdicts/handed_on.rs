//! What CPython hands on: a list, dict, tuple or float that is freed keeps its memory for the next one, whichever line makes
//! that. So of what one line keeps, some was allocated by lines that free all that they make, and these seem to grow.
use super::judged::Judged;
use crate::growth::{Doubt, Reason, Verdict};

/// Objects that are handed on are smaller: a tuple of 20, or the table of a dict of 5.
const SMALL: u64 = 208;
/// A line that makes and frees objects frees most of them where no memory is handed on.
const FREED: f64 = 0.9;
/// What is handed on is little of what those keep who take it.
const LITTLE: f64 = 0.05;

/// Judges anew what seems to grow by objects that others may hold. `largest`: the size of the largest block of a site that is
/// unfreed; `None` if it is not of Python.
pub fn explain(sites: &mut [Judged], largest: impl Fn(&Judged) -> Option<u64>) {
    let grows = |judged: &&mut Judged| judged.judgement.verdict == Verdict::Growing;
    let all: f64 = sites.iter_mut().filter(grows).map(|judged| judged.judgement.bytes.value).sum();
    for judged in sites.iter_mut().filter(grows) {
        let Some(freed) = judged.freed.filter(|&freed| freed >= FREED) else { continue };
        let is_little = judged.judgement.bytes.value <= LITTLE * all;
        if is_little && largest(judged).is_some_and(|largest| largest <= SMALL) {
            let judgement = judged.judgement.clone();
            judged.judgement =
                judgement.instead(Verdict::Temporary, Reason::Freed { freed }, Doubt::HandedOn);
        }
    }
}
