//! `raid pause`, `raid resume`, `raid limit`: the work in the background of a running array.

use clap::Args;

use super::create::size;
use super::exit::{Exit, Failure};
use super::output::Output;
use super::status::tell;
use super::target::{Handle, TargetArgs};
use crate::control::Ask;

/// Lets the work in the background of a running array rest, or go on.
#[derive(Args, Debug)]
pub(super) struct PassArgs {
    #[command(flatten)]
    target: TargetArgs,
}

/// Says how fast the work in the background of a running array may go. What is not given has no limit.
#[derive(Args, Debug)]
pub(super) struct LimitArgs {
    #[command(flatten)]
    target: TargetArgs,
    /// Of each member in a second, while clients are at work: 10M
    #[arg(long, value_name = "SIZE", value_parser = size)]
    busy: Option<u64>,
    /// Of each member in a second, at any time: 100M
    #[arg(long, value_name = "SIZE", value_parser = size)]
    max: Option<u64>,
}

/// Runs `raid pause`.
///
/// # Errors
/// Nobody runs the array.
pub(super) fn pause(args: &PassArgs, output: &Output) -> Result<Exit, Failure> {
    ask(&args.target, &Ask::Pause, output)
}

/// Runs `raid resume`.
///
/// # Errors
/// Nobody runs the array.
pub(super) fn resume(args: &PassArgs, output: &Output) -> Result<Exit, Failure> {
    ask(&args.target, &Ask::Resume, output)
}

/// Runs `raid limit`.
///
/// # Errors
/// Nobody runs the array.
pub(super) fn limit(args: &LimitArgs, output: &Output) -> Result<Exit, Failure> {
    ask(&args.target, &Ask::Limit { busy_bytes_per_s: args.busy, max_bytes_per_s: args.max }, output)
}

fn ask(target: &TargetArgs, ask: &Ask, output: &Output) -> Result<Exit, Failure> {
    let Some(client) = target.running(output)? else {
        return Err(Failure::new(Exit::No, "nobody runs this array, so nothing goes on in the background"));
    };
    tell(&Handle::Remote(client).ask(ask)?, output)?;
    Ok(Exit::Ok)
}
