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
    linked_with_own("basic_with_allocator", Target::new("c/reentrant_allocator.c").shared());
}

/// Its calloc calls malloc, the public one: a block is still recorded once.
#[test]
fn own_library_that_calls_public_functions() {
    let allocator =
        Target::new("c/reentrant_allocator.c").named("nested_allocator").flag("-DCALLS_PUBLIC").shared();
    linked_with_own("basic_with_nested_allocator", allocator);
}

fn linked_with_own(name: &str, allocator: Target) {
    let allocator = allocator.build().display().to_string();
    let program = |source: &str| {
        let name = format!("{name}_{}", source.len());
        Program::new(Target::new(source).named(&name).link(&allocator).build())
    };
    Run::of(&program("c/basic.c")).assert_unfreed(&[("leak_basic", 3, 30_006)]);
    let run = Run::of(&program("c/sites.c"));
    run.assert_unfreed(&[("site_a", 75, 76_850), ("recursive", 15, 15 * 64), ("right", 83, 62_050)]);
}
