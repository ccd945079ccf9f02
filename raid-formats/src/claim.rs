//! What a medium is a member by, of whatever format: for hosts that have little memory and no names, such as a kernel.

use core::fmt;

use crate::assemble::Claimant;
use crate::bios;
use crate::ddf;
use crate::imsm;
use crate::imsm::{Identity, LOG_BUFFER_BYTES, Serial};
use crate::md::{self, Hindrance, ProbeBuffer, Superblock, Version};
use crate::record::{Format, Record, Role};
use crate::source::Source;

/// Working space: the longest record of a BIOS RAID, or a block of DDF's.
pub type Working = [u8; bios::BUFFER_BYTES];

/// The likeliest record of a medium. It borrows the bytes.
#[derive(Clone, Copy, Debug)]
pub enum Claim<'b> {
    /// A superblock of Linux MD.
    Md(Superblock<'b>, Version, Record),
    /// A virtual disk of DDF.
    Ddf(ddf::Volume<'b>),
    /// A disk's part of a volume of IMSM. Which disk it is has to be told, or found by [`eliminate`].
    Imsm(imsm::Part<'b>),
    /// A record of a BIOS RAID.
    Bios(bios::Member),
}

/// Why a medium is nobody's member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unclaimed {
    /// No record of any format is on it.
    Nothing,
    /// A record is there, and damaged, or of a spare.
    Damaged(Format),
    /// A record of more than one volume; which one is meant nobody said.
    Several(Format),
    /// A record that does not say which of its disks this one is, and nothing else tells.
    Nameless(Format),
    /// No disk of its record has the serial number that was said.
    OtherSerial(Format),
    /// A serial number was said, and the format knows its members by none.
    NoSerials(Format),
    /// The record is longer than there is room for.
    NoRoom,
}

impl fmt::Display for Unclaimed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str("no RAID superblock"),
            Self::Damaged(format) => write!(f, "{}: a record that is damaged, or of no volume", format.name()),
            Self::Several(format) => write!(f, "{}: parts of several volumes", format.name()),
            Self::Nameless(format) => {
                write!(f, "{}: which disk this is, only its serial number tells, and nobody said it", format.name())
            }
            Self::OtherSerial(format) => write!(f, "{}: no disk of its record has that serial number", format.name()),
            Self::NoSerials(format) => write!(f, "{} knows its members by no serial number", format.name()),
            Self::NoRoom => f.write_str("its metadata are too long"),
        }
    }
}

/// Looks for every format in turn. What is found first is the likeliest: MD is made on top of what was there before. `room` gives
/// as many bytes as the tables of DDF or the record of IMSM have, with working space.
///
/// # Errors
/// [`Unclaimed`].
pub fn identify<'b, S: Source>(
    source: &S,
    probe: &'b mut ProbeBuffer,
    room: impl FnOnce(usize) -> Option<&'b mut [u8]>,
    working: &mut Working,
) -> Result<Claim<'b>, Unclaimed> {
    if let Some(claim) = of_md(source, probe) {
        return Ok(claim);
    }
    // One of them may have it.
    let mut room = Some(room);
    let mut room = |len| room.take().and_then(|room| room(len));
    if let Some(found) = of_ddf(source, working, &mut room) {
        return found;
    }
    if let Some(found) = of_imsm(source, &mut room) {
        return found;
    }
    of_bios(source, working)
}

#[inline(never)]
fn of_md<'b, S: Source>(source: &S, probe: &'b mut ProbeBuffer) -> Option<Claim<'b>> {
    let superblock = md::probe(source, probe).best()?;
    let record = superblock.record();
    let version = Version::ALL.into_iter().find(|version| version.format() == record.format)?;
    Some(Claim::Md(superblock, version, record))
}

/// These have frames of their own: stacks are short where this runs.
#[inline(never)]
fn of_bios<'b, S: Source>(source: &S, working: &mut Working) -> Result<Claim<'b>, Unclaimed> {
    let mut unclaimed = Unclaimed::Nothing;
    for kind in bios::Kind::all() {
        match kind.find(source, working) {
            Ok(member) => return Ok(Claim::Bios(member)),
            Err(fault) if fault.is_absence() => {}
            Err(_) => unclaimed = Unclaimed::Damaged(kind.format()),
        }
    }
    Err(unclaimed)
}

/// `None` if there is no DDF.
#[inline(never)]
fn of_ddf<'b, S: Source>(
    source: &S,
    working: &mut Working,
    room: impl FnOnce(usize) -> Option<&'b mut [u8]>,
) -> Option<Result<Claim<'b>, Unclaimed>> {
    let damaged = Unclaimed::Damaged(Format::Ddf);
    let Some(working) = working.first_chunk_mut() else { return Some(Err(Unclaimed::NoRoom)) };
    let found = match ddf::probe_in(source, working) {
        Ok(found) => found,
        Err(fault) => return if fault.is_absence() { None } else { Some(Err(damaged)) },
    };
    let Some(room) = room(found.len_bytes()) else { return Some(Err(Unclaimed::NoRoom)) };
    let Ok(metadata) = ddf::read_in(source, &found.anchor, room, working) else { return Some(Err(damaged)) };
    Some(only_volume(&metadata))
}

/// `None` if there is no IMSM.
#[inline(never)]
fn of_imsm<'b, S: Source>(
    source: &S,
    room: impl FnOnce(usize) -> Option<&'b mut [u8]>,
) -> Option<Result<Claim<'b>, Unclaimed>> {
    let damaged = Unclaimed::Damaged(Format::Imsm);
    let place = match imsm::probe(source) {
        Ok(place) => place,
        Err(fault) => return if fault.is_absence() { None } else { Some(Err(damaged)) },
    };
    let len = place.len_bytes;
    let room = room(len.saturating_add(LOG_BUFFER_BYTES)).and_then(|room| room.split_at_mut_checked(len));
    let Some((record, buf)) = room else { return Some(Err(Unclaimed::NoRoom)) };
    let Ok(metadata) = imsm::read(source, &place, record) else { return Some(Err(damaged)) };
    let mut volumes = metadata.volumes();
    Some(match (volumes.next(), volumes.next()) {
        (Some(volume), None) => {
            let part = imsm::Part::new(&metadata, volume.index, imsm::logged_by(source, &metadata, buf));
            part.map(Claim::Imsm).map_err(|_| damaged)
        }
        (Some(_), Some(_)) => Err(Unclaimed::Several(Format::Imsm)),
        (None, _) => Err(damaged),
    })
}

#[inline(never)]
fn only_volume<'b>(metadata: &ddf::Metadata<'b>) -> Result<Claim<'b>, Unclaimed> {
    let mut volumes = metadata.volumes().filter_map(Result::ok);
    let first = volumes.next().ok_or(Unclaimed::Damaged(Format::Ddf))?;
    if volumes.next().is_some() { Err(Unclaimed::Several(Format::Ddf)) } else { Ok(Claim::Ddf(first)) }
}

/// Says which disk each is of those whose format does not, as far as elimination goes. `given` is working space, with a place for each.
///
/// # Errors
/// The first that stays unknown, and what is said of it.
#[inline(never)]
pub fn eliminate(claims: &mut [Claim<'_>], given: &mut [Option<(Serial, Identity)>]) -> Result<(), (usize, Unclaimed)> {
    let media = claims.iter().filter_map(|claim| Some(claim.imsm()?.medium()));
    // What is too much for it leaves them all unknown.
    let tried = imsm::eliminate(media, given).is_ok();
    let parts = claims.iter_mut().filter(|claim| matches!(claim, Claim::Imsm(_)));
    for (claim, given) in parts.zip(given.iter().filter(|_| tried)) {
        if let (Claim::Imsm(part), Some((serial, identity))) = (&mut *claim, given) {
            *part = part.known_as(serial, *identity).unwrap_or(*part);
        }
    }
    let unknown = |claim: &Claim<'_>| claim.record().role == Role::Unidentified;
    let first = claims.iter().enumerate().find(|(_, claim)| unknown(claim));
    first.map_or(Ok(()), |(number, claim)| Err((number, Unclaimed::Nameless(claim.record().format))))
}

impl<'b> Claim<'b> {
    /// Why an array that can be read is not written to whose freshest member this is.
    #[must_use]
    pub fn hindrance(&self) -> Option<Hindrance> {
        let record = self.record();
        match self {
            Self::Md(..) => Hindrance::of(record),
            Self::Ddf(_) | Self::Imsm(_) => Hindrance::of_flag(record),
            Self::Bios(_) => Some(Hindrance::Format(record.format)),
        }
    }

    /// Why it is not written to because of this member, which is current. MD's list of bad blocks is read apart.
    #[must_use]
    pub fn own_hindrance(&self) -> Option<Hindrance> {
        match self {
            Self::Md(..) | Self::Bios(_) => None,
            Self::Ddf(volume) => Hindrance::of_member(volume.record(), false),
            Self::Imsm(part) if part.identity() == Identity::Interchangeable => Some(Hindrance::EitherCopy),
            Self::Imsm(part) => {
                Hindrance::of_member(part.volume().record(), part.volume().bad_blocks().next().is_some())
            }
        }
    }

    /// The volume of DDF, if it is one.
    #[must_use]
    pub const fn ddf(&self) -> Option<&ddf::Volume<'b>> {
        match self {
            Self::Ddf(volume) => Some(volume),
            _ => None,
        }
    }

    /// The part of a volume of IMSM, if it is one.
    #[must_use]
    pub const fn imsm(&self) -> Option<&imsm::Part<'b>> {
        match self {
            Self::Imsm(part) => Some(part),
            _ => None,
        }
    }

    /// Takes it for the disk whose serial number somebody said.
    ///
    /// # Errors
    /// [`Unclaimed::OtherSerial`], [`Unclaimed::NoSerials`].
    pub fn tell(&mut self, serial: &str) -> Result<(), Unclaimed> {
        let format = self.record().format;
        let Self::Imsm(part) = self else { return Err(Unclaimed::NoSerials(format)) };
        *part = part.told(serial).ok_or(Unclaimed::OtherSerial(format))?;
        Ok(())
    }

    /// Takes it for the disk that it was known as before, and for the same reason.
    ///
    /// # Errors
    /// As [`tell`](Self::tell).
    pub fn recall(&mut self, (serial, identity): (Serial, Identity)) -> Result<(), Unclaimed> {
        let format = self.record().format;
        let Self::Imsm(part) = self else { return Err(Unclaimed::NoSerials(format)) };
        *part = part.known_as(&serial, identity).ok_or(Unclaimed::OtherSerial(format))?;
        Ok(())
    }

    /// What [`recall`](Self::recall) wants to hear; `None` if the medium itself says which member it is.
    #[must_use]
    pub fn known(&self) -> Option<(Serial, Identity)> {
        let part = self.imsm()?;
        Some((part.medium().serial()?, part.identity()))
    }
}

impl Claimant for Claim<'_> {
    fn record(&self) -> &Record {
        match self {
            Self::Md(_, _, record) => record,
            Self::Ddf(volume) => volume.record(),
            Self::Imsm(part) => part.volume().record(),
            Self::Bios(member) => member.record(),
        }
    }

    fn role_of(&self, number: u32) -> Role {
        match self {
            Self::Md(superblock, ..) => superblock.role_of(number),
            Self::Ddf(volume) => volume.role_of(number),
            Self::Imsm(part) => part.volume().role_of(number),
            Self::Bios(member) => member.role_of(number),
        }
    }

    fn silent_about(&self, number: u32) -> bool {
        match self {
            Self::Ddf(volume) => volume.silent_about(number),
            Self::Md(..) | Self::Imsm(_) | Self::Bios(_) => false,
        }
    }
}
