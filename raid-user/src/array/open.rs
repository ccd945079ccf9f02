//! Opening: from members that were found to an array that reads, or a refusal that says why.

use std::sync::RwLock;

use raid_core::geometry::Geometry;
use raid_core::reshape::{Layouts, Side};
use raid_core::{Columns, Extent, Level, MEMBERS_MAX, Member, Raid0Layout, Sector, Sectors};
use raid_formats::assemble::{Assembly, Claimant, Force, Verdict, judge};
use raid_formats::md;
use raid_formats::record::{Record, Shape, Sync, WriteLog};

use super::journal::Replay;
use super::options::{OpenError, OpenOptions, Warning};
use super::runs::with_run;
use super::{Array, DirtyRows, Slot, slot_list};
use crate::discover::{Ambiguous, Found, Identity, MediaSource};

/// Working space for reading logs: what `journal_state` and a partial parity log ask for.
pub(super) const LOG_BUFFER_BYTES: usize = 8192;

impl Array {
    /// Opens the array that `found` belongs to. All must belong to one array; see [`crate::discover::group`].
    ///
    /// # Errors
    /// [`OpenError`]; nothing was written, and nothing is half open.
    pub fn open(found: Vec<Found>, options: &OpenOptions) -> Result<Self, OpenError> {
        Self::of(&Judged::new(found, options)?, options)
    }

    /// The same, with the rows whose redundancy a resync would have to put in order first: runs of sectors, eight to a row.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub(crate) fn open_with_doubt(found: Vec<Found>, options: &OpenOptions) -> Result<(Self, Vec<Extent>), OpenError> {
        let judged = Judged::new(found, options)?;
        let array = Self::of(&judged, options)?;
        let copies = array.layouts.geometry(Side::Old).stripe(raid_core::StripeNo(0)).is_none();
        let rows = match judged.lead().sync {
            // Copies that differ are read all the same, from the first: reading knows no doubt of them.
            Sync::DirtyFrom(from) if copies => judged.dirty_rows(from)?,
            _ => {
                let runs = array.doubt.runs();
                return Ok((array, runs));
            }
        };
        Ok((array, rows.runs()))
    }

    pub(crate) fn of(judged: &Judged, options: &OpenOptions) -> Result<Self, OpenError> {
        let mut warnings = judged.warnings();
        let slots = judged.slots(&mut warnings)?;
        let layouts = judged.layouts(&slots, options)?;
        let missing = missing(&slots);
        judge_missing(&layouts, missing, options, &mut warnings)?;
        judged.check_journal(options, &mut warnings)?;
        if let Some(reshape) = judged.lead().reshape {
            warnings.push(Warning::Reshaping { position: reshape.position.0 });
        }
        let (size, record) = (layouts.array_size(), *judged.lead());
        let ops = raid_core::parity::detect();
        let mut array = Self { layouts, slots, doubt: DirtyRows::Nothing, ops, size, record, warnings, guessed: false };
        array.doubt = match array.replay_ppl(judged, options)? {
            Some(rows) => rows,
            None => judged.doubt(&array.layouts, missing, options, &mut array.warnings)?,
        };
        if !options.ignore_journal {
            array.replay_of(judged)?;
        }
        Ok(array)
    }

    /// Replays the journal, if there is one, over the members.
    fn replay_of(&mut self, judged: &Judged) -> Result<(), OpenError> {
        let Some(found) = judged.journal() else { return Ok(()) };
        let geometry = self.layouts.geometry(Side::Old);
        let replay = with_superblock(found, |source, superblock| Replay::read(source, superblock, geometry))?;
        let Some(replay) = replay.filter(|replay| !replay.is_empty()) else { return Ok(()) };
        let stripes = replay.len();
        let named = |error: std::io::Error| OpenError::Member {
            member: found.name().to_owned(),
            reason: format!("the journal cannot be replayed: {error}"),
        };
        self.replay(replay).map_err(named)?;
        self.warnings.push(Warning::JournalReplayed { stripes });
        Ok(())
    }
}

/// True if there is something in the journal of that member.
fn holds_data(found: &Found) -> Result<bool, OpenError> {
    let state =
        with_superblock(found, |source, superblock| md::journal_state(source, superblock, &mut [0; LOG_BUFFER_BYTES]));
    Ok(state?.flatten().is_some_and(|state| state.holds_data()))
}

/// What is judged of each of an array's members, in their order.
///
/// # Errors
/// [`OpenError::NoMember`], [`OpenError::Unidentified`], [`OpenError::NotGiven`], [`OpenError::Refusal`].
pub fn verdicts(found: &[Found], options: &OpenOptions) -> Result<(Assembly, Vec<Verdict>), OpenError> {
    if found.is_empty() {
        return Err(OpenError::NoMember);
    }
    let mut members = Vec::new();
    for name in &options.use_stale {
        let index = found.iter().position(|found| found.name() == name);
        members.push(index.ok_or_else(|| OpenError::NotGiven(name.clone()))?);
    }
    let force = Force { events: options.force_events, members: &members };
    let ambiguous: Vec<Ambiguous> = found.iter().filter_map(Found::ambiguous).collect();
    if !ambiguous.is_empty() {
        return Err(OpenError::Unidentified(ambiguous));
    }
    let mut verdicts = vec![Verdict::Spare; found.len()];
    let assembly = judge(found, &force, &mut verdicts).map_err(|refusal| OpenError::Refusal {
        members: found.iter().map(|found| found.name().to_owned()).collect(),
        refusal,
    })?;
    Ok((assembly, verdicts))
}

/// The members of one array with what was judged of each.
pub(crate) struct Judged {
    found: Vec<Found>,
    verdicts: Vec<Verdict>,
    assembly: Assembly,
}

impl Judged {
    pub(crate) fn new(found: Vec<Found>, options: &OpenOptions) -> Result<Self, OpenError> {
        let (assembly, verdicts) = verdicts(&found, options)?;
        Ok(Self { found, verdicts, assembly })
    }

    pub(crate) fn freshest(&self) -> &Found {
        &self.found[self.assembly.freshest]
    }

    /// What the freshest member says.
    pub(crate) fn lead(&self) -> &Record {
        self.freshest().record()
    }

    pub(crate) fn both(&self) -> impl Iterator<Item = (&Found, &Verdict)> {
        self.found.iter().zip(&self.verdicts)
    }

    fn warnings(&self) -> Vec<Warning> {
        let newest = self.lead().events;
        let warn = |(found, verdict): (&Found, &Verdict)| {
            let member = found.name().to_owned();
            match *verdict {
                Verdict::Current { slot, forced: true, .. } => {
                    Some(Warning::Forced { member, slot, behind: newest.saturating_sub(found.record().events) })
                }
                Verdict::Current { slot, mark: Some(mark), .. } => {
                    Some(Warning::Rebuilding { member, slot, mark_sectors: mark.0 })
                }
                Verdict::Current { .. } | Verdict::Spare | Verdict::Journal { behind: 0 | 1 } => None,
                verdict => Some(Warning::NotUsed { member, verdict }),
            }
        };
        let guessed = self.found.iter().filter_map(|found| {
            let identity = found.identity()?;
            let (member, serial) = (found.name().to_owned(), found.serial()?);
            matches!(identity, Identity::Eliminated | Identity::Logged | Identity::Interchangeable)
                .then_some(Warning::Identified { member, serial, identity })
        });
        guessed.chain(self.both().filter_map(warn)).collect()
    }

    /// The members in their slots.
    pub(crate) fn slots(&self, warnings: &mut Vec<Warning>) -> Result<Vec<Option<Slot>>, OpenError> {
        let count = usize::from(self.assembly.slots);
        if count > MEMBERS_MAX {
            let reason = format!("{count} slots; at most {MEMBERS_MAX} can be served");
            return Err(OpenError::Config { member: self.freshest().name().to_owned(), reason });
        }
        let mut slots: Vec<Option<Slot>> = (0..count).map(|_| None).collect();
        for (found, verdict) in self.both() {
            if let Verdict::Current { slot, mark, .. } = *verdict
                && let Some(place) = slots.get_mut(usize::from(slot))
            {
                *place = Some(Slot::new(found, mark, warnings)?);
            }
        }
        Ok(slots)
    }

    pub(crate) fn layouts(&self, slots: &[Option<Slot>], options: &OpenOptions) -> Result<Layouts, OpenError> {
        let mut shape = self.lead().shape;
        if let (Level::Raid0(Raid0Layout::Unstated), Some(layout)) = (shape.level, options.raid0_layout) {
            shape.level = Level::Raid0(layout);
        }
        let old = self.geometry(&shape, slots)?;
        Ok(match self.lead().reshape {
            None => Layouts::one(old),
            Some(reshape) => Layouts::two(old, self.geometry(&reshape.to, slots)?, reshape.position, reshape.backwards)
                .map_err(|error| self.impossible(&error))?,
        })
    }

    /// Levels that use every member to its end take the sizes of the members. A missing one is taken to be as large as the lead.
    fn geometry(&self, shape: &Shape, slots: &[Option<Slot>]) -> Result<Geometry, OpenError> {
        let lead = self.lead();
        let each: Vec<Sectors> = (0..usize::from(shape.members))
            .map(|slot| slots.get(slot).and_then(Option::as_ref).map_or(lead.data.len, |slot| slot.data_len))
            .collect();
        Geometry::new(&shape.config(lead.used, &each)).map_err(|error| self.impossible(&error))
    }

    fn impossible(&self, error: &dyn std::error::Error) -> OpenError {
        OpenError::Config { member: self.freshest().name().to_owned(), reason: error.to_string() }
    }

    /// The member that holds the array's journal.
    pub(crate) fn journal(&self) -> Option<&Found> {
        let current = |(found, verdict): &(&Found, &Verdict)| {
            matches!(verdict, Verdict::Journal { behind: 0 | 1 })
                && matches!(found.record().log, WriteLog::Journal { .. })
        };
        self.both().find(current).map(|(found, _)| found)
    }

    /// Refuses an array whose journal is not here, unless told to read past it.
    fn check_journal(&self, options: &OpenOptions, warnings: &mut Vec<Warning>) -> Result<(), OpenError> {
        let mut refuse = |warning: Warning, allowed: bool, flag| {
            if !allowed {
                return Err(OpenError::NotReplayed(warning, flag));
            }
            warnings.push(warning);
            Ok(())
        };
        if let WriteLog::Journal { .. } = self.lead().log {
            let Some(found) = self.journal() else {
                return refuse(Warning::JournalMissing, options.ignore_journal, "--ignore-journal");
            };
            // A journal that is replayed is walked then, and tells itself what it held.
            if options.ignore_journal && holds_data(found)? {
                refuse(Warning::JournalNotReplayed, true, "--ignore-journal")?;
            }
        }
        Ok(())
    }

    /// Which rows' parity cannot be believed: those that the freshest bitmap marks, or without one all above the mark.
    fn doubt(
        &self,
        layouts: &Layouts,
        missing: Columns,
        options: &OpenOptions,
        warnings: &mut Vec<Warning>,
    ) -> Result<DirtyRows, OpenError> {
        let Sync::DirtyFrom(from) = self.lead().sync else { return Ok(DirtyRows::Nothing) };
        let parity = layouts.geometry(Side::Old).stripe(raid_core::StripeNo(0)).is_some();
        if !parity || missing.is_empty() {
            warnings.push(Warning::Dirty);
            // Without a missing member parity serves only what a member fails to read, and there it must be sound too.
            return if parity { self.dirty_rows(from) } else { Ok(DirtyRows::Nothing) };
        }
        let rows = self.dirty_rows(from)?;
        let doubted = match &rows {
            DirtyRows::Runs(runs) => Some(runs.clone()),
            DirtyRows::Nothing | DirtyRows::From(_) => None,
        };
        warnings.push(Warning::DirtyDegraded { doubted, believed: options.trust_dirty_parity });
        Ok(if options.trust_dirty_parity { DirtyRows::Nothing } else { rows })
    }

    fn dirty_rows(&self, from: Sector) -> Result<DirtyRows, OpenError> {
        let found = self.freshest();
        let mut chunks = Vec::new();
        let summary = with_superblock(found, |source, superblock| {
            md::read_bitmap(source, superblock, &mut [0; LOG_BUFFER_BYTES], |chunk| chunks.push(chunk))
        })?;
        let summary = match (summary.flatten(), found.beside(), found.record().log) {
            (None, Some(beside), WriteLog::Bitmap(at)) => {
                let log = ([0; 16], found.record().events);
                let read = |chunk| chunks.push(chunk);
                md::read_bitmap_at(&MediaSource(beside.as_ref()), at, log, &mut [0; LOG_BUFFER_BYTES], read).ok()
            }
            (summary, ..) => summary,
        };
        let Some(summary) = summary.filter(|summary| !summary.stale) else {
            return Ok(DirtyRows::From(from));
        };
        let len = summary.chunk;
        let runs = chunks.into_iter().filter_map(|chunk| Some(Extent { at: Sector(chunk.checked_mul(len.0)?), len }));
        Ok(DirtyRows::Runs(runs.fold(Vec::new(), with_run)))
    }
}

impl Slot {
    fn new(found: &Found, mark: Option<Sectors>, warnings: &mut Vec<Warning>) -> Result<Self, OpenError> {
        let record = found.record();
        let mut bad = vec![Extent::default(); md::bad_blocks::ENTRIES_MAX];
        let count = with_superblock(found, |source, superblock| md::read_bad_blocks(source, superblock, &mut bad))?;
        let count = count.unwrap_or(0);
        bad.truncate(count);
        bad.extend(found.bad_blocks());
        let bad = bad.into_iter().fold(Vec::new(), with_run);
        if !bad.is_empty() {
            let sectors = bad.iter().map(|run| run.len.0).sum();
            warnings.push(Warning::BadBlocks { member: found.name().to_owned(), sectors });
        }
        let bad = found.doubted().iter().copied().fold(bad, with_run);
        Ok(Self {
            name: found.name().to_owned(),
            media: found.media().clone(),
            replayed: None,
            data_at: [record.data.at, record.reshape.map_or(record.data.at, |reshape| reshape.new_data_at)],
            data_len: record.data.len,
            end: Sector(found.media().size_bytes() / raid_core::SECTOR_BYTES),
            mark,
            write_mostly: record.write_mostly,
            bad,
            failed: RwLock::default(),
        })
    }
}

/// Runs a reader of `raid_formats` on a member's MD superblock, if it has one; its fault becomes an error with the member's name.
pub(crate) fn with_superblock<T>(
    found: &Found,
    read: impl FnOnce(&MediaSource<'_>, &md::Superblock<'_>) -> Result<T, md::Fault<std::io::Error>>,
) -> Result<Option<T>, OpenError> {
    let named = |reason: String| OpenError::Member { member: found.name().to_owned(), reason };
    let Some(superblock) = found.superblock() else { return Ok(None) };
    let superblock = superblock.map_err(|refusal| named(refusal.to_string()))?;
    read(&MediaSource(found.media().as_ref()), &superblock).map(Some).map_err(|fault| named(fault.to_string()))
}

pub(crate) fn missing(slots: &[Option<Slot>]) -> Columns {
    (0..=u8::MAX).zip(slots).filter(|(_, slot)| slot.is_none()).map(|(slot, _)| Member(slot)).collect()
}

/// Refuses what does not survive; warns of what does.
pub(crate) fn judge_missing(
    layouts: &Layouts,
    missing: Columns,
    options: &OpenOptions,
    warnings: &mut Vec<Warning>,
) -> Result<(), OpenError> {
    if missing.is_empty() {
        return Ok(());
    }
    if options.strict {
        return Err(OpenError::Strict { missing: slot_list(missing) });
    }
    if layouts.survives(missing) {
        let one_more = |member| layouts.survives(missing.union(Columns::one(member)));
        let last_chance = !Columns::first(layouts.members()).difference(missing).iter().all(one_more);
        warnings.push(Warning::Degraded { missing: slot_list(missing), last_chance });
        return Ok(());
    }
    if !options.partial {
        let level = super::level_name(layouts.geometry(Side::Old).level());
        return Err(OpenError::TooManyMissing { level, members: layouts.members(), missing: slot_list(missing) });
    }
    warnings.push(Warning::Partial { missing: slot_list(missing) });
    Ok(())
}
