//! What the disks of a container are to say of a running volume, and what they were told last: in formats that say on each disk what all
//! are to know.
//!
//! **One change is on all disks before the next one begins**, with one number. A cut in between leaves some disks one number behind, which
//! are current all the same; never two. That is the host's part: it takes one change after another.

use core::fmt;

use crate::imsm::Serial;
use raid_core::Member;
use raid_core::health::Health;

/// A disk of the container that was not given, and holds a part of another volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Away {
    /// Its reference in DDF.
    Reference(u32),
    /// Its serial number in IMSM.
    Serial(Serial),
}

impl fmt::Display for Away {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("disk ")?;
        match self {
            Self::Reference(reference) => write!(f, "{reference:08x}")?,
            Self::Serial(serial) => {
                let len = serial.iter().position(|byte| *byte == 0).unwrap_or(serial.len());
                write!(f, "{}", serial.get(..len).unwrap_or(serial).escape_ascii())?;
            }
        }
        f.write_str(
            " of the same container holds a part of another volume, and was not given: \
             what is written to the others' records would make it stale",
        )
    }
}

/// What the disks are to say of the volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Said {
    /// The members' states.
    pub health: Health,
    /// Redundancy may not agree.
    pub dirty: bool,
}

impl Said {
    /// True if a slot's disk counts, whole or being filled.
    #[must_use]
    pub fn lives(&self, member: Member) -> bool {
        self.health.has(member)
    }
}

/// What was said last.
#[derive(Clone, Debug)]
pub struct Book {
    said: Said,
    /// False until this run has said anything. A member that is not here must be written off before the first write.
    begun: bool,
}

impl Book {
    /// Of a volume that starts so.
    #[must_use]
    pub const fn new(said: Said) -> Self {
        Self { said, begun: false }
    }

    /// What was said last, or found.
    #[must_use]
    pub const fn said(&self) -> &Said {
        &self.said
    }

    /// True if this run has said anything.
    #[must_use]
    pub const fn has_begun(&self) -> bool {
        self.begun
    }

    /// What is to be said with this change; `None` if the disks say so already.
    pub fn next(&self, change: impl FnOnce(&mut Said)) -> Option<Said> {
        let mut next = self.said;
        change(&mut next);
        (!self.begun || next != self.said).then_some(next)
    }

    /// The volume stands still: what is to be said. `None` if the disks say so, or nothing was written.
    #[must_use]
    pub fn stopped(&self, health: &Health, clean: bool) -> Option<Said> {
        if !self.begun && clean {
            return None;
        }
        self.next(|said| {
            said.health.learn(health);
            said.dirty = !clean;
        })
    }

    /// All disks that could be told say so.
    pub const fn entered(&mut self, said: Said) {
        (self.said, self.begun) = (said, true);
    }
}
