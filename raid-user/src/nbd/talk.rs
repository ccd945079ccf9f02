//! The reading side of a connection: it feeds the machine, does what is best done at once, and hands the rest to the workers.
//!
//! To wait for the client without giving him what he may wait for would be to wait for ever: before anything is waited for that need not
//! come, gathered writes are done and replies are sent.

use std::io::{self, BufReader, Read as _};
use std::sync::Arc;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::gather::Gather;
use super::machine::{Machine, Request, Step};
use super::out::Out;
use super::queue::Queue;
use super::reply;
use super::server::{Connection, Job, PATIENCE, Shared, Target};
use super::stream::Stream;
use crate::media::MediaMut;

/// What is read from the socket at a time, but for long payloads.
const INPUT_BYTES: usize = 128 << 10;
/// Requests up to here are done by whoever read them, where the target is memory; longer ones only if no other waits behind, or nobody
/// is there for whom it could wait.
const SMALL_BYTES: u32 = 32 << 10;
/// How long the next write may take to begin, if this client has had the next one under way before.
const NEXT_COMES: Duration = Duration::from_micros(200);
/// How long a payload that has begun may take to go on, before what waits for its end is done without it.
const GOES_ON: Duration = Duration::from_millis(5);

struct Talk<'a> {
    shared: &'a Shared,
    connection: &'a Arc<Connection>,
    queue: &'a Queue<Job>,
    machine: Machine,
    input: BufReader<&'a Stream>,
    out: Out,
    gather: Gather,
    /// The target is memory.
    at_once: bool,
    /// There are as many clients as processors: nobody is idle to whom anything could be handed over.
    crowded: bool,
    /// The client does not wait for one answer before it sends the next request.
    runs_ahead: bool,
}

/// Feeds a connection's machine until it closes.
///
/// # Errors
/// The client went away, or did not get through the handshake in time.
pub(super) fn converse(shared: &Shared, connection: &Arc<Connection>, queue: &Queue<Job>) -> io::Result<()> {
    connection.stream.set_timeouts(Some(PATIENCE), Some(PATIENCE))?;
    let (machine, greeting) = Machine::new(shared.export.clone(), shared.limits);
    let (input, mut out) = (BufReader::with_capacity(INPUT_BYTES, &connection.stream), Out::default());
    out.put(&greeting);
    let gather = Gather::default();
    let (at_once, crowded, runs_ahead) = (false, false, true);
    let mut talk = Talk { shared, connection, queue, machine, input, out, gather, at_once, crowded, runs_ahead };
    let ended = talk.run();
    // What came whole is done, whether or not somebody waits for the answer.
    talk.perform_gathered();
    ended
}

impl Talk<'_> {
    fn run(&mut self) -> io::Result<()> {
        let mut patient = false;
        loop {
            if self.machine.transmitting() && !patient {
                self.connection.stream.set_timeouts(None, Some(PATIENCE))?;
                patient = true;
            }
            if self.input.buffer().len() < self.machine.want() && !self.next_comes() {
                self.perform_gathered();
                self.send();
                self.at_once = self.shared.target.media().is_memory();
                self.crowded = self.shared.is_crowded();
            }
            let mut bytes = self.connection.bytes(self.machine.want());
            self.input.read_exact(&mut bytes)?;
            let step = self.machine.got(bytes);
            if self.goes_with_others() {
                self.gather_payload()?;
                continue;
            }
            self.perform_gathered();
            if !self.take(step) {
                return Ok(());
            }
            if self.out.is_enough() {
                self.send();
            }
        }
    }

    /// Does a step. False if it was the last.
    fn take(&mut self, step: Step) -> bool {
        let agreed = self.machine.agreed();
        match step {
            Step::Read => {}
            Step::Send(bytes) => self.out.put(&bytes),
            Step::Do(request) => self.take_request(request),
            Step::Refuse { cookie, errno, why } => reply::refuse(agreed, cookie, errno, why, &mut self.out),
            Step::Close { send, .. } => {
                self.out.put(&send);
                self.send();
                return false;
            }
        }
        true
    }

    fn take_request(&mut self, request: Request) {
        let (target, agreed) = (&self.shared.target, self.machine.agreed());
        let straight = self.at_once && reply::is_straight(target, agreed, &request);
        let short = request.len_bytes <= SMALL_BYTES || self.input.buffer().is_empty();
        if straight || self.at_once && (short || self.crowded) {
            reply::answer(target, agreed, &request, straight, &mut self.out);
            self.connection.keep(request.payload);
        } else {
            self.connection.take_place(self.shared.limits.in_flight);
            self.queue.push((Arc::clone(self.connection), agreed, request));
        }
    }

    fn send(&mut self) {
        self.connection.send(&self.out, &self.shared.target);
        self.out.clear();
    }

    /// What writes are gathered for, and how long a stripe of it is.
    fn stripes(&self) -> Option<(&dyn MediaMut, u64)> {
        match &self.shared.target {
            Target::Writable(media) if self.at_once => Some((media.as_ref(), media.stripe_bytes()?)),
            Target::Writable(_) | Target::ReadOnly(_) => None,
        }
    }

    /// True if writes are gathered, and the client has begun with another request.
    fn next_comes(&self) -> bool {
        let wait = if self.runs_ahead { NEXT_COMES } else { Duration::ZERO };
        !self.gather.is_empty() && is_readable(&self.connection.stream, wait)
    }

    /// True if the next write's payload is to be put beside those of others.
    fn goes_with_others(&self) -> bool {
        self.machine.next_write().is_some_and(|next| self.stripes().is_some() && self.gather.takes(next))
    }

    /// Reads the payload of the write that comes next, and does all of them if a stripe is whole.
    fn gather_payload(&mut self) -> io::Result<()> {
        let Some(next) = self.machine.next_write().cloned() else { return Ok(()) };
        self.gather.make_room(&next);
        let mut filled = 0;
        while filled < next.len_bytes as usize {
            let waits = self.input.buffer().is_empty() && !self.gather.is_empty();
            if waits && !is_readable(&self.connection.stream, GOES_ON) {
                self.perform_gathered();
            }
            let room = &mut self.gather.room(&next)[filled..];
            match self.input.read(room) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.gather.push(self.machine.take_write().unwrap_or(next));
        if self.stripes().is_none_or(|(_, stripe_bytes)| self.gather.is_whole(stripe_bytes)) {
            self.perform_gathered();
        }
        Ok(())
    }

    /// Does what was gathered, and answers.
    fn perform_gathered(&mut self) {
        let Target::Writable(media) = &self.shared.target else { return };
        if self.gather.is_empty() {
            return;
        }
        self.gather.perform(media.as_ref(), self.machine.agreed(), &mut self.out);
        // Before the answers are sent: what is there already was sent without them.
        self.runs_ahead = !self.input.buffer().is_empty() || is_readable(&self.connection.stream, Duration::ZERO);
        self.send();
    }
}

/// True if the client has sent something, or does so in that time. That it hung up is something.
fn is_readable(stream: &Stream, wait: Duration) -> bool {
    let wait = Timespec { tv_sec: 0, tv_nsec: wait.subsec_nanos().into() };
    poll(&mut [PollFd::new(stream, PollFlags::IN)], Some(&wait)).is_ok_and(|ready| ready > 0)
}
