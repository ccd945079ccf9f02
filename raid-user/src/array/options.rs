//! What an opener may be told, what it warns of, and why it refuses.
//!
//! Every risk has its own switch. None of them is implied by another, and each says what it risks.

use std::fmt;

use raid_core::{Extent, Raid0Layout};
use raid_formats::assemble::{Refusal, Verdict};
use thiserror::Error;

use crate::discover::{Ambiguous, Identity};

/// How an array is to be opened. The default takes no risk but reads a degraded array that its level survives.
#[derive(Clone, Debug, Default)]
pub struct OpenOptions {
    /// Refuse an array that lacks any member.
    pub strict: bool,
    /// Members (as given) to use although they are stale or were thrown out.
    pub use_stale: Vec<String>,
    /// Use all slot members, whatever their event counts.
    pub force_events: bool,
    /// Read past a journal that was not replayed.
    pub ignore_journal: bool,
    /// Do not replay partial parity.
    pub ignore_ppl: bool,
    /// Believe parity where the array was dirty when it lost a member.
    pub trust_dirty_parity: bool,
    /// Run an array without its partial parity log or its journal: metadata say so until redundancy agrees everywhere. Counts where an
    /// array is run.
    pub without_log: bool,
    /// Open although too many members are missing; what is lost gives read errors.
    pub partial: bool,
    /// RAID 0 layout, where the metadata do not say.
    pub raid0_layout: Option<Raid0Layout>,
}

/// Something the user should know about an array that was opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Warning {
    /// Slots without a usable member.
    Degraded {
        /// The slots.
        missing: Vec<u16>,
        /// True if not even one more member may fail.
        last_chance: bool,
    },
    /// A member was given but not used.
    NotUsed {
        /// The member as given.
        member: String,
        /// Why not.
        verdict: Verdict,
    },
    /// A stale or thrown-out member is used because the user said so.
    Forced {
        /// The member as given.
        member: String,
        /// Its slot.
        slot: u16,
        /// Events it lags.
        behind: u64,
    },
    /// Nothing on the medium says which disk it is; it was found out otherwise.
    Identified {
        /// The member as given.
        member: String,
        /// Serial number of the disk that it is taken for.
        serial: String,
        /// How it was found out.
        identity: Identity,
    },
    /// Only a part of this member's data is trusted.
    Rebuilding {
        /// The member as given.
        member: String,
        /// Its slot.
        slot: u16,
        /// Trusted sectors.
        mark_sectors: u64,
    },
    /// The array was not stopped cleanly; nothing is missing, so data are read as they are.
    Dirty,
    /// The array was not stopped cleanly and is degraded: these rows cannot be recovered with certainty.
    DirtyDegraded {
        /// Rows in doubt, in member sectors; `None` if all are.
        doubted: Option<Vec<Extent>>,
        /// True if the user said to believe parity all the same.
        believed: bool,
    },
    /// The journal holds writes that did not reach the members.
    JournalNotReplayed,
    /// What the journal holds was laid over the members in memory.
    JournalReplayed {
        /// Stripes that it changed.
        stripes: usize,
    },
    /// The journal's member is not here.
    JournalMissing,
    /// Partial parity logs hold entries that were not replayed.
    PplNotReplayed {
        /// How many.
        entries: u64,
    },
    /// Partial parity was replayed, in memory.
    PplReplayed {
        /// Entries whose parity is right now.
        entries: u64,
        /// Entries that could not be used.
        damaged: u64,
    },
    /// The array is in the middle of a change of shape.
    Reshaping {
        /// Array sector it stands at.
        position: u64,
    },
    /// This member lists bad blocks.
    BadBlocks {
        /// The member as given.
        member: String,
        /// How many sectors.
        sectors: u64,
    },
    /// More is missing than the level survives; what is lost gives read errors.
    Partial {
        /// Slots without a member.
        missing: Vec<u16>,
    },
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Degraded { missing, last_chance } => {
                write!(f, "degraded: no usable member in {}", slots(missing))?;
                f.write_str(if *last_chance { "; no further member may fail" } else { "" })
            }
            Self::NotUsed { member, verdict } => write!(f, "{member}: not used: {}", because(verdict)),
            Self::Forced { member, slot, behind } => write!(
                f,
                "{member}: used in slot {slot} on your word; it lags {behind} events, \
                 so what was written since is a mix of old and new"
            ),
            Self::Identified { member, serial, identity } => {
                write!(f, "{member}: {} the disk with serial number {serial}{}", identity.words().0, identity.words().1)
            }
            Self::Rebuilding { member, slot, mark_sectors } => {
                write!(f, "{member}: slot {slot} was being rebuilt; only its first {mark_sectors} sectors are trusted")
            }
            Self::Dirty => f.write_str("not stopped cleanly: parity or copies may disagree; data are read as they are"),
            Self::DirtyDegraded { doubted, believed } => dirty_degraded(f, doubted.as_deref(), *believed),
            Self::JournalNotReplayed => f.write_str(
                "the journal holds writes that did not reach the members; \
                 read without them, recent data are missing or torn",
            ),
            Self::JournalReplayed { stripes } => {
                write!(
                    f,
                    "{stripes} stripes were taken from the journal, in memory: it holds writes that the members lack"
                )
            }
            Self::JournalMissing => {
                f.write_str("the journal member is not here; writes that it alone holds are missing or torn")
            }
            Self::PplNotReplayed { entries } => {
                write!(
                    f,
                    "{entries} partial-parity entries were not replayed; \
                 the parity of their stripes is stale"
                )
            }
            Self::PplReplayed { entries, damaged } => {
                write!(f, "not stopped cleanly: {entries} partial-parity entries were replayed in memory")?;
                match damaged {
                    0 => Ok(()),
                    damaged => write!(f, "; {damaged} more are damaged, and the parity of their stripes is in doubt"),
                }
            }
            Self::Reshaping { position } => {
                write!(f, "caught in a reshape at array sector {position}; both sides are read where they are")
            }
            Self::BadBlocks { member, sectors } => {
                write!(f, "{member}: lists {sectors} bad sectors, which are not read")
            }
            Self::Partial { missing } => {
                write!(
                    f,
                    "no usable member in {}: more than the level survives; \
                 what is lost gives read errors",
                    slots(missing)
                )
            }
        }
    }
}

fn dirty_degraded(f: &mut fmt::Formatter<'_>, doubted: Option<&[Extent]>, believed: bool) -> fmt::Result {
    f.write_str("not stopped cleanly and degraded: ")?;
    match doubted {
        None => f.write_str("no log says which rows are in doubt, so all are")?,
        Some(runs) => {
            let sectors: u64 = runs.iter().map(|run| run.len.0).sum();
            write!(f, "{sectors} sectors a member are in doubt")?;
        }
    }
    f.write_str(match believed {
        true => "; believed on your word",
        false => "; what parity would have to recover there gives read errors",
    })
}

/// `slot 3` or `slots 0, 3`.
pub(crate) fn slots(slots: &[u16]) -> String {
    let list = slots.iter().map(u16::to_string).collect::<Vec<_>>().join(", ");
    format!("slot{} {list}", if slots.len() == 1 { "" } else { "s" })
}

/// Why a member with this verdict does not serve, as the end of a sentence.
#[must_use]
pub fn because(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Current { slot, .. } => format!("current in slot {slot}"),
        Verdict::Replacement { slot } => {
            format!("a replacement in the making for slot {slot}, whose member still serves")
        }
        Verdict::Stale { slot, behind } => format!("stale: slot {slot} went on without it for {behind} events"),
        Verdict::ThrownOut { slot } => {
            format!("thrown out: the freshest member says that it failed or left slot {slot}")
        }
        Verdict::Spare => "a spare: it holds no data".into(),
        Verdict::Faulty => "marked faulty".into(),
        Verdict::Journal { behind: 0 | 1 } => "the journal".into(),
        Verdict::Journal { behind } => format!("a journal that is stale by {behind} events"),
        Verdict::Duplicate { .. } => "another copy of the same member was given".into(),
        Verdict::SlotTaken { slot, .. } => format!("slot {slot} has a fresher member"),
        Verdict::NoSuchSlot { slot, members } => format!("claims slot {slot}, but the array has {members} slots"),
        Verdict::Unidentified => "nothing tells which disk of the array it is".into(),
        Verdict::OtherShape => "says another level, layout, width or chunk than the freshest member".into(),
    }
}

fn unidentified(members: &[Ambiguous]) -> String {
    let each = members.chunk_by(|one, next| one.choices == next.choices).map(|alike| {
        let names: Vec<&str> = alike.iter().map(|one| one.member.as_str()).collect();
        let each = if alike.len() > 1 { " each" } else { "" };
        if alike[0].choices.is_empty() {
            return format!("{}: no disk of the table is as long as this and still belongs to it", names.join(", "));
        }
        format!("{} may{each} be {}", names.join(", "), alike[0].choices.join(" or "))
    });
    format!(
        "nothing tells which disk of the array a member is: {}; \
         say it with --serial FILE=SERIAL, or in a file FILE.serial",
        each.collect::<Vec<_>>().join("; ")
    )
}

/// Why an array was not opened. Nothing was written, whatever the reason.
#[derive(Debug, Error)]
pub enum OpenError {
    /// Members of several arrays were given.
    #[error("members of {} arrays were given ({}); say which with --array", .0.len(), .0.join(", "))]
    SeveralArrays(Vec<String>),
    /// The named array is not among the members.
    #[error("no member of array {0} was given")]
    NoSuchArray(String),
    /// No member was given.
    #[error("no member was given")]
    NoMember,
    /// Nobody knows which disks of the array some members are.
    #[error("{}", unidentified(.0))]
    Unidentified(Vec<Ambiguous>),
    /// `--use-stale` names something that was not given.
    #[error("--use-stale {0}: no such member was given")]
    NotGiven(String),
    /// No array can be told from the members.
    #[error("{refusal} (members in the order given: {})", .members.join(", "))]
    Refusal {
        /// The members as given; the refusal counts them from 0.
        members: Vec<String>,
        /// Why.
        refusal: Refusal,
    },
    /// The metadata describe an array that cannot be.
    #[error("{member}: its metadata describe no possible array: {reason}")]
    Config {
        /// The freshest member, as given.
        member: String,
        /// What is wrong.
        reason: String,
    },
    /// Too many members are missing.
    #[error("{level} with {members} slots does not survive without {}", slots(.missing))]
    TooManyMissing {
        /// Level, for people.
        level: String,
        /// Slots of the array.
        members: u16,
        /// Those without a usable member.
        missing: Vec<u16>,
    },
    /// `strict` and a member is missing.
    #[error("degraded: no usable member in {}, and --strict was given", slots(.missing))]
    Strict {
        /// Slots without a usable member.
        missing: Vec<u16>,
    },
    /// A log holds what must be replayed first.
    #[error("{0}; open it all the same with {1}")]
    NotReplayed(Warning, &'static str),
    /// A member cannot be read where its metadata lie.
    #[error("{member}: {reason}")]
    Member {
        /// The member, as given.
        member: String,
        /// What was found.
        reason: String,
    },
}
