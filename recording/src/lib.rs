//! The recording format of unfreed, version 6: what `libunfreed.so` writes and `unfreed` reads.
//!
//! A recording is a directory with one file for each process. A file is a sequence of 64 KiB chunks, each
//! decodable alone; `FORMAT.md` has the bytes. Both sides import this crate, so a record kind, a layout or a
//! predictor exists once.
//!
//! What must stay true:
//! - Encoding neither allocates nor fails: it returns bytes, or says that the wide form is needed.
//! - Decoding is total: any bytes give records and then one named [`Stop`].
//! - A record's first byte is never 0 and unwritten space is 0, so that storing the first eight bytes last
//!   commits a record and a killed process leaves no torn one.
//! - Encoder and decoder share one [`EventModel`]: a prediction is made in one place.
#![no_std]
#![forbid(unsafe_code)]

mod address;
pub mod compressed;
pub mod counts;
mod decode;
mod encode;
pub mod layout;
mod long;
mod model;
mod record;
pub mod resource;
pub mod run;
mod steps;
pub mod table;
mod varint;

pub use address::{Address, StackId, shard_of};
pub use decode::{DefinitionDecoder, EventDecoder};
pub use encode::{DefinitionEncoder, Packed, Said, Wide};
pub use long::{CodeLines, CodeObject, EvalLoop, Interpreter, LONGEST, Module, Segment};
pub use model::{DefinitionModel, EventModel, Memory};
pub use record::{Definition, EndReason, Event, FrameKind, LostKind, Stop, mark};
