//! Other people's parity code for the benchmark `peers`: fetched from Debian, built behind our shims, never part of the project.
//!
//! A newer source than Debian's is taken from a folder, if a variable names one: `RAID_PEER_ISAL` or `RAID_PEER_SNAPRAID`,
//! `FOLDER` or `FOLDER=NAME`, where the name is for the record. A peer that cannot be had is told and left out.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};

use crate::{
    apt::{self, Suite},
    command::{command, find, output, perform, root, tools_folder},
    tools::{self, Tool},
};

/// What builds them.
const BUILDERS: [Tool; 3] = [
    tools::tool("gcc", "gcc", "peers of the parity code"),
    tools::tool("make", "make", "peers of the parity code"),
    tools::tool("nasm", "nasm", "ISA-L as a peer"),
];

/// The header that Linux's files ask for outside of `__KERNEL__`, and that the folder of its tests lacks.
const EMPTY_HEADERS: [&str; 2] = ["linux/export.h", "linux/module.h"];

/// Builds one peer and says which version it is of.
type Build = fn(&Place) -> Result<String>;

/// What a build of a peer leaves: shared objects by name, and which version they are of.
pub(super) struct Peers {
    pub(super) folder: PathBuf,
    pub(super) versions: Vec<String>,
}

/// Builds all that can be had.
///
/// # Errors
/// If there is no room for them. A peer that cannot be built is no error.
pub(super) fn build() -> Result<Peers> {
    for skip in tools::ensure(&BUILDERS)? {
        println!("skipped: {skip}");
    }
    let top = tools_folder().join("peers");
    let folder = top.join("objects");
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir_all(&folder)?;
    let place = Place { top, objects: folder.clone() };
    let mut versions = Vec::new();
    let all: [(&str, Build); 5] = [
        ("isal", Place::isal),
        ("isal-debian", Place::isal_debian),
        ("linux", Place::linux),
        ("skeleton", Place::skeleton),
        ("snapraid", Place::snapraid),
    ];
    for (name, build) in all {
        match build(&place) {
            Ok(version) => versions.push(format!("`{name}`: {version}")),
            Err(error) => println!("skipped: {name} as a peer: {error:#}"),
        }
    }
    Ok(Peers { folder, versions })
}

/// Where sources are unpacked, and where objects are put.
struct Place {
    top: PathBuf,
    objects: PathBuf,
}

impl Place {
    fn isal(&self) -> Result<String> {
        let (source, version) = self.source("RAID_PEER_ISAL", "libisal")?;
        let headers = source.join("include");
        perform(command("make").current_dir(&source).args(["-s", "-j2", "-f", "Makefile.unx", "lib"]))?;
        self.link("isal", &[&headers], |gcc| {
            gcc.arg("-DPEER_AVX2").arg(shim("isal.c")).arg(source.join("bin/isa-l.a"))
        })?;
        fs::copy(self.object("isal"), self.object("isal-avx2"))?;
        Ok(version)
    }

    fn isal_debian(&self) -> Result<String> {
        if apt::hindrance().is_none() && !Path::new("/usr/include/isa-l").exists() {
            apt::install(&["libisal-dev"])?;
        }
        self.link("isal-debian", &[Path::new("/usr/include/isa-l")], |gcc| gcc.arg(shim("isal.c")).arg("-lisal"))?;
        let version = output(command("dpkg-query").args(["-W", "-f", "${Version}", "libisal-dev"]))?;
        Ok(format!("Debian's libisal-dev {version}"))
    }

    /// Linux's SIMD files and its tables, as its own user-space test compiles them.
    fn linux(&self) -> Result<String> {
        let (source, version) = self.linux_source()?;
        let raid6 = source.join("lib/raid6");
        let (headers, tables) = (self.top.join("empty"), self.top.join("tables.c"));
        for header in EMPTY_HEADERS.map(|header| headers.join(header)) {
            fs::create_dir_all(header.parent().context("a header has a folder")?)?;
            fs::write(header, "")?;
        }
        let maker = self.top.join("mktables");
        perform(command("gcc").arg("-o").arg(&maker).arg(raid6.join("mktables.c")))?;
        fs::write(&tables, output(&mut command(&maker))?)?;
        let files = ["avx2.c", "avx512.c", "recov_avx2.c", "recov_avx512.c"].map(|file| raid6.join(file));
        self.link("linux", &[&headers, &raid6, &source.join("include")], |gcc| {
            gcc.args(["-DCONFIG_X86", "-DCONFIG_X86_64", "-DCONFIG_AS_AVX512=1"]);
            gcc.arg(shim("linux.c")).args(files).arg(tables)
        })?;
        fs::copy(self.object("linux"), self.object("linux-avx2"))?;
        Ok(format!("Debian's {version}"))
    }

    fn skeleton(&self) -> Result<String> {
        self.link("skeleton", &[], |gcc| gcc.arg("-funroll-loops").arg(shim("skeleton.c")))?;
        Ok("the loads and stores of P+Q with one exclusive or a load, a limit".to_owned())
    }

    fn snapraid(&self) -> Result<String> {
        let (source, version) = self.source("RAID_PEER_SNAPRAID", "snapraid")?;
        let raid = source.join("raid");
        let files = fs::read_dir(&raid).with_context(|| format!("no {}", raid.display()))?;
        let mut files: Vec<PathBuf> = files.filter_map(|entry| Some(entry.ok()?.path())).collect();
        // The rest are programs.
        let library = |path: &PathBuf| {
            let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
            path.extension().is_some_and(|kind| kind == "c") && stem != "mktables" && stem != "test"
        };
        files.retain(library);
        files.sort();
        self.link("snapraid", &[&raid], |gcc| gcc.arg(shim("snapraid.c")).args(files))?;
        Ok(version)
    }

    /// A peer's source: a copy of the folder that the variable names, or Debian's newest.
    fn source(&self, variable: &str, package: &str) -> Result<(PathBuf, String)> {
        let folder = self.top.join(package);
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        if let Ok(given) = env::var(variable) {
            let (from, name) = given.split_once('=').unwrap_or((&given, "a source tree at hand"));
            perform(command("cp").args(["-r", "--", from]).arg(&folder))?;
            return Ok((folder, name.to_owned()));
        }
        let lists = self.top.join("unstable");
        let suite = Suite::open(&lists, "unstable")?;
        let archive = suite.download_source(package)?;
        fs::create_dir_all(&folder)?;
        perform(command("tar").args(["-x", "--strip-components=1", "-C"]).arg(&folder).arg("-f").arg(&archive))?;
        let name = archive.file_name().and_then(|name| name.to_str()).unwrap_or(package);
        Ok((folder, format!("Debian's {name}")))
    }

    /// The parts of this machine's Debian's kernel that are needed, and the package's name and version.
    fn linux_source(&self) -> Result<(PathBuf, String)> {
        let depends = output(command("apt-cache").args(["depends", "linux-source"]))?;
        let package = depends.split_whitespace().find(|word| word.starts_with("linux-source-"));
        let package = package.context("no package linux-source")?;
        let policy = output(command("apt-cache").args(["policy", package]))?;
        let version =
            policy.split_whitespace().skip_while(|word| *word != "Candidate:").nth(1).context("no version")?;
        let folder = self.top.join(package);
        if !folder.join("lib/raid6").exists() {
            perform(command("apt-get").args(["-q", "download", package]).current_dir(&self.top))?;
            let names = fs::read_dir(&self.top)?.filter_map(|entry| Some(entry.ok()?.path()));
            let ours = |path: &PathBuf| path.extension().is_some_and(|kind| kind == "deb");
            let Some(deb) = names.into_iter().find(ours) else { bail!("{package} was not downloaded") };
            perform(command("dpkg-deb").arg("-x").arg(&deb).arg(self.top.join("deb")))?;
            fs::create_dir_all(&folder)?;
            let tar = self.top.join(format!("deb/usr/src/{package}.tar.xz"));
            perform(
                command("tar")
                    .args(["-x", "--strip-components=1", "-C"])
                    .arg(&folder)
                    .arg("-f")
                    .arg(tar)
                    .args([format!("{package}/lib/raid6"), format!("{package}/include/linux/raid/pq.h")]),
            )?;
            fs::remove_file(deb)?;
            fs::remove_dir_all(self.top.join("deb"))?;
        }
        Ok((folder, format!("{package} {version}, lib/raid6 in user space")))
    }

    fn object(&self, name: &str) -> PathBuf {
        self.objects.join(name).with_extension("so")
    }

    /// Compiles a shim with what it stands on into one object that keeps its symbols to itself.
    fn link(
        &self,
        name: &str,
        headers: &[&Path],
        inputs: impl FnOnce(&mut std::process::Command) -> &mut std::process::Command,
    ) -> Result<()> {
        if find("gcc").is_none() {
            bail!("no gcc");
        }
        let mut gcc = command("gcc");
        gcc.args(["-O2", "-w", "-fPIC", "-shared", "-fvisibility=hidden", "-Wl,-Bsymbolic", "-Wl,--exclude-libs,ALL"]);
        gcc.arg("-I").arg(shim(""));
        for folder in headers {
            gcc.arg("-I").arg(folder);
        }
        gcc.arg("-o").arg(self.object(name));
        perform(inputs(&mut gcc))
    }
}

/// A file of our shims.
fn shim(name: &str) -> PathBuf {
    root().join("benches/peers").join(name)
}
