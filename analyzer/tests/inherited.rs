//! What forked processes have of their parents' blocks: marked at the child, counted at the parent alone.
mod synthetic;

use analyzer::aggregate::{Inherited, Report, Selection, report};
use recording::StackId;
use synthetic::{Recorder, Scratch};

fn of(recorders: &[&Recorder]) -> (Report, Vec<Inherited>) {
    let scratch = Scratch::new("inherited");
    recorders.iter().for_each(|recorder| _ = recorder.write(&scratch.0));
    let report = report(&scratch.0, &Selection::default()).expect("it is a recording");
    let inherited = report.processes.iter().map(|process| process.inherited).collect();
    (report, inherited)
}

fn blocks(blocks: u64, bytes: u64) -> Inherited {
    Inherited::Blocks { blocks, bytes, at_most: false }
}

/// A parent with ten blocks of 100 bytes, one freed before and one after the fork, and one allocated after it.
fn family(change: impl Fn(&mut Recorder)) -> [Recorder; 2] {
    let mut parent = Recorder::new(1);
    parent.keep_table();
    let (stack, writer) = (parent.stack(&[0x1000]), parent.writer());
    (0..10).for_each(|number| parent.alloc(writer, 0x1_0000 + 0x2_0000 * number, 100, stack));
    parent.alloc(writer, 0x80_0000, 1 << 20, StackId::ARENA);
    parent.free(writer, 0x1_0000);
    change(&mut parent);
    let child = parent.fork(2);
    parent.free(writer, 0x3_0000);
    parent.alloc(writer, 0x3_0000, 7, stack);
    [parent, child]
}

#[test]
fn what_the_child_did_not_free() {
    let [parent, mut child] = family(|_| {});
    let (stack, writer) = (child.stack(&[0x1000]), child.writer());
    child.free(writer, 0x3_0000);
    child.free(writer, 0x80_0000);
    child.realloc_begin(writer, 0x5_0000);
    child.realloc_end(writer, 0x5_0000, 50, stack);
    child.alloc(writer, 0x1_0000, 3, stack);
    child.free(writer, 0x1_0000);
    let (report, inherited) = of(&[&parent, &child]);
    assert_eq!(inherited, [Inherited::Nothing, blocks(7, 700)]);
    assert_eq!(report.totals.counts.unfreed_bytes, 800 + 7 + 50);
    assert!(report.processes.iter().all(|process| process.anomalies.impossible() == 0));
}

#[test]
fn grandchildren_and_siblings() {
    let [parent, mut child] = family(|_| {});
    let (stack, writer) = (child.stack(&[0x1000]), child.writer());
    child.free(writer, 0x5_0000);
    child.alloc(writer, 0x4_0000, 5, stack);
    child.alloc(writer, 0x4_0040, 11, stack);
    let mut grandchild = child.fork(3);
    let sibling = child.fork(4);
    child.free(writer, 0x7_0000);
    let writer = grandchild.writer();
    grandchild.free(writer, 0x9_0000);
    grandchild.free(writer, 0x4_0000);
    let (_, inherited) = of(&[&grandchild, &child, &sibling, &parent]);
    assert_eq!(inherited, [Inherited::Nothing, blocks(7, 700), blocks(8, 711), blocks(10, 816)]);
}

#[test]
fn what_is_not_known() {
    let [mut parent, mut child] = family(|_| {});
    child.keep_table();
    let writer = child.writer();
    child.free(writer, 0x3_0000);
    assert_eq!(of(&[&child]).1, [Inherited::Unknown]);
    child.header.reused = 1;
    let at_most = Inherited::Blocks { blocks: 9, bytes: 900, at_most: true };
    assert_eq!(of(&[&parent, &child]).1, [Inherited::Nothing, at_most]);
    parent.header.reused = 1;
    assert_eq!(of(&[&parent, &child]).1, [Inherited::Nothing, Inherited::Unknown]);
    // A damaged file may say that it is its own parent, or its grandchild's child.
    parent.header.parent_file_id = child.header.file_id;
    assert_eq!(of(&[&parent, &child]).1, [Inherited::Unknown, Inherited::Unknown]);
}
