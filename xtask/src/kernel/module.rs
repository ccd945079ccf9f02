//! The module, built by the kernel's own build from the project's crates and those of others that they stand on.

use std::{fs, path::PathBuf};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::linux::{Kernel, Parts, project};
use crate::command::{cargo, output, perform, root};

/// Others' crates that the core and the formats stand on, as `raid-kmod/Kbuild` calls them.
const CRATES: [&str; 5] = ["bitflags", "static_assertions", "crc-catalog", "crc", "zerocopy"];

/// Builds `raid_kmod.ko` and says where it is.
///
/// # Errors
/// If it does not build.
pub(super) fn build(parts: &Parts, kernel: &Kernel) -> Result<PathBuf> {
    let folder = root().join("target/kernel").join(kernel.machine.name());
    fs::create_dir_all(&folder)?;
    let mut make = parts.make(kernel.machine);
    make.arg("-C").arg(&kernel.folder).arg(format!("M={}", root().join("raid-kmod").display()));
    make.arg(format!("MO={}", folder.display())).arg(project()).args(crates()?);
    make.arg(format!("ZEROCOPY_DERIVE={}", derive_macros()?.display())).arg("modules");
    perform(&mut make).context("raid-kmod does not build")?;
    Ok(folder.join("raid_kmod.ko"))
}

/// For each crate its source, edition and version, by what cargo knows.
fn crates() -> Result<Vec<String>> {
    let known: Value = serde_json::from_str(&output(cargo().args(["metadata", "--format-version", "1", "--locked"]))?)?;
    let packages = known["packages"].as_array().context("cargo metadata lists no packages")?;
    let mut variables = Vec::new();
    for name in CRATES {
        let of_that_name: Vec<&Value> = packages.iter().filter(|package| package["name"] == name).collect();
        let [package] = of_that_name.as_slice() else { bail!("{} versions of {name}", of_that_name.len()) };
        let is_library = |target: &&Value| {
            target["kind"].as_array().is_some_and(|kinds| kinds.iter().any(|kind| kind == "lib" || kind == "rlib"))
        };
        let library = package["targets"].as_array().and_then(|targets| targets.iter().find(is_library));
        let library = library.with_context(|| format!("{name} has no library"))?;
        let variable = name.to_uppercase().replace('-', "_");
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        variables.push(format!("{variable}={}", text(&library["src_path"])));
        variables.push(format!("{variable}_EDITION={}", text(&library["edition"])));
        variables.push(format!("{variable}_VERSION={}", text(&package["version"])));
    }
    Ok(variables)
}

/// zerocopy's derive macros: a library of the host, which the compiler loads.
fn derive_macros() -> Result<PathBuf> {
    let build = ["build", "--quiet", "--package", "zerocopy-derive", "--message-format", "json"];
    let messages = output(cargo().args(build))?;
    let artifact = |line: &str| -> Option<PathBuf> {
        let message: Value = serde_json::from_str(line).ok()?;
        let file =
            message["filenames"].as_array()?.iter().filter_map(Value::as_str).find(|name| name.ends_with(".so"))?;
        (message["target"]["name"] == "zerocopy_derive").then(|| PathBuf::from(file))
    };
    messages.lines().find_map(artifact).context("cargo names no library of zerocopy-derive")
}
