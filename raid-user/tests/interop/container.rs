//! DDF and IMSM, both ways with mdadm and its monitor: made by Linux, broken, filled and written to by us; made by us, broken and filled by
//! Linux; either killed in the middle of writes.

use std::path::{Path, PathBuf};

use libtest_mimic::Trial;
use raid_testkit::fixtures::sha256;
use raid_testkit::known::Known;
use raid_testkit::served::raid_in;
use raid_testkit::{pattern, uml};
use raid_user::media::{Media as _, MediaMut as _};

use crate::check::{Compared, Doubt, check_redundancy};
use crate::load::{RAID, client, load_and_kill, serve};
use crate::said;

/// What the guest needs to take any disk for one of the format: serial numbers are names of devices.
const PRELUDE: &str = "export MDADM_NO_SYSTEMCTL=1 IMSM_NO_PLATFORM=1 IMSM_DEVNAME_AS_SERIAL=1
volume() { sed -n 's/^\\(md[0-9]*\\) : active.*/\\1/p' /proc/mdstat; }
tell() { md=$(volume); echo check > /sys/block/$md/md/sync_action; sleep 0.3; settle
echo MISMATCHES $(cat /sys/block/$md/md/mismatch_cnt); echo DEGRADED $(cat /sys/block/$md/md/degraded)
echo CONTENT $(sha256sum < /dev/$md | cut -d' ' -f1); }
write() { dd if=$(command -v mdadm) of=/dev/$(volume) bs=1000 count=300 seek=$1 conv=notrunc,fsync 2>/dev/null; }
finish() { mdadm --wait-clean --scan; sync; sleep 0.3; mdadm --stop /dev/$(volume) 2>&1; mdadm --stop /dev/md127 2>&1; }
";

/// A case by its name, and whether every whole run does it.
type Run = (&'static str, fn(Case), bool);

/// A container to try.
#[derive(Clone, Copy)]
struct Case {
    format: &'static str,
    level: &'static str,
    members: usize,
}

/// Its disks, and room for one more, in their folder.
struct Disks {
    case: Case,
    folder: tempfile::TempDir,
}

impl Disks {
    fn new(case: Case) -> Self {
        let disks = Self { case, folder: tempfile::tempdir().unwrap() };
        for (slot, letter) in (0..=case.members).zip('b'..) {
            let path = disks.path(slot);
            let sectors = if case.format == "ddf" { 36 << 11 } else { 12 << 11 };
            let mut bytes = vec![0; sectors * 512];
            if slot == case.members {
                // What was on the new disk must not be read.
                bytes[..8 << 20].copy_from_slice(&pattern::sectors(900_000, 8 << 11));
            }
            std::fs::write(&path, bytes).unwrap();
            std::fs::write(format!("{}.serial", path.display()), format!("/dev/ubd{letter}")).unwrap();
        }
        disks
    }

    fn path(&self, slot: usize) -> PathBuf {
        self.folder().join(format!("d{slot}"))
    }

    fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The members at first, or with the last disk in place of the second.
    fn names(&self, replaced: bool) -> Vec<String> {
        let all = (0..=self.case.members).filter(|slot| *slot != if replaced { 1 } else { self.case.members });
        all.map(|slot| format!("d{slot}")).collect()
    }

    fn paths(&self, replaced: bool) -> Vec<PathBuf> {
        self.names(replaced).iter().map(|name| self.folder().join(name)).collect()
    }

    fn raid(&self, line: &str, members: &[String]) -> Vec<u8> {
        let arguments = line.split_whitespace().chain(members.iter().map(String::as_str));
        let ran = raid_in(RAID, self.folder()).args(arguments).output().unwrap();
        assert!(ran.status.success(), "raid {line}: {}", String::from_utf8_lossy(&ran.stderr));
        ran.stdout
    }

    fn uml(&self, script: &str) -> Option<String> {
        let all: Vec<PathBuf> = (0..=self.case.members).map(|slot| self.path(slot)).collect();
        uml::run(self.folder(), &format!("{PRELUDE}{script}"), &all)
    }

    fn devices(&self, replaced: bool) -> String {
        let letter = |name: &String| {
            let letters: Vec<char> = ('b'..='q').collect();
            letters[name[1..].parse::<usize>().unwrap()]
        };
        self.names(replaced).iter().map(|name| format!(" /dev/ubd{}", letter(name))).collect()
    }

    fn assemble(&self, replaced: bool) -> String {
        let Case { format, .. } = self.case;
        format!(
            "mdadm --assemble /dev/md127 -e {format}{} 2>&1\nmdadm --incremental /dev/md127 2>&1",
            self.devices(replaced)
        )
    }

    /// All redundancy is right, and nothing is in doubt.
    fn check(&self, replaced: bool, when: &str) -> Vec<u8> {
        assert!(matches!(Doubt::of(&self.paths(replaced)), Doubt::Nothing), "{when}");
        check_redundancy(&self.paths(replaced), &mut Compared::default(), when)
    }
}

impl Case {
    /// Linux makes it, and writes; we lose a member while clients write, and fill another; Linux finds nothing that disagrees, and writes;
    /// we find what it wrote.
    fn theirs(self) {
        let disks = Disks::new(self);
        let Self { format, level, members } = self;
        let chunk = if level == "1" { "" } else { " --chunk=64" };
        let script = format!(
            "mdadm -C /dev/md127 -e {format} -n {members}{} 2>&1
mdadm -C /dev/md0 -l {level} -n {members}{chunk} --size=2048 /dev/md127 2>&1
sleep 0.5; settle; write 33; tell; finish",
            disks.devices(false)
        );
        let Some(guest) = disks.uml(&script) else { return };
        let before = disks.check(false, &guest);
        assert_eq!(said(&guest, "CONTENT"), sha256(&before), "{guest}");
        let names = disks.names(false);
        let served = serve(disks.folder(), &names.iter().map(String::as_str).collect::<Vec<_>>());
        let writer = client(disks.folder());
        let known = Known::new(usize::try_from(writer.size_bytes() / 512).unwrap());
        known.write(100, 5, |at, bytes| writer.write_at(at, bytes)).unwrap();
        disks.raid("fail --member d1", &["d0".into()]);
        known.write(0, known.sectors(), |at, bytes| writer.write_at(at, bytes)).unwrap();
        let new = format!("add --new d{members}");
        disks.raid(&new, &["d0".into()]);
        known.write(1000, 77, |at, bytes| writer.write_at(at, bytes)).unwrap();
        drop(writer);
        assert_eq!(served.stop().0, 0);
        let ours = disks.check(true, "filled by us");
        known.check(&ours, "filled by us");
        let script = format!(
            "{}\ncat /proc/mdstat\ntell\nwrite 777\necho AFTER $(sha256sum < /dev/$(volume) | cut -d' ' -f1)\nfinish",
            disks.assemble(true)
        );
        let Some(guest) = disks.uml(&script) else { return };
        assert_eq!((said(&guest, "MISMATCHES"), said(&guest, "DEGRADED")), ("0", "0"), "{guest}");
        assert_eq!(said(&guest, "CONTENT"), sha256(&ours), "{guest}");
        assert_eq!(said(&guest, "AFTER"), sha256(disks.check(true, &guest)), "{guest}");
    }

    /// We make it, and write; Linux finds nothing that disagrees, loses a member, writes, and fills another; we find what it wrote. `mdadm`
    /// 4.2 crashes when it adds a disk to any container of DDF, also to its own: of those, we fill what Linux has left degraded.
    fn ours(self) {
        let disks = Disks::new(self);
        let names = disks.names(false);
        disks.raid(&format!("create --format {} --level {} --chunk 64K --size 2M", self.format, self.level), &names);
        let served = serve(disks.folder(), &names.iter().map(String::as_str).collect::<Vec<_>>());
        let writer = client(disks.folder());
        let known = Known::new(usize::try_from(writer.size_bytes() / 512).unwrap());
        known.write(0, known.sectors(), |at, bytes| writer.write_at(at, bytes)).unwrap();
        drop(writer);
        disks.raid("rebuild", &["d0".into()]);
        assert_eq!(served.stop().0, 0);
        let ours = disks.check(false, "written by us");
        known.check(&ours, "written by us");
        let last = ('b'..).nth(self.members).unwrap();
        let theirs = self.format == "imsm";
        let add =
            if theirs { format!("mdadm --add /dev/md127 /dev/ubd{last} 2>&1; sleep 2; settle") } else { ":".into() };
        let script = format!(
            "{}\ntell\nmd=$(volume)
mdadm --fail /dev/$md /dev/ubdc 2>&1; sleep 0.5; write 777
{add}
cat /proc/mdstat
echo AFTER $(sha256sum < /dev/$md | cut -d' ' -f1)
echo FILLED $(cat /sys/block/$md/md/degraded)\nfinish",
            disks.assemble(false)
        );
        let Some(guest) = disks.uml(&script) else { return };
        assert_eq!((said(&guest, "MISMATCHES"), said(&guest, "DEGRADED")), ("0", "0"), "{guest}");
        assert_eq!(said(&guest, "CONTENT"), sha256(&ours), "{guest}");
        assert_eq!(said(&guest, "FILLED"), if theirs { "0" } else { "1" }, "{guest}");
        if !theirs {
            let left: Vec<String> = names.into_iter().filter(|name| name != "d1").collect();
            disks.raid(&format!("add --new d{}", self.members), &left);
        }
        assert_eq!(said(&guest, "AFTER"), sha256(disks.check(true, &guest)), "{guest}");
    }

    /// Ours is killed in the middle of writes; Linux synchronises, and what was flushed is there.
    fn ours_killed(self) {
        let disks = Disks::new(self);
        let names = disks.names(false);
        let create = format!("create --assume-clean --format {} --level {} --chunk 64K", self.format, self.level);
        disks.raid(&create, &names);
        let served = serve(disks.folder(), &names.iter().map(String::as_str).collect::<Vec<_>>());
        let known = Known::new(usize::try_from(client(disks.folder()).size_bytes() / 512).unwrap());
        load_and_kill(served, disks.folder(), &known);
        let killed = check_redundancy(&disks.paths(false), &mut Compared::default(), "killed");
        known.check(&killed, "killed");
        // An array that was not stopped waits with its resync for the first write.
        let script = format!("{}\nwrite 0; sleep 0.5; settle\ntell\nfinish", disks.assemble(false));
        let Some(guest) = disks.uml(&script) else { return };
        assert_eq!((said(&guest, "MISMATCHES"), said(&guest, "DEGRADED")), ("0", "0"), "{guest}");
        let content = disks.check(false, &guest);
        assert_eq!(said(&guest, "CONTENT"), sha256(&content), "{guest}");
        assert!(content[300_000..] == killed[300_000..], "{guest}");
    }

    /// Linux is killed in the middle of writes; we synchronise, and what was flushed is there.
    fn linux_killed(self) {
        let disks = Disks::new(self);
        let create = format!("create --assume-clean --format {} --level {} --chunk 64K", self.format, self.level);
        disks.raid(&create, &disks.names(false));
        let write = "dd if=/dev/urandom of=/dev/$md bs=32k count=4 conv=notrunc oflag=direct";
        let script = format!(
            "{PRELUDE}{}
md=$(volume); dd if=$(command -v mdadm) of=/dev/$md bs=64k count=8 conv=notrunc,fsync 2>/dev/null
echo FLUSHED $(head -c 524288 /dev/$md | sha256sum | cut -d' ' -f1)
for worker in 1 2 3; do while :; do {write} seek=$((RANDOM % 60 + 20)) 2>/dev/null; done & done
sleep 0.4; echo KILL; sleep 30",
            disks.assemble(false)
        );
        let all: Vec<PathBuf> = (0..=self.members).map(|slot| disks.path(slot)).collect();
        let Some(guest) = uml::run_and_kill(disks.folder(), &script, &all, "KILL") else { return };
        let left = check_redundancy(&disks.paths(false), &mut Compared::default(), &guest);
        assert_eq!(sha256(&left[..524_288]), said(&guest, "FLUSHED"));
        assert!(!matches!(Doubt::of(&disks.paths(false)), Doubt::Nothing), "{guest}");
        disks.raid("rebuild", &disks.names(false));
        assert!(disks.check(false, &guest) == left, "{guest}");
    }
}

/// Some always, the others if `all` are asked for.
pub(crate) fn trials(all: bool) -> Vec<Trial> {
    let mut trials = Vec::new();
    let cases = [
        ("ddf", "1", 2),
        ("ddf", "5", 4),
        ("ddf", "6", 5),
        ("ddf", "10", 4),
        ("imsm", "1", 2),
        ("imsm", "5", 3),
        ("imsm", "10", 4),
    ];
    // Every other volume with redundancy that `create` makes in these formats.
    let further = [
        ("ddf", "1", 3),
        ("ddf", "4", 3),
        ("ddf", "5 --layout la", 3),
        ("ddf", "5 --layout ra", 3),
        ("ddf", "6 --layout ddf-zero-restart", 4),
        ("ddf", "6 --layout ddf-N-restart", 4),
        ("ddf", "10", 3),
        ("ddf", "10", 5),
        ("imsm", "10", 6),
    ];
    let made = |(format, level, members)| {
        trial(("made_by_us_degraded_by_linux", Case::ours, false), Case { format, level, members })
    };
    trials.extend(further.into_iter().filter(|_| all).map(made));
    // Far is mdadm's alone. And when a member of two mirrors of three fails, its monitor takes the record of other members away, of its
    // own volumes too (4.2, seen in a guest): of those, Linux may lose none.
    for (level, members, always) in [("10 --layout f2", 4, true), ("10 --layout n3", 6, false)] {
        if all || always {
            let case = Case { format: "ddf", level, members };
            trials.push(trial(("made_by_linux_filled_by_us", Case::theirs, always), case));
        }
    }
    for (format, level, members) in cases {
        let case = Case { format, level, members };
        let runs: [Run; 4] = [
            ("made_by_linux_filled_by_us", Case::theirs, format == "ddf" && level == "5"),
            ("made_by_us_degraded_by_linux", Case::ours, format == "imsm" && level == "5"),
            ("ours_killed", Case::ours_killed, format == "ddf" && level == "1"),
            ("linux_killed", Case::linux_killed, false),
        ];
        trials.extend(runs.into_iter().filter(|(.., always)| all || *always).map(|run| trial(run, case)));
    }
    trials
}

fn trial((what, run, _): Run, case: Case) -> Trial {
    let Case { format, level, members } = case;
    let level = level.replace(" --layout ", "_");
    Trial::test(format!("{what}_{format}_raid{level}_of_{members}"), move || {
        run(case);
        Ok(())
    })
}
