//! One ELF file on disk: its build-id, its links to other files, its sections.
//!
//! The file is mapped, not read: debug files are large and little of them is needed.
use super::Reason;
use memmap2::Mmap;
use object::{CompressionFormat, Object, ObjectSection};
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// How many times larger than the file's bytes a section may become: zlib's own limit is 1032.
const MAX_EXPANSION: u64 = 1100;

/// A mapped ELF file.
pub struct ElfFile {
    /// Where it was found.
    pub path: PathBuf,
    /// Device and inode.
    pub identity: (u64, u64),
    /// What the file system says of it.
    pub metadata: Metadata,
    data: Mmap,
}

impl ElfFile {
    /// Opens a regular file; `None` if there is none at `path`.
    pub fn open(path: &Path) -> Result<Option<Self>, Reason> {
        let unreadable = |error: io::Error| Reason::Unreadable(format!("{}: {error}", path.display()));
        // Asked before opening: to open a FIFO or a device can block or act.
        match path.metadata() {
            Ok(metadata) if metadata.is_file() => {}
            Ok(_) => return Ok(None),
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Ok(None);
            }
            Err(error) => return Err(unreadable(error)),
        }
        let file = File::open(path).map_err(unreadable)?;
        let metadata = file.metadata().map_err(unreadable)?;
        // SAFETY: the mapping is private and only read. If another process writes to the file, other bytes are seen,
        // which the parsers check like any; if it truncates the file, reading ends this process with SIGBUS. Package
        // managers and linkers replace files instead, so that hazard is accepted, as in every debugger.
        let data = unsafe { Mmap::map(&file) }.map_err(unreadable)?;
        let elf = Self { path: path.to_owned(), identity: (metadata.dev(), metadata.ino()), metadata, data };
        elf.try_parse().map_err(|error| Reason::Unreadable(format!("{}: {error}", path.display())))?;
        Ok(Some(elf))
    }

    fn try_parse(&self) -> object::Result<object::File<'_>> {
        object::File::parse(&*self.data)
    }

    /// The parsed headers; `None` only if the file changed since it was opened.
    pub fn parse(&self) -> Option<object::File<'_>> {
        self.try_parse().ok()
    }

    /// All of it.
    pub fn bytes(&self) -> &[u8] {
        &self.data
    }

    /// The build-id; empty if there is none.
    pub fn build_id(&self) -> Vec<u8> {
        self.parse().and_then(|file| file.build_id().ok().flatten().map(<[u8]>::to_vec)).unwrap_or_default()
    }

    /// Whether it has the debug information of functions and lines.
    pub fn has_debug_info(&self) -> bool {
        self.parse()
            .is_some_and(|file| file.section_by_name(".debug_info").is_some_and(|section| section.size() > 0))
    }

    /// Whether it has the full symbol table, not just the names the dynamic linker needs.
    pub fn has_symbol_table(&self) -> bool {
        self.parse().is_some_and(|file| file.symbols().next().is_some())
    }

    /// Name and checksum of a separate debug file.
    pub fn debug_link(&self) -> Option<(PathBuf, u32)> {
        let file = self.parse()?;
        let (name, checksum) = file.gnu_debuglink().ok()??;
        Some((to_path(name), checksum))
    }

    /// Name and build-id of the file that holds what several debug files share (made by `dwz -m`).
    pub fn alternate_link(&self) -> Option<(PathBuf, Vec<u8>)> {
        let file = self.parse()?;
        let (name, build_id) = file.gnu_debugaltlink().ok()??;
        Some((to_path(name), build_id.to_vec()))
    }

    /// The checksum that a `.gnu_debuglink` to this file holds.
    pub fn checksum(&self) -> u32 {
        crc32fast::hash(&self.data)
    }
}

/// Bytes of a section: borrowed, or decompressed.
pub enum SectionData<'a> {
    /// As in the file.
    Mapped(&'a [u8]),
    /// It was compressed.
    Owned(Vec<u8>),
}

/// The bytes of section `name`, none if there is no such section.
pub fn section<'a>(file: &object::File<'a>, name: &str) -> Result<SectionData<'a>, String> {
    let Some(section) = file.section_by_name(name) else { return Ok(SectionData::Mapped(&[])) };
    let named = |error: object::Error| format!("{name}: {error}");
    let compressed = section.compressed_data().map_err(named)?;
    if compressed.format == CompressionFormat::None {
        return Ok(SectionData::Mapped(compressed.data));
    }
    let limit = (compressed.data.len() as u64).saturating_mul(MAX_EXPANSION);
    if compressed.uncompressed_size > limit {
        return Err(format!("{name}: implausible size {} when decompressed", compressed.uncompressed_size));
    }
    compressed.decompress().map_err(named).map(|data| SectionData::Owned(data.into_owned()))
}

/// The path that bytes in a file spell.
pub fn to_path(bytes: &[u8]) -> PathBuf {
    PathBuf::from(std::ffi::OsStr::from_bytes(bytes))
}
