//! `cargo xtask kernel --cuts N`: a guest writes to an array of the target's on files of ours, from many sides at once, and is killed.
//! What was flushed must be there: for our tool at once, and for our target or Linux's own md, which mend the array in another boot.
//!
//! A guest that is a process is killed as that: what it had handed to us is in our page cache and stays. So this finds writes that are
//! acknowledged too early and bits that come too late, not a flush that is missing. An emulated PC's disks have a cache of their own,
//! which is [lost](super::volatile) with the power; that finds both.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};

use super::dice::Dice;
use super::guest;
use super::linux::Kernel;
use super::machine::{Disk, Start};
use super::running::Guest;
use super::volatile;
use crate::command::{cargo, root};
use crate::test::count::Counts;

/// Levels and how many members each has here.
const KINDS: [(&str, usize); 4] = [("5", 3), ("10", 4), ("6", 4), ("1", 2)];

/// Who writes at the same time, and in how many sectors each then has a place of its own, as `cut.sh` says.
const WRITERS: u64 = 4;
const PLACE: u64 = 400;

/// Writes of one writer that can be under way, or not told of yet, beyond those that it said are flushed.
const UNTOLD: u64 = 8;

/// Bytes of a member.
const MEMBER_BYTES: u64 = 12 << 20;

/// What begins a line that is for us.
const CUT: &str = "cut: ";

/// The longest that a boot may take.
const PATIENCE: Duration = Duration::from_secs(300);

const SECTOR: usize = 512;

/// An array on files, and what may be on it.
struct Victim<'a> {
    kernel: &'a Kernel,
    image: &'a Path,
    folder: PathBuf,
    level: &'static str,
    members: usize,
    length: usize,
    /// What was read last.
    known: Vec<u8>,
}

/// A guest, of whose lines some are for us.
struct Boot(Guest);

impl Boot {
    /// The next line that is for us, without what it begins with; nothing at the end.
    fn next(&mut self) -> Option<String> {
        std::iter::from_fn(|| self.0.line()).find_map(|line| Some(line.strip_prefix(CUT)?.to_owned()))
    }

    fn wait_for(&mut self, wanted: &str) -> Result<()> {
        match self.next() {
            Some(words) if words == wanted => Ok(()),
            other => bail!("the guest says {other:?}, not {wanted}"),
        }
    }

    /// Lets it come to its end.
    fn end(mut self) {
        while self.next().is_some() {}
    }
}

/// What one boot wrote.
struct Round {
    seed: u64,
    /// The number of each writer's first write.
    first: u64,
    /// How many each writer was told are flushed.
    flushed: Vec<u64>,
    /// How many writes to members were in their caches.
    unsure: usize,
}

/// One write of the guest's, as `cut.sh` makes it.
#[derive(Clone, Copy)]
struct Write {
    at: usize,
    sectors: usize,
    from: usize,
}

/// Sectors before those that the makers of noise write to.
const fn quiet(length: usize) -> usize {
    length * 2 / 3
}

/// One writer's writes from `first` on.
fn writes(seed: u64, writer: u64, first: u64, length: usize) -> impl Iterator<Item = Write> {
    let mut state = (seed + writer * 1_000_003) % (1 << 31);
    let groups = quiet(length) as u64 / (PLACE * WRITERS);
    let small = |value: u64| usize::try_from(value).unwrap_or(0);
    (first..).map(move |number| {
        state = (state * 1_103_515_245 + 12_345) % (1 << 31);
        let place = (state / 65_536 % groups) * WRITERS + writer;
        Write {
            at: small(place * PLACE + state / 64 % 100),
            sectors: small(1 + state / 4_096 % 300),
            from: small(number % 1700),
        }
    })
}

impl Victim<'_> {
    fn file(&self, number: usize) -> PathBuf {
        self.folder.join(format!("disk{number}.img"))
    }

    /// What a member held before the boot whose power is cut.
    fn before(&self, number: usize) -> PathBuf {
        self.folder.join(format!("disk{number}.before"))
    }

    /// What a disk's cache held and lost; a machine that is emulated has one.
    fn log(&self, number: usize) -> Option<PathBuf> {
        self.kernel.machine.is_emulated().then(|| self.folder.join(format!("disk{number}.log")))
    }

    /// Boots a guest for one of the things that `cut.sh` can do. If the power is to be cut, members are as they were until then, and
    /// what is written is logged.
    fn boot(&self, what: &str, is_cut: bool, more: &str) -> Result<Boot> {
        let disk = |number| -> Result<Disk> {
            let log = self.log(number).filter(|_| is_cut && number < self.members);
            if let Some(log) = &log {
                fs::copy(self.file(number), self.before(number))?;
                File::create(log)?;
            }
            Ok(Disk { file: self.file(number), log })
        };
        let disks: Vec<Disk> = (0..=self.members).map(disk).collect::<Result<_>>()?;
        let start = Start { disks: &disks, ..Start::new(self.kernel, self.image, 512, PATIENCE) };
        let (members, level, length) = (self.members, self.level, self.length);
        let words = format!("raid_cut={what} raid_members={members} raid_level={level} raid_length={length} {more}");
        Ok(Boot(start.spawn(&words)?))
    }

    /// After a cut: what was in the disks' caches is lost in part, as the dice say. Says how many writes were in them.
    fn lose(&self, seed: u64) -> Result<usize> {
        let mut dice = Dice::new(seed);
        let mut unsure = 0;
        for number in 0..self.members {
            let Some(log) = self.log(number) else { continue };
            unsure += volatile::lose(&self.before(number), &log, &self.file(number), &mut dice)?;
        }
        Ok(unsure)
    }

    /// Makes the array anew, on empty files.
    fn make(&mut self) -> Result<()> {
        fs::create_dir_all(&self.folder)?;
        for number in 0..=self.members {
            let len = if number == self.members { MEMBER_BYTES * self.members as u64 } else { MEMBER_BYTES };
            File::create(self.file(number))?.set_len(len)?;
        }
        let mut guest = self.boot("make", false, "")?;
        let said = guest.next().unwrap_or_default();
        // An emulated machine must see it through.
        guest.end();
        let length = said.strip_prefix("length ").and_then(|length| length.parse().ok());
        self.length = length.with_context(|| format!("no array of level {}: {said}", self.level))?;
        self.known = vec![0; self.length * SECTOR];
        Ok(())
    }

    /// Lets a guest write from each writer's write `first` on, and kills it.
    fn cut(&self, seed: u64, first: u64) -> Result<Round> {
        let mut guest = self.boot("write", true, &format!("raid_first={first} raid_seed={seed}"))?;
        guest.wait_for("begun")?;
        // The dice say after how many flushes, and how long after the last of them.
        let (after, moment) = (1 + seed / 7 % 20, Duration::from_micros(seed / 5 % 30_000));
        let mut flushed = vec![0; usize::try_from(WRITERS)?];
        let mut note = |said: &str| -> Option<()> {
            let (writer, number) = said.strip_prefix("flushed ")?.split_once(' ')?;
            let number: u64 = number.parse().ok()?;
            *flushed.get_mut(writer.parse::<usize>().ok()?)? = number + 1 - first;
            Some(())
        };
        for _ in 0..after {
            let said = guest.next().unwrap_or_default();
            note(&said).with_context(|| format!("the guest says {said}"))?;
        }
        std::thread::sleep(moment);
        guest.0.kill();
        // What it said until then counts, too; its last line may be half a line.
        while let Some(said) = guest.next() {
            note(&said);
        }
        drop(guest);
        Ok(Round { seed, first, flushed, unsure: self.lose(seed)? })
    }

    /// Kills a guest while it mends. What it does to the members must do no harm.
    fn cut_again(&self, who: &str, seed: u64) -> Result<()> {
        let mut guest = self.boot(who, true, "")?;
        guest.wait_for("begun")?;
        std::thread::sleep(Duration::from_micros(seed / 3 % 40_000));
        drop(guest);
        self.lose(seed + 1)?;
        Ok(())
    }

    /// Lets our target (`ours`) or Linux's (`md`) find the array, mend it and read it. True if there was something to mend.
    fn read(&self, who: &str) -> Result<(Vec<u8>, bool)> {
        let mut guest = self.boot(who, false, "")?;
        let mut mended = false;
        loop {
            match guest.next().as_deref() {
                Some("mends") => mended = true,
                Some("begun" | "mismatches 0") => {}
                Some("read") => break,
                other => bail!("{who}: the guest says {other:?}"),
            }
        }
        guest.end();
        let mut read = fs::read(self.file(self.members))?;
        read.truncate(self.length * SECTOR);
        Ok((read, mended))
    }

    /// What our tool does with the members: nothing that a member would notice.
    fn tool(&self, verb: &str) -> Result<Vec<u8>> {
        let mut tool = cargo();
        tool.args(["run", "--quiet", "--package", "raid-user", "--", verb]);
        let shown = tool.args((0..self.members).map(|number| self.file(number))).output()?;
        ensure!(shown.status.success(), "raid {verb}: {}", String::from_utf8_lossy(&shown.stderr));
        Ok(shown.stdout)
    }

    /// Each sector must hold the last write that was flushed, or one that came later, or what was there if there was none.
    fn compare(&self, read: &[u8], round: &Round, pattern: &[u8]) -> Result<()> {
        ensure!(read.len() == self.known.len(), "{} bytes, not {}", read.len(), self.known.len());
        let mut may: Vec<Vec<&[u8]>> = self.known.chunks(SECTOR).map(|was| vec![was]).collect();
        for (writer, flushed) in (0..).zip(&round.flushed) {
            let writes = writes(round.seed, writer, round.first, self.length);
            for (number, write) in (0..flushed + UNTOLD).zip(writes) {
                for sector in 0..write.sectors {
                    let from = (write.from + sector) * SECTOR;
                    let bytes = pattern.get(from..from + SECTOR).context("past the pattern")?;
                    let place = may.get_mut(write.at + sector).context("past the array")?;
                    if number < *flushed {
                        place.clear();
                    }
                    place.push(bytes);
                }
            }
        }
        for (sector, (found, may)) in read.chunks(SECTOR).zip(&may).take(quiet(self.length)).enumerate() {
            ensure!(may.contains(&found), "sector {sector} holds none of the {} contents that it may have", may.len());
        }
        Ok(())
    }

    /// Writes, a cut, and what is left of it by all who read it.
    fn round(&mut self, number: u64, first: u64, pattern: &[u8]) -> Result<(Round, bool)> {
        let seed = (number * 7_919 + 104_729 * (self.members as u64 + 1)) * 48_271 % (1 << 31);
        let round = self.cut(seed, first)?;
        let compare = |read: &[u8], who: &str| {
            self.compare(read, &round, pattern).with_context(|| format!("cut {number}, seed {seed}, read by {who}"))
        };
        compare(&self.tool("cat")?, "raid cat")?;
        if number % 3 == 2 {
            self.cut_again("ours", seed)?;
        }
        let who = if number.is_multiple_of(2) { "ours" } else { "md" };
        let (read, mended) = self.read(who).with_context(|| format!("cut {number}, seed {seed}"))?;
        compare(&read, who)?;
        ensure!(
            self.tool("cat")? == read,
            "cut {number}, seed {seed}: the tool reads something else than {who} after it"
        );
        self.known = read;
        Ok((round, mended))
    }
}

/// Cuts the power so many times, spread over the levels, and says what was seen.
///
/// # Errors
/// If no guest can be started. What is lost is counted as failed.
pub(super) fn run(kernel: &Kernel, image: &Path, rounds: u64) -> Result<Counts> {
    let (pattern, mut counts) = (guest::pattern(), Counts::default());
    for (index, (level, members)) in (0_u64..).zip(KINDS) {
        let rounds = (rounds + KINDS.len() as u64 - 1 - index) / KINDS.len() as u64;
        if rounds == 0 {
            continue;
        }
        let folder = root().join("target/kernel/cuts").join(kernel.machine.name()).join(level);
        let mut victim = Victim { kernel, image, folder, level, members, length: 0, known: Vec::new() };
        victim.make()?;
        match rounds_of(&mut victim, rounds, &pattern) {
            Ok(seen) => {
                println!("cuts: level {level}: {seen}, none lost");
                counts += Counts::pass();
            }
            Err(error) => {
                println!("cuts: level {level}: FAILED: {error:#}; the members are in {}", victim.folder.display());
                counts += Counts::fail();
            }
        }
    }
    Ok(counts)
}

fn rounds_of(victim: &mut Victim<'_>, rounds: u64, pattern: &[u8]) -> Result<String> {
    let (mut all, mut unsure, mut to_mend, mut first) = (0, 0, 0, 0_u64);
    for number in 0..rounds {
        let (round, mended) = victim.round(number, first, pattern)?;
        all += round.flushed.iter().sum::<u64>();
        unsure += round.unsure;
        to_mend += u64::from(mended);
        first += round.flushed.iter().max().unwrap_or(&0) + UNTOLD;
    }
    let caches =
        if victim.log(0).is_some() { format!(", {unsure} writes in caches of members") } else { String::new() };
    Ok(format!("{rounds} cuts, {all} writes flushed{caches}, {to_mend} times it was seen mending"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writers_stay_in_their_own_places_and_write_the_same_for_the_same_seed() {
        let of = |writer, first| -> Vec<(usize, usize)> {
            writes(7, writer, first, 20_000).take(500).map(|write| (write.at, write.sectors)).collect()
        };
        assert_eq!(of(1, 0), of(1, 9));
        for writer in 0..WRITERS {
            for (at, sectors) in of(writer, 0) {
                let (first, last) = (at as u64 / PLACE, (at + sectors - 1) as u64 / PLACE);
                assert!(sectors > 0 && first == last && first % WRITERS == writer && at + sectors <= quiet(20_000));
            }
        }
    }
}
