//! Every array that real Linux made, read back: healthy, with each member missing, with each pair missing.
//!
//! One test a case and set of missing members, listed by name (`cargo test -p raid-user --test fixtures -- --list`).
//! What must come out is not asked of the code under test: it is the hash that the kernel's own read gave. What must be
//! refused is told by the content: array sector L holds the number L 64 times, so whether the members that are left
//! still hold every sector can be seen without knowing any layout, but for what parity gives.

use std::collections::HashSet;
use std::sync::{Arc, LazyLock};

use libtest_mimic::{Arguments, Failed, Trial};
use raid_testkit::fixtures;
use raid_testkit::pattern;
use raid_user::array::{Array, OpenError, OpenOptions};
use raid_user::discover::{Found, Identity};
use raid_user::media::{Media, MemMedia, SharedMedia};

/// Cases of a kernel caught in the middle of something: told one by one in `caught.rs`.
const CAUGHT: [&str; 10] = [
    "imsm-uml-raid1-dirty-crash",
    "md-0.90-raid5-reshape-3to4-crash",
    "md-1.1-raid1-bitmap-degraded",
    "md-1.2-raid1-badblocks",
    "md-1.2-raid1-bitmap-degraded",
    "md-1.2-raid1-spare-wm-ff",
    "md-1.2-raid5-bitmap-crash",
    "md-1.2-raid5-journal-wb-crash",
    "md-1.2-raid5-reshape-3to4-crash",
    "md-1.2-raid5-reshape-3to4-stopped",
];

/// A case, unpacked when its first test runs.
struct Case {
    name: String,
    parity: usize,
    members: Vec<SharedMedia>,
    names: Vec<String>,
    sha256: String,
    array_bytes: u64,
    /// The member that holds a journal and no data.
    journal: Option<usize>,
}

impl Case {
    fn load(name: &str) -> Self {
        let fixture = fixtures::load(name);
        let journal = name.contains("journal").then(|| fixture.members.len() - 1);
        let (names, members) =
            fixture.members.iter().map(|(file, bytes)| (file.clone(), bytes.clone())).unzip::<_, _, _, Vec<_>>();
        Self {
            name: name.to_owned(),
            parity: parity(name),
            members: members.into_iter().map(|bytes| Arc::new(MemMedia::new("member", bytes)) as SharedMedia).collect(),
            names,
            sha256: fixture.text("content.sha256").split_whitespace().next().unwrap_or_default().to_owned(),
            array_bytes: fixture.text("size.txt").trim().parse().unwrap_or(0),
            journal,
        }
    }

    /// Whether what is left holds every sector, by the content alone; parity levels by counting.
    fn survives(&self, missing: &[usize]) -> bool {
        let lost = missing.iter().filter(|index| Some(**index) != self.journal).count();
        let tolerated = if self.name.contains("-raid1-") { self.members.len() - 1 } else { self.parity };
        if tolerated > 0 || lost == 0 {
            return lost <= tolerated;
        }
        let mut here = HashSet::new();
        for (index, member) in self.members.iter().enumerate() {
            if !missing.contains(&index) {
                here.extend(pattern::sectors_held(&read_all(member.as_ref())));
            }
        }
        (0..self.array_bytes / 512).all(|sector| here.contains(&sector))
    }
}

/// How many members each stripe can lose; zero where copies decide.
fn parity(name: &str) -> usize {
    let level = name.split('-').nth(2).unwrap_or_default();
    match level {
        "raid4" | "raid5" => 1,
        "raid6" => 2,
        _ => 0,
    }
}

fn read_all(medium: &dyn Media) -> Vec<u8> {
    let mut bytes = vec![0; usize::try_from(medium.size_bytes()).expect("fixtures fit memory")];
    medium.read_at(0, &mut bytes).expect("memory does not fail");
    bytes
}

fn reads_back(case: &Case, missing: &[usize]) -> Result<(), Failed> {
    let found: Vec<Found> = (0..case.members.len())
        .filter(|index| !missing.contains(index))
        .map(|index| {
            let mut found = Found::inspect(&case.names[index], Arc::clone(&case.members[index]))?;
            if case.name.starts_with("imsm-") {
                // The serial number that a file does not have; the guest's disks were loop devices.
                found.identify(&format!("/dev/loop{index}"), Identity::Told)?;
            }
            Ok(found)
        })
        .collect::<Result<_, Failed>>()?;
    let mut options = OpenOptions::default();
    let survives = case.survives(missing);
    if case.journal.is_some_and(|journal| missing.contains(&journal)) && survives {
        match Array::open(found.clone(), &options) {
            Err(OpenError::NotReplayed(..)) => options.ignore_journal = true,
            Err(error) => return Err(error.into()),
            Ok(_) => return Err("opened without its journal although nobody asked for that".into()),
        }
    }
    match (Array::open(found, &options), survives) {
        (Ok(array), true) => {
            let sha256 = fixtures::sha256(read_all(&array));
            let strict = missing.iter().all(|index| Some(*index) == case.journal) || !array.warnings().is_empty();
            if array.size_bytes() != case.array_bytes || sha256 != case.sha256 || !strict {
                return Err(format!("{} bytes, {sha256}, {:?}", array.size_bytes(), array.warnings()).into());
            }
            Ok(())
        }
        (Err(OpenError::TooManyMissing { .. }), false) => Ok(()),
        (Ok(_), false) => Err("opened although sectors are lost".into()),
        (Err(error), _) => Err(error.into()),
    }
}

fn trials(name: String) -> Vec<Trial> {
    let count = fixtures::member_names(&name).len();
    let case = Arc::new(LazyLock::new({
        let name = name.clone();
        move || Case::load(&name)
    }));
    let singles = (0..count).map(|one| vec![one]);
    let pairs = (0..count).flat_map(|one| (one + 1..count).map(move |other| vec![one, other]));
    std::iter::once(Vec::new())
        .chain(singles)
        .chain(pairs)
        .filter(|missing| missing.len() < count)
        .map(|missing| {
            let list = missing.iter().map(usize::to_string).collect::<Vec<_>>().join("-");
            let title = if list.is_empty() { format!("{name}/healthy") } else { format!("{name}/without-{list}") };
            let case = Arc::clone(&case);
            Trial::test(title, move || reads_back(&case, &missing))
        })
        .collect()
}

fn main() {
    let arguments = Arguments::from_args();
    let names = fixtures::list().into_iter().filter(|name| {
        ["md-", "ddf-", "imsm-"].iter().any(|kind| name.starts_with(kind)) && !CAUGHT.contains(&name.as_str())
    });
    libtest_mimic::run(&arguments, names.flat_map(trials).collect()).exit();
}
