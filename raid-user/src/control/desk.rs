//! Where a running array is administered: what may be done to it, and how it is.

use std::io::ErrorKind;
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use raid_core::health::{Health, State};
use raid_core::members::Unknown;
use raid_core::recovery::Rates;
use raid_core::{Member, SECTOR_BYTES};
use raid_formats::assemble::Claimant;
use raid_formats::record::{Role, Uuid};

use super::meter::Meter;
use super::name::path_of;
use super::{
    Answer, ArrayState, Ask, CheckStatus, Pass, PassKind, Refusal, RegionStatus, SlotState, SlotStatus, Status, Whom,
};
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

/// Who is in a slot.
#[derive(Clone, Debug)]
pub struct Held {
    /// As given.
    pub member: String,
    /// The same without links and working directory, if it is a file or a device.
    pub path: Option<String>,
}

impl Held {
    /// A member by the name it was given.
    #[must_use]
    pub fn new(member: &str) -> Self {
        Self { member: member.to_owned(), path: path_of(member) }
    }
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
    held: Vec<Option<Held>>,
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
            held,
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
            Ask::Fail { slot } => self.fail(Member(*slot))?,
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
        let held = |inside: &mut Inside| inside.held.get_mut(usize::from(member.0)).and_then(Option::take);
        let Some(was) = held(&mut self.inside()) else {
            return Err(Refusal::new(REFUSED, format!("slot {member} is empty already")));
        };
        if self.wait_for(|| self.running.release(member)).is_none() {
            if let Some(place) = self.inside().held.get_mut(usize::from(member.0)) {
                *place = Some(was);
            }
            return Err(Refusal::new(IO, format!("slot {member}: the others could not write down yet that it is out")));
        }
        Ok(())
    }

    /// Gives a slot to a medium: to who had it before only with what it lacks, if the log knows what that is.
    fn add(&self, name: &str, slot: Option<u8>, force: bool, whole: bool) -> Result<Option<String>, Refusal> {
        let bad = |error: &dyn std::fmt::Display| Refusal::new(BAD_INPUT, error);
        let missing = self.running.health().missing();
        if let Some(slot) = slot
            && self.state(Member(slot))? != State::Missing
        {
            return Err(Refusal::new(REFUSED, format!("slot {slot} is not empty")));
        }
        let none = || Refusal::new(REFUSED, "no slot is empty: there is nothing that a new member could do");
        let first = missing.iter().next().ok_or_else(none)?;
        let path = path_of(name);
        // An image of LVM has no path, but a name of two words.
        let is_it = |media: &SharedMediaMut| {
            let own = media.describe();
            (path.is_some() && path_of(&own) == path) || (own.contains('/') && Path::new(name).ends_with(&own))
        };
        let held = self.running.held().into_iter().find(is_it);
        // What the store holds goes by the name that it has there.
        let called = held.as_ref().map_or_else(|| name.to_owned(), |media| media.describe());
        let (media, own) = match held {
            // A disk of the container that has parts of other volumes, which stay; or the image that the slot is for.
            Some(media) => (media, None),
            None => {
                let spec = MediaSpec::parse(name.as_ref()).map_err(|error| bad(&error))?;
                let media = open_mut(&spec).map_err(|error| Refusal::new(IO, error))?.media;
                let own = self.own(name, &(media.clone() as SharedMedia));
                if own.is_none() {
                    Self::check_loss(name, &(media.clone() as SharedMedia), force)?;
                }
                (media, own)
            }
        };
        let before = own.flatten().filter(|slot| missing.contains(*slot));
        let member = slot.map(Member).or(before).unwrap_or(first);
        let was = format!("{name}: was in slot {member} before");
        let back =
            before.filter(|before| *before == member && !whole).map(|_| self.running.readd(member, media.clone()));
        if let Some(Err(why)) = &back
            && why.get_ref().and_then(|why| why.downcast_ref()) == Some(&Unknown::Diverged)
        {
            return Err(Refusal::new(REFUSED, format!("{was}; {why}; --whole overwrites what it holds")));
        }
        let note = match back {
            Some(Ok(())) => Some(format!("{was}, and gets only what it missed")),
            other => {
                self.running.add(member, media).map_err(|error| bad(&format!("{name}: {error}")))?;
                // A format that never says what a member knew is no news.
                let news = other.and_then(Result::err).filter(|why| why.kind() != ErrorKind::Unsupported);
                news.map(|why| format!("{was}, and is filled from the start: {why}"))
            }
        };
        if let Some(place) = self.inside().held.get_mut(usize::from(member.0)) {
            *place = Some(Held::new(&called));
        }
        Ok(note)
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
            slots: (0..=u8::MAX).zip(&inside.held).map(|(slot, held)| slot_status(&health, slot, held)).collect(),
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

fn slot_status(health: &Health, slot: u8, held: &Option<Held>) -> SlotStatus {
    let (state, mark) = match health.state(Member(slot)) {
        Some(State::InSync) => (SlotState::InSync, None),
        Some(State::Rebuilding { mark }) => (SlotState::Rebuilding, Some(mark.0.saturating_mul(SECTOR_BYTES))),
        _ if held.is_some() => (SlotState::Failed, None),
        _ => (SlotState::Missing, None),
    };
    SlotStatus {
        slot,
        member: held.as_ref().map(|held| held.member.clone()),
        path: held.as_ref().and_then(|held| held.path.clone()),
        state,
        mark_bytes: mark,
        by_log: health.filling().any(|filling| filling.member == Member(slot) && filling.by_log),
    }
}

impl Inside {
    fn look(&mut self, running: &Running) {
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
        let filling = running.health().rebuilding().next().is_some();
        Some(Pass {
            kind: if filling { PassKind::Rebuild } else { PassKind::Resync },
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
