//! A test whose peer is missing: it says so, and `cargo xtask test` counts it as skipped.
//!
//! libtest knows no test that skips itself at run time. So such a test returns early, and leaves a line in the file that
//! the environment variable `RAID_SKIP_LOG` names: `program TAB test TAB what was missing`.

use std::{env, fs::OpenOptions, io::Write, path::PathBuf, thread};

/// Says that the running test is skipped for want of `what`. The test must return right after.
///
/// # Panics
/// If the log cannot be written: a skip must not be mistaken for a success.
pub fn skipped(what: &str) {
    println!("skipped: {what}");
    let Some(log) = env::var_os("RAID_SKIP_LOG") else { return };
    let program = env::current_exe().ok();
    let program = program.as_ref().and_then(|path| path.file_stem()).unwrap_or_default().to_string_lossy();
    // Cargo adds a dash and a hash to the name of a test program.
    let program = program.rsplit_once('-').map_or(program.as_ref(), |(name, _)| name);
    let thread = thread::current();
    let line = format!("{program}\t{}\t{what}\n", thread.name().unwrap_or("main"));
    let file = OpenOptions::new().create(true).append(true).open(&log);
    let written = file.and_then(|mut file| file.write_all(line.as_bytes()));
    assert!(written.is_ok(), "{}: {written:?}", log.display());
}

/// Where a program is. If it is nowhere, the running test is [`skipped`] and must return.
#[must_use]
pub fn tool(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let found = env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file());
    if found.is_none() {
        skipped(program);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_is_there_is_found() {
        assert!(tool("sh").is_some_and(|path| path.ends_with("sh")));
    }
}
