//! Arrays whose write hole a log closes, both ways with Linux: killed by it with the log in use, replayed onto the members and written to
//! by us; then Linux finds the log empty, nothing that disagrees, and uses it again; killed again, and killed by us, Linux synchronises.

use std::path::{Path, PathBuf};

use libtest_mimic::Trial;
use raid_testkit::fixtures::sha256;
use raid_testkit::known::Known;
use raid_testkit::served::raid_in;
use raid_testkit::{pattern, uml};
use raid_user::media::{Media as _, MediaMut as _};

use crate::load::{RAID, client, load_and_kill, serve};
use crate::said;

/// What the guest needs for IMSM, and what all of them do. A started array waits with its resync for the first write.
const PRELUDE: &str = "export MDADM_NO_SYSTEMCTL=1 IMSM_NO_PLATFORM=1 IMSM_DEVNAME_AS_SERIAL=1
volume() { sed -n 's/^\\(md[0-9]*\\) : active.*/\\1/p' /proc/mdstat; }
tell() { md=$(volume); cat /proc/mdstat; mdadm --detail /dev/$md; dmesg | grep -i 'raid\\|ppl\\|journal' | tail -n 20
echo POLICY $(cat /sys/block/$md/md/consistency_policy); echo CONTENT $(sha256sum < /dev/$md | cut -d' ' -f1)
dd if=/dev/$md of=/tmp/first bs=4096 count=1 2>/dev/null; dd if=/tmp/first of=/dev/$md bs=4096 conv=notrunc,fsync 2>/dev/null
sleep 0.5; settle; echo check > /sys/block/$md/md/sync_action; sleep 0.3; settle
echo MISMATCHES $(cat /sys/block/$md/md/mismatch_cnt); echo DEGRADED $(cat /sys/block/$md/md/degraded); }
load() { md=$(volume); dd if=$(command -v mdadm) of=/dev/$md bs=64k count=8 conv=notrunc,fsync 2>/dev/null
for worker in 1 2 3; do while :; do
dd if=/dev/urandom of=/dev/$md bs=12k count=4 conv=notrunc oflag=direct seek=$((RANDOM % 120 + 50)) 2>/dev/null
done & done; sleep 0.5; echo KILL; sleep 30; }
finish() { mdadm --wait-clean --scan; sync; sleep 0.3; mdadm --stop /dev/$(volume) 2>&1
[ ! -e /dev/md127 ] || mdadm --stop /dev/md127 2>&1; }
";

/// Bytes of a disk.
const DISK_BYTES: usize = 16 << 20;
/// Members with a slot.
const SLOTS: usize = 3;

/// What closes the write hole, of what.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Case {
    Ppl,
    Journal,
    ImsmPpl,
}

/// Its disks in their folder.
struct Disks {
    case: Case,
    folder: tempfile::TempDir,
    names: Vec<String>,
}

impl Disks {
    fn new(case: Case) -> Self {
        let count = SLOTS + usize::from(case == Case::Journal);
        let names = (0..count).map(|disk| format!("d{disk}")).collect();
        let disks = Self { case, folder: tempfile::tempdir().unwrap(), names };
        for (path, letter) in disks.paths().iter().zip('b'..) {
            std::fs::write(path, pattern::sectors(u64::from(letter) << 20, DISK_BYTES / 512)).unwrap();
            std::fs::write(format!("{}.serial", path.display()), format!("/dev/ubd{letter}")).unwrap();
        }
        disks
    }

    fn folder(&self) -> &Path {
        self.folder.path()
    }

    fn paths(&self) -> Vec<PathBuf> {
        self.names.iter().map(|name| self.folder().join(name)).collect()
    }

    /// What the tool calls them; first that it may run them without their log.
    fn arguments(&self) -> Vec<&str> {
        std::iter::once("--without-log").chain(self.names.iter().map(String::as_str)).collect()
    }

    fn content(&self) -> Vec<u8> {
        let ran = raid_in(RAID, self.folder()).arg("cat").args(&self.names).output().unwrap();
        assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
        ran.stdout
    }

    /// The script's line that has Linux make it of garbage.
    fn create(&self) -> &'static str {
        match self.case {
            Case::Ppl => {
                "mdadm -C /dev/md0 --run -e 1.2 -l 5 -n 3 --chunk=64 --consistency-policy=ppl /dev/ubdb /dev/ubdc /dev/ubdd 2>&1"
            }
            Case::Journal => {
                "mdadm -C /dev/md0 --run -e 1.2 -l 5 -n 3 --chunk=64 --write-journal /dev/ubde /dev/ubdb /dev/ubdc /dev/ubdd 2>&1"
            }
            Case::ImsmPpl => {
                "mdadm -C /dev/md127 --run -e imsm -n 3 /dev/ubdb /dev/ubdc /dev/ubdd 2>&1
mdadm -C /dev/md0 --run -l 5 -n 3 --chunk=64 --size=8192 --consistency-policy=ppl /dev/md127 2>&1"
            }
        }
    }

    /// The script's lines that have Linux assemble them; the twins are the disks behind them.
    fn assemble(&self, twins: bool) -> String {
        let skip = if twins { self.names.len() } else { 0 };
        let devices: String =
            ('b'..).skip(skip).take(self.names.len()).map(|letter| format!(" /dev/ubd{letter}")).collect();
        match self.case {
            Case::Ppl | Case::Journal => format!("mdadm --assemble /dev/md0 --run{devices} 2>&1"),
            Case::ImsmPpl => {
                format!("mdadm --assemble /dev/md127 -e imsm{devices} 2>&1\nmdadm --incremental /dev/md127 2>&1")
            }
        }
    }

    fn uml(&self, script: &str, disks: &[PathBuf]) -> Option<String> {
        uml::run(self.folder(), &format!("{PRELUDE}{script}"), disks)
    }

    fn uml_killed(&self, script: &str) -> Option<String> {
        uml::run_and_kill(self.folder(), &format!("{PRELUDE}{script}"), &self.paths(), "KILL")
    }
}

impl Case {
    const fn policy(self) -> &'static str {
        match self {
            Self::Ppl | Self::ImsmPpl => "ppl",
            Self::Journal => "journal",
        }
    }

    /// The whole way.
    fn killed_and_back(self) {
        let disks = Disks::new(self);
        // Data stay in the journal until there is need: acknowledged writes are there alone.
        let write_back = "[ ! -e /dev/ubde ] || echo write-back > /sys/block/md0/md/journal_mode";
        let script = format!("{}\nsleep 0.5; settle; {write_back}\nload", disks.create());
        let Some(guest) = disks.uml_killed(&script) else { return };
        let replayed = disks.content();
        let twins: Vec<PathBuf> = match self {
            // A copy's serial numbers would be wrong.
            Self::ImsmPpl => Vec::new(),
            Self::Ppl | Self::Journal => disks.paths().iter().map(|path| path.with_extension("twin")).collect(),
        };
        for (path, twin) in disks.paths().iter().zip(&twins) {
            std::fs::copy(path, twin).unwrap();
        }
        let served = serve(disks.folder(), &disks.arguments());
        let writer = client(disks.folder());
        let known = Known::new(usize::try_from(writer.size_bytes() / 512).unwrap());
        let mut read = vec![0; replayed.len()];
        writer.read_at(0, &mut read).unwrap();
        assert!(read == replayed, "served as it was read: {guest}");
        known.write(100, 2000, |at, bytes| writer.write_at(at, bytes)).unwrap();
        drop(writer);
        let (code, complaint) = served.stop();
        assert_eq!(code, 0, "{complaint}");
        let ours = disks.content();
        let edges = (100 * 512, 2100 * 512);
        assert!(ours[..edges.0] == replayed[..edges.0] && ours[edges.1..] == replayed[edges.1..], "{guest}");

        // Linux's own recovery of the twins, then what we made of the same.
        let twin = match twins.is_empty() {
            true => String::new(),
            false => format!(
                "{}\necho TWIN $(sha256sum < /dev/md0 | cut -d' ' -f1); mdadm --stop /dev/md0 2>&1",
                disks.assemble(true)
            ),
        };
        let script = format!("{twin}\n{}\ntell; load", disks.assemble(false));
        let all: Vec<PathBuf> = disks.paths().into_iter().chain(twins.iter().cloned()).collect();
        let script = format!("{PRELUDE}{script}");
        let Some(guest) = uml::run_and_kill(disks.folder(), &script, &all, "KILL") else { return };
        assert!(twins.is_empty() || said(&guest, "TWIN") == sha256(&replayed), "{guest}");
        assert_eq!(said(&guest, "CONTENT"), sha256(&ours), "{guest}");
        assert_eq!((said(&guest, "MISMATCHES"), said(&guest, "DEGRADED")), ("0", "0"), "{guest}");
        assert_eq!(said(&guest, "POLICY"), self.policy(), "{guest}");

        // Killed with its log in use again; we replay that, and are killed without one.
        let served = serve(disks.folder(), &disks.arguments());
        let known = Known::new(usize::try_from(client(disks.folder()).size_bytes() / 512).unwrap());
        let writer = client(disks.folder());
        known.write(0, known.sectors(), |at, bytes| writer.write_at(at, bytes)).unwrap();
        known.flush(|| writer.flush()).unwrap();
        drop(writer);
        load_and_kill(served, disks.folder(), &known);
        let left = match self {
            Self::Journal => Vec::new(),
            Self::Ppl | Self::ImsmPpl => disks.content(),
        };
        let Some(guest) = disks.uml(&format!("{}\ntell; finish", disks.assemble(false)), &disks.paths()) else {
            return;
        };
        assert_eq!((said(&guest, "MISMATCHES"), said(&guest, "DEGRADED")), ("0", "0"), "{guest}");
        // An empty journal that is no more than one event behind is taken back at once (kernel `raid5-cache.c`, `r5l_init_log`).
        assert!(self == Self::Journal || said(&guest, "POLICY") == "resync", "{guest}");
        let content = disks.content();
        assert_eq!(said(&guest, "CONTENT"), sha256(&content), "{guest}");
        known.check(&content, "killed by us, synchronised by Linux");
        assert!(self == Self::Journal || left == content, "{guest}");
    }
}

/// One always, the others if `all` are asked for.
pub(crate) fn trials(all: bool) -> Vec<Trial> {
    let cases = [("md_ppl", Case::Ppl), ("md_journal", Case::Journal), ("imsm_ppl", Case::ImsmPpl)];
    let chosen = cases.into_iter().filter(|(_, case)| all || *case == Case::Journal);
    let trial = |(name, case): (&str, Case)| {
        let test = move || {
            case.killed_and_back();
            Ok(())
        };
        Trial::test(format!("killed_with_a_log_and_back_{name}"), test)
    };
    chosen.map(trial).collect()
}
