//! Arrays that run: started from members that are opened for writing, with a desk to administer them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use raid_core::Level;
use raid_core::health::Epoch;
use raid_formats::assemble::Claimant;
use raid_formats::record::{Record, Uuid, WriteLog};

use super::exit::{Exit, Failure};
use super::open::{Meant, OpenArgs, refused, unopened};
use super::output::Output;
use super::text;
use crate::array::{OpenOptions, level_name};
use crate::control::{self, About, Desk, Held, Server, socket_of};
use crate::discover::Found;
use crate::host::{Running, StartError, Tuning, start_array, start_table};
use crate::lvm::VolumeGroup;
use crate::media::OpenError as MediaError;

/// A running array.
pub(super) struct Run {
    /// The array itself.
    pub(super) running: Arc<Running>,
    /// What it is called.
    pub(super) about: About,
    held: Vec<Option<Held>>,
    /// Of its members, when it was started.
    epoch: Epoch,
}

impl Run {
    /// Opens the members of the one array that is meant for writing, and runs it. Warnings go to stderr.
    ///
    /// # Errors
    /// As opening; what cannot be kept right while it is written to.
    pub(super) fn start(args: &OpenArgs, tuning: &Tuning, output: &Output) -> Result<Self, Failure> {
        // As a reader first: what is refused or warned of is so in the same words.
        drop(args.open(output)?);
        let meant = args.meant(&Output { quiet: true, ..*output })?;
        let options = args.options();
        let mut logged = false;
        let (start, about) = match meant {
            Meant::Array { found, all } => {
                let closes = |log| matches!(log, WriteLog::Ppl { .. } | WriteLog::Journal { .. });
                logged = found.iter().any(|found| closes(found.record().log));
                let record = found.first().map(|found| *found.record());
                let record = record.ok_or_else(|| refused(crate::array::OpenError::NoMember))?;
                (start_array(found, &all, &options), about(&record))
            }
            Meant::Table { table, found } => {
                let record = found.first().map(|found| *found.record());
                let record = record.ok_or_else(|| refused(crate::array::OpenError::NoMember))?;
                (start_table(&table, &options), About { uuid: table.identity(), ..about(&record) })
            }
            Meant::Volume { group, name } => {
                let start = group.start(&name, &options);
                let shape = start.as_ref().map(|start| start.rows.geometry());
                let shape = shape.map_or_else(|_| String::new(), |shape| shape_of(shape.level(), shape.members()));
                (start, about_volume(&group, &name, &shape))
            }
        };
        let start = start.map_err(|error| unstarted(error, &args.members))?;
        if logged {
            output.warn(
                "what its log held was written to the members; it runs without it, and they name it again when nothing is in doubt",
            );
        }
        let held =
            start.slots.iter().map(|slot| slot.media.as_ref().map(|media| Held::new(&media.describe()))).collect();
        let epoch = start.health.epoch();
        let running = Running::start(start, tuning).map_err(|error| Failure::new(Exit::Io, error))?;
        Ok(Self { running: Arc::new(running), about, held, epoch })
    }

    /// Lets it be administered: at `control`, or where its identity is looked for.
    ///
    /// # Errors
    /// No place for the socket.
    pub(super) fn administer(&self, control: Option<&Path>, uri: Option<String>) -> Result<Administered, Failure> {
        let io = |error: std::io::Error| Failure::new(Exit::Io, error);
        let path = control.map_or_else(|| place(self.about.uuid), |path| Ok(path.to_owned()))?;
        let about = About { uri, ..self.about.clone() };
        let desk = Arc::new(Desk::new(Arc::clone(&self.running), about, self.held.clone()).map_err(io)?);
        let server = control::serve(Arc::clone(&desk), &path).map_err(|error| {
            let hint = if error.kind() == std::io::ErrorKind::AlreadyExists && control.is_none() {
                "; another array with the same UUID is running, and --control PATH takes another place"
            } else {
                ""
            };
            Failure::new(Exit::Io, format!("control socket {error}{hint}"))
        })?;
        Ok(Administered { desk, server })
    }

    /// Stops it in order. True if the members say "clean". If nothing happened that metadata tell of, they are left as they are, and
    /// it is true.
    ///
    /// # Errors
    /// What could not be written at the end.
    pub(super) fn stop(self) -> Result<bool, Failure> {
        let running = Arc::into_inner(self.running);
        let running = running.ok_or_else(|| Failure::new(Exit::Io, "the array is still in use; it was not stopped"))?;
        if running.is_untouched() && running.health().epoch() == self.epoch {
            return Ok(true);
        }
        running.stop().map_err(|error| Failure::new(Exit::Io, format!("stopping the array: {error}")))
    }
}

/// A running array's desk, and the socket where it stands.
pub(super) struct Administered {
    /// The desk.
    pub(super) desk: Arc<Desk>,
    /// Its socket.
    pub(super) server: Server,
}

/// Where the control socket of an array is.
///
/// # Errors
/// No folder for it.
pub(super) fn place(array: Uuid) -> Result<PathBuf, Failure> {
    socket_of(array)
        .map_err(|error| Failure::new(Exit::Io, format!("control socket: {error}; --control PATH names one")))
}

pub(super) fn about(record: &Record) -> About {
    let description = format!("{} {}", record.format.name(), text::shape(&record.shape));
    About { uuid: record.array, name: record.name.to_string(), description, uri: None }
}

fn shape_of(level: Level, members: u16) -> String {
    format!("{}, {members} members", level_name(level))
}

fn about_volume(group: &VolumeGroup, name: &str, shape: &str) -> About {
    let (name, uuid) = (format!("{}/{name}", group.name()), group.uuid(name).unwrap_or_default());
    About { uuid, name, description: format!("lvm2 {shape}"), uri: None }
}

/// An array that is looked at without being run.
pub(super) struct Members {
    /// Who is in it.
    pub(super) found: Vec<Found>,
    /// What it is called.
    pub(super) about: About,
    /// What is to be known of it; nothing if opening its members tells that.
    pub(super) warnings: Option<Vec<String>>,
}

impl Meant {
    /// Its members, for verbs that look at its redundancy.
    ///
    /// # Errors
    /// A volume of LVM that has none, or is not opened; no members.
    pub(super) fn members(self, options: &OpenOptions) -> Result<Members, Failure> {
        let first = |found: &[Found]| {
            let record = found.first().map(|found| *found.record());
            record.ok_or_else(|| refused(crate::array::OpenError::NoMember))
        };
        match self {
            Self::Array { found, .. } => Ok(Members { about: about(&first(&found)?), found, warnings: None }),
            Self::Table { table, found } => {
                let about = About { uuid: table.identity(), ..about(&first(&found)?) };
                Ok(Members { found, about, warnings: None })
            }
            Self::Volume { group, name } => {
                let opened = group.open(&name, options).map_err(|stop| Failure::new(Exit::Refused, stop))?;
                let title = format!("{}/{name}", group.name());
                if !opened.lost.is_empty() {
                    return Err(Failure::new(Exit::Refused, format!("{title}: {}", opened.lost.join("; "))));
                }
                let Some(array) = &opened.array else {
                    let why = format!("{title}: {}: nothing in it is there twice", opened.description);
                    return Err(Failure::new(Exit::Refused, why));
                };
                let shape = array.record().shape;
                let about = about_volume(&group, &name, &shape_of(shape.level, shape.members));
                Ok(Members { found: opened.found, about, warnings: Some(opened.warnings) })
            }
        }
    }
}

/// The failure for an array that is not run.
fn unstarted(error: StartError, members: &[String]) -> Failure {
    let explain = || text::command("", &[&["raid".to_owned(), "explain".to_owned()], members].concat());
    match error {
        StartError::Open(error) => refused(error),
        StartError::Media(error @ (MediaError::Locked { .. } | MediaError::Busy { .. })) => {
            let status = text::command("", &[&["raid".to_owned(), "status".to_owned()], members].concat());
            Failure::new(Exit::Io, format!("{error}\nIf another raid runs it, this says so: {status}"))
        }
        StartError::Media(error) => unopened(error),
        StartError::Gone(reason) => Failure::new(Exit::BadInput, reason),
        StartError::NotYet(_) | StartError::Unwritable(_) => {
            Failure::new(Exit::Refused, format!("{error} (without --write)"))
        }
        StartError::Contradiction(_) => {
            Failure::new(Exit::BadInput, format!("{error}\nWhat each member says: {}", explain()))
        }
        StartError::Replay(_) => Failure::new(Exit::Io, error),
        StartError::DirtyDegraded(_) | StartError::NotGiven(_) | StartError::LogNotKept(_) => {
            Failure::new(Exit::Refused, error)
        }
    }
}
