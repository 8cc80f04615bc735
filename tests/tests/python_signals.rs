//! Signals that come while an interpreter is between two instructions, and handlers that allocate then: its frames are
//! half made, and what leads to them may be anything.

use e2e::{Run, Target, python};

#[test]
fn a_handler_allocates_behind_each_instruction() {
    let step = Target::new("c/single_step.c").named("single_step.so").shared().build();
    python::on_each(|interpreter| {
        // The program is the same but for the handlers when it is recorded: they also interrupt the recorder.
        let run = Run::of_with(&interpreter.program("stepped.py").arg(&step), &["-n", "1"]);
        assert_eq!(run.outcome.stdout_text(), "signals came\n", "{interpreter}");
        let process = &run.report.processes()[0];
        assert!(process["python_events"].as_u64() > Some(1000), "{interpreter}: {process}");
    });
}
