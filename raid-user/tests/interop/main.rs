//! Both ways with a real Linux, as people do it: `raid create`, `serve --write`, `add`, killed and not, and md with mdadm in between.
//!
//! A representative part runs always; `RAID_INTEROP=all` (`cargo xtask interop`) runs every level in every version of the superblock, with
//! a bitmap and without.
#![expect(clippy::unwrap_used, reason = "test code: a failed step is a failed test")]

#[path = "../kill9/check.rs"]
mod check;
mod container;
mod dm;
#[path = "../kill9/load.rs"]
mod load;
mod log;
mod lvm;
mod mirror;
mod replace;

use std::path::{Path, PathBuf};

use libtest_mimic::{Arguments, Trial};
use raid_testkit::fixtures::sha256;
use raid_testkit::known::Known;
use raid_testkit::served::raid_in;
use raid_testkit::{mdadm, pattern, uml};
use raid_user::media::{Media as _, MediaMut as _};

use check::{Compared, Doubt, check_redundancy};
use load::{RAID, client, load_and_kill, serve};

const MEMBER_SECTORS: usize = 12288;

/// An array to try.
#[derive(Clone, Copy)]
struct Case {
    version: &'static str,
    level: &'static str,
    members: usize,
    bitmap: bool,
}

/// The members of a case in their folder.
struct Disks {
    folder: tempfile::TempDir,
    names: Vec<String>,
}

impl Disks {
    /// Members full of zeros, or of what no array wrote, so that no redundancy is right.
    fn new(case: Case, garbage: bool) -> Self {
        let (folder, names) =
            (tempfile::tempdir().unwrap(), (0..case.members).map(|slot| format!("d{slot}")).collect());
        let disks = Self { folder, names };
        for (slot, path) in (0_u64..).zip(disks.paths()) {
            let bytes = if garbage {
                pattern::sectors(1 + slot * 100_000, MEMBER_SECTORS)
            } else {
                vec![0; MEMBER_SECTORS * 512]
            };
            std::fs::write(path, bytes).unwrap();
        }
        let clean = if garbage { "" } else { " --assume-clean" };
        let bitmap = if case.bitmap { "--bitmap-chunk 64K" } else { "--bitmap none" };
        let create = format!("create --level {} --metadata {} --chunk 64K {bitmap}{clean}", case.level, case.version);
        disks.raid(&create, &disks.names());
        disks
    }

    fn names(&self) -> Vec<&str> {
        self.names.iter().map(String::as_str).collect()
    }

    fn paths(&self) -> Vec<PathBuf> {
        self.names.iter().map(|name| self.folder().join(name)).collect()
    }

    fn folder(&self) -> &Path {
        self.folder.path()
    }

    fn raid(&self, line: &str, members: &[&str]) -> Vec<u8> {
        let arguments = line.split_whitespace().chain(members.iter().copied());
        let ran = raid_in(RAID, self.folder()).args(arguments).output().unwrap();
        assert!(ran.status.success(), "raid {line}: {}", String::from_utf8_lossy(&ran.stderr));
        ran.stdout
    }

    fn content(&self) -> Vec<u8> {
        self.raid("cat", &self.names())
    }

    fn uml(&self, script: &str) -> Option<String> {
        uml::run(self.folder(), script, &self.paths())
    }

    /// As the guest calls them.
    fn devices(&self) -> String {
        ('b'..).zip(&self.names).map(|(letter, _)| format!(" /dev/ubd{letter}")).collect()
    }

    /// The script's line that has Linux assemble them.
    fn assemble(&self) -> String {
        format!("mdadm --assemble /dev/md0 --run{} 2>&1", self.devices())
    }
}

fn said<'a>(guest: &'a str, word: &str) -> &'a str {
    let line = guest.lines().find_map(|line| line.strip_prefix(word));
    line.unwrap_or_else(|| panic!("no {word} in: {guest}")).trim()
}

/// A started array waits with its resync for the first write; then all redundancy is compared.
const CHECK: &str = "if [ -e /sys/block/md0/md/sync_action ]; then
echo active > /sys/block/md0/md/array_state; sleep 0.3; settle
echo check > /sys/block/md0/md/sync_action; sleep 0.3; settle; fi
echo MISMATCHES $(cat /sys/block/md0/md/mismatch_cnt 2>/dev/null || echo 0)
echo MEMBERS $(grep -o '\\[[U_]*\\]' /proc/mdstat)
echo CONTENT $(sha256sum < /dev/md0 | cut -d' ' -f1)";

impl Case {
    fn redundant(self) -> bool {
        !matches!(self.level, "linear" | "0")
    }

    fn all_up(self) -> String {
        if self.redundant() { format!("[{}]", "U".repeat(self.members)) } else { String::new() }
    }

    /// Ours, written to by clients while it is synchronised; Linux takes it as clean, finds nothing that disagrees, and writes; it loses
    /// a member and writes again; we fill another; Linux finds nothing that disagrees.
    fn there_and_back(self) {
        let mut disks = Disks::new(self, self.redundant());
        let served = serve(disks.folder(), &disks.names());
        let writer = client(disks.folder());
        let known = Known::new(usize::try_from(writer.size_bytes() / 512).unwrap());
        let write = |at, bytes: &[u8]| writer.write_at(at, bytes);
        known.write(0, known.sectors(), write).unwrap();
        known.write(100, 5, write).unwrap();
        drop(writer);
        disks.raid("rebuild", &["d0"]);
        assert_eq!(served.stop().0, 0);
        let ours = disks.content();
        known.check(&ours, "stopped");
        let lose =
            "echo faulty > /sys/block/md0/md/dev-ubdc/state; sleep 0.2; echo remove > /sys/block/md0/md/dev-ubdc/state";
        let script = format!(
            "mdadm --examine{}; echo EXAMINED; {}\necho DETAIL; mdadm --detail /dev/md0; echo STATE $(cat /sys/block/md0/md/array_state)
echo SYNC $(cat /sys/block/md0/md/sync_action 2>/dev/null || echo idle)
{CHECK}
dd if=$(command -v mdadm) of=/dev/md0 bs=1000 count=300 seek=777 conv=notrunc,fsync 2>/dev/null
{}
dd if=$(command -v mdadm) of=/dev/md0 bs=1000 count=300 seek=1500 conv=notrunc,fsync 2>/dev/null
echo AFTER $(sha256sum < /dev/md0 | cut -d' ' -f1)
mdadm --stop /dev/md0 2>&1",
            disks.devices(),
            disks.assemble(),
            if self.redundant() { lose } else { ":" }
        );
        let Some(guest) = disks.uml(&script) else { return };
        self.mdadm_agrees(&guest);
        assert!(["clean", "read-auto", "active"].contains(&said(&guest, "STATE")), "{guest}");
        assert_eq!(said(&guest, "SYNC"), "idle", "nothing is left to synchronise: {guest}");
        assert_eq!((said(&guest, "MISMATCHES"), said(&guest, "MEMBERS")), ("0", &*self.all_up()), "{guest}");
        assert_eq!(said(&guest, "CONTENT"), sha256(&ours), "{guest}");
        if !self.redundant() {
            assert_eq!(said(&guest, "AFTER"), sha256(disks.content()), "{guest}");
            return;
        }
        let fresh = disks.folder().join("fresh");
        std::fs::write(fresh, pattern::sectors(900_000, MEMBER_SECTORS)).unwrap();
        disks.raid("add --new fresh", &disks.names());
        disks.names[1] = "fresh".into();
        let theirs = disks.content();
        assert_eq!(said(&guest, "AFTER"), sha256(&theirs), "{guest}");
        check_redundancy(&disks.paths(), &mut Compared::default(), "filled");
        let script = format!("{}\n{CHECK}\nmdadm --stop /dev/md0 2>&1", disks.assemble());
        let Some(guest) = disks.uml(&script) else { return };
        assert_eq!((said(&guest, "MISMATCHES"), said(&guest, "MEMBERS")), ("0", &*self.all_up()), "{guest}");
        assert_eq!(said(&guest, "CONTENT"), sha256(&theirs), "{guest}");
    }

    /// What mdadm says of an array that we stopped: clean, whole, all members of one mind.
    fn mdadm_agrees(self, guest: &str) {
        let (text, rest) = guest.split_once("EXAMINED").unwrap();
        let members = mdadm::examined(text);
        assert_eq!(members.len(), self.members, "{guest}");
        for member in &members {
            assert!(member.field("State").starts_with("clean"), "{guest}");
            assert!(member.field("Checksum").ends_with("correct"), "{guest}");
            assert_eq!(member.number("Events"), members[0].number("Events"), "{guest}");
            let array = member.field("Array State");
            assert!(self.version == "0.90" || array.starts_with(&"A".repeat(self.members)), "{array}: {guest}");
            for offset in ["Recovery Offset", "Resync Offset"] {
                assert_eq!(member.field(offset), "", "{guest}");
            }
        }
        let (_, detail) = rest.split_once("DETAIL").unwrap();
        let detail = mdadm::examined(detail);
        let active = Some(self.members as u64);
        assert_eq!(detail.last().and_then(|array| array.number("Active Devices")), active, "{guest}");
        assert_eq!(detail.last().and_then(|array| array.number("Failed Devices")), Some(0), "{guest}");
    }

    /// A member that we filled half-way is filled by Linux from there on.
    fn filled_half_way(self) {
        let mut disks = Disks::new(self, true);
        disks.raid("rebuild", &disks.names());
        let before = disks.content();
        disks.raid("fail --slot 1", &disks.names());
        std::fs::write(disks.folder().join("fresh"), pattern::sectors(900_000, MEMBER_SECTORS)).unwrap();
        let left: Vec<&str> = disks.names().into_iter().filter(|name| *name != "d1").collect();
        let served = serve(disks.folder(), &left);
        disks.raid("limit --max 1M", &["d0"]);
        disks.raid("add --no-wait --new fresh", &["d0"]);
        let done = |status: &[u8]| {
            let status: serde_json::Value = serde_json::from_slice(status).unwrap();
            status["pass"]["done_bytes"].as_u64().unwrap()
        };
        while done(&disks.raid("status --json", &["d0"])) < 1 << 20 {
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        assert_eq!(served.stop().0, 0);
        disks.names[1] = "fresh".into();
        let script =
            format!("mdadm --examine /dev/ubdc; {}\nsettle\n{CHECK}\nmdadm --stop /dev/md0 2>&1", disks.assemble());
        let Some(guest) = disks.uml(&script) else { return };
        let offset = guest.lines().find_map(|line| line.trim().strip_prefix("Recovery Offset : ")?.split(' ').next());
        assert!(offset.is_some_and(|sectors| sectors.parse::<u64>().unwrap() >= 2048), "{guest}");
        assert_eq!((said(&guest, "MISMATCHES"), said(&guest, "MEMBERS")), ("0", &*self.all_up()), "{guest}");
        assert!(disks.content() == before, "{guest}");
    }

    /// Linux loses a member and writes; we take it back and give it what it missed by Linux's bits; Linux finds nothing that disagrees.
    fn back_to_us(self) {
        let disks = Disks::new(self, false);
        let write = |seek: u32| {
            format!(
                "dd if=$(command -v mdadm) of=/dev/md0 bs=1000 count=300 seek={seek} conv=notrunc,fsync 2>/dev/null"
            )
        };
        let script = format!(
            "{}\n{}\nmdadm /dev/md0 --fail /dev/ubdc 2>&1; sleep 0.2; mdadm /dev/md0 --remove /dev/ubdc 2>&1\n{}
echo AFTER $(sha256sum < /dev/md0 | cut -d' ' -f1)\nmdadm --stop /dev/md0 2>&1",
            disks.assemble(),
            write(777),
            write(1500),
        );
        let Some(guest) = disks.uml(&script) else { return };
        let others: Vec<&str> = disks.names().into_iter().filter(|name| *name != "d1").collect();
        let arguments = ["add", "--new", "d1"].into_iter().chain(others);
        let ran = raid_in(RAID, disks.folder()).args(arguments).output().unwrap();
        let said_ours = String::from_utf8_lossy(&ran.stderr).split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(ran.status.success() && said_ours.contains("gets only what it missed"), "{said_ours}: {guest}");
        let ours = disks.content();
        assert_eq!(said(&guest, "AFTER"), sha256(&ours), "{guest}");
        check_redundancy(&disks.paths(), &mut Compared::default(), "caught up");
        self.linux_agrees(&disks, &ours);
    }

    /// We lose a member and write; Linux takes it back by our bits (mdadm refuses what cannot be), or goes on where we were stopped in
    /// the middle of that.
    fn back_to_linux(self, begun_by_us: bool) {
        let disks = Disks::new(self, false);
        disks.raid("fail --slot 1", &disks.names());
        let left: Vec<&str> = disks.names().into_iter().filter(|name| *name != "d1").collect();
        let served = serve(disks.folder(), &left);
        let writer = client(disks.folder());
        let known = Known::new(usize::try_from(writer.size_bytes() / 512).unwrap());
        known.write(50, known.sectors() - 100, |at, bytes: &[u8]| writer.write_at(at, bytes)).unwrap();
        drop(writer);
        if begun_by_us {
            disks.raid("limit --max 1M", &["d0"]);
            disks.raid("add --no-wait --new d1", &["d0"]);
            std::thread::sleep(std::time::Duration::from_millis(400));
        }
        assert_eq!(served.stop().0, 0);
        let take_back =
            if begun_by_us { "settle" } else { "mdadm /dev/md0 --re-add /dev/ubdc 2>&1 && echo TAKEN; settle" };
        let script = format!(
            "mdadm --examine /dev/ubdc; {}\necho active > /sys/block/md0/md/array_state\n{take_back}\n{CHECK}\nmdadm --stop /dev/md0 2>&1",
            disks.assemble()
        );
        let Some(guest) = disks.uml(&script) else { return };
        if begun_by_us {
            // A bitmap, a recovery offset, and the recovery follows the bitmap.
            assert!(guest.contains("Feature Map : 0x83"), "{guest}");
        } else {
            assert!(guest.contains("TAKEN"), "{guest}");
        }
        assert_eq!((said(&guest, "MISMATCHES"), said(&guest, "MEMBERS")), ("0", &*self.all_up()), "{guest}");
        let content = disks.content();
        assert_eq!(said(&guest, "CONTENT"), sha256(&content), "{guest}");
        known.check(&content, "taken back by Linux");
        check_redundancy(&disks.paths(), &mut Compared::default(), "taken back by Linux");
    }

    /// Linux assembles all members, finds nothing that disagrees, and serves this.
    fn linux_agrees(self, disks: &Disks, content: &[u8]) {
        let script = format!("{}\n{CHECK}\nmdadm --stop /dev/md0 2>&1", disks.assemble());
        let Some(guest) = disks.uml(&script) else { return };
        assert_eq!((said(&guest, "MISMATCHES"), said(&guest, "MEMBERS")), ("0", &*self.all_up()), "{guest}");
        assert_eq!(said(&guest, "CONTENT"), sha256(content), "{guest}");
    }

    /// Ours is killed in the middle of writes; Linux synchronises, by our bits if there are any, and what was flushed is there.
    fn ours_killed(self) {
        let disks = Disks::new(self, false);
        let served = serve(disks.folder(), &disks.names());
        let known = Known::new(usize::try_from(client(disks.folder()).size_bytes() / 512).unwrap());
        load_and_kill(served, disks.folder(), &known);
        known.check(&check_redundancy(&disks.paths(), &mut Compared::default(), "killed"), "killed");
        let script = format!("{}\n{CHECK}\nmdadm --stop /dev/md0 2>&1", disks.assemble());
        let Some(guest) = disks.uml(&script) else { return };
        assert_eq!((said(&guest, "MISMATCHES"), said(&guest, "MEMBERS")), ("0", &*self.all_up()), "{guest}");
        let content = disks.content();
        known.check(&content, "synchronised by Linux");
        assert_eq!(said(&guest, "CONTENT"), sha256(&content), "{guest}");
        assert!(matches!(Doubt::of(&disks.paths()), Doubt::Nothing), "{guest}");
        check_redundancy(&disks.paths(), &mut Compared::default(), "synchronised by Linux");
    }

    /// Linux is killed in the middle of writes; we find what it marked, synchronise it, and what was flushed is there.
    fn linux_killed(self) {
        let disks = Disks::new(self, false);
        let write = "dd if=/dev/urandom of=/dev/md0 bs=32k count=4 conv=notrunc oflag=direct";
        let script = format!(
            "{}
dd if=$(command -v mdadm) of=/dev/md0 bs=64k count=8 conv=notrunc,fsync 2>/dev/null
echo FLUSHED $(head -c 524288 /dev/md0 | sha256sum | cut -d' ' -f1)
for worker in 1 2 3; do while :; do {write} seek=$((RANDOM % 100 + 20)) 2>/dev/null; done & done
sleep 0.4; echo KILL; sleep 30",
            disks.assemble()
        );
        let Some(guest) = uml::run_and_kill(disks.folder(), &script, &disks.paths(), "KILL") else { return };
        let mut compared = Compared::default();
        let when = format!("Linux was killed, it said: {guest}");
        let left = check_redundancy(&disks.paths(), &mut compared, &when);
        assert_eq!(sha256(&left[..524_288]), said(&guest, "FLUSHED"));
        if self.redundant() {
            assert!(!matches!(Doubt::of(&disks.paths()), Doubt::Nothing), "{when}");
        }
        let served = serve(disks.folder(), &disks.names());
        disks.raid("rebuild", &["d0"]);
        assert_eq!(served.stop(), (0, complaint(self)), "{when}");
        assert!(matches!(Doubt::of(&disks.paths()), Doubt::Nothing), "{when}");
        assert!(check_redundancy(&disks.paths(), &mut compared, &when) == left, "{when}");
    }
}

/// What we say at the start of an array that was not stopped.
fn complaint(case: Case) -> String {
    match case.redundant() {
        true => "raid: not stopped cleanly: parity or copies may disagree; data are read as they\n      are\n".into(),
        false => String::new(),
    }
}

/// A test of a case.
fn trial(what: &str, case: Case, run: fn(Case)) -> Trial {
    let bitmap = if case.bitmap { "_with_a_bitmap" } else { "" };
    Trial::test(format!("{what}_raid{}_{}{bitmap}", case.level, case.version), move || {
        run(case);
        Ok(())
    })
}

fn main() {
    let all = std::env::var_os("RAID_INTEROP").is_some_and(|which| which == "all");
    let mut trials = container::trials(all);
    trials.extend(lvm::trials(all));
    trials.extend(mirror::trials(all));
    trials.extend(replace::trials(all));
    trials.extend(dm::trials(all));
    trials.extend(log::trials(all));
    for (version_index, version) in ["0.90", "1.0", "1.1", "1.2"].into_iter().enumerate() {
        let levels = [("linear", 2), ("0", 3), ("1", 2), ("4", 3), ("5", 4), ("6", 5), ("10", 4)];
        for (level_index, (level, members)) in levels.into_iter().enumerate() {
            for bitmap in [false, true] {
                let case = Case { version, level, members, bitmap };
                // One version and kind of each level; all versions and both kinds in sum.
                let chosen =
                    (version_index + level_index) % 4 == 3 && bitmap == (case.redundant() && level_index % 2 == 0);
                if (bitmap && !case.redundant()) || !(all || chosen) {
                    continue;
                }
                trials.push(trial("there_and_back", case, Case::there_and_back));
                if bitmap && (all || level == "5") {
                    trials.push(trial("back_to_us", case, Case::back_to_us));
                    trials.push(trial("back_to_linux", case, |case| case.back_to_linux(false)));
                    if version != "0.90" {
                        trials.push(trial("back_begun_by_us", case, |case| case.back_to_linux(true)));
                    }
                }
                if case.redundant() {
                    trials.push(trial("ours_killed", case, Case::ours_killed));
                    trials.push(trial("linux_killed", case, Case::linux_killed));
                    // Version 0.90 has no place for how far a member is filled.
                    if version != "0.90" {
                        trials.push(trial("filled_half_way", case, Case::filled_half_way));
                    }
                }
            }
        }
    }
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}
