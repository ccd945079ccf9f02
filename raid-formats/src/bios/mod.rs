//! RAID of BIOSes and cheap controllers: Adaptec HostRAID (ASR), HighPoint 37x and 45x, JMicron, LSI MegaRAID, NVIDIA MediaShield,
//! Promise FastTrak, Silicon Image Medley, VIA. Nine records, one shape: near an end of the disk, one array, no log, hardly any
//! freshness.
//!
//! `docs/formats/bios.md` has the tables. What no source tells, such as how a controller's RAID 5 rotates, is refused and not guessed.

mod asr;
mod claim;
mod hpt;
mod jmicron;
mod lsi;
mod nvidia;
mod place;
mod promise;
mod sil;
#[cfg(test)]
mod tests;
mod update;
mod vendor;
mod via;

use core::fmt;

use crate::assemble::Claimant;
use crate::dump::Field;
use crate::fault;
use crate::record::{Format, Record, Role};
use crate::source::Source;
use raid_core::{SECTOR_BYTES, Sector, Sectors};

pub use claim::{Arrangement, Refusal};
pub use update::Running;
pub use vendor::{Spec, Unfit};

use vendor::{Plan, Vendor};

/// Working space for one record: the longest with all that belongs to it.
pub const BUFFER_BYTES: usize = 512 + asr::TABLE_BYTES;

const VENDORS: [&Vendor; 9] = [
    &asr::ASR,
    &hpt::HPT37X,
    &hpt::HPT45X,
    &jmicron::JMICRON,
    &lsi::LSI,
    &nvidia::NVIDIA,
    &promise::PROMISE,
    &sil::SIL,
    &via::VIA,
];

/// One of the nine formats.
#[derive(Clone, Copy)]
pub struct Kind(&'static Vendor);

/// Why there is no record at a place.
pub type Fault<E> = fault::Fault<E, Refusal>;

/// A record that passed its checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Member {
    record: Record,
    at: Sector,
}

impl Member {
    /// Where the record lies on the medium.
    #[must_use]
    pub const fn at(&self) -> Sector {
        self.at
    }
}

/// Where there is no table of others but the count, who says that he has a slot is believed.
impl Claimant for Member {
    fn record(&self) -> &Record {
        &self.record
    }

    fn role_of(&self, number: u32) -> Role {
        let Ok(slot) = u16::try_from(number) else { return Role::Spare };
        let failed = u8::try_from(slot).is_ok_and(|slot| self.calls_failed(raid_core::Member(slot)));
        match slot < self.record.shape.members {
            true if failed => Role::Faulty,
            true => Role::Slot(slot),
            false => Role::Spare,
        }
    }
}

impl fmt::Debug for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.format().name())
    }
}

impl Kind {
    /// All of them, in the order in which they are looked for.
    pub fn all() -> impl Iterator<Item = Self> {
        VENDORS.into_iter().map(Self)
    }

    /// The format's name and family.
    #[must_use]
    pub const fn format(self) -> Format {
        self.0.format
    }

    /// Bytes of a record in working space.
    #[must_use]
    pub fn len_bytes(self) -> usize {
        self.0.head_bytes + self.0.rest.map_or(0, |(len, _)| len)
    }

    /// The n-th place where a medium of this size can have it; `None` when there are no more.
    #[must_use]
    pub fn place(self, medium: Sectors, index: usize) -> Option<Sector> {
        (self.0.place)(medium, index)
    }

    /// Looks at every place in order. The first sound record counts; without one, the reason that says most.
    ///
    /// # Errors
    /// [`Fault`]: damage before absence.
    pub fn find<S: Source>(self, source: &S, buf: &mut [u8; BUFFER_BYTES]) -> Result<Member, Fault<S::Error>> {
        let medium = Sectors::from_bytes_floor(source.size_bytes());
        let needed = self.0.head_bytes as u64 / SECTOR_BYTES;
        let mut worst = Fault::Refused(Refusal::MediumTooSmall { found: medium.0, needed });
        let mut index = 0;
        while let Some(at) = self.place(medium, index) {
            index += 1;
            match self.look(source, at, medium, buf) {
                Ok(member) => return Ok(member),
                Err(fault) => {
                    if worst.is_absence() {
                        worst = fault;
                    }
                }
            }
        }
        Err(worst)
    }

    fn look<S: Source>(
        self,
        source: &S,
        at: Sector,
        medium: Sectors,
        buf: &mut [u8; BUFFER_BYTES],
    ) -> Result<Member, Fault<S::Error>> {
        let bytes = buf.get_mut(..self.len_bytes()).unwrap_or(&mut []);
        self.read(source, at, bytes)?;
        self.parse(bytes, medium).map(|record| Member { record, at }).map_err(Fault::Refused)
    }

    /// Reads the record at `at`, with all that belongs to it, into [`len_bytes`](Self::len_bytes) bytes.
    ///
    /// # Errors
    /// [`Fault`].
    pub fn read<S: Source>(self, source: &S, at: Sector, buf: &mut [u8]) -> Result<(), Fault<S::Error>> {
        let medium = Sectors::from_bytes_floor(source.size_bytes());
        let read = |at: Sector, part: &mut [u8]| {
            let end = at.0.saturating_add(part.len() as u64 / SECTOR_BYTES);
            let short = Fault::Refused(Refusal::MediumTooSmall { found: medium.0, needed: end });
            if end > medium.0 {
                return Err(short);
            }
            fault::read(source, at, part)
        };
        let (head, rest) = buf.split_at_mut(self.0.head_bytes.min(buf.len()));
        read(at, head)?;
        rest.fill(0);
        let Some(rest_at) = self.0.rest.and_then(|(_, place)| place(head)) else { return Ok(()) };
        match read(rest_at, rest) {
            // What a damaged head points to need not exist; then its own checks say so.
            Err(Fault::Refused(_)) => Ok(()),
            done => done,
        }
    }

    /// The meaning of a record's bytes.
    ///
    /// # Errors
    /// [`Refusal`].
    pub fn parse(self, bytes: &[u8], medium: Sectors) -> Result<Record, Refusal> {
        self.claim(bytes, medium)?.record(medium)
    }

    /// What stands in a record. Where one is cut short zeros would be read, which can make a sum right.
    fn claim(self, bytes: &[u8], medium: Sectors) -> Result<claim::Claim, Refusal> {
        let (found, expected) = (bytes.len(), self.len_bytes());
        if found < expected { Err(Refusal::Truncated { found, expected }) } else { (self.0.parse)(bytes, medium) }
    }

    /// Every field of a record, sound or not.
    pub fn dump(self, bytes: &[u8]) -> impl Iterator<Item = Field<'_>> {
        self.0.fields.iter().map(|place| place.field(bytes))
    }

    /// What was made must say what was meant: fields are small, and a number that does not fit comes back as another.
    fn believes(self, buf: &[u8], spec: &Spec, slot: u16, medium: Sectors) -> Result<(), Unfit> {
        let record =
            self.parse(buf.get(..self.len_bytes()).unwrap_or(&[]), medium).map_err(|refusal| match refusal {
                Refusal::MediumTooSmall { .. } => Unfit::Size,
                Refusal::NoMagic { .. }
                | Refusal::Checksum { .. }
                | Refusal::Field { .. }
                | Refusal::Truncated { .. } => Unfit::Members,
            })?;
        let chunked = !record.shape.chunk.is_zero();
        if record.role != Role::Slot(slot) || record.shape.members != spec.members {
            Err(Unfit::Members)
        } else if chunked && record.shape.chunk != spec.chunk {
            Err(Unfit::Chunk)
        } else if record.used != spec.used {
            Err(Unfit::Size)
        } else if record.shape.level != spec.arrangement.level() {
            Err(Unfit::Arrangement)
        } else {
            Ok(())
        }
    }

    /// Makes the record of the disk in `slot` of an array, and says what is to be written where; `write` gets each piece.
    ///
    /// # Errors
    /// [`Unfit`]; nothing was given to `write` then.
    pub fn make(
        self,
        spec: &Spec,
        slot: u16,
        medium: Sectors,
        buf: &mut [u8; BUFFER_BYTES],
        mut write: impl FnMut(Sector, &[u8]),
    ) -> Result<(), Unfit> {
        let pairs = matches!(spec.arrangement, Arrangement::StripedPairs | Arrangement::MirroredStripes);
        let chunked = !matches!(spec.arrangement, Arrangement::Mirror | Arrangement::Span);
        if slot >= spec.members || spec.members < 2 || pairs && (spec.members < 4 || !spec.members.is_multiple_of(2)) {
            return Err(Unfit::Members);
        }
        if chunked && (!spec.chunk.0.is_power_of_two() || !spec.used.0.is_multiple_of(spec.chunk.0)) {
            return Err(Unfit::Chunk);
        }
        buf.fill(0);
        (self.0.make)(&Plan { spec, slot, medium }, buf.get_mut(..self.len_bytes()).unwrap_or(&mut []))?;
        self.believes(buf, spec, slot, medium)?;
        // Never in the data: all but one format have their records at the end.
        let (head, rest) = buf.split_at(self.0.head_bytes);
        let lowest = (0..self.0.copies).filter_map(|index| self.place(medium, index)).min().ok_or(Unfit::Size)?;
        let rest_at = self.0.rest.and_then(|(len, place)| Some((place(head)?, len)));
        let limit = rest_at.map_or(lowest, |(at, _)| at.min(lowest));
        if limit.0 < spec.used.0 && self.0.format != Format::Hpt37x {
            return Err(Unfit::Size);
        }
        if let Some((at, len)) = rest_at {
            write(at, rest.get(..len).unwrap_or(&[]));
        }
        for index in 0..self.0.copies {
            if let Some(at) = self.place(medium, index) {
                write(at, head);
            }
        }
        Ok(())
    }
}
