//! `raid map`: the stripe map, and where a sector lives.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use raid_core::geometry::Part;
use raid_core::reshape::Side;
use raid_core::{Member, SECTOR_BYTES, Sector, StripeNo};
use serde::Serialize;
use serde_json::json;

use super::exit::{Exit, Failure};
use super::open::{OpenArgs, Volume};
use super::output::Output;
use super::text;
use crate::array::Array;
use crate::draw::{self, MemberState, StripeTable};
use crate::media::Media;

/// Draws the stripe map; says where a sector lives.
#[derive(Args, Debug)]
pub(super) struct MapArgs {
    #[command(flatten)]
    open: OpenArgs,
    /// Say where this array sector (512 bytes) lives, and draw its stripe
    #[arg(long, value_name = "N")]
    sector: Option<u64>,
    /// How many rows of chunks to draw
    #[arg(long, value_name = "N", default_value_t = 8)]
    rows: usize,
    /// Write the drawing as SVG
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
    /// Draw with ASCII only
    #[arg(long)]
    ascii: bool,
}

#[derive(Serialize)]
struct MapOut {
    uuid: String,
    description: String,
    size_sectors: u64,
    chunk_sectors: u64,
    members: Vec<Option<String>>,
    reshape_position: Option<u64>,
    sector: Option<SectorOut>,
}

#[derive(Serialize)]
struct SectorOut {
    sector: u64,
    side: &'static str,
    stripe: u64,
    places: Vec<PlaceOut>,
    parity: Vec<PlaceOut>,
}

#[derive(Serialize)]
struct PlaceOut {
    holds: &'static str,
    slot: u8,
    member: Option<String>,
    data_sector: u64,
    medium_sector: Option<u64>,
    medium_byte: Option<u64>,
}

/// Runs the verb.
///
/// # Errors
/// As opening; a sector past the end; a drawing that cannot be written.
pub(super) fn run(args: &MapArgs, output: &Output) -> Result<Exit, Failure> {
    let volume = args.open.open(output)?;
    let Some(array) = &volume.array else { return runs(args, &volume, output) };
    let sector = args.sector.map(|sector| locate(array, Sector(sector))).transpose()?;
    let record = array.record();
    // Both sides of a reshape are drawn, or the one that a sector is asked for in.
    let sides = match args.sector {
        Some(sector) => vec![array.layouts().at(Sector(sector)).0],
        None if array.layouts().is_reshaping() => vec![Side::Old, Side::New],
        None => vec![Side::Old],
    };
    let drawn: Vec<(String, StripeTable)> =
        sides.iter().map(|side| (title(array, *side), table(array, *side, args))).collect();
    let map = MapOut {
        uuid: record.array.to_string(),
        description: text::shape(&record.shape),
        size_sectors: array.layouts().array_size().0,
        chunk_sectors: array.layouts().geometry(sides[0]).chunk().0,
        members: array.members().map(|name| name.map(str::to_owned)).collect(),
        reshape_position: record.reshape.map(|reshape| reshape.position.0),
        sector,
    };
    if let (Some(path), Some((title, table))) = (&args.svg, drawn.first()) {
        save(path, &draw::svg(table, &record.name.to_string(), title))?;
    }
    output.print("raid.map/1", &map, || {
        let mut out = String::new();
        for (title, table) in &drawn {
            let drawing = draw::terminal(table, args.ascii, output.color, text::WIDTH);
            out += &format!("{}\n{drawing}", text::wrap("", title));
        }
        out + &map.sector.as_ref().map(human).unwrap_or_default()
    })?;
    Ok(Exit::Ok)
}

/// The map of a volume that is no array: the runs that it is put together of.
fn runs(args: &MapArgs, volume: &Volume, output: &Output) -> Result<Exit, Failure> {
    if args.svg.is_some() {
        return Err(Failure::new(Exit::Usage, format!("{}: it has no stripes to draw", volume.name)));
    }
    let size = volume.media.size_bytes();
    let whole = [(0, size, volume.media.describe())];
    let all = if volume.runs.is_empty() { whole.as_slice() } else { &volume.runs };
    let wanted = args.sector.map(|sector| sector.saturating_mul(SECTOR_BYTES));
    let runs: Vec<&(u64, u64, String)> =
        all.iter().filter(|(at, len, _)| wanted.is_none_or(|byte| byte >= *at && byte - *at < *len)).collect();
    if let (Some(sector), true) = (args.sector, runs.is_empty()) {
        let why = format!("sector {sector}: {} has {} sectors", volume.name, size / SECTOR_BYTES);
        return Err(Failure::new(Exit::Usage, why));
    }
    let run = |(at, len, what): &&(u64, u64, String)| json!({ "at_bytes": at, "len_bytes": len, "what": what });
    let document = json!({
        "volume": volume.name, "size_sectors": size / SECTOR_BYTES, "runs": runs.iter().map(run).collect::<Vec<_>>(),
    });
    output.print("raid.map/1", document, || {
        let title = format!("{}, {}", volume.name, text::size(size));
        let line = |(at, len, what): &&(u64, u64, String)| {
            text::wrap(&format!("  {:>10}  {:>10}  ", at / SECTOR_BYTES, len / SECTOR_BYTES), what) + "\n"
        };
        let head = "      sector     sectors  what\n";
        format!("{}\n{head}{}", text::wrap("", &title), runs.iter().map(line).collect::<String>())
    })?;
    Ok(Exit::Ok)
}

/// `RAID 5 left-symmetric, 4 members, chunk 64 KiB, 14 MiB`, and which side of a reshape it is.
fn title(array: &Array, side: Side) -> String {
    let record = array.record();
    let (shape, which) = match (side, record.reshape) {
        (Side::Old, None) | (Side::New, None) => (record.shape, String::new()),
        (Side::Old, Some(reshape)) => {
            (record.shape, format!("; before the reshape at array sector {}", reshape.position))
        }
        (Side::New, Some(reshape)) => (reshape.to, format!("; after the reshape at array sector {}", reshape.position)),
    };
    format!("{}, {}{which}", text::shape(&shape), text::size(array.size_bytes()))
}

/// Writes a drawing where nothing is, or over an earlier drawing. Anything else that stands there may be a member, and is not
/// even opened for writing.
fn save(path: &Path, drawing: &str) -> Result<(), Failure> {
    let failed = |error| Failure::new(Exit::Io, format!("{}: {error}", path.display()));
    let mut file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => File::create_new(path).map_err(failed)?,
        opened => {
            let mut start = [0; 4];
            if opened.map_err(failed)?.read_exact(&mut start).is_err() || start != *b"<svg" {
                let why = format!("{}: exists and is no drawing; --svg writes over nothing else", path.display());
                return Err(Failure::new(Exit::Refused, why));
            }
            File::create(path).map_err(failed)?
        }
    };
    file.write_all(drawing.as_bytes()).map_err(failed)
}

fn table(array: &Array, side: Side, args: &MapArgs) -> StripeTable {
    let rebuilding = array.rebuilding();
    let members = (0..=u8::MAX).zip(array.members()).map(|(slot, name)| match name {
        None => ("missing".to_owned(), MemberState::Missing),
        Some(name) if rebuilding.contains(Member(slot)) => (name.to_owned(), MemberState::Rebuilding),
        Some(name) => (name.to_owned(), MemberState::Current),
    });
    let geometry = array.layouts().geometry(side);
    let highlight = args.sector.map(Sector);
    // A reshape is of interest where it stands. Rows without a chunk are drawn from the start: they all look alike.
    let around = highlight.or(array.record().reshape.map(|reshape| reshape.position));
    let row = around.and_then(|at| geometry.map(at)).map_or(0, |place| match geometry.chunk().0 {
        0 => 0,
        chunk => place.at.0 / chunk,
    });
    let first = row.saturating_sub(args.rows as u64 / 2);
    StripeTable::new(array.layouts(), side, first, args.rows, members.collect(), highlight)
}

fn locate(array: &Array, at: Sector) -> Result<SectorOut, Failure> {
    let (side, geometry, _) = array.layouts().at(at);
    let first = geometry.map(at).filter(|_| at.0 < array.layouts().array_size().0).ok_or_else(|| {
        Failure::new(Exit::Usage, format!("sector {at}: the array has {} sectors", array.layouts().array_size()))
    })?;
    let names: Vec<Option<String>> = array.members().map(|name| name.map(str::to_owned)).collect();
    let place = |holds, member: Member, data_at: Sector| {
        let medium = array.medium_sector(side, member, data_at);
        PlaceOut {
            holds,
            slot: member.0,
            member: names.get(usize::from(member.0)).cloned().flatten(),
            data_sector: data_at.0,
            medium_sector: medium.map(|sector| sector.0),
            medium_byte: medium.and_then(|sector| sector.0.checked_mul(SECTOR_BYTES)),
        }
    };
    let parity = geometry.stripe(StripeNo(first.stripe.0)).map(|stripe| {
        let parts = [(Some(stripe.p()), "P"), (stripe.q(), "Q")];
        let holders = parts.into_iter().filter_map(|(member, holds)| Some((member?, holds)));
        holders
            .filter(|(member, _)| !matches!(stripe.part(*member), Some(Part::Data(_))))
            .map(|(member, holds)| place(holds, member, first.at))
            .collect()
    });
    Ok(SectorOut {
        sector: at.0,
        side: match side {
            Side::Old => "old",
            Side::New => "new",
        },
        stripe: first.stripe.0,
        places: geometry.copies(at).map(|copy| place("data", copy.member, copy.at)).collect(),
        parity: parity.unwrap_or_default(),
    })
}

fn human(sector: &SectorOut) -> String {
    let lines = sector.places.iter().chain(&sector.parity).map(|place| {
        let member = place.member.as_deref().unwrap_or("missing");
        let medium = place.medium_sector.map(|at| format!(", sector {at} of it")).unwrap_or_default();
        text::wrap(&format!("  {:<4}  slot {:>3}  ", place.holds, place.slot), &format!("{member}{medium}")) + "\n"
    });
    format!("sector {} lies in stripe {}:\n{}", sector.sector, sector.stripe, lines.collect::<String>())
}
