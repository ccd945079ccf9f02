//! The pump: it carries what the machines say to each other and to the host, and has no state of its own.
//!
//! A machine is entered by one of the host's `with_` functions, says what it wants, and is left again before the next is entered:
//! so the host may put a lock around each, and locks never nest. Between any two of these critical sections anything may
//! happen on other threads; the simulator makes it happen.
//!
//! | machine | entered by | how many |
//! |---|---|---|
//! | [`Shard`] | [`Host::with_shard`] | as many as the limits say |
//! | [`RegionLog`] | [`Host::with_log`] | 1 |
//! | [`Members`] | [`Host::with_members`] | 1 |
//! | [`Flushes`] | [`Host::with_flushes`] | 1 |
//! | [`Recovery`] | [`Host::with_recovery`] | 1 |
//! | [`Checking`] | [`Host::with_check`] | 1 |

mod submit;

pub use submit::{submit, submit_many};

use crate::action::{Action, Answer, Token, Way};
use crate::broadcast::Outcome;
use crate::check::{self, CheckStep, Checked, Checking, Order};
use crate::flush::{FlushStep, Flushes, Purpose};
use crate::health::{Epoch, HealthError};
use crate::members::{Away, Members, Unknown};
use crate::memory::Memory;
use crate::recovery::{Rates, Recovery, RecoveryStep};
use crate::region::{LogStep, RegionLog, RegionNo};
use crate::request::{Error, Refused, Request};
use crate::reshape::Layouts;
use crate::rows::{Piece, RowKind, RowNo, Rows};
use crate::stripe::{Limits, Shard, Step, Steps, Task, What};
use crate::units::{Member, Sector};

/// What a host gives the engine: places for the machines, and hands.
pub trait Host {
    /// Where the machines' arrays come from.
    type Memory: Memory;

    /// The array's rows.
    fn rows(&self) -> &Rows;
    /// The same array, as plans of reads want it.
    fn layouts(&self) -> &Layouts;
    /// The limits that the machines were made with.
    fn limits(&self) -> &Limits;
    /// Enters a shard.
    fn with_shard<R>(&self, shard: u16, f: impl FnOnce(&mut Shard<Self::Memory>) -> R) -> R;
    /// Enters the region log.
    fn with_log<R>(&self, f: impl FnOnce(&mut RegionLog<Self::Memory>) -> R) -> R;
    /// Enters the members.
    fn with_members<R>(&self, f: impl FnOnce(&mut Members<Self::Memory>) -> R) -> R;
    /// Enters the flushes.
    fn with_flushes<R>(&self, f: impl FnOnce(&mut Flushes) -> R) -> R;
    /// Enters the recovery.
    fn with_recovery<R>(&self, f: impl FnOnce(&mut Recovery) -> R) -> R;
    /// Enters the pass that checks.
    fn with_check<R>(&self, f: impl FnOnce(&mut Checking) -> R) -> R;
    /// Does something, now or later. It is not entered with a machine.
    ///
    /// What was planned for a member that has left must not reach the one that took its slot: an action whose token says
    /// [`seen`](Token::seen) less than the epoch at which the host put the present medium into the slot (see [`add`]) fails undone.
    fn perform(&self, action: Action);
    /// A shard has work: [`run`] is to be called for it, soon.
    fn wake(&self, shard: u16);
    /// True if all members can free what becomes zeros, at little cost, and then read zeros there. Else a
    /// [discard](crate::request::Kind::Discard) does nothing.
    ///
    /// A member that may return anything after a discard must not say so: copies would differ, and parity no longer fit. (MD's RAID 4, 5
    /// and 6 pass discards on only if `devices_handle_discard_safely` is set, for the same reason.)
    fn discards(&self) -> bool {
        false
    }
    /// Called between critical sections, where another thread could come in between. A real host has threads and does nothing.
    fn pause(&self) {}
}

/// Puts a task into its shard.
fn submit_task<H: Host>(host: &H, task: Task) -> Result<(), Refused> {
    let shard = shard_of(host, task.piece.row);
    let taken = host.with_shard(shard, |machine| machine.submit(task));
    host.wake(shard);
    taken
}

fn region_of<H: Host>(host: &H, row: RowNo) -> RegionNo {
    RegionNo(row.0 / host.limits().region_rows.max(1))
}

fn shard_of_region<H: Host>(host: &H, region: RegionNo) -> u16 {
    u16::try_from(region.0 % u64::from(host.limits().shards.max(1))).unwrap_or(0)
}

fn shard_of<H: Host>(host: &H, row: RowNo) -> u16 {
    shard_of_region(host, region_of(host, row))
}

/// Gives an action's receipt back. The answer is whether it was done, or what a comparison says; a host does not repeat what failed.
pub fn complete<H: Host>(host: &H, token: Token, answer: impl Into<Answer>) {
    let (well, evidence) = match answer.into() {
        Answer::Done => (true, None),
        Answer::Failed => (false, None),
        Answer::Says(evidence) => (true, Some(evidence)),
    };
    match token {
        Token::Compute { slot } => {
            host.with_shard(slot.shard, |shard| shard.computed(slot.slot, evidence));
            host.wake(slot.shard);
        }
        Token::Slot { slot, member, way, seen } => {
            let outcome = outcome(host, member, way, seen, well);
            host.with_shard(slot.shard, |shard| shard.done(slot.slot, member, way, outcome));
            host.wake(slot.shard);
        }
        Token::Direct { request, member, seen } => direct_done(host, request, member, seen, well),
        Token::Log { member, seen } => {
            let outcome = outcome(host, member, Way::Write { fua: true }, seen, well);
            host.with_log(|log| log.done(outcome));
            drive_log(host);
        }
        Token::Health { member, seen } => {
            let outcome = outcome(host, member, Way::Write { fua: true }, seen, well);
            host.with_members(|members| members.done(outcome));
            drive_members(host);
        }
        Token::Flush { flush, member, seen } => {
            let outcome = outcome(host, member, Way::Write { fua: true }, seen, well);
            host.with_flushes(|flushes| flushes.done(flush, outcome));
            drive_flushes(host);
        }
    }
}

/// What an answer means. A failure is judged, and everybody knows, before whoever asked hears of it.
fn outcome<H: Host>(host: &H, member: Member, way: Way, seen: Epoch, well: bool) -> Outcome {
    if well {
        return Outcome::Done;
    }
    let rows = host.rows();
    let doubt = host.with_recovery(|recovery| recovery.unsettled());
    let doubt = doubt.map(|from| rows.mark_below(from).unwrap_or(Sector(0)));
    let verdict = host.with_members(|members| match way {
        Way::Read => members.read_error(rows.geometry(), member, seen, doubt),
        Way::Write { .. } => members.fail(rows.geometry(), member, seen, doubt),
    });
    drive_members(host);
    Outcome::Failed(verdict)
}

fn direct_done<H: Host>(host: &H, request: Request, member: Member, seen: Epoch, well: bool) {
    let result = match (well, host.rows().kind()) {
        (true, _) => Ok(()),
        (false, RowKind::Plain) => Err(Error::Lost),
        (false, RowKind::Parity | RowKind::Copies) => {
            let _ = outcome(host, member, Way::Read, seen, well);
            let piece = host.rows().piece(request.at, request.len).filter(|(_, taken)| *taken == request.len);
            host.pause();
            match piece {
                Some((piece, _)) if submit_task(host, Task { piece, what: What::Read(request.id) }).is_ok() => return,
                // Too long for a row, or no room now: the host asks again.
                _ => Err(Error::RowByRow),
            }
        }
    };
    host.perform(Action::Complete { request: request.id, result });
}

/// Lets a shard go on, `budget` critical sections at most. True if there may be more to do.
pub fn run<H: Host>(host: &H, shard: u16, budget: u32) -> bool {
    let mut steps = Steps::default();
    for _ in 0..budget {
        steps.clear();
        let more = host.with_shard(shard, |machine| machine.step(host.rows(), &mut steps));
        for step in steps.iter() {
            host.pause();
            carry(host, shard, step);
        }
        if !more {
            return false;
        }
    }
    true
}

/// Carries one step of a shard to whom it concerns.
fn carry<H: Host>(host: &H, shard: u16, step: &Step) {
    match *step {
        Step::Do(action) => host.perform(action),
        Step::Mark { slot, region } => {
            let ticket = host.with_log(|log| log.mark(region));
            host.pause();
            host.with_shard(shard, |machine| machine.marked(slot, ticket));
            host.wake(shard);
            drive_log(host);
        }
        Step::Healed { row, result } => {
            host.with_recovery(|recovery| recovery.healed(row, result.is_ok()));
            drive_recovery(host);
        }
        Step::Checked { checked, mended } => {
            host.with_check(|check| check.checked(checked, mended));
            drive_check(host);
        }
    }
}

/// Begins to check rows. What is found comes as [`Action::Found`], row by row in no order; [`Checking::state`] rests when all is done.
///
/// # Errors
/// [`check::Refused`].
pub fn check<H: Host>(host: &H, order: Order) -> Result<(), check::Refused> {
    host.with_check(|check| check.begin(host.rows(), order))?;
    drive_check(host);
    Ok(())
}

/// Calls the check off: rows under way are finished.
pub fn stop_check<H: Host>(host: &H) {
    host.with_check(Checking::stop);
    drive_check(host);
}

/// A new member takes a missing one's slot; recovery fills it. Its medium must be in place before, in
/// the slot's [seat](crate::health::Health::seat), and the host remembers the epoch of the
/// members' health at that time, in which the slot was empty: actions with older tokens were meant for another.
///
/// # Errors
/// [`HealthError`] if the slot is taken, or too many others are being filled.
pub fn add<H: Host>(host: &H, member: Member) -> Result<(), HealthError> {
    host.with_members(|members| members.add(member))?;
    drive_members(host);
    Ok(())
}

/// A member that was away takes its slot again, and is filled only where the log has bits: those that were set since it left are
/// all there, because none is taken back while a slot is empty. `away` is what its metadata say; nothing was written to it since. As
/// for [`add`], its medium must be in place before.
///
/// # Errors
/// [`Unknown`] if it cannot be known what it lacks; it can be added as a new member.
pub fn readd<H: Host>(host: &H, member: Member, away: Away) -> Result<(), Unknown> {
    let cleared = host.with_log(|log| log.cleared());
    host.pause();
    host.with_members(|members| members.readd(member, away, cleared))?;
    drive_members(host);
    Ok(())
}

/// A new member comes to the second seat ([`Health::second_seat`](crate::health::Health::second_seat)) of a slot whose member serves.
/// Recovery fills it with what that one holds, every write of the slot goes to both, and when it holds all, it takes over: the old
/// one takes nothing any more when the members' epoch says so, and may leave when that is durable. If the old one fails first, the new
/// one has the slot, and is trusted below its mark. As for [`add`], its medium must be in place before; not before the members' epoch is
/// durable, since until then whoever had the seat last may count after a crash.
///
/// # Errors
/// [`HealthError`] if there is nobody to be replaced, or somebody is at it, or too many others are being filled.
pub fn replace<H: Host>(host: &H, member: Member) -> Result<(), HealthError> {
    host.with_members(|members| members.replace(member))?;
    drive_members(host);
    Ok(())
}

/// Throws out who has a seat, as if it had failed.
pub fn fail<H: Host>(host: &H, seat: Member) {
    let _ = outcome(host, seat, Way::Write { fua: false }, Epoch(u64::MAX), false);
}

/// Stops the pass that heals and fills: no further row is begun, and when those under way are in, marks are made durable. Then
/// [`Recovery::is_paused`] says so. What members lack stays so until [`resume`]; writes go on.
pub fn pause<H: Host>(host: &H) {
    host.with_recovery(|recovery| recovery.hold(true));
    drive_recovery(host);
    host.with_check(|check| check.hold(true));
}

/// Lets the pass go on where it was.
pub fn resume<H: Host>(host: &H) {
    host.with_recovery(|recovery| recovery.hold(false));
    drive_recovery(host);
    host.with_check(|check| check.hold(false));
    drive_check(host);
}

/// Says how fast the pass may go. With a limit, it goes on with [`tick`] only.
pub fn set_rates<H: Host>(host: &H, rates: Rates) {
    host.with_recovery(|recovery| recovery.set_rates(rates));
    drive_recovery(host);
    host.with_check(|check| check.set_rates(rates));
    drive_check(host);
}

/// So much time went by since the last call; `busy` if the host had I/O of its own in it. To be called a few times a second if rates
/// are limited; the pass has to spend what it gets before the next call.
pub fn tick<H: Host>(host: &H, elapsed_ms: u64, busy: bool) {
    host.with_recovery(|recovery| recovery.tick(elapsed_ms, busy));
    drive_recovery(host);
    host.with_check(|check| check.tick(elapsed_ms, busy));
    drive_check(host);
}

/// Begins what is due from the start: the log's first batch, and recovery. To be called once, when everything is in place.
pub fn start<H: Host>(host: &H) {
    drive_members(host);
    drive_log(host);
    drive_recovery(host);
}

/// Takes back bits of regions that have been idle since the last call but one. To be called every few seconds. `budget` is
/// the number of regions that each shard looks at.
pub fn sweep<H: Host>(host: &H, budget: usize) {
    if !host.with_log(RegionLog::begin_sweep) {
        return;
    }
    let mut found = false;
    for shard in 0..host.limits().shards.max(1) {
        host.pause();
        found |= host.with_shard(shard, |machine| machine.sweep(budget));
    }
    host.pause();
    if found && host.with_flushes(|flushes| flushes.start(Purpose::Sweep)) {
        drive_flushes(host);
    } else {
        swept(host, None);
    }
}

/// The flush of a sweep is done; by all members of the epoch, if there is one.
fn swept<H: Host>(host: &H, vouched: Option<Epoch>) {
    for shard in 0..host.limits().shards.max(1) {
        host.pause();
        host.with_shard(shard, |machine| machine.flushed(vouched.is_some()));
        while let Some(region) = host.with_shard(shard, Shard::next_clear) {
            host.pause();
            host.with_log(|log| log.clear(region, vouched.unwrap_or_default()));
            host.pause();
            host.with_shard(shard, |machine| machine.cleared(region));
        }
        host.wake(shard);
    }
    host.with_log(RegionLog::end_sweep);
    drive_log(host);
}

fn drive_log<H: Host>(host: &H) {
    loop {
        host.pause();
        match host.with_log(RegionLog::poll) {
            None => return,
            Some(LogStep::Write { member, page, seen }) => {
                host.perform(Action::WriteLog { token: Token::Log { member, seen }, member, page });
            }
            Some(LogStep::Durable { ticket, whole_for }) => {
                host.with_recovery(|recovery| recovery.logged(whole_for));
                drive_recovery(host);
                for shard in 0..host.limits().shards.max(1) {
                    host.with_shard(shard, |machine| machine.log_durable(ticket));
                    host.wake(shard);
                    host.pause();
                }
            }
        }
    }
}

fn drive_members<H: Host>(host: &H) {
    loop {
        host.pause();
        let (next, changed) = host.with_members(|members| (members.poll(), members.take_changed()));
        if changed {
            publish(host);
        }
        match next {
            None if changed => {}
            None => return,
            Some((member, seen)) => {
                host.perform(Action::WriteHealth { token: Token::Health { member, seen }, member });
            }
        }
    }
}

/// Tells everybody of the members. Recovery comes last: when it begins with a new member, every shard writes to it.
fn publish<H: Host>(host: &H) {
    let view = host.with_members(|members| members.view());
    for shard in 0..host.limits().shards.max(1) {
        host.pause();
        host.with_shard(shard, |machine| machine.set_view(&view));
        host.wake(shard);
    }
    host.pause();
    host.with_log(|log| log.set_view(&view));
    drive_log(host);
    host.with_flushes(|flushes| flushes.set_view(&view));
    drive_flushes(host);
    host.with_recovery(|recovery| recovery.set_view(&view));
    drive_recovery(host);
}

fn drive_flushes<H: Host>(host: &H) {
    loop {
        host.pause();
        match host.with_flushes(Flushes::poll) {
            None => return,
            Some(FlushStep::Flush { flush, member, seen }) => {
                host.perform(Action::Flush { token: Token::Flush { flush, member, seen }, member });
            }
            Some(FlushStep::Done { purpose, whole, broken, seen }) => match purpose {
                Purpose::Request(request) => {
                    let result = if broken { Err(Error::Broken) } else { Ok(()) };
                    host.perform(Action::Complete { request, result });
                }
                Purpose::Sweep => swept(host, (whole && !broken).then_some(seen)),
                Purpose::Repair => {
                    host.with_check(|check| check.flushed(!broken));
                    drive_check(host);
                }
                Purpose::Marks => {
                    host.with_recovery(|recovery| recovery.flushed(!broken));
                    drive_recovery(host);
                }
            },
        }
    }
}

fn drive_recovery<H: Host>(host: &H) {
    loop {
        host.pause();
        let Some(step) = host.with_recovery(|recovery| recovery.poll(host.rows())) else { return };
        match step {
            RecoveryStep::Visit { region, whole } => {
                let shard = shard_of_region(host, region);
                let doubt = whole && host.with_shard(shard, |shard| shard.begin_recovery(region));
                host.pause();
                let marked = host.with_log(|log| log.is_set(region));
                host.pause();
                host.with_recovery(|recovery| recovery.visited(doubt, marked));
            }
            RecoveryStep::Heal(row) => {
                let piece = Piece { row, band: host.rows().whole(row), column: Member(0) };
                // There is always room: requests of the host leave the window free.
                if submit_task(host, Task { piece, what: What::Heal }).is_err() {
                    host.with_recovery(|recovery| recovery.healed(row, false));
                }
            }
            RecoveryStep::End { region, healed } => {
                host.with_shard(shard_of_region(host, region), |shard| shard.end_recovery(region, healed));
            }
            RecoveryStep::Flush => {
                if !host.with_flushes(|flushes| flushes.start(Purpose::Marks)) {
                    host.with_recovery(|recovery| recovery.flushed(false));
                }
                drive_flushes(host);
            }
            RecoveryStep::Move { member, mark, since } => {
                // It may have failed meanwhile, or another may have its slot: then there is no mark to move.
                let _ = host.with_members(|members| members.trust(member, mark, since));
                drive_members(host);
            }
        }
    }
}

fn drive_check<H: Host>(host: &H) {
    loop {
        host.pause();
        match host.with_check(Checking::poll) {
            None => return,
            Some(CheckStep::Row(row, repair)) => {
                let piece = Piece { row, band: host.rows().whole(row), column: Member(0) };
                // There is always room, as for recovery.
                if submit_task(host, Task { piece, what: What::Check(repair) }).is_err() {
                    host.with_check(|check| check.checked(Checked::Lost, 0));
                }
            }
            Some(CheckStep::Flush) => {
                if !host.with_flushes(|flushes| flushes.start(Purpose::Repair)) {
                    host.with_check(|check| check.flushed(false));
                }
                drive_flushes(host);
            }
        }
    }
}
