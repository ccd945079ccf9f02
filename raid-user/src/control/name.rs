//! Names of members that mean the same whoever says them, wherever he stands.

use std::io;
use std::path::Path;

/// The real path of a member that is a file or a device, with its partition; nothing if there is no such file.
#[must_use]
pub fn path_of(member: &str) -> Option<String> {
    let whole = std::fs::canonicalize(member).ok();
    let whole = whole.or_else(|| {
        let (path, part) = member.rsplit_once('#')?;
        let mut path = std::fs::canonicalize(path).ok()?.into_os_string();
        path.push(format!("#{part}"));
        Some(path.into())
    });
    whole.and_then(|path| path.into_os_string().into_string().ok())
}

/// A member's name that does not depend on the working directory. `raw:` in front stays there.
///
/// # Errors
/// There is no working directory, or a path that is no text.
pub fn absolute(member: &str) -> io::Result<String> {
    let (prefix, rest) = match member.strip_prefix("raw:") {
        Some(rest) if !Path::new(member).exists() => ("raw:", rest),
        _ => ("", member),
    };
    if rest.contains("://") {
        return Ok(member.to_owned());
    }
    let path = std::path::absolute(rest)?.into_os_string().into_string();
    let path = path.map_err(|path| io::Error::other(format!("{}: is no text", path.display())))?;
    Ok(format!("{prefix}{path}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_mean_the_same_elsewhere() {
        let here = std::env::current_dir().unwrap().display().to_string();
        assert_eq!(absolute("disk.img#2").unwrap(), format!("{here}/disk.img#2"));
        assert_eq!(absolute("raw:disk.img").unwrap(), format!("raw:{here}/disk.img"));
        assert_eq!(absolute("/dev/sda").unwrap(), "/dev/sda");
        assert_eq!(absolute("nbd://host/x").unwrap(), "nbd://host/x");
        assert_eq!(path_of("Cargo.toml#1").unwrap(), format!("{here}/Cargo.toml#1"));
        assert_eq!(path_of("no such file"), None);
    }
}
