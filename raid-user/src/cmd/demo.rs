//! `raid demo`: the whole tool in one run, on images that it makes itself.
//!
//! Makes the members of a RAID 6, loses two of them, opens what is left, serves it over NBD, reads it back through the socket, and compares every byte
//! with what was written. What it writes it computes byte by byte with the reference parity, so nothing is proved by itself.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use clap::Args;
use raid_core::geometry::{Content, Geometry};
use raid_core::parity::reference;
use raid_core::{ArrayConfig, Level, Member, Raid6Layout, SECTOR_BYTES, Sector, Sectors, Sizes};
use raid_formats::md::create::{CreateParams, create, default_data};
use raid_formats::md::{Refusal, Version};
use raid_formats::record::{Name, Role, Sync, Uuid};
use serde_json::json;

use super::exit::{Exit, Failure};
use super::output::Output;
use super::text;
use crate::array::{Array, OpenOptions};
use crate::discover::Found;
use crate::media::nbd::Uri;
use crate::media::{Media, MediaMut, MediaSpec, RawFile, Writable, open};
use crate::nbd::machine::Limits;
use crate::nbd::{Address, Client, ServeOptions, Target, serve};

const MEMBERS: u8 = 6;
const MEMBER_BYTES: u64 = 16 << 20;
const CHUNK: Sectors = Sectors(128);
const LOST: [usize; 2] = [1, 4];
const LEVEL: Level = Level::Raid6(Raid6Layout::LeftSymmetric);

/// Makes a RAID 6 of image files, loses two members, serves it, and proves every byte.
#[derive(Args, Debug)]
pub(super) struct DemoArgs {
    /// Keep the images here; the directory must not exist
    #[arg(long, value_name = "DIRECTORY")]
    keep: Option<PathBuf>,
}

/// Runs the verb.
///
/// # Errors
/// Anything that does not go as it must.
pub(super) fn run(args: &DemoArgs, output: &Output) -> Result<Exit, Failure> {
    let started = Instant::now();
    let mut story = String::new();
    let (folder, temporary) = match &args.keep {
        Some(folder) => (folder.clone(), false),
        None => (std::env::temp_dir().join(format!("raid-demo-{}", std::process::id())), true),
    };
    fs::create_dir(&folder).map_err(|error| Failure::new(Exit::Io, format!("{}: {error}", folder.display())))?;
    let done = play(&folder, &mut story, output);
    if temporary {
        // The story stands even if a leftover cannot be removed.
        let _ = fs::remove_dir_all(&folder);
    }
    let bytes = done?;
    let seconds = started.elapsed().as_secs_f64();
    let _ = writeln!(story, "Proved {bytes} bytes in {seconds:.1} s.");
    output.print("raid.demo/1", json!({ "proved_bytes": bytes, "lost_slots": LOST, "seconds": seconds }), || story)?;
    Ok(Exit::Ok)
}

fn play(folder: &Path, story: &mut String, output: &Output) -> Result<u64, Failure> {
    let _ = writeln!(story, "Making a RAID 6 of {MEMBERS} images, {} each.", text::size(MEMBER_BYTES));
    let images: Vec<PathBuf> = (0..MEMBERS).map(|slot| folder.join(format!("disk{slot}.img"))).collect();
    let geometry = make(&images)?;
    let _ = writeln!(story, "Filled it: {} of content that names its own place.", text::size(size_of(&geometry)));

    for index in LOST {
        fs::remove_file(&images[index])?;
    }
    let _ = writeln!(story, "Lost disk{}.img and disk{}.img.", LOST[0], LOST[1]);

    let found = images.iter().enumerate().filter(|(index, _)| !LOST.contains(index)).map(|(_, image)| find(image));
    let array = Array::open(found.collect::<Result<_, _>>()?, &OpenOptions::default()).map_err(super::open::refused)?;
    for warning in array.warnings() {
        let _ = writeln!(story, "{}", text::wrap("  raid says: ", &warning.to_string()));
    }
    let size = array.size_bytes();
    let options = ServeOptions {
        address: Address::Unix(folder.join("socket")),
        name: String::new(),
        description: array.describe(),
        allow_remote: false,
        once: false,
        workers: 0,
        limits: Limits::default(),
    };
    let running = serve(Target::ReadOnly(Arc::new(array)), options)?;
    let _ = writeln!(story, "Serving what is left over NBD and reading it back.");
    let uri = Uri::parse(&running.uri()).map_err(|error| Failure::new(Exit::Io, error))?;
    let client = Client::connect(&uri)?;
    if client.size_bytes() != size_of(&geometry) || size != size_of(&geometry) {
        return Err(Failure::new(Exit::Io, format!("the array has {size} bytes, {} were written", size_of(&geometry))));
    }
    prove(&client)?;
    drop(client);
    running.stop();
    if !output.json {
        let _ = writeln!(story, "Every byte came back.");
    }
    Ok(size)
}

fn find(image: &Path) -> Result<Found, Failure> {
    let opened = open(&MediaSpec::path(image), &super::open::media_options(false))
        .map_err(|error| Failure::new(Exit::BadInput, error))?;
    Found::inspect(&image.display().to_string(), opened.media).map_err(|error| Failure::new(Exit::BadInput, error))
}

fn size_of(geometry: &Geometry) -> u64 {
    geometry.array_size().0 * SECTOR_BYTES
}

/// What array sector `at` holds: its number, mixed so that no two words are alike.
fn content(at: Sector) -> Vec<u8> {
    (0..SECTOR_BYTES / 8)
        .flat_map(|word| (at.0 << 6 | word).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes())
        .collect()
}

fn prove(client: &Client) -> Result<(), Failure> {
    let mut bytes = vec![0; 1 << 20];
    for at in (0..client.size_bytes()).step_by(bytes.len()) {
        let len = usize::try_from(client.size_bytes() - at).unwrap_or(usize::MAX).min(bytes.len());
        client.read_at(at, &mut bytes[..len])?;
        for (sector, number) in bytes[..len].chunks(512).zip(at / SECTOR_BYTES..) {
            if sector != content(Sector(number)) {
                return Err(Failure::new(Exit::Io, format!("array sector {number} came back wrong")));
            }
        }
    }
    Ok(())
}

/// Makes the members, with their superblocks and a full array on them.
fn make(images: &[PathBuf]) -> Result<Geometry, Failure> {
    let bad = |refusal: Refusal| Failure::new(Exit::Io, refusal);
    let medium = Sectors(MEMBER_BYTES / SECTOR_BYTES);
    let data = default_data(Version::V1_2, medium, CHUNK).map_err(bad)?;
    let used = data.len.floor_to(CHUNK);
    let config =
        ArrayConfig { level: LEVEL, members: MEMBERS.into(), chunk: CHUNK, sizes: Sizes::Same(used), array_size: None };
    let geometry = Geometry::new(&config).map_err(|error| Failure::new(Exit::Io, error))?;
    let mut name = Name([0; 32]);
    name.0[..9].copy_from_slice(b"raid:demo");
    let roles: Vec<Role> = (0..MEMBERS).map(|slot| Role::Slot(slot.into())).collect();
    for (slot, image) in (0..MEMBERS).zip(images) {
        fs::File::create_new(image)?.set_len(MEMBER_BYTES)?;
        let file = RawFile::<Writable>::open_mut(image).map_err(|error| Failure::new(Exit::Io, error))?;
        let params = CreateParams {
            version: Version::V1_2,
            medium,
            level: LEVEL,
            members: MEMBERS.into(),
            chunk: CHUNK,
            used,
            data: Some(data),
            array: Uuid(*b"raid-demo-array!"),
            name,
            member: Uuid([slot + 1; 16]),
            number: slot.into(),
            roles: &roles,
            created_s: 1_700_000_000,
            sync: Sync::Clean,
            bitmap: None,
        };
        create(&params, |at, bytes| write(&file, at, bytes)).map_err(|error| Failure::new(Exit::Io, error))?;
        fill(&file, &geometry, Member(slot), data.at).map_err(|error| Failure::new(Exit::Io, error))?;
    }
    Ok(geometry)
}

/// A failed write, or parameters that make no superblock.
#[derive(Debug, thiserror::Error)]
enum MakeError {
    #[error("{0}")]
    Refused(Refusal),
    #[error("{0}")]
    Io(#[from] std::io::Error),
    #[error("the parity of a stripe could not be computed")]
    Parity,
}

impl From<Refusal> for MakeError {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

fn write(file: &RawFile<Writable>, at: Sector, bytes: &[u8]) -> Result<(), MakeError> {
    Ok(file.write_at(at.0 * SECTOR_BYTES, bytes)?)
}

/// Writes a member's data: for each sector the content of the array sector that lives there, or the parity of its row.
fn fill(file: &RawFile<Writable>, geometry: &Geometry, member: Member, data_at: Sector) -> Result<(), MakeError> {
    let size = geometry.member_size(member).0;
    let mut chunk = Vec::new();
    for at in 0..size {
        chunk.extend(sector(geometry, member, Sector(at)).ok_or(MakeError::Parity)?);
        if (at + 1).is_multiple_of(CHUNK.0) || at + 1 == size {
            let start = at + 1 - chunk.len() as u64 / SECTOR_BYTES;
            write(file, Sector(data_at.0 + start), &chunk)?;
            chunk.clear();
        }
    }
    Ok(())
}

fn sector(geometry: &Geometry, member: Member, at: Sector) -> Option<Vec<u8>> {
    let stripe = match geometry.unmap(member, at)? {
        Content::Data(array) => return Some(content(array)),
        Content::Unused => return Some(vec![0; 512]),
        Content::P(stripe) | Content::Q(stripe) => geometry.stripe(stripe)?,
    };
    let mut data = vec![Vec::new(); usize::from(stripe.columns())];
    for index in 0..stripe.data_count() {
        let other = stripe.data(index)?;
        if let Content::Data(array) = geometry.unmap(other, at)? {
            data[usize::from(stripe.column(other)?)] = content(array);
        }
    }
    let columns: Vec<&[u8]> = data.iter().map(Vec::as_slice).collect();
    let (mut p, mut q) = (vec![0; 512], vec![0; 512]);
    reference::pq(&columns, &mut p, &mut q);
    Some(if member == stripe.p() { p } else { q })
}
