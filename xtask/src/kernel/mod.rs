//! `cargo xtask kernel`: the module `raid_kmod`, a kernel for it, a guest, and the tests in it.
//!
//! Nothing is installed but Debian's packages of [`tools::FOR_KERNEL`], and only by root. Sources and built kernels lie in a
//! [cache](Cache) outside of the checkout: the first run takes many minutes, all others seconds.

mod archive;
mod cache;
mod cuts;
mod dice;
mod exercisers;
mod guest;
mod linux;
mod machine;
mod module;
mod running;
mod shared;
mod speed;
mod volatile;

use std::{path::PathBuf, process::ExitCode};

use anyhow::{Result, bail, ensure};

use crate::{
    command::{find, root},
    test::count::Counts,
    tools,
};
use cache::Cache;
use linux::Kernel;
use machine::Machine;

/// Makes load, where it is.
const FIO: &str = "fio";

/// What of the tests is run.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Choice<'a> {
    /// Part of a test's name.
    pub(crate) filter: &'a str,
    /// Without the slow ones.
    pub(crate) hurry: bool,
    /// In a kernel that watches its locks and its memory.
    pub(crate) debug: bool,
    /// With two processors, if it is a process.
    pub(crate) two: bool,
    /// In an emulated PC.
    pub(crate) x86: bool,
    /// There, all tests on its best processor.
    pub(crate) whole: bool,
    /// How often the power is cut, after all that.
    pub(crate) cuts: u64,
    /// Nothing but that.
    pub(crate) cuts_only: bool,
}

/// The verb.
pub(crate) fn run(choice: Choice<'_>) -> ExitCode {
    match tests(choice) {
        Ok(counts) => {
            for reason in &counts.reasons {
                println!("skipped: {reason}");
            }
            println!("{counts}");
            if counts.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Compares the target's speed with dm-raid's and md's, for the types with `filter` in their words.
///
/// # Errors
/// If something cannot be had, built or started.
pub(crate) fn speed(filter: &str) -> Result<()> {
    let (kernel, image) = with_fio(Machine::Um)?;
    speed::rates(&kernel, &image, filter)
}

/// Compares the instructions that the target, dm-raid and md take for a request.
///
/// # Errors
/// If something cannot be had, built or started.
pub(crate) fn instructions(filter: &str) -> Result<()> {
    let (kernel, image) = with_fio(Machine::X86)?;
    speed::instructions(&kernel, &image, filter)
}

fn with_fio(machine: Machine) -> Result<(Kernel, PathBuf)> {
    let skips = tools::ensure(&[tools::FIO])?;
    ensure!(skips.is_empty(), "{}", skips.join(", "));
    match built(machine)? {
        Ok(built) => {
            let image = built.image(&[FIO])?;
            Ok((built.kernel, image))
        }
        Err(skips) => bail!("{}", skips.join(", ")),
    }
}

/// A kernel and the module for it.
struct Built {
    kernel: Kernel,
    module: PathBuf,
}

impl Built {
    /// What a guest is filled with, the programs `more` too.
    fn image(&self, more: &[&str]) -> Result<PathBuf> {
        let name = if more.is_empty() { "initramfs" } else { "initramfs-more" };
        let image = root().join("target/kernel").join(self.kernel.machine.name()).join(name);
        guest::fill(&image, &[&self.module, &self.kernel.folder.join("drivers/block/brd.ko")], more)?;
        Ok(image)
    }
}

/// The kernel and the module; or why not.
fn built(machine: Machine) -> Result<Result<Built, Vec<String>>> {
    let mut missing = tools::ensure(&tools::FOR_KERNEL)?;
    if machine.is_emulated() {
        missing.extend(tools::ensure(&tools::FOR_X86)?);
    }
    if !missing.is_empty() {
        return Ok(Err(missing));
    }
    let cache = Cache::open()?;
    let parts = match linux::Parts::get(&cache) {
        Ok(parts) => parts,
        Err(error) => return Ok(Err(vec![format!("raid-kmod: {error:#}")])),
    };
    let kernel = linux::build(&cache, &parts, machine)?;
    let module = module::build(&parts, &kernel)?;
    Ok(Ok(Built { kernel, module }))
}

/// Builds what is not built, boots, and counts.
///
/// # Errors
/// If something that is there cannot be built or started. What cannot be had is skipped.
pub(crate) fn tests(choice: Choice<'_>) -> Result<Counts> {
    if !cfg!(all(target_arch = "x86_64", target_os = "linux")) {
        return Ok(Counts::skip(vec!["raid-kmod: its guest is for Linux on x86-64".to_owned()]));
    }
    let machine = match choice {
        Choice { x86: true, debug: true, .. } => Machine::X86Debug,
        Choice { x86: true, .. } => Machine::X86,
        Choice { debug: true, .. } => Machine::UmDebug,
        _ => Machine::Um,
    };
    let built = match built(machine)? {
        Ok(built) => built,
        Err(skips) => return Ok(Counts::skip(skips)),
    };
    let mut counts = Counts::default();
    if !choice.cuts_only {
        // Their libraries are many megabytes, which an emulated machine takes long to unpack.
        let more = if machine.is_emulated() { Vec::new() } else { exercisers::get()? };
        let more: Vec<&str> = more.iter().map(String::as_str).collect();
        counts += guest::run(&built.kernel, &built.image(&more)?, choice)?;
        counts += shared::count()?;
    }
    if choice.cuts > 0 {
        let load = if find(FIO).is_some() { &[FIO][..] } else { &[] };
        counts += cuts::run(&built.kernel, &built.image(load)?, choice.cuts)?;
    }
    Ok(counts)
}
