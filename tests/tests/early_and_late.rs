//! Allocations before `main` begins and after it has returned.

use e2e::{Program, Run};

#[test]
fn before_and_after_main() {
    Run::of(&Program::c("early_and_late")).assert_unfreed(&[
        ("leak_preinit", 1, 10_001),
        ("leak_constructor", 1, 10_002),
        ("leak_atexit", 1, 10_003),
        ("leak_destructor", 1, 10_004),
    ]);
}
