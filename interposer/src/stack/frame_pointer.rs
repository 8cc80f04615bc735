//! Code without unwind information: the caller by the frame pointer, where that checks out.
//!
//! rbp is believed if the chain of frames that it begins leads, through aligned and rising frames of the stack,
//! to a return address behind a call in the code of a known module. JIT compilers keep such chains; code that
//! uses rbp for something else fails the check, and the stack ends there.

use super::Sink;
use super::region::Region;
use crate::{modules, sys};

/// Frames of a chain that are looked at: the deepest stack that is recorded.
const LINKS: usize = super::MAX_FRAMES;

/// A chain that checks out.
pub struct Chain {
    /// All its links lie below.
    pub end: u64,
}

/// Checks the chain that begins with rbp = `bp` in a frame whose stack pointer is `sp`.
#[cold]
pub fn check(sp: u64, bp: u64, region: Region, sink: &mut impl Sink) -> Option<Chain> {
    let (mut below, mut bp) = (sp, bp);
    for _ in 0..LINKS {
        if bp & 7 != 0 || bp < below || !readable(below, bp, region) {
            return None;
        }
        let (next, pc) = (region.word(bp)?, region.word(bp + 8)?);
        below = bp + 16;
        if is_after_call(pc, sink) {
            return Some(Chain { end: below });
        }
        if pc < 4096 || next <= bp {
            return None;
        }
        bp = next;
    }
    None
}

/// The region may be older than the mapping: a word that unwind information leads to is there all the same, but
/// a guess is asked of the kernel when it leaves the page of what was read before.
fn readable(known: u64, bp: u64, region: Region) -> bool {
    let on_page = |address: u64| known >> 12 == address >> 12 || sys::is_readable(address as usize);
    region.contains(bp) && region.contains(bp.wrapping_add(15)) && on_page(bp) && on_page(bp + 8)
}

/// Whether `pc` lies in a module's code, behind a call.
pub fn is_after_call(pc: u64, sink: &mut impl Sink) -> bool {
    let Some(code) = modules::find(pc.wrapping_sub(1), sink) else { return false };
    if !code.image.is_code(pc.wrapping_sub(7)) {
        return false;
    }
    // SAFETY: seven bytes of readable code end before `pc`: both ends lie in one module's readable code.
    let before = unsafe { ((pc - 7) as *const [u8; 7]).read() };
    // call rel32, or call r/m64 (ff /2) in its lengths: register, memory, disp8, disp32, with and without SIB.
    let indirect = |at: usize, kinds: &[u8]| {
        before[at] == 0xff && before[at + 1] >> 3 & 7 == 2 && kinds.contains(&(before[at + 1] >> 6))
    };
    before[2] == 0xe8
        || indirect(5, &[0, 3])
        || indirect(4, &[0, 1])
        || indirect(3, &[1])
        || indirect(1, &[0, 2])
        || indirect(0, &[0, 2])
}
