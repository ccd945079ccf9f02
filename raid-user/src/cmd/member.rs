//! `raid add`, `raid replace`, `raid fail`, `raid remove`, `raid rebuild`: who is in the array.

use clap::Args;

use super::exit::{Exit, Failure};
use super::output::Output;
use super::status::tell;
use super::target::{Handle, TargetArgs};
use super::text;
use crate::control::{Ask, CopyStatus, SlotState, SlotStatus, Status, absolute, path_of};

/// Gives an empty slot to a member, and fills it. One that was a member of this array before gets only what it missed, if that is known.
/// If no slot is empty, it waits as a spare (Linux MD), and takes over by itself when one is.
#[derive(Args, Debug)]
pub(super) struct AddArgs {
    #[command(flatten)]
    target: TargetArgs,
    /// The new member: a file, a device, a partition (disk.img#2). What it holds is lost
    #[arg(long, value_name = "MEMBER")]
    new: String,
    /// Which slot; the first empty one if not given
    #[arg(long, value_name = "N")]
    slot: Option<u8>,
    /// Overwrite members of other arrays, and partition tables
    #[arg(long)]
    force: bool,
    /// Fill it from the start, even if it was a member before and it is known what it missed
    #[arg(long)]
    whole: bool,
    #[command(flatten)]
    wait: WaitArgs,
}

/// Fills a new member with what one holds that still serves, and lets it take over when it has all: the array is never less redundant. The
/// old one can be taken away then. Linux MD of version 1.
#[derive(Args, Debug)]
pub(super) struct ReplaceArgs {
    #[command(flatten)]
    target: TargetArgs,
    #[command(flatten)]
    which: WhichArgs,
    /// The new member: a file, a device, a partition (disk.img#2), or a spare of the array. What it holds is lost
    #[arg(long, value_name = "MEMBER")]
    new: String,
    /// Overwrite members of other arrays, and partition tables
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    wait: WaitArgs,
}

/// Throws a member out of the array, or the copy that is to replace one.
#[derive(Args, Debug)]
pub(super) struct FailArgs {
    #[command(flatten)]
    target: TargetArgs,
    #[command(flatten)]
    which: WhichArgs,
}

/// Lets go of the medium of a member that failed, or of a spare, so that it can be taken away.
#[derive(Args, Debug)]
pub(super) struct RemoveArgs {
    #[command(flatten)]
    target: TargetArgs,
    #[command(flatten)]
    which: WhichArgs,
}

/// Puts an array in order: redundancy in doubt is made anew, members in the making are filled.
#[derive(Args, Debug)]
pub(super) struct RebuildArgs {
    #[command(flatten)]
    target: TargetArgs,
    #[command(flatten)]
    wait: WaitArgs,
}

/// Which member of it.
#[derive(Args, Clone, Debug)]
#[group(required = true, multiple = false)]
struct WhichArgs {
    /// The member in this slot
    #[arg(long, value_name = "N")]
    slot: Option<u8>,
    /// This member
    #[arg(long, value_name = "MEMBER")]
    member: Option<String>,
}

/// Whether to wait.
#[derive(Args, Clone, Debug)]
pub(super) struct WaitArgs {
    /// Where a server runs the array, do not wait until it is through
    #[arg(long)]
    pub(super) no_wait: bool,
    /// Tell progress also where stderr is no terminal, in lines
    #[arg(long)]
    pub(super) progress: bool,
}

impl WhichArgs {
    fn slot(&self, status: &Status) -> Result<u8, Failure> {
        let Some(member) = &self.member else { return Ok(self.slot.unwrap_or(u8::MAX)) };
        slot_of(member, status)
    }
}

/// The slot that a member is in, by its name.
///
/// # Errors
/// It is in none.
pub(super) fn slot_of(member: &str, status: &Status) -> Result<u8, Failure> {
    let same = |slot: &&SlotStatus| is_called(member, slot.member.as_ref(), slot.path.as_ref());
    let found = status.slots.iter().find(same).map(|slot| slot.slot);
    found.ok_or_else(|| Failure::new(Exit::Usage, format!("{member}: is in no slot of this array")))
}

/// The slot that a member is on the way to, by its name.
fn copy_of(member: &str, status: &Status) -> Option<u8> {
    let is_it = |copy: &CopyStatus| is_called(member, Some(&copy.member), copy.path.as_ref());
    let under_way = |copy: &&CopyStatus| copy.state == SlotState::Rebuilding && is_it(copy);
    status.slots.iter().find(|slot| slot.copy.as_ref().filter(under_way).is_some()).map(|slot| slot.slot)
}

/// The spare of that name, as the server calls it.
fn spare_of(member: &str, status: &Status) -> Option<String> {
    let spare = status.spares.iter().find(|spare| is_called(member, Some(&spare.member), spare.path.as_ref()));
    spare.map(|spare| spare.path.clone().unwrap_or_else(|| spare.member.clone()))
}

fn is_called(name: &str, member: Option<&String>, path: Option<&String>) -> bool {
    let own = path_of(name);
    member.is_some_and(|member| member == name) || (own.is_some() && own.as_ref() == path)
}

/// Runs `raid add`.
///
/// # Errors
/// As opening; what is refused.
pub(super) fn add(args: &AddArgs, output: &Output) -> Result<Exit, Failure> {
    let mut handle = args.target.handle(output)?;
    let (member, slot) = (absolute(&args.new)?, args.slot);
    match handle.ask(&Ask::Add { member, slot, force: args.force, whole: args.whole }) {
        Ok(status) => {
            if let Some(note) = status.note {
                output.warn(&note);
            }
            finish(handle, &args.wait, output)
        }
        Err(failure) => handle.close().and(Err(failure)),
    }
}

/// Runs `raid replace`.
///
/// # Errors
/// As opening; what is refused.
pub(super) fn replace(args: &ReplaceArgs, output: &Output) -> Result<Exit, Failure> {
    let mut handle = args.target.handle(output)?;
    let member = absolute(&args.new)?;
    match change(&mut handle, &args.which, |slot| Ask::Replace { slot, member, force: args.force }) {
        Ok(_) => finish(handle, &args.wait, output),
        Err(failure) => handle.close().and(Err(failure)),
    }
}

/// Runs `raid fail`.
///
/// # Errors
/// As opening; what is refused.
pub(super) fn fail(args: &FailArgs, output: &Output) -> Result<Exit, Failure> {
    let mut handle = args.target.handle(output)?;
    let done = handle.ask(&Ask::Status).and_then(|status| {
        let copy = args.which.member.as_deref().and_then(|member| copy_of(member, &status));
        let (slot, copy) =
            copy.map_or_else(|| args.which.slot(&status).map(|slot| (slot, false)), |slot| Ok((slot, true)))?;
        handle.ask(&Ask::Fail { slot, copy })
    });
    handle.close()?;
    tell(&done?, output)?;
    Ok(Exit::Ok)
}

/// Runs `raid remove`.
///
/// # Errors
/// Nobody runs the array; what is refused.
pub(super) fn remove(args: &RemoveArgs, output: &Output) -> Result<Exit, Failure> {
    let Some(client) = args.target.running(output)? else {
        return Err(Failure::new(Exit::No, "nobody runs this array, so nobody holds any of its members"));
    };
    let mut handle = Handle::Remote(client);
    let status = handle.ask(&Ask::Status)?;
    let spare = args.which.member.as_deref().and_then(|member| spare_of(member, &status));
    let ask = match spare {
        Some(member) => Ask::RemoveSpare { member },
        None => Ask::Remove { slot: args.which.slot(&status)? },
    };
    tell(&handle.ask(&ask)?, output)?;
    Ok(Exit::Ok)
}

fn change(handle: &mut Handle, which: &WhichArgs, ask: impl FnOnce(u8) -> Ask) -> Result<Status, Failure> {
    let status = handle.ask(&Ask::Status)?;
    handle.ask(&ask(which.slot(&status)?))
}

/// Runs `raid rebuild`.
///
/// # Errors
/// As opening.
pub(super) fn rebuild(args: &RebuildArgs, output: &Output) -> Result<Exit, Failure> {
    let handle = args.target.handle(output)?;
    finish(handle, &args.wait, output)
}

/// Waits for what goes on in the background, tells how the array is, and lets go of it.
fn finish(mut handle: Handle, wait: &WaitArgs, output: &Output) -> Result<Exit, Failure> {
    let through = if wait.no_wait && !handle.is_own() { Ok(true) } else { handle.wait(wait.progress, output) };
    let status = handle.ask(&Ask::Status);
    let own = handle.is_own();
    let in_order = handle.close()?;
    let (through, status) = (through?, status?);
    tell(&status, output)?;
    if !through && status.pass.as_ref().is_some_and(|pass| pass.paused) {
        output.warn("the work in the background rests: `raid resume` lets it go on");
        return Ok(Exit::No);
    }
    if !through {
        let goes_on = if own { "the next start goes on where this stopped" } else { "the server goes on with it" };
        output.warn(&format!("stopped waiting: {goes_on}"));
        return Ok(Exit::No);
    }
    let empty = status.slots.iter().filter(|slot| slot.state != SlotState::InSync).count();
    if empty > 0 && status.pass.is_none() {
        let hint = text::command("", &["raid", "add", "--new", "MEMBER", "ARRAY"].map(str::to_owned));
        output.warn(&format!("{empty} slots are not in sync; to fill one: {hint}"));
    }
    let failed = status.unhealed_rows > 0 || !in_order;
    Ok(if failed { Exit::Incomplete } else { Exit::Ok })
}
