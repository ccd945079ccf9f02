//! The control socket: how a running array is administered while it is served.
//!
//! A Unix socket of mode 0600, on which JSON documents go in lines: one [`Ask`] from the client, one [`Answer`] back, as often as
//! the client likes. Every line says its version. `docs/control.md` has the words.

mod check;
mod client;
mod desk;
mod meter;
mod name;
mod place;
mod roll;
mod server;

use serde::{Deserialize, Serialize};

pub use check::{BlockStatus, CheckStatus, FaultWord, FindingStatus, MendedWord, RoleWord, Whom};
pub use client::{Client, ClientError};
pub use desk::{About, Desk};
pub use name::{absolute, path_of};
pub use place::socket_of;
pub use roll::Held;
pub use server::{Server, serve};

/// Version of the protocol. It changes when a word is removed or changes its meaning, not when one is added.
pub const VERSION: u32 = 1;

/// Longest line that either side takes, in bytes.
const LINE_BYTES_MAX: u64 = 1 << 20;

/// A line of either side.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Line<Body> {
    /// [`VERSION`].
    pub version: u32,
    /// What is said.
    #[serde(flatten)]
    pub body: Body,
}

/// What a client wants. Members are called by their slot.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(tag = "ask", rename_all = "kebab-case")]
pub enum Ask {
    /// How things are.
    Status,
    /// Throw a member out.
    Fail {
        /// Its slot.
        slot: u8,
        /// Not the member, but who is on the way to replace it.
        #[serde(default)]
        copy: bool,
    },
    /// Let go of the medium of a member that is out.
    Remove {
        /// Its slot.
        slot: u8,
    },
    /// Let go of a spare.
    RemoveSpare {
        /// Its name, as the status has it.
        member: String,
    },
    /// Fill a new member with what one holds that serves, and let it take over then.
    Replace {
        /// The slot.
        slot: u8,
        /// The medium, by a name that does not depend on a working directory; or a spare, by its name.
        member: String,
        /// Overwrite what it holds of other arrays.
        #[serde(default)]
        force: bool,
    },
    /// Give an empty slot to a new member, and fill it. If no slot is empty, the medium is kept as a spare.
    Add {
        /// The medium, by a name that does not depend on a working directory.
        member: String,
        /// Which slot; the first empty one if absent.
        slot: Option<u8>,
        /// Overwrite what it holds of other arrays.
        #[serde(default)]
        force: bool,
        /// Fill it from the start, even if the log knows what it lacks.
        #[serde(default)]
        whole: bool,
    },
    /// Compare redundancy with the data; rewrite what is wrong, if that is wanted. It goes on in the background.
    Check {
        /// Whom to believe where the evidence names nobody; writes nothing if absent.
        #[serde(default)]
        repair: Option<Whom>,
        /// First byte of the array.
        #[serde(default)]
        offset_bytes: u64,
        /// How many; all that follow if absent.
        #[serde(default)]
        length_bytes: Option<u64>,
    },
    /// Call the check off.
    StopCheck,
    /// What the check under way, or the last one, found.
    Findings {
        /// How many to pass over.
        from: u64,
    },
    /// Let the work in the background rest, with what it has done durable.
    Pause,
    /// Let it go on.
    Resume,
    /// How fast it may go, in bytes of each member a second; no limit if absent.
    Limit {
        /// While clients are at work.
        busy_bytes_per_s: Option<u64>,
        /// At most.
        max_bytes_per_s: Option<u64>,
    },
}

/// What a server says.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(tag = "answer", rename_all = "kebab-case")]
pub enum Answer {
    /// It was done, or begun; this is how things are now.
    Done(Box<Status>),
    /// This was found, and perhaps more; nothing if that was all.
    Found {
        /// In the order of their rows, once the check is through.
        findings: Vec<FindingStatus>,
    },
    /// It was not done, and nothing changed.
    Refused(Refusal),
}

/// Why something was not done.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct Refusal {
    /// The exit code of the tool that goes with it.
    pub exit_code: u8,
    /// What was found, and what to do.
    pub message: String,
}

/// How a running array is.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Status {
    /// Its identity.
    pub uuid: String,
    /// Its name.
    pub name: String,
    /// Format, level and shape, for people.
    pub description: String,
    /// Its size.
    pub size_bytes: u64,
    /// Where clients reach it; nothing if it is run only to be put in order.
    pub uri: Option<String>,
    /// In one word.
    pub state: ArrayState,
    /// One for each slot.
    pub slots: Vec<SlotStatus>,
    /// Who waits for a slot, and takes one by himself when it is empty.
    #[serde(default)]
    pub spares: Vec<SpareStatus>,
    /// The log of regions being written to.
    pub regions: RegionStatus,
    /// What goes on in the background; nothing if nothing does.
    pub pass: Option<Pass>,
    /// The check under way, or the last one; nothing if there was none.
    #[serde(default)]
    pub check: Option<CheckStatus>,
    /// Rows that could not be put in order since the start.
    pub unhealed_rows: u64,
    /// What was done, in words, where the question left that open.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// The array in one word.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ArrayState {
    /// All members are in sync.
    Healthy,
    /// Somebody is missing or being filled; everything reads.
    Degraded,
    /// More failed than it survives: it takes no writes.
    Broken,
}

/// A slot.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct SlotStatus {
    /// Its number.
    pub slot: u8,
    /// Who is in it, or was when it failed; as given.
    pub member: Option<String>,
    /// The same without links and working directory, if it is a file or a device.
    pub path: Option<String>,
    /// What the member is good for.
    pub state: SlotState,
    /// Bytes of the member that are filled, while it is being filled.
    pub mark_bytes: Option<u64>,
    /// It was a member before, and is filled only where the log has bits.
    #[serde(default)]
    pub by_log: bool,
    /// Who is on the way to replace the member; nothing if nobody is.
    #[serde(default)]
    pub copy: Option<CopyStatus>,
}

/// A new member that is filled with what another one holds, which serves.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct CopyStatus {
    /// As given.
    pub member: String,
    /// The same without links and working directory, if it is a file or a device.
    pub path: Option<String>,
    /// [`SlotState::Rebuilding`]; or [`SlotState::Failed`], and then it is let go of already.
    pub state: SlotState,
    /// Bytes of it that are filled.
    pub mark_bytes: Option<u64>,
}

/// A spare.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct SpareStatus {
    /// As given.
    pub member: String,
    /// The same without links and working directory, if it is a file or a device.
    pub path: Option<String>,
}

/// What a member is good for.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum SlotState {
    /// Holds all it should.
    InSync,
    /// Is being filled.
    Rebuilding,
    /// Failed or was thrown out; its medium is still held.
    Failed,
    /// Nobody.
    Missing,
}

/// The region log, counted.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct RegionStatus {
    /// Regions; zero without redundancy.
    pub total: u64,
    /// Those marked as being written to.
    pub dirty: u64,
    /// Those of them whose redundancy may not fit.
    pub in_doubt: u64,
    /// What a region is on each member.
    pub region_bytes: u64,
}

/// Work in the background.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Pass {
    /// `resync`, `rebuild`, `replace`.
    pub kind: PassKind,
    /// Done of each member.
    pub done_bytes: u64,
    /// To be done of each member.
    pub total_bytes: u64,
    /// Over the last half minute; nothing until it is known.
    pub bytes_per_s: Option<u64>,
    /// Time left at that rate.
    pub left_s: Option<u64>,
    /// It rests because somebody said so.
    pub paused: bool,
    /// Its limit while clients are at work.
    pub busy_bytes_per_s: Option<u64>,
    /// Its limit.
    pub max_bytes_per_s: Option<u64>,
}

/// What is being done.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum PassKind {
    /// Redundancy in doubt is put in order.
    Resync,
    /// Members are filled.
    Rebuild,
    /// Members are filled with what others hold, which serve.
    Replace,
}

impl PassKind {
    /// As it is written.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Resync => "resync",
            Self::Rebuild => "rebuild",
            Self::Replace => "replace",
        }
    }
}

impl Refusal {
    /// A refusal with the tool's exit code.
    #[must_use]
    pub fn new(exit_code: u8, message: impl std::fmt::Display) -> Self {
        Self { exit_code, message: message.to_string() }
    }
}
