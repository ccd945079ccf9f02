//! `cargo xtask no-std`: the core and the formats built for a machine without an operating system.
//!
//! The proof that neither needs `std` or `alloc`: on this target there is neither.

use anyhow::{Context, Result};

use crate::{
    command::{cargo, command, find, output, perform, tools_folder},
    rust_src,
};

/// What is built for what. On the second target it is the NEON form of the parity code that is to be compiled somewhere.
const BUILDS: [(&str, &[&str]); 2] =
    [("x86_64-unknown-none", &["raid-core", "raid-formats"]), ("aarch64-unknown-none", &["raid-core"])];

/// Cargo's own (undocumented) way to name the sources that `-Zbuild-std` builds. It may change with any release.
const SOURCES_VARIABLE: &str = "__CARGO_TESTS_ONLY_SRC_ROOT";

/// Builds the crates, with the toolchain's targets if they can be had, else with Debian's sources of `core`.
///
/// # Errors
/// If there is no way to a target, or the build fails.
pub(crate) fn run() -> Result<()> {
    for (target, crates) in BUILDS {
        let way = build_for(target, crates)?;
        println!("{} build for {target}, {way}", crates.join(" and "));
    }
    Ok(())
}

fn build_for(target: &str, crates: &[&str]) -> Result<&'static str> {
    let mut cargo = cargo();
    // A folder of its own: RUSTC_BOOTSTRAP makes cargo rebuild what others share.
    cargo.args(["build", "--target-dir", "target/bare", "--target", target]);
    for name in crates {
        cargo.args(["--package", name]);
    }
    let way = if has_target(target) || add_target(target) {
        "with the toolchain's own core"
    } else {
        let library = rust_src::library(&tools_folder()).context("no rustup target and no Debian sources")?;
        cargo.arg("-Zbuild-std=core").env("RUSTC_BOOTSTRAP", "1").env(SOURCES_VARIABLE, library);
        "with core built from Debian's sources"
    };
    perform(&mut cargo)?;
    Ok(way)
}

fn has_target(target: &str) -> bool {
    output(command("rustc").args(["--print", "target-libdir", "--target", target]))
        .is_ok_and(|folder| std::path::Path::new(folder.trim()).exists())
}

fn add_target(target: &str) -> bool {
    find("rustup").is_some() && output(command("rustup").args(["target", "add", target])).is_ok() && has_target(target)
}
