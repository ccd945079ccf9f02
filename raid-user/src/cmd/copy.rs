//! `raid copy`, `raid cat`, `raid compare`: the whole array, moved or checked.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::exit::{Exit, Failure};
use super::open::{OpenArgs, media_options, unopened};
use super::output::Output;
use super::text;
use crate::media::{Media, MediaSpec, open};
use crate::transfer::bar::Bar;
use crate::transfer::{self, CopyError, CopyOptions};

/// Copies the whole array into a file or device.
#[derive(Args, Debug)]
pub(super) struct CopyArgs {
    #[command(flatten)]
    open: OpenArgs,
    /// Where to
    #[arg(value_name = "OUT", required = true, last = false)]
    out: PathBuf,
    /// Overwrite what is there
    #[arg(long)]
    force: bool,
    /// Go on where an earlier copy to OUT stopped
    #[arg(long)]
    resume: bool,
    /// Fill what cannot be read with zeros, list it, and exit with 6
    #[arg(long)]
    keep_going: bool,
    /// Tell the SHA-256 of the content
    #[arg(long)]
    sha256: bool,
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

/// Compares the array with a file, a device or an NBD export.
#[derive(Args, Debug)]
pub(super) struct CompareArgs {
    #[command(flatten)]
    open: OpenArgs,
    /// What to compare with
    #[arg(long, value_name = "MEDIUM", required = true)]
    with: String,
}

/// Runs `raid copy`.
///
/// # Errors
/// As opening and copying.
pub(super) fn copy(args: &CopyArgs, output: &Output) -> Result<Exit, Failure> {
    let array = args.open.open(output)?;
    let options = CopyOptions {
        force: args.force,
        resume: args.resume,
        keep_going: args.keep_going,
        sha256: args.sha256,
        forbidden: array.media_ids().collect(),
        ..CopyOptions::default()
    };
    let bar = Bar::new(array.size_bytes(), output.quiet);
    let copied = transfer::copy(&array, &array.uuid().to_string(), &args.out, &options, &mut |done| bar.show(done));
    drop(bar);
    let copied = copied.map_err(|error| {
        let exit = match &error {
            CopyError::Exists(_) | CopyError::Member(_) | CopyError::OtherSource { .. } => Exit::Refused,
            CopyError::TooSmall { .. } => Exit::BadInput,
            CopyError::Read { .. } | CopyError::Write { .. } => Exit::Io,
        };
        Failure::new(exit, error)
    })?;
    output.print("raid.copy/1", json!({ "out": args.out, "copied": &copied }), || {
        let mut out = text::wrap("", &format!("{}: {}", args.out.display(), text::size(copied.size_bytes))) + "\n";
        for bad in &copied.bad {
            let range = format!("{} bytes at {} are zeros: {}", bad.len_bytes, bad.offset_bytes, bad.reason);
            let _ = writeln!(out, "{}", text::wrap("  ", &range));
        }
        if let Some(sha256) = &copied.sha256 {
            let _ = writeln!(out, "sha256 {sha256}");
        }
        out
    })?;
    Ok(if copied.bad.is_empty() { Exit::Ok } else { Exit::Incomplete })
}

/// Runs `raid cat`. A reader that goes away ends it quietly.
///
/// # Errors
/// As opening; a range outside the array; a read that fails.
pub(super) fn cat(args: &CatArgs, output: &Output) -> Result<Exit, Failure> {
    let array = args.open.open(output)?;
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
    let array = args.open.open(output)?;
    let spec = MediaSpec::parse(args.with.as_ref()).map_err(unopened)?;
    let other = open(&spec, &media_options(args.open.follow_references)).map_err(unopened)?.media;
    let bar = Bar::new(array.size_bytes(), output.quiet);
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
                for (offset, len) in found.ranges.iter().take(20) {
                    let _ = writeln!(out, "  {len} bytes at {offset}");
                }
            }
        }
        out
    })?;
    Ok(if found.same() { Exit::Ok } else { Exit::No })
}
