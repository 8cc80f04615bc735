//! Native and Python frames in one stack, in every order in which they can call one another.
use analyzer::python::merge::{Chains, Fit, NativeLink, Pair, PythonLink, merge};
use recording::{EndReason, StackId};

/// Names of frames, innermost first. An evaluation loop is called `*`; `!` marks an entry, alone one without code.
struct Stack {
    native: Vec<&'static str>,
    native_end: EndReason,
    python: Vec<&'static str>,
    python_end: EndReason,
}

const PYTHON: u32 = StackId::FIRST.0 + 100_000;

impl Stack {
    fn new(native: &'static str, python: &'static str) -> Stack {
        Stack {
            native: native.split_whitespace().collect(),
            native_end: EndReason::Complete,
            python: python.split_whitespace().collect(),
            python_end: EndReason::Complete,
        }
    }

    fn id(names: &[&str], first: u32, index: usize, end: EndReason) -> StackId {
        if index < names.len() { StackId(first + index as u32) } else { end.id() }
    }

    fn native_id(&self, index: usize) -> StackId {
        Stack::id(&self.native, StackId::FIRST.0, index, self.native_end)
    }

    fn python_id(&self, index: usize) -> StackId {
        Stack::id(&self.python, PYTHON, index, self.python_end)
    }

    /// The names of the merged stack, why it ends, and how well the two go together.
    fn merged(&self) -> (String, Option<EndReason>, Fit) {
        let pair = Pair { native: self.native_id(0), python: self.python_id(0) };
        let (frames, end, fit) = merge(self, pair);
        let name = |id: &StackId| match id.0.checked_sub(PYTHON) {
            Some(index) => self.python[index as usize].trim_end_matches('!'),
            None => self.native[(id.0 - StackId::FIRST.0) as usize],
        };
        (frames.iter().map(name).collect::<Vec<_>>().join(" "), end, fit)
    }
}

impl Chains for Stack {
    fn native(&self, id: StackId) -> Option<NativeLink> {
        let index = id.0.checked_sub(StackId::FIRST.0)? as usize;
        let evaluates = *self.native.get(index)? == "*";
        Some(NativeLink { parent: self.native_id(index + 1), evaluates })
    }

    fn python(&self, id: StackId) -> Option<PythonLink> {
        let index = id.0.checked_sub(PYTHON)? as usize;
        let name = self.python.get(index)?;
        let (entry, code) = (name.ends_with('!'), *name != "!");
        Some(PythonLink { parent: self.python_id(index + 1), entry, code })
    }
}

#[track_caller]
fn matches(native: &'static str, python: &'static str, expected: &str) {
    let merged = Stack::new(native, python).merged();
    assert_eq!(merged, (expected.to_string(), Some(EndReason::Complete), Fit::Matched));
}

#[test]
fn python_frames_take_the_place_of_their_evaluation_loops() {
    matches(
        "malloc list_append * vectorcall * main",
        "inner! outer!",
        "malloc list_append inner vectorcall outer main",
    );
}

#[test]
fn from_3_11_on_one_loop_executes_several_frames() {
    matches("malloc * main", "a b c module!", "malloc a b c module main");
}

#[test]
fn callbacks_of_callbacks_read_in_the_order_of_the_calls() {
    matches(
        "malloc * trampoline c_extension * list_sort * main",
        "from_c helper! key! sorts module!",
        "malloc from_c helper trampoline c_extension key list_sort sorts module main",
    );
}

#[test]
fn a_loop_that_has_left_its_frame_or_not_begun_it_vanishes() {
    matches("malloc clear_frame * call * main", "! module!", "malloc clear_frame call module main");
    matches("malloc * gen_close * main", "! closes module!", "malloc gen_close closes module main");
}

#[test]
fn generators_are_entered_where_they_are_resumed() {
    matches(
        "malloc * gen_send_ex * list_extend * main",
        "inner! outer! collects module!",
        "malloc inner gen_send_ex outer list_extend collects module main",
    );
}

#[test]
fn loops_of_an_outer_interpreter_stay_native() {
    let merged = Stack::new("malloc * run_string exec * call * main", "sub!").merged();
    let expected = "malloc sub run_string exec * call * main".to_string();
    assert_eq!(merged, (expected, Some(EndReason::Complete), Fit::MoreLoops));
}

#[test]
fn more_entries_than_loops_are_counted_and_kept() {
    let merged = Stack::new("malloc * main", "a! b c! d!").merged();
    assert_eq!(merged, ("malloc a main b c d".to_string(), Some(EndReason::Complete), Fit::MoreEntries));
    let merged = Stack::new("malloc main", "a!").merged();
    assert_eq!(merged, ("malloc main a".to_string(), Some(EndReason::Complete), Fit::MoreEntries));
}

#[test]
fn a_native_stack_that_was_cut_goes_on_in_python() {
    for native_end in [EndReason::TooDeep, EndReason::NoUnwindInfo, EndReason::OutsideStack] {
        let stack = Stack { native_end, ..Stack::new("malloc * call *", "a! b! c! module!") };
        let expected = ("malloc a call b c module".to_string(), Some(EndReason::Complete), Fit::Matched);
        assert_eq!(stack.merged(), expected);
        // Beyond the outermost Python frame it is the native stack that is not whole.
        let stack = Stack { native_end, ..Stack::new("malloc * call * run", "a! module!") };
        assert_eq!(stack.merged(), ("malloc a call module run".to_string(), Some(native_end), Fit::Matched));
    }
}

#[test]
fn python_frames_that_were_not_followed_leave_the_native_ones() {
    let stack = Stack { python_end: EndReason::BadFrame, ..Stack::new("malloc * call * main", "") };
    let native = "malloc * call * main".to_string();
    assert_eq!(stack.merged(), (native, Some(EndReason::Complete), Fit::NotWalked));
    let stack = Stack { python_end: EndReason::BadFrame, ..Stack::new("malloc * call * main", "a!") };
    let native = "malloc a call * main".to_string();
    assert_eq!(stack.merged(), (native, Some(EndReason::Complete), Fit::NotWalked));
}

#[test]
fn a_python_stack_that_is_too_deep_says_so() {
    let stack = Stack { python_end: EndReason::TooDeep, ..Stack::new("malloc * main", "a a a") };
    assert_eq!(stack.merged(), ("malloc a a a main".to_string(), Some(EndReason::TooDeep), Fit::Matched));
}

#[test]
fn chains_that_go_in_circles_have_an_end() {
    struct Circle;
    impl Chains for Circle {
        fn native(&self, id: StackId) -> Option<NativeLink> {
            id.0.is_multiple_of(2).then_some(NativeLink { parent: id, evaluates: true })
        }
        fn python(&self, id: StackId) -> Option<PythonLink> {
            (!id.0.is_multiple_of(2)).then_some(PythonLink { parent: id, entry: true, code: false })
        }
    }
    for (native, python) in [(2, 3), (2, 2), (3, 3), (3, 2)] {
        let (frames, _, _) = merge(&Circle, Pair { native: StackId(native), python: StackId(python) });
        assert!(frames.len() < 10_000, "{}", frames.len());
    }
}
