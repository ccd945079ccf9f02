//! Where a running array is administered: what may be done to it, and how it is.

use std::io::ErrorKind;
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use raid_core::Member;
use raid_core::health::State;
use raid_core::members::Unknown;
use raid_core::recovery::Rates;
use raid_formats::assemble::Claimant;
use raid_formats::record::{Role, Uuid};

use super::meter::Meter;
use super::name::path_of;
use super::roll::{Held, Roll};
use super::{Answer, ArrayState, Ask, CheckStatus, Pass, PassKind, Refusal, RegionStatus, Status, Whom};
use crate::create::lost;
use crate::discover::Found;
use crate::host::Running;
use crate::media::{Media as _, MediaSpec, SharedMedia, SharedMediaMut, open_mut};

/// How often it is looked how far the work in the background is.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How long a change may take to be on the members.
const PATIENCE: Duration = Duration::from_secs(20);

/// The tool's exit codes that a refusal can have.
pub(super) const USAGE: u8 = 2;
pub(super) const REFUSED: u8 = 3;
const BAD_INPUT: u8 = 4;
const IO: u8 = 5;

/// What an array is called.
#[derive(Clone, Debug)]
pub struct About {
    /// Its identity.
    pub uuid: Uuid,
    /// Its name.
    pub name: String,
    /// Format, level and shape, for people.
    pub description: String,
    /// Where clients reach it.
    pub uri: Option<String>,
}

/// The desk of one running array.
pub struct Desk {
    running: Arc<Running>,
    about: About,
    inside: Arc<Mutex<Inside>>,
    clock: Option<(Sender<()>, JoinHandle<()>)>,
    /// Held by whoever changes who is a member.
    turn: Mutex<()>,
}

struct Inside {
    held: Roll,
    meter: Meter,
    /// The most that was left of the pass under way.
    total_bytes: u64,
    paused: bool,
    check_meter: Meter,
    /// Of the check under way, or the last one.
    repair: Option<Whom>,
    /// While clients are at work, and at most.
    limits: (Option<u64>, Option<u64>),
}

impl Desk {
    /// A desk for an array with these members in its slots.
    ///
    /// # Errors
    /// No thread.
    pub fn new(running: Arc<Running>, about: About, held: Vec<Option<Held>>) -> std::io::Result<Self> {
        let mut inside = Inside {
            held: Roll::new(held, running.health().members()),
            meter: Meter::default(),
            total_bytes: 0,
            paused: running.is_held(),
            check_meter: Meter::default(),
            repair: None,
            limits: (None, None),
        };
        inside.look(&running);
        let inside = Arc::new(Mutex::new(inside));
        let (stop, stopped) = channel();
        let clock = std::thread::Builder::new().name("control clock".into()).spawn({
            let (running, inside) = (Arc::clone(&running), Arc::clone(&inside));
            move || look(&running, &inside, &stopped)
        })?;
        Ok(Self { running, about, inside, clock: Some((stop, clock)), turn: Mutex::default() })
    }

    /// Does what is asked.
    pub fn ask(&self, ask: &Ask) -> Answer {
        if let Ask::Findings { from } = ask {
            return Answer::Found { findings: self.findings(*from) };
        }
        match self.obey(ask) {
            Ok(note) => Answer::Done(Box::new(Status { note, ..self.status() })),
            Err(refusal) => Answer::Refused(refusal),
        }
    }

    /// Does it; says what was done where the question leaves that open.
    fn obey(&self, ask: &Ask) -> Result<Option<String>, Refusal> {
        if *ask == Ask::Status {
            return Ok(None);
        }
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(done) = self.obey_check(ask) {
            return done.map(|()| None);
        }
        if !self.running.is_redundant() {
            return Err(Refusal::new(REFUSED, "an array without redundancy can do without none of its members"));
        }
        match ask {
            Ask::Status | Ask::Check { .. } | Ask::StopCheck | Ask::Findings { .. } => {}
            Ask::Fail { slot, copy: false } => self.fail(Member(*slot))?,
            Ask::Fail { slot, copy: true } => self.fail_copy(Member(*slot))?,
            Ask::RemoveSpare { member } => self.remove_spare(member)?,
            Ask::Replace { slot, member, force } => self.replace(Member(*slot), member, *force)?,
            Ask::Remove { slot } => self.remove(Member(*slot))?,
            Ask::Add { member, slot, force, whole } => return self.add(member, *slot, *force, *whole),
            Ask::Pause => {
                self.inside().paused = true;
                self.running.pause();
            }
            Ask::Resume => {
                self.inside().paused = false;
                self.running.resume();
            }
            Ask::Limit { busy_bytes_per_s, max_bytes_per_s } => {
                let rows = |bytes: &Option<u64>| bytes.map_or(u64::MAX, |bytes| self.running.rows_in(bytes));
                self.inside().limits = (*busy_bytes_per_s, *max_bytes_per_s);
                let (floor_rows_s, ceiling_rows_s) = (rows(busy_bytes_per_s), rows(max_bytes_per_s));
                self.running.set_rates(Rates { floor_rows_s, ceiling_rows_s });
            }
        }
        Ok(None)
    }

    fn state(&self, member: Member) -> Result<State, Refusal> {
        let health = self.running.health();
        let why = || Refusal::new(USAGE, format!("there is no slot {member}; the last is {}", health.members() - 1));
        health.state(member).ok_or_else(why)
    }

    fn fail(&self, member: Member) -> Result<(), Refusal> {
        if self.state(member)? == State::Missing {
            return Err(Refusal::new(REFUSED, format!("slot {member} has no member that could fail")));
        }
        if !self.running.survives_without(member) {
            let why = format!("the array does not survive without slot {member}: add a member to a missing slot first");
            return Err(Refusal::new(REFUSED, why));
        }
        if let Some(why) = self.running.vital(member) {
            return Err(Refusal::new(REFUSED, format!("slot {member} cannot be thrown out: {why}")));
        }
        self.running.fail(member);
        self.wait_for(|| self.running.is_noted()).ok_or_else(|| {
            Refusal::new(IO, format!("slot {member} is out, but the others could not write that down yet"))
        })
    }

    fn remove(&self, member: Member) -> Result<(), Refusal> {
        if self.state(member)? != State::Missing {
            let why = format!("slot {member} is in use; `raid fail` throws it out first");
            return Err(Refusal::new(REFUSED, why));
        }
        let Some(was) = self.inside().held.take(member) else {
            return Err(Refusal::new(REFUSED, format!("slot {member} is empty already")));
        };
        if self.wait_for(|| self.running.release(member)).is_none() {
            self.inside().held.put(member, was);
            return Err(Refusal::new(IO, format!("slot {member}: the others could not write down yet that it is out")));
        }
        Ok(())
    }

    fn fail_copy(&self, member: Member) -> Result<(), Refusal> {
        self.state(member)?;
        if !self.running.fail_copy(member) {
            return Err(Refusal::new(REFUSED, format!("nobody is on the way to replace slot {member}")));
        }
        let noted = self.wait_for(|| self.running.is_noted());
        noted.ok_or_else(|| Refusal::new(IO, "the copy is out, but the members could not write that down yet"))
    }

    fn remove_spare(&self, name: &str) -> Result<(), Refusal> {
        let spare = self.running.spares().into_iter().find(|spare| is_called(spare, name));
        match spare.is_some_and(|spare| self.running.dismiss(&spare)) {
            true => Ok(()),
            false => Err(Refusal::new(USAGE, format!("{name}: is no spare of this array"))),
        }
    }

    /// Has a medium filled with what a member holds, which serves as long as that.
    fn replace(&self, member: Member, name: &str, force: bool) -> Result<(), Refusal> {
        self.state(member)?;
        let (media, _) = self.medium(name, force)?;
        // Whatever changed last is written down in moments.
        self.wait_for(|| self.running.is_noted())
            .ok_or_else(|| Refusal::new(IO, "the members could not write down yet who is in the array"))?;
        self.running.replace(member, media).map_err(|error| {
            let code = if error.kind() == ErrorKind::Unsupported { REFUSED } else { BAD_INPUT };
            Refusal::new(code, format!("{name}: {error}"))
        })
    }

    /// The medium of that name, and the slot that it had if it was a member of this array: one that the store holds already, or opened now,
    /// if nothing is lost by that.
    fn medium(&self, name: &str, force: bool) -> Result<(SharedMediaMut, Option<Member>), Refusal> {
        // A disk of the container that has parts of other volumes, which stay; the image that the slot is for; a spare.
        if let Some(held) = self.running.held().into_iter().find(|media| is_called(media, name)) {
            return Ok((held, None));
        }
        let spec = MediaSpec::parse(name.as_ref()).map_err(|error| Refusal::new(BAD_INPUT, error))?;
        let media = open_mut(&spec).map_err(|error| Refusal::new(IO, error))?.media;
        let own = self.own(name, &(media.clone() as SharedMedia));
        if own.is_none() {
            Self::check_loss(name, &(media.clone() as SharedMedia), force)?;
        }
        Ok((media, own.flatten()))
    }

    /// Gives a slot to a medium: to who had it before only with what it lacks, if the log knows what that is. If none is empty, it is kept
    /// as a spare.
    fn add(&self, name: &str, slot: Option<u8>, force: bool, whole: bool) -> Result<Option<String>, Refusal> {
        let bad = |error: &dyn std::fmt::Display| Refusal::new(BAD_INPUT, error);
        let missing = self.running.health().missing();
        if let Some(slot) = slot
            && self.state(Member(slot))? != State::Missing
        {
            return Err(Refusal::new(REFUSED, format!("slot {slot} is not empty")));
        }
        let Some(first) = missing.iter().next() else { return self.keep(name, force) };
        let (media, own) = self.medium(name, force)?;
        let before = own.filter(|slot| missing.contains(*slot));
        let member = slot.map(Member).or(before).unwrap_or(first);
        let was = format!("{name}: was in slot {member} before");
        let back =
            before.filter(|before| *before == member && !whole).map(|_| self.running.readd(member, media.clone()));
        if let Some(Err(why)) = &back
            && why.get_ref().and_then(|why| why.downcast_ref()) == Some(&Unknown::Diverged)
        {
            return Err(Refusal::new(REFUSED, format!("{was}; {why}; --whole overwrites what it holds")));
        }
        Ok(match back {
            Some(Ok(())) => Some(format!("{was}, and gets only what it missed")),
            other => {
                self.running.add(member, media).map_err(|error| bad(&format!("{name}: {error}")))?;
                // A format that never says what a member knew is no news.
                let news = other.and_then(Result::err).filter(|why| why.kind() != ErrorKind::Unsupported);
                news.map(|why| format!("{was}, and is filled from the start: {why}"))
            }
        })
    }

    fn keep(&self, name: &str, force: bool) -> Result<Option<String>, Refusal> {
        if self.running.spares().iter().any(|spare| is_called(spare, name)) {
            return Err(Refusal::new(REFUSED, format!("{name}: is a spare already")));
        }
        let (media, _) = self.medium(name, force)?;
        match self.running.keep(media) {
            Ok(()) => Ok(Some(format!("{name}: no slot is empty; it waits as a spare, and takes over when one is"))),
            Err(error) if error.kind() == ErrorKind::Unsupported => {
                let why = format!("no slot is empty: there is nothing that a new member could do ({error})");
                Err(Refusal::new(REFUSED, why))
            }
            Err(error) => Err(Refusal::new(BAD_INPUT, format!("{name}: {error}"))),
        }
    }

    /// Whether a medium says that it is a member of this very array and nothing else, and in which slot, if it had one.
    fn own(&self, name: &str, media: &SharedMedia) -> Option<Option<Member>> {
        let found = Found::inspect(name, media.clone()).ok()?;
        let record = Claimant::record(&found);
        if found.others().next().is_some() || record.array != self.about.uuid {
            return None;
        }
        Some(match record.role {
            Role::Slot(slot) => u8::try_from(slot).ok().map(Member),
            _ => None,
        })
    }

    /// Refuses a medium that holds something that would be lost.
    fn check_loss(name: &str, media: &SharedMedia, force: bool) -> Result<(), Refusal> {
        let losses = lost(name, media);
        if let Some(loss) = losses.iter().find(|loss| !loss.erasable) {
            let why = format!("{name}: {}: it would be found beside the array's; take it away first", loss.what);
            return Err(Refusal::new(REFUSED, why));
        }
        match losses.first() {
            Some(loss) if !force => Err(Refusal::new(REFUSED, format!("{name}: {}; --force overwrites it", loss.what))),
            _ => Ok(()),
        }
    }

    /// Waits until something is so, but not for ever.
    fn wait_for(&self, mut so: impl FnMut() -> bool) -> Option<()> {
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            if so() {
                return Some(());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        None
    }

    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) const fn running(&self) -> &Arc<Running> {
        &self.running
    }

    /// Begins with a check, and remembers what it was to do if it began.
    pub(super) fn note_repair<E>(&self, begin: impl FnOnce() -> Result<(), E>, repair: Option<Whom>) -> Result<(), E> {
        let mut inside = self.inside();
        begin()?;
        inside.repair = repair;
        inside.check_meter.rest();
        Ok(())
    }

    /// How the array is.
    #[must_use]
    pub fn status(&self) -> Status {
        let (health, regions) = (self.running.health(), self.running.regions());
        let mut inside = self.inside();
        inside.look(&self.running);
        let state = match (self.running.is_broken(), health.is_whole()) {
            (true, _) => ArrayState::Broken,
            (false, true) => ArrayState::Healthy,
            (false, false) => ArrayState::Degraded,
        };
        Status {
            uuid: self.about.uuid.to_string(),
            name: self.about.name.clone(),
            description: self.about.description.clone(),
            size_bytes: self.running.size_bytes(),
            uri: self.about.uri.clone(),
            state,
            slots: inside.held.slots(&health),
            spares: self.running.spares().iter().map(|spare| Held::new(&spare.describe()).into()).collect(),
            regions: RegionStatus {
                total: regions.total,
                dirty: regions.dirty,
                in_doubt: regions.in_doubt,
                region_bytes: self.running.region_bytes(),
            },
            pass: inside.pass(&self.running),
            check: inside.check(&self.running),
            unhealed_rows: self.running.unhealed_rows(),
            note: None,
        }
    }
}

/// True if a medium goes by that name. An image of LVM has no path, but a name of two words.
fn is_called(media: &SharedMediaMut, name: &str) -> bool {
    let (own, path) = (media.describe(), path_of(name));
    (path.is_some() && path_of(&own) == path) || (own.contains('/') && Path::new(name).ends_with(&own))
}

impl Inside {
    fn look(&mut self, running: &Running) {
        self.held.look(running);
        match running.left_bytes() {
            Some(_) if self.paused => self.meter.rest(),
            Some(left) => {
                self.total_bytes = self.total_bytes.max(left);
                self.meter.look(Instant::now(), left);
            }
            None => {
                self.total_bytes = 0;
                self.meter.rest();
            }
        }
        match running.left_to_check_bytes() {
            Some(left) if !self.paused => self.check_meter.look(Instant::now(), left),
            _ => self.check_meter.rest(),
        }
    }

    fn check(&self, running: &Running) -> Option<CheckStatus> {
        let status = CheckStatus::new(running, &running.checks(), self.repair)?;
        let (bytes_per_s, left_s) = match status.running {
            true => (self.check_meter.rate(), self.check_meter.left_s()),
            false => (None, None),
        };
        Some(CheckStatus { paused: status.running && running.is_check_held(), bytes_per_s, left_s, ..status })
    }

    fn pass(&self, running: &Running) -> Option<Pass> {
        let left = running.left_bytes()?;
        let health = running.health();
        let kind = match (health.rebuilding().next(), health.copies().next()) {
            (Some(_), _) => PassKind::Rebuild,
            // Where both go on, what is in doubt comes first.
            (None, Some(_)) if running.progress().resync.is_none() => PassKind::Replace,
            (None, _) => PassKind::Resync,
        };
        Some(Pass {
            kind,
            done_bytes: self.total_bytes.saturating_sub(left),
            total_bytes: self.total_bytes,
            bytes_per_s: self.meter.rate(),
            left_s: self.meter.left_s(),
            paused: self.paused,
            busy_bytes_per_s: self.limits.0,
            max_bytes_per_s: self.limits.1,
        })
    }
}

/// Looks how far the work is until told to stop, so that a rate is known when somebody asks.
fn look(running: &Running, inside: &Mutex<Inside>, stopped: &Receiver<()>) {
    while stopped.recv_timeout(LOOK_EVERY) == Err(RecvTimeoutError::Timeout) {
        inside.lock().unwrap_or_else(PoisonError::into_inner).look(running);
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        if let Some((stop, clock)) = self.clock.take() {
            drop(stop);
            drop(clock.join());
        }
    }
}
