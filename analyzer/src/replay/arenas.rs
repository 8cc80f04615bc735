//! The memory that Python's allocator takes from the system to carve objects from. The objects are recorded
//! themselves, so arenas are in no sum: they are counted here, with what of them unfreed objects fill.
use std::collections::BTreeMap;

use recording::Address;

use super::live::Block;

/// Counts of arenas.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub struct ArenaCounts {
    /// How many there are.
    pub arenas: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Bytes of the unfreed blocks that lie in them.
    pub filled_bytes: u64,
}

impl ArenaCounts {
    /// Adds `other`; saturates, since a damaged recording may say anything.
    pub fn add(&mut self, other: &ArenaCounts) {
        self.arenas += other.arenas;
        self.bytes = self.bytes.saturating_add(other.bytes);
        self.filled_bytes = self.filled_bytes.saturating_add(other.filled_bytes);
    }
}

/// The live arenas of a process: address and size.
#[derive(Default)]
pub(super) struct Arenas(BTreeMap<u64, u64>);

impl Arenas {
    pub fn add(&mut self, address: Address, size: u64) {
        self.0.insert(address.0, size);
    }

    /// Whether there was one.
    pub fn remove(&mut self, address: Address) -> bool {
        self.0.remove(&address.0).is_some()
    }

    /// Address and size of each, in order.
    pub fn list(&self) -> Vec<(Address, u64)> {
        self.0.iter().map(|(&address, &size)| (Address(address), size)).collect()
    }

    /// Counts them, and which of these blocks lie in them.
    pub fn counts(&self, live: &[(Address, Block)]) -> ArenaCounts {
        let mut counts = ArenaCounts::default();
        for &bytes in self.0.values() {
            counts.add(&ArenaCounts { arenas: 1, bytes, filled_bytes: 0 });
        }
        let within = |address: Address| {
            let before = self.0.range(..=address.0).next_back();
            before.is_some_and(|(start, size)| address.0 - start < *size)
        };
        if counts.arenas > 0 {
            let filled = live.iter().filter(|(address, _)| within(*address)).map(|(_, block)| block.size);
            counts.filled_bytes = filled.fold(0, u64::saturating_add);
        }
        counts
    }
}
