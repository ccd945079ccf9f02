//! Power on: what the disks say together, and what is to be done about it first.

use raid_core::engine;
use raid_core::health::{Epoch, Event, Health, State};
use raid_core::members::Members;
use raid_core::region::RegionNo;
use raid_core::rows::ROW_SECTORS;
use raid_core::{Columns, Member, Sector};

use super::check;
use super::life::Life;
use super::setup::Setup;
use super::story::Fact;
use super::world::{Outside, World};
use super::{Bug, regions};

/// What stands on the disks.
pub(super) struct Found {
    health: Health,
    /// Regions whose bit is set.
    set: Vec<bool>,
    /// Seats of members and copies by their states, whose disks are not there.
    absent: Vec<Member>,
}

impl Found {
    /// Looks at the disks.
    ///
    /// # Errors
    /// If none knows anything.
    pub(super) fn new(setup: &Setup, outside: &Outside) -> Result<Self, String> {
        let mut health = check::health(&outside.disks).ok_or("no disk knows the members")?;
        let trusted = check::trusted(&outside.disks, &health);
        let skip = outside.bug == Some(Bug::SkipResync);
        let is_set = |region| {
            let region = RegionNo(region);
            !skip && check::bit(&outside.disks, &health, trusted, region, setup.limits.log_page_words)
        };
        let set: Vec<bool> = (0..regions(setup)).map(is_set).collect();
        believe_too_much(&mut health, outside);
        let absent = health.written().iter().filter(|seat| !check::is_current(&outside.disks, *seat)).collect();
        Ok(Self { health, set, absent })
    }

    /// The same, with no region believed to be in order.
    pub(super) fn all_in_doubt(mut self) -> Self {
        self.set.fill(true);
        self
    }

    /// True if the region's bit was found set.
    pub(super) fn in_doubt(&self, region: RegionNo) -> bool {
        usize::try_from(region.0).is_ok_and(|region| self.set[region])
    }

    /// The engine as it is made from that.
    pub(super) fn world(&self, setup: &Setup, outside: Outside) -> World {
        let members = Members::new(self.health, setup.limits.read_errors_max).expect("memory is plenty");
        World::new(setup, members, &|region| self.in_doubt(region), outside).expect("memory is plenty")
    }
}

impl Life<'_> {
    /// The first that an array does: members that are not there are out, and what is due from the start begins.
    pub(super) fn begin(&self) {
        // Nobody opened them: nothing that is decided before they are given a slot reaches them. Seed 8082237: a blank disk was told the
        // states while another absent one was thrown out, in which it was in sync, and the power failed.
        self.world.outside(|out| {
            for seat in &self.found.absent {
                if let Some(disk) = out.disks.get_mut(usize::from(seat.0)) {
                    disk.since = Epoch(u64::MAX);
                }
            }
        });
        for member in &self.found.absent {
            self.tell(Fact::Absent { member: *member });
            self.lose(*member);
        }
        engine::start(&self.world);
    }
}

/// The mistakes that an assembly can make.
fn believe_too_much(health: &mut Health, outside: &Outside) {
    for member in Columns::first(health.members()).iter() {
        let event = match (outside.bug, health.state(member)) {
            (Some(Bug::TrustAboveMark), Some(State::Rebuilding { .. })) => Event::Finish,
            (Some(Bug::MarkAhead), Some(State::Rebuilding { mark })) => {
                Event::Advance { mark: Sector(mark.0 + ROW_SECTORS) }
            }
            (Some(Bug::StaleReturn), Some(State::Missing)) if outside.disks[check::serving(health, member)].present => {
                Event::Admit
            }
            _ => continue,
        };
        health.apply(member, event).expect("the state was looked at");
    }
}
