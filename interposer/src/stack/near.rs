//! The rules of nearly all code, in eight bytes each: before the table of all rules ([`super::rule`]), of which they take a
//! quarter, so that more of what a program uses of them stays in the processor's nearer caches.
//!
//! An entry is one word, and so never torn. Its bits: 0-7 words from the saved rbp to the CFA, 0 if rbp is not saved; 8 the CFA is
//! relative to rbp, not rsp; 9-23 words from there to the CFA; 24-55 what of the address is not in the slot's number; 56-63 the
//! epoch of the module map. That is a small number: before it comes again, [`begin`] makes all entries 0 several times, so
//! that none is left of an epoch with the same, unless its writer slept for as long.

use core::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::Frame;
use super::rule::{Kind, Rule};

/// See the module's header.
#[derive(Clone, Copy)]
pub struct Near(u64);

const BITS: u32 = 15;
/// Where code that has entries ends.
const END: u64 = 1 << 47;
const EPOCH_SHIFT: u32 = 56;
const TAG_SHIFT: u32 = 24;
const BASE_SHIFT: u32 = 9;
const RBP_BASE: u64 = 1 << 8;
/// Epochs after which all entries are made 0.
const CLEARED: u32 = 64;

/// 256 KiB, of which a process touches what it uses: cc1plus -O1 has rules for 9,600 addresses.
static TABLE: [AtomicU64; 1 << BITS] = [const { AtomicU64::new(0) }; 1 << BITS];

impl Near {
    /// The bits of a rule, if it is of this form.
    fn bits(rule: Rule) -> Option<u64> {
        let base = if rule.is(Kind::Bp) { RBP_BASE } else { 0 };
        let words = |offset: u64, most: u64| (offset & 7 == 0 && offset / 8 <= most).then_some(offset / 8);
        let cfa =
            words(rule.cfa_offset(), (1 << (TAG_SHIFT - BASE_SHIFT)) - 1).filter(|words| *words != 0)?;
        let rbp = match rule.saves_rbp() {
            true => words(i64::from(rule.rbp_offset()).unsigned_abs(), 0xff)?,
            false => 0,
        };
        (rule.is(Kind::Sp) || rule.is(Kind::Bp)).then_some(cfa << BASE_SHIFT | base | rbp)
    }

    /// Whether the CFA is relative to rbp.
    #[inline(always)]
    pub const fn is_from_rbp(self) -> bool {
        self.0 & RBP_BASE != 0
    }

    /// From rsp or rbp to the CFA, not 0.
    #[inline(always)]
    pub const fn cfa_offset(self) -> u64 {
        self.0 >> (BASE_SHIFT - 3) & ((1 << (TAG_SHIFT - BASE_SHIFT)) - 1) << 3
    }

    /// From the saved rbp to the CFA, 0 if it is not saved.
    #[inline(always)]
    pub const fn rbp_distance(self) -> u64 {
        (self.0 & 0xff) << 3
    }

    /// The same, as the flags of a frame have it.
    #[inline(always)]
    pub const fn saved_rbp_flags(self) -> u32 {
        let distance = self.rbp_distance() as u32;
        let saves = if distance != 0 { Frame::SAVES_RBP } else { 0 };
        distance.wrapping_neg() << 16 | saves
    }
}

/// The epoch's bits of an entry.
#[inline(always)]
pub const fn tag(epoch: u32) -> u64 {
    (epoch as u64) << EPOCH_SHIFT
}

#[inline(always)]
fn entry(address: u64) -> &'static AtomicU64 {
    // Neighbouring addresses fall in neighbouring slots.
    &TABLE[(address ^ address >> BITS) as usize & ((1 << BITS) - 1)]
}

/// The rule for the code at `address`, if it is here; of the epoch with this tag. Below 2^15, where no code is, an empty entry
/// may be found, whose CFA is rsp: no step to a caller.
#[inline(always)]
pub fn lookup(address: u64, tag: u64) -> Option<Near> {
    let near = entry(address).load(Relaxed);
    let differs = (near ^ address << (TAG_SHIFT - BITS) ^ tag) >> TAG_SHIFT;
    ((differs | (address / END)) == 0).then_some(Near(near))
}

/// The rule for the code at `address` is looked up soon.
#[inline(always)]
pub fn expect(address: u64) {
    // SAFETY: a prefetch has no effect but on caches.
    unsafe { _mm_prefetch::<_MM_HINT_T0>(core::ptr::from_ref(entry(address)).cast()) };
}

/// Puts the rule for the code at `address` here, if it is of this form.
pub fn store(address: u64, tag: u64, rule: Rule) {
    if let Some(bits) = Near::bits(rule).filter(|_| address < END) {
        entry(address).store(address >> BITS << TAG_SHIFT | tag | bits, Relaxed);
    }
}

/// An epoch has begun.
#[cold]
pub fn begin(epoch: u32) {
    if epoch.is_multiple_of(CLEARED) {
        TABLE.iter().filter(|entry| entry.load(Relaxed) != 0).for_each(|entry| entry.store(0, Relaxed));
    }
}

#[cfg(test)]
mod tests {
    use super::super::rule::SavedRbp;
    use super::*;

    fn rule(kind: Kind, cfa: i32, rbp: SavedRbp) -> Rule {
        Rule::register(kind, cfa, rbp).unwrap()
    }

    #[test]
    fn a_rule_comes_back() {
        for (kind, cfa, saved) in
            [(Kind::Sp, 8, 0), (Kind::Sp, 262_136, -2040), (Kind::Bp, 16, -16), (Kind::Sp, 64, -56)]
        {
            let rbp = if saved == 0 { SavedRbp::Register } else { SavedRbp::AtCfa(saved) };
            let rule = rule(kind, cfa, rbp);
            let near = Near(tag(255) | Near::bits(rule).unwrap());
            assert_eq!(near.is_from_rbp(), kind == Kind::Bp);
            assert_eq!(
                (near.cfa_offset(), near.rbp_distance()),
                (cfa as u64, u64::from(saved.unsigned_abs()))
            );
            assert_eq!(near.saved_rbp_flags(), rule.saved_rbp_flags());
        }
    }

    #[test]
    fn rules_of_another_form_are_not_here() {
        let others = [
            rule(Kind::Sp, 262_144, SavedRbp::Register),
            rule(Kind::Sp, 12, SavedRbp::Register),
            rule(Kind::Bp, -8, SavedRbp::Register),
            rule(Kind::Bp, 0, SavedRbp::Register),
            rule(Kind::Sp, 64, SavedRbp::AtCfa(-2048)),
            rule(Kind::Sp, 64, SavedRbp::AtCfa(-12)),
            Rule::load(true, 16, 0, SavedRbp::Register),
            Rule::plain(Kind::Outermost),
            Rule::plain(Kind::NoInfo),
        ];
        assert!(others.into_iter().all(|rule| Near::bits(rule).is_none()));
    }

    // One test, since the table is the process's. The address is none that is unwound meanwhile.
    #[test]
    fn an_entry_is_found_at_its_address_in_its_epoch_alone() {
        let (address, rule) = (0x7b12_3456_7001, rule(Kind::Sp, 64, SavedRbp::Register));
        let same_slot = (1..48).map(|bit| address ^ 1 << BITS << bit ^ 1 << bit);
        store(address, tag(7), rule);
        assert_eq!(lookup(address, tag(7)).unwrap().cfa_offset(), 64);
        assert!([0, 6, 8, 255].into_iter().all(|epoch| lookup(address, tag(epoch)).is_none()));
        assert!(
            same_slot.chain([address | END, address | 1 << 63]).all(|other| lookup(other, tag(7)).is_none())
        );
        begin(CLEARED - 1);
        assert!(lookup(address, tag(7)).is_some());
        begin(CLEARED);
        assert!(lookup(address, tag(7)).is_none());
        store(address | END, tag(7), rule);
        assert!(lookup(address | END, tag(7)).is_none() && lookup(address, tag(7)).is_none());
        let empty = (0..=255).filter_map(|epoch| lookup(0x1000, tag(epoch)));
        assert!(empty.into_iter().all(|near| near.cfa_offset() == 0 && !near.is_from_rbp()));
    }
}
