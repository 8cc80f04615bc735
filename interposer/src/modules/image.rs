//! A module as it lies in memory: its ELF header, program headers, and what they lead to.
//!
//! Reads only what the file's own headers say is loaded readable; nothing is read from the file itself.

use crate::stack::bytes::Bytes;
use crate::{start, sys};

/// `Elf64_Phdr`.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct ProgramHeader {
    pub kind: u32,
    pub flags: u32,
    pub offset: u64,
    pub address: u64,
    pub physical: u64,
    pub file_size: u64,
    pub size: u64,
    pub alignment: u64,
}

const PT_LOAD: u32 = 1;
const PT_DYNAMIC: u32 = 2;
const PT_NOTE: u32 = 4;
const PT_PHDR: u32 = 6;
const PT_GNU_EH_FRAME: u32 = 0x6474_e550;
const EXECUTE: u32 = 1;
const READ: u32 = 4;
const PAGE: u64 = 4096;

/// A loaded module. Valid while it is mapped.
#[derive(Clone, Copy)]
pub struct Image {
    /// Address in memory minus address in the file.
    pub bias: u64,
    /// Address and number of its program headers.
    pub(super) headers: u64,
    pub(super) count: u64,
}

impl Image {
    /// The module whose ELF header lies at `base`, if one does.
    pub fn at(base: u64, bias: u64) -> Option<Image> {
        if base & (PAGE - 1) != 0 || base == 0 || !sys::is_readable(base as usize) {
            return None;
        }
        // SAFETY: the page is readable, and what is read lies within it.
        let (magic, offset, size, count) = unsafe {
            (
                (base as *const u32).read(),
                ((base + 32) as *const u64).read(),
                ((base + 54) as *const u16).read(),
                ((base + 56) as *const u16).read(),
            )
        };
        let end = offset.checked_add(count as u64 * size_of::<ProgramHeader>() as u64)?;
        let is_elf = magic == u32::from_le_bytes(*b"\x7fELF") && size as usize == size_of::<ProgramHeader>();
        (is_elf && end <= PAGE && offset & 7 == 0).then_some(Image {
            bias,
            headers: base + offset,
            count: count as u64,
        })
    }

    /// The main program, whose program headers the kernel gave to the loader.
    pub fn of_main_program(bias: u64) -> Option<Image> {
        let [headers, count] = [start::AT_PHDR, start::AT_PHNUM].map(start::auxiliary);
        let image = Image { bias, headers: headers? as u64, count: count? as u64 };
        // Under a loader called by hand (`ld.so program`) these are the loader's own headers.
        let own = image.headers().find(|header| header.kind == PT_PHDR)?;
        (bias.wrapping_add(own.address) == image.headers).then_some(image)
    }

    fn headers(&self) -> impl Iterator<Item = ProgramHeader> + use<> {
        let Image { headers, count, .. } = *self;
        // SAFETY: the constructors checked that `count` headers lie there in mapped memory; the module is mapped.
        (0..count).map(move |i| unsafe { (headers as *const ProgramHeader).add(i as usize).read_unaligned() })
    }

    /// The loaded segments.
    pub fn segments(&self) -> impl Iterator<Item = ProgramHeader> + use<> {
        self.headers().filter(|header| header.kind == PT_LOAD)
    }

    /// The loaded segment that holds `address`.
    fn segment(&self, address: u64) -> Option<ProgramHeader> {
        let wanted = address.wrapping_sub(self.bias);
        self.segments().find(|segment| wanted.wrapping_sub(segment.address) < segment.size)
    }

    /// The addresses of the loaded segment that holds `address`.
    pub fn segment_around(&self, address: u64) -> Option<core::ops::Range<u64>> {
        let segment = self.segment(address)?;
        let start = self.bias.wrapping_add(segment.address);
        Some(start..start.wrapping_add(segment.size))
    }

    /// Whether `address` lies in one of its segments.
    pub fn contains(&self, address: u64) -> bool {
        self.segment(address).is_some()
    }

    /// Whether `address` lies in code that can also be read.
    pub fn is_code(&self, address: u64) -> bool {
        self.segment(address).is_some_and(|segment| segment.flags & (EXECUTE | READ) == EXECUTE | READ)
    }

    /// The bytes from `address` to the end of what the file has of its segment.
    pub fn bytes_from(&self, address: u64) -> Option<&'static [u8]> {
        let segment = self.segment(address).filter(|segment| segment.flags & READ != 0)?;
        let end = self.bias.wrapping_add(segment.address).wrapping_add(segment.file_size);
        let len = end.checked_sub(address)?;
        // SAFETY: the segment is mapped and readable. The lifetime is the module's, which callers hold for as
        // long as one of its functions is on their stack.
        Some(unsafe { core::slice::from_raw_parts(address as *const u8, len as usize) })
    }

    /// Address of `.eh_frame_hdr`.
    pub fn unwind_header(&self) -> Option<u64> {
        let header = self.headers().find(|header| header.kind == PT_GNU_EH_FRAME)?;
        Some(self.bias.wrapping_add(header.address))
    }

    /// Address of the dynamic section.
    pub fn dynamic_section(&self) -> Option<u64> {
        let header = self.headers().find(|header| header.kind == PT_DYNAMIC)?;
        Some(self.bias.wrapping_add(header.address))
    }

    /// Where it begins to run, if it can.
    pub fn entry(&self) -> Option<u64> {
        let first = self.segments().find(|segment| segment.offset == 0)?;
        let header = self.bytes_from(self.bias.wrapping_add(first.address))?;
        let entry = Bytes::new(header, 24).fixed(8, false)?;
        (header.starts_with(b"\x7fELF") && entry != 0).then_some(self.bias.wrapping_add(entry as u64))
    }

    /// The build-id, empty if there is none.
    pub fn build_id(&self) -> &'static [u8] {
        let notes = self.headers().filter(|header| header.kind == PT_NOTE);
        notes.filter_map(|note| self.build_id_in(&note)).next().unwrap_or(&[])
    }

    fn build_id_in(&self, note: &ProgramHeader) -> Option<&'static [u8]> {
        const NT_GNU_BUILD_ID: usize = 3;
        let mut rest = self.bytes_from(self.bias.wrapping_add(note.address))?;
        rest = rest.get(..note.file_size as usize)?;
        let alignment = if note.alignment == 8 { 8 } else { 4 };
        loop {
            let mut words = Bytes::new(rest, 0);
            let mut word = || words.fixed(4, false).map(|word| word as usize);
            let (name, len, kind) = (word()?, word()?, word()?);
            let begin = (12 + name).next_multiple_of(alignment);
            if kind == NT_GNU_BUILD_ID && rest.get(12..12 + name) == Some(b"GNU\0") {
                return rest.get(begin..begin + len);
            }
            rest = rest.get((begin + len).next_multiple_of(alignment)..)?;
        }
    }
}
