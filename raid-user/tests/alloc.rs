//! Nothing is allocated for I/O: once an array runs, the engine and its hosts live on what they have.
//!
//! Every allocation of this process is counted, whichever thread asks for it, and the count must not move over hundreds of requests of
//! every kind. `docs/testing.md` says what that covers.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::alloc::System;
use std::sync::Arc;
use std::time::Duration;

use raid_core::check::{Order, State};
use raid_core::engine::{self, Host as _};
use raid_core::geometry::Geometry;
use raid_core::request::{Kind, Request, RequestId};
use raid_core::rows::{RowNo, Rows};
use raid_core::stripe::Limits;
use raid_core::{ArrayConfig, FarSets, Level, Member, Raid5Layout, Raid6Layout, Raid10Layout};
use raid_core::{Sector, Sectors, Sizes};
use raid_testkit::null_host::{NullHost, receipt};
use raid_user::host::start::{Slot, Start};
use raid_user::host::{Running, Tuning};
use raid_user::media::{Media as _, MediaMut as _, MediaSpec, MemMedia, SharedMediaMut, open_mut};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static COUNTED: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const MEMBER_SECTORS: u64 = 1024;

fn levels() -> [(Level, u16); 5] {
    let near = Level::Raid10(Raid10Layout { near: 2, far: 1, offset: false, sets: FarSets::All });
    let (five, six) = (Level::Raid5(Raid5Layout::LeftSymmetric), Level::Raid6(Raid6Layout::LeftSymmetric));
    [(Level::Raid1, 2), (near, 4), (Level::Raid4, 3), (five, 4), (six, 5)]
}

fn geometry(level: Level, members: u16) -> Geometry {
    let chunk = if level == Level::Raid1 { Sectors(0) } else { Sectors(32) };
    let sizes = Sizes::Same(Sectors(MEMBER_SECTORS));
    Geometry::new(&ArrayConfig { level, members, chunk, sizes, array_size: None }).unwrap()
}

/// Does something until buffers have the size that they need, and once more: how many allocations that once cost.
fn allocations(mut work: impl FnMut()) -> usize {
    (0..4).for_each(|_| work());
    let region = Region::new(COUNTED);
    work();
    let change = region.change();
    change.allocations + change.reallocations
}

/// The core with a host that has no bytes: writes, reads, zeros, flushes, a check, a member that fails and one that is filled.
fn core(level: Level, members: u16) -> usize {
    let limits = Limits {
        shards: 2,
        slots: 8,
        requests: 64,
        region_rows: 8,
        log_page_words: 1,
        read_errors_max: 10,
        heal_window: 4,
        checkpoint_rows: 16,
    };
    let host = NullHost::new(geometry(level, members), limits, false, |_| {});
    let drain = || loop {
        let more = host.run(100);
        match host.next() {
            Some(action) => {
                if let Some((token, _)) = receipt(&action) {
                    engine::complete(&host, token, true);
                }
            }
            None if more => {}
            None => return,
        }
    };
    drain();
    let kinds = [
        Kind::Write { fua: false },
        Kind::Write { fua: true },
        Kind::WriteZeroes { fua: false, free: true },
        Kind::Read,
        Kind::Flush,
    ];
    allocations(|| {
        for kind in kinds {
            for number in 0..32 {
                let request = Request { id: RequestId(number), kind, at: Sector(number * 8), len: Sectors(8) };
                if engine::submit(&host, request).is_err() {
                    // Full: what is under way comes in first.
                    drain();
                    engine::submit(&host, request).unwrap();
                }
            }
            drain();
        }
        for _ in 0..3 {
            engine::sweep(&host, 100);
            drain();
        }
        engine::check(&host, Order { from: RowNo(0), to: RowNo(host.rows().count()), repair: None }).unwrap();
        drain();
        engine::fail(&host, Member(1));
        drain();
        engine::add(&host, Member(1)).unwrap();
        drain();
    })
}

fn running(level: Level, media: Vec<SharedMediaMut>) -> Running {
    let rows = Rows::new(geometry(level, u16::try_from(media.len()).unwrap())).unwrap();
    let slots = media.into_iter().map(|media| Slot { media: Some(media), data_at: Sector(0) }).collect();
    let start = Start::forgetful(rows, slots, 16).unwrap();
    let tuning =
        Tuning { threads: 3, slots: 8, pieces: 64, sweep_every: Duration::from_millis(5), ..Tuning::default() };
    Running::start(start, &tuning).unwrap()
}

/// Whole sectors, as every client of the NBD server asks for: long and short, whole array and degraded.
fn host(running: &Running) -> usize {
    let mut bytes = vec![7; 256 << 10];
    let work = |bytes: &mut [u8]| {
        for turn in 0..16 {
            running.write_at(turn * 512, &bytes[..512]).unwrap();
            running.write_at(turn * 4096, &bytes[..4096]).unwrap();
            running.write_zeroes(turn * 8192, 8192, true).unwrap();
            running.read_at(turn * 4096, &mut bytes[..8192]).unwrap();
        }
        running.write_at(0, bytes).unwrap();
        running.discard(4096, 65536).unwrap();
        running.flush().unwrap();
        running.read_at(0, bytes).unwrap();
        running.wait_until_quiet();
    };
    let whole = allocations(|| work(&mut bytes));
    running.fail(Member(1));
    running.wait_until_quiet();
    whole + allocations(|| work(&mut bytes))
}

#[test]
fn nothing_is_allocated_for_io() {
    // That counting counts.
    assert!(allocations(|| drop(std::hint::black_box(vec![0_u8; 100]))) > 0);
    let size = usize::try_from(MEMBER_SECTORS * 512).unwrap();
    let folder = tempfile::tempdir().unwrap();
    for (level, members) in levels() {
        assert_eq!(core(level, members), 0, "the core, {level:?}");
        let memory = |number| -> SharedMediaMut { Arc::new(MemMedia::new(&format!("d{number}"), vec![0; size])) };
        let array = running(level, (0..members).map(memory).collect());
        assert_eq!(host(&array), 0, "the host on memory, {level:?}");
        let file = |number| -> SharedMediaMut {
            let path = folder.path().join(format!("{level:?}-{number}"));
            std::fs::write(&path, vec![0; size]).unwrap();
            open_mut(&MediaSpec::parse(path.as_os_str()).unwrap()).unwrap().media
        };
        let array = running(level, (0..members).map(file).collect());
        assert_eq!(host(&array), 0, "the host on files, {level:?}");
        assert_eq!(array.checks().state, State::Resting);
    }
}
