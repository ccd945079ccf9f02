//! Where the control socket of an array is, so that verbs find it by the array alone.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use raid_formats::record::Uuid;

/// The folder of sockets: the user's own, made with mode 0700 if it is not there.
///
/// `$XDG_RUNTIME_DIR/raid`; without one, `/run/raid` for root and `/tmp/raid-UID` for others.
///
/// # Errors
/// The system's; a folder that belongs to somebody else.
fn folder() -> io::Result<PathBuf> {
    let user = rustix::process::getuid().as_raw();
    let folder = match std::env::var_os("XDG_RUNTIME_DIR").filter(|folder| Path::new(folder).is_absolute()) {
        Some(runtime) => PathBuf::from(runtime).join("raid"),
        None if user == 0 => PathBuf::from("/run/raid"),
        None => std::env::temp_dir().join(format!("raid-{user}")),
    };
    match DirBuilder::new().mode(0o700).create(&folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(named(&folder, &error)),
        _ => {}
    }
    let found = fs::symlink_metadata(&folder).map_err(|error| named(&folder, &error))?;
    if !found.is_dir() || found.uid() != user || found.mode() & 0o022 != 0 {
        let why = "is not a folder that only you can write to";
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, format!("{}: {why}", folder.display())));
    }
    Ok(folder)
}

fn named(folder: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", folder.display()))
}

/// The socket of the array with that identity.
///
/// # Errors
/// No folder for it.
pub fn socket_of(array: Uuid) -> io::Result<PathBuf> {
    Ok(folder()?.join(format!("{array}.sock")))
}
