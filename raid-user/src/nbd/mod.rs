//! NBD: a server and a client, by the protocol's own document (NetworkBlockDevice `doc/proto.md`).
//!
//! [`protocol`] names the numbers, [`machine`] is the server's side of a connection without a socket, [`reply`] makes answers,
//! [`server`] has the sockets and threads, [`client`] reads and writes other people's exports.
//!
//! Not here: TLS, extended headers (64-bit lengths), the `cache` and `resize` commands.

pub mod client;
mod gather;
mod link;
pub mod machine;
pub mod out;
pub mod protocol;
mod queue;
pub mod reply;
pub mod server;
mod straight;
mod stream;
mod talk;
#[cfg(test)]
mod tests;

pub use client::{Client, ClientMut};
pub(crate) use server::clear_stale_socket;
pub use server::{Address, Running, ServeOptions, Target, serve};
