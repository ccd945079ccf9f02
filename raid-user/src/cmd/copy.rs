//! `raid copy`, `raid cat`, `raid compare`: the whole array, moved or checked.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::json;

use super::exit::{Exit, Failure};
use super::open::{OpenArgs, media_options, unopened};
use super::output::Output;
use super::text;
use crate::media::{Media, MediaSpec, SharedMedia, open};
use crate::transfer::bar::{Bar, Show};
use crate::transfer::{self, Copied, CopyError, CopyOptions, Existing};

/// Ranges that text for people names; documents name them all.
const RANGES_TOLD: usize = 20;

/// Copies the whole array into a file or device.
#[derive(Args, Debug)]
// A line of a table stands for the members in front.
#[command(allow_missing_positional = true)]
pub(super) struct CopyArgs {
    #[command(flatten)]
    open: OpenArgs,
    /// Where to
    #[arg(value_name = "OUT", required = true)]
    out: PathBuf,
    /// Overwrite what is there
    #[arg(long)]
    force: bool,
    /// Go on where an earlier copy to OUT stopped
    #[arg(long, conflicts_with = "force")]
    resume: bool,
    /// Fill what cannot be read with zeros, list it in OUT.raid-bad.json, and exit with 6
    #[arg(long)]
    keep_going: bool,
    /// Tell the SHA-256 of the content
    #[arg(long)]
    sha256: bool,
    /// Read the copy again when it is done, and compare it with what was written
    #[arg(long)]
    verify: bool,
    /// KiB of a read
    #[arg(long, value_name = "N", default_value_t = 1024, value_parser = clap::value_parser!(u32).range(4..=65536))]
    block_kib: u32,
    /// Reads in flight
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u8).range(1..=64))]
    threads: u8,
    /// Tell progress also where stderr is no terminal, in lines
    #[arg(long)]
    progress: bool,
}

/// Writes the whole array to stdout.
#[derive(Args, Debug)]
pub(super) struct CatArgs {
    #[command(flatten)]
    open: OpenArgs,
    /// Start at this byte
    #[arg(long, value_name = "BYTES", default_value_t = 0)]
    offset: u64,
    /// So many bytes only
    #[arg(long, value_name = "BYTES")]
    length: Option<u64>,
}

/// Compares the array with a file, a device, an NBD export, or another array.
#[derive(Args, Debug)]
pub(super) struct CompareArgs {
    #[command(flatten)]
    open: OpenArgs,
    /// One file, device, image or NBD export to compare with; or the members of another array: several, or their directory
    #[arg(long, value_name = "MEDIUM", required = true)]
    with: Vec<String>,
    /// Tell progress also where stderr is no terminal, in lines
    #[arg(long)]
    progress: bool,
}

/// Runs `raid copy`.
///
/// # Errors
/// As opening and copying.
pub(super) fn copy(args: &CopyArgs, output: &Output) -> Result<Exit, Failure> {
    let given = args.open.given(output)?;
    // All that were named, in use or not: a stale member may be somebody's last copy.
    let forbidden = given.media_ids();
    let volume = args.open.assemble(given, output)?;
    let array = &volume.media;
    let options = CopyOptions {
        block_bytes: args.block_kib as usize * 1024,
        threads: args.threads.into(),
        existing: match (args.force, args.resume) {
            (_, true) => Existing::Resume,
            (true, false) => Existing::Overwrite,
            (false, false) => Existing::Refuse,
        },
        keep_going: args.keep_going,
        sha256: args.sha256,
        verify: args.verify,
        forbidden,
    };
    let mut bar = Bar::new(array.size_bytes(), Show::of(output.quiet, args.progress));
    let copied = transfer::copy(array, &volume.identity, &args.out, &options, &mut |done| bar.show(done));
    drop(bar);
    let copied = copied.map_err(|error| Failure::new(exit(&error), error))?;
    output.print("raid.copy/1", json!({ "out": args.out, "copied": &copied }), || told(&args.out, &copied))?;
    Ok(if copied.bad.is_empty() { Exit::Ok } else { Exit::Incomplete })
}

fn exit(error: &CopyError) -> Exit {
    match error {
        CopyError::Exists(_)
        | CopyError::InUse(_)
        | CopyError::Member(_)
        | CopyError::NothingToResume(_)
        | CopyError::OtherSource { .. }
        | CopyError::Changed { .. } => Exit::Refused,
        CopyError::TooSmall { .. } | CopyError::Kind(_) => Exit::BadInput,
        CopyError::Read { .. } | CopyError::Write { .. } | CopyError::Unverified { .. } => Exit::Io,
    }
}

fn told(path: &Path, copied: &Copied) -> String {
    let verified = if copied.verified { ", read again and right" } else { "" };
    let size = text::size(copied.size_bytes);
    let mut out = text::wrap("", &format!("{}: {size}{verified}", path.display())) + "\n";
    for bad in copied.bad.iter().take(RANGES_TOLD) {
        let range = format!("{} bytes at {} are zeros: {}", bad.len_bytes, bad.offset_bytes, bad.reason);
        let _ = writeln!(out, "{}", text::wrap("  ", &range));
    }
    if let Some(list) = &copied.bad_list {
        let bytes: u64 = copied.bad.iter().map(|bad| bad.len_bytes).sum();
        let sum = format!("{bytes} bytes in {} ranges are zeros; {} lists them", copied.bad.len(), list.display());
        let _ = writeln!(out, "{}", text::wrap("", &sum));
    }
    if let Some(sha256) = &copied.sha256 {
        let _ = writeln!(out, "sha256 {sha256}");
    }
    out
}

/// Runs `raid cat`. A reader that goes away ends it quietly.
///
/// # Errors
/// As opening; a range outside the array; a read that fails.
pub(super) fn cat(args: &CatArgs, output: &Output) -> Result<Exit, Failure> {
    let array = args.open.open(output)?.media;
    let size = array.size_bytes();
    let end = args.length.map_or(Some(size), |length| args.offset.checked_add(length));
    let Some(end) = end.filter(|end| args.offset <= *end && *end <= size) else {
        return Err(Failure::new(Exit::Usage, format!("the range does not lie within the array's {size} bytes")));
    };
    let mut out = io::stdout().lock();
    let mut buf = vec![0; 1 << 20];
    let mut at = args.offset;
    while at < end {
        let len = usize::try_from(end - at).unwrap_or(buf.len()).min(buf.len());
        array.read_at(at, &mut buf[..len])?;
        match out.write_all(&buf[..len]) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(Exit::Ok),
            written => written?,
        }
        at += len as u64;
    }
    match out.flush() {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(Exit::Ok),
    }
}

/// Runs `raid compare`.
///
/// # Errors
/// As opening either side; a read that fails.
pub(super) fn compare(args: &CompareArgs, output: &Output) -> Result<Exit, Failure> {
    let array = args.open.open(output)?.media;
    let other: SharedMedia = match &args.with[..] {
        [one] if !Path::new(one).is_dir() => {
            let spec = MediaSpec::parse(one.as_ref()).map_err(unopened)?;
            open(&spec, &media_options(args.open.follow_references)).map_err(unopened)?.media
        }
        members => OpenArgs::plain(members, args.open.follow_references).open(output)?.media,
    };
    let mut bar = Bar::new(array.size_bytes().min(other.size_bytes()), Show::of(output.quiet, args.progress));
    let found = transfer::compare(&array, other.as_ref(), &mut |done| bar.show(done))?;
    drop(bar);
    output.print("raid.compare/1", &found, || {
        let mut out = String::new();
        let [own, others] = found.sizes_bytes;
        if own != others {
            let _ = writeln!(out, "sizes differ: the array has {own} bytes, the other {others}");
        }
        match found.first_difference {
            None => out.push_str("no difference as far as both reach\n"),
            Some(first) => {
                let _ = writeln!(out, "{} sectors differ, first at byte {first}", found.differing_sectors);
                for (offset, len) in found.ranges.iter().take(RANGES_TOLD) {
                    let _ = writeln!(out, "  {len} bytes at {offset}");
                }
                if found.ranges.len() > RANGES_TOLD {
                    let _ = writeln!(out, "  and further on");
                }
            }
        }
        out
    })?;
    Ok(if found.same() { Exit::Ok } else { Exit::No })
}
