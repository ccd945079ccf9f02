//! What disks and arithmetic do with an action when its turn has come, and the mistakes that can be made with it on purpose.
//!
//! A new mistake of [`Bug`](super::Bug) is made here, at the action that it spoils.

use raid_core::Member;
use raid_core::action::{Action, Answer, Buf, Token, Way, Work};
use raid_core::check;
use raid_core::request::RequestId;
use raid_core::rows::{Band, ROW_LEN};

use super::bug::Bug;
use super::compute::{Column, Own, POISON};
use super::disk::{Chance, Disk};
use super::story::Fact;
use super::world::{Inside, Pending, World, index, target};

impl Inside {
    /// False if the action was decided before the present disk got the slot.
    pub(super) fn is_meant(&self, member: Member, token: &Token) -> bool {
        token.seen().is_none_or(|seen| seen >= self.out.disks[usize::from(member.0)].since)
    }

    /// Does an action. What it is answered with.
    pub(super) fn done(&mut self, pending: &Pending, world: &World) -> (Token, Answer) {
        let (token, answer) = match target(&pending.action) {
            Some((member, token)) if !self.is_meant(member, &token) => (token, Answer::Failed),
            to => {
                let answer = self.done_by_its_disk(pending, world);
                if let (Some((member, _)), Answer::Failed) = (to, answer.1) {
                    self.blame(member, &pending.action);
                }
                answer
            }
        };
        if self.out.story.is_told() {
            self.out.story.note(Fact::Done { action: pending.action, well: answer != Answer::Failed });
        }
        (token, answer)
    }

    /// A disk failed something, and may be blamed for it.
    fn blame(&mut self, member: Member, action: &Action) {
        let guilt = &mut self.out.disks[usize::from(member.0)].guilt;
        match action {
            Action::Io { way: Way::Read, .. } => guilt.reads += 1,
            _ => guilt.writes += 1,
        }
    }

    fn done_by_its_disk(&mut self, pending: &Pending, world: &World) -> (Token, Answer) {
        let bug = self.out.bug;
        match pending.action {
            Action::Io { token, way, member, at, len, buf } => {
                let mut member = member;
                match bug.filter(|_| way != Way::Read) {
                    Some(Bug::MendOther) if world.check.borrow().state() == check::State::Going => {
                        let members = u8::try_from(world.rows.geometry().members()).unwrap_or(u8::MAX);
                        member = Member((member.0 + 1) % members);
                    }
                    Some(Bug::ForgetCopy) => {
                        let health = world.view().health;
                        let to_copy = health.copies().any(|copy| health.second_seat(copy.member) == member);
                        if to_copy && self.out.dice.one_in(4) {
                            return (token, Answer::Done);
                        }
                    }
                    _ => {}
                }
                let well = self.io(way, member, index(at.0), index(len.0), buf);
                let ignored = match way {
                    Way::Read => bug == Some(Bug::IgnoreReadError),
                    Way::Write { .. } => bug == Some(Bug::IgnoreWriteError),
                };
                (token, (well || ignored).into())
            }
            Action::Flush { token, member } => {
                let disk = &mut self.out.disks[usize::from(member.0)];
                let reaches = bug != Some(Bug::LostFlush) && (bug != Some(Bug::FlushOne) || member.0 == 0);
                if let (true, Some(clock)) = (reaches, pending.clock()) {
                    disk.flush(clock);
                }
                (token, disk.present.into())
            }
            Action::WriteLog { token, member, .. } | Action::WriteHealth { token, member } => {
                let disk = &mut self.out.disks[usize::from(member.0)];
                if disk.present {
                    write_down(pending.action, disk, world, bug);
                }
                (token, disk.present.into())
            }
            Action::Compute { token, slot, stripe, first, len, work } => {
                let stripe = world.rows.geometry().stripe(stripe);
                let work = match (bug, work) {
                    (Some(Bug::ForgetQ), Work::Delta { column, from, p, .. }) => {
                        Work::Delta { column, from, p, q: false }
                    }
                    (Some(Bug::WrongDegradedParity), Work::Delta { column, from, .. })
                        if !world.members.borrow().view().is_whole() =>
                    {
                        Work::Take { column, from }
                    }
                    (Some(Bug::SkipRecover), Work::Recover { .. })
                    | (Some(Bug::SkipParity), Work::Parity { .. } | Work::Rows { .. }) => {
                        return (token, Answer::Done);
                    }
                    (_, work) => work,
                };
                (token, self.buffers.compute(slot, stripe.as_ref(), Band { first, len }, work))
            }
            Action::Found(_) | Action::Complete { .. } => unreachable!("completions are not put off"),
        }
    }

    fn io(&mut self, way: Way, member: Member, at: usize, len: usize, buf: Buf) -> bool {
        match way {
            Way::Read => {
                let Some(values) = self.out.disks[usize::from(member.0)].read(at, len) else { return false };
                match buf {
                    Buf::Request(request) => {
                        if let Some(own) = self.buffers.own(request) {
                            own.values[..len].copy_from_slice(values);
                        }
                    }
                    Buf::Slot { slot, column } => {
                        let first = at % ROW_LEN;
                        self.buffers.column(slot, column)[first..first + len].copy_from_slice(values);
                    }
                    Buf::Rows { .. } | Buf::Zeroes { .. } => return false,
                }
                true
            }
            Way::Write { fua } => {
                let dropped = self.out.bug == Some(Bug::DropWrite) && self.out.dice.one_in(40);
                let disk = &mut self.out.disks[usize::from(member.0)];
                let well = !std::mem::take(&mut disk.refuses) && disk.present;
                if let Some(astray) = disk.astray.take().filter(|_| well) {
                    let rows = 0..len.div_ceil(ROW_LEN);
                    let values: Vec<_> = rows.flat_map(|row| self.content(buf, at, row)).take(len).collect();
                    self.out.disks[usize::from(member.0)].write_astray(astray, at, &values);
                    return well;
                }
                if well && !dropped {
                    self.write(member, at, len, buf, fua && self.out.bug != Some(Bug::LostFua), Chance::All);
                }
                well
            }
        }
    }

    /// What a write to `at` carries, or one row of it if it has several.
    pub(super) fn content(&mut self, buf: Buf, at: usize, row: usize) -> Column {
        let values = |own: Option<&mut Own>| own.map_or([POISON; ROW_LEN], |own| own.values);
        match buf {
            Buf::Request(request) => values(self.buffers.own(RequestId(request.0 + row as u64))),
            Buf::Rows { request, part } => values(self.buffers.row_of(request, part, row)),
            Buf::Zeroes { .. } => [0; ROW_LEN],
            Buf::Slot { slot, column } => {
                let mut values = *self.buffers.column(slot, column);
                values.rotate_left(at % ROW_LEN);
                values
            }
        }
    }

    /// Writes each sector with this chance: a write that the power cut caught is torn anywhere.
    pub(super) fn write(&mut self, member: Member, at: usize, len: usize, buf: Buf, fua: bool, chance: Chance) {
        for row in 0..len.div_ceil(ROW_LEN) {
            let from = row * ROW_LEN;
            for (offset, value) in (from..len).zip(self.content(buf, at, row)) {
                if chance.comes(&mut self.out.dice) {
                    self.out.disks[usize::from(member.0)].write(at + offset, value, fua);
                }
            }
        }
    }
}

/// A page of the log, or the members' states, reach a disk as they stand.
pub(super) fn write_down(action: Action, disk: &mut Disk, world: &World, bug: Option<Bug>) {
    match action {
        Action::WriteLog { page, .. } if bug != Some(Bug::SkipLog) => {
            let (log, at) = (world.log.borrow(), page as usize);
            disk.log.resize(disk.log.len().max(at + 1), Vec::new());
            disk.log[at].clear();
            disk.log[at].extend_from_slice(log.page(page));
            disk.cleared = log.cleared();
        }
        Action::WriteHealth { member, .. } if bug != Some(Bug::AckBeforeEpoch) => {
            disk.seat = member;
            let members = world.members.borrow();
            (disk.health, disk.before) = (Some(members.persisting()), world.held.before(members.view().durable));
        }
        _ => {}
    }
}

/// The kinds of actions that worlds are slow or fast with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Io,
    Flush,
    Log,
    Health,
    Compute,
}

impl Kind {
    /// What kind an action is of.
    pub(super) const fn of(action: &Action) -> Self {
        match action {
            Action::Io { .. } => Self::Io,
            Action::Flush { .. } => Self::Flush,
            Action::WriteLog { .. } => Self::Log,
            Action::WriteHealth { .. } => Self::Health,
            Action::Compute { .. } | Action::Found(_) | Action::Complete { .. } => Self::Compute,
        }
    }
}
