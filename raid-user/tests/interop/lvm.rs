//! RAID volumes of LVM, both ways with LVM and dm-raid: made by Linux, broken, filled and written to by us, checked and written to by Linux
//! again; and ours killed in the middle of writes.

use std::path::{Path, PathBuf};

use libtest_mimic::Trial;
use raid_testkit::fixtures::sha256;
use raid_testkit::known::Known;
use raid_testkit::served::raid_in;
use raid_testkit::{tool, uml};
use raid_user::media::{Media as _, MediaMut as _};
use sha2::{Digest as _, Sha256};

use crate::load::{RAID, client, load_and_kill, serve};
use crate::said;

/// Half a MiB that is flushed and told, and then writes without end behind it; the power fails at `KILL`.
pub(crate) const UNTIL_KILLED: &str = "dd if=$(command -v mdadm) of=$md bs=64k count=8 conv=notrunc,fsync 2>/dev/null
echo FLUSHED $(head -c 524288 $md | sha256sum | cut -d' ' -f1)
random() { dd if=/dev/urandom of=$md bs=32k count=4 conv=notrunc oflag=direct seek=$((RANDOM % 60 + 20)) 2>/dev/null; }
for worker in 1 2 3; do while :; do random; done & done
sleep 0.4; echo KILL; sleep 30";

/// LVM without udev, files in `/etc` and daemons; and what a volume holds.
pub(crate) const PRELUDE: &str = "modprobe -d /tmp/modules -a dm-mod dm-raid 2>&1
mkdir -p /tmp/lvm; export LVM_SYSTEM_DIR=/tmp/lvm
cat > /tmp/lvm/lvm.conf <<END
devices { dir=\"/dev\" scan=[\"/dev\"] obtain_device_list_from_udev=0 use_devicesfile=0 }
global { locking_dir=\"/tmp/lvm\" event_activation=0 }
activation { udev_sync=0 udev_rules=0 monitoring=0 }
backup { backup=0 archive=0 }
END
idle() { i=0; while [ $i -lt 100 ] && ! dmsetup status vg-lv | grep -q ' idle '; do sleep 0.2; i=$((i+1)); done; }
tell() { idle; lvm lvchange --syncaction check vg/lv 2>&1; sleep 0.3; idle
echo MISMATCHES $(lvm lvs --noheadings -o raid_mismatch_count vg/lv); echo HEALTH $(dmsetup status vg-lv | cut -d' ' -f6)
echo CONTENT $(sha256sum < /dev/mapper/vg-lv | cut -d' ' -f1); }
write() { dd if=$(command -v mdadm) of=/dev/mapper/vg-lv bs=1000 count=300 seek=$1 conv=notrunc,fsync 2>/dev/null; }
";

/// A case by its name, and whether every whole run does it.
type Run = (&'static str, fn(Case), bool);

/// A volume to try.
#[derive(Clone, Copy)]
struct Case {
    level: &'static str,
    /// What `lvcreate` wants to know of its width.
    width: &'static str,
    devices: usize,
}

/// Its physical volumes in their folder.
struct Disks {
    case: Case,
    folder: tempfile::TempDir,
}

impl Disks {
    /// A group with the volume, made by Linux; nothing if there is no guest.
    fn new(case: Case) -> Option<Self> {
        tool("lvm")?;
        let disks = Self { case, folder: tempfile::tempdir().unwrap() };
        disks.paths().iter().for_each(|path| std::fs::write(path, vec![0; 32 << 20]).unwrap());
        let devices: String = ('b'..).take(case.devices).map(|letter| format!(" /dev/ubd{letter}")).collect();
        let Case { level, width, .. } = case;
        let script = format!(
            "lvm vgcreate vg{devices} 2>&1; lvm lvcreate -y --type {level} {width} -L 16M -n lv vg 2>&1
write 33; tell; lvm vgchange -an vg 2>&1"
        );
        let guest = disks.uml(&script)?;
        assert_eq!(said(&guest, "CONTENT"), sha256(disks.content(&[])), "{guest}");
        Some(disks)
    }

    fn paths(&self) -> Vec<PathBuf> {
        (0..self.case.devices).map(|disk| self.folder().join(format!("d{disk}"))).collect()
    }

    fn folder(&self) -> &Path {
        self.folder.path()
    }

    fn names(&self, lost: &[usize]) -> Vec<String> {
        (0..self.case.devices).filter(|disk| !lost.contains(disk)).map(|disk| format!("d{disk}")).collect()
    }

    fn raid(&self, line: &str, lost: &[usize]) -> Vec<u8> {
        let names = self.names(lost);
        let arguments = line.split_whitespace().chain(["--volume", "vg/lv"]).chain(names.iter().map(String::as_str));
        let ran = raid_in(RAID, self.folder()).args(arguments).output().unwrap();
        assert!(ran.status.success(), "raid {line}: {}", String::from_utf8_lossy(&ran.stderr));
        ran.stdout
    }

    fn content(&self, lost: &[usize]) -> Vec<u8> {
        self.raid("cat", lost)
    }

    fn uml(&self, script: &str) -> Option<String> {
        uml::run(self.folder(), &format!("{PRELUDE}{script}"), &self.paths())
    }

    /// Every disk alone can be lost, and the content is this.
    fn check(&self, sum: &str, when: &str) {
        for lost in 0..self.case.devices {
            assert_eq!(sum, sha256(self.content(&[lost])), "without {lost}: {when}");
        }
    }

    /// LVM's text and label of each disk.
    fn text(&self) -> Vec<[u8; 32]> {
        let head = |path: PathBuf| Sha256::digest(&std::fs::read(path).unwrap()[..1 << 20]).into();
        self.paths().into_iter().map(head).collect()
    }
}

impl Case {
    /// We lose an image while clients write, and fill it in its place; Linux finds nothing that disagrees, and writes.
    fn there_and_back(self) {
        let Some(disks) = Disks::new(self) else { return };
        let text = disks.text();
        let names = disks.names(&[]);
        let members: Vec<&str> = ["--volume", "vg/lv"].into_iter().chain(names.iter().map(String::as_str)).collect();
        let served = serve(disks.folder(), &members);
        let writer = client(disks.folder());
        let known = Known::new(usize::try_from(writer.size_bytes() / 512).unwrap());
        known.write(100, 5, |at, bytes| writer.write_at(at, bytes)).unwrap();
        disks.raid("fail --slot 1", &[]);
        known.write(0, known.sectors(), |at, bytes| writer.write_at(at, bytes)).unwrap();
        disks.raid("remove --slot 1", &[]);
        disks.raid("add --new vg/lv_rimage_1", &[]);
        known.write(1000, 77, |at, bytes| writer.write_at(at, bytes)).unwrap();
        drop(writer);
        assert_eq!(served.stop().0, 0);
        assert_eq!(disks.text(), text, "the text is LVM's");
        let ours = disks.content(&[]);
        known.check(&ours, "filled by us");
        disks.check(&sha256(&ours), "filled by us");
        let script = "lvm vgchange -ay vg 2>&1; tell; write 777
echo AFTER $(sha256sum < /dev/mapper/vg-lv | cut -d' ' -f1); lvm vgchange -an vg 2>&1";
        let Some(guest) = disks.uml(script) else { return };
        assert_eq!((said(&guest, "MISMATCHES"), said(&guest, "CONTENT")), ("0", &*sha256(&ours)), "{guest}");
        assert_eq!(said(&guest, "HEALTH"), "A".repeat(self.devices), "{guest}");
        disks.check(said(&guest, "AFTER"), &guest);
    }

    /// Ours is killed in the middle of writes; Linux synchronises by our bits, and what was flushed is there.
    fn ours_killed(self) {
        let Some(disks) = Disks::new(self) else { return };
        let names = disks.names(&[]);
        let members: Vec<&str> = ["--volume", "vg/lv"].into_iter().chain(names.iter().map(String::as_str)).collect();
        let served = serve(disks.folder(), &members);
        let known = Known::new(usize::try_from(client(disks.folder()).size_bytes() / 512).unwrap());
        let writer = client(disks.folder());
        known.write(0, known.sectors(), |at, bytes| writer.write_at(at, bytes)).unwrap();
        known.flush(|| writer.flush()).unwrap();
        drop(writer);
        load_and_kill(served, disks.folder(), &known);
        known.check(&disks.content(&[]), "killed");
        let script = "lvm vgchange -ay vg 2>&1; dmsetup status vg-lv; tell; lvm vgchange -an vg 2>&1";
        let Some(guest) = disks.uml(script) else { return };
        assert_eq!(said(&guest, "MISMATCHES"), "0", "{guest}");
        let content = disks.content(&[]);
        known.check(&content, "synchronised by Linux");
        assert_eq!(said(&guest, "CONTENT"), sha256(&content), "{guest}");
        disks.check(&sha256(&content), &guest);
    }

    /// Linux is killed in the middle of writes; we synchronise by its bits.
    fn linux_killed(self) {
        let Some(disks) = Disks::new(self) else { return };
        let script = format!(
            "{PRELUDE}lvm vgchange -ay vg 2>&1; idle; md=/dev/mapper/vg-lv
{UNTIL_KILLED}"
        );
        let Some(guest) = uml::run_and_kill(disks.folder(), &script, &disks.paths(), "KILL") else { return };
        let left = disks.content(&[]);
        assert_eq!(sha256(&left[..524_288]), said(&guest, "FLUSHED"));
        disks.raid("rebuild", &[]);
        assert!(disks.content(&[]) == left, "{guest}");
        disks.check(&sha256(&left), &guest);
    }
}

/// One always, the others if `all` are asked for.
pub(crate) fn trials(all: bool) -> Vec<Trial> {
    let cases = [
        Case { level: "raid1", width: "-m 1", devices: 2 },
        Case { level: "raid5", width: "-i 2", devices: 3 },
        Case { level: "raid6", width: "-i 3", devices: 5 },
        Case { level: "raid10", width: "-i 2 -m 1", devices: 4 },
    ];
    let mut trials = Vec::new();
    for case in cases {
        let runs: [Run; 3] = [
            ("there_and_back", Case::there_and_back, case.level == "raid5"),
            ("ours_killed", Case::ours_killed, false),
            ("linux_killed", Case::linux_killed, false),
        ];
        for (what, run, always) in runs {
            if all || always {
                let test = move || {
                    run(case);
                    Ok(())
                };
                trials.push(Trial::test(format!("{what}_lvm_{}", case.level), test));
            }
        }
    }
    trials
}
