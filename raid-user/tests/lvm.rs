//! Every volume that LVM and dm-raid made, read back: healthy, with each physical volume missing, with each pair missing.
//!
//! One test a case and set of missing media, listed by name. What must come out is the hash that the kernel's own read gave; which media a
//! volume stands on is read from the device-mapper table that the kernel ran, and how many of them may be missing follows from the level
//! in the case's name, not from the code under test.

use std::sync::{Arc, LazyLock};

use libtest_mimic::{Arguments, Failed, Trial};
use raid_testkit::fixtures::sha256;
use raid_testkit::fixtures::{self, Fixture};
use raid_testkit::pattern;
use raid_user::array::{Array, OpenError, OpenOptions};
use raid_user::discover::Found;
use raid_user::layers::Layers;
use raid_user::lvm::Physical;
use raid_user::media::{Joined, Media, MemMedia, Piece, SharedMedia};

/// Bytes of the metadata device in front of each image of the cases of dm-raid alone.
const META_BYTES: u64 = 1 << 20;

struct Case {
    name: String,
    media: Vec<(String, SharedMedia)>,
    fixture: Fixture,
}

impl Case {
    fn load(name: &str) -> Self {
        let mut fixture = fixtures::load(name);
        // The store of the snapshot stands beside the disks as a file of its own.
        let disks = std::mem::take(&mut fixture.members).into_iter().filter(|(file, _)| file.starts_with('d'));
        let media = disks.map(|(file, bytes)| {
            let media: SharedMedia = Arc::new(MemMedia::new(&file, bytes));
            (file, media)
        });
        Self { name: name.to_owned(), media: media.collect(), fixture }
    }

    fn left(&self, missing: &[usize]) -> impl Iterator<Item = &(String, SharedMedia)> {
        let missing = missing.to_vec();
        self.media.iter().enumerate().filter(move |(index, _)| !missing.contains(index)).map(|(_, medium)| medium)
    }

    fn sha256(&self, file: &str) -> &str {
        self.fixture.text(file).split_whitespace().next().unwrap_or_default()
    }

    /// Disks under the devices of the kernel's table whose names start so, in its order: `vg-lv_rimage_0: 0 10240 linear 7:3 2048`.
    fn disks(&self, device: &str) -> Vec<usize> {
        let lines = self.fixture.text("dmsetup-table.txt").lines().filter(|line| line.starts_with(device));
        let disks =
            lines.flat_map(|line| line.split_whitespace().filter_map(|word| word.strip_prefix("7:")?.parse().ok()));
        let mut disks: Vec<usize> = disks.collect();
        disks.dedup();
        disks
    }

    /// What must become of `vg/lv`.
    fn lives(&self, missing: &[usize]) -> bool {
        let kind = self.name.trim_start_matches("lvm-");
        let gone = |disks: &[usize]| disks.iter().filter(|disk| missing.contains(disk)).count();
        match kind {
            "mirror-disklog" => {
                let (legs, log) = (self.disks("vg-lv_mimage"), self.disks("vg-lv_mlog"));
                // Without its log, a mirror's first leg counts, and no other.
                gone(&legs) == 0 || (gone(&legs) == 1 && (gone(&log) == 0 || !missing.contains(&legs[0])))
            }
            _ => {
                let images = if kind.contains("raid") { "vg-lv_rimage" } else { "vg-lv" };
                let disks = self.disks(images);
                let may = match kind {
                    "raid1" => disks.len() - 1,
                    kind if kind.starts_with("raid5") => 1,
                    kind if kind.starts_with("raid6") => 2,
                    _ => 0,
                };
                gone(&disks) <= may
            }
        }
    }
}

fn read_all(medium: &dyn Media) -> Result<Vec<u8>, std::io::Error> {
    let mut bytes = vec![0; usize::try_from(medium.size_bytes()).expect("fixtures fit memory")];
    medium.read_at(0, &mut bytes)?;
    Ok(bytes)
}

fn volume_reads_back(case: &Case, missing: &[usize]) -> Result<(), Failed> {
    let found: Vec<Physical> = case
        .left(missing)
        .map(|(name, media)| Physical::inspect(name, media.clone())?.ok_or_else(|| format!("{name}: no label")))
        .collect::<Result<_, _>>()?;
    let layers = Layers::on(Vec::new(), found, &OpenOptions::default());
    let check = |name: &str, file: &str, lives: bool| -> Result<(), Failed> {
        let content = match layers.choose(Some(name)) {
            Ok(node) => {
                let media = node.media.clone().ok_or("no content")?;
                read_all(media.as_ref()).map(|bytes| sha256(&bytes)).map_err(|error| error.to_string())
            }
            Err(error) => Err(error.to_string()),
        };
        match (content, lives) {
            (Ok(sha256), true) if sha256 == case.sha256(file) => Ok(()),
            (Err(_), false) => Ok(()),
            (content, _) => Err(format!("{name}: {content:?}, expected {lives}").into()),
        }
    };
    if case.name == "lvm-integrity-raid1" {
        let refusal = layers.choose(Some("vg/lv")).err().map(|error| error.to_string()).unwrap_or_default();
        let named = refusal.contains("of kind integrity, which is not read yet");
        return if named { Ok(()) } else { Err(refusal.into()) };
    }
    check("vg/lv", "content.sha256", case.lives(missing))?;
    if case.name == "lvm-snapshot" {
        check("vg/snap", "snap-content.sha256", missing.is_empty())?;
    }
    let degraded =
        layers.choose(Some("vg/lv")).is_ok_and(|node| node.warnings.iter().any(|note| note.contains("degraded")));
    let images =
        case.disks("vg-lv_rimage").iter().chain(&case.disks("vg-lv_mimage")).any(|disk| missing.contains(disk));
    match (layers.choose(Some("vg/lv")).is_ok(), degraded == images) {
        (true, false) => Err("degraded and not told, or the other way round".into()),
        _ => Ok(()),
    }
}

/// dm-raid without LVM: the metadata device lies in front of each image.
fn set_reads_back(case: &Case, missing: &[usize]) -> Result<(), Failed> {
    let mut held = std::collections::HashSet::new();
    let mut found = Vec::new();
    for (name, media) in case.left(missing) {
        let part = |at: u64, len: u64| -> SharedMedia {
            let mut part = Joined::new(name.clone());
            part.push(len, Piece::From(media.clone(), at));
            Arc::new(part)
        };
        let (beside, image) = (part(0, META_BYTES), part(META_BYTES, media.size_bytes() - META_BYTES));
        held.extend(pattern::sectors_held(&read_all(image.as_ref())?));
        found.push(Found::dm_raid(name, image, beside)?);
    }
    let size: u64 = case.fixture.text("size.txt").trim().parse()?;
    let lives = (0..size / 512).all(|sector| held.contains(&sector));
    match (Array::open(found, &OpenOptions::default()), lives) {
        (Ok(array), true) => {
            let sha256 = sha256(&read_all(&array)?);
            let told =
                missing.is_empty() != array.warnings().iter().any(|warning| warning.to_string().contains("degraded"));
            let right = array.size_bytes() == size && sha256 == case.sha256("content.sha256") && told;
            if right {
                Ok(())
            } else {
                Err(format!("{} bytes, {sha256}, {:?}", array.size_bytes(), array.warnings()).into())
            }
        }
        (Err(OpenError::TooManyMissing { .. }), false) => Ok(()),
        (Ok(_), false) => Err("opened although sectors are lost".into()),
        (Err(error), _) => Err(error.into()),
    }
}

fn trials(name: String) -> Vec<Trial> {
    let count = fixtures::member_names(&name).iter().filter(|file| file.starts_with('d')).count();
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
            Trial::test(title, move || match case.name.starts_with("lvm-") {
                true => volume_reads_back(&case, &missing),
                false => set_reads_back(&case, &missing),
            })
        })
        .collect()
}

fn main() {
    let arguments = Arguments::from_args();
    let names = fixtures::list().into_iter().filter(|name| name.starts_with("lvm-") || name.starts_with("dmraid-"));
    libtest_mimic::run(&arguments, names.flat_map(trials).collect()).exit();
}
