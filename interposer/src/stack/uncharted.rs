//! Frames of code without unwind information: musl's libc, some functions in assembler, stripped programs.
//!
//! What [`code`] reads off a function's instructions needs its beginning: that of an exported function is in the symbol
//! table; a hidden one is called by its own module, so that the call that leads back names it; and of what
//! is only called through pointers, the places behind the functions before are tried. A rule is believed if the word that
//! it says is a return address behind a call; of a guessed beginning, so that it explains itself.

use super::rule::{Kind, Rule};
use super::step::{Walk, is_signal_return};
use super::{Sink, code, frame_pointer};
use crate::modules::{self, Code};

/// Bytes of a hidden function's frame that are searched for the call.
const FRAME: u64 = 4096;

/// The rule for the frame of `walk`, whose code lies in `module`.
#[cold]
#[inline(never)]
pub fn rule(mut walk: Walk, module: &Code, sink: &mut impl Sink) -> Option<Rule> {
    let function = module.function_before(walk.code());
    if let Some(function) = &function
        && function.contains(&walk.code())
    {
        return read(walk, module, function.start).filter(|rule| holds(*rule, &mut walk, sink));
    }
    by_its_call(walk, module).or_else(|| behind(function?.end, walk, module, sink))
}

/// The rule if the function begins at `begin`.
fn read(walk: Walk, module: &Code, begin: u64) -> Option<Rule> {
    let len = walk.pc.checked_sub(begin).filter(|len| *len < code::LONGEST)?;
    code::rule_at(module.image.bytes_from(begin)?, len as usize, walk.interrupted)
}

/// Where `rule` says that the caller's frame begins.
fn cfa(rule: Rule, walk: &mut Walk) -> u64 {
    let base = if rule.is(Kind::Bp) { walk.bp() } else { walk.sp };
    base.wrapping_add(rule.cfa_offset())
}

/// Whether `rule` leads to code that called a function, or that the kernel had one return to.
fn holds(rule: Rule, walk: &mut Walk, sink: &mut impl Sink) -> bool {
    if rule.is(Kind::Outermost) {
        return true;
    }
    let Some(pc) = walk.region.word(cfa(rule, walk).wrapping_sub(8)) else { return false };
    let is_handler = || modules::code_at(pc)?.image.bytes_from(pc).map(is_signal_return);
    frame_pointer::is_after_call(pc, sink) || is_handler() == Some(true)
}

/// The rule by the direct call that led here: the function that it names has pushed as much as lies between.
fn by_its_call(mut walk: Walk, module: &Code) -> Option<Rule> {
    (1..=FRAME / 8).find_map(|words| {
        let expected = walk.sp.wrapping_add(words * 8);
        let begin = called(walk.region.word(expected - 8)?, module)?;
        let rule = read(walk, module, begin)?;
        (!rule.is(Kind::Outermost) && cfa(rule, &mut walk) == expected).then_some(rule)
    })
}

/// The function that the call before `pc` names, if one is there.
fn called(pc: u64, module: &Code) -> Option<u64> {
    const CALL: u8 = 0xe8;
    let begin = pc.checked_sub(5).filter(|begin| module.image.is_code(*begin))?;
    let [CALL, distance @ ..] = *module.image.bytes_from(begin)?.first_chunk::<5>()? else { return None };
    Some(pc.wrapping_add_signed(i32::from_le_bytes(distance).into()))
}

/// The rule if the function is one of those that may begin behind `end`. One that would have no caller is the last
/// choice, and is believed if rbp says so too.
fn behind(end: u64, mut walk: Walk, module: &Code, sink: &mut impl Sink) -> Option<Rule> {
    let len = walk.pc.checked_sub(end).filter(|len| *len < code::LONGEST)?;
    let places = code::beginnings(module.image.bytes_from(end)?, len as usize);
    let mut is_outermost = false;
    for place in places {
        match read(walk, module, end + u64::from(place)) {
            Some(rule) if rule.is(Kind::Outermost) => is_outermost = true,
            Some(rule) if holds(rule, &mut walk, sink) => return Some(rule),
            _ => {}
        }
    }
    (is_outermost && walk.bp() == 0).then_some(Rule::plain(Kind::Outermost))
}
