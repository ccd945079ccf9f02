//! Faults within what the array promises to survive, new disks, and what may be said of a disk afterwards.
//!
//! A new fault is an arm of [`Life::fault`], and what it makes of a disk is in `disk`.

use raid_core::engine::{self, Host};
use raid_core::health::State;
use raid_core::plan::{self, How};
use raid_core::{Columns, Member, Sector, Sectors};

use super::disk::{Disk, Guilt};
use super::life::Life;
use super::model::Value;
use super::story::Fact;

impl Life<'_> {
    /// Members that are not as good as new, known or not.
    pub(super) fn impaired(&self) -> Columns {
        let view = self.world.view();
        let members = Columns::first(self.setup.rows.geometry().members());
        let sick = |member: &Member| {
            let sick = |disk: &Disk| !disk.present || disk.refuses || !disk.unreadable.is_empty();
            view.health.state(*member) != Some(State::InSync)
                || self.world.outside(|out| sick(&out.disks[usize::from(member.0)]))
        };
        members.iter().filter(sick).collect()
    }

    /// A fault, within what the array promises to survive.
    pub(super) fn fault(&mut self) {
        let impaired = self.impaired();
        let members = self.setup.rows.geometry().members();
        let picked = self.world.outside(|out| out.dice.below(members.into()));
        let member = Member(u8::try_from(picked).unwrap_or(0));
        let free = impaired.len() as usize;
        if !impaired.contains(member) && free >= self.setup.redundancy {
            return;
        }
        self.totals.faults += 1;
        self.fault_at = *self.next_id;
        self.model.unsettle();
        let kind = self.world.outside(|out| out.dice.below(6));
        match kind {
            0 | 1 => {
                self.tell(Fact::Vanishes { member });
                self.world.outside(|out| out.disks[usize::from(member.0)].present = false);
            }
            2 => {
                self.tell(Fact::ThrownOut { member });
                self.miss(member);
            }
            3 => {
                self.tell(Fact::WillFailWrite { member });
                self.world.outside(|out| out.disks[usize::from(member.0)].refuses = true);
            }
            _ => self.world.outside(|out| {
                let disk = &mut out.disks[usize::from(member.0)];
                let at = out.dice.index(disk.len());
                disk.unreadable.insert(at);
                out.story.note(Fact::Unreadable { member, at });
            }),
        }
    }

    /// Missing members get another disk, or their own again.
    pub(super) fn replace(&mut self) {
        let health = self.world.view().health;
        let Some(member) = health.missing().iter().next() else { return };
        self.world.outside(|out| {
            let disk = &mut out.disks[usize::from(member.0)];
            let own = disk.present && out.dice.coin();
            if !own {
                let content = Value::from(out.dice.below(u32::MAX)) << 32;
                *disk = Disk::new(disk.len(), |at| content | at as u64);
            }
            disk.refuses = false;
            disk.unreadable.clear();
            disk.since = health.epoch();
            disk.guilt = Guilt::default();
            out.story.note(Fact::Added { member, own });
        });
        self.totals.added += 1;
        self.out.remove(member);
        self.world.arm();
        // Refused if the failure is not yet known to everybody: it is tried again.
        let _ = engine::add(&self.world, member);
    }

    /// Throws out a member that was not there at power on.
    pub(super) fn miss(&self, member: Member) {
        self.world.outside(|out| out.disks[usize::from(member.0)].guilt.outcast = true);
        self.world.arm();
        engine::fail(&self.world, member);
    }

    /// Who is out since somebody looked last has failed something since it got its slot.
    pub(super) fn must_be_guilty(&mut self) -> Result<(), String> {
        let missing = self.world.view().health.missing();
        let max = self.setup.limits.read_errors_max;
        for member in missing.difference(self.out).iter() {
            let guilt = self.world.outside(|out| out.disks[usize::from(member.0)].guilt);
            if guilt.writes == 0 && guilt.reads <= max && !guilt.outcast {
                return Err(format!("member {member} is out, and all that it failed is {} reads", guilt.reads));
            }
        }
        self.out = missing;
        Ok(())
    }

    /// What a read found unreadable where it looked first was rewritten before it was answered. Nobody's state has changed since it
    /// was asked for.
    pub(super) fn must_be_mended(&mut self, at: usize, len: usize) -> Result<(), String> {
        if self.world.outside(|out| out.disks.iter().all(|disk| disk.unreadable.is_empty())) {
            return Ok(());
        }
        let health = self.world.view().health;
        for at in (at..at + len).map(|at| Sector(at as u64)) {
            let step = plan::read(self.world.layouts(), &health, at, Sectors(1)).map_err(|past| past.to_string())?;
            let How::Direct { place } = step.how else { continue };
            let sector = usize::try_from(place.at.0).unwrap_or(usize::MAX);
            let bad = |disk: &Disk| disk.present && disk.unreadable.contains(&sector);
            if self.world.outside(|out| bad(&out.disks[usize::from(place.member.0)])) {
                return Err(format!("sector {sector} of member {} was read and is not mended", place.member));
            }
        }
        Ok(())
    }
}
