//! `cargo xtask kill9` and `cargo xtask interop`: the long forms of two tests that every whole run does briefly.

use anyhow::{Result, bail};

use crate::{
    command::{cargo, perform},
    tools,
};

/// Cases of `raid-user/tests/kill9`.
const CASES: u32 = 8;

/// Kills the server so many times, spread over the cases, and says of each case what was seen.
///
/// # Errors
/// If something that was promised is not so.
pub(crate) fn kill9(rounds: u32) -> Result<()> {
    let mut test = cargo();
    test.args(["test", "--package", "raid-user", "--test", "kill9", "--", "--nocapture"]);
    perform(test.env("RAID_KILL9_ROUNDS", rounds.div_ceil(CASES).to_string()))
}

/// Tries every case there and back, and killed on either side.
///
/// # Errors
/// If Linux and we disagree, or there is no Linux to ask.
pub(crate) fn interop() -> Result<()> {
    let skips = tools::ensure(&tools::FOR_TESTS)?;
    if let Some(skip) = skips.iter().find(|skip| skip.contains("linux.uml") || skip.contains("mdadm")) {
        bail!("{skip}");
    }
    let mut test = cargo();
    test.args(["test", "--package", "raid-user", "--test", "interop"]);
    perform(test.env("RAID_INTEROP", "all"))
}
