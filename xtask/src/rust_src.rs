//! The sources of Rust's `core` of the very version of the compiler, from Debian, where no target can be had ready-made.
//!
//! Nothing is installed: the package is unpacked where the caller says.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
};

use anyhow::{Context, Result, bail};

use crate::{
    apt::Suite,
    command::{command, output},
};

const PACKAGE: &str = "rust-src";

/// Debian's names for what may hold the compiler's version, the likeliest first. Aliases, so they do not age.
const SUITES: [&str; 4] = ["stable-backports", "testing", "unstable", "stable"];

/// The `library` folder of the compiler's sources, below `tools`; downloads them the first time.
///
/// # Errors
/// If no suite has that version, or the archive cannot be reached.
pub(crate) fn library(tools: &Path) -> Result<PathBuf> {
    let release = release()?;
    let folder = tools.join(format!("rust-src-{release}"));
    let library = folder.join("library");
    if library.join("core/src/lib.rs").exists() {
        return Ok(library);
    }
    let mut reasons = Vec::new();
    for suite in SUITES {
        match fetch(suite, &release, tools, &folder) {
            Ok(()) => return Ok(library),
            Err(error) => reasons.push(format!("{suite}: {error:#}")),
        }
    }
    bail!("no sources of Rust {release}: {}", reasons.join("; "))
}

/// The compiler's version, such as `1.95.0`.
pub(crate) fn release() -> Result<String> {
    let words = output(command("rustc").arg("-vV"))?;
    let release = words.lines().find_map(|line| line.strip_prefix("release: "));
    release.map(str::to_owned).context("rustc -vV names no release")
}

fn fetch(suite: &str, release: &str, tools: &Path, folder: &Path) -> Result<()> {
    let apt_folder = tools.join("apt").join(suite);
    let archive = Suite::open(&apt_folder, suite)?;
    let versions = archive.versions(PACKAGE)?;
    let wanted = format!("{release}+");
    let Some(version) = versions.iter().find(|version| version.starts_with(&wanted)) else {
        bail!("has {PACKAGE} {}", if versions.is_empty() { "nowhere".to_owned() } else { versions.join(", ") });
    };
    println!("fetching {PACKAGE} {version} from Debian's {suite}");
    let package = apt_folder.join(archive.download(PACKAGE, version)?);
    unpack(&package, &format!("./usr/src/rustc-{release}/library"), folder)?;
    fs::remove_file(&package)?;
    Ok(())
}

/// Unpacks one folder or file of a package into `folder`, and puts that in place only when it is complete.
///
/// # Errors
/// If there is no room, or the package has no such folder.
pub(crate) fn unpack(package: &Path, inner: &str, folder: &Path) -> Result<()> {
    let partial = folder.with_extension("partial");
    if partial.exists() {
        fs::remove_dir_all(&partial)?;
    }
    fs::create_dir_all(&partial)?;
    let mut packer = command("dpkg-deb").arg("--fsys-tarfile").arg(package).stdout(Stdio::piped()).spawn()?;
    let tar = packer.stdout.take().context("no output of dpkg-deb")?;
    let depth = format!("--strip-components={}", inner.split('/').count() - 1);
    output(command("tar").args(["-x", &depth, "-C"]).arg(&partial).arg(inner).stdin(tar))?;
    if !packer.wait()?.success() {
        bail!("{} cannot be unpacked", package.display());
    }
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    fs::rename(&partial, folder).with_context(|| format!("cannot put {} in place", folder.display()))
}
