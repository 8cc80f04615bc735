//! One writer's definitions: the stack nodes, modules and code objects that its events need, each written before
//! the first event that names it.

use super::cursor::Cursor;
use super::events::Writer;
use super::file;
use crate::intern::{self, Key};
use crate::process;
use crate::python;
use crate::stack::Sink;
use core::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
use core::sync::atomic::Ordering::Relaxed;
use recording::layout::{CHUNK, CHUNK_HEADER, ChunkHeader, ChunkKind, IDS_PER_CHUNK, NEXT_ID_BLOCK, ROOM};
use recording::{
    Address, CodeLines, CodeObject, DefinitionEncoder, DefinitionModel, EndReason, EvalLoop, FrameKind,
    Interpreter, LONGEST, LostKind, Module, Packed, StackId,
};

/// Nodes that each writer finds again without looking into the shared table: at first 2 KiB of them, at most 512 KiB,
/// which is what a request to a Flask app needs.
const KNOWN_BITS: [u32; 2] = [7, 15];
const KNOWN: usize = 1 << KNOWN_BITS[1];
/// How often, for each place, a node that the writer does not know may be in the shared table before there are more
/// places.
const FOUND_PER_PLACE: u32 = 4;

#[derive(Clone, Copy)]
#[repr(C)]
struct Known {
    /// [`Key::NONE`] if the slot is empty.
    key: Key,
    parent: StackId,
    id: StackId,
}

/// See the module's contract. All-zero is a writer without a chunk that knows no nodes.
#[repr(C)]
pub struct Definitions {
    model: DefinitionModel,
    /// From its end: what a writer of few nodes uses lies together.
    known: [Known; KNOWN],
    cursor: Cursor,
    /// The epoch of the module map that captures are in.
    epoch: u32,
    /// The epoch that the chunk's reader would assume.
    written_epoch: u32,
    /// Log2 of the places of `known` in use, less the least.
    known_bits: u32,
    /// Nodes found in the shared table since there are as many places.
    found: u32,
}

/// [`Definitions`] and whose they are.
pub struct Definer<'a> {
    definitions: &'a mut Definitions,
    writer: Writer,
    scratch: &'a mut [u8; LONGEST],
    /// The node written last, if one was: what it is a part of is new too.
    newest: Option<StackId>,
}

impl<'a> Definer<'a> {
    /// `scratch` is where a long record is put together.
    #[inline(always)]
    pub fn new(definitions: &'a mut Definitions, writer: Writer, scratch: &'a mut [u8; LONGEST]) -> Self {
        Definer { definitions, writer, scratch, newest: None }
    }

    /// The id of the node with this key and hash, made of `parts`, of which the first is its parent; `record` writes it if it is
    /// new.
    #[inline(always)]
    fn node_of<const N: usize>(
        &mut self,
        hash: u64,
        key: Key,
        parts: [StackId; N],
        record: impl FnOnce(&mut DefinitionModel) -> Packed,
    ) -> StackId {
        if let Some(known) = self.definitions.known(hash, key, parts[0]) {
            return known;
        }
        let is_new = self.newest.is_some_and(|newest| parts.contains(&newest));
        self.unknown_node(hash, key, parts[0], is_new, record)
    }

    /// Frame `pc`, called by `parent`, is not among the known nodes.
    #[cold]
    #[inline(never)]
    fn unknown_frame(
        &mut self,
        parent: StackId,
        pc: Address,
        kind: FrameKind,
        [path, next]: [u64; 2],
    ) -> StackId {
        // What it calls will not be known either.
        intern::expect(next);
        let is_new = self.newest == Some(parent);
        self.unknown_node(path, Key::new(pc, kind), parent, is_new, |model| model.node(parent, pc, kind))
    }

    #[cold]
    #[inline(never)]
    fn unknown_node(
        &mut self,
        hash: u64,
        key: Key,
        parent: StackId,
        is_new: bool,
        record: impl FnOnce(&mut DefinitionModel) -> Packed,
    ) -> StackId {
        let id = self.find_or_write(hash, key, parent, is_new, record);
        if id.is_frame() {
            *self.definitions.known_at(hash) = Known { key, parent, id };
        }
        id
    }

    #[inline(always)]
    fn find_or_write(
        &mut self,
        hash: u64,
        key: Key,
        parent: StackId,
        is_new: bool,
        record: impl FnOnce(&mut DefinitionModel) -> Packed,
    ) -> StackId {
        if !is_new && let Some(id) = intern::find_at(hash, key, parent) {
            self.definitions.found_elsewhere();
            return id;
        }
        if !self.make_room(ROOM) {
            file::count_lost(LostKind::Stack);
            return EndReason::NotCaptured.id();
        }
        let id = self.definitions.model.next_id();
        let record = record(&mut self.definitions.model);
        self.definitions.cursor.put(record);
        self.newest = Some(id);
        intern::insert_at(hash, key, parent, id)
    }

    /// Room for a record of `size` bytes, and the epoch written before it.
    fn make_room(&mut self, size: usize) -> bool {
        let needed = size + ROOM;
        let definitions = &mut *self.definitions;
        if !definitions.cursor.has_room(needed) && !definitions.cursor.grow(needed) {
            let Some(block) = file::word(NEXT_ID_BLOCK) else { return self.turn(0, needed) };
            let first = block.fetch_add(1, Relaxed);
            if first >= (u32::MAX / IDS_PER_CHUNK) as u64 {
                return false;
            }
            return self.turn(first as u32 * IDS_PER_CHUNK, needed);
        }
        if definitions.written_epoch != definitions.epoch {
            definitions.written_epoch = definitions.epoch;
            let record = definitions.model.epoch(definitions.epoch);
            definitions.cursor.put(record);
        }
        true
    }

    /// Writes a long record, which `write` puts together in the memory that it is given.
    #[cold]
    #[inline(never)]
    fn put_long(&mut self, write: impl FnOnce(&mut [u8]) -> usize) {
        let len = write(self.scratch);
        if len != 0 && self.make_room(len + ROOM) {
            self.definitions.cursor.put_bytes(self.scratch.get(..len).unwrap_or(&[]));
        }
    }

    fn turn(&mut self, first_id: u32, needed: usize) -> bool {
        if !process::is_recording() {
            return false;
        }
        let definitions = &mut *self.definitions;
        let header = ChunkHeader {
            kind: ChunkKind::Definitions,
            writer: self.writer.writer,
            ordinal: 0,
            thread: self.writer.thread,
            tid: self.writer.tid,
            clock_ms: 0,
            first_id,
            epoch: definitions.epoch,
            process: 0,
        };
        let memory = definitions.cursor.memory();
        definitions.model.begin_chunk(first_id, memory);
        definitions.written_epoch = definitions.epoch;
        definitions.cursor.turn(header, memory)
            && (definitions.cursor.has_room(needed) || definitions.cursor.grow(needed))
    }
}

impl Sink for Definer<'_> {
    #[inline(always)]
    fn epoch(&mut self, epoch: u32) {
        if self.definitions.epoch != epoch {
            self.definitions.change_epoch(epoch);
        }
    }

    #[inline(always)]
    fn node(&mut self, parent: StackId, pc: Address, kind: FrameKind, paths: [u64; 2]) -> StackId {
        self.unknown_frame(parent, pc, kind, paths)
    }

    #[inline(always)]
    fn expect(&mut self, path: u64) {
        let place: *const Known = self.definitions.known_at(path);
        // SAFETY: has no effect but on caches.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(place.cast()) };
    }

    #[inline(always)]
    fn known(&mut self, parent: StackId, pc: Address, path: u64) -> Option<StackId> {
        self.definitions.known(path, Key::new(pc, FrameKind::Return), parent)
    }

    #[cold]
    fn module(&mut self, module: &Module) {
        self.put_long(|out| module.write(out));
    }

    #[cold]
    fn module_gone(&mut self, number: u32, epoch: u32) {
        if self.make_room(ROOM) {
            let record = self.definitions.model.module_gone(number, epoch);
            self.definitions.cursor.put(record);
        }
    }
}

impl python::Sink for Definer<'_> {
    #[inline(always)]
    fn python_node(&mut self, parent: StackId, code: u32, instruction: i32, entry: bool) -> StackId {
        let key = Key::of_python(code, instruction, entry);
        self.node_of(key.hash(parent), key, [parent], |model| {
            model.python_node(parent, code, instruction, entry)
        })
    }

    #[inline(always)]
    fn merged(&mut self, native: StackId, python: StackId) -> StackId {
        let key = Key::of_merged(python);
        self.node_of(key.hash(native), key, [native, python], |model| model.merged(native, python))
    }

    #[cold]
    fn code_object(&mut self, code: &CodeObject) {
        self.put_long(|out| code.write(out));
    }

    #[cold]
    fn code_lines(&mut self, lines: &CodeLines) {
        self.put_long(|out| lines.write(out));
    }

    #[cold]
    fn interpreter(&mut self, interpreter: &Interpreter) {
        self.put_long(|out| interpreter.write(out));
    }

    #[cold]
    fn eval_loop(&mut self, code: &EvalLoop) {
        self.put_long(|out| code.write(out));
    }
}

impl Definitions {
    /// Where a node with this hash is if it is known.
    #[inline(always)]
    fn known_at(&mut self, hash: u64) -> &mut Known {
        let slot = hash >> (64 - KNOWN_BITS[0] - self.known_bits);
        &mut self.known[KNOWN - 1 - slot as usize % KNOWN]
    }

    /// The node, if it is known.
    #[inline(always)]
    fn known(&mut self, hash: u64, key: Key, parent: StackId) -> Option<StackId> {
        let known = self.known_at(hash);
        (known.key == key && known.parent == parent).then_some(known.id)
    }

    /// A node was not among the known ones, but in the shared table: more places are taken into use where that is often so.
    fn found_elsewhere(&mut self) {
        self.found += 1;
        let bits = KNOWN_BITS[0] + self.known_bits;
        if self.found > FOUND_PER_PLACE << bits && bits < KNOWN_BITS[1] {
            self.found = 0;
            self.known_bits += 1;
        }
    }

    /// The epoch of the module map that captures are in.
    pub fn epoch(&self) -> u32 {
        self.epoch
    }

    /// The writer was left in the middle of a record: begins anew in another chunk.
    pub fn abandon(&mut self) {
        self.cursor.close();
        self.change_epoch(self.epoch);
    }

    #[cold]
    #[inline(never)]
    fn change_epoch(&mut self, epoch: u32) {
        self.epoch = epoch;
        let in_use = 1 << (KNOWN_BITS[0] + self.known_bits);
        for known in self.known.iter_mut().rev().take(in_use) {
            known.key = Key::NONE;
        }
    }
}

const _: () = assert!(LONGEST + 2 * ROOM < CHUNK - CHUNK_HEADER, "a long record fits into a chunk");
