//! Everything that decides about RAID, and nothing that touches a byte.
//!
//! This crate maps array sectors to member sectors and back, says which members a read or a
//! reconstruction needs, and computes parity. It does no I/O, allocates nothing, takes no lock and reads no clock: a host
//! (the userspace tool, the kernel module, the simulator) does that and reports back.
//!
//! Not here: on-disk formats (`raid-formats`), files and sockets (`raid-user`).
#![no_std]
#![deny(unsafe_code)]

#[forbid(unsafe_code)]
pub mod action;
#[forbid(unsafe_code)]
pub mod broadcast;
#[forbid(unsafe_code)]
pub mod check;
#[forbid(unsafe_code)]
pub mod config;
#[forbid(unsafe_code)]
pub mod doubt;
#[forbid(unsafe_code)]
pub mod engine;
#[forbid(unsafe_code)]
pub mod flush;
#[forbid(unsafe_code)]
pub mod geometry;
#[forbid(unsafe_code)]
pub mod health;
#[forbid(unsafe_code)]
pub mod members;
#[forbid(unsafe_code)]
pub mod memory;
pub mod parity;
#[forbid(unsafe_code)]
pub mod plan;
#[forbid(unsafe_code)]
pub mod plan_write;
#[forbid(unsafe_code)]
pub mod recovery;
#[forbid(unsafe_code)]
pub mod region;
#[forbid(unsafe_code)]
pub mod replay;
#[forbid(unsafe_code)]
pub mod request;
#[forbid(unsafe_code)]
pub mod reshape;
#[forbid(unsafe_code)]
pub mod rows;
#[forbid(unsafe_code)]
pub mod stripe;
#[forbid(unsafe_code)]
pub mod units;

pub use config::{ArrayConfig, FarSets, Level, Raid0Layout, Raid5Layout, Raid6Layout, Raid10Layout, Sizes};
pub use units::{Columns, Extent, MEMBERS_MAX, Member, SECTOR_BYTES, Sector, Sectors, StripeNo};
