//! Functions and lines of real programs, compared with what binutils and LLVM say.
mod files;
mod programs;
mod wrong;

use analyzer::symbols::{ModuleFile, Options, Query, Reason, symbolize};
use programs::*;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The whole chain of file:line of every call in `file` has to be what other tools say of `described_by`.
fn assert_agrees(module: ModuleFile, described_by: &Path, options: &Options) {
    let addresses = calls(described_by);
    let ours: Vec<Chain> =
        look_up(module, &addresses, options).iter().map(|found| chain(&found.frames)).collect();
    let mut compared = false;
    for tool in ["llvm-symbolizer", "addr2line"] {
        let Some(theirs) = others(tool, described_by, &addresses) else { continue };
        compared = true;
        let differing = addresses.iter().zip(ours.iter().zip(&theirs)).filter(|(_, (ours, theirs))| {
            // addr2line 2.40 does not know the inlined calls of each format.
            let shown = if tool == "addr2line" { theirs.len() } else { ours.len().max(theirs.len()) };
            let same = ours.iter().take(shown).map(|f| &f.1).eq(theirs.iter().map(|f| &f.1));
            // Start-up code has no debug information; the tools then show a symbol of type FILE as its file.
            !same && !theirs.iter().all(|f| f.1.ends_with(":0"))
        });
        let lines = |chain: &Chain| chain.iter().map(|frame| frame.1.clone()).collect::<Vec<_>>().join(" < ");
        let differing: Vec<String> = differing
            .map(|(address, (ours, theirs))| {
                format!("{address:#x}: ours {}, {tool} {}", lines(ours), lines(theirs))
            })
            .collect();
        assert!(differing.is_empty(), "{}:\n{}", described_by.display(), differing.join("\n"));
    }
    let inlined = ours.iter().filter(|chain| chain.len() > 1).count();
    assert!(
        !compared || ours.iter().any(|chain| chain.iter().any(|f| !f.1.ends_with(":0"))),
        "no line at all"
    );
    eprintln!("{}: {} addresses, {inlined} with inlined calls", described_by.display(), addresses.len());
}

fn assert_file_agrees(file: &Path) {
    assert_agrees(module(file, build_id(file)), file, &Options::default());
}

#[test]
fn inlined_calls_agree_with_other_tools() {
    let place = Place::new("inlined");
    for flags in ["-gdwarf-5", "-gdwarf-4", "-gdwarf-3 -no-pie", "-O0", "-fdebug-types-section"] {
        let file = place.cpp(flags, &format!("shop{}", flags.replace(' ', "")));
        assert_file_agrees(&file);
    }
}

#[test]
fn frames_are_innermost_first_and_named_like_cxxfilt() {
    let place = Place::new("frames");
    let file = place.cpp("", "shop");
    let addresses = calls(&file);
    let found = look_up_file(&file, &addresses);
    let stack = found
        .iter()
        .find(|found| found.frames.iter().any(|f| f.function.as_deref() == Some("raw")))
        .expect("malloc is called in raw()");
    let names: Vec<&str> = stack.frames.iter().map(|f| f.function.as_deref().unwrap()).collect();
    assert_eq!(names, ["raw", "int* shop::make<int>(unsigned long)", "shop::Cart::total(int) const"]);
    assert_eq!(stack.frames.iter().map(|f| f.inlined).collect::<Vec<_>>(), [true, true, false]);
    assert_eq!(stack.reason, None);
    let source = place.path("shop.cc");
    let line = |text: &str| CPP.lines().position(|line| line.contains(text)).unwrap() as u32 + 1;
    let lines: Vec<_> = stack.frames.iter().map(|f| f.line.unwrap()).collect();
    assert_eq!(lines, [line("return malloc(n)"), line("T *make("), line("make<int>(items")]);
    assert!(stack.frames.iter().all(|f| f.file.as_deref().map(Path::new) == Some(&source)), "{stack:?}");
}

#[test]
fn parts_of_a_function_are_shown_as_the_function() {
    let place = Place::new("parts");
    let file = place.cpp("", "shop");
    let cold: Vec<u64> = functions(&file, &[])
        .into_iter()
        .filter(|(name, _)| name.contains(".cold"))
        .map(|(_, at)| at)
        .collect();
    assert!(!cold.is_empty(), "the compiler made no cold part");
    for options in ["", "--strip-debug"] {
        let copy = place.path("copy");
        place.run(&format!("objcopy {options} shop copy"));
        for found in look_up_file(&copy, &cold) {
            let outermost = found.frames.last().unwrap().function.as_deref().unwrap();
            assert!(outermost == "main" || outermost.starts_with("shop::Cart::"), "{outermost}");
        }
    }
}

#[test]
fn every_function_of_a_symbol_table_is_named() {
    let place = Place::new("table");
    let file = place.cpp("", "shop");
    place.run("strip --strip-debug shop");
    let functions: Vec<_> = functions(&file, &[])
        .into_iter()
        .filter(|(name, _)| !name.contains('.') && name != "data_start")
        .collect();
    let addresses: Vec<u64> = functions.iter().map(|function| function.1).collect();
    for (found, (name, address)) in look_up_file(&file, &addresses).iter().zip(&functions) {
        let aliases = functions.iter().filter(|function| function.1 == *address);
        let expected: Vec<String> = aliases.map(|(name, _)| cxxfilt(name)).collect();
        let ours = found.frames.first().and_then(|f| f.function.clone()).unwrap_or_default();
        assert!(expected.contains(&ours), "{name} at {address:#x}: {ours:?} is none of {expected:?}");
        assert_eq!(found.reason, Some(Reason::NoDebugInfo));
    }
}

#[test]
fn of_several_names_the_public_and_shortest_is_shown() {
    let source = r#"
        #include <stdlib.h>
        void *library_internal_make(int n) { void *p = malloc(n); return p ? p : malloc(1); }
        void *make_b(int) __attribute__((alias("library_internal_make")));
        void *make_a(int) __attribute__((alias("library_internal_make")));
        static void *a(int) __attribute__((used, alias("library_internal_make")));
    "#;
    let place = Place::new("aliases");
    for flags in ["-g", "-g0"] {
        let file = place.compile(&format!("gcc -O2 -shared -fPIC {flags}"), ("alias.c", source), "alias.so");
        assert!(functions(&file, &[]).contains_key("a"), "the local alias is in the symbol table");
        for found in look_up_file(&file, &[functions(&file, &[])["make_b"]]) {
            assert_eq!(found.frames[0].function.as_deref(), Some("make_a"), "{flags}: {found:?}");
        }
    }
}

#[test]
fn functions_of_the_c_library_have_their_public_names() {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let Some(libc) =
        maps.lines().filter_map(|l| l.split_whitespace().nth(5)).find(|path| path.contains("/libc.so.6"))
    else {
        return eprintln!("skipped: this program has no libc.so.6");
    };
    let libc = Path::new(libc);
    let functions = functions(libc, &["-D", "--defined-only"]);
    let wanted = [
        "malloc",
        "free",
        "calloc",
        "realloc",
        "memcpy",
        "atoi",
        "printf",
        "puts",
        "strdup",
        "pthread_create",
    ];
    let addresses: Vec<u64> = wanted.iter().map(|name| functions[*name]).collect();
    for (found, name) in look_up_file(libc, &addresses).iter().zip(wanted) {
        assert_eq!(found.frames.last().and_then(|f| f.function.as_deref()), Some(name), "{found:?}");
    }
}

#[test]
fn rust_names_have_no_hash() {
    if !installed("rustc") {
        return;
    }
    let place = Place::new("rust");
    let source = r#"
        mod shop {
            pub struct Cart<T>(Vec<T>);
            impl<T: Clone> Cart<T> {
                #[inline(never)] pub fn fill(item: &T, n: usize) -> Self { Cart((0..n).map(|_| item.clone()).collect()) }
                pub fn len(&self) -> usize { self.0.len() }
            }
        }
        fn main() {
            let n = std::env::args().count();
            println!("{}", shop::Cart::fill(&format!("{n}"), n).len());
        }"#;
    for mangling in ["", "-Csymbol-mangling-version=v0"] {
        let file = place.compile(&format!("rustc -Copt-level=2 -g {mangling}"), ("shop.rs", source), "shop");
        let start =
            functions(&file, &[]).into_iter().find(|(name, _)| name.contains("fill")).expect("fill exists").1;
        let end = start + 400;
        let addresses: Vec<u64> = calls(&file).into_iter().filter(|a| (start..end).contains(a)).collect();
        let names: Vec<String> = look_up_file(&file, &addresses)
            .iter()
            .filter_map(|found| found.frames.last()?.function.clone())
            .filter(|name| name.contains("fill"))
            .collect();
        assert!(!names.is_empty(), "no call in fill()");
        for name in names {
            assert!(
                ["<shop::shop::Cart<T>>::fill", "shop::shop::Cart<T>::fill"].contains(&name.as_str())
                    || name == "<shop::shop::Cart<alloc::string::String>>::fill",
                "{name}"
            );
        }
    }
}

#[test]
fn results_have_the_shape_of_the_queries_and_progress_adds_up() {
    let place = Place::new("shape");
    let file = place.cpp("", "shop");
    let library = place.compile("gcc -O2 -g -shared -fPIC", ("lib.c", C), "lib.so");
    let addresses = calls(&file);
    let reversed: Vec<u64> = addresses.iter().rev().chain(&addresses).copied().collect();
    let query = |path: &Path, addresses: &[u64]| Query {
        module: module(path, build_id(path)),
        addresses: addresses.to_vec(),
    };
    let queries = [
        query(&file, &addresses),
        query(&library, &calls(&library)),
        query(&file, &[]),
        query(&file, &reversed),
        Query { module: module(Path::new("[vdso]"), Vec::new()), addresses: vec![0, u64::MAX] },
    ];
    let count = AtomicUsize::new(0);
    let found = symbolize(&queries, &Options::default(), &|n| {
        count.fetch_add(n, Ordering::Relaxed);
    });
    let shape = |lengths: Vec<usize>| lengths;
    assert_eq!(
        shape(found.iter().map(Vec::len).collect()),
        shape(queries.iter().map(|query| query.addresses.len()).collect())
    );
    assert_eq!(count.into_inner(), queries.iter().map(|query| query.addresses.len()).sum::<usize>());
    assert_eq!(found[0], look_up_file(&file, &addresses));
    assert!(found[3].iter().rev().skip(addresses.len()).eq(&found[0]));
    assert!(found[3].iter().skip(addresses.len()).eq(&found[0]));
    assert!(found[4].iter().all(|found| found.reason == Some(Reason::NotAFile) && found.frames.is_empty()));
    assert!(symbolize(&[], &Options::default(), &|_| {}).is_empty());
}
