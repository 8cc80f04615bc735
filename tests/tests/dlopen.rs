//! Libraries that come and go: frames are those of the library that was mapped at that moment.

use e2e::{Program, Run, Target};

#[test]
fn two_libraries_at_one_address() {
    let plugin = |name: &str| {
        let define = format!("-DPLUGIN={name}");
        Target::new("c/plugin.c").named(&format!("{name}.so")).shared().flag(&define).build()
    };
    let run = Run::of(&Program::c("dlopen").arg(plugin("leak_first")).arg(plugin("leak_second")));
    let same = run.outcome.stdout_text();
    assert!(!same.contains(": 0 of"), "the loader never used an address again: {same}");
    run.assert_unfreed(&[
        ("leak_first", 30, 300_030),
        ("leak_second", 10, 100_020),
        ("plugin_run", 40, 400_050),
    ]);
}
