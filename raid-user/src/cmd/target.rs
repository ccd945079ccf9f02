//! Which running array a verb is about: found by its members, its UUID or its socket; or run here, if nobody runs it.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clap::Args;
use raid_formats::record::Uuid;

use super::exit::{Exit, Failure};
use super::open::{Meant, OpenArgs};
use super::output::Output;
use super::run::{Administered, Run, place};
use crate::control::{Answer, Ask, Client, ClientError, Desk, FindingStatus, Held, Refusal, Status};
use crate::host::Tuning;
use crate::host::look::{LookError, look};
use crate::transfer::Progress;
use crate::transfer::bar::{Bar, Show};

/// How often progress is asked for.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Which array.
#[derive(Args, Clone, Debug)]
pub(super) struct TargetArgs {
    /// The array: its members, or directories of them, or the UUID of a running one
    #[arg(value_name = "ARRAY", required_unless_present_any = ["control", "table"])]
    target: Vec<String>,
    /// The control socket of a running array
    #[arg(long, value_name = "PATH")]
    control: Option<PathBuf>,
    /// An array of dm-raid or dm-mirror: a line as dmsetup prints it, or a file with one; its devices have the names that stand there
    #[arg(long, value_name = "LINE|FILE", conflicts_with_all = ["array", "volume"])]
    table: Option<String>,
    /// Which array, by name or UUID, where members of several are given
    #[arg(long, value_name = "NAME|UUID")]
    array: Option<String>,
    /// Which RAID volume of LVM, as group/volume
    #[arg(long, value_name = "NAME", conflicts_with = "array")]
    volume: Option<String>,
    /// Which disk a member is, by its drive's serial number, where the format (IMSM) knows disks by nothing else; several times
    #[arg(long, value_name = "MEMBER=SERIAL")]
    serial: Vec<String>,
    /// If nobody runs it: believe parity where a degraded array was not stopped cleanly. Risk: what a missing member held can be wrong
    #[arg(long)]
    trust_dirty_parity: bool,
    /// If nobody runs it: replay its partial parity log or its journal onto the members, and run it without. Risk: as of raid serve
    #[arg(long)]
    without_log: bool,
}

/// A way to the array.
pub(super) enum Handle {
    /// Somebody runs it.
    Remote(Client),
    /// It is run here until the verb is done.
    Own(Box<Own>),
    /// It is run here to be looked at: nothing is written.
    Look(Box<Desk>),
}

pub(super) struct Own {
    administered: Administered,
    run: Run,
}

impl TargetArgs {
    fn open(&self) -> OpenArgs {
        let plain = OpenArgs::plain(&self.target, false);
        let (array, volume, serial) = (self.array.clone(), self.volume.clone(), self.serial.clone());
        let (trust_dirty_parity, without_log) = (self.trust_dirty_parity, self.without_log);
        let table = self.table.clone();
        OpenArgs { table, array, volume, serial, trust_dirty_parity, without_log, ..plain }
    }

    /// The array that somebody runs; nothing if nobody does.
    ///
    /// # Errors
    /// As opening; a socket that cannot be used, a UUID or socket that nobody listens for.
    pub(super) fn running(&self, output: &Output) -> Result<Option<Client>, Failure> {
        let io = |error: std::io::Error| Failure::new(Exit::Io, error);
        if let Some(control) = &self.control {
            let nobody = || Failure::new(Exit::No, format!("{}: nobody listens there", control.display()));
            return Client::connect(control).map_err(io)?.ok_or_else(nobody).map(Some);
        }
        if let [one] = &self.target[..]
            && let Some(uuid) = uuid(one)
        {
            let nobody = || Failure::new(Exit::No, format!("nobody runs array {one} (give its members to look at it)"));
            return Client::connect(&place(uuid)?).map_err(io)?.ok_or_else(nobody).map(Some);
        }
        let meant = self.open().meant(output)?;
        let Some(uuid) = meant.uuid() else { return Ok(None) };
        let path = place(uuid)?;
        let Some(mut client) = Client::connect(&path).map_err(io)? else { return Ok(None) };
        let Meant::Array { found, .. } = meant else { return Ok(Some(client)) };
        // Copies of an array have its UUID, too.
        let status = client.ask(&Ask::Status).map_err(refused)?;
        let own: Vec<String> = found.iter().filter_map(|found| crate::control::path_of(found.name())).collect();
        let known = |path: &String| {
            let copies = status.slots.iter().flat_map(|slot| &slot.copy).map(|copy| &copy.path);
            let spares = status.spares.iter().map(|spare| &spare.path);
            status.slots.iter().map(|slot| &slot.path).chain(copies).chain(spares).any(|own| own.as_ref() == Some(path))
        };
        if own.iter().any(known) {
            return Ok(Some(client));
        }
        let why = format!("{}: runs an array with the same UUID, but other members", path.display());
        Err(Failure::new(Exit::Refused, format!("{why}; --control PATH names the one that is meant")))
    }

    /// The array that somebody runs, or run here.
    ///
    /// # Errors
    /// As [`running`](Self::running) and [`Run::start`].
    pub(super) fn handle(&self, output: &Output) -> Result<Handle, Failure> {
        self.handle_with(&Tuning::default(), output)
    }

    /// The array that somebody runs; or run here, but nothing is put in order without being asked for.
    ///
    /// # Errors
    /// As [`handle`](Self::handle).
    pub(super) fn handle_as_it_is(&self, output: &Output) -> Result<Handle, Failure> {
        self.handle_with(&Tuning { heals: false, ..Tuning::default() }, output)
    }

    fn handle_with(&self, tuning: &Tuning, output: &Output) -> Result<Handle, Failure> {
        if let Some(client) = self.running(output)? {
            return Ok(Handle::Remote(client));
        }
        let run = Run::start(&self.open(), tuning, output)?;
        let administered = run.administer(None, None)?;
        Ok(Handle::Own(Box::new(Own { administered, run })))
    }

    /// The array that somebody runs; or run here, with its members opened for reading only.
    ///
    /// # Errors
    /// As [`running`](Self::running); what cannot be looked at.
    pub(super) fn look(&self, output: &Output) -> Result<Handle, Failure> {
        if let Some(client) = self.running(output)? {
            return Ok(Handle::Remote(client));
        }
        let open = self.open();
        let (members, options) = (open.meant(output)?.members(&open.options())?, open.options());
        let (running, warnings) = look(members.found, &options).map_err(|error| match error {
            LookError::Open(error) => super::open::refused(error),
            LookError::NotYet(_) => Failure::new(Exit::Refused, error),
            LookError::Io(error) => Failure::new(Exit::Io, error),
        })?;
        let warnings = members.warnings.unwrap_or_else(|| warnings.iter().map(ToString::to_string).collect());
        warnings.iter().for_each(|warning| output.warn(warning));
        let held = running.names().map(|name| name.map(|name| Held::new(&name))).collect();
        Ok(Handle::Look(Box::new(Desk::new(Arc::new(running), members.about, held)?)))
    }
}

impl Handle {
    /// Asks, and waits for the answer.
    ///
    /// # Errors
    /// What is refused, with its exit code.
    pub(super) fn ask(&mut self, ask: &Ask) -> Result<Status, Failure> {
        match self {
            Self::Remote(client) => client.ask(ask).map_err(refused),
            Self::Own(own) => answered(own.administered.desk.ask(ask)),
            Self::Look(desk) => answered(desk.ask(ask)),
        }
    }

    /// All that the check under way, or the last one, found.
    ///
    /// # Errors
    /// The server went away.
    pub(super) fn findings(&mut self) -> Result<Vec<FindingStatus>, Failure> {
        let mut all = Vec::new();
        loop {
            let from = all.len() as u64;
            let some = match self {
                Self::Remote(client) => client.findings(from).map_err(refused)?,
                Self::Own(own) => own.administered.desk.findings(from),
                Self::Look(desk) => desk.findings(from),
            };
            if some.is_empty() {
                return Ok(all);
            }
            all.extend(some);
        }
    }

    /// True if the array runs here, and only until the verb is done.
    pub(super) const fn is_own(&self) -> bool {
        !matches!(self, Self::Remote(_))
    }

    /// Waits until nothing goes on in the background, with a bar. False if a signal came first, or it is paused.
    ///
    /// # Errors
    /// The server went away.
    pub(super) fn wait(&mut self, progress: bool, output: &Output) -> Result<bool, Failure> {
        let interrupted = interruption()?;
        let mut bar: Option<Bar> = None;
        loop {
            let status = self.ask(&Ask::Status)?;
            let Some(pass) = status.pass else { return Ok(true) };
            if interrupted.load(Ordering::SeqCst) || pass.paused {
                return Ok(false);
            }
            let show = Show::of(output.quiet, progress);
            let bar = bar.get_or_insert_with(|| Bar::new(pass.total_bytes, show));
            bar.show(Progress { done_bytes: pass.done_bytes, total_bytes: pass.total_bytes });
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// Waits until no check is under way, with a bar. False if a signal came first, or it is paused; one that runs here is called off then.
    ///
    /// # Errors
    /// The server went away.
    pub(super) fn wait_for_check(&mut self, progress: bool, output: &Output) -> Result<bool, Failure> {
        let interrupted = interruption()?;
        let mut bar: Option<Bar> = None;
        loop {
            let Some(check) = self.ask(&Ask::Status)?.check.filter(|check| check.running) else {
                return Ok(!interrupted.load(Ordering::SeqCst));
            };
            let stops = interrupted.load(Ordering::SeqCst);
            if stops && self.is_own() {
                self.ask(&Ask::StopCheck)?;
            } else if stops || check.paused {
                return Ok(false);
            }
            let show = Show::of(output.quiet, progress);
            let bar = bar.get_or_insert_with(|| Bar::new(check.total_bytes, show));
            bar.show(Progress { done_bytes: check.done_bytes, total_bytes: check.total_bytes });
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// Lets go of the array; stops it, if it ran here. False if it ran here and is not in order yet.
    ///
    /// # Errors
    /// What could not be written at the end.
    pub(super) fn close(self) -> Result<bool, Failure> {
        match self {
            Self::Remote(_) | Self::Look(_) => Ok(true),
            Self::Own(own) => {
                let Own { administered, run } = *own;
                drop(administered);
                run.stop()
            }
        }
    }
}

/// A flag that Ctrl-C raises.
fn interruption() -> Result<Arc<AtomicBool>, Failure> {
    let interrupted = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&interrupted);
    ctrlc::set_handler(move || flag.store(true, Ordering::SeqCst)).map_err(|error| Failure::new(Exit::Io, error))?;
    Ok(interrupted)
}

fn answered(answer: Answer) -> Result<Status, Failure> {
    match answer {
        Answer::Done(status) => Ok(*status),
        Answer::Refused(refusal) => Err(failure(&refusal)),
        Answer::Found { .. } => Err(Failure::new(Exit::Io, "an answer to another question")),
    }
}

fn refused(error: ClientError) -> Failure {
    match error {
        ClientError::Refused(refusal) => failure(&refusal),
        other => Failure::new(Exit::Io, other),
    }
}

fn failure(refusal: &Refusal) -> Failure {
    let known = [Exit::No, Exit::Usage, Exit::Refused, Exit::BadInput, Exit::Io];
    let exit = known.into_iter().find(|exit| *exit as u8 == refusal.exit_code).unwrap_or(Exit::Io);
    Failure::new(exit, &refusal.message)
}

/// `6d8a1c3c:298c15ad:87a40c05:792e67d6`, as every verb prints it.
fn uuid(word: &str) -> Option<Uuid> {
    let digits = word.replace(':', "");
    if digits.len() != 32 || word.len() != 35 || std::path::Path::new(word).exists() {
        return None;
    }
    u128::from_str_radix(&digits, 16).ok().map(|number| Uuid(number.to_be_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uuid_is_read_as_it_is_printed_and_nothing_else_is_one() {
        let word = "6d8a1c3c:298c15ad:87a40c05:792e67d6";
        assert_eq!(uuid(word).map(|uuid| uuid.to_string()), Some(word.into()));
        assert_eq!(uuid("6d8a1c3c298c15ad87a40c05792e67d6"), None);
        assert_eq!(uuid("disk.img"), None);
    }
}
