//! The loader's locks, searches and allocations are the program's: a recorder takes none of them and changes none.

use e2e::{Program, Run, Target};

fn loader() -> Target {
    Target::new("c/loader.c").flag("-rdynamic")
}

fn loaded() -> String {
    Target::new("c/loaded.c").named("loaded.so").shared().build().display().to_string()
}

fn with_library(way: &str, library: &str) {
    let run = Run::of(&Program::new(loader().build()).arg(way).arg(library));
    run.assert_unfreed(&[("leak_loader", 3, 30_003)]);
    // What the loader allocates for its errors goes with the thread.
    run.assert_unfreed(&[("fail", 0, 0)]);
}

/// `dlsym` and `dlerror` allocate, and a recorder that looks for the allocator by them meets itself.
#[test]
fn failures() {
    with_library("failures", "");
}

#[test]
fn attributes_of_threads() {
    with_library("attributes", "");
}

/// One thread allocates under the loader's lock while others allocate without it and load.
#[test]
fn allocations_in_the_loaders_callback() {
    with_library("locks", &loaded());
}

/// Each thread's part of a loaded library is allocated at its first use.
#[test]
fn thread_local_storage_of_loaded_libraries() {
    with_library("storage", &loaded());
}

/// A library is searched where its caller says: a recorder between them would be the caller.
#[test]
fn search_path_of_the_program() {
    let library = std::path::PathBuf::from(loaded());
    let (folder, name) = (library.parent().expect("a folder"), library.file_name().expect("a name"));
    let path = format!("-Wl,--enable-new-dtags,-rpath,{}", folder.display());
    let program = loader().named("loader_with_path").flag(&path).build();
    Run::of(&Program::new(program).arg("search").arg(name)).assert_unfreed(&[("leak_loader", 3, 30_003)]);
}

/// Its blocks come from an allocator that is not seen, and it gives others to it: addresses are handed out that were not
/// given back, as far as is seen. The rest is exact.
#[test]
fn own_symbols_first() {
    let program = Program::new(loader().build()).arg("deepbind").arg(loaded());
    let run = Run::recorded(&program);
    assert_eq!(run.outcome.stdout_text(), "2\n", "the library's own function");
    assert!(run.outcome.status.success(), "{}", run.outcome.status);
    run.assert_unfreed(&[("leak_loader", 3, 30_003)]);
}

#[test]
fn another_namespace() {
    with_library("namespace", "libm.so.6");
}
