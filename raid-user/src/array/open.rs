//! Opening: from members that were found to an array that reads, or a refusal that says why.

use raid_core::reshape::Layouts;
use raid_core::{ArrayConfig, Columns, Extent, Level, Member, Raid0Layout, Sector, Sectors, Sizes, StripeNo};
use raid_core::geometry::Geometry;
use raid_formats::assemble::{Assembly, Claimant, Force, Verdict, judge};
use raid_formats::record::{Record, Shape, Sync, WriteLog};

use super::options::{OpenError, OpenOptions, Warning};
use super::{Array, DirtyRows, Slot, slot_list};
use crate::discover::Found;

impl Array {
    /// Opens the array that `found` belongs to. All must belong to one array; see [`crate::discover::group`].
    ///
    /// # Errors
    /// [`OpenError`]; nothing was written, and nothing is half open.
    pub fn open(found: Vec<Found>, options: &OpenOptions) -> Result<Self, OpenError> {
        let judged = Judged::new(found, options)?;
        let mut warnings = judged.warnings();
        let shape = judged.shape(options);
        let slots = judged.slots(&mut warnings)?;
        let layouts = judged.layouts(shape, &slots, options)?;
        let missing = missing(&slots);
        judge_missing(&layouts, &judged, missing, options, &mut warnings)?;
        judged.logs(options, &mut warnings)?;
        let doubt = judged.doubt(&layouts, missing, options, &mut warnings);
        if let Some(reshape) = judged.lead().reshape {
            warnings.push(Warning::Reshaping { position: reshape.position.0 });
        }
        let (size, record) = (layouts.array_size(), *judged.lead());
        Ok(Self { layouts, slots, doubt, ops: raid_core::parity::detect(), size, record, warnings })
    }
}

/// The members of one array with what was judged of each.
struct Judged {
    found: Vec<Found>,
    verdicts: Vec<Verdict>,
    assembly: Assembly,
}

impl Judged {
    fn new(found: Vec<Found>, options: &OpenOptions) -> Result<Self, OpenError> {
        if found.is_empty() {
            return Err(OpenError::NoMember);
        }
        let mut members = Vec::new();
        for name in &options.use_stale {
            let index = found.iter().position(|found| found.name() == name);
            members.push(index.ok_or_else(|| OpenError::NotGiven(name.clone()))?);
        }
        let force = Force { events: options.force_events, members: &members };
        let mut verdicts = vec![Verdict::Spare; found.len()];
        let assembly = judge(&found, &force, &mut verdicts).map_err(|refusal| {
            OpenError::Refusal(refusal.named(|index| found.get(index).map_or("?", Found::name)).to_string())
        })?;
        Ok(Self { found, verdicts, assembly })
    }

    /// What the freshest member says.
    fn lead(&self) -> &Record {
        self.found[self.assembly.freshest].record()
    }

    fn both(&self) -> impl Iterator<Item = (&Found, &Verdict)> {
        self.found.iter().zip(&self.verdicts)
    }

    fn warnings(&self) -> Vec<Warning> {
        let newest = self.lead().events;
        self.both()
            .filter_map(|(found, verdict)| {
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
            })
            .collect()
    }

    /// The lead's shape, with the RAID 0 layout that the user states where the metadata do not.
    fn shape(&self, options: &OpenOptions) -> Shape {
        let mut shape = self.lead().shape;
        if let (Level::Raid0(Raid0Layout::Unstated), Some(layout)) = (shape.level, options.raid0_layout) {
            shape.level = Level::Raid0(layout);
        }
        shape
    }
}
