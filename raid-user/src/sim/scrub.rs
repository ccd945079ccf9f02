//! Checks in the simulator: beside everything else they accuse nobody, and what rots behind the array's back is named and healed.

use raid_core::check::{Fault, Finding, Mended, Order, State, Trust};
use raid_core::engine::{self, Host};
use raid_core::rows::{RowKind, RowNo};
use raid_core::{Columns, Member};

use super::life::Life;
use super::model::Value;
use super::story::Fact;
use super::world::index;

impl Life<'_> {
    /// A check with repair begins, unless one is under way.
    pub(super) fn patrol(&self) {
        let count = u32::try_from(self.setup.rows.count()).unwrap_or(u32::MAX);
        let (from, repair) = self.world.outside(|out| {
            let trust = if out.dice.coin() { Trust::Nobody } else { Trust::Data };
            (out.dice.below(count), out.dice.coin().then_some(trust))
        });
        let order = Order { from: RowNo(from.into()), to: RowNo(count.into()), repair };
        self.tell(Fact::Checks { order });
        // Refused if one is under way.
        let _ = engine::check(&self.world, order);
    }

    /// What a check finds while no block rotted: members that failed a read, and nothing else.
    pub(super) fn hear_findings(&self) -> Result<(), String> {
        match self.world.take_found().iter().find(|finding| !matches!(finding.fault, Fault::Unreadable(_))) {
            Some(finding) => Err(format!("a check found what is not so: {finding:?}")),
            None => Ok(()),
        }
    }

    /// One sector of one member of a quiet and whole array rots: it is named exactly where that can be, and repaired; where it
    /// cannot, that is told, and nothing is written.
    pub(super) fn scrub(&mut self) -> Result<(), String> {
        let rows = &self.setup.rows;
        let (row, member, at, offset, rot) = self.world.outside(|out| {
            let row = RowNo(out.dice.below(u32::try_from(rows.count()).unwrap_or(u32::MAX)).into());
            let members: Vec<Member> = rows.members(row).iter().collect();
            let member = members[out.dice.index(members.len())];
            let offset = out.dice.index(rows.whole(row).len.into());
            let at = rows.at(row, rows.whole(row), member).map_or(0, |at| index(at.0)) + offset;
            // One bit, or many.
            let bit: Value = 1 << out.dice.below(64);
            (row, member, at, offset, if out.dice.coin() { bit } else { bit.wrapping_mul(0x0101_0101) | 1 })
        });
        let knows = match rows.kind() {
            RowKind::Parity => rows.stripe(row).and_then(|stripe| stripe.q()).is_some(),
            RowKind::Copies | RowKind::Plain => rows.members(row).len() > 2,
        };
        let good = self.everything();
        self.tell(Fact::Rots { member, at });
        let before = self.rot(member, at, |value| value ^ rot);
        let rotten = self.everything();
        for repair in [None, Some(Trust::Nobody)] {
            let found = self.check_all(repair)?;
            let mended = match (repair, knows) {
                (None, _) => Mended::NotAsked,
                (Some(_), true) => Mended::Yes,
                (Some(_), false) => Mended::Unjustified,
            };
            let fault = if knows { Fault::Blocks(Columns::one(member)) } else { Fault::Unknown };
            let told = matches!(found[..], [finding] if finding.row == row && usize::from(finding.band.first) == offset
                && (finding.fault, finding.mended) == (fault, mended));
            if !told {
                return Err(format!("member {member} rotted at {at}, and a check ({repair:?}) says {found:?}"));
            }
            let wanted = if mended == Mended::Yes { &good } else { &rotten };
            if self.everything() != *wanted {
                return Err(format!(
                    "member {member} rotted at {at}, and a check ({repair:?}) left other sectors than it should"
                ));
            }
        }
        self.rot(member, at, |_| before);
        Ok(())
    }

    fn check_all(&mut self, repair: Option<Trust>) -> Result<Vec<Finding>, String> {
        let order = Order { from: RowNo(0), to: RowNo(self.setup.rows.count()), repair };
        engine::check(&self.world, order).map_err(|refused| format!("a check of a quiet array: {refused}"))?;
        while self.world.turn() {}
        let (state, tally) = self.world.with_check(|check| (check.state(), check.tally()));
        if state != State::Resting || tally.compared != tally.total {
            return Err(format!("a check of a quiet array is {state:?} in the end: {tally:?}"));
        }
        Ok(self.world.take_found())
    }

    fn rot(&self, member: Member, at: usize, with: impl FnOnce(Value) -> Value) -> Value {
        let place = self.serving(member);
        self.world.outside(|out| {
            let disk = &mut out.disks[place];
            let before = disk.now(at);
            disk.write(at, with(before), true);
            before
        })
    }

    /// What every sector of every disk holds now.
    fn everything(&self) -> Vec<Value> {
        let all = |disk: &super::disk::Disk| (0..disk.len()).map(|at| disk.now(at)).collect::<Vec<_>>();
        self.world.outside(|out| out.disks.iter().flat_map(all).collect())
    }
}
