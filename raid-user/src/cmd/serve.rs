//! `raid serve`: the array as a block device for anything that speaks NBD.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use serde_json::json;

use super::exit::{Exit, Failure};
use super::open::OpenArgs;
use super::output::Output;
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
    let array = args.open.open(output)?;
    let (size_bytes, description) = (array.size_bytes(), array.describe());
    let address = args.socket.clone().map_or(Address::Tcp(args.tcp), Address::Unix);
    let options = ServeOptions {
        name: args.export.clone(),
        description,
        allow_remote: args.allow_remote,
        once: args.once,
        ..ServeOptions::new(address)
    };
    let running = serve(Target::ReadOnly(Arc::new(array)), options).map_err(|error| Failure::new(Exit::Io, error))?;
    let uri = running.uri();
    output.print("raid.serve/1", json!({ "uri": uri, "size_bytes": size_bytes, "read_only": true }), || {
        format!("{uri}\nRead it with: nbdcopy '{uri}' OUT\nStop it with Ctrl-C.\n")
    })?;
    let stop = running.stopper();
    ctrlc::set_handler(stop).map_err(|error| Failure::new(Exit::Io, error))?;
    running.wait();
    Ok(Exit::Ok)
}
