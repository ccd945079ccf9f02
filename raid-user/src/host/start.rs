//! What a running array is made of: the contract between the host, which moves bytes, and a format, which knows what
//! the members' metadata must say.

use std::io;

use raid_core::health::Health;
use raid_core::members::Away;
use raid_core::region::RegionNo;
use raid_core::rows::{RowNo, Rows};
use raid_core::{Member, Sector};

use crate::media::SharedMediaMut;

/// What a call for a slot that nobody is in ends with.
pub(super) fn absent(member: Member) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, format!("slot {member} has no member"))
}

/// One slot of a running array.
#[derive(Clone)]
pub struct Slot {
    /// Where its data are, or nothing if the member is missing.
    pub media: Option<SharedMediaMut>,
    /// First sector of the array's data on the medium.
    pub data_at: Sector,
}

/// All that the host needs to run an array, as a format found it.
pub struct Start {
    /// The array's shape.
    pub rows: Rows,
    /// Who is in sync, being rebuilt up to a mark, or missing.
    pub health: Health,
    /// One for each slot; behind them, if there are any, those of second seats, where copies in the making are.
    pub slots: Vec<Slot>,
    /// Rows under one bit of the region log: what the format's bitmap says, or all rows if it has one dirty flag.
    pub region_rows: u64,
    /// Words of 64 bits in a page of the log, so that a page is what the format writes at once.
    pub log_page_words: usize,
    /// Regions whose redundancy is in doubt.
    pub doubt: Vec<RegionNo>,
    /// Regions whose bit is set, in doubt or not: a member that is missing, or is being caught up, may lack something there.
    pub marked: Vec<RegionNo>,
    /// Rows before this one are in order all the same: a resync was stopped there. Counts with one region only.
    pub doubt_from: RowNo,
    /// Who writes the log and the members' states down.
    pub store: Box<dyn Store>,
}

/// How an array is left that was stopped in order: all members are flushed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// No region is in doubt.
    Clean,
    /// Some are, but no row before this one.
    InDoubt {
        /// Zero if nothing is known.
        from: RowNo,
    },
}

/// The format's side: writes durable metadata when the engine says so, decides nothing.
///
/// Every call returns when the medium has it durably. Calls for one member never overlap; those for several may. Members are called by
/// their seats ([`Health::seat`]), which are their slots as long as nobody was replaced while it served.
pub trait Store: Send + Sync {
    /// Writes page `page` of the region log to `member`: `words` as the engine holds them, bit 0 of word 0 being the
    /// page's first region.
    ///
    /// # Errors
    /// The medium's; the member is failed then.
    fn write_log(&self, member: Member, page: u32, words: &[u64]) -> io::Result<()>;

    /// Writes the members' states to `member`.
    ///
    /// # Errors
    /// The medium's; the member is failed then.
    fn write_health(&self, member: Member, health: &Health) -> io::Result<()>;

    /// Gives a new medium to a missing slot, and says where its data will lie. Nothing on it is trusted.
    /// The store takes away what the medium says of other arrays, and writes nothing else to it before the next `write_health`.
    ///
    /// # Errors
    /// What the medium is too small for, or its own errors.
    fn admit(&self, member: Member, media: SharedMediaMut) -> io::Result<Slot>;

    /// Gives a medium that was a member of this array its slot again, with what it holds: where its data lie, and what it knew when
    /// it left, in epochs of this run (the first one for all that was before and counts). The store must not write to it before the
    /// next `write_health`.
    ///
    /// # Errors
    /// The medium is no such member, its metadata say that it was not in sync, or its own errors.
    fn readmit(&self, member: Member, media: SharedMediaMut) -> io::Result<(Slot, Away)> {
        let _ = (member, media);
        Err(io::Error::new(io::ErrorKind::Unsupported, "the format does not say what a member knew when it left"))
    }

    /// Gives a new medium to the second seat of a slot whose member serves: it is to be filled with what that one holds. As for
    /// [`admit`](Self::admit), nothing else is written to it before the next `write_health`.
    ///
    /// # Errors
    /// The format cannot say it; what the medium is too small for, or its own errors.
    fn replace(&self, seat: Member, media: SharedMediaMut) -> io::Result<Slot> {
        let _ = (seat, media);
        Err(io::Error::new(
            io::ErrorKind::Unsupported,
            "the format has no word for a member that is filled while another serves its slot",
        ))
    }

    /// Keeps a medium as a spare: it belongs to the array and holds nothing, until it is [admitted](Self::admit) to a slot.
    ///
    /// # Errors
    /// The format has no spares, or none are kept yet; what the medium is too small for, or its own errors.
    fn keep(&self, media: SharedMediaMut) -> io::Result<()> {
        let _ = media;
        Err(io::Error::new(io::ErrorKind::Unsupported, "spares of this format are not kept yet"))
    }

    /// The spares, the first to be taken first.
    fn spares(&self) -> Vec<SharedMediaMut> {
        Vec::new()
    }

    /// Lets go of a spare. False if it is none.
    fn dismiss(&self, spare: &SharedMediaMut) -> bool {
        let _ = spare;
        false
    }

    /// Takes back what [`admit`](Self::admit), [`replace`](Self::replace) or [`readmit`](Self::readmit) gave: the member did not get the
    /// slot and will be told nothing.
    fn withdraw(&self, member: Member) {
        let _ = member;
    }

    /// Media that are kept up to date without being members: spares, or disks that have parts of other volumes. Each may be
    /// [admitted](Self::admit).
    fn held(&self) -> Vec<SharedMediaMut> {
        Vec::new()
    }

    /// Why the array cannot do without this member, though others hold the same; `None` if its level alone says whether it can.
    fn vital(&self, member: Member) -> Option<&'static str> {
        let _ = member;
        None
    }

    /// Lets go of the medium of a member that is out. False, and nothing is done, as long as the store has not heard that it is.
    fn release(&self, member: Member) -> bool;

    /// The array was stopped in order. Called last.
    ///
    /// While members are missing, bits of clean regions stay set: they tell what those members have missed.
    ///
    /// # Errors
    /// The medium's, of the first member that failed.
    fn stop(&self, health: &Health, stopped: Stopped) -> io::Result<()>;
}
