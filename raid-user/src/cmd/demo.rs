//! `raid demo`: the whole tool in one run, on images that it makes itself.
//!
//! Makes the members of a RAID 6, loses two of them, opens what is left, serves it over NBD, reads it back through the
//! socket, and compares every byte with what was written. What it writes it computes byte by byte with the reference
//! parity, so nothing is proved by itself.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use clap::Args;
use raid_core::geometry::Geometry;
use raid_core::{Level, Raid6Layout, SECTOR_BYTES, Sector, Sectors};
use raid_formats::md::Version;
use raid_formats::record::{Name, Uuid};
use serde_json::json;

use super::exit::{Exit, Failure};
use super::output::Output;
use super::text;
use crate::array::{Array, OpenOptions};
use crate::discover::Found;
use crate::make::Plan;
use crate::media::nbd::Uri;
use crate::media::{Media, MediaSpec, RawFile, Writable, open};
use crate::nbd::{Address, Client, ServeOptions, Target, serve};

const MEMBERS: u8 = 6;
const MEMBER_BYTES: u64 = 16 << 20;
const LOST: [usize; 2] = [1, 4];

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
    let address = Address::Unix(folder.join("socket"));
    let options = ServeOptions { description: array.describe(), ..ServeOptions::new(address) };
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
fn content(at: Sector) -> [u8; 512] {
    let mut bytes = [0; 512];
    for (word, place) in (at.0 << 6..).zip(bytes.as_chunks_mut::<8>().0) {
        *place = word.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes();
    }
    bytes
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

fn plan() -> Plan {
    let mut name = Name([0; 32]);
    name.0[..9].copy_from_slice(b"raid:demo");
    Plan {
        version: Version::V1_2,
        level: Level::Raid6(Raid6Layout::LeftSymmetric),
        members: MEMBERS,
        chunk: Sectors(128),
        member_bytes: MEMBER_BYTES,
        array: Uuid(*b"raid-demo-array!"),
        name,
    }
}

/// Makes the members, with their superblocks and a full array on them.
fn make(images: &[PathBuf]) -> Result<Geometry, Failure> {
    let plan = plan();
    let failed =
        |image: &Path, error: &dyn std::fmt::Display| Failure::new(Exit::Io, format!("{}: {error}", image.display()));
    for (slot, image) in (0..MEMBERS).zip(images) {
        fs::File::create_new(image)?.set_len(MEMBER_BYTES)?;
        let file = RawFile::<Writable>::open_mut(image).map_err(|error| failed(image, &error))?;
        plan.make(slot, &file, &content).map_err(|error| failed(image, &error))?;
    }
    plan.geometry().map_err(|error| Failure::new(Exit::Io, error))
}
