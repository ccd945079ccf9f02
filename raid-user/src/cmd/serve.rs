//! `raid serve`: the array as a block device for anything that speaks NBD.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::exit::{Exit, Failure};
use super::open::OpenArgs;
use super::output::Output;
use super::text;
use crate::media::Media;
use crate::nbd::{Address, ServeOptions, Target, serve};

/// Serves the array over NBD, read-only, until it is stopped.
#[derive(Args, Debug)]
pub(super) struct ServeArgs {
    #[command(flatten)]
    open: OpenArgs,
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
    let array = args.open.open(output)?.media;
    let (size_bytes, description) = (array.size_bytes(), array.describe());
    if args.socket.is_none() && !args.tcp.ip().is_loopback() && !args.allow_remote {
        let why = "not a loopback address: NBD has no password, and anybody could read (--allow-remote serves it)";
        return Err(Failure::new(Exit::Usage, format!("{}: {why}", args.tcp)));
    }
    let address = args.socket.clone().map_or(Address::Tcp(args.tcp), Address::Unix);
    let options = ServeOptions {
        name: args.export.clone(),
        description,
        allow_remote: args.allow_remote,
        once: args.once,
        ..ServeOptions::new(address)
    };
    let running = serve(Target::ReadOnly(array), options).map_err(|error| Failure::new(Exit::Io, error))?;
    // Before anybody is told where it listens: who is told may stop it at once.
    ctrlc::set_handler(running.stopper()).map_err(|error| Failure::new(Exit::Io, error))?;
    let uri = running.uri();
    output.print("raid.serve/1", json!({ "uri": uri, "size_bytes": size_bytes, "read_only": true }), || human(&uri))?;
    running.wait();
    Ok(Exit::Ok)
}

/// The URI alone in the first line, then what to do with it.
fn human(uri: &str) -> String {
    let hint = |what: &str, words: &[&str]| {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        text::command(what, &words)
    };
    let copy = hint("Copy it:           ", &["nbdcopy", uri, "OUT"]);
    let file = hint("Show it as a file: ", &["nbdfuse", "-r", "DIRECTORY", uri]);
    let image = hint("Make it an image:  ", &["qemu-img", "convert", "-f", "raw", "-O", "qcow2", uri, "OUT"]);
    format!("{uri}\n{copy}\n{file}\n{image}\nStop it with Ctrl-C.\n")
}
