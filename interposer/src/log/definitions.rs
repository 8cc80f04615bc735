//! One writer's definitions: the stack nodes, modules and code objects that its events need, each written before
//! the first event that names it.

use super::cursor::Cursor;
use super::events::Writer;
use super::file;
use crate::intern::{self, Key};
use crate::process;
use crate::python;
use crate::stack::Sink;
use core::sync::atomic::Ordering::Relaxed;
use recording::layout::{CHUNK, CHUNK_HEADER, ChunkHeader, ChunkKind, IDS_PER_CHUNK, NEXT_ID_BLOCK, ROOM};
use recording::{
    Address, CodeLines, CodeObject, DefinitionEncoder, DefinitionModel, EndReason, EvalLoop, FrameKind,
    Interpreter, LONGEST, LostKind, Module, Packed, StackId,
};

/// Nodes that each writer finds again without looking into the shared table. 64 KiB.
const KNOWN_BITS: u32 = 12;

#[derive(Clone, Copy)]
#[repr(C)]
struct Known {
    key: Key,
    parent: StackId,
    /// 0 if the slot is empty.
    id: StackId,
}

/// See the module's contract. All-zero is a writer without a chunk that knows no nodes.
#[repr(C)]
pub struct Definitions {
    cursor: Cursor,
    /// The epoch of the module map that captures are in.
    epoch: u32,
    /// The epoch that the chunk's reader would assume.
    written_epoch: u32,
    model: DefinitionModel,
    known: [Known; 1 << KNOWN_BITS],
}

/// [`Definitions`] and whose they are.
pub struct Definer<'a> {
    definitions: &'a mut Definitions,
    writer: Writer,
    scratch: &'a mut [u8; LONGEST],
}

impl<'a> Definer<'a> {
    /// `scratch` is where a long record is put together.
    #[inline(always)]
    pub fn new(definitions: &'a mut Definitions, writer: Writer, scratch: &'a mut [u8; LONGEST]) -> Self {
        Definer { definitions, writer, scratch }
    }

    /// The id of the node with this key; `record` writes it if it is new.
    #[inline(always)]
    fn node_of(
        &mut self,
        key: Key,
        parent: StackId,
        record: impl FnOnce(&mut DefinitionModel) -> Packed,
    ) -> StackId {
        let slot = (key.hash(parent) >> (64 - KNOWN_BITS)) as usize;
        let known = self.definitions.known[slot];
        if known.key == key && known.parent == parent && known.id.0 != 0 {
            return known.id;
        }
        let id = self.unknown_node(key, parent, record);
        if id.is_frame() {
            self.definitions.known[slot] = Known { key, parent, id };
        }
        id
    }

    #[cold]
    #[inline(never)]
    fn unknown_node(
        &mut self,
        key: Key,
        parent: StackId,
        record: impl FnOnce(&mut DefinitionModel) -> Packed,
    ) -> StackId {
        if let Some(id) = intern::find(key, parent) {
            return id;
        }
        if !self.make_room(ROOM) {
            file::count_lost(LostKind::Stack);
            return EndReason::NotCaptured.id();
        }
        let id = self.definitions.model.next_id();
        let record = record(&mut self.definitions.model);
        self.definitions.cursor.put(record);
        intern::insert(key, parent, id)
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
        };
        definitions.model.begin_chunk(first_id);
        definitions.written_epoch = definitions.epoch;
        definitions.cursor.turn(header)
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
    fn node(&mut self, parent: StackId, pc: Address, kind: FrameKind) -> StackId {
        self.node_of(Key::new(pc, kind), parent, |model| model.node(parent, pc, kind))
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
        self.node_of(key, parent, |model| model.python_node(parent, code, instruction, entry))
    }

    #[inline(always)]
    fn merged(&mut self, native: StackId, python: StackId) -> StackId {
        self.node_of(Key::of_merged(python), native, |model| model.merged(native, python))
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
    /// The writer was left in the middle of a record: begins anew in another chunk.
    pub fn abandon(&mut self) {
        self.cursor.close();
        self.change_epoch(self.epoch);
    }

    #[cold]
    #[inline(never)]
    fn change_epoch(&mut self, epoch: u32) {
        self.epoch = epoch;
        self.known.fill(Known {
            key: Key::new(Address(0), FrameKind::Return),
            parent: StackId(0),
            id: StackId(0),
        });
    }
}

const _: () = assert!(LONGEST + 2 * ROOM < CHUNK - CHUNK_HEADER, "a long record fits into a chunk");
