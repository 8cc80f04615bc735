//! A program that is linked with an allocator of its own keeps it, and is recorded.

use e2e::{Program, Run, Target};

/// The usable sizes that the program prints are the allocator's: with another one the outputs would differ.
fn linked_with(library: &str) {
    let target = Target::new("c/linked_allocator.c").named(&format!("linked_with_{library}"));
    let target = target.link("-Wl,--no-as-needed").link(&format!("-l:{library}"));
    let program = match target.try_build() {
        Ok(program) => program,
        Err(_) => return eprintln!("skipped: {library} is not installed"),
    };
    Run::of(&Program::new(program)).assert_unfreed(&[("leak_linked", 40, 40 * 10_001)]);
}

#[test]
fn jemalloc() {
    linked_with("libjemalloc.so.2");
}

#[test]
fn tcmalloc() {
    linked_with("libtcmalloc_minimal.so.4");
}

#[test]
fn mimalloc() {
    linked_with("libmimalloc.so.2");
}

/// One that is always there.
#[test]
fn own_library() {
    let allocator = Target::new("c/reentrant_allocator.c").shared().build();
    let target =
        Target::new("c/basic.c").named("basic_with_allocator").link(&allocator.display().to_string());
    Run::of(&Program::new(target.build())).assert_unfreed(&[("leak_basic", 3, 30_006)]);
}
