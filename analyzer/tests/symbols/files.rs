//! Where debug information can lie besides the program itself.
use crate::programs::*;
use crate::{assert_agrees, assert_file_agrees};
use analyzer::symbols::{Options, Reason};
use std::fs;
use std::path::{Path, PathBuf};

fn debug_dir(path: PathBuf) -> Options {
    Options { debug_dirs: vec![path], ..Options::default() }
}

/// Builds `shop`, keeps all of it as `whole`, its debug information as `shop.debug`, and strips it.
fn stripped(place: &Place) -> (PathBuf, PathBuf) {
    let file = place.cpp("-Wl,--build-id", "shop");
    place.run("cp shop whole");
    place.run("objcopy --only-keep-debug shop shop.debug");
    place.run("strip shop");
    (file, place.path("whole"))
}

fn has_no_lines(file: &Path, options: &Options) -> Option<Reason> {
    let found = look_up(module(file, build_id(file)), &calls(file), options);
    assert!(
        found.iter().all(|found| found.frames.iter().all(|frame| frame.line.is_none())),
        "lines are known"
    );
    found[0].reason.clone()
}

#[test]
fn compressed_sections() {
    let place = Place::new("compressed");
    place.cpp("", "shop");
    for format in ["zlib", "zlib-gnu", "zstd"] {
        if !place.try_run(&format!("objcopy --compress-debug-sections={format} shop {format}")) {
            eprintln!("skipped: objcopy does not compress with {format}");
            continue;
        }
        let file = place.path(format);
        assert!(fs::metadata(&file).unwrap().len() < fs::metadata(place.path("shop")).unwrap().len());
        assert_agrees(module(&file, build_id(&file)), &place.path("shop"), &Options::default());
    }
}

#[test]
fn split_debug_files() {
    let place = Place::new("split");
    for version in ["4", "5"] {
        let file = place.cpp(&format!("-c -gsplit-dwarf -gdwarf-{version}"), "shop.o");
        place.run("g++ shop.o -o shop");
        let whole = place.cpp(&format!("-gdwarf-{version}"), "whole");
        let (file, addresses) = (file.with_file_name("shop"), calls(&whole));
        assert_eq!(addresses, calls(&file), "the two builds have the same code");
        let expected: Vec<Chain> =
            look_up_file(&whole, &addresses).iter().map(|f| chain(&f.frames)).collect();
        let assert_whole = |options: &Options| {
            let found = look_up(module(&file, build_id(&file)), &addresses, options);
            for (found, expected) in found.iter().zip(&expected) {
                assert_eq!(&chain(&found.frames), expected);
            }
        };
        assert_whole(&Options::default());
        // Moved away: named as missing, found again by --debug-dir.
        fs::create_dir_all(place.path("elsewhere/deep")).unwrap();
        fs::rename(place.path("shop.dwo"), place.path("elsewhere/deep/shop.dwo")).unwrap();
        let found = look_up_file(&file, &addresses);
        let missing = Some(Reason::DebugFileMissing("shop.dwo".to_owned()));
        assert!(found.iter().any(|found| found.reason == missing), "{:?}", found[0]);
        assert!(found.iter().all(|found| found.frames.len() <= 1), "no inlined calls are known");
        assert_whole(&debug_dir(place.path("elsewhere")));
        // Another program's split file of the same name is not used.
        place.compile("g++ -O1 -g -gsplit-dwarf -c", ("other.cc", "int f() { return 1; }"), "shop.o");
        assert!(place.path("shop.dwo").exists());
        assert!(look_up_file(&file, &addresses).iter().any(|found| found.reason == missing));
        fs::remove_file(place.path("shop.dwo")).unwrap();
        // As a package, which llvm-dwp 14 makes of version 4 only: with 5 it does not end.
        let tools = ["llvm-dwp", "llvm-dwp-14"].into_iter().filter(|_| version == "4");
        let made = tools
            .map(|tool| place.try_run(&format!("timeout 20 {tool} elsewhere/deep/shop.dwo -o shop.dwp")));
        match made.into_iter().any(|made| made) {
            true => assert_whole(&Options::default()),
            false => eprintln!("skipped: no llvm-dwp for version {version}"),
        }
        let _ = fs::remove_file(place.path("shop.dwp"));
    }
}

#[test]
fn debug_link() {
    let place = Place::new("link");
    let (file, whole) = stripped(&place);
    let module = module(&file, build_id(&file));
    assert_eq!(has_no_lines(&file, &Options::default()), Some(Reason::NoSymbol));
    place.run("objcopy --add-gnu-debuglink=shop.debug shop");
    assert_agrees(module.clone(), &whole, &Options::default());
    fs::create_dir(place.path(".debug")).unwrap();
    fs::rename(place.path("shop.debug"), place.path(".debug/shop.debug")).unwrap();
    assert_agrees(module.clone(), &whole, &Options::default());
    // In a sysroot, below its /usr/lib/debug.
    let root = place.path("root");
    let inside = |path: &Path| root.join(path.strip_prefix("/").unwrap());
    let directory =
        inside(&Path::new("/usr/lib/debug").join(file.parent().unwrap().strip_prefix("/").unwrap()));
    fs::create_dir_all(&directory).unwrap();
    fs::rename(place.path(".debug/shop.debug"), directory.join("shop.debug")).unwrap();
    let sysroot = Options { debug_dirs: Vec::new(), sysroot: Some(root.clone()), ..Options::default() };
    assert_agrees(module.clone(), &whole, &sysroot);
    fs::create_dir_all(inside(&file).parent().unwrap()).unwrap();
    fs::rename(&file, inside(&file)).unwrap();
    assert_agrees(module, &whole, &sysroot);
}

#[test]
fn debug_link_without_build_ids_is_checked_by_checksum() {
    let place = Place::new("checksum");
    let file = place.cpp("-Wl,--build-id=none", "shop");
    place.run("cp shop whole");
    place.run("objcopy --only-keep-debug shop shop.debug");
    place.run("strip shop");
    place.run("objcopy --add-gnu-debuglink=shop.debug shop");
    assert!(build_id(&file).is_empty());
    assert_agrees(module(&file, Vec::new()), &place.path("whole"), &Options::default());
    let mut bytes = fs::read(place.path("shop.debug")).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    place.write("shop.debug", &bytes);
    assert!(
        matches!(has_no_lines(&file, &Options::default()), Some(Reason::Unreadable(why)) if why.contains("checksum"))
    );
}

#[test]
fn debug_directories() {
    let place = Place::new("directories");
    let (file, whole) = stripped(&place);
    let id = build_id(&file);
    let module = module(&file, id.clone());
    let debug = fs::read(place.path("shop.debug")).unwrap();
    fs::remove_file(place.path("shop.debug")).unwrap();
    let places = [
        format!(".build-id/{}/{}.debug", hex(&id[..1]), hex(&id[1..])),
        format!("{}/debuginfo", hex(&id)),
        format!("{}.debug", hex(&id)),
        "deep/below/shop".to_owned(),
        "deep/below/shop.debug".to_owned(),
    ];
    for (index, name) in places.iter().enumerate() {
        let directory = place.path(&format!("debug{index}"));
        place.write(&format!("debug{index}/{name}"), &debug);
        assert_agrees(module.clone(), &whole, &debug_dir(directory));
    }
    // A file itself, and a module that is in no other place.
    assert_agrees(module.clone(), &whole, &debug_dir(place.path("debug3/deep/below/shop")));
    fs::remove_file(&file).unwrap();
    assert_agrees(module, &whole, &debug_dir(place.path("debug4")));
}

#[test]
fn a_deleted_file_that_is_there_again_is_used() {
    let place = Place::new("deleted");
    let file = place.cpp("-Wl,--build-id", "shop");
    let recorded = PathBuf::from(format!("{} (deleted)", file.display()));
    assert_agrees(module(&recorded, build_id(&file)), &file, &Options::default());
}

#[test]
fn parts_shared_with_another_debug_file() {
    if !installed("dwz") {
        return;
    }
    let place = Place::new("dwz");
    place.cpp("-gdwarf-4", "shop");
    place.run("cp shop whole");
    place.run("cp shop twin");
    fs::create_dir(place.path("shared")).unwrap();
    place.run("dwz -m shared/common -M shared/common shop twin");
    let file = place.path("shop");
    assert_agrees(module(&file, build_id(&file)), &place.path("whole"), &Options::default());
    fs::rename(place.path("shared"), place.path("moved")).unwrap();
    let found = look_up_file(&file, &calls(&file));
    assert!(found.iter().any(|found| matches!(&found.reason, Some(Reason::DebugFileMissing(_)))));
    assert_agrees(module(&file, build_id(&file)), &place.path("whole"), &debug_dir(place.path("moved")));
}

#[test]
fn a_link_to_the_program_is_followed() {
    let place = Place::new("symlink");
    let file = place.cpp("", "shop");
    std::os::unix::fs::symlink(&file, place.path("link")).unwrap();
    assert_agrees(module(&place.path("link"), build_id(&file)), &file, &Options::default());
    assert_file_agrees(&file);
}
