//! The files that a process had mapped, and which of them an address was in at some time.
use std::path::PathBuf;

/// A file that was mapped.
#[derive(Clone, Debug)]
pub struct Module {
    /// Number within the process.
    pub number: u32,
    /// The epoch in which it was first seen.
    pub epoch: u32,
    /// From this epoch on it was not mapped.
    pub gone: Option<u32>,
    /// Address in memory minus address in the file.
    pub bias: u64,
    /// Path as the loader had it.
    pub path: PathBuf,
    /// Build-id, empty if there was none.
    pub build_id: Vec<u8>,
    /// Its loaded segments in memory: first address and the one behind the last.
    pub ranges: Vec<(u64, u64)>,
}

impl Module {
    pub(super) fn new(module: &recording::Module) -> Module {
        use std::os::unix::ffi::OsStrExt;
        let ranges = module.segments().filter_map(|segment| {
            let start = segment.address.wrapping_add(module.bias);
            let end = start.checked_add(segment.size)?;
            (start < end).then_some((start, end))
        });
        Module {
            number: module.number,
            epoch: module.epoch,
            gone: None,
            bias: module.bias,
            path: std::ffi::OsStr::from_bytes(module.path).into(),
            build_id: module.build_id.to_vec(),
            ranges: ranges.collect(),
        }
    }

    /// Whether an address was in it while it was mapped.
    pub fn contains(&self, address: u64) -> bool {
        self.ranges.iter().any(|&(start, end)| (start..end).contains(&address))
    }

    fn mapped_in(&self, epoch: u32) -> bool {
        self.epoch <= epoch && self.gone.is_none_or(|gone| epoch < gone)
    }
}

/// Which modules cover an address: for each stretch between two bounds, the modules there, latest epoch first.
#[derive(Default)]
pub(super) struct ModuleMap {
    starts: Vec<u64>,
    covering: Vec<Vec<u32>>,
}

impl ModuleMap {
    pub fn new(modules: &[Module]) -> ModuleMap {
        let ranges = modules.iter().flat_map(|module| module.ranges.iter());
        let mut starts: Vec<u64> = ranges.flat_map(|&(start, end)| [start, end]).collect();
        starts.sort_unstable();
        starts.dedup();
        let mut covering = vec![Vec::new(); starts.len()];
        for (index, module) in modules.iter().enumerate() {
            for &(start, end) in &module.ranges {
                let (from, to) =
                    (starts.partition_point(|&s| s < start), starts.partition_point(|&s| s < end));
                covering[from..to].iter_mut().for_each(|stretch: &mut Vec<u32>| stretch.push(index as u32));
            }
        }
        for stretch in &mut covering {
            stretch.sort_by_key(|&index| std::cmp::Reverse(modules[index as usize].epoch));
        }
        ModuleMap { starts, covering }
    }

    /// The module that covers an address in this epoch: an index into `modules`.
    pub fn find(&self, modules: &[Module], address: u64, epoch: u32) -> Option<usize> {
        let stretch = self.starts.partition_point(|&start| start <= address).checked_sub(1)?;
        let found = self.covering[stretch].iter().find(|&&index| modules[index as usize].mapped_in(epoch))?;
        Some(*found as usize)
    }
}
