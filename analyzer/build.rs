//! Builds `libunfreed.so` with a nested cargo, for the binary to embed.
//!
//! Nested, because the library needs what cargo cannot give to one member alone: `panic = "abort"`, dependencies
//! without `std` (features would unify with the analyzer's), and linking without libc.
use std::path::PathBuf;
use std::process::Command;
use std::{env, fs};

fn main() {
    let var = |name: &str| env::var(name).unwrap_or_else(|_| panic!("cargo did not set {name}"));
    let root = PathBuf::from(var("CARGO_MANIFEST_DIR")).join("..");
    let out = PathBuf::from(var("OUT_DIR"));
    let target = var("TARGET");
    for path in [
        "../interposer/src",
        "../interposer/Cargo.toml",
        "../recording/src",
        "../Cargo.toml",
        "../Cargo.lock",
    ] {
        println!("cargo::rerun-if-changed={path}");
    }
    let mut cargo = Command::new(var("CARGO"));
    cargo
        .args([
            "rustc",
            "--locked",
            "-p",
            "interposer",
            "--lib",
            "--crate-type",
            "cdylib",
            "--profile",
            "preload",
        ])
        .args(["--target", &target, "--manifest-path"])
        .arg(root.join("Cargo.toml"))
        .arg("--target-dir")
        .arg(out.join("preload"))
        .args(["--", "-Clink-arg=-nostartfiles", "-Clink-arg=-nostdlib"])
        .arg("-Clink-arg=-Wl,--as-needed,-z,now,-z,nodelete,--gc-sections,-soname,libunfreed.so")
        // The analyzer's own flags (such as +crt-static) must not reach the library.
        .env("CARGO_ENCODED_RUSTFLAGS", "--cfg\x1funfreed_preload")
        .env_remove("RUSTFLAGS")
        .env_remove("RUSTC_WORKSPACE_WRAPPER")
        .env_remove("CARGO_BUILD_TARGET_DIR")
        .env_remove("CARGO_TARGET_DIR");
    let status = cargo.status().expect("cargo starts");
    assert!(status.success(), "building libunfreed.so failed: {status}");
    let built = out.join("preload").join(&target).join("preload/libinterposer.so");
    let library = out.join("libunfreed.so");
    fs::copy(&built, &library).expect("libunfreed.so can be copied");
    println!("cargo::rustc-env=UNFREED_LIBRARY={}", library.display());
}
