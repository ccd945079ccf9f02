//! What can be seen of a running array from outside.

use raid_core::Member;
use raid_core::engine::Host as _;
use raid_core::health::{Health, State};
use raid_core::region::{self, RegionNo};
use raid_core::rows::RowKind;
use raid_core::{Columns, SECTOR_BYTES, Sectors};

use super::running::Running;

/// The regions of the log, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Regions {
    /// All of them; zero where there is no redundancy.
    pub total: u64,
    /// Bits that are set.
    pub dirty: u64,
    /// Those of them whose redundancy may not fit the data.
    pub in_doubt: u64,
}

impl Running {
    /// Counts the regions by their states.
    #[must_use]
    pub fn regions(&self) -> Regions {
        let (limits, rows) = (self.inner.limits(), self.inner.rows());
        if rows.kind() == RowKind::Plain {
            return Regions::default();
        }
        let total = rows.count().div_ceil(limits.region_rows.max(1));
        let mut regions = Regions { total, ..Regions::default() };
        for shard in 0..limits.shards.max(1) {
            self.inner.with_shard(shard, |machine| {
                for region in (u64::from(shard)..total).step_by(usize::from(limits.shards.max(1))) {
                    let state = machine.region(RegionNo(region));
                    regions.dirty += u64::from(state != region::State::Clean);
                    regions.in_doubt += u64::from(state.in_doubt());
                }
            });
        }
        regions
    }

    /// What a region stands for on each member, in bytes.
    #[must_use]
    pub fn region_bytes(&self) -> u64 {
        self.bytes_of(self.inner.limits().region_rows)
    }

    /// What so many rows have of each member, in bytes. A row of copies does not touch every member.
    #[must_use]
    pub fn bytes_of(&self, rows: u64) -> u64 {
        let (count, member) = (self.inner.rows().count(), self.member_sectors().0.saturating_mul(SECTOR_BYTES));
        let bytes = u128::from(rows.min(count)) * u128::from(member) / u128::from(count.max(1));
        u64::try_from(bytes).unwrap_or(u64::MAX)
    }

    /// The rows that have so much of each member, at least one.
    #[must_use]
    pub fn rows_in(&self, bytes: u64) -> u64 {
        let (count, member) = (self.inner.rows().count(), self.member_sectors().0.saturating_mul(SECTOR_BYTES));
        let rows = u128::from(bytes) * u128::from(count) / u128::from(member.max(1));
        u64::try_from(rows).unwrap_or(u64::MAX).max(1)
    }

    /// What the array uses of each member; of the largest, where they differ.
    #[must_use]
    pub fn member_sectors(&self) -> Sectors {
        let geometry = self.inner.rows().geometry();
        let members = (0..=u8::MAX).take(usize::from(geometry.members())).map(Member);
        members.map(|member| geometry.member_size(member)).max().unwrap_or(Sectors::ZERO)
    }

    /// True if there is redundancy: members can fail and be replaced.
    #[must_use]
    pub fn is_redundant(&self) -> bool {
        self.inner.rows().kind() != RowKind::Plain
    }

    /// True while recovery has something to do and does it.
    #[must_use]
    pub fn is_recovering(&self) -> bool {
        !self.inner.with_recovery(|recovery| recovery.is_resting() || recovery.is_paused())
    }

    /// Who is in each slot, by the name of the medium.
    pub fn names(&self) -> impl Iterator<Item = Option<String>> {
        let health = self.health();
        let slots = (0..=u8::MAX).take(usize::from(health.members())).map(Member);
        slots.map(move |member| self.name_in(health.seat(member), &health))
    }

    /// The copy in the making of each slot's member, by the name of the medium.
    pub fn copy_names(&self) -> impl Iterator<Item = Option<String>> {
        let health = self.health();
        let slots = (0..=u8::MAX).take(usize::from(health.members())).map(Member);
        slots.map(move |member| health.copy(member).and_then(|_| self.name_in(health.second_seat(member), &health)))
    }

    fn name_in(&self, seat: Member, health: &Health) -> Option<String> {
        self.inner.seats.at(seat, health.epoch()).map(|seat| seat.media.describe())
    }

    /// True if recovery was told to rest.
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.inner.with_recovery(|recovery| recovery.is_held())
    }

    /// What recovery has left to do on each member, in bytes; nothing if it does nothing.
    #[must_use]
    pub fn left_bytes(&self) -> Option<u64> {
        let (to_fill, resync) = self.inner.with_recovery(|recovery| {
            let rests = recovery.is_resting();
            if rests { None } else { Some((recovery.rows_to_fill(), recovery.progress().resync)) }
        })?;
        if self.is_broken() {
            return None;
        }
        // The pass looks at all regions, and stays with those in doubt only.
        let doubt = self.regions().in_doubt.saturating_mul(self.inner.limits().region_rows);
        let resync = resync.map(|share| share.total.saturating_sub(share.done).min(doubt));
        let rows = to_fill.max(resync).unwrap_or(0);
        Some(self.bytes_of(rows))
    }

    /// True if the array keeps all its data without this member too.
    #[must_use]
    pub fn survives_without(&self, member: Member) -> bool {
        let health = self.health();
        let mut out = Columns::first(health.members()).difference(health.in_sync());
        out.insert(member);
        health.state(member) != Some(State::InSync) || self.inner.rows().geometry().survives(out)
    }

    /// Why the format cannot do without this member, though others hold the same.
    #[must_use]
    pub fn vital(&self, member: Member) -> Option<&'static str> {
        self.inner.store.vital(member)
    }

    /// Rows that recovery could not put in order.
    #[must_use]
    pub fn unhealed_rows(&self) -> u64 {
        self.inner.with_recovery(|recovery| recovery.failures())
    }
}
