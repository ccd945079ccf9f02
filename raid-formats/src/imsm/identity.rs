//! Which of its container's disks a medium is. All disks carry one record, which knows them by their drives' serial numbers.
//!
//! An image has no serial number. So it is told, or the system knows it of a drive, or the medium's partial parity log tells. What is
//! left is found by elimination, if there is only one way to give each medium a disk of the table that is as long as it. Copies of a
//! mirror that are both in sync may be taken either way, for reading.

use super::{
    metadata::{Metadata, serial},
    raw::SERIAL_BYTES,
    refusal::Refusal,
    volume::Volume,
};
use crate::{assemble::Claimant as _, source::Source};
use raid_core::Level;

/// A serial number as the record has it.
pub type Serial = [u8; SERIAL_BYTES];

/// Media of one container that elimination is tried with.
pub const UNKNOWN_MAX: usize = 8;

/// Working space for [`logged_by`].
pub const LOG_BUFFER_BYTES: usize = 8192;

/// How it is known which disk a medium is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Identity {
    /// It is not.
    Unknown,
    /// Somebody said so: an option, a file beside the image.
    Told,
    /// The system knows the drive's serial number.
    Drive,
    /// Its partial parity log is that of the slot whose parity it holds.
    Logged,
    /// There was no other disk of the table left for it.
    Eliminated,
    /// It may be one or the other: copies of one mirror, all in sync.
    Interchangeable,
}

impl Identity {
    /// What is said before and behind the serial number.
    #[must_use]
    pub const fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::Unknown => ("may be", ""),
            Self::Told | Self::Drive => ("is", ""),
            Self::Logged => ("must be", ", by its partial parity log"),
            Self::Eliminated => ("must be", ", by elimination"),
            Self::Interchangeable => ("taken for", "; it may be its twin, which holds the same"),
        }
    }
}

/// A medium with its record, and what is known of which disk it is.
#[derive(Clone, Copy, Debug)]
pub struct Medium<'a> {
    /// What it carries.
    pub metadata: Metadata<'a>,
    /// Index of the disk that it is, if that is known.
    pub own: Option<u8>,
    /// Index of the disk that its partial parity log is of: [`logged_by`].
    pub logged: Option<u8>,
}

impl<'a> Medium<'a> {
    /// Serial number of the disk that this is known to be.
    #[must_use]
    pub fn serial(&self) -> Option<Serial> {
        Some(self.metadata.disk(self.own?.into())?.serial)
    }

    /// Serial numbers of the disks that it may be.
    pub fn candidates(&self) -> impl Iterator<Item = Serial> + use<'a> {
        let (metadata, logged) = (self.metadata, self.logged);
        let of_log = move |index: &u8| logged.is_none_or(|logged| logged == *index);
        metadata.candidates().filter(of_log).filter_map(move |index| Some(metadata.disk(index.into())?.serial))
    }

    /// True if both copies of each volume are in sync, and it has no more than two: then each is as good as the other.
    fn is_interchangeable(&self) -> bool {
        self.metadata.volumes_of(None).all(|volume| {
            volume.is_ok_and(|volume| {
                let record = volume.record();
                record.shape.level == Level::Raid1 && record.table_in_sync.len() == u32::from(record.shape.members)
            })
        })
    }
}

/// A disk's part of one volume, as a medium tells it.
#[derive(Clone, Copy, Debug)]
pub struct Part<'a> {
    volume: Volume<'a>,
    own: Option<u8>,
    identity: Identity,
    logged: Option<u8>,
}

impl<'a> Part<'a> {
    /// The volume with that index; which disk this is nobody knows yet.
    ///
    /// # Errors
    /// Those of [`Metadata::volume`].
    pub fn new(metadata: &Metadata<'a>, index: u8, logged: Option<u8>) -> Result<Self, Refusal> {
        Ok(Self { volume: metadata.volume(index, None)?, own: None, identity: Identity::Unknown, logged })
    }

    /// The volume, as this disk tells it.
    #[must_use]
    pub const fn volume(&self) -> &Volume<'a> {
        &self.volume
    }

    /// How it is known which disk this is.
    #[must_use]
    pub const fn identity(&self) -> Identity {
        self.identity
    }

    /// What elimination goes by.
    #[must_use]
    pub const fn medium(&self) -> Medium<'a> {
        Medium { metadata: *self.volume.metadata(), own: self.own, logged: self.logged }
    }

    /// The same as the disk with that serial number; `None` if its record has none.
    #[must_use]
    pub fn known_as(&self, serial: &Serial, identity: Identity) -> Option<Self> {
        self.of(self.volume.metadata().index_of(serial)?, identity)
    }

    /// The same as the disk whose serial number somebody said; `None` if its record has none.
    #[must_use]
    pub fn told(&self, text: &str) -> Option<Self> {
        self.of(self.volume.metadata().index_told(text)?, Identity::Told)
    }

    fn of(&self, index: u8, identity: Identity) -> Option<Self> {
        let volume = self.volume.metadata().volume(self.volume.raw().index, Some(index)).ok()?;
        Some(Self { volume, own: Some(index), identity, ..*self })
    }
}

impl Metadata<'_> {
    /// Index of the disk whose serial number somebody said: by the rules for drives, or as it is written. What was made without a drive
    /// has a name that no drive's rules were applied to.
    #[must_use]
    pub fn index_told(&self, text: &str) -> Option<u8> {
        self.index_of(&serial(text)).or(self.index_of(&plain(text)))
    }
}

/// A serial number as it is written, without the rules for drives.
#[must_use]
pub fn plain(text: &str) -> Serial {
    let mut plain = [0; SERIAL_BYTES];
    plain.iter_mut().zip(text.bytes()).for_each(|(to, from)| *to = from);
    plain
}

/// Index of the disk whose partial parity log this is: a log's entries name the slot that holds their parity, which is the log's own
/// (`raid5-ppl.c`). `buf` is working space of [`LOG_BUFFER_BYTES`].
pub fn logged_by<S: Source>(source: &S, metadata: &Metadata<'_>, buf: &mut [u8]) -> Option<u8> {
    metadata.volumes_of(None).filter_map(Result::ok).find_map(|volume| logged_in(source, &volume, buf))
}

fn logged_in<S: Source>(source: &S, volume: &Volume<'_>, buf: &mut [u8]) -> Option<u8> {
    let mut slot = None;
    volume.ppl()?.read(source, buf, |entry| slot = slot.or(u16::try_from(entry.parity).ok())).ok()?;
    let (index, _) = volume.raw().map.member(slot?)?;
    u8::try_from(index).ok()
}

/// For each of a container's media the disk that it must be, if it was not known before and can be told; nothing where it is known or
/// stays unknown. `given` has a place for each.
///
/// # Errors
/// [`TooMany`]: nothing was tried.
pub fn eliminate<'a>(
    media: impl Iterator<Item = Medium<'a>> + Clone,
    given: &mut [Option<(Serial, Identity)>],
) -> Result<(), TooMany> {
    given.fill(None);
    let unknown = || media.clone().enumerate().filter(|(_, medium)| medium.own.is_none());
    let mut open = Open { media: [None; UNKNOWN_MAX], fixed: [None; UNKNOWN_MAX] };
    for (number, (_, medium)) in unknown().enumerate() {
        *open.media.get_mut(number).ok_or(TooMany)? = Some(medium);
    }
    let known = |serial: &Serial| media.clone().any(|medium| medium.serial() == Some(*serial));
    for (number, (index, medium)) in unknown().enumerate() {
        let mut fitting = medium.candidates().filter(|serial| !known(serial) && open.fits(number, *serial, &known));
        if let (Some(serial), None) = (fitting.next(), fitting.next())
            && let Some(place) = given.get_mut(index)
        {
            *place = Some((serial, if medium.logged.is_some() { Identity::Logged } else { Identity::Eliminated }));
        }
    }
    if given.iter().any(Option::is_some) || !unknown().all(|(_, medium)| medium.is_interchangeable()) {
        return Ok(());
    }
    // Any order does; the first is taken.
    for (number, (index, medium)) in unknown().enumerate() {
        let serial = medium.candidates().find(|serial| !known(serial) && open.fits(number, *serial, &known));
        if let (Some(fixed), Some(place)) = (open.fixed.get_mut(number), given.get_mut(index)) {
            (*fixed, *place) = (serial, serial.map(|serial| (serial, Identity::Interchangeable)));
        }
    }
    Ok(())
}

/// More media do not say which disk they are than elimination is tried with: [`UNKNOWN_MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooMany;

/// Media that nobody knows yet.
struct Open<'a> {
    media: [Option<Medium<'a>>; UNKNOWN_MAX],
    /// Those that have their disk already.
    fixed: [Option<Serial>; UNKNOWN_MAX],
}

impl Open<'_> {
    /// True if all can have a disk, none of them twice, where that medium has this one.
    fn fits(&self, number: usize, serial: Serial, known: &impl Fn(&Serial) -> bool) -> bool {
        let mut taken = self.fixed;
        let Some(place) = taken.get_mut(number) else { return false };
        *place = Some(serial);
        let stays = taken;
        let twice = |one: usize| {
            let own = stays.get(one).copied().flatten();
            own.is_some() && (0..one).any(|other| stays.get(other).copied().flatten() == own)
        };
        if (0..UNKNOWN_MAX).any(twice) {
            return false;
        }
        let mut open = (0..UNKNOWN_MAX).filter(|one| self.is_open(*one, &stays));
        open.all(|one| self.seat(one, &mut taken, &stays, &mut [false; UNKNOWN_MAX], known))
    }

    fn is_open(&self, one: usize, stays: &[Option<Serial>; UNKNOWN_MAX]) -> bool {
        self.media.get(one).is_some_and(Option::is_some) && stays.get(one).is_some_and(Option::is_none)
    }

    /// Gives a medium a disk: a free one, or one whose medium can have another. Nobody is asked twice, so it ends soon, whatever stands in
    /// the records; and it is never deeper than there are media.
    fn seat(
        &self,
        one: usize,
        taken: &mut [Option<Serial>; UNKNOWN_MAX],
        stays: &[Option<Serial>; UNKNOWN_MAX],
        seen: &mut [bool; UNKNOWN_MAX],
        known: &impl Fn(&Serial) -> bool,
    ) -> bool {
        let Some(medium) = self.media.get(one).copied().flatten() else { return false };
        if let Some(seen) = seen.get_mut(one) {
            *seen = true;
        }
        for serial in medium.candidates().filter(|serial| !known(serial)) {
            let holder = taken.iter().position(|held| *held == Some(serial));
            let free = holder.is_none_or(|holder| {
                let asked = seen.get(holder).copied().unwrap_or(true);
                !asked && self.is_open(holder, stays) && self.seat(holder, taken, stays, seen, known)
            });
            if free {
                if let Some(place) = taken.get_mut(one) {
                    *place = Some(serial);
                }
                return true;
            }
        }
        false
    }
}
