//! An array that a line of device-mapper's table names, as `dmsetup table` prints it: dm-raid or dm-mirror, with its devices
//! by the names in the line.

mod mirror;
mod raid;

use raid_core::Sectors;
use raid_formats::record::Uuid;

use self::mirror::MirrorLine;
use self::raid::RaidLine;
use super::Found;
use crate::host::mirror_store::Mirror;
use crate::media::{self, Options};

/// Why a table's array is not opened.
#[derive(Debug, thiserror::Error)]
pub enum NoTable {
    /// The line is refused.
    #[error("table: {0}")]
    Line(String),
    /// A device cannot be opened.
    #[error(transparent)]
    Media(#[from] media::OpenError),
    /// A device does not hold what the line says.
    #[error("{name}: {why}")]
    Device {
        /// As the line has it.
        name: String,
        /// What stands there, and what should.
        why: String,
    },
}

/// A line, understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DmTable {
    target: Target,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Target {
    Raid(RaidLine),
    Mirror(MirrorLine),
}

/// A device of dm-raid's line, opened for writing.
pub(crate) struct DeviceMut {
    pub(crate) slot: u16,
    pub(crate) data: media::SharedMediaMut,
    pub(crate) metadata: media::SharedMediaMut,
    /// What its metadata say; nothing if it is to be filled.
    pub(crate) found: Option<Found>,
}

/// The devices of a line, opened for writing and locked.
pub(crate) enum OpenedMut {
    Raid(Vec<DeviceMut>),
    Mirror(Mirror),
}

impl DmTable {
    /// Understands a line: `[NAME:] 0 SECTORS raid TYPE ...` or `[NAME:] 0 SECTORS mirror LOG ...`.
    ///
    /// # Errors
    /// [`NoTable::Line`].
    pub fn parse(line: &str) -> Result<Self, NoTable> {
        let refuse = |why: String| Err(NoTable::Line(why));
        let mut words: Vec<&str> = line.split_whitespace().collect();
        if words.first().is_some_and(|word| word.ends_with(':')) {
            words.remove(0);
        }
        let [start, len, target, rest @ ..] = words.as_slice() else {
            return refuse(
                "words are missing; a line begins with 0, the array's sectors, and the target's name".into(),
            );
        };
        if !["raid", "mirror"].contains(target) {
            return refuse(format!("target {target}: not yet; raid and mirror are understood"));
        }
        if *start != "0" {
            return refuse(format!("an array that begins at sector {start} of the device, and not at 0"));
        }
        let Ok(len) = len.parse().map(Sectors) else {
            return refuse(format!("{len}: a number of sectors should stand there"));
        };
        let target = match *target {
            "raid" => Target::Raid(RaidLine::parse(rest, len)?),
            _ => Target::Mirror(MirrorLine::parse(rest, len)?),
        };
        Ok(Self { target })
    }

    /// What tells this array from others: its devices' names.
    #[must_use]
    pub fn identity(&self) -> Uuid {
        let words: Vec<&str> = match &self.target {
            Target::Raid(line) => line.names().collect(),
            Target::Mirror(line) => line.names().collect(),
        };
        folded(words.join(" ").as_bytes())
    }

    /// The members that can be used, opened for reading, and what should be known of those that cannot.
    ///
    /// # Errors
    /// A device that is named cannot be opened, or holds something else.
    pub fn found(&self, how: &Options) -> Result<(Vec<Found>, Vec<String>), NoTable> {
        match &self.target {
            Target::Raid(line) => line.found(how),
            Target::Mirror(line) => line.found(how),
        }
    }

    /// The devices, opened for writing and locked.
    ///
    /// # Errors
    /// As [`found`](Self::found); a line of dm-raid without metadata devices, on which nothing could be remembered.
    pub(crate) fn open_mut(&self) -> Result<OpenedMut, NoTable> {
        match &self.target {
            Target::Raid(line) => line.open_mut().map(OpenedMut::Raid),
            Target::Mirror(line) => line.open_mut().map(OpenedMut::Mirror),
        }
    }
}

/// An identity made of words: the product and sum of FNV-1a in 128 bits.
pub(crate) fn folded(words: &[u8]) -> Uuid {
    let fold = |sum: u128, byte: &u8| (sum ^ u128::from(*byte)).wrapping_mul(0x0000_0000_0100_0000_0000_0000_0000_013B);
    Uuid(words.iter().fold(0x6C62_272E_07BB_0142_62B8_2175_6295_C58D_u128, fold).to_be_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_understood_or_refused_with_the_word_at_fault() {
        let lines = [
            "0 16384 raid raid10 6 32 nosync raid10_copies 2 raid10_format near 4 m0 i0 m1 i1 - - m3 i3",
            "0 10240 mirror disk 2 log 1024 2 i0 0 i1 0 1 handle_errors",
        ];
        for line in lines {
            let table = DmTable::parse(line).unwrap();
            assert_eq!(DmTable::parse(&format!("vg-lv: {line}\n")).unwrap(), table);
            assert_ne!(DmTable::parse(&line.replace("i1", "i7")).unwrap().identity(), table.identity());
        }
        for (line, word) in [
            ("", "missing"),
            ("0 8 linear /dev/sda 0", "linear"),
            ("0 many raid raid1", "many"),
            ("8 16384 raid raid1 2 0 region_size 1024 2 m0 i0 m1 i1", "sector 8"),
            ("0 16384 raid raid1 3 0 region_size 1024 2 - i0 m1 i1", "without"),
            ("0 16384 raid raid7 3 0 region_size 1024 2 m0 i0 m1 i1", "raid7"),
            ("0 16384 mirror core 1 1000 2 i0 0 i1 0", "1000"),
        ] {
            let refused = DmTable::parse(line).unwrap_err().to_string();
            assert!(refused.contains(word), "{line}: {refused}");
        }
    }
}
