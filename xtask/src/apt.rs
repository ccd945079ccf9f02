//! Debian's package manager: installing for tests, and asking the archive for packages without installing them.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};

use crate::command::{command, find, output, perform};

/// Where a machine says from which archives it installs.
const SOURCES: [&str; 2] = ["/etc/apt/sources.list", "/etc/apt/sources.list.d"];

/// The key ring of Debian's own archives.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// Why packages cannot be installed here, if they cannot.
pub(crate) fn hindrance() -> Option<&'static str> {
    if find("apt-get").is_none() {
        Some("this machine has no apt-get")
    } else if output(command("id").arg("-u")).is_ok_and(|user| user.trim() != "0") {
        Some("only root can install it")
    } else {
        None
    }
}

/// Installs packages, without what they merely recommend (mdadm recommends a mail server).
///
/// # Errors
/// If the package manager fails.
pub(crate) fn install(packages: &[&str]) -> Result<()> {
    println!("installing {}", packages.join(" "));
    perform(apt_get().args(["-q", "update"]))?;
    perform(apt_get().args(["-q", "-y", "--no-install-recommends", "install"]).args(packages))
}

fn apt_get() -> Command {
    let mut apt_get = command("apt-get");
    apt_get.env("DEBIAN_FRONTEND", "noninteractive").args(["-o", "DPkg::Lock::Timeout=300"]);
    apt_get
}

/// A view of one suite of the archive, kept in a folder of its own: the machine's own lists stay as they are.
pub(crate) struct Suite<'a> {
    folder: &'a Path,
}

impl<'a> Suite<'a> {
    /// Fetches the list of the suite's packages from the mirror that the machine itself uses.
    ///
    /// # Errors
    /// If the machine names no Debian mirror, or the mirror has no such suite.
    pub(crate) fn open(folder: &'a Path, suite: &str) -> Result<Self> {
        let mirror = mirror().context("this machine's apt sources name no Debian mirror")?;
        fs::create_dir_all(folder.join("lists/partial"))?;
        fs::create_dir_all(folder.join("cache/archives/partial"))?;
        let signed = if Path::new(KEYRING).exists() { format!("[signed-by={KEYRING}] ") } else { String::new() };
        fs::write(folder.join("sources.list"), format!("deb {signed}{mirror} {suite} main\n"))?;
        let view = Self { folder };
        output(view.with_options("apt-get").args(["-q", "update"]))?;
        Ok(view)
    }

    /// The versions of a package that the suite has.
    ///
    /// # Errors
    /// If the package manager fails.
    pub(crate) fn versions(&self, package: &str) -> Result<Vec<String>> {
        let table = output(self.with_options("apt-cache").args(["madison", package]))?;
        Ok(table.lines().filter_map(|row| Some(row.split('|').nth(1)?.trim().to_owned())).collect())
    }

    /// Downloads a package into the view's folder and returns the file's name.
    ///
    /// # Errors
    /// If the package manager fails, which includes a wrong hash or signature.
    pub(crate) fn download(&self, package: &str, version: &str) -> Result<String> {
        let wanted = format!("{package}={version}");
        output(self.with_options("apt-get").args(["-q", "download", &wanted]).current_dir(self.folder))?;
        let mut names = fs::read_dir(self.folder)?.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        match names.find(|name| name.starts_with(package) && name.ends_with(".deb")) {
            Some(name) => Ok(name),
            None => bail!("{wanted} was downloaded but is not in {}", self.folder.display()),
        }
    }

    /// Downloads the original archive of a source package, the newest that the suite has.
    ///
    /// # Errors
    /// If the package manager fails, which includes a wrong hash or signature.
    pub(crate) fn download_source(&self, package: &str) -> Result<PathBuf> {
        let list = self.folder.join("sources.list");
        let binary = fs::read_to_string(&list)?;
        if !binary.contains("deb-src") {
            fs::write(&list, format!("{binary}{}", binary.replacen("deb ", "deb-src ", 1)))?;
            output(self.with_options("apt-get").args(["-q", "update"]))?;
        }
        let folder = self.folder.join(package);
        fs::create_dir_all(&folder)?;
        let mut get = self.with_options("apt-get");
        output(get.args(["-q", "--download-only", "source", package]).current_dir(&folder))?;
        let names = fs::read_dir(&folder)?.filter_map(|entry| Some(entry.ok()?.path()));
        let original = |path: &PathBuf| {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            name.contains(".orig.tar.") && !name.ends_with(".asc")
        };
        let mut originals: Vec<PathBuf> = names.filter(original).collect();
        originals.sort();
        originals.pop().with_context(|| format!("{package} has no original archive"))
    }

    fn with_options(&self, program: &str) -> Command {
        let mut apt = command(program);
        let folder = self.folder.display();
        for option in [
            format!("Dir::Etc::sourcelist={folder}/sources.list"),
            "Dir::Etc::sourceparts=/dev/null".to_owned(),
            format!("Dir::State::lists={folder}/lists"),
            format!("Dir::Cache={folder}/cache"),
            "APT::Sandbox::User=root".to_owned(),
            "Acquire::Languages=none".to_owned(),
        ] {
            apt.args(["-o", &option]);
        }
        apt
    }
}

/// The mirror of the first source that offers Debian's main suite.
fn mirror() -> Option<String> {
    let [list, parts] = SOURCES.map(Path::new);
    let mut files = vec![list.to_owned()];
    files.extend(fs::read_dir(parts).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path())));
    files.sort();
    let known = |path: &Path| path.extension().is_some_and(|kind| kind == "list" || kind == "sources");
    files.iter().filter(|path| known(path)).find_map(|path| mirror_in(&fs::read_to_string(path).ok()?))
}

/// The mirror in a sources file of either form: lines that begin with `deb`, or paragraphs of fields.
fn mirror_in(sources: &str) -> Option<String> {
    let debian = |word: &&str| word.starts_with("http") && word.trim_end_matches('/').ends_with("/debian");
    sources
        .lines()
        .filter(|line| line.starts_with("deb ") || line.starts_with("URIs:"))
        .find_map(|line| line.split_whitespace().find(debian))
        .map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::mirror_in;

    #[test]
    fn the_mirror_is_found_in_both_forms_of_sources() {
        let list =
            "# deb http://old.example/debian stable main\ndeb [arch=amd64] https://m.example/debian/ trixie main\n";
        assert_eq!(mirror_in(list).as_deref(), Some("https://m.example/debian/"));
        let paragraphs = "Types: deb\nURIs: http://m.example/debian\nSuites: trixie\n";
        assert_eq!(mirror_in(paragraphs).as_deref(), Some("http://m.example/debian"));
    }

    #[test]
    fn an_archive_of_something_else_is_no_debian_mirror() {
        let sources = "Types: deb\nURIs: https://m.example/debian-security https://node.example/node\nSuites: x\n";
        assert_eq!(mirror_in(sources), None);
    }
}
