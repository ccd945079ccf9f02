//! Members that are replaced while they serve, and spares, begun by one side and finished by the other.

use libtest_mimic::Trial;
use raid_testkit::fixtures::sha256;
use raid_testkit::pattern;
use raid_user::media::MediaMut as _;

use crate::check::{Compared, check_redundancy};
use crate::load::{client, serve};
use crate::{CHECK, Case, Disks, MEMBER_SECTORS, said, trial};

/// The members of a case, full of what they hold, and behind them one that is in no array.
fn with_fresh(case: Case) -> (Disks, Vec<u8>) {
    let mut disks = Disks::new(case, true);
    disks.raid("rebuild", &disks.names());
    let content = disks.content();
    std::fs::write(disks.folder().join("fresh"), pattern::sectors(900_000, MEMBER_SECTORS)).unwrap();
    disks.names.push("fresh".into());
    (disks, content)
}

impl Disks {
    fn status(&self, field: &str) -> serde_json::Value {
        let status: serde_json::Value = serde_json::from_slice(&self.raid("status --json", &["d0"])).unwrap();
        status.pointer(field).cloned().unwrap_or_default()
    }

    /// As the guest calls the last of them, and the second.
    fn fresh_and_old(&self) -> (String, &'static str) {
        let letter = char::from(b'a' + u8::try_from(self.names.len()).unwrap());
        (format!("ubd{letter}"), "ubdc")
    }

    /// Without the old one: the new one in its place.
    fn replaced(&mut self) {
        self.names.remove(1);
        self.names.rotate_right(1);
        self.names.swap(0, 1);
    }
}

impl Case {
    /// Linux assembles the array, everybody of the new set is up, and nothing disagrees.
    fn is_whole_without_the_old(self, disks: &mut Disks, content: &[u8], when: &str) {
        disks.replaced();
        assert!(disks.content() == content, "{when}");
        check_redundancy(&disks.paths(), &mut Compared::default(), when);
        let script = format!("{}\n{CHECK}\nmdadm --stop /dev/md0 2>&1", disks.assemble());
        let Some(guest) = disks.uml(&script) else { return };
        assert_eq!((said(&guest, "MISMATCHES"), said(&guest, "MEMBERS")), ("0", &*self.all_up()), "{when}: {guest}");
        assert_eq!(said(&guest, "CONTENT"), sha256(content), "{when}: {guest}");
    }

    /// We begin and are stopped; Linux goes on at our mark and finishes.
    fn replaced_by_us_then_linux(self) {
        let (mut disks, mut content) = with_fresh(self);
        let members: Vec<&str> = disks.names().into_iter().filter(|name| *name != "fresh").collect();
        let served = serve(disks.folder(), &members);
        disks.raid("limit --max 1M", &["d0"]);
        disks.raid("replace --no-wait --slot 1 --new fresh", &["d0"]);
        while disks.status("/pass/done_bytes").as_u64().unwrap() < 3 << 19 {
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        // On both sides of the mark.
        let writer = client(disks.folder());
        for at in [4096, content.len() - 300_000] {
            writer.write_at(at as u64, &[0xA7; 70_000]).unwrap();
            content[at..at + 70_000].fill(0xA7);
        }
        drop(writer);
        assert_eq!(served.stop().0, 0);
        let (fresh, _) = disks.fresh_and_old();
        let script = format!(
            "mdadm --examine /dev/{fresh}; {}\necho BEFORE $(cat /sys/block/md0/md/dev-{fresh}/state)
echo active > /sys/block/md0/md/array_state; sleep 0.3; settle\n{CHECK}
echo OLD $(cat /sys/block/md0/md/dev-ubdc/state); echo NEW $(cat /sys/block/md0/md/dev-{fresh}/state)
mdadm --stop /dev/md0 2>&1",
            disks.assemble()
        );
        let Some(guest) = disks.uml(&script) else { return };
        let offset = guest.lines().find_map(|line| line.trim().strip_prefix("Recovery Offset : ")?.split(' ').next());
        assert!(offset.is_some_and(|sectors| sectors.parse::<u64>().unwrap() >= 2048), "{guest}");
        assert!(said(&guest, "BEFORE").contains("replacement"), "{guest}");
        assert_eq!((said(&guest, "MISMATCHES"), said(&guest, "MEMBERS")), ("0", &*self.all_up()), "{guest}");
        assert_eq!(said(&guest, "CONTENT"), sha256(&content), "{guest}");
        assert!(said(&guest, "OLD").contains("faulty") && said(&guest, "NEW").contains("in_sync"), "{guest}");
        self.is_whole_without_the_old(&mut disks, &content, &guest);
    }

    /// Linux begins and is stopped; we go on at its mark and finish.
    fn replaced_by_linux_then_us(self) {
        let (mut disks, content) = with_fresh(self);
        let (fresh, old) = disks.fresh_and_old();
        let devices: String = disks.devices().replace(&format!(" /dev/{fresh}"), "");
        let script = format!(
            "mdadm --assemble /dev/md0 --run{devices} 2>&1\necho 800 > /sys/block/md0/md/sync_speed_max
echo 800 > /sys/block/md0/md/sync_speed_min
mdadm /dev/md0 --add /dev/{fresh} 2>&1; mdadm /dev/md0 --replace /dev/{old} --with /dev/{fresh} 2>&1
sleep 2; echo STATE $(cat /sys/block/md0/md/dev-{fresh}/state)\ncat /proc/mdstat
echo frozen > /sys/block/md0/md/sync_action; sleep 0.3; mdadm --stop /dev/md0 2>&1; mdadm --examine /dev/{fresh}"
        );
        let Some(guest) = disks.uml(&script) else { return };
        assert!(said(&guest, "STATE").contains("replacement"), "{guest}");
        let offset = guest.lines().find_map(|line| line.trim().strip_prefix("Recovery Offset : ")?.split(' ').next());
        let offset = offset.unwrap_or_else(|| panic!("no mark: {guest}")).parse::<u64>().unwrap();
        assert!(offset > 0, "{guest}");
        let served = serve(disks.folder(), &disks.names());
        // It is past that already, or has taken over.
        let mark = disks.status("/slots/1/copy/mark_bytes").as_u64();
        assert!(mark.is_none_or(|mark| mark >= offset * 512), "{mark:?} {guest}");
        disks.raid("rebuild", &["d0"]);
        assert!(disks.status("/slots/1/member").as_str().unwrap().ends_with("fresh"), "{guest}");
        assert_eq!(served.stop().0, 0);
        self.is_whole_without_the_old(&mut disks, &content, &guest);
    }

    /// A spare that we made is Linux's when a member fails.
    fn spare_of_ours(self) {
        let (mut disks, content) = with_fresh(self);
        let members: Vec<&str> = disks.names().into_iter().filter(|name| *name != "fresh").collect();
        disks.raid("add --new fresh", &members);
        let (fresh, old) = disks.fresh_and_old();
        let script = format!(
            "mdadm --examine /dev/{fresh}; {}\necho BEFORE $(cat /sys/block/md0/md/dev-{fresh}/state)
echo active > /sys/block/md0/md/array_state
mdadm /dev/md0 --fail /dev/{old} 2>&1; sleep 0.5; settle\n{CHECK}\nmdadm --stop /dev/md0 2>&1",
            disks.assemble()
        );
        let Some(guest) = disks.uml(&script) else { return };
        assert!(said(&guest, "BEFORE").contains("spare"), "{guest}");
        assert_eq!((said(&guest, "MISMATCHES"), said(&guest, "MEMBERS")), ("0", &*self.all_up()), "{guest}");
        assert_eq!(said(&guest, "CONTENT"), sha256(&content), "{guest}");
        self.is_whole_without_the_old(&mut disks, &content, &guest);
    }

    /// A spare that Linux made is ours.
    fn spare_of_linux(self) {
        let (mut disks, content) = with_fresh(self);
        let (fresh, _) = disks.fresh_and_old();
        let devices: String = disks.devices().replace(&format!(" /dev/{fresh}"), "");
        let script = format!(
            "mdadm --assemble /dev/md0 --run{devices} 2>&1
echo active > /sys/block/md0/md/array_state
mdadm /dev/md0 --add /dev/{fresh} 2>&1; sleep 0.3; mdadm --stop /dev/md0 2>&1; mdadm --examine /dev/{fresh}"
        );
        let Some(guest) = disks.uml(&script) else { return };
        let served = serve(disks.folder(), &disks.names());
        assert!(disks.status("/spares/0/member").as_str().is_some_and(|name| name.ends_with("fresh")), "{guest}");
        disks.raid("fail --slot 1", &["d0"]);
        // It takes over in moments.
        let slot = |word: &str| disks.status(&format!("/slots/1/{word}"));
        while !slot("member").as_str().is_some_and(|name| name.ends_with("fresh")) || slot("state") != "in-sync" {
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
        assert_eq!(served.stop().0, 0);
        self.is_whole_without_the_old(&mut disks, &content, &guest);
    }
}

/// RAID 5 of version 1.2 always; all levels in all versions for the whole matrix.
pub(crate) fn trials(all: bool) -> Vec<Trial> {
    let mut trials = Vec::new();
    for version in ["0.90", "1.0", "1.1", "1.2"] {
        for (level, members) in [("1", 2), ("4", 3), ("5", 4), ("6", 5), ("10", 4)] {
            for bitmap in [false, true] {
                let case = Case { version, level, members, bitmap };
                if !(all || level == "5" && version == "1.2" && bitmap) {
                    continue;
                }
                if version != "0.90" {
                    trials.push(trial("replaced_by_us_then_linux", case, Case::replaced_by_us_then_linux));
                    trials.push(trial("replaced_by_linux_then_us", case, Case::replaced_by_linux_then_us));
                }
                trials.push(trial("spare_of_ours", case, Case::spare_of_ours));
                trials.push(trial("spare_of_linux", case, Case::spare_of_linux));
            }
        }
    }
    trials
}
