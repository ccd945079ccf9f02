//! What a medium is a member by, of whatever format: for hosts that have little memory and no names, such as a kernel.

use core::fmt;

use crate::assemble::Claimant;
use crate::bios;
use crate::ddf;
use crate::imsm;
use crate::md::{self, ProbeBuffer, Superblock, Version};
use crate::record::{Format, Record, Role};
use crate::source::Source;

/// The likeliest record of a medium. It borrows the bytes.
#[derive(Clone, Copy, Debug)]
pub enum Claim<'b> {
    /// A superblock of Linux MD.
    Md(Superblock<'b>, Version, Record),
    /// A virtual disk of DDF.
    Ddf(ddf::Volume<'b>),
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
    /// A record that does not say which of its disks this one is.
    Nameless(Format),
    /// The record is longer than there is room for.
    NoRoom,
}

impl fmt::Display for Unclaimed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str("no RAID superblock"),
            Self::Damaged(format) => write!(f, "{}: a record that is damaged, or of no volume", format.name()),
            Self::Several(format) => write!(f, "{}: parts of several volumes", format.name()),
            Self::Nameless(format) => write!(f, "{}: which disk this is, only its serial number tells", format.name()),
            Self::NoRoom => f.write_str("its metadata are too long"),
        }
    }
}

/// Looks for every format in turn. What is found first is the likeliest: MD is made on top of what was there before. `room` gives
/// as many bytes as DDF's tables have.
///
/// # Errors
/// [`Unclaimed`].
pub fn identify<'b, S: Source>(
    source: &S,
    probe: &'b mut ProbeBuffer,
    room: impl FnOnce(usize) -> Option<&'b mut [u8]>,
    working: &mut [u8; bios::BUFFER_BYTES],
) -> Result<Claim<'b>, Unclaimed> {
    if let Some(claim) = of_md(source, probe) {
        return Ok(claim);
    }
    if let Some(found) = of_ddf(source, room) {
        return found;
    }
    match imsm::probe(source) {
        Ok(_) => return Err(Unclaimed::Nameless(Format::Imsm)),
        Err(fault) if fault.is_absence() => {}
        Err(_) => return Err(Unclaimed::Damaged(Format::Imsm)),
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
fn of_bios<'b, S: Source>(source: &S, working: &mut [u8; bios::BUFFER_BYTES]) -> Result<Claim<'b>, Unclaimed> {
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
    room: impl FnOnce(usize) -> Option<&'b mut [u8]>,
) -> Option<Result<Claim<'b>, Unclaimed>> {
    let damaged = Unclaimed::Damaged(Format::Ddf);
    let found = match ddf::probe(source) {
        Ok(found) => found,
        Err(fault) => return if fault.is_absence() { None } else { Some(Err(damaged)) },
    };
    let Some(room) = room(found.len_bytes()) else { return Some(Err(Unclaimed::NoRoom)) };
    let Ok(metadata) = ddf::read(source, &found.anchor, room) else { return Some(Err(damaged)) };
    Some(only_volume(&metadata))
}

#[inline(never)]
fn only_volume<'b>(metadata: &ddf::Metadata<'b>) -> Result<Claim<'b>, Unclaimed> {
    let mut volumes = metadata.volumes().filter_map(Result::ok);
    let first = volumes.next().ok_or(Unclaimed::Damaged(Format::Ddf))?;
    if volumes.next().is_some() { Err(Unclaimed::Several(Format::Ddf)) } else { Ok(Claim::Ddf(first)) }
}

impl Claimant for Claim<'_> {
    fn record(&self) -> &Record {
        match self {
            Self::Md(_, _, record) => record,
            Self::Ddf(volume) => volume.record(),
            Self::Bios(member) => member.record(),
        }
    }

    fn role_of(&self, number: u32) -> Role {
        match self {
            Self::Md(superblock, ..) => superblock.role_of(number),
            Self::Ddf(volume) => volume.role_of(number),
            Self::Bios(member) => member.role_of(number),
        }
    }

    fn silent_about(&self, number: u32) -> bool {
        match self {
            Self::Ddf(volume) => volume.silent_about(number),
            Self::Md(..) | Self::Bios(_) => false,
        }
    }
}
