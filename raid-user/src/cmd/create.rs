//! `raid create`: a new array of Linux MD or a BIOS RAID, or a container of DDF or IMSM with one volume. It overwrites nothing that looks
//! like anybody's without being told to.

use std::ffi::OsStr;
use std::sync::Arc;

use clap::{Args, ValueEnum};
use raid_core::{FarSets, Level, Raid0Layout, Raid5Layout, Raid6Layout, Raid10Layout, Sectors};
use raid_formats::bios::Kind;
use raid_formats::md::Version;
use raid_formats::record::{Name, Sync, Uuid};
use serde_json::json;

use super::exit::{Exit, Failure};
use super::open::unopened;
use super::output::Output;
use super::text;
use crate::array::level_name;
use crate::create::{ContainerFormat, CreateError, Made, NewArray, NewBios, NewContainer, lost, own_raid5};
use crate::host::md_store::{new_uuid, now_s};
use crate::media::{MediaMut, MediaSpec, SharedMedia, SharedMediaMut, open_mut};

/// The word for a slot without a member.
const MISSING: &str = "missing";

/// Makes a new array: of Linux MD, of a BIOS RAID, or a container of DDF or IMSM with one volume over all of its disks. Data on the
/// members are not touched; they become the array's content.
#[derive(Args, Debug)]
pub(super) struct CreateArgs {
    /// Members in the order of slots: files, devices, partitions (disk.img#2); "missing" leaves a slot empty
    #[arg(required = true, value_name = "MEMBER")]
    members: Vec<String>,
    /// linear, 0, 1, 4, 5, 6 or 10
    #[arg(long, value_name = "LEVEL")]
    level: String,
    /// What the members' metadata are: Linux MD; or DDF, IMSM or a BIOS RAID, which have other levels and layouts, and keep no bitmap
    #[arg(long, value_name = "FORMAT", default_value = "md")]
    format: CreateFormat,
    /// RAID 5: la, ra, ls, rs, parity-first, parity-last; RAID 6: these, and ddf-zero-restart, ddf-N-restart, ddf-N-continue;
    /// RAID 10: n2, f2, o2 and so on; RAID 0: original, alternate. Otherwise the usual one
    #[arg(long, value_name = "LAYOUT")]
    layout: Option<String>,
    /// Chunk: 64K, 1M; where the level has one
    #[arg(long, value_name = "SIZE", value_parser = size, default_value = "512K")]
    chunk: u64,
    /// Version of MD's superblock
    #[arg(long, value_name = "VERSION", default_value = "1.2")]
    metadata: Metadata,
    /// MD: a bitmap makes a resync after a crash short
    #[arg(long, value_name = "KIND", default_value = "internal")]
    bitmap: BitmapKind,
    /// What one bit of the bitmap stands for; the larger, the fewer writes to it
    #[arg(long, value_name = "SIZE", value_parser = size)]
    bitmap_chunk: Option<u64>,
    /// Name of the array, up to 32 bytes, 16 for DDF and IMSM, less for most BIOS RAIDs; not with 0.90
    #[arg(long, value_name = "NAME", default_value = "")]
    name: String,
    /// Use this much of each member, instead of all that the smallest has
    #[arg(long, value_name = "SIZE", value_parser = size)]
    size: Option<u64>,
    /// Do not synchronise. Risk: where copies or parity are not in order, a lost member comes back wrong
    #[arg(long)]
    assume_clean: bool,
    /// Overwrite members of other arrays, and partition tables
    #[arg(long)]
    force: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum CreateFormat {
    /// Linux MD
    Md,
    /// SNIA DDF 1.2
    Ddf,
    /// Intel's firmware RAID; each disk's serial number is its drive's, or stands in a file MEMBER.serial
    Imsm,
    /// Adaptec HostRAID
    Asr,
    /// HighPoint 37x, which is not written to afterwards
    Hpt37x,
    /// HighPoint 45x
    Hpt45x,
    /// JMicron
    Jmicron,
    /// LSI MegaRAID, software form: mirrors are synchronised at each start
    Lsi,
    /// NVIDIA MediaShield
    Nvidia,
    /// Promise FastTrak
    Promise,
    /// Silicon Image Medley
    Sil,
    /// VIA
    Via,
}

impl CreateFormat {
    /// The BIOS RAID that is meant, if one is.
    fn bios(self) -> Option<Kind> {
        let name = self.to_possible_value()?;
        Kind::all().find(|kind| kind.format().name() == name.get_name())
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Metadata {
    /// Old, at the end, up to 27 members
    #[value(name = "0.90")]
    V0,
    /// At the end
    #[value(name = "1.0")]
    V1_0,
    /// At the start
    #[value(name = "1.1")]
    V1_1,
    /// At 4 KiB
    #[value(name = "1.2")]
    V1_2,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum BitmapKind {
    /// On each member
    Internal,
    /// None: after a crash everything is synchronised
    None,
}

/// Runs the verb.
///
/// # Errors
/// What makes no array; members that cannot be opened or carry something; errors of the media.
pub(super) fn run(args: &CreateArgs, output: &Output) -> Result<Exit, Failure> {
    let other = match args.format {
        CreateFormat::Ddf => Some(Other::Container(args.container(ContainerFormat::Ddf)?)),
        CreateFormat::Imsm => Some(Other::Container(args.container(ContainerFormat::Imsm)?)),
        format => format.bios().map(|kind| args.bios(kind)).transpose()?.map(Other::Bios),
    };
    let new = args.array()?;
    let members = args.open()?;
    args.check_nothing_lost(&members, output)?;
    let (made, array, level) = match other {
        None => (new.create(&members).map_err(failed)?, new.array, new.level),
        Some(other) => {
            let disks: Option<Vec<SharedMediaMut>> = members.iter().cloned().collect();
            let why = "such an array is made with all of its disks; `raid fail` takes one away later";
            let disks = disks.ok_or_else(|| Failure::new(Exit::Usage, why))?;
            let (made, array) = match other {
                Other::Container(container) => container.create(&disks),
                Other::Bios(bios) => bios.create(&disks),
            }
            .map_err(failed)?;
            (made, array, other.level())
        }
    };
    let resync = made.sync != Sync::Clean;
    let level = level_name(level);
    let document = json!({
        "uuid": array.to_string(), "level": level, "members": members.len(), "resync": resync,
        "size_bytes": made.size.bytes(), "used_bytes": made.used.bytes(),
    });
    output.print("raid.create/1", document, || human(array, &level, &made, members.len()))?;
    Ok(Exit::Ok)
}

fn human(array: Uuid, level: &str, made: &Made, members: usize) -> String {
    let size = text::size(made.size.bytes().unwrap_or(u64::MAX));
    let next = match made.sync {
        Sync::Clean => "Redundancy is taken to be in order.",
        Sync::DirtyFrom(_) => "Redundancy is not in order yet: whoever runs it next synchronises it.",
    };
    format!("{array} {level}, {members} members, {size}\n{next}\n")
}

fn failed(error: CreateError) -> Failure {
    let exit = if matches!(error, CreateError::Io(_)) { Exit::Io } else { Exit::BadInput };
    Failure::new(exit, error)
}

/// What is not Linux MD.
enum Other {
    Container(NewContainer),
    Bios(NewBios),
}

impl Other {
    const fn level(&self) -> Level {
        match self {
            Self::Container(container) => container.level,
            Self::Bios(bios) => bios.level,
        }
    }
}

impl CreateArgs {
    fn bios(&self, kind: Kind) -> Result<NewBios, Failure> {
        let usage = |why: String| Failure::new(Exit::Usage, why);
        let level = match (level(&self.level, self.layout.as_deref()).map_err(usage)?, &self.layout) {
            (Level::Raid5(_), None) => Level::Raid5(own_raid5(kind)),
            (level, _) => level,
        };
        let mut name = Name([0; 32]);
        let place = name.0.get_mut(..self.name.len());
        let place = place.ok_or_else(|| usage(format!("--name: {} bytes, at most 32 fit", self.name.len())))?;
        place.copy_from_slice(self.name.as_bytes());
        let (chunk, used) = (Sectors::from_bytes_floor(self.chunk), self.size.map(Sectors::from_bytes_floor));
        Ok(NewBios { kind, level, chunk, name, used, assume_clean: self.assume_clean })
    }

    fn container(&self, format: ContainerFormat) -> Result<NewContainer, Failure> {
        let usage = |why: String| Failure::new(Exit::Usage, why);
        // What mdadm takes for these formats.
        let layout = match (format, self.level.trim_start_matches("raid")) {
            (ContainerFormat::Ddf, "6") => Some("ddf-N-continue"),
            (ContainerFormat::Imsm, "5") => Some("la"),
            _ => None,
        };
        let level = level(&self.level, self.layout.as_deref().or(layout)).map_err(usage)?;
        let mut name = [0; 16];
        let place = name.get_mut(..self.name.len());
        let place = place.ok_or_else(|| usage(format!("--name: {} bytes, at most 16 fit", self.name.len())))?;
        place.copy_from_slice(self.name.as_bytes());
        let (chunk, used) = (Sectors::from_bytes_floor(self.chunk), self.size.map(Sectors::from_bytes_floor));
        let (assume_clean, created_s) = (self.assume_clean, now_s());
        Ok(NewContainer { format, level, chunk, name, used, assume_clean, created_s })
    }

    fn array(&self) -> Result<NewArray, Failure> {
        let usage = |why: String| Failure::new(Exit::Usage, why);
        let level = level(&self.level, self.layout.as_deref()).map_err(usage)?;
        let sectors = |what: &str, bytes: u64| match bytes % 512 {
            0 => Ok(Sectors::from_bytes_floor(bytes)),
            _ => Err(Failure::new(Exit::Usage, format!("{what}: {bytes} bytes are not whole sectors"))),
        };
        let mut name = Name([0; 32]);
        let version = match self.metadata {
            Metadata::V0 => Version::V0Little,
            Metadata::V1_0 => Version::V1_0,
            Metadata::V1_1 => Version::V1_1,
            Metadata::V1_2 => Version::V1_2,
        };
        match name.0.get_mut(..self.name.len()) {
            Some(place) if self.name.is_empty() || version != Version::V0Little => {
                place.copy_from_slice(self.name.as_bytes());
            }
            Some(_) => return Err(usage("--name: version 0.90 has none".into())),
            None => return Err(usage(format!("--name: {} bytes, at most 32 fit", self.name.len()))),
        }
        let chunkless = matches!(level, Level::Raid1 | Level::Linear);
        let bitmap_chunk = self.bitmap_chunk.map(u32::try_from).transpose();
        let bitmap_chunk = bitmap_chunk.map_err(|_| usage("--bitmap-chunk: at most 2G".into()))?;
        Ok(NewArray {
            version,
            level,
            chunk: if chunkless { Sectors::ZERO } else { sectors("--chunk", self.chunk)? },
            bitmap: (self.bitmap == BitmapKind::Internal).then_some(bitmap_chunk),
            name,
            used: self.size.map(|bytes| sectors("--size", bytes)).transpose()?,
            assume_clean: self.assume_clean,
            array: new_uuid()?,
            created_s: now_s(),
        })
    }

    fn open(&self) -> Result<Vec<Option<SharedMediaMut>>, Failure> {
        let mut opened: Vec<Option<SharedMediaMut>> = Vec::new();
        for (index, name) in self.members.iter().enumerate() {
            if name == MISSING {
                opened.push(None);
                continue;
            }
            if self.members[..index].contains(name) {
                return Err(Failure::new(Exit::BadInput, format!("{name}: given twice; give each member once")));
            }
            // The same file under two names is refused here, as locked.
            let spec = MediaSpec::parse(OsStr::new(name)).map_err(unopened)?;
            opened.push(Some(open_mut(&spec).map_err(unopened)?.media));
        }
        Ok(opened)
    }

    /// Refuses what would be overwritten, all of it at once.
    fn check_nothing_lost(&self, members: &[Option<SharedMediaMut>], output: &Output) -> Result<(), Failure> {
        let mut losses = Vec::new();
        for (name, media) in self.members.iter().zip(members) {
            let Some(media) = media else { continue };
            let shared: SharedMedia = Arc::<dyn MediaMut>::clone(media);
            losses
                .extend(lost(name, &shared).into_iter().map(|loss| (loss.erasable, format!("{name}: {}", loss.what))));
        }
        if let Some((_, stays)) = losses.iter().find(|(erasable, _)| !erasable) {
            let why = format!(
                "{stays}: it would be found beside the new array; take it away first, for instance with wipefs"
            );
            return Err(Failure::new(Exit::Refused, why));
        }
        if self.force || losses.is_empty() {
            losses.iter().for_each(|(_, loss)| output.warn(&format!("{loss}: given up")));
            return Ok(());
        }
        let losses: Vec<String> = losses.into_iter().map(|(_, loss)| loss).collect();
        Err(Failure::new(Exit::Refused, format!("{}; --force overwrites it", losses.join("; "))))
    }
}

/// Bytes of a size as people write it: a number with K, M, G or T, powers of 1024.
pub(super) fn size(word: &str) -> Result<u64, String> {
    let digits = word.trim_end_matches(|end: char| end.is_ascii_alphabetic());
    let unit = match word[digits.len()..].to_ascii_uppercase().trim_end_matches("IB") {
        "" => 1,
        "K" => 1 << 10,
        "M" => 1 << 20,
        "G" => 1 << 30,
        "T" => 1_u64 << 40,
        other => return Err(format!("no such unit: {other}")),
    };
    let number: u64 = digits.parse().map_err(|_| "not a number with K, M, G or T".to_owned())?;
    number.checked_mul(unit).filter(|bytes| *bytes > 0).ok_or_else(|| "out of range".into())
}

/// The level with its layout, or the one that mdadm takes.
fn level(level: &str, layout: Option<&str>) -> Result<Level, String> {
    let unknown = || format!("--layout: level {level} has none called {}", layout.unwrap_or_default());
    let plain = |plain: Level| if layout.is_none() { Ok(plain) } else { Err(unknown()) };
    match level.trim_start_matches("raid") {
        "linear" => plain(Level::Linear),
        "0" => match layout {
            None | Some("alternate") => Ok(Level::Raid0(Raid0Layout::Alternate)),
            Some("original") => Ok(Level::Raid0(Raid0Layout::Original)),
            Some(_) => Err(unknown()),
        },
        "1" => plain(Level::Raid1),
        "4" => plain(Level::Raid4),
        "5" => raid5(layout.unwrap_or("ls")).map(Level::Raid5).ok_or_else(unknown),
        "6" => raid6(layout.unwrap_or("ls")).map(Level::Raid6).ok_or_else(unknown),
        "10" => raid10(layout.unwrap_or("n2")).map(Level::Raid10).ok_or_else(unknown),
        _ => Err(format!("--level: no level {level}; there are linear, 0, 1, 4, 5, 6 and 10")),
    }
}

fn raid5(layout: &str) -> Option<Raid5Layout> {
    Some(match layout {
        "la" | "left-asymmetric" => Raid5Layout::LeftAsymmetric,
        "ra" | "right-asymmetric" => Raid5Layout::RightAsymmetric,
        "ls" | "left-symmetric" => Raid5Layout::LeftSymmetric,
        "rs" | "right-symmetric" => Raid5Layout::RightSymmetric,
        "parity-first" => Raid5Layout::ParityFirst,
        "parity-last" => Raid5Layout::ParityLast,
        _ => return None,
    })
}

fn raid6(layout: &str) -> Option<Raid6Layout> {
    Some(match layout {
        "ddf-zero-restart" => Raid6Layout::RotatingZeroRestart,
        "ddf-N-restart" => Raid6Layout::RotatingNRestart,
        "ddf-N-continue" => Raid6Layout::RotatingNContinue,
        // The first six have the same names and numbers.
        five => *Raid6Layout::ALL.get(raid5(five)? as usize)?,
    })
}

fn raid10(layout: &str) -> Option<Raid10Layout> {
    let (kind, copies) = layout.split_at_checked(1)?;
    let copies = copies.parse().ok()?;
    let (near, far, offset) = match kind {
        "n" => (copies, 1, false),
        "f" => (1, copies, false),
        "o" => (1, copies, true),
        _ => return None,
    };
    Some(Raid10Layout { near, far, offset, sets: FarSets::All })
}

#[cfg(test)]
mod tests {
    use super::*;
    use raid_formats::md::level_to_md;

    #[test]
    fn levels_and_layouts_are_mds_numbers() {
        let numbers = |name: &str, layout: Option<&str>| level(name, layout).map(level_to_md);
        assert_eq!(numbers("raid5", None), Ok((5, 2)));
        assert_eq!(numbers("6", Some("ddf-N-continue")), Ok((6, 10)));
        assert_eq!(numbers("6", Some("parity-last")), Ok((6, 5)));
        assert_eq!(numbers("10", Some("o3")), Ok((10, 0x1_0301)));
        assert_eq!(numbers("10", Some("n2")), Ok((10, 0x102)));
        assert_eq!(numbers("0", None), Ok((0, 2)));
        assert!(numbers("1", Some("ls")).is_err() && numbers("7", None).is_err() && numbers("10", Some("x2")).is_err());
    }

    #[test]
    fn sizes_are_powers_of_1024() {
        assert_eq!((size("64K"), size("1MiB"), size("4096")), (Ok(65536), Ok(1 << 20), Ok(4096)));
        assert!(size("1X").is_err() && size("K").is_err() && size("0").is_err() && size("99999999T").is_err());
    }
}
