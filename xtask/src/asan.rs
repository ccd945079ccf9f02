//! `cargo xtask asan`: the parity code, the only code that may be `unsafe`, under AddressSanitizer.

use anyhow::{Context, Result};

use crate::{
    command::{cargo, command, output},
    test::count::{self, Counts},
};

/// What of each instruction set this machine cannot test.
#[cfg(target_arch = "x86_64")]
pub(crate) fn forms_not_run() -> Vec<String> {
    [
        ("ssse3", is_x86_feature_detected!("ssse3")),
        ("avx2", is_x86_feature_detected!("avx2")),
        ("gfni", is_x86_feature_detected!("gfni")),
        ("avx512bw", is_x86_feature_detected!("avx512bw")),
    ]
    .into_iter()
    .filter(|(_, present)| !present)
    .map(|(feature, _)| format!("the parity code for {feature}: this CPU lacks it"))
    .collect()
}

/// What of each instruction set this machine cannot test.
#[cfg(not(target_arch = "x86_64"))]
pub(crate) fn forms_not_run() -> Vec<String> {
    vec!["the parity code for x86-64: this CPU is another".to_owned()]
}

/// Runs the unit tests of `raid_core::parity`, every form that this CPU can run.
///
/// # Errors
/// If they cannot be built or started.
pub(crate) fn run() -> Result<Counts> {
    let about = output(command("rustc").arg("-vV"))?;
    let host = about.lines().find_map(|line| line.strip_prefix("host: ")).context("rustc -vV names no host")?;
    let mut cargo = cargo();
    cargo
        .args(["test", "--package", "raid-core", "--lib", "--target-dir", "target/asan", "--target", host])
        .args(["--", "parity::"])
        .env("RUSTC_BOOTSTRAP", "1")
        .env("RUSTFLAGS", "-Zsanitizer=address");
    count::tests(&mut cargo, "asan")
}
