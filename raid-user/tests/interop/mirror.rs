//! LVM's mirrors, both ways with LVM and dm-mirror: made by Linux with a log on a disk, written to by us and killed, synchronised by
//! Linux by what our log says; Linux killed, and we go on; a leg that we lost, caught up by Linux. And striped and linear volumes, which
//! have no log.

use std::path::{Path, PathBuf};

use libtest_mimic::Trial;
use raid_testkit::fixtures::sha256;
use raid_testkit::known::Known;
use raid_testkit::served::raid_in;
use raid_testkit::{tool, uml};
use raid_user::media::{Media as _, MediaMut as _};

use crate::load::{RAID, client, load_and_kill, serve};
use crate::lvm::{PRELUDE, UNTIL_KILLED};
use crate::said;

/// Bytes in front of what physical volumes hold.
const HEAD: usize = 1 << 20;
/// Bytes of the volume.
const LEN: usize = 16 << 20;
/// Bytes of a region.
const REGION: usize = 512 << 10;
/// Waits until a mirror is synchronised, and tells what it holds.
const MIRROR: &str = "modprobe -d /tmp/modules -a dm-log dm-region-hash dm-mirror 2>&1
differs() { ! dmsetup status vg-lv | grep -qE ' ([0-9]+)/\\1 '; }
even() { dmsetup status vg-lv | grep -q ' mirror ' || return; i=0
while [ $i -lt 100 ] && differs; do sleep 0.2; i=$((i+1)); done; dmsetup status vg-lv; }
show() { even; echo CONTENT $(sha256sum < /dev/mapper/vg-lv | cut -d' ' -f1); }
";

struct Disks {
    folder: tempfile::TempDir,
}

impl Disks {
    /// A group with the volume, made by Linux with these arguments; nothing if there is no guest.
    fn new(arguments: &str) -> Option<Self> {
        tool("lvm")?;
        let disks = Self { folder: tempfile::tempdir().unwrap() };
        for path in disks.paths() {
            std::fs::write(path, vec![0; 24 << 20]).unwrap();
        }
        let guest = disks.uml(&format!(
            "lvm vgcreate vg /dev/ubdb /dev/ubdc /dev/ubdd 2>&1; lvm lvcreate -y {arguments} -L {LEN}b -n lv vg 2>&1
write 33; show; lvm vgchange -an vg 2>&1"
        ))?;
        assert_eq!(said(&guest, "CONTENT"), sha256(disks.content()), "{guest}");
        Some(disks)
    }

    fn paths(&self) -> Vec<PathBuf> {
        (0..3).map(|disk| self.folder().join(format!("d{disk}"))).collect()
    }

    fn folder(&self) -> &Path {
        self.folder.path()
    }

    fn raid(&self, line: &str) -> Vec<u8> {
        let arguments = line.split_whitespace().chain(["--volume", "vg/lv", "d0", "d1", "d2"]);
        let ran = raid_in(RAID, self.folder()).args(arguments).output().unwrap();
        assert!(ran.status.success(), "raid {line}: {}", String::from_utf8_lossy(&ran.stderr));
        ran.stdout
    }

    fn content(&self) -> Vec<u8> {
        self.raid("cat")
    }

    fn uml(&self, script: &str) -> Option<String> {
        uml::run(self.folder(), &format!("{PRELUDE}{MIRROR}{script}"), &self.paths())
    }

    /// A mirror's legs, which lie on the first two disks, and its log's bits, on the third.
    fn legs_and_bits(&self) -> (Vec<Vec<u8>>, Vec<u8>) {
        let mut disks: Vec<Vec<u8>> =
            self.paths().iter().map(|path| std::fs::read(path).unwrap()[HEAD..].to_vec()).collect();
        let bits = disks.pop().unwrap()[1024..1024 + LEN / REGION / 8].to_vec();
        disks.iter_mut().for_each(|leg| leg.truncate(LEN));
        (disks, bits)
    }

    /// The legs differ nowhere but in regions whose bit is clear; how many those are.
    fn check_log(&self, when: &str) -> u32 {
        let (legs, bits) = self.legs_and_bits();
        for (region, (one, two)) in legs[0].chunks(REGION).zip(legs[1].chunks(REGION)).enumerate() {
            assert!(
                one == two || bits[region / 8] >> (region % 8) & 1 == 0,
                "{when}: region {region} differs, and its bit is set"
            );
        }
        bits.iter().map(|byte| byte.count_zeros()).sum()
    }

    /// Serves the volume, writes all of it, and what else `then` does.
    fn served(&self, kill: bool, then: impl FnOnce(&Known)) -> Known {
        let served = serve(self.folder(), &["--volume", "vg/lv", "d0", "d1", "d2"]);
        let writer = client(self.folder());
        let known = Known::new(usize::try_from(writer.size_bytes() / 512).unwrap());
        known.write(0, known.sectors(), |at, bytes| writer.write_at(at, bytes)).unwrap();
        then(&known);
        known.write(1000, 77, |at, bytes| writer.write_at(at, bytes)).unwrap();
        known.flush(|| writer.flush()).unwrap();
        drop(writer);
        if kill {
            load_and_kill(served, self.folder(), &known);
        } else {
            assert_eq!(served.stop().0, 0);
        }
        known
    }

    /// Linux synchronises what is to be, and finds this content; then the legs are alike.
    fn linux_agrees(&self, known: Option<&Known>, when: &str) -> Option<()> {
        let before = self.content();
        let guest = self.uml(
            "lvm vgchange -ay vg 2>&1; show; write 777; echo AFTER $(sha256sum < /dev/mapper/vg-lv | cut -d' ' -f1)
lvm vgchange -an vg 2>&1",
        )?;
        assert_eq!(said(&guest, "CONTENT"), sha256(&before), "{when}: {guest}");
        if let Some(known) = known {
            known.check(&before, when);
        }
        assert_eq!(said(&guest, "AFTER"), sha256(self.content()), "{when}: {guest}");
        Some(())
    }

    fn legs_are_alike(&self, when: &str) {
        let (legs, _) = self.legs_and_bits();
        assert!(legs[0] == legs[1], "{when}");
        assert_eq!(self.check_log(when), 0, "{when}: all regions agree");
    }
}

/// Ours is killed in the middle of writes; Linux synchronises by our log. Then we lose a leg, and Linux catches it up.
fn mirror_ours_killed() {
    let Some(disks) = Disks::new("--type mirror -m 1 --mirrorlog disk --regionsize 512k") else { return };
    disks.legs_are_alike("made by Linux");
    let known = disks.served(true, |_| ());
    let dirty = disks.check_log("killed");
    assert!(dirty > 0, "it was killed in the middle of writes");
    let Some(()) = disks.linux_agrees(Some(&known), "killed") else { return };
    disks.legs_are_alike("synchronised by Linux");

    let known = disks.served(false, |_| {
        disks.raid("fail --slot 1");
    });
    assert!(disks.check_log("a leg lost") > 0);
    let Some(()) = disks.linux_agrees(Some(&known), "a leg lost") else { return };
    disks.legs_are_alike("a leg caught up by Linux");

    let known = disks.served(false, |_| {
        disks.raid("fail --slot 1");
        disks.raid("remove --slot 1");
        disks.raid("add --new vg/lv_mimage_1");
    });
    disks.legs_are_alike("filled by us");
    let Some(()) = disks.linux_agrees(Some(&known), "filled by us") else { return };
    disks.raid("check");
}

/// Linux is killed in the middle of writes; we synchronise by its log.
fn mirror_linux_killed() {
    let Some(disks) = Disks::new("--type mirror -m 1 --mirrorlog disk --regionsize 512k") else { return };
    let script = format!(
        "{PRELUDE}{MIRROR}lvm vgchange -ay vg 2>&1; even; md=/dev/mapper/vg-lv
{UNTIL_KILLED}"
    );
    let Some(guest) = uml::run_and_kill(disks.folder(), &script, &disks.paths(), "KILL") else { return };
    // dm-mirror sets a bit again as soon as its region has no write under way, so how many are clear is chance.
    disks.check_log(&guest);
    let left = disks.content();
    assert_eq!(sha256(&left[..524_288]), said(&guest, "FLUSHED"));
    disks.raid("rebuild");
    assert!(disks.content() == left, "{guest}");
    disks.legs_are_alike("synchronised by us");
}

/// Volumes without redundancy: what we write is what Linux reads.
fn plain(arguments: &str) {
    let Some(disks) = Disks::new(arguments) else { return };
    let known = disks.served(false, |_| ());
    disks.linux_agrees(Some(&known), arguments);
}

/// One always, the others if `all` are asked for.
pub(crate) fn trials(all: bool) -> Vec<Trial> {
    let runs: [(&str, fn(), bool); 4] = [
        ("ours_killed_lvm_mirror", mirror_ours_killed, true),
        ("linux_killed_lvm_mirror", mirror_linux_killed, false),
        ("there_and_back_lvm_striped", || plain("--type striped -i 3 -I 64k"), false),
        ("there_and_back_lvm_linear", || plain("--type linear"), false),
    ];
    let chosen = runs.into_iter().filter(|(.., always)| all || *always);
    let trial = |(name, run, _): (&str, fn(), bool)| {
        Trial::test(name, move || {
            run();
            Ok(())
        })
    };
    chosen.map(trial).collect()
}
