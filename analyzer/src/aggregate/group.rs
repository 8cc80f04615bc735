//! What makes a group when sites are not whole stacks, and what it is called.
//!
//! A group by function, line or module is that of the frame that asked for the memory: the innermost one that is not an
//! allocator's own. Where Python code runs that is the innermost Python frame, as in tracemalloc; by module it is the
//! library that the Python code has called, unless the interpreter itself has asked.
use super::by::By;
use super::frame::{Frame, Kind};
use super::paths::{PathId, Paths, hash};

/// A group: what it is for the id, what it is called, and the one frame that stands for it.
pub(super) struct Group {
    pub hash: u64,
    pub name: String,
    pub frame: Option<Frame>,
}

/// The frame that asked for the memory.
pub(super) fn asking_frame(by: By, paths: &Paths, path: PathId) -> Option<u32> {
    let python = paths.python_frame(path);
    if python.is_some() && by != By::Module {
        return python;
    }
    let asks = |frame: &u32| !paths.frame_at(*frame).is_allocator();
    let asking = paths.frame_numbers(path).find(asks);
    // A container of a standard library asks for its user; what the loader initializes asks for itself.
    let user =
        paths.frame_numbers(path).find(|frame| asks(frame) && !paths.frame_at(*frame).is_standard_library());
    let user = user.filter(|&frame| by != By::Module && !paths.frame_at(frame).is_system_library());
    match (user.or(asking), python) {
        (Some(asking), Some(python)) if paths.frame_at(asking).interpreter => Some(python),
        (Some(asking), _) => Some(asking),
        (None, _) => paths.frame_numbers(path).next(),
    }
}

/// The group of stacks whose asking frame is this one.
pub(super) fn of_frame(by: By, frame: Option<&Frame>) -> Group {
    let Some(frame) = frame else {
        return Group { hash: hash(by as u64, b"?"), name: "?".to_string(), frame: None };
    };
    let (identity, name, shown) = match by {
        By::Line => match frame.place() {
            Some(place) => (place.clone(), place, frame.clone()),
            None => (frame.identity(), frame.label(), frame.clone()),
        },
        By::Module => by_module(frame),
        _ => by_function(frame),
    };
    Group { hash: hash(by as u64, identity.as_bytes()), name, frame: Some(shown) }
}

fn by_module(frame: &Frame) -> (String, String, Frame) {
    if let Some((_, package)) = frame.origin() {
        let shown = Frame { kind: Kind::Python, module: Some(package.to_string()), ..Frame::unknown() };
        return (format!("p\0{package}"), package.to_string(), shown);
    }
    let module = frame.module_name().unwrap_or("?").to_string();
    let shown = Frame { module: frame.module.clone(), ..Frame::unknown() };
    (module, frame.module.clone().unwrap_or_else(|| "?".to_string()), shown)
}

fn by_function(frame: &Frame) -> (String, String, Frame) {
    let reason = if frame.function.is_none() { frame.reason.clone() } else { None };
    let shown = Frame { line: None, inlined: false, reason, ..frame.clone() };
    // Python has many functions of one name.
    let name = match (frame.kind, &frame.file) {
        (Kind::Python, Some(file)) => format!("{} ({file})", frame.label()),
        _ => frame.label(),
    };
    (shown.identity(), name, shown)
}

/// The group of a process or thread, whose `identity` is the same in another run.
pub(super) fn named(by: By, identity: &str, name: String) -> Group {
    Group { hash: hash(by as u64, identity.as_bytes()), name, frame: None }
}
