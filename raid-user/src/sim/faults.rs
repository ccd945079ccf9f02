//! Faults within what the array promises to survive, new disks, and what may be said of a disk afterwards.
//!
//! A new fault is an arm of [`Life::fault`], and what it makes of a disk is in `disk`.

use raid_core::engine::{self, Host};
use raid_core::health::{Health, State};
use raid_core::members::Away;
use raid_core::plan::{self, How};
use raid_core::{Columns, Member, Sector, Sectors};

use super::Bug;
use super::check;
use super::disk::{Chance, Disk, Guilt};
use super::life::Life;
use super::model::Value;
use super::story::{Fact, Which};
use super::world::Outside;

/// Disks that wait on the shelf at most.
pub(super) const SHELF_MAX: usize = 4;

impl Outside {
    /// Puts a disk into a slot: the one that is there, one that was there before, or a new one.
    fn other_disk(&mut self, (member, seat): (Member, Member)) -> Which {
        let disk = &mut self.disks[usize::from(seat.0)];
        if disk.present && self.dice.coin() {
            return Which::Own;
        }
        let kept = self.shelf.iter().position(|(slot, _)| *slot == member).filter(|_| self.dice.coin());
        if let Some(place) = kept {
            std::mem::swap(disk, &mut self.shelf[place].1);
            return Which::Earlier;
        }
        let content = Value::from(self.dice.below(u32::MAX)) << 32;
        let new = Disk::new(disk.len(), |at| content | at as u64);
        let mut old = std::mem::replace(disk, new);
        if old.health.is_some() && self.shelf.len() < SHELF_MAX {
            old.power_cut(&mut self.dice, Chance::Half);
            self.shelf.push((member, old));
        }
        Which::New
    }

    /// Puts a new disk into a seat, which may be the first in its second half.
    fn new_disk(&mut self, seat: Member) {
        let sectors = self.disks[0].len();
        let content = Value::from(self.dice.below(u32::MAX)) << 32;
        if self.disks.len() <= usize::from(seat.0) {
            self.disks.resize_with(usize::from(seat.0) + 1, || Disk::nowhere(sectors));
        }
        self.disks[usize::from(seat.0)] = Disk::new(sectors, |at| content | at as u64);
    }
}

impl Life<'_> {
    /// Members that are not as good as new, known or not.
    pub(super) fn impaired(&self) -> Columns {
        let view = self.world.view();
        let sick = |disk: &Disk| !disk.present || disk.refuses || !disk.unreadable.is_empty();
        if view.is_whole() && !self.world.outside(|out| out.disks.iter().any(sick)) {
            return Columns::EMPTY;
        }
        let members = Columns::first(self.setup.rows.geometry().members());
        let sick = |member: &Member| {
            // A copy may take over before anybody knows that it is not well.
            let copy = view.health.copy(*member).map(|copy| usize::from(view.health.second_seat(copy.member).0));
            let mut places = [check::serving(&view.health, *member)].into_iter().chain(copy);
            view.health.state(*member) != Some(State::InSync)
                || self.world.outside(|out| places.any(|place| sick(&out.disks[place])))
        };
        members.iter().filter(sick).collect()
    }

    /// The place of the disk that serves a slot.
    pub(super) fn serving(&self, member: Member) -> usize {
        check::serving(&self.world.view().health, member)
    }

    /// True if the disk of a slot is there.
    pub(super) fn is_there(&self, member: Member) -> bool {
        let place = self.serving(member);
        self.world.outside(|out| out.disks[place].present)
    }

    /// Members that were filled, of which a disk still says that they are not good: after a power cut they may not be.
    ///
    /// Seed 5032109 of the worlds of 2026-11-26: member 2 was filled, the epoch that says so was not written yet, member 0's disk
    /// vanished, and the power failed. No array of three survives that.
    fn unwritten(&self) -> Columns {
        let view = self.world.view();
        if view.fence <= view.durable {
            return Columns::EMPTY;
        }
        let newest = |health: &Health| health.epoch() >= view.durable;
        let good = view.health.in_sync();
        self.world.outside(|out| {
            let told = out.disks.iter().filter(|disk| disk.present).filter_map(|disk| disk.health).filter(newest);
            told.fold(Columns::EMPTY, |unwritten, health| unwritten.union(good.difference(health.in_sync())))
        })
    }

    /// True if the array promises to survive that this member is not well.
    pub(super) fn can_spare(&self, member: Member) -> bool {
        let impaired = self.impaired().union(self.unwritten());
        impaired.contains(member) || (impaired.len() as usize) < self.setup.redundancy
    }

    /// Something happens to the members.
    pub(super) fn is_hurt(&mut self) {
        self.totals.faults += 1;
        self.fault_at = self.next_id;
        self.model.unsettle();
        self.unsettle_reads();
    }

    /// A disk is not there any more: nobody knows it yet.
    pub(super) fn vanish(&mut self, member: Member) {
        let place = self.serving(member);
        self.tell(Fact::Vanishes { member });
        self.world.outside(|out| out.disks[place].present = false);
    }

    /// A fault, within what the array promises to survive.
    pub(super) fn fault(&mut self) {
        let members = self.setup.rows.geometry().members();
        let picked = self.world.outside(|out| out.dice.below(members.into()));
        let member = Member(u8::try_from(picked).unwrap_or(0));
        if !self.can_spare(member) {
            return;
        }
        self.is_hurt();
        let place = self.serving(member);
        let kind = self.world.outside(|out| out.dice.below(6));
        match kind {
            0 | 1 => self.vanish(member),
            2 => {
                self.tell(Fact::ThrownOut { member });
                self.miss(member);
            }
            3 => {
                self.tell(Fact::WillFailWrite { member });
                self.world.outside(|out| out.disks[place].refuses = true);
            }
            _ => self.world.outside(|out| {
                let disk = &mut out.disks[place];
                let at = out.dice.index(disk.len());
                disk.unreadable.insert(at);
                out.story.note(Fact::Unreadable { member, at });
            }),
        }
    }

    /// Missing members get another disk, or their own again, or one that had their slot before.
    pub(super) fn replace(&mut self) {
        let health = self.world.view().health;
        let Some(member) = health.missing().iter().next() else { return };
        let seat = health.seat(member);
        let which = self.world.outside(|out| out.other_disk((member, seat)));
        self.seat(member, which);
    }

    /// A member that serves is to be replaced, or the copy that is in the making for that fails.
    pub(super) fn exchange(&mut self) {
        let view = self.world.view();
        let health = view.health;
        let picked = self.world.outside(|out| out.dice.below(health.members().into()));
        let member = Member(u8::try_from(picked).unwrap_or(0));
        let seat = health.second_seat(member);
        if health.copy(member).is_some() {
            if self.can_spare(member) {
                self.hurt_copy(member, seat);
            }
            return;
        }
        // Seed 18618: the seat of one that was replaced was given away before that was durable, and after a power cut he was missed.
        let settled = view.durable == health.epoch();
        if !settled || health.state(member) != Some(State::InSync) || self.impaired().contains(member) {
            return;
        }
        self.world.outside(|out| {
            out.new_disk(seat);
            let disk = &mut out.disks[usize::from(seat.0)];
            disk.since = health.epoch();
            out.story.note(Fact::Replaced { member });
        });
        self.totals.replaced += 1;
        self.world.arm();
        // Refused if its member failed meanwhile.
        let taken = engine::replace(&self.world, member);
        if taken.is_ok() && self.world.outside(|out| out.bug) == Some(Bug::TakeOverEarly) {
            self.world.with_members(|members| {
                let copy = members.view().health.copy(member);
                let _ = copy.map(|copy| members.trust(member, None, copy.since));
            });
        }
    }

    /// A copy in the making is not there any more, or fails a write.
    fn hurt_copy(&mut self, member: Member, seat: Member) {
        self.is_hurt();
        self.tell(Fact::CopyFails { member });
        let vanishes = self.world.outside(|out| out.dice.coin());
        self.world.outside(|out| {
            let disk = &mut out.disks[usize::from(seat.0)];
            if vanishes {
                disk.present = false;
            } else {
                disk.refuses = true;
            }
        });
    }

    /// One that was replaced comes back when nobody expects it any more: all is good, and no bit tells what it lacks.
    pub(super) fn earlier_returns(&mut self) -> Result<(), String> {
        let member = self.world.outside(|out| out.shelf.first().map(|(member, _)| *member));
        let Some(member) = member else { return Ok(()) };
        self.miss(member);
        self.drain()?;
        let place = self.serving(member);
        self.world.outside(|out| {
            if let Some((_, disk)) = out.shelf.first_mut() {
                std::mem::swap(disk, &mut out.disks[place]);
            }
        });
        self.seat(member, Which::Earlier);
        self.drain()?;
        self.must_be_whole()?;
        self.read_all()
    }

    /// The disk that is in the slot now is made a member.
    pub(super) fn seat(&mut self, member: Member, which: Which) {
        let health = self.world.view().health;
        let (since, seat) = (health.epoch(), health.seat(member));
        let away = self.world.outside(|out| {
            let disk = &mut out.disks[usize::from(seat.0)];
            disk.present = true;
            disk.refuses = false;
            disk.unreadable.clear();
            disk.since = since;
            disk.guilt = Guilt::default();
            out.story.note(Fact::Added { member, which });
            let away = disk.health.as_ref().and_then(|found| Away::new(disk.seat, found));
            away.filter(|_| !out.dice.one_in(4))
        });
        self.totals.added += 1;
        self.out.remove(member);
        self.world.arm();
        // Refused if the failure is not yet known to everybody: it is tried again.
        if !away.is_some_and(|away| self.readd(member, away)) {
            let _ = engine::add(&self.world, member);
        }
    }

    /// A disk that was a member comes back. False if it is not known what it lacks.
    fn readd(&mut self, member: Member, mut away: Away) -> bool {
        let bug = self.world.outside(|out| out.bug);
        if bug == Some(Bug::ForgetCleared) {
            away.knew = self.world.view().health.epoch();
        }
        let taken = engine::readd(&self.world, member, away);
        if taken.is_ok() && bug == Some(Bug::StaleReadd) {
            self.world.with_members(|members| {
                let came = members.view().health.filling().find(|filling| filling.member == member);
                let _ = came.map(|filling| members.trust(member, None, filling.since));
            });
        }
        self.tell(Fact::Returned { member, taken: taken.is_ok() });
        self.totals.returned += u64::from(taken.is_ok());
        taken.is_ok()
    }

    /// Throws out the member in a slot.
    pub(super) fn miss(&self, member: Member) {
        self.lose(self.world.view().health.seat(member));
    }

    /// Throws out who has a seat.
    pub(super) fn lose(&self, seat: Member) {
        self.world.outside(|out| {
            if let Some(disk) = out.disks.get_mut(usize::from(seat.0)) {
                disk.guilt.outcast = true;
            }
        });
        self.world.arm();
        engine::fail(&self.world, seat);
    }

    /// Who is out since somebody looked last has failed something since it got its slot.
    pub(super) fn must_be_guilty(&mut self) -> Result<(), String> {
        let missing = self.world.view().health.missing();
        let max = self.setup.limits.read_errors_max;
        for member in missing.difference(self.out).iter() {
            let place = self.serving(member);
            let guilt = self.world.outside(|out| out.disks[place].guilt);
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
            if self.world.outside(|out| bad(&out.disks[check::serving(&health, place.member)])) {
                return Err(format!("sector {sector} of member {} was read and is not mended", place.member));
            }
        }
        Ok(())
    }
}
