//! Checks in the simulator: beside everything else they accuse nobody, and what rots behind the array's back is named and healed.

use raid_core::check::{Fault, Finding, Mended, Order, State, Trust};
use raid_core::engine::{self, Host};
use raid_core::request::Kind;
use raid_core::rows::{RowKind, RowNo, Rows};
use raid_core::{Columns, Member};

use super::disk::{Astray, Disk};
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

    /// What happens to one member of a quiet and whole array behind everybody's back: a sector rots, a write is lost, or goes elsewhere.
    pub(super) fn scrub(&mut self) -> Result<(), String> {
        self.rot()?;
        let members = self.setup.rows.geometry().members();
        for misdirects in [false, true] {
            let (member, astray) = self.world.outside(|out| {
                let member = out.dice.index(members.into());
                let to = out.dice.index(out.disks[member].len());
                (Member(u8::try_from(member).unwrap_or(0)), if misdirects { Astray::To(to) } else { Astray::Lost })
            });
            self.stray(member, astray)?;
        }
        Ok(())
    }

    /// One sector of one member rots.
    fn rot(&mut self) -> Result<(), String> {
        let rows = &self.setup.rows;
        let (member, at, rot) = self.world.outside(|out| {
            let row = RowNo(out.dice.below(u32::try_from(rows.count()).unwrap_or(u32::MAX)).into());
            let members: Vec<Member> = rows.members(row).iter().collect();
            let member = members[out.dice.index(members.len())];
            let offset = out.dice.index(rows.whole(row).len.into());
            let at = rows.at(row, rows.whole(row), member).map_or(0, |at| index(at.0)) + offset;
            // One bit, or many.
            let bit: Value = 1 << out.dice.below(64);
            (member, at, if out.dice.coin() { bit } else { bit.wrapping_mul(0x0101_0101) | 1 })
        });
        let good = self.everything();
        self.tell(Fact::Rots { member, at });
        let disk = self.serving(member);
        self.world.outside(|out| {
            let disk = &mut out.disks[disk];
            disk.write(at, disk.now(at) ^ rot, true);
        });
        self.must_be_found(member, &good)
    }

    /// One sector is written, and a disk does not do its part of it, or does it elsewhere, and says that it did.
    fn stray(&mut self, member: Member, astray: Astray) -> Result<(), String> {
        let disk = self.serving(member);
        self.tell(Fact::Strays { member, astray });
        let sectors = self.model.len();
        let at = self.world.outside(|out| {
            out.disks[disk].astray = Some(astray);
            out.dice.index(sectors)
        });
        self.submit(Kind::Write { fua: false }, at, 1);
        self.drain()?;
        let mut good = self.everything();
        self.world.outside(|out| {
            let from = out.disks[..disk].iter().map(Disk::len).sum::<usize>();
            let disk = &mut out.disks[disk];
            // It may have had no part in the write.
            disk.astray = None;
            disk.missed.drain(..).for_each(|(at, value)| good[from + at] = value);
        });
        self.must_be_found(member, &good)
    }

    /// Where a member does not hold what it should, a check names it exactly where that can be, and a repair mends it; where it cannot,
    /// that is told, and nothing is written. Then it is made good.
    fn must_be_found(&mut self, member: Member, good: &[Value]) -> Result<(), String> {
        let rows = &self.setup.rows;
        let bad = self.everything();
        let disk = self.serving(member);
        let from = self.world.outside(|out| out.disks[..disk].iter().map(Disk::len).sum::<usize>());
        let wrong: Vec<usize> = (0..good.len()).filter(|at| good[*at] != bad[*at]).map(|at| at - from).collect();
        let mut places: Vec<(RowNo, u8)> = wrong.iter().filter_map(|at| place(rows, member, *at)).collect();
        places.sort_unstable();
        let knows = match rows.kind() {
            RowKind::Parity => rows.stripe(RowNo(0)).and_then(|stripe| stripe.q()).is_some(),
            RowKind::Copies | RowKind::Plain => rows.members(RowNo(0)).len() > 2,
        };
        for repair in [None, Some(Trust::Nobody)] {
            let mut found = self.check_all(repair)?;
            found.sort_unstable_by_key(|finding| (finding.row, finding.band.first));
            let mended = match (repair, knows) {
                (None, _) => Mended::NotAsked,
                (Some(_), true) => Mended::Yes,
                (Some(_), false) => Mended::Unjustified,
            };
            let fault = if knows { Fault::Blocks(Columns::one(member)) } else { Fault::Unknown };
            let told = found.iter().map(|finding| (finding.row, finding.band.first)).eq(places.iter().copied())
                && found.iter().all(|finding| (finding.fault, finding.mended) == (fault, mended));
            if !told {
                return Err(format!("member {member} is wrong at {wrong:?}, and a check ({repair:?}) says {found:?}"));
            }
            // What no row covers stays as it is.
            let mends = |at: &usize| mended == Mended::Yes && place(rows, member, *at).is_some();
            let mut wanted = bad.clone();
            wrong.iter().filter(|at| mends(at)).for_each(|at| wanted[from + at] = good[from + at]);
            if self.everything() != wanted {
                return Err(format!(
                    "member {member} was wrong at {wrong:?}, and a check ({repair:?}) left other sectors than it should"
                ));
            }
        }
        self.world.outside(|out| {
            let disk = &mut out.disks[disk];
            wrong.iter().for_each(|at| disk.write(*at, good[from + at], true));
        });
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

    /// What every sector of every disk holds now.
    fn everything(&self) -> Vec<Value> {
        let all = |disk: &Disk| (0..disk.len()).map(|at| disk.now(at)).collect::<Vec<_>>();
        self.world.outside(|out| out.disks.iter().flat_map(all).collect())
    }
}

/// The row that a sector of a member lies in, and where in it.
fn place(rows: &Rows, member: Member, at: usize) -> Option<(RowNo, u8)> {
    (0..rows.count()).map(RowNo).find_map(|row| {
        let band = rows.whole(row);
        let first = index(rows.at(row, band, member)?.0);
        let offset = u8::try_from(at.checked_sub(first)?).ok().filter(|offset| *offset < band.len)?;
        rows.members(row).contains(member).then_some((row, band.first + offset))
    })
}
