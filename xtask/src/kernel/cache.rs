//! Where kernels and their sources are kept: outside of the checkout, since they take long to make and serve every checkout.

use std::{
    env,
    fs::{self, File},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

/// Names another place.
const VARIABLE: &str = "RAID_KERNEL_CACHE";

/// The cache's folder.
pub(super) struct Cache {
    folder: PathBuf,
}

impl Cache {
    /// `$RAID_KERNEL_CACHE`, or `raid/kernel` in the user's cache folder. Made if it is not there.
    ///
    /// # Errors
    /// If there is no home, or no folder can be made.
    pub(super) fn open() -> Result<Self> {
        let named = env::var_os(VARIABLE).map(PathBuf::from);
        let user = || {
            let home = || env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
            env::var_os("XDG_CACHE_HOME").map(PathBuf::from).or_else(home).map(|cache| cache.join("raid/kernel"))
        };
        let folder = named.or_else(user).with_context(|| format!("neither HOME nor {VARIABLE} is set"))?;
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        Ok(Self { folder })
    }

    /// Waits until nobody else makes this in it: two checkouts that built one kernel at once broke each other's build. It is the caller's
    /// to make until what is returned is dropped.
    ///
    /// # Errors
    /// If it cannot be locked.
    pub(super) fn alone(&self, what: &str) -> Result<File> {
        let lock = File::create(self.path(format!("lock-{what}")))?;
        lock.lock().with_context(|| format!("cannot lock {}", self.folder.display()))?;
        Ok(lock)
    }

    /// A path in it.
    pub(super) fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.folder.join(name)
    }

    /// The newest folder whose name begins with `prefix`, by name.
    pub(super) fn newest(&self, prefix: &str) -> Option<PathBuf> {
        let names = fs::read_dir(&self.folder).ok()?.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let complete = |name: &String| name.starts_with(prefix) && !name.ends_with(".partial");
        names.filter(complete).max().map(|name| self.path(name))
    }
}
