//! Python: the frames of interpreters in this process.

mod sink;

pub use sink::Sink;
