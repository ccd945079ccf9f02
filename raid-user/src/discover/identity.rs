//! Which of its container's disks a medium is, where the format knows disks by their drives' serial numbers (IMSM).
//!
//! An image has no serial number, and all disks of a container carry the same record. So it is told (`--serial FILE=SERIAL`), or stands in
//! a file beside the image (`FILE.serial`), or the system knows it of a drive. What is left is found by elimination, if there is only one
//! way to give each medium a disk of the table that is as long as it; that is said wherever the array is opened.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::Path;
use std::sync::Arc;

use raid_formats::assemble::Claimant as _;
use raid_formats::fault::Fault;
pub use raid_formats::imsm::Identity;
use raid_formats::imsm::{self, Metadata, Place, Serial, Volume};
use raid_formats::record::{Record, Role};

use super::{Found, MediaSource, Meta};

/// A medium of which nothing tells which disk it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ambiguous {
    /// The medium as given.
    pub member: String,
    /// Serial numbers of the disks that it may be.
    pub choices: Vec<String>,
}

/// A record of IMSM, one of its volumes, and which of its disks this is.
#[derive(Clone)]
pub(super) struct Imsm {
    bytes: Arc<[u8]>,
    place: Place,
    volume: u8,
    own: Option<u8>,
    identity: Identity,
    /// The disk that the partial parity log on this medium is of.
    logged: Option<u8>,
}

impl Imsm {
    /// The record on this medium; nothing if there is none, or a sentence if it is of no use.
    pub(super) fn find(source: &MediaSource<'_>) -> Result<Option<Self>, String> {
        let fault = |fault: Fault<_, imsm::Refusal>| if fault.is_absence() { Ok(None) } else { Err(fault.to_string()) };
        let place = match imsm::probe(source) {
            Ok(place) => place,
            Err(error) => return fault(error),
        };
        let mut bytes = vec![0; place.len_bytes];
        let metadata = match imsm::read(source, &place, &mut bytes) {
            Ok(metadata) => metadata,
            Err(error) => return fault(error),
        };
        if metadata.volumes().next().is_none() {
            return Err("the disk belongs to no volume: a spare, or one that was taken out".to_owned());
        }
        let usable = metadata.volumes_of(None).filter_map(Result::ok).count();
        let refused = metadata.volumes_of(None).find_map(Result::err);
        if let (0, Some(refusal)) = (usable, refused) {
            return Err(refusal.to_string());
        }
        let logged = imsm::logged_by(source, &metadata, &mut [0; imsm::LOG_BUFFER_BYTES]);
        Ok(Some(Self { bytes: bytes.into(), place, volume: 0, own: None, identity: Identity::Unknown, logged }))
    }

    /// All volumes of the record that can be used, each as this disk tells it.
    pub(super) fn volumes(&self) -> Vec<(Meta, Record)> {
        let Some(metadata) = self.metadata() else { return Vec::new() };
        let volumes = metadata.volumes_of(self.own).filter_map(Result::ok);
        let meta = |volume: &Volume<'_>| Meta::Imsm(Self { volume: volume.raw().index, ..self.clone() });
        volumes.map(|volume| (meta(&volume), *volume.record())).collect()
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(super) const fn place(&self) -> &Place {
        &self.place
    }

    /// Asks the volume.
    pub(super) fn with<T>(&self, ask: impl FnOnce(&Volume<'_>) -> T) -> Option<T> {
        self.metadata()?.volume(self.volume, self.own).ok().as_ref().map(ask)
    }

    fn metadata(&self) -> Option<Metadata<'_>> {
        Metadata::parse(&self.bytes, &self.place).ok()
    }

    pub(super) fn family(&self) -> Option<u32> {
        self.metadata().map(|metadata| metadata.family())
    }

    /// What elimination goes by.
    fn medium(&self) -> Option<imsm::Medium<'_>> {
        Some(imsm::Medium { metadata: self.metadata()?, own: self.own, logged: self.logged })
    }

    /// Serial number of the disk that this is.
    fn serial(&self) -> Option<Serial> {
        self.medium()?.serial()
    }

    /// Serial numbers of the disks that this medium may be.
    fn candidates(&self) -> Vec<Serial> {
        self.medium().map(|medium| medium.candidates().collect()).unwrap_or_default()
    }
}

/// What was said on the command line: `FILE=SERIAL`, several times.
#[derive(Clone, Debug, Default)]
pub struct Serials(Vec<(String, String)>);

impl Serials {
    /// Takes the words apart.
    ///
    /// # Errors
    /// The word that is not `FILE=SERIAL`.
    pub fn parse(words: &[String]) -> Result<Self, String> {
        let pair = |word: &String| match word.rsplit_once('=') {
            Some((file, serial)) if !file.is_empty() && !serial.is_empty() => Ok((file.to_owned(), serial.to_owned())),
            _ => Err(format!("{word}: expected FILE=SERIAL")),
        };
        words.iter().map(pair).collect::<Result<_, _>>().map(Self)
    }

    /// Tells the members of that name which disk they are.
    ///
    /// # Errors
    /// A sentence: a file that was not given, or is of a format that does not know its disks by serial numbers, or a serial number that its
    /// record does not have.
    pub fn tell(&self, found: &mut [Found]) -> Result<(), String> {
        for (file, serial) in &self.0 {
            let mut given = false;
            for member in found.iter_mut().filter(|member| member.name == *file) {
                given = true;
                member.identify(serial, Identity::Told)?;
            }
            if !given {
                return Err(format!("--serial {file}={serial}: no such member was given"));
            }
        }
        Ok(())
    }
}

impl Found {
    /// How it is known which disk this is; nothing if the medium itself says so.
    #[must_use]
    pub fn identity(&self) -> Option<Identity> {
        match &self.meta {
            Meta::Imsm(imsm) => Some(imsm.identity),
            _ => None,
        }
    }

    /// The drive's serial number by which the format knows this disk.
    #[must_use]
    pub fn serial(&self) -> Option<String> {
        match &self.meta {
            Meta::Imsm(imsm) => imsm.serial().map(|serial| printable(&serial)),
            _ => None,
        }
    }

    /// Why this medium cannot be used: nobody knows which disk it is.
    #[must_use]
    pub fn ambiguous(&self) -> Option<Ambiguous> {
        let Meta::Imsm(imsm) = &self.meta else { return None };
        let unknown = self.record.role == Role::Unidentified;
        let choices = || imsm.candidates().iter().map(printable).collect();
        unknown.then(|| Ambiguous { member: self.name.clone(), choices: choices() })
    }

    /// Says which disk this is, on all of its volumes.
    ///
    /// # Errors
    /// A sentence: the format knows no serial numbers, or its record does not have this one.
    pub fn identify(&mut self, serial: &str, identity: Identity) -> Result<(), String> {
        let Meta::Imsm(imsm) = &self.meta else {
            return Err(format!("{}: {} knows its members by no serial number", self.name, self.record.format.name()));
        };
        let known = || imsm.candidates().iter().map(printable).collect::<Vec<_>>().join(", ");
        let index = imsm.metadata().and_then(|metadata| metadata.index_told(serial));
        let unknown =
            || format!("{}: no disk of its container has the serial number {serial}; it may be {}", self.name, known());
        let index = index.ok_or_else(unknown)?;
        self.set_own(index, identity);
        Ok(())
    }

    /// Looks for a serial number where one may be: beside a file, and in what the system knows of a drive.
    pub(super) fn identify_by_place(&mut self, path: &OsStr) {
        if !matches!(self.meta, Meta::Imsm(_)) {
            return;
        }
        if let Some(serial) = serial_beside(path) {
            // What the file says and the record does not know is told when the array is opened: the disk stays unidentified.
            let _ = self.identify(&serial, Identity::Told);
        } else if let Some(serial) = drive_serial(Path::new(path)) {
            // A copy of a disk on another drive has a serial number that its record does not know.
            let _ = self.identify(&serial, Identity::Drive);
        }
    }

    /// Takes it for the disk that `other` was taken for, and for the same reason.
    pub(super) fn identify_as(&mut self, other: &Self) {
        let (Meta::Imsm(own), Meta::Imsm(known)) = (&self.meta, &other.meta) else { return };
        let index = known.serial().and_then(|serial| own.metadata()?.index_of(&serial));
        if let Some(index) = index {
            self.set_own(index, known.identity);
        }
    }

    fn set_own(&mut self, index: u8, identity: Identity) {
        let Meta::Imsm(imsm) = &mut self.meta else { return };
        imsm.own = Some(index);
        imsm.identity = identity;
        let records: Vec<Record> = imsm.volumes().into_iter().map(|(_, record)| record).collect();
        let own = |array| records.iter().find(|record| record.array == array);
        if let Some(record) = own(self.record.array) {
            self.record = *record;
        }
        for (_, other) in &mut self.others {
            if let Some(record) = own(other.array) {
                *other = *record;
            }
        }
    }
}

/// Gives each medium that does not know it yet the disk that alone is left for it.
pub(super) fn eliminate(found: &mut [Found]) {
    let mut families: Vec<u32> = found.iter().filter_map(|member| of(member)?.family()).collect();
    families.sort_unstable();
    families.dedup();
    for family in families {
        let mut media: Vec<Medium> = Vec::new();
        for (index, member) in found.iter().enumerate() {
            let Some(imsm) = of(member).filter(|imsm| imsm.family() == Some(family)) else { continue };
            // One medium comes as several members if it has several volumes.
            match media.iter_mut().find(|medium| Arc::ptr_eq(&medium.imsm.bytes, &imsm.bytes)) {
                Some(medium) => medium.members.push(index),
                None => media.push(Medium { imsm: imsm.clone(), members: vec![index] }),
            }
        }
        let mut given = vec![None; media.len()];
        // Too many to try stay unknown.
        let _ = imsm::eliminate(media.iter().filter_map(|medium| medium.imsm.medium()), &mut given);
        let given = media.iter().zip(given).filter_map(|(medium, given)| Some((medium, given?)));
        for (medium, (serial, identity)) in given {
            for member in &medium.members {
                let index = of(&found[*member]).and_then(|imsm| imsm.metadata()?.index_of(&serial));
                if let Some(index) = index {
                    found[*member].set_own(index, identity);
                }
            }
        }
    }
}

/// A medium and the members that it came as.
struct Medium {
    imsm: Imsm,
    members: Vec<usize>,
}

fn of(member: &Found) -> Option<&Imsm> {
    match &member.meta {
        Meta::Imsm(imsm) => Some(imsm),
        _ => None,
    }
}

fn printable(serial: &Serial) -> String {
    let len = serial.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    serial[..len].escape_ascii().to_string()
}

/// What a file beside a medium says, or else what the system knows of the drive.
pub(crate) fn serial_of(name: &str) -> Option<String> {
    serial_beside(OsStr::new(name)).or_else(|| drive_serial(Path::new(name)))
}

fn serial_beside(path: &OsStr) -> Option<String> {
    let mut beside = OsString::from(path);
    beside.push(".serial");
    Some(fs::read_to_string(&beside).ok()?.trim().to_owned())
}

/// The serial number that the system knows of a block device, as `Documentation/ABI/testing/sysfs-block` and the drivers of NVMe,
/// virtio and SCSI tell it.
fn drive_serial(path: &Path) -> Option<String> {
    let metadata = fs::metadata(path).ok()?;
    if !metadata.file_type().is_block_device() {
        return None;
    }
    let (major, minor) = (rustix::fs::major(metadata.rdev()), rustix::fs::minor(metadata.rdev()));
    let folder = Path::new("/sys/dev/block").join(format!("{major}:{minor}"));
    let text = |name: &str| fs::read_to_string(folder.join(name)).ok();
    // Page 80h of SCSI's vital product data: four bytes of head, then the serial number.
    let page = || String::from_utf8(fs::read(folder.join("device/vpd_pg80")).ok()?.get(4..)?.to_vec()).ok();
    let serial = text("serial").or_else(|| text("device/serial")).or_else(page)?;
    let serial = serial.trim_matches(|letter: char| letter.is_whitespace() || letter == '\0');
    (!serial.is_empty()).then(|| serial.to_owned())
}
