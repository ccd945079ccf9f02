//! `cargo xtask no-std`: the core and the formats built for a machine without an operating system.
//!
//! The proof that neither needs `std` or `alloc`: on this target there is neither.

use anyhow::{Context, Result};

use crate::{
    command::{cargo, command, find, output, perform, tools_folder},
    rust_src,
};

const TARGET: &str = "x86_64-unknown-none";
const CRATES: [&str; 2] = ["raid-core", "raid-formats"];

/// Cargo's own (undocumented) way to name the sources that `-Zbuild-std` builds. It may change with any release.
const SOURCES_VARIABLE: &str = "__CARGO_TESTS_ONLY_SRC_ROOT";

/// Builds both crates, with the toolchain's target if it can be had, else with Debian's sources of `core`.
///
/// # Errors
/// If there is no way to a target, or the build fails.
pub(crate) fn build() -> Result<&'static str> {
    let mut cargo = cargo();
    // A folder of its own: RUSTC_BOOTSTRAP makes cargo rebuild what others share.
    cargo.args(["build", "--target-dir", "target/bare", "--target", TARGET]);
    for name in CRATES {
        cargo.args(["--package", name]);
    }
    let way = if has_target() || add_target() {
        "with the toolchain's own core"
    } else {
        let library = rust_src::library(&tools_folder()).context("no rustup target and no Debian sources")?;
        cargo.arg("-Zbuild-std=core").env("RUSTC_BOOTSTRAP", "1").env(SOURCES_VARIABLE, library);
        "with core built from Debian's sources"
    };
    perform(&mut cargo)?;
    Ok(way)
}

/// The verb.
///
/// # Errors
/// As [`build`].
pub(crate) fn run() -> Result<()> {
    let way = build()?;
    println!("{} build for {TARGET}, {way}", CRATES.join(" and "));
    Ok(())
}

fn has_target() -> bool {
    output(command("rustc").args(["--print", "target-libdir", "--target", TARGET]))
        .is_ok_and(|folder| std::path::Path::new(folder.trim()).exists())
}

fn add_target() -> bool {
    find("rustup").is_some() && output(command("rustup").args(["target", "add", TARGET])).is_ok() && has_target()
}
