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

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;
    use raid_core::Columns;

    fn whole() -> Health {
        Health::of(3, Columns::first(3)).unwrap()
    }

    #[test]
    fn what_is_said_first_is_said_even_if_nothing_changed() {
        let mut book = Book::new(Said { health: whole(), dirty: false });
        // Who was not here at the start must be written off before anything is written.
        let first = book.next(|_| ()).unwrap();
        assert_eq!(first, *book.said());
        book.entered(first);
        assert_eq!(book.next(|_| ()), None);
        assert_eq!(book.next(|said| said.dirty = true), Some(Said { dirty: true, ..first }));
    }

    #[test]
    fn a_volume_that_was_only_read_stops_without_a_word_unless_it_is_in_doubt() {
        let book = Book::new(Said { health: whole(), dirty: false });
        assert_eq!(book.stopped(&whole(), true), None);
        assert!(book.stopped(&whole(), false).unwrap().dirty);
    }

    #[test]
    fn a_volume_that_stops_says_who_failed_and_that_it_is_clean() {
        let mut book = Book::new(Said { health: whole(), dirty: false });
        let dirty = book.next(|said| said.dirty = true).unwrap();
        book.entered(dirty);
        let mut health = whole();
        health.fail(Member(1), None).unwrap();
        let last = book.stopped(&health, true).unwrap();
        assert!(!last.dirty && !last.lives(Member(1)) && last.lives(Member(2)));
        book.entered(last);
        assert_eq!(book.stopped(&health, true), None);
    }

    #[test]
    fn a_disk_that_is_away_is_named() {
        let serial = Away::Serial(crate::imsm::serial("WD-1"));
        let words = |away: Away| std::format!("{away}");
        assert!(words(serial).starts_with("disk WD-1 of the same container"));
        assert!(words(Away::Reference(0xA000_0001)).starts_with("disk a0000001 of"));
    }
}
