//! Traces: made by seeds, written as lines.

use std::fmt;

use raid_core::geometry::Geometry;
use raid_core::{Member, Sectors};
use raid_formats::table::Table;

/// Sectors of each member that an array uses.
pub(crate) const SHARE: u64 = 4096;

/// Sectors of the pattern that bytes are taken from.
const PATTERN_SECTORS: u64 = 2048;

/// Longest write.
const LEN_MAX: u64 = 400;

/// An array, and how long its trace is.
pub(crate) struct Kind {
    /// The trace's file.
    pub(crate) file: &'static str,
    /// Type and parameters, as in a table line.
    pub(crate) name: &'static str,
    pub(crate) members: u64,
    /// Members' worth of data that it holds.
    data: u64,
    /// Most members that may be failed at a time.
    spares: usize,
    steps: usize,
}

const fn kind(file: &'static str, name: &'static str, members: u64, data: u64, spares: usize, steps: usize) -> Kind {
    Kind { file, name, members, data, spares, steps }
}

pub(crate) const KINDS: [Kind; 10] = [
    kind("00-raid1.txt", "raid1 0", 2, 1, 1, 40),
    kind("01-raid1.txt", "raid1 0", 3, 1, 2, 40),
    kind("02-raid5_ls.txt", "raid5_ls 64", 3, 2, 1, 200),
    kind("03-raid5_ra.txt", "raid5_ra 8", 4, 3, 1, 40),
    kind("04-raid4.txt", "raid4 32", 3, 2, 1, 40),
    kind("05-raid6_zr.txt", "raid6_zr 64", 5, 3, 2, 200),
    kind("06-raid6_nc.txt", "raid6_nc 16", 4, 2, 2, 40),
    kind("07-raid10.txt", "raid10 64 raid10_format near", 4, 2, 1, 40),
    kind("08-raid10.txt", "raid10 32 raid10_format far", 4, 2, 1, 40),
    kind("09-raid10.txt", "raid10 8 raid10_format offset", 4, 2, 1, 40),
];

/// One step.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    /// `len` sectors from sector `from` of the pattern go to array sector `at`.
    Write {
        at: u64,
        len: u64,
        from: u64,
    },
    Flush,
    /// From now on the member answers with errors.
    Fail(Member),
    /// It comes back with nothing that counts, and is filled.
    Rebuild(Member),
    /// The array is not stopped, but gone; nothing was under way, and nothing is known: all redundancy is made anew.
    Cut,
}

pub(crate) struct Trace {
    kind: &'static Kind,
    pub(crate) steps: Vec<Step>,
}

/// A generator that any language can have (Marsaglia's xorshift, 13, 7, 17).
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: u64) -> u64 {
        (self.next() >> 11) % end
    }
}

/// The bytes that are written: numbers of the generator from 1 on, least byte first. `xtask/src/kernel/guest.rs` makes the same.
pub(crate) fn pattern() -> Vec<u8> {
    let mut dice = Dice(1);
    (0..PATTERN_SECTORS * 64).flat_map(|_| dice.next().to_le_bytes()).collect()
}

impl Trace {
    pub(crate) fn made(kind: &'static Kind, seed: u64) -> Self {
        let mut dice = Dice(0x9E37_79B9_7F4A_7C15 ^ (seed << 32));
        let (size, mut failed) = (kind.data * SHARE, Vec::new());
        let mut steps = Vec::new();
        while steps.len() < kind.steps {
            steps.push(match dice.below(16) {
                0 => Step::Flush,
                1 if failed.is_empty() => Step::Cut,
                2 | 3 if failed.len() < kind.spares => {
                    let member = dice.below(kind.members);
                    if failed.contains(&member) {
                        continue;
                    }
                    failed.push(member);
                    Step::Fail(Member(u8::try_from(member).unwrap_or(0)))
                }
                4 if !failed.is_empty() => {
                    let place = usize::try_from(dice.below(failed.len() as u64)).unwrap_or(0);
                    Step::Rebuild(Member(u8::try_from(failed.remove(place)).unwrap_or(0)))
                }
                _ => {
                    let len = if dice.below(3) == 0 { 1 + dice.below(LEN_MAX) } else { 1 + dice.below(24) };
                    Step::Write { at: dice.below(size - len), len, from: dice.below(PATTERN_SECTORS - len) }
                }
            });
        }
        Self { kind, steps }
    }

    pub(crate) fn geometry(&self) -> Geometry {
        let (name, parameters) = self.kind.name.split_once(' ').unwrap_or((self.kind.name, ""));
        let count = parameters.split_whitespace().count();
        let devices = " - d".repeat(usize::try_from(self.kind.members).unwrap_or(0));
        let line = format!("{name} {count} {parameters} {}{devices}", self.kind.members);
        let words: Vec<&str> = line.split_whitespace().collect();
        let table = Table::parse(&words).expect("a table line");
        let config = table.config(Sectors(self.kind.data * SHARE)).expect("a length that fits");
        Geometry::new(&config).expect("an array")
    }
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Kind { name, members, data, .. } = self.kind;
        writeln!(f, "array {} {members} {name}", data * SHARE)?;
        for step in &self.steps {
            match step {
                Step::Write { at, len, from } => writeln!(f, "write {at} {len} {from}")?,
                Step::Flush => writeln!(f, "flush")?,
                Step::Fail(member) => writeln!(f, "fail {member}")?,
                Step::Rebuild(member) => writeln!(f, "rebuild {member}")?,
                Step::Cut => writeln!(f, "cut")?,
            }
        }
        Ok(())
    }
}
