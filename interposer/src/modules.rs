//! Which file is mapped where (placeholder).
use crate::stack::Sink;

/// Whether this may be the loader's description of an object.
#[inline(always)]
pub fn freed(_address: u64) -> bool {
    false
}
/// It may have been unloaded.
pub fn unloaded(_address: u64, _sink: &mut impl Sink) {}
/// Epoch of the module map.
pub fn epoch() -> u32 {
    1
}
/// Writes all modules.
pub fn write_all(_sink: &mut impl Sink) {}
