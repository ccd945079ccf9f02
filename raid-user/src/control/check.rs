//! Checks and repairs in words: how far one is, what it found, and whom a repair believes.

use raid_core::check::{self, Fault, Finding, Mended, Order, State, Trust};
use raid_core::geometry::Part;
use raid_core::rows::{RowNo, Rows};
use raid_core::{Columns, Member, SECTOR_BYTES, Sector};
use serde::{Deserialize, Serialize};

use super::desk::{Desk, REFUSED, USAGE};
use super::{Ask, Refusal};
use crate::host::{Checks, Running};

/// Blocks that one answer tells of: so it fits a line, whatever the number of members.
const BLOCKS_MAX: usize = 4096;

/// Whom a repair believes where the evidence names nobody.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Whom {
    /// Nobody: what is not named is told and left.
    Nobody,
    /// The data: parity is made of them anew. What md's `repair` does.
    Data,
    /// The copy in this slot: the others become what it has.
    Copy(u8),
    /// All but who is in this slot: its block is made from theirs.
    AllBut(u8),
}

impl From<Whom> for Trust {
    fn from(whom: Whom) -> Self {
        match whom {
            Whom::Nobody => Self::Nobody,
            Whom::Data => Self::Data,
            Whom::Copy(slot) => Self::Copy(Member(slot)),
            Whom::AllBut(slot) => Self::AllBut(Member(slot)),
        }
    }
}

/// How a check or a repair is, or how the last one was.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct CheckStatus {
    /// It is under way.
    pub running: bool,
    /// It rests because somebody said so.
    pub paused: bool,
    /// Whom it believes if it repairs; nothing if it writes nothing.
    pub repair: Option<Whom>,
    /// Done of each member.
    pub done_bytes: u64,
    /// To be done of each member. If it ended with less done, it was called off.
    pub total_bytes: u64,
    /// Over the last half minute; nothing until it is known.
    pub bytes_per_s: Option<u64>,
    /// Time left at that rate.
    pub left_s: Option<u64>,
    /// Sectors of rows that do not fit, md's `mismatch_cnt`.
    pub wrong_sectors: u64,
    /// Findings that were repaired.
    pub mended: u64,
    /// Of each member, left out: redundancy in doubt after a crash, which is a resync's to put in order.
    pub in_doubt_bytes: u64,
    /// Of each member, with nothing to compare: the redundancy is missing, or replaces a missing member.
    pub blind_bytes: u64,
    /// Of each member: cannot be read by more members than the level survives.
    pub lost_bytes: u64,
    /// Findings that can be asked for.
    pub findings: u64,
    /// Findings beyond those.
    pub unlisted: u64,
    /// Findings, listed or not, that were not repaired.
    pub remaining: u64,
    /// False if what was rewritten could not be made durable.
    pub durable: bool,
}

/// Something that does not fit.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct FindingStatus {
    /// The row, by number.
    pub row: u64,
    /// What is wrong.
    pub fault: FaultWord,
    /// Positions that do not fit: all of them evidence for `fault`. Of what cannot be read, its length.
    pub bytes: u64,
    /// The blocks that are wrong; if none is named, all that were compared.
    pub blocks: Vec<BlockStatus>,
    /// Ranges of the array whose content may be wrong: first byte, and the one behind the last. None if only parity is.
    pub array_bytes: Vec<(u64, u64)>,
    /// What became of it.
    pub mended: MendedWord,
}

/// A block of a row on its member.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub struct BlockStatus {
    /// Whose.
    pub slot: u8,
    /// What it is for the row.
    pub role: RoleWord,
    /// The first byte that does not fit, from the start of the medium; nothing if the member has left since.
    pub from_bytes: Option<u64>,
    /// The one behind the last.
    pub to_bytes: Option<u64>,
}

/// What is wrong.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FaultWord {
    /// The blocks named.
    Blocks,
    /// More than one block, and none can be named.
    Several,
    /// One side, and nothing says which.
    Unknown,
    /// The blocks named could not be read.
    Unreadable,
}

/// What a block is for its row.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RoleWord {
    /// Data, beside parity.
    Data,
    /// P.
    P,
    /// Q.
    Q,
    /// One of several copies.
    Copy,
}

/// What became of a finding.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum MendedWord {
    /// Nobody asked for a repair.
    NotAsked,
    /// It was repaired.
    Yes,
    /// Nothing says what to write.
    Unjustified,
    /// A member did not take it.
    Failed,
}

impl CheckStatus {
    /// How `running`'s check is; nothing if there was none. `rate` and time left are the desk's to know.
    pub(super) fn new(running: &Running, checks: &Checks, repair: Option<Whom>) -> Option<Self> {
        let tally = checks.tally;
        if tally.total == 0 {
            return None;
        }
        let listed = checks.findings.len() as u64;
        Some(Self {
            running: checks.state != State::Resting,
            paused: false,
            repair,
            done_bytes: running.bytes_of(tally.done()),
            total_bytes: running.bytes_of(tally.total),
            bytes_per_s: None,
            left_s: None,
            wrong_sectors: tally.wrong_sectors,
            mended: tally.mended,
            in_doubt_bytes: running.bytes_of(tally.in_doubt),
            blind_bytes: running.bytes_of(tally.blind),
            lost_bytes: running.bytes_of(tally.lost),
            findings: listed,
            unlisted: checks.unlisted,
            remaining: (listed + checks.unlisted).saturating_sub(tally.mended),
            durable: !tally.unflushed,
        })
    }
}

impl FindingStatus {
    fn new(running: &Running, finding: &Finding) -> Self {
        let rows = running.rows();
        let named = finding.members();
        let (fault, blocks) = match finding.fault {
            Fault::Blocks(_) => (FaultWord::Blocks, named),
            Fault::Unreadable(_) => (FaultWord::Unreadable, named),
            Fault::Several => (FaultWord::Several, compared(running, finding)),
            Fault::Unknown => (FaultWord::Unknown, compared(running, finding)),
        };
        let block = |slot: Member| {
            let bytes = running.medium_bytes(finding, slot);
            let (from_bytes, to_bytes) = (bytes.as_ref().map(|at| at.start), bytes.as_ref().map(|at| at.end));
            BlockStatus { slot: slot.0, role: role(rows, finding.row, slot), from_bytes, to_bytes }
        };
        let array = finding.array(rows).filter_map(|run| Some((run.at.bytes()?, run.end()?.bytes()?)));
        Self {
            row: finding.row.0,
            fault,
            bytes: finding.bytes.into(),
            blocks: blocks.iter().map(block).collect(),
            array_bytes: array.collect(),
            mended: match finding.mended {
                Mended::NotAsked => MendedWord::NotAsked,
                Mended::Yes => MendedWord::Yes,
                Mended::Unjustified => MendedWord::Unjustified,
                Mended::Failed => MendedWord::Failed,
            },
        }
    }
}

/// Who has a part in the row of a finding.
fn compared(running: &Running, finding: &Finding) -> Columns {
    let sight = running.rows().sight(finding.row, finding.band, &running.health());
    sight.members.intersection(sight.readable)
}

fn role(rows: &Rows, row: RowNo, member: Member) -> RoleWord {
    match rows.stripe(row).map(|stripe| stripe.part(member)) {
        None => RoleWord::Copy,
        Some(Some(Part::P)) => RoleWord::P,
        Some(Some(Part::Q)) => RoleWord::Q,
        Some(_) => RoleWord::Data,
    }
}

impl Desk {
    /// Does what is asked of checks; `None` if the question is another one.
    pub(super) fn obey_check(&self, ask: &Ask) -> Option<Result<(), Refusal>> {
        Some(match ask {
            Ask::Check { repair, offset_bytes, length_bytes } => self.check(*repair, *offset_bytes, *length_bytes),
            Ask::StopCheck => {
                self.running().stop_check();
                Ok(())
            }
            _ => return None,
        })
    }

    fn check(&self, repair: Option<Whom>, offset_bytes: u64, length_bytes: Option<u64>) -> Result<(), Refusal> {
        let running = self.running();
        let slots = running.health().members();
        let copies = running.rows().stripe(RowNo(0)).is_none();
        match repair {
            Some(Whom::Copy(slot) | Whom::AllBut(slot)) if u16::from(slot) >= slots => {
                return Err(Refusal::new(USAGE, format!("there is no slot {slot}; the last is {}", slots - 1)));
            }
            Some(Whom::Data) if copies => {
                return Err(Refusal::new(
                    USAGE,
                    "copies have no data apart from them: trust one of them (copy=MEMBER)",
                ));
            }
            Some(Whom::Copy(_)) if !copies => {
                return Err(Refusal::new(USAGE, "parity is no copy: trust the data, or all but one member"));
            }
            _ => {}
        }
        let size = crate::media::Media::size_bytes(running.as_ref());
        let end = length_bytes.map_or(Some(size), |length| offset_bytes.checked_add(length));
        let end = end.filter(|end| *end <= size && offset_bytes < *end);
        let end = end.ok_or_else(|| Refusal::new(USAGE, format!("the range is empty, or ends behind {size} bytes")))?;
        let all = RowNo(0)..RowNo(running.rows().count());
        let rows = if (offset_bytes, end) == (0, size) {
            Some(all)
        } else {
            running.rows_of(Sector(offset_bytes / SECTOR_BYTES)..Sector(end.div_ceil(SECTOR_BYTES)))
        };
        let rows = rows.ok_or_else(|| Refusal::new(USAGE, "no row holds these sectors"))?;
        let order = Order { from: rows.start, to: rows.end, repair: repair.map(Trust::from) };
        self.note_repair(|| running.check(order), repair).map_err(|refused| match refused {
            check::Refused::Busy => Refusal::new(REFUSED, "a check is under way; `raid check --stop` calls it off"),
            other => Refusal::new(REFUSED, other),
        })
    }

    /// What was found, from that one on and as much as an answer holds; in order, once the check is through.
    #[must_use]
    pub fn findings(&self, from: u64) -> Vec<FindingStatus> {
        let running = self.running();
        let page = (BLOCKS_MAX / usize::from(running.health().members()).max(1)).max(1);
        let from = usize::try_from(from).unwrap_or(usize::MAX);
        let found = running.checks().findings;
        found.iter().skip(from).take(page).map(|finding| FindingStatus::new(running, finding)).collect()
    }
}
