//! How to find a frame's caller: one `u64` for each code address, and the table in which all threads keep them.
//!
//! The bits of a rule: 0-2 kind; 3 rbp is saved; 4 the base is rbp, not rsp; 5 rbp is saved at rbp + offset, not
//! at CFA + offset; 8-15 words to add after the load; 16-31 offset of the saved rbp; 32-63 offset of the CFA.
//!
//! The table is lossy and lock-free: an entry is two words, rule and key, with
//! `key = address ^ mix(rule) ^ mix(epoch)`. Readers load the rule, then the key; writers store the rule, then the
//! key; all relaxed. A torn pair, or one of another epoch of the module map, does not match (but for a chance
//! collision of the 64-bit products); a lost store costs a second computation. The epoch is read before the rule
//! is computed, so that a rule of a module that goes away meanwhile is stored under the old epoch.

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::near;

/// See the module's header. 0 is no rule.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rule(pub u64);

/// What a [`Rule`] is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u64)]
pub enum Kind {
    /// CFA = rsp + offset.
    Sp = 1,
    /// CFA = rbp + offset.
    Bp = 2,
    /// The return address is undefined: the outermost frame.
    Outermost = 3,
    /// CFA = word at base + offset, plus some words: functions that align their frame.
    Load = 4,
    /// The code to which a signal handler returns: the caller's registers are in the `ucontext` at rsp.
    Signal = 5,
    /// Code without unwind information.
    NoInfo = 6,
    /// Unwind information of another form.
    Unsupported = 7,
}

/// Where the caller's rbp is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SavedRbp {
    /// Still in the register.
    Register,
    /// At CFA + offset.
    AtCfa(i16),
    /// At rbp + offset; only in rules of kind [`Kind::Load`].
    AtRbp(i16),
}

/// The same bit as in the flags of a frame.
const RBP_SAVED: u64 = super::Frame::SAVES_RBP as u64;
const RBP_BASE: u64 = 1 << 4;
const RBP_AT_RBP: u64 = 1 << 5;

impl Rule {
    /// A kind without offsets.
    pub const fn plain(kind: Kind) -> Rule {
        Rule(kind as u64)
    }

    /// CFA = rsp or rbp + `offset`. `None` if rbp is not saved below the CFA: a step relies on it. It may be saved below
    /// rsp: behind a `pop`, of which compilers say nothing more.
    pub fn register(kind: Kind, offset: i32, rbp: SavedRbp) -> Option<Rule> {
        let is_below = match rbp {
            SavedRbp::AtCfa(saved) => saved <= -8,
            SavedRbp::Register => true,
            SavedRbp::AtRbp(_) => false,
        };
        is_below.then_some(Rule(kind as u64 | (offset as u32 as u64) << 32 | rbp_bits(rbp)))
    }

    /// CFA = word at rsp or rbp + `offset`, plus `words` words.
    pub fn load(from_rbp: bool, offset: i32, words: u8, rbp: SavedRbp) -> Rule {
        let base = if from_rbp { RBP_BASE } else { 0 };
        Rule(Kind::Load as u64 | (offset as u32 as u64) << 32 | rbp_bits(rbp) | base | (words as u64) << 8)
    }

    /// Whether the rule is of this kind.
    #[inline(always)]
    pub const fn is(self, kind: Kind) -> bool {
        self.0 & 7 == kind as u64
    }

    /// Offset of the CFA, sign-extended.
    #[inline(always)]
    pub const fn cfa_offset(self) -> u64 {
        (self.0 as i64 >> 32) as u64
    }

    /// Whether the base of a load is rbp.
    #[inline(always)]
    pub const fn loads_from_rbp(self) -> bool {
        self.0 & RBP_BASE != 0
    }

    /// What to add to the loaded word.
    #[inline(always)]
    pub const fn added(self) -> u64 {
        (self.0 >> 8 & 0xff) * 8
    }

    /// Whether the caller's rbp was saved by this frame.
    #[inline(always)]
    pub const fn saves_rbp(self) -> bool {
        self.0 & RBP_SAVED != 0
    }

    /// Whether it was saved relative to rbp and not to the CFA.
    #[inline(always)]
    pub const fn rbp_at_rbp(self) -> bool {
        self.0 & RBP_AT_RBP != 0
    }

    /// Offset of the saved rbp.
    #[inline(always)]
    pub const fn rbp_offset(self) -> i16 {
        (self.0 >> 16) as i16
    }

    /// Whether and where relative to the CFA rbp was saved, as the flags of a frame have it.
    #[inline(always)]
    pub const fn saved_rbp_flags(self) -> u32 {
        self.0 as u32 & (0xffff_0000 | RBP_SAVED as u32)
    }
}

fn rbp_bits(rbp: SavedRbp) -> u64 {
    match rbp {
        SavedRbp::Register => 0,
        SavedRbp::AtCfa(offset) => RBP_SAVED | (offset as u16 as u64) << 16,
        SavedRbp::AtRbp(offset) => RBP_SAVED | RBP_AT_RBP | (offset as u16 as u64) << 16,
    }
}

/// 2^16 entries, 1 MiB, of which a process touches what it uses: cc1plus -O1, the largest program measured, fills
/// 10,100 entries and computes 24,200 rules for 2.8 million stacks.
const BITS: u32 = 16;

#[repr(C, align(16))]
struct Entry {
    key: AtomicU64,
    rule: AtomicU64,
}

static TABLE: [Entry; 1 << BITS] =
    [const { Entry { key: AtomicU64::new(0), rule: AtomicU64::new(0) } }; 1 << BITS];

/// The parts of the keys that are the module map's epoch.
#[derive(Clone, Copy)]
pub struct Generation {
    mixed: u64,
    /// In [`near`].
    pub tag: u64,
}

impl Generation {
    /// Of this epoch.
    #[inline(always)]
    pub const fn new(epoch: u32) -> Generation {
        let mixed = (epoch as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        Generation { mixed, tag: near::tag(epoch) }
    }
}

#[inline(always)]
const fn mixed(rule: u64) -> u64 {
    rule.wrapping_mul(0xd6e8_feb8_6659_fd93)
}

#[inline(always)]
fn entry(address: u64) -> &'static Entry {
    // Neighbouring addresses fall in neighbouring slots, which keeps a function's rules in few cache lines.
    &TABLE[(address ^ address >> BITS) as usize & ((1 << BITS) - 1)]
}

/// The rule for the code at `address`, if it is in the table. It was not in [`near`], where it is after this.
#[inline(always)]
pub fn lookup(address: u64, generation: Generation) -> Option<Rule> {
    let entry = entry(address);
    let rule = entry.rule.load(Relaxed);
    let key = entry.key.load(Relaxed);
    let rule = (key ^ mixed(rule) == address ^ generation.mixed).then_some(Rule(rule))?;
    near::store(address, generation.tag, rule);
    Some(rule)
}

/// Puts the rule for the code at `address` in the table, and in [`near`].
pub fn store(address: u64, generation: Generation, rule: Rule) {
    near::store(address, generation.tag, rule);
    let entry = entry(address);
    entry.rule.store(rule.0, Relaxed);
    entry.key.store(address ^ mixed(rule.0) ^ generation.mixed, Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_keeps_its_parts() {
        let rule = Rule::register(Kind::Bp, -24, SavedRbp::AtCfa(-16)).unwrap();
        assert!(rule.is(Kind::Bp) && rule.saves_rbp() && !rule.rbp_at_rbp());
        assert_eq!((rule.cfa_offset() as i64, rule.rbp_offset()), (-24, -16));
        let rule = Rule::load(true, -8, 3, SavedRbp::AtRbp(32));
        assert!(rule.is(Kind::Load) && rule.loads_from_rbp() && rule.rbp_at_rbp());
        assert_eq!((rule.cfa_offset() as i64, rule.added(), rule.rbp_offset()), (-8, 24, 32));
        assert!(!Rule::register(Kind::Sp, 8, SavedRbp::Register).unwrap().saves_rbp());
        assert_eq!(Rule::register(Kind::Bp, 16, SavedRbp::AtCfa(0)), None);
    }

    #[test]
    fn an_entry_is_found_in_its_epoch_alone() {
        let (address, rule) = (0x7f12_3456_7001, Rule::register(Kind::Sp, 64, SavedRbp::Register).unwrap());
        store(address, Generation::new(7), rule);
        assert_eq!(lookup(address, Generation::new(7)), Some(rule));
        for epoch in [0, 6, 8, 7 + (1 << 16), u32::MAX] {
            assert_eq!(lookup(address, Generation::new(epoch)), None);
        }
        assert_eq!(lookup(address ^ 0x1_0001_0000, Generation::new(7)), None);
    }

    #[test]
    fn an_empty_entry_is_no_rule() {
        for epoch in 0..1000 {
            assert_eq!(lookup(0x1000 + epoch as u64, Generation::new(epoch)), None);
        }
    }
}
