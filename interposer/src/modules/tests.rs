//! The module map of this process: both ways to ask the loader, records, unloading.

use std::path::Path;

use recording::{Address, FrameKind, StackId};

use super::*;

struct Record {
    number: u32,
    bias: u64,
    inode: u64,
    segments: Vec<Segment>,
    build_id: Vec<u8>,
    path: String,
}

#[derive(Default)]
struct Records {
    modules: Vec<Record>,
    gone: Vec<(u32, u32)>,
}

impl Sink for Records {
    fn epoch(&mut self, _: u32) {}

    fn node(&mut self, _: StackId, _: Address, _: FrameKind, _: [u64; 2]) -> StackId {
        StackId::FIRST
    }

    fn module(&mut self, module: &Module) {
        self.modules.push(Record {
            number: module.number,
            bias: module.bias,
            inode: module.inode,
            segments: module.segments().collect(),
            build_id: module.build_id.to_vec(),
            path: String::from_utf8_lossy(module.path).into_owned(),
        });
    }

    fn module_gone(&mut self, number: u32, epoch: u32) {
        self.gone.push((number, epoch));
    }
}

/// Addresses in this program and in the C library.
fn code() -> [u64; 3] {
    let qsort = libc::qsort as unsafe extern "C" fn(_, _, _, _) as usize;
    [code as fn() -> [u64; 3] as usize as u64, libc_address(c"strtol"), qsort as u64]
}

fn libc_address(name: &std::ffi::CStr) -> u64 {
    // SAFETY: the name ends with NUL.
    let address = unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) };
    assert!(!address.is_null());
    address as u64
}

#[test]
fn the_list_agrees_with_the_loaders_look_up() {
    assert_eq!(loader::has_find_object(), libc_has_find_object());
    for pc in code() {
        let listed = loader::find_in_list(pc).expect("in the list");
        if loader::has_find_object() {
            let found = loader::find(pc).expect("found");
            assert_eq!((found.link_map, found.unwind_header), (listed.link_map, listed.unwind_header));
            assert_eq!(found.image().unwrap().bias, listed.image().unwrap().bias);
        }
    }
    let on_stack = 0u8;
    for pc in [0, 0x1000, (&raw const on_stack) as u64, u64::MAX] {
        assert!(loader::find_in_list(pc).is_none());
        assert!(!loader::has_find_object() || loader::find(pc).is_none());
    }
}

fn libc_has_find_object() -> bool {
    // SAFETY: the name ends with NUL.
    !unsafe { libc::dlsym(libc::RTLD_DEFAULT, c"_dl_find_object".as_ptr()) }.is_null()
}

#[test]
fn a_record_says_what_the_file_says() {
    let mut records = Records::default();
    let code = code();
    for pc in code {
        let object = loader::find_in_list(pc).unwrap();
        describe((7, 3), object.link_map, &object.image().unwrap(), &mut records);
    }
    let exe = std::env::current_exe().unwrap();
    assert_eq!(Path::new(&records.modules[0].path), exe);
    assert!(records.modules[1].path.contains("libc"), "{}", records.modules[1].path);
    for (pc, module) in code.iter().zip(&records.modules) {
        let Record { number, bias, inode, segments, build_id, path } = module;
        assert_eq!(*number, 7);
        let metadata = std::fs::metadata(path).unwrap();
        assert_eq!(std::os::unix::fs::MetadataExt::ino(&metadata), *inode);
        let holding: Vec<_> = segments
            .iter()
            .filter(|segment| pc.wrapping_sub(bias + segment.address) < segment.size)
            .collect();
        assert_eq!(holding.len(), 1);
        assert_eq!(holding[0].flags & 1, 1, "code lies in an executable segment");
        let bytes = std::fs::read(path).unwrap();
        // The bytes at the address are those of the file at the segment's offset.
        let offset = (pc - bias - holding[0].address + holding[0].offset) as usize;
        // SAFETY: 16 bytes of a function.
        let in_memory = unsafe { std::slice::from_raw_parts(*pc as *const u8, 16) };
        assert_eq!(&bytes[offset..offset + 16], in_memory);
        if !build_id.is_empty() {
            let note =
                [&[4, 0, 0, 0, build_id.len() as u8, 0, 0, 0, 3, 0, 0, 0][..], b"GNU\0", build_id].concat();
            assert!(bytes.windows(note.len()).any(|window| window == note), "{path}");
        }
    }
    assert_eq!(records.modules[1].build_id.len(), 20, "Debian's C library has a build-id");
}

#[test]
fn a_freed_link_map_ends_the_module() {
    // Not a real module: an address that no allocator hands out, entered as `register` does.
    let link_map = 0x7ffe_dcba_9870;
    let slot = Slot::claim().unwrap();
    slot.number.store(4711, Relaxed);
    let (entry, tag) = filter(link_map);
    entry.store(if entry.load(Relaxed) == 0 { tag } else { SEVERAL }, Relaxed);
    slot.link_map.store(link_map, Release);
    assert!(freed(link_map));
    let mut records = Records::default();
    let before = epoch();
    unloaded(link_map, |number, epoch| records.module_gone(number, epoch));
    assert_eq!(records.gone, [(4711, before + 1)]);
    assert!(epoch() > before);
    // The filter still knows it, the table does not.
    records.gone.clear();
    unloaded(link_map, |number, epoch| records.module_gone(number, epoch));
    assert_eq!(records.gone, []);
}

#[test]
fn few_blocks_pass_the_filter() {
    let mut records = Records::default();
    for pc in code() {
        assert!(find(pc, &mut records).is_some());
    }
    let passing = (0..100_000u64).filter(|i| freed(0x5555_5000_0000 + i * 48)).count();
    assert!(passing < 100, "{passing} of 100000");
}
