//! What a process's recording says of Python: interpreters, their evaluation loops, and code objects.
use recording::StackId;

use crate::fast_map::FastMap;
use crate::python::lines;

/// A Python frame of a stack.
#[derive(Clone, Copy, Debug)]
pub struct PythonNode {
    /// The calling Python frame, or why there is none.
    pub parent: StackId,
    /// Number of its code object; 0: an evaluation loop that executes no Python frame.
    pub code: u32,
    /// Offset of the last instruction, bytes; -1 before the first one.
    pub instruction: i32,
    /// The outermost one of its evaluation loop.
    pub entry: bool,
}

/// A Python interpreter of the process.
#[derive(Clone, Debug)]
pub struct Interpreter {
    /// Number within the process.
    pub number: u32,
    /// `PY_VERSION_HEX`, 0 if unknown.
    pub version: u32,
    /// Its frames are recorded.
    pub walked: bool,
    /// The objects in its own pools are recorded.
    pub objects: bool,
    /// What `Py_GetVersion` says.
    pub text: String,
}

/// Code of a Python function, class or module.
#[derive(Clone, Debug)]
pub struct CodeObject {
    /// Number of its interpreter.
    pub interpreter: u32,
    /// `co_firstlineno`.
    pub first_line: i32,
    /// `co_filename`.
    pub file: String,
    /// `co_qualname`; `co_name` before Python 3.11.
    pub name: String,
    lines: Vec<u8>,
    lines_size: u32,
}

/// All that was said of Python.
#[derive(Default)]
pub struct Python {
    /// The interpreters, as recorded.
    pub interpreters: Vec<Interpreter>,
    codes: FastMap<u32, CodeObject>,
    /// First address of each evaluation loop, and the one behind its last; in order, none overlaps another.
    loops: Vec<(u64, u64)>,
}

impl Interpreter {
    /// The version as people say it: `3.11.7`, `3.13.0 experimental free-threading build`.
    pub fn name(&self) -> String {
        match self.text.split('(').next().map(str::trim) {
            Some(version) if !version.is_empty() => version.to_string(),
            _ if self.version != 0 => format!("{}.{}", self.version >> 24, self.version >> 16 & 0xff),
            _ => "of an unknown version".to_string(),
        }
    }
}

impl Python {
    pub(super) fn add_interpreter(&mut self, interpreter: &recording::Interpreter) {
        if self.interpreters.iter().all(|known| known.number != interpreter.number) {
            self.interpreters.push(Interpreter {
                number: interpreter.number,
                version: interpreter.version,
                walked: interpreter.walked,
                objects: interpreter.objects,
                text: String::from_utf8_lossy(interpreter.text).into_owned(),
            });
        }
    }

    pub(super) fn add_code(&mut self, code: &recording::CodeObject) {
        self.codes.entry(code.number).or_insert_with(|| CodeObject {
            interpreter: code.interpreter,
            first_line: code.first_line,
            file: String::from_utf8_lossy(code.file).into_owned(),
            name: String::from_utf8_lossy(code.name).into_owned(),
            lines: code.lines.to_vec(),
            lines_size: code.lines_size,
        });
    }

    /// Parts come in order; one that does not continue its table is left out, and then the table stays incomplete.
    pub(super) fn add_lines(&mut self, part: &recording::CodeLines) {
        if let Some(code) = self.codes.get_mut(&part.number)
            && code.lines.len() as u64 == u64::from(part.offset)
        {
            code.lines.extend_from_slice(part.lines);
        }
    }

    pub(super) fn add_loop(&mut self, code: &recording::EvalLoop) {
        self.loops.push((code.begin, code.end));
    }

    /// To be called when all is read.
    pub(super) fn finish(&mut self) {
        self.loops.sort_unstable();
        self.loops.dedup_by(|next, last| {
            let overlaps = next.0 <= last.1;
            if overlaps {
                last.1 = last.1.max(next.1);
            }
            overlaps
        });
    }

    /// The evaluation loops: first address and the one behind the last.
    pub fn loops(&self) -> &[(u64, u64)] {
        &self.loops
    }

    /// Whether code at this address is an evaluation loop.
    pub fn evaluates(&self, address: u64) -> bool {
        let before = self.loops.partition_point(|&(begin, _)| begin <= address);
        before > 0 && address < self.loops[before - 1].1
    }

    /// The code object with this number.
    pub fn code(&self, number: u32) -> Option<&CodeObject> {
        self.codes.get(&number)
    }

    /// How many code objects there are.
    pub fn code_count(&self) -> usize {
        self.codes.len()
    }

    /// The line of an instruction, `None` where there is none; or in words why it is not known.
    pub fn line(&self, code: &CodeObject, instruction: i32) -> Result<Option<u32>, &'static str> {
        let interpreter = self.interpreters.iter().find(|known| known.number == code.interpreter);
        let version = interpreter.map_or(0, |interpreter| interpreter.version);
        if version == 0 {
            return Err("its interpreter is not in the recording");
        }
        if code.lines.len() as u64 != u64::from(code.lines_size) {
            return Err("its line table is not in the recording");
        }
        Ok(lines::line(version, code.first_line, &code.lines, instruction))
    }
}
