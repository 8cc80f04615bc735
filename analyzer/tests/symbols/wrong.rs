//! Files that are missing, of another build, cut off or damaged: a reason, never a panic or a wrong name.
use crate::programs::*;
use analyzer::symbols::{Options, Reason, Symbolized};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

fn only_reason(found: &[Symbolized]) -> Reason {
    assert!(found.iter().all(|one| one.frames.is_empty() && one.reason == found[0].reason), "{found:?}");
    found[0].reason.clone().expect("a reason")
}

#[test]
fn another_build_is_not_used() {
    let place = Place::new("build");
    let file = place.compile("gcc -O2 -g -shared -fPIC -Wl,--build-id", ("lib.c", C), "lib.so");
    let found_id = build_id(&file);
    let recorded = vec![7; 20];
    let differs = |recorded: &[u8], found: &[u8]| Reason::BuildIdDiffers {
        recorded: recorded.to_vec(),
        found: found.to_vec(),
    };
    let reason = |recorded: &[u8], options: &Options| {
        only_reason(&look_up(module(&file, recorded.to_vec()), &calls(&file), options))
    };
    assert_eq!(reason(&recorded, &Options::default()), differs(&recorded, &found_id));
    assert_eq!(reason(&[], &Options::default()), differs(&[], &found_id));
    let by_name = Options { debug_dirs: vec![place.path(".")], ..Options::default() };
    assert_eq!(reason(&recorded, &by_name), differs(&recorded, &found_id));
    place.run("objcopy --remove-section=.note.gnu.build-id lib.so");
    assert_eq!(reason(&recorded, &Options::default()), differs(&recorded, &[]));
    assert!(!look_up(module(&file, Vec::new()), &calls(&file), &Options::default())[0].frames.is_empty());
}

#[test]
fn without_symbols_only_exported_functions_are_named() {
    let place = Place::new("stripped");
    let file = place.compile("gcc -O2 -g -shared -fPIC", ("lib.c", C), "lib.so");
    let hidden = functions(&file, &[])["hidden"];
    let exported = functions(&file, &[])["exported"];
    place.run("strip lib.so");
    let found = look_up_file(&file, &[hidden, exported]);
    assert_eq!(found[0], Symbolized { frames: Vec::new(), reason: Some(Reason::NoSymbol) });
    assert_eq!(found[1].frames.len(), 1);
    assert_eq!(found[1].frames[0].function.as_deref(), Some("exported"));
    assert_eq!(found[1].reason, Some(Reason::NoDebugInfo));
}

#[test]
fn what_is_not_a_file() {
    let place = Place::new("nofile");
    let reason = |path: &Path| {
        only_reason(&look_up(module(path, Vec::new()), &[0, 4096, u64::MAX], &Options::default()))
    };
    for name in ["", "[vdso]", "[heap]", "linux-vdso.so.1", "//anon", "/memfd:x (deleted)", "/dev/zero"] {
        assert_eq!(reason(Path::new(name)), Reason::NotAFile, "{name}");
    }
    assert_eq!(reason(Path::new("/dev/shm/absent.so")), Reason::FileMissing);
    symlink("loop", place.path("loop")).unwrap();
    place.run("mkfifo fifo");
    for name in ["absent", "fifo", ".", "absent/below"] {
        assert_eq!(reason(&place.path(name)), Reason::FileMissing, "{name}");
    }
    for (name, contents) in
        [("empty", &b""[..]), ("text", b"#!/bin/sh\n"), ("zeros", &[0; 4096]), ("magic", b"\x7fELF")]
    {
        let reason = reason(&place.write(name, contents));
        assert!(matches!(&reason, Reason::Unreadable(why) if why.contains(name)), "{name}: {reason}");
    }
    assert!(matches!(reason(&place.path("loop")), Reason::Unreadable(_)));
}

#[test]
fn debug_files_cut_off_anywhere() {
    let place = Place::new("cut");
    let file = place.cpp("-Wl,--build-id", "shop");
    let addresses = calls(&file);
    let (id, options) =
        (build_id(&file), Options { debug_dirs: vec![place.path("debug")], ..Options::default() });
    place.run("objcopy --only-keep-debug --compress-debug-sections=zlib shop packed.debug");
    place.run("objcopy --only-keep-debug shop plain.debug");
    place.run("strip --strip-debug shop");
    for name in ["plain.debug", "packed.debug"] {
        let bytes = fs::read(place.path(name)).unwrap();
        // Every size would take minutes; these fall into each section and each header.
        for size in (0..bytes.len()).step_by(bytes.len() / 61).chain([1, 63, 64, 65, bytes.len() - 1]) {
            place.write("debug/shop.debug", &bytes[..size]);
            for found in look_up(module(&file, id.clone()), &addresses, &options) {
                let frame = found.frames.first().expect("the symbol table is intact");
                assert!(frame.function.is_some());
                assert!(found.reason.is_some() || frame.line.is_some(), "{found:?}");
            }
        }
    }
}

#[test]
fn damaged_files_give_some_answer() {
    let place = Place::new("damaged");
    let file = place.cpp("-Wl,--build-id=none", "shop");
    let addresses: Vec<u64> = calls(&file).into_iter().step_by(5).collect();
    let intact = fs::read(&file).unwrap();
    let sections = output(std::process::Command::new("readelf").args(["-SW"]).arg(&file)).unwrap();
    let debug_start = sections
        .lines()
        .find(|line| line.contains(" .debug_aranges"))
        .and_then(|line| usize::from_str_radix(line.split_whitespace().rev().nth(7)?, 16).ok())
        .unwrap_or(intact.len() / 2);
    // A fixed sequence (the linear congruential generator of Knuth's MMIX), so that a failure can be repeated.
    let mut state = 42_u64;
    let mut random = |below: usize| {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (state >> 33) as usize % below
    };
    for round in 0..60 {
        let mut bytes = intact.clone();
        let start = if round % 3 == 0 { 64 } else { debug_start };
        for _ in 0..1 + round * 4 {
            let at = start + random(bytes.len() - start);
            bytes[at] = [0, 0xff, 0x7f, 0x80, random(256) as u8][random(5)];
        }
        place.write("shop", &bytes);
        assert_eq!(
            look_up(module(&file, Vec::new()), &addresses, &Options::default()).len(),
            addresses.len()
        );
    }
}

#[test]
fn a_section_that_claims_to_become_huge_is_not_decompressed() {
    let place = Place::new("huge");
    let file = place.cpp("-Wl,--build-id=none -gz=zlib", "shop");
    let addresses = calls(&file);
    let sections = output(std::process::Command::new("readelf").args(["-SW"]).arg(&file)).unwrap();
    let line = sections.lines().find(|line| line.contains(" .debug_info")).unwrap();
    let words: Vec<&str> = line.split_whitespace().collect();
    let at = words.iter().position(|word| *word == "PROGBITS").unwrap() + 2;
    let offset = usize::from_str_radix(words[at], 16).unwrap();
    let mut bytes = fs::read(&file).unwrap();
    // ch_size of the Elf64_Chdr at the section's start.
    bytes[offset + 8..offset + 16].copy_from_slice(&(1_u64 << 40).to_le_bytes());
    place.write("shop", &bytes);
    let found = look_up(module(&file, Vec::new()), &addresses, &Options::default());
    assert!(
        found
            .iter()
            .all(|one| matches!(&one.reason, Some(Reason::Unreadable(why)) if why.contains("implausible")))
    );
    assert!(found.iter().any(|one| !one.frames.is_empty()), "functions are still known");
}

/// A function that has inlined functions nested `levels` deep.
fn nested(place: &Place, levels: usize) -> std::path::PathBuf {
    let abbreviation =
        |code: u8, tag: u8, attributes: &str| format!(".byte {code}, {tag}, 1 {attributes}, 0, 0\n");
    // DW_AT_low_pc as an address, DW_AT_high_pc as eight bytes.
    let range = ", 0x11, 1, 0x12, 7";
    let assembler = [
        ".globl f\nf: call f\nret\n.Lend:\n.section .debug_abbrev,\"\",@progbits\n",
        &abbreviation(1, 0x11, range),
        &abbreviation(2, 0x2e, range),
        &abbreviation(3, 0x1d, ""),
        ".byte 0\n.section .debug_info,\"\",@progbits\n.long .Lafter-.Lunit\n.Lunit: .value 4\n",
        ".long .debug_abbrev\n.byte 8, 1\n.quad f, .Lend-f\n.byte 2\n.quad f, .Lend-f\n",
        &format!(".fill {levels}, 1, 3\n.fill {levels}, 1, 0\n.byte 0, 0\n.Lafter:\n"),
    ];
    let flags = "gcc -nostdlib -shared -Wl,--build-id=none -Wl,-Bsymbolic";
    place.compile(flags, ("nested.s", &assembler.concat()), &format!("nested{levels}"))
}

#[test]
fn nesting_deeper_than_the_stack_is_refused() {
    let place = Place::new("nested");
    for (levels, refused) in [(1000, false), (50_000, false), (1_000_000, true)] {
        let file = nested(&place, levels);
        let found = look_up_file(&file, &calls(&file));
        assert_eq!(found[0].frames[0].function.as_deref(), Some("f"), "{levels}");
        let too_deep =
            matches!(&found[0].reason, Some(Reason::Unreadable(why)) if why.contains("nested too deep"));
        assert_eq!(too_deep, refused, "{levels}: {:?}", found[0].reason);
    }
}
