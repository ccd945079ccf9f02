//! `kill -9` of `raid serve --write` under load: what was acknowledged and flushed is there, redundancy is right outside of the regions
//! that the log marks, and after the resync everywhere.
//!
//! `RAID_KILL9_ROUNDS` asks for more rounds of each case (`cargo xtask kill9`).
#![expect(clippy::unwrap_used, reason = "test code: a failed step is a failed test")]

mod check;
mod load;

use std::path::PathBuf;
use std::sync::atomic::Ordering;

use raid_testkit::known::Known;
use raid_testkit::served::raid_in;
use raid_user::media::Media as _;

use check::{Compared, Doubt, check_redundancy};
use load::{RAID, client, load_and_kill, serve};

const MEMBER_BYTES: usize = 4 << 20;

fn rounds() -> u64 {
    std::env::var("RAID_KILL9_ROUNDS").ok().map_or(2, |rounds| rounds.parse().unwrap())
}

fn killed(create: &str, members: usize) {
    let folder = tempfile::tempdir().unwrap();
    let names: Vec<String> = (0..members).map(|slot| format!("d{slot}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let disks: Vec<PathBuf> = names.iter().map(|name| folder.path().join(name)).collect();
    // DDF and IMSM take some of each disk for themselves.
    let own = if create.contains("ddf") {
        32 << 20
    } else if create.contains("imsm") {
        6 << 20
    } else {
        0
    };
    for (name, disk) in names.iter().zip(&disks) {
        std::fs::write(disk, vec![0; MEMBER_BYTES + own]).unwrap();
        std::fs::write(format!("{}.serial", disk.display()), name).unwrap();
    }
    let arguments = ["create", "--chunk", "64K", "--assume-clean"].into_iter().chain(create.split(' '));
    let made = raid_in(RAID, folder.path()).args(arguments.chain(names.iter().copied())).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let (mut seen, mut dirty) = (Compared::default(), 0);
    let mut served = serve(folder.path(), &names);
    let sectors = usize::try_from(client(folder.path()).size_bytes() / 512).unwrap();
    let known = Known::new(sectors);
    for round in 0..rounds() {
        load_and_kill(served, folder.path(), &known);
        let when = format!("{create}, round {round}, killed");
        dirty += u64::from(!matches!(Doubt::of(&disks), Doubt::Nothing));
        known.check(&check_redundancy(&disks, &mut seen, &when), &when);
        served = serve(folder.path(), &names);
        let mut content = vec![0; sectors * 512];
        client(folder.path()).read_at(0, &mut content).unwrap();
        known.check(&content, &format!("{when}, served again"));
        // Each second time, the next load comes while the resync runs.
        if round % 2 == 0 {
            let rebuilt = raid_in(RAID, folder.path()).args(["rebuild", "d0"]).output().unwrap();
            assert!(rebuilt.status.success(), "{}", String::from_utf8_lossy(&rebuilt.stderr));
            let (code, said) = served.stop();
            assert_eq!(code, 0, "{when}: {said}");
            let when = format!("{create}, round {round}, stopped");
            assert!(matches!(Doubt::of(&disks), Doubt::Nothing), "{when}");
            known.check(&check_redundancy(&disks, &mut seen, &when), &when);
            served = serve(folder.path(), &names);
        }
    }
    drop(served);
    let Compared { outside, inside_wrong } = seen;
    let (writes, flushes) = (known.writes.load(Ordering::Relaxed), known.flushes.load(Ordering::Relaxed));
    println!(
        "{create}: killed {} times, {dirty} times dirty; {writes} writes and {flushes} flushes acknowledged; {outside} sectors of members \
         right outside of all marks, {inside_wrong} wrong inside",
        rounds()
    );
}

macro_rules! cases {
    ($($name:ident: $create:literal, $members:literal;)*) => { $(#[test] fn $name() { killed($create, $members); })* };
}

cases! {
    raid1: "--level 1 --bitmap none", 2;
    raid1_with_a_bitmap: "--level 1 --bitmap-chunk 64K", 3;
    raid5: "--level 5 --bitmap none", 3;
    raid5_with_a_bitmap: "--level 5 --bitmap-chunk 64K", 4;
    raid6: "--level 6 --bitmap none", 4;
    raid6_with_a_bitmap: "--level 6 --bitmap-chunk 64K", 5;
    raid10: "--level 10 --bitmap none", 4;
    raid10_with_a_bitmap: "--level 10 --bitmap-chunk 64K", 4;
    ddf_raid5: "--level 5 --format ddf", 3;
    imsm_raid5: "--level 5 --format imsm", 3;
}
