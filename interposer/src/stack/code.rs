//! Rules for code without unwind information: read off the instructions from the beginning of its function.
//!
//! The instructions are gone through in the order of their addresses, with what was pushed so far; behind a jump or a
//! return it goes on with what a jump that led there had, else with what the function has in its body. Of the places
//! behind calls in libc.so.6 that gives what the unwind information says for all, in other large libraries for 99 of
//! 100; so who uses a rule must see a return address where it says, see [`super::uncharted`].

use super::instruction::{Effect, decode};
use super::rule::{Kind, Rule, SavedRbp};

/// Longer functions are not gone through.
pub const LONGEST: u64 = 1 << 15;

/// Where registers are at an instruction.
#[derive(Clone, Copy, PartialEq, Eq)]
struct State {
    /// Bytes on the stack above rsp up to the return address; [`State::UNKNOWN`] if rsp is anywhere.
    depth: i32,
    /// The offset of the saved rbp from the CFA, 0 if rbp is the caller's.
    rbp: i16,
    /// rbp is the frame's pointer: it points to the saved one, right below the return address.
    has_frame: bool,
    /// There is no caller.
    is_outermost: bool,
}

impl State {
    const UNKNOWN: i32 = i32::MIN;
    const ENTRY: State = State { depth: 0, rbp: 0, has_frame: false, is_outermost: false };
    /// What is between the return address and where a frame's pointer points to.
    const BELOW_RETURN: i32 = 8;

    fn is_known(self) -> bool {
        self.depth != State::UNKNOWN
    }

    fn rule(self) -> Option<Rule> {
        if self.is_outermost {
            return Some(Rule::plain(Kind::Outermost));
        }
        let rbp = if self.rbp == 0 { SavedRbp::Register } else { SavedRbp::AtCfa(self.rbp) };
        let (kind, above) =
            if self.has_frame { (Kind::Bp, State::BELOW_RETURN) } else { (Kind::Sp, self.depth) };
        Rule::register(kind, above.checked_add(8).filter(|offset| *offset > 0)?, rbp)
    }

    /// rsp is moved up by `bytes`.
    fn add(&mut self, bytes: i32) {
        if self.is_known() {
            self.depth = self.depth.saturating_sub(bytes).max(-64);
        }
    }

    /// The offset from the CFA of what lies at rsp + `offset`; 0 if that is not known.
    fn cfa_offset(self, offset: i32) -> i16 {
        let known = if self.is_known() { offset.saturating_sub(self.depth).saturating_sub(8) } else { 0 };
        i16::try_from(known).unwrap_or(0)
    }

    /// What `effect` makes of it; jumps do nothing here.
    fn apply(&mut self, effect: Effect) {
        match effect {
            Effect::Adds(bytes) => self.add(bytes),
            Effect::PushesRbp => {
                self.add(-8);
                if self.rbp == 0 {
                    self.rbp = self.cfa_offset(0);
                }
            }
            Effect::PopsRbp => {
                self.add(8);
                (self.rbp, self.has_frame) = (0, false);
            }
            Effect::StoresRbp(offset) if self.rbp == 0 => self.rbp = self.cfa_offset(offset),
            Effect::LoadsRbp(offset) if self.rbp == self.cfa_offset(offset) => self.rbp = 0,
            Effect::BeginsFrame if self.depth == State::BELOW_RETURN && self.rbp == -16 => {
                self.has_frame = true
            }
            Effect::SetsFromRbp(offset) if self.has_frame => {
                self.depth = State::BELOW_RETURN.saturating_sub(offset);
            }
            Effect::Leaves if self.has_frame => {
                self.depth = State::BELOW_RETURN - 8;
                (self.rbp, self.has_frame) = (0, false);
            }
            Effect::Moves | Effect::SetsFromRbp(_) | Effect::Leaves => self.depth = State::UNKNOWN,
            // Who clears rbp without having saved it has no caller: so the ABI marks the outermost frame.
            Effect::ClearsRbp => self.is_outermost |= self.rbp == 0,
            _ => {}
        }
    }
}

/// States at the targets of jumps that were not reached yet.
struct Targets {
    known: [(u32, State); Targets::MOST],
    next: usize,
}

impl Targets {
    /// More are forgotten, the oldest first.
    const MOST: usize = 16;

    fn add(&mut self, at: u32, state: State) {
        let len = self.known.len();
        if let Some(place) = self.known.get_mut(self.next % len) {
            *place = (at, state);
            self.next += 1;
        }
    }

    fn at(&self, at: u32) -> Option<State> {
        self.known.iter().find(|target| target.0 == at).map(|target| target.1)
    }
}

/// The way through a function.
struct Path {
    state: State,
    /// The state of most branches, and where most is on the stack.
    body: State,
    deepest: State,
    targets: Targets,
    /// Whether the instruction before goes on here.
    reached: bool,
}

impl Path {
    fn new() -> Path {
        let targets = Targets { known: [(0, State::ENTRY); Targets::MOST], next: 0 };
        Path { state: State::ENTRY, body: State::ENTRY, deepest: State::ENTRY, targets, reached: true }
    }

    /// Goes through all instructions before offset `wanted`, where one must begin. Calls `unexpected` with the offsets
    /// to which nothing led.
    fn go_through(&mut self, code: &[u8], wanted: usize, mut unexpected: impl FnMut(u32)) -> Option<()> {
        let mut at = 0;
        while at < wanted {
            let instruction = decode(code.get(at..)?)?;
            let is_padding = !self.reached && instruction.effect == Effect::Pads;
            if !is_padding {
                if !self.reached && self.targets.at(at as u32).is_none() {
                    unexpected(at as u32);
                }
                self.come_to(at as u32);
            }
            at += instruction.len;
            if !is_padding {
                self.pass(instruction.effect, at as u32);
            }
        }
        (at == wanted).then_some(())
    }

    /// Comes to the instruction at offset `at`.
    fn come_to(&mut self, at: u32) {
        if let Some(known) = self.targets.at(at) {
            self.state = known;
        } else if !self.reached {
            self.state = if self.body == State::ENTRY { self.deepest } else { self.body };
        }
        self.reached = true;
    }

    /// Goes through an instruction that ends at offset `end`.
    fn pass(&mut self, effect: Effect, end: u32) {
        self.state.apply(effect);
        if let Effect::Branches(distance) | Effect::Jumps(distance) = effect
            && let Ok(target) = u32::try_from(end as i64 + distance)
            && target > end
        {
            self.targets.add(target, self.state);
        }
        self.reached = !matches!(effect, Effect::Jumps(_) | Effect::Ends);
        let is_in_body = matches!(effect, Effect::Branches(_)) && self.state.depth >= self.body.depth;
        if is_in_body || self.state.has_frame {
            self.body = self.state;
        }
        if self.state.depth > self.deepest.depth {
            self.deepest = self.state;
        }
    }
}

/// The rule for a frame that goes on at offset `wanted` of `code`, which begins with a function; behind a call, or
/// `interrupted` before any instruction.
#[inline(never)]
pub fn rule_at(code: &[u8], wanted: usize, interrupted: bool) -> Option<Rule> {
    let mut path = Path::new();
    path.go_through(code, wanted, |_| {})?;
    if interrupted {
        path.come_to(wanted as u32);
    }
    path.state.rule()
}

/// Offsets in `code` up to `wanted` at which functions may begin, the last ones, latest first: where the code begins, and
/// behind jumps and returns where no jump leads to.
#[inline(never)]
pub fn beginnings(code: &[u8], wanted: usize) -> [u32; 8] {
    let mut found = [0; 8];
    let note = |at| {
        found.rotate_right(1);
        found[0] = at;
    };
    // What cannot be decoded ends the search: the ones found so far are tried.
    let _ = Path::new().go_through(code, wanted, note);
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::modules;

    /// Places behind calls.
    #[derive(Default, Debug)]
    struct Counts {
        all: u32,
        /// The code gives what the unwind information says.
        same: u32,
    }

    fn is_call(code: &[u8]) -> bool {
        code[0] == 0xe8 || code[0] == 0xff && code[1] >> 3 & 7 == 2
    }

    /// Compares in all functions of the library in which `address` lies.
    fn compare(address: u64) -> Counts {
        let module = modules::code_at(address).unwrap();
        let info = module.unwind_info().unwrap();
        let number = |at: usize| i32::from_le_bytes(info.header[at..at + 4].try_into().unwrap());
        let at_entry = Rule::register(Kind::Sp, 8, SavedRbp::Register);
        let mut counts = Counts::default();
        for entry in 0..number(8) as usize {
            let begin = (info.header.as_ptr() as u64).wrapping_add_signed(number(12 + 8 * entry).into());
            let function = info.function_at(begin).unwrap();
            // Parts of functions begin with what the other part pushed.
            if function.end - begin > LONGEST || Some(info.rule_at(begin)) != at_entry {
                continue;
            }
            let code = &module.image.bytes_from(begin).unwrap()[..(function.end - begin) as usize];
            let mut at = 0;
            while let Some(instruction) = decode(&code[at..]) {
                let behind_call = is_call(&code[at..]);
                at += instruction.len;
                let expected = info.rule_at(begin + at as u64 - 1);
                if behind_call && (expected.is(Kind::Sp) || expected.is(Kind::Bp)) {
                    counts.all += 1;
                    counts.same += (rule_at(code, at, false) == Some(expected)) as u32;
                }
            }
            assert_eq!(at, code.len(), "the instructions of the function at {begin:x} fill it");
        }
        counts
    }

    #[test]
    fn agrees_with_unwind_information() {
        let counts = compare(libc::qsort as *const () as u64);
        assert!(counts.all > 1000 && counts.same * 1000 >= counts.all * 995, "{counts:?}");
    }

    #[test]
    fn an_outermost_function_clears_rbp() {
        // xor ebp, ebp; mov rdi, rsp; and rsp, -16; call.
        let start = b"\x31\xed\x48\x89\xe7\x48\x83\xe4\xf0\xe8\0\0\0\0";
        assert_eq!(rule_at(start, start.len(), false), Some(Rule::plain(Kind::Outermost)));
        // push rbp; xor ebp, ebp; call.
        let other = b"\x55\x31\xed\xe8\0\0\0\0";
        assert_eq!(rule_at(other, other.len(), false), Rule::register(Kind::Sp, 16, SavedRbp::AtCfa(-16)));
    }

    #[test]
    fn behind_a_return_it_goes_on_as_in_the_body() {
        // push rbx; je +2; pop rbx; ret; call. Twice, without the branch: another function.
        let code = b"\x53\x74\x02\x5b\xc3\xe8\0\0\0\0";
        assert_eq!(rule_at(code, code.len(), false), Rule::register(Kind::Sp, 16, SavedRbp::Register));
        let hidden = b"\x53\x5b\xc3\x0f\x1f\x00\x53\xe8\0\0\0\0";
        assert_eq!(beginnings(hidden, hidden.len()), [6, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(rule_at(hidden, 5, false), None, "not the beginning of an instruction");
    }

    #[test]
    fn a_state_is_that_of_the_instruction_before_which_a_signal_came() {
        let code = b"\x55\x48\x89\xe5\x5d\xc3";
        let at = |wanted| rule_at(code, wanted, true);
        assert_eq!(at(0), Rule::register(Kind::Sp, 8, SavedRbp::Register));
        assert_eq!(at(1), Rule::register(Kind::Sp, 16, SavedRbp::AtCfa(-16)));
        assert_eq!(at(4), Rule::register(Kind::Bp, 16, SavedRbp::AtCfa(-16)));
        assert_eq!(at(5), Rule::register(Kind::Sp, 8, SavedRbp::Register));
    }
}
