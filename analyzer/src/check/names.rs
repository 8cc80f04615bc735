//! What a site is called in a baseline: the same on another machine, in another checkout, and after its lines have moved.
//!
//! A function is named with its library (`take [libshop.so]`) or its Python file (`Cart.add (shop/cart.py)`), without the
//! version of the library, the directories that differ from machine to machine, and what compilers add to names of
//! functions. A stack is named after the user's innermost function and by a hash of all of them, without their lines. What has no symbol
//! is named by its library alone.
use crate::aggregate::By;
use crate::aggregate::{Frame, Kind, Report, Site, stable_hash};
use crate::python::origin;

/// Directories of a file that are kept, where nothing tells which of them differ.
const DIRECTORIES: usize = 1;

/// What GCC and LLVM append to the name of a function of which they make several.
const CLONES: [&str; 7] = [".constprop.", ".isra.", ".part.", ".cold", ".lto_priv.", ".llvm.", " [clone "];

/// The names of a report's frames.
pub struct Names<'r> {
    report: &'r Report,
    functions: Vec<String>,
}

impl<'r> Names<'r> {
    /// Of this report.
    pub fn new(report: &'r Report) -> Names<'r> {
        Names { report, functions: report.paths.all_frames().iter().map(function).collect() }
    }

    /// The name of a site.
    pub fn of(&self, site: &Site) -> String {
        let paths = &self.report.paths;
        let frame = paths.frame_numbers(site.path).next();
        match (self.report.by, frame) {
            (By::Stack, _) => self.stack(site),
            (By::Function, Some(frame)) => self.functions[frame as usize].clone(),
            (By::Line, Some(frame)) => line(paths.frame_at(frame)),
            (By::Module, Some(frame)) => module(paths.frame_at(frame)),
            _ => site.name.clone().unwrap_or_else(|| "?".to_string()),
        }
    }

    fn stack(&self, site: &Site) -> String {
        let named = self.report.headline(site).map_or("?", |frame| &self.functions[frame as usize]);
        let hash = self
            .report
            .paths
            .frame_numbers(site.path)
            .fold(0, |hash, frame| stable_hash(hash, self.functions[frame as usize].as_bytes()));
        format!("{named} #{:012x}", hash >> 16)
    }
}

fn function(frame: &Frame) -> String {
    let name = frame.function.as_deref().map(without_clone);
    match (frame.kind, name, &frame.file) {
        (Kind::Python, name, Some(file)) => format!("{} ({})", name.unwrap_or("?"), short(file)),
        (_, Some(name), _) if frame.module.is_some() => format!("{name} {}", module(frame)),
        (_, Some(name), _) => name.to_string(),
        (_, None, _) => module(frame),
    }
}

fn line(frame: &Frame) -> String {
    match (&frame.file, frame.line) {
        (Some(file), Some(line)) => format!("{}:{line}", short(file)),
        _ => function(frame),
    }
}

/// `[libshop.so]`, of Python code the package.
fn module(frame: &Frame) -> String {
    match frame.module_name().or(frame.origin().map(|(_, package)| short(package))) {
        Some(name) => format!("[{}]", without_version(name)),
        None => "?".to_string(),
    }
}

/// `libshop.so` of `libshop.so.1.2` and of `libshop.cpython-311-x86_64-linux-gnu.so`.
fn without_version(module: &str) -> String {
    let (name, is_library) = match module.split_once(".so") {
        Some((name, version)) if version.is_empty() || version.starts_with('.') => (name, true),
        _ => (module, false),
    };
    let name = name.split_once(".cpython-").map_or(name, |(name, _)| name);
    if is_library { format!("{name}.so") } else { name.to_string() }
}

fn without_clone(function: &str) -> &str {
    let end = CLONES.iter().filter_map(|clone| function.find(clone)).min().unwrap_or(function.len());
    &function[..end]
}

/// A path within its library of Python code, else its end.
fn short(file: &str) -> &str {
    origin::inside(file).unwrap_or_else(|| {
        let start = file.rmatch_indices('/').nth(DIRECTORIES).map_or(0, |(slash, _)| slash + 1);
        &file[start..]
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn native(name: Option<&str>, module: &str) -> Frame {
        let (function, module) = (name.map(str::to_string), Some(module.to_string()));
        Frame { function, module, offset: Some(0x1234), ..Frame::unknown() }
    }

    fn python(name: &str, file: &str) -> Frame {
        let (function, file) = (Some(name.to_string()), Some(file.to_string()));
        Frame { kind: Kind::Python, function, file, line: Some(7), ..Frame::unknown() }
    }

    #[test]
    fn functions_are_the_same_on_another_machine() {
        for (frame, name) in [
            (native(Some("take"), "/opt/shop/libshop.so.1.2"), "take [libshop.so]"),
            (native(Some("take.constprop.0"), "/usr/lib/libshop.so"), "take [libshop.so]"),
            (native(Some("take.part.0.cold"), "./server"), "take [server]"),
            (native(Some("f(int) [clone .isra.0]"), "/bin/server"), "f(int) [server]"),
            (native(None, "/usr/lib/libshop.so.1"), "[libshop.so]"),
            (
                native(Some("call"), "/v/lib-dynload/_ctypes.cpython-312-x86_64-linux-gnu.so"),
                "call [_ctypes.so]",
            ),
            (Frame::unknown(), "?"),
            (python("Cart.add", "/home/ci/shop/shop/cart.py"), "Cart.add (shop/cart.py)"),
            (python("f", "/a/venv/lib/python3.12/site-packages/flask/app.py"), "f (flask/app.py)"),
            (python("f", "/usr/lib/python3.11/json/decoder.py"), "f (json/decoder.py)"),
            (python("f", "app.py"), "f (app.py)"),
            (python("f", "<string>"), "f (<string>)"),
        ] {
            assert_eq!(function(&frame), name);
        }
    }

    #[test]
    fn lines_and_modules() {
        assert_eq!(line(&python("f", "/srv/shop/app.py")), "shop/app.py:7");
        assert_eq!(line(&native(Some("f"), "/bin/server")), "f [server]");
        assert_eq!(module(&python("f", "/v/site-packages/flask/app.py")), "[flask]");
        assert_eq!(module(&native(None, "/bin/some.software")), "[some.software]");
    }
}
