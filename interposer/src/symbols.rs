//! The symbol tables of loaded objects: a look-up by name in the loader's order, without calling the loader.
//!
//! For a process in which nothing is unloaded meanwhile: at its start, and when memory has run out.

use crate::link_map::{self, Dynamic, LinkMap};
use core::arch::asm;

#[repr(C)]
struct Symbol {
    name: u32,
    info: u8,
    other: u8,
    section: u16,
    value: usize,
    size: usize,
}

/// Our own dynamic section, by which our place in the list is known.
fn dynamic_section() -> *const Dynamic {
    let at: *const Dynamic;
    // SAFETY: only computes an address; the linker defines _DYNAMIC in every shared object.
    unsafe { asm!("lea {}, [rip + _DYNAMIC]", out(reg) at, options(pure, nomem, nostack, preserves_flags)) };
    at
}

/// The rest of the loader's list of objects.
#[derive(Clone, Copy)]
pub struct Objects(*const LinkMap);

/// What an object defines under a name.
#[derive(Clone, Copy)]
pub struct Definition {
    /// In memory.
    pub address: usize,
    /// Bytes, as the symbol table has them.
    pub size: usize,
}

/// One object of the list.
pub struct Object {
    /// Load bias.
    pub bias: usize,
    /// The dynamic section.
    pub dynamic: *const Dynamic,
}

impl Objects {
    /// All objects.
    pub fn all() -> Objects {
        Objects(link_map::first())
    }

    /// The objects that the loader searches after us.
    pub fn after_us() -> Objects {
        let mut objects = Objects::all();
        while let Some(object) = objects.current() {
            objects = objects.next();
            if object.is_us() {
                return objects;
            }
        }
        // Loaded into a namespace of its own: everything in the base namespace is behind us.
        Objects::all()
    }

    /// The first of them.
    pub fn current(&self) -> Option<Object> {
        // SAFETY: the list's elements are the loader's, in a process that unloads nothing meanwhile.
        unsafe { self.0.as_ref() }.map(Object::of)
    }

    /// Address of the loader's entry for the first of them.
    pub fn link_map(&self) -> u64 {
        self.0 as u64
    }

    /// All but the first.
    pub fn next(&self) -> Objects {
        // SAFETY: as in `current`.
        Objects(unsafe { self.0.as_ref() }.map_or(core::ptr::null(), |map| map.next))
    }

    /// The first definition of `name`.
    pub fn symbol(&self, name: &[u8]) -> Option<usize> {
        self.defining(name)?.symbol(name)
    }

    /// The first object that defines `name`.
    pub fn defining(&self, name: &[u8]) -> Option<Object> {
        let mut objects = *self;
        while let Some(object) = objects.current() {
            if object.symbol(name).is_some() {
                return Some(object);
            }
            objects = objects.next();
        }
        None
    }
}

const DT_HASH: i64 = 4;
const DT_STRTAB: i64 = 5;
const DT_SYMTAB: i64 = 6;
const DT_GNU_HASH: i64 = 0x6fff_fef5;
const DT_VERSYM: i64 = 0x6fff_fff0;
const HIDDEN_VERSION: u16 = 0x8000;
/// `STT_FUNC`.
const FUNCTION: u8 = 2;

/// The tables of an object that a look-up reads.
struct Tables {
    strings: *const u8,
    symbols: *const Symbol,
    versions: *const u16,
    gnu_hash: *const u32,
    hash: *const u32,
}

#[repr(C)]
struct ProgramHeader {
    kind: u32,
    flags: u32,
    offset: usize,
    address: usize,
    physical: usize,
    file_size: usize,
    size: usize,
    align: usize,
}

impl Object {
    /// The object of the loader's entry `map`.
    pub fn of(map: &LinkMap) -> Object {
        Object { bias: map.bias, dynamic: map.dynamic }
    }

    /// Whether this is our own library.
    pub fn is_us(&self) -> bool {
        self.dynamic == dynamic_section()
    }

    /// The end of a shared library in memory.
    pub fn end(&self) -> usize {
        // SAFETY: a shared library's first segment begins at its load bias with the ELF header.
        unsafe {
            let headers = self.bias + *((self.bias + 32) as *const usize);
            let count = *((self.bias + 56) as *const u16) as usize;
            let headers = core::slice::from_raw_parts(headers as *const ProgramHeader, count);
            let ends = headers.iter().filter(|header| header.kind == libc::PT_LOAD);
            ends.map(|header| self.bias + header.address + header.size).max().unwrap_or(0)
        }
    }

    fn tables(&self) -> Option<Tables> {
        let mut found = [0usize; 5];
        let mut entry = self.dynamic;
        if entry.is_null() {
            return None;
        }
        // SAFETY: a dynamic section is an array that ends with tag 0.
        while let Dynamic { tag: tag @ 1.., value } = unsafe { entry.read() } {
            let kinds = [DT_STRTAB, DT_SYMTAB, DT_VERSYM, DT_GNU_HASH, DT_HASH];
            if let Some(index) = kinds.iter().position(|&kind| kind == tag) {
                // glibc has relocated these values in place, musl and the kernel's object have not.
                found[index] = if value < self.bias { value.wrapping_add(self.bias) } else { value };
            }
            // SAFETY: not past the end, which has tag 0.
            entry = unsafe { entry.add(1) };
        }
        let [strings, symbols, versions, gnu_hash, hash] = found;
        (strings != 0 && symbols != 0).then_some(Tables {
            strings: strings as *const u8,
            symbols: symbols as *const Symbol,
            versions: versions as *const u16,
            gnu_hash: gnu_hash as *const u32,
            hash: hash as *const u32,
        })
    }

    /// The last exported function of those that begin at or before `address`.
    pub fn function_before(&self, address: usize) -> Option<Definition> {
        let tables = self.tables()?;
        // SAFETY: the tables are those of a loaded object, and have as many symbols as they say.
        let symbols = unsafe { core::slice::from_raw_parts(tables.symbols, tables.count()) };
        let functions = symbols.iter().filter(|symbol| symbol.section != 0 && symbol.info & 15 == FUNCTION);
        let placed = functions.map(|symbol| (self.bias.wrapping_add(symbol.value), symbol.size));
        let last = placed.filter(|(begin, _)| *begin <= address).max()?;
        Some(Definition { address: last.0, size: last.1 })
    }

    /// The address of what [`Object::definition`] finds.
    pub fn symbol(&self, name: &[u8]) -> Option<usize> {
        self.definition(name).map(|definition| definition.address)
    }

    /// The function or data `name` that this object defines: its default version, else a hidden one.
    pub fn definition(&self, name: &[u8]) -> Option<Definition> {
        let tables = self.tables()?;
        let mut hidden = None;
        // SAFETY: the tables are those of a loaded object.
        unsafe {
            tables.each_candidate(name, |index| {
                let symbol = tables.symbols.add(index).read();
                let kind = symbol.info & 15;
                let defines = symbol.section != 0 && matches!(kind, 0..=2 | 10);
                if !defines || !same_name(tables.strings.add(symbol.name as usize), name) {
                    return None;
                }
                let mut at = self.bias.wrapping_add(symbol.value);
                if kind == 10 {
                    // An indirect function: its resolver returns the function.
                    at = core::mem::transmute::<usize, extern "C" fn() -> usize>(at)();
                }
                if !tables.versions.is_null() && tables.versions.add(index).read() & HIDDEN_VERSION != 0 {
                    hidden = Some(Definition { address: at, size: symbol.size });
                    return None;
                }
                Some(Definition { address: at, size: symbol.size })
            })
        }
        .or(hidden)
    }
}

impl Tables {
    /// How many symbols there are, up to the last that can be looked up.
    ///
    /// # Safety
    /// The tables must be those of a loaded object.
    unsafe fn count(&self) -> usize {
        // SAFETY: reads the hash tables as the ELF specification and the GNU extension lay them out.
        unsafe {
            if !self.hash.is_null() {
                return self.hash.add(1).read() as usize;
            }
            if self.gnu_hash.is_null() {
                return 0;
            }
            let [buckets, first, bloom] = [0, 1, 2].map(|i| self.gnu_hash.add(i).read() as usize);
            let bucket = self.gnu_hash.add(4 + 2 * bloom);
            let last_chain = (0..buckets).map(|i| bucket.add(i).read() as usize).max().unwrap_or(0);
            if last_chain < first {
                return 0;
            }
            let chain = bucket.add(buckets);
            let ends = (last_chain..).find(|index| chain.add(index - first).read() & 1 != 0);
            ends.map_or(0, |last| last + 1)
        }
    }

    /// Calls `visit` with the index of each symbol that may have this name, until it gives a result.
    ///
    /// # Safety
    /// The tables must be those of a loaded object.
    unsafe fn each_candidate(
        &self,
        name: &[u8],
        mut visit: impl FnMut(usize) -> Option<Definition>,
    ) -> Option<Definition> {
        // SAFETY: reads the hash tables as the ELF specification and the GNU extension lay them out.
        unsafe {
            if !self.gnu_hash.is_null() {
                let hash =
                    name.iter().fold(5381u32, |hash, &byte| hash.wrapping_mul(33).wrapping_add(byte.into()));
                let [buckets, first, bloom] = [0, 1, 2].map(|i| self.gnu_hash.add(i).read() as usize);
                let bucket = self.gnu_hash.add(4 + 2 * bloom);
                let chain = bucket.add(buckets);
                if buckets == 0 {
                    return None;
                }
                let mut index = bucket.add(hash as usize % buckets).read() as usize;
                while index >= first {
                    let entry = chain.add(index - first).read();
                    if entry | 1 == hash | 1
                        && let Some(found) = visit(index)
                    {
                        return Some(found);
                    }
                    if entry & 1 != 0 {
                        return None;
                    }
                    index += 1;
                }
            } else if !self.hash.is_null() {
                let symbols = self.hash.add(1).read() as usize;
                return (0..symbols).find_map(visit);
            }
        }
        None
    }
}

/// Whether the NUL-terminated string at `at` is `name`.
///
/// # Safety
/// `at` must point into a string table.
unsafe fn same_name(at: *const u8, name: &[u8]) -> bool {
    // SAFETY: reads no further than the first difference, and the table's string ends with NUL.
    unsafe {
        name.iter().enumerate().all(|(i, &byte)| at.add(i).read() == byte) && at.add(name.len()).read() == 0
    }
}
