//! How requests come in: what needs no slot is done at once, the rest becomes tasks of shards.

use super::{Host, drive_flushes, shard_of, submit_task};
use crate::action::{Action, Buf, Token, Way};
use crate::flush::Purpose;
use crate::plan::{self, How};
use crate::request::{Error, Kind, Refused, Request};
use crate::rows::{ROW_SECTORS, RowKind};
use crate::stripe::{Task, What};

/// Takes a request.
///
/// # Errors
/// [`Refused`]; the request is the host's again.
pub fn submit<H: Host>(host: &H, request: Request) -> Result<(), Refused> {
    if request.kind == Kind::Flush {
        let started = host.with_flushes(|flushes| flushes.start(Purpose::Request(request.id)));
        drive_flushes(host);
        return if started { Ok(()) } else { Err(Refused::Busy) };
    }
    check_range(host, request)?;
    let Some(request) = meant(host, request) else {
        host.perform(Action::Complete { request: request.id, result: Ok(()) });
        return Ok(());
    };
    if direct(host, request)? {
        return Ok(());
    }
    let task = task_of(host, request)?;
    host.pause();
    submit_task(host, task)
}

/// Takes requests in order, those for one shard in one critical section: nobody can begin with a row before its neighbours are
/// there, so that a long write becomes full-stripe writes. Says how many were taken, and why not the next one.
///
/// # Errors
/// [`Refused`], for the request at that place; it and all behind it are the host's again.
pub fn submit_many<H: Host>(host: &H, requests: &[Request]) -> Result<(), (usize, Refused)> {
    let mut from = 0;
    while let Some(request) = requests.get(from) {
        let taken = submit_run(host, &requests[from..]).map_err(|refused| (from, refused))?;
        if taken == 0 {
            submit(host, *request).map_err(|refused| (from, refused))?;
        }
        from += taken.max(1);
    }
    Ok(())
}

/// Takes the writes at the start of `requests` that belong to one shard; zero if the first is none of that kind.
fn submit_run<H: Host>(host: &H, requests: &[Request]) -> Result<usize, Refused> {
    let write = |request: &Request| -> Option<Task> {
        let request = meant(host, *request)?;
        let slotted = request.kind.writes() && host.rows().kind() != RowKind::Plain;
        check_range(host, request).and_then(|()| task_of(host, request)).ok().filter(|_| slotted)
    };
    let Some(shard) = requests.first().and_then(write).map(|task| shard_of(host, task.piece.row)) else { return Ok(0) };
    let mine = |request: &Request| write(request).filter(|task| shard_of(host, task.piece.row) == shard);
    let mut refused = Refused::Busy;
    let taken = host.with_shard(shard, |machine| {
        let taken = |task: &Task| machine.submit(*task).map_err(|why| refused = why).is_ok();
        requests.iter().map_while(mine).take_while(taken).count()
    });
    host.wake(shard);
    if taken == 0 { Err(refused) } else { Ok(taken) }
}

/// A request that lies inside one row of the array, or is a tall one, as a task.
fn task_of<H: Host>(host: &H, request: Request) -> Result<Task, Refused> {
    let Request { kind, at, len, .. } = request;
    let rows = host.rows();
    let tall = match kind {
        Kind::WriteRows { .. } if rows.kind() != RowKind::Parity => return Err(Refused::CrossesRow),
        Kind::WriteRows { .. } => true,
        _ => kind.writes() && rows.kind() == RowKind::Copies && len.0 > ROW_SECTORS,
    };
    let piece = if tall {
        rows.tall(at, len).ok_or(Refused::CrossesRow)?
    } else {
        let (piece, taken) = rows.piece(at, len).ok_or(Refused::PastTheEnd)?;
        if taken != len {
            return Err(Refused::CrossesRow);
        }
        piece
    };
    let what = match kind {
        Kind::WriteRows { fua } => What::Rows { id: request.id, fua },
        Kind::Write { fua } => What::Write { id: request.id, fua, zeroes: None },
        Kind::WriteZeroes { fua, free } => What::Write { id: request.id, fua, zeroes: Some(free) },
        Kind::Discard => What::Write { id: request.id, fua: false, zeroes: Some(true) },
        Kind::Read | Kind::Flush => What::Read(request.id),
    };
    Ok(Task { piece, what })
}

/// What a request comes to: a discard is a write of zeros that may be freed. `None` if nothing is to be done.
fn meant<H: Host>(host: &H, request: Request) -> Option<Request> {
    match request.kind {
        Kind::Discard if !host.discards() => None,
        Kind::Discard => Some(Request { kind: Kind::WriteZeroes { fua: false, free: true }, ..request }),
        _ => Some(request),
    }
}

fn check_range<H: Host>(host: &H, request: Request) -> Result<(), Refused> {
    let end = request.at.checked_add(request.len).ok_or(Refused::PastTheEnd)?;
    let fits = !request.len.is_zero() && end.0 <= host.rows().geometry().array_size().0;
    if fits { Ok(()) } else { Err(Refused::PastTheEnd) }
}

/// Does what needs no slot: reads of trusted members, and everything where there is no redundancy. True if it was that.
fn direct<H: Host>(host: &H, request: Request) -> Result<bool, Refused> {
    let plain = host.rows().kind() == RowKind::Plain;
    let buf = Buf::Request(request.id);
    let (way, buf) = match request.kind {
        Kind::Write { fua } if plain => (Way::Write { fua }, buf),
        Kind::WriteZeroes { fua, free } if plain => (Way::Write { fua }, Buf::Zeroes { free }),
        Kind::Read => (Way::Read, buf),
        Kind::Write { .. } | Kind::WriteRows { .. } | Kind::WriteZeroes { .. } | Kind::Discard | Kind::Flush => {
            return Ok(false);
        }
    };
    let health = host.with_members(|members| members.view().health);
    let step = plan::read(host.layouts(), &health, request.at, request.len).map_err(|_| Refused::PastTheEnd)?;
    let How::Direct { place } = step.how else {
        if plain {
            host.perform(Action::Complete { request: request.id, result: Err(Error::Lost) });
        }
        return Ok(plain);
    };
    if step.len != request.len {
        return if plain { Err(Refused::CrossesRow) } else { Ok(false) };
    }
    let seat = health.seat(place.member);
    let token = Token::Direct { request, member: seat, seen: health.epoch() };
    host.pause();
    host.perform(Action::Io { token, way, member: seat, at: place.at, len: request.len, buf });
    Ok(true)
}
