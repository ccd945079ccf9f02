//! `raid serve`: the array as a block device for anything that speaks NBD, to be read, or with `--write` to be written to.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use serde_json::json;

use super::exit::{Exit, Failure};
use super::open::OpenArgs;
use super::output::Output;
use super::run::Run;
use super::text;
use crate::host::Tuning;
use crate::media::Media;
use crate::nbd::{Address, Running, ServeOptions, Target, serve};

/// Serves the array over NBD until it is stopped; read-only, unless `--write` is given.
#[derive(Args, Debug)]
pub(super) struct ServeArgs {
    #[command(flatten)]
    open: OpenArgs,
    /// Take writes, too: members are opened for writing and locked, and what is out of order is put in order in the background
    #[arg(long)]
    write: bool,
    /// Replay a partial parity log or a journal onto the members, and run the array without it; what it would have closed is open while
    /// writes are under way. Risk: a crash then costs a resync of everything, and with a member missing it can cost what that held
    #[arg(long, requires = "write")]
    without_log: bool,
    /// Where the running array is administered, instead of where its UUID is looked for
    #[arg(long, value_name = "PATH", requires = "write")]
    control: Option<PathBuf>,
    /// How often idle regions are looked at; one that was idle twice is taken out of the log, so that a crash costs no resync of it
    #[arg(long, value_name = "MS", default_value_t = 5000, requires = "write", value_parser = clap::value_parser!(u64).range(1..))]
    sweep_ms: u64,
    /// Listen on a Unix socket
    #[arg(long, value_name = "PATH", conflicts_with = "tcp")]
    socket: Option<PathBuf>,
    /// Listen on a TCP address
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:10809")]
    tcp: SocketAddr,
    /// Listen on other addresses than loopback. There is no password: whoever reaches the port reads the array
    #[arg(long)]
    allow_remote: bool,
    /// Name of the export
    #[arg(long, value_name = "NAME", default_value = "")]
    export: String,
    /// Stop when the last client is gone
    #[arg(long)]
    once: bool,
}

/// Runs the verb.
///
/// # Errors
/// As opening; an address that cannot be listened on.
pub(super) fn run(args: &ServeArgs, output: &Output) -> Result<Exit, Failure> {
    if args.socket.is_none() && !args.tcp.ip().is_loopback() && !args.allow_remote {
        let why = "not a loopback address: NBD has no password, and anybody could read (--allow-remote serves it)";
        return Err(Failure::new(Exit::Usage, format!("{}: {why}", args.tcp)));
    }
    if args.write { read_write(args, output) } else { read_only(args, output) }
}

impl ServeArgs {
    fn options(&self, description: String) -> ServeOptions {
        let address = self.socket.clone().map_or(Address::Tcp(self.tcp), Address::Unix);
        ServeOptions {
            name: self.export.clone(),
            description,
            allow_remote: self.allow_remote,
            once: self.once,
            ..ServeOptions::new(address)
        }
    }
}

fn read_only(args: &ServeArgs, output: &Output) -> Result<Exit, Failure> {
    let array = args.open.open(output)?.media;
    let (size_bytes, description) = (array.size_bytes(), array.describe());
    let server = start(Target::ReadOnly(array), args.options(description))?;
    let uri = server.uri();
    let document = json!({ "uri": uri, "size_bytes": size_bytes, "read_only": true, "control": null });
    output.print("raid.serve/1", document, || human(&uri, None))?;
    server.wait();
    Ok(Exit::Ok)
}

fn read_write(args: &ServeArgs, output: &Output) -> Result<Exit, Failure> {
    let tuning = Tuning { sweep_every: Duration::from_millis(args.sweep_ms), ..Tuning::default() };
    let open = OpenArgs { without_log: args.without_log, ..args.open.clone() };
    let run = Run::start(&open, &tuning, output)?;
    let size_bytes = run.running.size_bytes();
    let description = format!("{} {}", run.about.description, run.about.uuid);
    let served = Arc::clone(&run.running);
    let stopped = match start(Target::Writable(served), args.options(description)) {
        Err(failure) => Err(failure),
        Ok(server) => serve_both(server, &run, size_bytes, args, output),
    };
    // Whatever happened to the server, the array is stopped in order.
    let clean = run.stop()?;
    stopped?;
    if !clean {
        output.warn("stopped before everything was in order: the members say so, and the next start goes on");
    }
    Ok(Exit::Ok)
}

/// Serves clients and those who administer, until clients are served no more.
fn serve_both(server: Running, run: &Run, size_bytes: u64, args: &ServeArgs, output: &Output) -> Result<(), Failure> {
    let uri = server.uri();
    let administered = run.administer(args.control.as_deref(), Some(uri.clone()))?;
    let control = administered.server.path().display().to_string();
    let document = json!({ "uri": uri, "size_bytes": size_bytes, "read_only": false, "control": control });
    output.print("raid.serve/1", document, || human(&uri, Some((&control, &run.about.uuid.to_string()))))?;
    server.wait();
    Ok(())
}

/// Starts the server, which signals stop from now on: whoever is told where it listens may stop it at once.
fn start(target: Target, options: ServeOptions) -> Result<Running, Failure> {
    let server = serve(target, options).map_err(|error| Failure::new(Exit::Io, error))?;
    ctrlc::set_handler(server.stopper()).map_err(|error| Failure::new(Exit::Io, error))?;
    Ok(server)
}

/// The URI alone in the first line, then what to do with it.
fn human(uri: &str, control: Option<(&str, &str)>) -> String {
    let hint = |what: &str, words: &[&str]| {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        text::command(what, &words)
    };
    let hints = match control {
        None => [
            hint("Copy it:           ", &["nbdcopy", uri, "OUT"]),
            hint("Show it as a file: ", &["nbdfuse", "-r", "DIRECTORY", uri]),
            hint("Make it an image:  ", &["qemu-img", "convert", "-f", "raw", "-O", "qcow2", uri, "OUT"]),
        ],
        Some((control, uuid)) => [
            hint("Show it as a file: ", &["nbdfuse", "DIRECTORY", uri]),
            hint("See how it is:     ", &["raid", "status", uuid]),
            hint("Administer it at:  ", &[control]),
        ],
    };
    format!("{uri}\n{}\nStop it with Ctrl-C.\n", hints.join("\n"))
}
