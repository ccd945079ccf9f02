//! dm-raid without LVM, both ways with dmsetup: made by Linux from a line of a table, read, broken, filled and written to by us through the
//! same line, checked and written to by Linux again; and ours killed in the middle of writes.

use std::path::{Path, PathBuf};

use libtest_mimic::Trial;
use raid_testkit::fixtures::sha256;
use raid_testkit::known::Known;
use raid_testkit::served::raid_in;
use raid_testkit::{pattern, tool, uml};
use raid_user::media::{Media as _, MediaMut as _};

use crate::load::{RAID, client, load_and_kill, serve};
use crate::said;

/// Without udev, which nobody runs there.
const PRELUDE: &str = "modprobe -d /tmp/modules -a dm-mod dm-raid 2>&1
idle() { i=0; while [ $i -lt 100 ] && ! dmsetup status x | grep -q ' idle '; do sleep 0.2; i=$((i+1)); done; }
make() { dmsetup create x --noudevsync --noudevrules --table \"$1\" 2>&1; dmsetup mknodes x 2>&1; sleep 0.3; idle; }
write() { dd if=$(command -v mdadm) of=/dev/mapper/x bs=1000 count=300 seek=$1 conv=notrunc,fsync 2>/dev/null; }
tell() { dmsetup message x 0 check 2>&1; sleep 0.3; idle; dmsetup status x
echo HEALTH $(dmsetup status x | cut -d' ' -f6); echo MISMATCHES $(dmsetup status x | cut -d' ' -f9)
echo CONTENT $(sha256sum < /dev/mapper/x | cut -d' ' -f1); }
";
/// Bytes of an image and of its metadata.
const SIZES: [usize; 2] = [10 << 20, 1 << 20];
/// Sectors used of an image.
const USED: usize = 16384;

/// What stands in a line, and how many devices' worth of data it has.
#[derive(Clone, Copy)]
struct Case {
    kind: &'static str,
    parameters: &'static str,
    devices: usize,
    data: usize,
}

/// Its devices in their folder, and the line in a file.
struct Devices {
    case: Case,
    folder: tempfile::TempDir,
}

impl Devices {
    fn new(case: Case) -> Self {
        let devices = Self { case, folder: tempfile::tempdir().unwrap() };
        for (number, path) in (0_u64..).zip(devices.paths()) {
            let bytes = match number % 2 {
                // Images full of what no array wrote, so that no redundancy is right; metadata that were never filled.
                1 => pattern::sectors(1 + number * 100_000, SIZES[0] / 512),
                _ => vec![0; SIZES[1]],
            };
            std::fs::write(path, bytes).unwrap();
        }
        std::fs::write(devices.folder().join("table"), devices.line(|slot| format!("m{slot} i{slot}"))).unwrap();
        let lost = devices.line(|slot| if slot == 1 { "- -".into() } else { format!("m{slot} i{slot}") });
        std::fs::write(devices.folder().join("degraded"), lost).unwrap();
        devices
    }

    fn folder(&self) -> &Path {
        self.folder.path()
    }

    fn paths(&self) -> Vec<PathBuf> {
        let pair = |slot| [format!("m{slot}"), format!("i{slot}")];
        (0..self.case.devices).flat_map(pair).map(|name| self.folder().join(name)).collect()
    }

    fn line(&self, pair: impl Fn(usize) -> String) -> String {
        let Case { kind, parameters, devices, data } = self.case;
        let pairs: Vec<String> = (0..devices).map(pair).collect();
        format!("0 {} raid {kind} {parameters} {devices} {}", data * USED, pairs.join(" "))
    }

    /// The same for the guest.
    fn make(&self) -> String {
        let letter = |number: usize| ('b'..).nth(number).unwrap();
        let pair = |slot| format!("/dev/ubd{} /dev/ubd{}", letter(2 * slot), letter(2 * slot + 1));
        format!("make '{}'", self.line(pair))
    }

    fn raid(&self, line: &str) -> Vec<u8> {
        let ran = raid_in(RAID, self.folder()).args(line.split_whitespace()).output().unwrap();
        assert!(ran.status.success(), "raid {line}: {}", String::from_utf8_lossy(&ran.stderr));
        ran.stdout
    }

    fn uml(&self, script: &str) -> Option<String> {
        uml::run(self.folder(), &format!("{PRELUDE}{}\n{script}\ndmsetup remove x 2>&1", self.make()), &self.paths())
    }

    /// All is right for Linux, and it holds this.
    fn linux_agrees(&self, content: &[u8]) {
        let script = "tell; write 777; echo AFTER $(sha256sum < /dev/mapper/x | cut -d' ' -f1)";
        let Some(guest) = self.uml(script) else { return };
        assert_eq!(
            (said(&guest, "HEALTH"), said(&guest, "MISMATCHES")),
            (&*"A".repeat(self.case.devices), "0"),
            "{guest}"
        );
        assert_eq!(said(&guest, "CONTENT"), sha256(content), "{guest}");
        for table in ["table", "degraded"] {
            assert_eq!(said(&guest, "AFTER"), sha256(self.raid(&format!("cat --table {table}"))), "{table}: {guest}");
        }
    }
}

impl Case {
    fn there_and_back(self) {
        if tool("dmsetup").is_none() {
            return;
        }
        let devices = Devices::new(self);
        let Some(guest) = devices.uml("write 33; tell") else { return };
        for table in ["table", "degraded"] {
            let read = devices.raid(&format!("cat --table {table}"));
            assert_eq!(said(&guest, "CONTENT"), sha256(&read), "{table}: {guest}");
        }
        let served = serve(devices.folder(), &["--table", "table"]);
        let writer = client(devices.folder());
        let known = Known::new(usize::try_from(writer.size_bytes() / 512).unwrap());
        known.write(100, 5, |at, bytes| writer.write_at(at, bytes)).unwrap();
        devices.raid("fail --slot 1 --table table");
        known.write(0, known.sectors(), |at, bytes| writer.write_at(at, bytes)).unwrap();
        devices.raid("add --new i1 --table table");
        known.write(1000, 77, |at, bytes| writer.write_at(at, bytes)).unwrap();
        drop(writer);
        assert_eq!(served.stop().0, 0);
        let ours = devices.raid("cat --table table");
        known.check(&ours, "filled by us");
        devices.linux_agrees(&ours);

        let served = serve(devices.folder(), &["--table", "table"]);
        let writer = client(devices.folder());
        known.write(0, known.sectors(), |at, bytes| writer.write_at(at, bytes)).unwrap();
        known.flush(|| writer.flush()).unwrap();
        drop(writer);
        load_and_kill(served, devices.folder(), &known);
        let killed = devices.raid("cat --table table");
        known.check(&killed, "killed");
        // Linux synchronises by our bits.
        let Some(guest) = devices.uml("tell") else { return };
        assert_eq!((said(&guest, "HEALTH"), said(&guest, "MISMATCHES")), (&*"A".repeat(self.devices), "0"), "{guest}");
        let content = devices.raid("cat --table table");
        assert_eq!(said(&guest, "CONTENT"), sha256(&content), "{guest}");
        known.check(&content, "synchronised by Linux");
        devices.raid("check --table table");
    }
}

/// One always, the others if `all` are asked for.
pub(crate) fn trials(all: bool) -> Vec<Trial> {
    let five = Case { kind: "raid5_ls", parameters: "3 128 region_size 1024", devices: 3, data: 2 };
    let cases = [
        five,
        Case { kind: "raid1", parameters: "3 0 region_size 1024", devices: 2, data: 1 },
        Case { kind: "raid6_zr", devices: 5, data: 3, ..five },
        Case { kind: "raid10", devices: 4, data: 2, ..five },
    ];
    let chosen = cases.into_iter().filter(|case| all || case.kind == five.kind);
    let trial = |case: Case| {
        let test = move || {
            case.there_and_back();
            Ok(())
        };
        Trial::test(format!("dm_raid_by_its_table_there_and_back_{}", case.kind), test)
    };
    chosen.map(trial).collect()
}
