//! A guest's file system read through a degraded array: made by mkfs.ext4, laid over members, served without some of them, fetched over
//! NBD by nbdcopy, checked by e2fsck, and its files compared.
#![expect(clippy::unwrap_used, reason = "test code: a failed step is a failed test")]

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use raid_core::{FarSets, Level, Raid5Layout, Raid6Layout, Raid10Layout, Sectors};
use raid_formats::md::Version;
use raid_formats::record::{Name, Uuid};
use raid_testkit::tool;
use raid_user::array::{Array, OpenOptions};
use raid_user::discover::Found;
use raid_user::make::Plan;
use raid_user::media::{Media, MemMedia};
use raid_user::nbd::{Address, ServeOptions, Target, serve};

fn run(program: &Path, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{program:?} {arguments:?}: {text}{}", String::from_utf8_lossy(&output.stderr));
    text
}

fn plan(level: Level, members: u8) -> Plan {
    let (array, name) = (Uuid([9; 16]), Name([0; 32]));
    Plan { version: Version::V1_2, level, members, chunk: Sectors(128), member_bytes: 12 << 20, array, name }
}

/// The members that are left of an array that holds `image`.
fn members(plan: &Plan, image: &[u8], lost: &[u8]) -> Vec<Found> {
    let fill = |at: raid_core::Sector| {
        let start = usize::try_from(at.0 * 512).unwrap();
        image.get(start..start + 512).map_or([0; 512], |sector| sector.try_into().unwrap())
    };
    let left = (0..plan.members).filter(|slot| !lost.contains(slot));
    let make = |slot| {
        let medium = MemMedia::new("member", vec![0; 12 << 20]);
        plan.make(slot, &medium, &fill).unwrap();
        Found::inspect(&format!("member {slot}"), Arc::new(medium)).unwrap()
    };
    left.map(make).collect()
}

#[test]
fn an_ext4_on_degraded_arrays_reads_back_clean_over_nbd() {
    let (Some(mkfs), Some(fsck)) = (tool("mkfs.ext4"), tool("e2fsck")) else { return };
    let (Some(debugfs), Some(nbdcopy)) = (tool("debugfs"), tool("nbdcopy")) else { return };
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    fs::create_dir_all(folder.path().join("tree/docs")).unwrap();
    let letter: String = (0..40_000).map(|line| format!("line {line}\n")).collect();
    fs::write(folder.path().join("tree/docs/letter.txt"), &letter).unwrap();
    let near = Raid10Layout { near: 2, far: 1, offset: false, sets: FarSets::All };
    let cases: [(Level, u8, &[u8]); 3] = [
        (Level::Raid5(Raid5Layout::LeftSymmetric), 3, &[1]),
        (Level::Raid6(Raid6Layout::LeftSymmetric), 5, &[0, 3]),
        (Level::Raid10(near), 4, &[1, 2]),
    ];
    for (level, count, lost) in cases {
        let plan = plan(level, count);
        let size = plan.geometry().unwrap().array_size().0 * 512;
        let image = path("image");
        fs::File::create(&image).unwrap().set_len(size).unwrap();
        run(&mkfs, &["-q", "-F", "-d", &path("tree"), &image]);
        let found = members(&plan, &fs::read(&image).unwrap(), lost);

        let array = Array::open(found, &OpenOptions::default()).unwrap();
        assert_eq!(array.size_bytes(), size);
        let options = ServeOptions::new(Address::Unix(folder.path().join("socket")));
        let running = serve(Target::ReadOnly(Arc::new(array)), options).unwrap();
        let out = path("out");
        run(&nbdcopy, &[&running.uri(), &out]);
        running.stop();
        assert!(fs::read(&image).unwrap() == fs::read(&out).unwrap(), "{level:?}");
        run(&fsck, &["-f", "-n", &out]);
        assert_eq!(run(&debugfs, &["-R", "cat /docs/letter.txt", &out]), letter);
        fs::remove_file(&out).unwrap();
    }
}
