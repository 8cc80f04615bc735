//! Frees by Python's cyclic collector are told from all others, in each version.

use e2e::{Interpreter, Scratch, Target, python, replay};

fn check(interpreter: &Interpreter) {
    let library = Target::new("c/collected.c").shared().build();
    let directory = Scratch::new("collector");
    let program = interpreter.program("collected.py").arg(&library);
    let outcome = program.recorded_to(directory.path()).run();
    let automatic: u64 = outcome.stdout_text().trim().parse().expect("a number");
    let files = replay::read_directory(directory.path());
    let [file] = &files[..] else { panic!("{interpreter}: one process") };
    assert_eq!(file.impossible, Vec::<String>::new(), "{interpreter}");
    let freed = |size: u64| file.freed.get(&size).copied().unwrap_or_default();
    assert_eq!(freed(300001), (20, 0), "{interpreter}: gc.collect()");
    assert_eq!(freed(300101), (0, 20), "{interpreter}: no more references");
    assert_eq!(freed(300103), (0, 20), "{interpreter}: by C");
    assert_eq!(freed(300201), (20, 0), "{interpreter}: by C for the collector");
    // The interpreter has a few other blocks of this size.
    assert_eq!(freed(601).0, 60000, "{interpreter}: many");
    let (by_collector, otherwise) = freed(300301);
    assert!(by_collector == 0 && otherwise >= 1000, "{interpreter}: {by_collector} of another thread");
    assert_eq!(freed(300401).1, 0, "{interpreter}: beside another thread");
    assert!(freed(300401).0 > 0, "{interpreter}: beside another thread");
    // The others go when the interpreter does.
    assert_eq!(freed(300501).0, automatic, "{interpreter}: automatic");
}

#[test]
fn what_the_collector_frees_is_marked() {
    python::on_each(check);
}
