//! What Python stacks need of the recorder.

use recording::{CodeLines, CodeObject, EvalLoop, Interpreter, StackId};

/// Implemented by the log; by a vector in tests.
pub trait Sink: crate::stack::Sink {
    /// The id of a Python frame, see [`recording::Definition::PythonNode`]. An instruction has to be below
    /// 2^28 - 1: no bytecode is as long.
    fn python_node(&mut self, parent: StackId, code: u32, instruction: i32, entry: bool) -> StackId;
    /// The id of a stack of native and Python frames.
    fn merged(&mut self, native: StackId, python: StackId) -> StackId;
    /// A code object was first seen; called before the first frame of it.
    fn code_object(&mut self, code: &CodeObject);
    /// More of the line table of the code object told last.
    fn code_lines(&mut self, lines: &CodeLines);
    /// An interpreter was found; called before the first of its code objects.
    fn interpreter(&mut self, interpreter: &Interpreter);
    /// Code of its evaluation loop.
    fn eval_loop(&mut self, code: &EvalLoop);
}
