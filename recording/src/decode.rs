//! Bytes to records. Total: any bytes give records, then one [`Stop`].

use crate::address::{Address, StackId, shard_of};
use crate::layout::{u32_at, u64_at};
use crate::long::{self, Long};
use crate::model::{DefinitionModel, EventModel, Memory, Place, Predictors};
use crate::record::{self as tag, Definition, Event, FrameKind, Stop};
use crate::varint::{self, unzigzag};

/// Parents below this are end reasons, the others are distances.
pub(crate) const PARENT_FRAMES: u64 = 16;

/// Reads the events of one chunk. `bytes` is the chunk without its header; `model` is in its initial state with
/// the header's clock.
pub struct EventDecoder<'a> {
    bytes: &'a [u8],
    at: usize,
    gap: u64,
    model: &'a mut EventModel,
}

impl<'a> EventDecoder<'a> {
    /// Begins at the first record of a chunk that began at `clock_ms`.
    pub fn new(bytes: &'a [u8], clock_ms: u64, model: &'a mut EventModel) -> Self {
        model.begin_chunk(clock_ms, Memory::Whole);
        Self { bytes, at: 0, gap: 0, model }
    }

    /// Goes on at `at` with a model that is in the state it had there, so that a reader can leave a chunk and
    /// come back; see [`EventDecoder::position`].
    pub fn resume(bytes: &'a [u8], at: usize, model: &'a mut EventModel) -> Self {
        Self { bytes, at, gap: 0, model }
    }

    /// Offset of the next record. Between two records there is no other state than this and the model.
    pub fn position(&self) -> usize {
        self.at
    }

    /// The next record. After a [`Stop`], the same one again.
    #[inline]
    pub fn next_event(&mut self) -> Result<Event, Stop> {
        let start = self.at;
        loop {
            let Some(&tag) = self.bytes.get(self.at) else { return self.stop(start, Stop::End) };
            if tag == 0 {
                return self.stop(start, Stop::End);
            }
            // The commonest records return at once: put together with the others, their words would be copied before
            // the processor has stored them.
            let result = if tag & tag::ALLOC != 0 {
                match self.alloc(tag) {
                    Some(Ok(event)) => return Ok(event),
                    other => other,
                }
            } else if tag & tag::FREE != 0 {
                match self.free(tag) {
                    Some(Ok(event)) => return Ok(event),
                    other => other,
                }
            } else if tag & tag::SHORT_GAP != 0 {
                self.gap = self.gap.wrapping_add(u64::from(tag & 31) + 1);
                self.at += 1;
                continue;
            } else if tag == tag::STAMP_GAP {
                let mut at = self.at + 1;
                let Some(gap) = varint::read(self.bytes, &mut at) else {
                    return self.stop(start, Stop::Cut(start));
                };
                self.gap = self.gap.wrapping_add(gap);
                self.at = at;
                continue;
            } else if tag == tag::PREDICTORS {
                self.model.predictors = Predictors::Second;
                self.at += 1;
                continue;
            } else {
                self.other(tag)
            };
            return match result {
                Some(Ok(event)) => Ok(event),
                Some(Err(stop)) => self.stop(start, stop),
                None => self.stop(start, Stop::Cut(start)),
            };
        }
    }

    /// Rewinds to the record that could not be read, so that asking again gives the same answer.
    fn stop(&mut self, start: usize, stop: Stop) -> Result<Event, Stop> {
        self.at = start;
        self.gap = 0;
        Err(stop)
    }

    #[inline(always)]
    fn stamp(&mut self, address: Address) -> u64 {
        let expected = &mut self.model.next_stamp[shard_of(address)];
        let stamp = expected.wrapping_add(core::mem::take(&mut self.gap));
        *expected = stamp.wrapping_add(1);
        stamp
    }

    #[inline(always)]
    fn alloc(&mut self, tag: u8) -> Option<Result<Event, Stop>> {
        let mut at = self.at + 1;
        let place = match tag >> 4 & 3 {
            0 => Place::LastFree,
            1 => Place::Next,
            2 => Place::Difference,
            _ => Place::Third,
        };
        let site = tag >> 2 & 3;
        if site == tag::SITE_NEW && tag & 3 != 0 {
            return Some(Err(Stop::UnknownTag(self.at, tag)));
        }
        let (mut stack, mut slot) = (StackId(0), 0);
        if site == tag::SITE_NEW {
            let id = varint::read(self.bytes, &mut at)?;
            let Ok(id) = u32::try_from(id) else { return Some(Err(Stop::Malformed(self.at))) };
            stack = StackId(match self.model.predictors {
                Predictors::First => id.wrapping_add(StackId::FIRST.0),
                Predictors::Second => self.model.last_stack.wrapping_add(unzigzag(id.into()) as u32),
            });
        } else {
            slot = usize::from(tag & 3) << 8 | usize::from(*self.bytes.get(at)?);
            at += 1;
        }
        let mut difference = 0;
        if place == Place::Difference {
            difference = unzigzag(varint::read(self.bytes, &mut at)?);
        }
        let size;
        if site == tag::SITE_KNOWN || site == tag::SITE_KNOWN_GAP {
            (stack, size) = self.model.site_at(slot);
            self.gap = self.gap.wrapping_add(u64::from(site == tag::SITE_KNOWN_GAP));
        } else {
            if site == tag::SITE_STACK {
                stack = self.model.stack_at(slot);
            }
            size = varint::read(self.bytes, &mut at)?;
            self.model.site_said(stack, size);
        }
        let realloc = tag & tag::ALLOC_REALLOC != 0;
        let address = self.model.at_place(place, size, realloc, difference);
        self.model.allocated(address, size, stack, place);
        self.at = at;
        Some(Ok(self.allocation(address, size, stack, realloc)))
    }

    #[inline(always)]
    fn allocation(&mut self, address: Address, size: u64, stack: StackId, realloc: bool) -> Event {
        let stamp = self.stamp(address);
        if realloc {
            Event::ReallocEnd { address, size, stack, stamp }
        } else {
            Event::Alloc { address, size, stack, stamp }
        }
    }

    #[inline(always)]
    fn free(&mut self, tag: u8) -> Option<Result<Event, Stop>> {
        let mut at = self.at + 1;
        let address = if tag & tag::FREE_RECENT != 0 {
            let slot = usize::from(tag & 15) << 8 | usize::from(*self.bytes.get(at)?);
            at += 1;
            self.model.freed_recent(slot)
        } else {
            let (region, place) = match tag & 7 {
                tag::REGION_NEW => {
                    let distance = unzigzag(varint::read(self.bytes, &mut at)?);
                    (self.model.region_at(0).wrapping_add(distance as u64), None)
                }
                place => (self.model.region_at(place.into()), Some(usize::from(place))),
            };
            let &[low, high] = self.bytes.get(at..at + 2)?.first_chunk()?;
            at += 2;
            let mut address = Address(region << 20 | u64::from(high) << 12 | u64::from(low) << 4);
            let is_first = self.model.predictors == Predictors::First;
            let mut class = self.model.steps.class(address);
            if is_first || tag & tag::FREE_PREDICTED == 0 {
                let byte = *self.bytes.get(at)?;
                at += 1;
                let class_bits = if is_first { 0xff } else { 0x7f };
                address.0 |= u64::from(byte & !class_bits) >> 4;
                class = (byte & class_bits).into();
            }
            self.gap = self.gap.wrapping_add(u64::from(is_first && tag & tag::FREE_GAP != 0));
            self.model.region_used(region, place);
            self.model.freed_class(address, class);
            address
        };
        self.at = at;
        Some(Ok(self.release(address, tag & tag::FREE_REALLOC != 0)))
    }

    #[inline(always)]
    fn release(&mut self, address: Address, realloc: bool) -> Event {
        let stamp = self.stamp(address);
        if realloc { Event::ReallocBegin { address, stamp } } else { Event::Free { address, stamp } }
    }

    fn other(&mut self, tag: u8) -> Option<Result<Event, Stop>> {
        let bytes = self.bytes;
        let mut at = self.at + 1;
        let event = match tag {
            tag::CLOCK => {
                let moved = varint::read(bytes, &mut at)?;
                self.model.clock_ms = self.model.clock_ms.wrapping_add(moved);
                Event::Clock(self.model.clock_ms)
            }
            tag::THREAD => {
                let number = varint::read(bytes, &mut at)?;
                let tid = varint::read(bytes, &mut at)?;
                let (Ok(number), Ok(tid)) = (u32::try_from(number), u32::try_from(tid)) else {
                    return Some(Err(Stop::Malformed(self.at)));
                };
                Event::Thread { number, tid }
            }
            tag::THREAD_NAME => {
                let name = bytes.get(at..at + 15)?;
                at += 15;
                Event::ThreadName(name.try_into().ok()?)
            }
            tag::REALLOC_UNDO => {
                let address = Address(u64_at(bytes, at)?);
                at += 8;
                Event::ReallocUndo { address, stamp: self.stamp(address) }
            }
            tag::MARK => Event::Mark(varint::read(bytes, &mut at)?),
            tag::LOST => Event::Lost(varint::read(bytes, &mut at)?),
            tag::WIDE_ALLOC | tag::WIDE_REALLOC_END => {
                let stack = StackId(u32_at(bytes, at)?);
                let address = Address(u64_at(bytes, at + 4)?);
                let size = u64_at(bytes, at + 12)?;
                at += 20;
                self.model.allocated(address, size, stack, Place::Difference);
                self.allocation(address, size, stack, tag == tag::WIDE_REALLOC_END)
            }
            tag::WIDE_FREE | tag::WIDE_REALLOC_BEGIN => {
                let address = Address(u64_at(bytes, at)?);
                at += 8;
                self.model.last = address.0;
                self.release(address, tag == tag::WIDE_REALLOC_BEGIN)
            }
            _ => return Some(Err(Stop::UnknownTag(self.at, tag))),
        };
        self.at = at;
        Some(Ok(event))
    }
}

/// Reads the definitions of one chunk. `bytes` is the chunk without its header.
pub struct DefinitionDecoder<'a, 'm> {
    bytes: &'a [u8],
    at: usize,
    model: &'m mut DefinitionModel,
}

impl<'a, 'm> DefinitionDecoder<'a, 'm> {
    /// Begins at the first record of a chunk whose first node has this id.
    pub fn new(bytes: &'a [u8], first_id: u32, model: &'m mut DefinitionModel) -> Self {
        model.begin_chunk(first_id, Memory::Whole);
        Self { bytes, at: 0, model }
    }

    /// Offset of the next record.
    pub fn position(&self) -> usize {
        self.at
    }

    /// The next record. After a [`Stop`], the same one again.
    pub fn next_definition(&mut self) -> Result<Definition<'a>, Stop> {
        match self.bytes.get(self.at) {
            None | Some(0) => Err(Stop::End),
            Some(&tag) => self.record(tag).unwrap_or(Err(Stop::Cut(self.at))),
        }
    }

    fn record(&mut self, tag: u8) -> Option<Result<Definition<'a>, Stop>> {
        let bytes = self.bytes;
        let mut at = self.at + 1;
        let definition = match tag {
            tag if tag & tag::NODE != 0 => {
                if tag & 8 != 0 || (tag & tag::NODE_KNOWN_PC == 0 && tag & 7 != 0) {
                    return Some(Err(Stop::UnknownTag(self.at, tag)));
                }
                let pc = if tag & tag::NODE_KNOWN_PC != 0 {
                    let slot = usize::from(tag & 7) << 8 | usize::from(*bytes.get(at)?);
                    at += 1;
                    self.model.pc_at(slot)
                } else {
                    let difference = unzigzag(varint::read(bytes, &mut at)?);
                    Address(self.model.last_pc.wrapping_add(difference as u64))
                };
                let id = self.model.next_id();
                let parent = if tag & tag::NODE_CHAINED != 0 {
                    StackId(id.0.wrapping_sub(1))
                } else {
                    parent_at(id, varint::read(bytes, &mut at)?)
                };
                self.model.node_added(pc);
                let interrupted = tag & tag::NODE_INTERRUPTED != 0;
                let kind = if interrupted { FrameKind::Interrupted } else { FrameKind::Return };
                Definition::Node { id, parent, pc, kind }
            }
            tag if tag & tag::PYTHON_NODE != 0 => {
                if tag & 0x0f != 0 {
                    return Some(Err(Stop::UnknownTag(self.at, tag)));
                }
                let difference = unzigzag(varint::read(bytes, &mut at)?) as u32;
                let instruction = (varint::read(bytes, &mut at)? as u32).wrapping_sub(1) as i32;
                let code = self.model.last_code.wrapping_add(difference);
                let id = self.model.next_id();
                let parent = if tag & tag::PYTHON_CHAINED != 0 {
                    StackId(id.0.wrapping_sub(1))
                } else {
                    parent_at(id, varint::read(bytes, &mut at)?)
                };
                self.model.python_node_added(code);
                Definition::PythonNode { id, parent, code, instruction, entry: tag & tag::PYTHON_ENTRY != 0 }
            }
            tag::MERGED => {
                let id = self.model.next_id();
                let native = parent_at(id, varint::read(bytes, &mut at)?);
                let python = parent_at(id, varint::read(bytes, &mut at)?);
                self.model.next_id = id.0.wrapping_add(1);
                Definition::Merged { id, native, python }
            }
            tag::MODULE | tag::CODE_OBJECT | tag::CODE_LINES | tag::INTERPRETER | tag::EVAL_LOOP => {
                let (long, end) = match long::read(tag, bytes, self.at)? {
                    Ok(found) => found,
                    Err(stop) => return Some(Err(stop)),
                };
                at = end;
                match long {
                    Long::Module(module) => Definition::Module(module),
                    Long::CodeObject(code) => Definition::CodeObject(code),
                    Long::CodeLines(lines) => Definition::CodeLines(lines),
                    Long::Interpreter(interpreter) => Definition::Interpreter(interpreter),
                    Long::EvalLoop(code) => Definition::EvalLoop(code),
                }
            }
            tag::MODULE_GONE | tag::EPOCH => {
                let first = varint::read(bytes, &mut at)?;
                let second = if tag == tag::EPOCH { 0 } else { varint::read(bytes, &mut at)? };
                let (Ok(first), Ok(second)) = (u32::try_from(first), u32::try_from(second)) else {
                    return Some(Err(Stop::Malformed(self.at)));
                };
                if tag == tag::EPOCH {
                    Definition::Epoch(first)
                } else {
                    Definition::ModuleGone { number: first, epoch: second }
                }
            }
            _ => return Some(Err(Stop::UnknownTag(self.at, tag))),
        };
        self.at = at;
        Some(Ok(definition))
    }
}

const fn parent_at(id: StackId, said: u64) -> StackId {
    if said < PARENT_FRAMES {
        StackId(said as u32)
    } else {
        StackId(id.0.wrapping_add(unzigzag(said - PARENT_FRAMES) as u32))
    }
}
