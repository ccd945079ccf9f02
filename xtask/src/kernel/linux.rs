//! A Linux kernel with Rust in it: its sources from Debian's backports, configured and built.
//!
//! Of Debian's packages, `linux-source` is the one newer than the release; `rust-src` must be that of the compiler in use. Both are
//! unpacked, not installed.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail, ensure};

use super::{cache::Cache, machine::Machine};
use crate::{
    apt::{self, Suite},
    command::{cargo, command, find, output, perform, root},
    rust_src,
};

/// Debian's name for what is newer than its release. An alias, so it does not age.
const SUITE: &str = "stable-backports";

/// The package that names the newest kernel.
const PACKAGE: &str = "linux-source";

/// Where Debian's LLVM keeps the library that bindgen loads.
const LIBCLANG: &str = "/usr/lib/llvm-19/lib";

/// Sources and tools that kernels are built from.
pub(super) struct Parts {
    /// The kernel's sources.
    source: PathBuf,
    /// Version of them, such as `7.3.4`.
    version: String,
    /// Rust's own library.
    rust_source: PathBuf,
    /// A folder with bindgen in it.
    tools: PathBuf,
}

impl Parts {
    /// What is in the cache; fetched the first time.
    ///
    /// # Errors
    /// If a part cannot be had here.
    pub(super) fn get(cache: &Cache) -> Result<Self> {
        let _alone = cache.alone("parts")?;
        let source = match cache.newest("linux-") {
            Some(source) => source,
            None => fetch_source(cache)?,
        };
        let name = source.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let version = name.trim_start_matches("linux-").to_owned();
        let rust_source = rust_src::library(&cache.path(""))?;
        let tools = cache.path("tools/bin");
        if !tools.join("bindgen").exists() {
            println!("building bindgen, once");
            let install = ["install", "--quiet", "--locked", "bindgen-cli", "--root"];
            perform(cargo().args(install).arg(cache.path("tools"))).context("no bindgen")?;
        }
        Ok(Self { source, version, rust_source, tools })
    }

    /// A `make` in a build folder with all that the kernel's build looks for.
    pub(super) fn make(&self, machine: Machine) -> Command {
        let mut make = command("make");
        let path = [self.tools.as_path()].into_iter().map(Path::to_owned).chain(search_path());
        make.args(["-s", "LLVM=-19"])
            .arg(format!("ARCH={}", machine.arch()))
            .env("RUST_LIB_SRC", &self.rust_source)
            .env("LIBCLANG_PATH", LIBCLANG)
            .env("PATH", std::env::join_paths(path).unwrap_or_default());
        // Cargo's own variables would reach rustc, and its job server make.
        for name in ["RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "MAKEFLAGS", "MFLAGS", "CARGO_MAKEFLAGS", "RUSTC_WRAPPER"]
        {
            make.env_remove(name);
        }
        make
    }
}

fn search_path() -> Vec<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let system = ["/usr/local/sbin", "/usr/sbin", "/sbin"].map(PathBuf::from);
    std::env::split_paths(&path).chain(system).collect()
}

/// Fetches the newest sources and unpacks them into the cache.
fn fetch_source(cache: &Cache) -> Result<PathBuf> {
    ensure!(find("apt-get").is_some(), "no Linux sources: {}", apt::hindrance().unwrap_or("no apt-get"));
    let apt_folder = cache.path("apt").join(SUITE);
    let archive = Suite::open(&apt_folder, SUITE)?;
    let versions = archive.versions(PACKAGE)?;
    let version = versions.first().with_context(|| format!("{SUITE} has no {PACKAGE}"))?;
    let (upstream, series) = upstream(version).with_context(|| format!("{PACKAGE} {version} names no version"))?;
    let package = format!("{PACKAGE}-{series}");
    println!("fetching {package} {version} from Debian's {SUITE}");
    let file = apt_folder.join(archive.download(&package, version)?);
    let (packed, folder) = (cache.path("source.partial"), cache.path(format!("linux-{upstream}")));
    rust_src::unpack(&file, &format!("./usr/src/{package}.tar.xz"), &packed)?;
    let partial = cache.path(format!("linux-{upstream}.partial"));
    if partial.exists() {
        fs::remove_dir_all(&partial)?;
    }
    fs::create_dir_all(&partial)?;
    let tar = packed.join(format!("{package}.tar.xz"));
    output(command("tar").args(["--strip-components=1", "-C"]).arg(&partial).arg("-xf").arg(tar))?;
    fs::remove_dir_all(&packed)?;
    fs::remove_file(&file)?;
    fs::rename(&partial, &folder)?;
    Ok(folder)
}

/// `7.3.4` and `7.3` of `7.3.4-1~bpo13+1`.
fn upstream(version: &str) -> Option<(&str, &str)> {
    let upstream = version.split('-').next()?;
    let second = upstream.match_indices('.').nth(1).map_or(upstream.len(), |(at, _)| at);
    let known = upstream.chars().all(|letter| letter.is_ascii_digit() || letter == '.');
    known.then_some((upstream, upstream.get(..second)?))
}

/// A built kernel.
pub(super) struct Kernel {
    /// Its build folder.
    pub(super) folder: PathBuf,
    pub(super) machine: Machine,
}

impl Kernel {
    /// How often a second its clock ticks.
    ///
    /// # Errors
    /// If its configuration does not say.
    pub(super) fn ticks(&self) -> Result<String> {
        let config = fs::read_to_string(self.folder.join(".config"))?;
        let ticks = config.lines().find_map(|line| line.strip_prefix("CONFIG_HZ="));
        ticks.map(str::to_owned).context("a kernel without CONFIG_HZ")
    }
}

/// Builds a kernel, if the one in the cache is of another configuration or not there.
///
/// # Errors
/// If it cannot be built; the build's log is named.
pub(super) fn build(cache: &Cache, parts: &Parts, machine: Machine) -> Result<Kernel> {
    let name = format!("{}-{}-rust-{}", machine.name(), parts.version, rust_src::release()?);
    let _alone = cache.alone(&name)?;
    let folder = cache.path(&name);
    let done = folder.join("raid.config");
    if fs::read_to_string(&done).is_ok_and(|config| config == machine.config()) {
        return Ok(Kernel { folder, machine });
    }
    println!("building Linux {} for {}, once: this takes minutes", parts.version, machine.name());
    fs::create_dir_all(&folder)?;
    let wanted = folder.join("raid.wanted");
    fs::write(&wanted, machine.config())?;
    let log = cache.path(format!("{name}.log"));
    let make = |goals: &[&str]| -> Result<()> {
        let mut make = parts.make(machine);
        let jobs = std::thread::available_parallelism().map_or(1, usize::from);
        make.arg("-C").arg(&parts.source).arg(format!("O={}", folder.display())).arg(format!("-j{jobs}"));
        make.env("KCONFIG_ALLCONFIG", &wanted).args(goals);
        make.stdout(fs::File::create(&log)?).stderr(fs::File::options().append(true).create(true).open(&log)?);
        perform(&mut make).with_context(|| format!("see {}", log.display()))
    };
    make(&["allnoconfig"])?;
    check_config(machine.config(), &fs::read_to_string(folder.join(".config"))?)?;
    make(&machine.goals())?;
    fs::rename(&wanted, &done)?;
    Ok(Kernel { folder, machine })
}

/// The kernel's own tool says nothing of options that it did not take.
fn check_config(wanted: &str, got: &str) -> Result<()> {
    let set = |line: &&str| line.starts_with("CONFIG_") && !line.ends_with("=n");
    let lost: Vec<&str> = wanted.lines().filter(set).filter(|line| !got.lines().any(|other| other == *line)).collect();
    if !lost.is_empty() {
        bail!("the kernel's configuration does not take {}", lost.join(" "));
    }
    Ok(())
}

/// The project's folder, as `make` is to be told.
pub(super) fn project() -> String {
    format!("RAID={}", root().display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packages_version_names_the_kernels() {
        assert_eq!(upstream("7.3.4-1~bpo13+1"), Some(("7.3.4", "7.3")));
        assert_eq!(upstream("7.4-1"), Some(("7.4", "7.4")));
        assert_eq!(upstream("seven-1"), None);
    }

    #[test]
    fn an_option_that_did_not_stick_is_named() {
        let wanted = "CONFIG_A=y\n# CONFIG_B is not set\nCONFIG_C=n\nCONFIG_D=m\n";
        assert!(check_config(wanted, "CONFIG_A=y\nCONFIG_D=m\n").is_ok());
        let error = check_config(wanted, "CONFIG_A=y\nCONFIG_D=y\n").unwrap_err().to_string();
        assert_eq!(error, "the kernel's configuration does not take CONFIG_D=m");
    }
}
