//! Long writes: several whole rows as one request, where nobody else is at them.

use std::io;

use raid_core::engine::Host as _;
use raid_core::request::{Kind, Refused, Request, RequestId};
use raid_core::rows::RowKind;
use raid_core::{Sector, Sectors};

use super::calls::TALL_MAX;
use super::inner::lock;
use super::pieces::Pieces;
use super::running::{BATCH, Bytes, Running, failed};

/// What a write of several rows is called; none if there is no such thing.
pub(super) fn kind_of(kind: Kind, rows: RowKind) -> Option<Kind> {
    match (kind, rows) {
        (Kind::Write { fua }, RowKind::Parity) => Some(Kind::WriteRows { fua }),
        (_, RowKind::Copies) => Some(kind).filter(|kind| kind.writes()),
        _ => None,
    }
}

impl Running {
    /// Sends the next rows, several at a time, as many as there are and there is room for. `kind` is what they are one by one, and what
    /// several are; the range begins at `at`.
    pub(super) fn several_rows(
        &self,
        (kind, tall): (Kind, Kind),
        at: Sector,
        bytes: &mut Bytes<'_>,
        pieces: &mut Pieces<'_>,
    ) -> io::Result<()> {
        let none = Request { id: RequestId(0), kind: tall, at, len: Sectors(0) };
        let (mut ids, mut requests) = ([none.id; TALL_MAX], [none; TALL_MAX]);
        let mut count = 0;
        while let Some((at, len)) = pieces.tall().filter(|_| count < TALL_MAX) {
            requests[count] = Request { at, len, ..none };
            pieces.skip_tall(len);
            count += 1;
        }
        let taken = self.inner.calls.take_tall(&mut ids[..count]);
        for (id, request) in ids[..taken].iter().zip(&mut requests) {
            request.id = *id;
            self.bring(request, at, bytes, pieces);
        }
        let mut refused = [true; TALL_MAX];
        let done = self.submit_tall(&requests[..taken], &mut refused);
        self.inner.calls.give(&ids[..taken]);
        done?;
        for (request, _) in requests[..count].iter().zip(refused).filter(|(_, refused)| *refused) {
            let mut rows = pieces.of_tall(request.at, request.len).peekable();
            while rows.peek().is_some() {
                self.row_by_row(kind, at, bytes, (&mut rows, pieces.at_a_time(BATCH)))?;
            }
        }
        Ok(())
    }

    /// Puts a request's bytes into its buffers. The range begins at `at`.
    fn bring(&self, request: &Request, at: Sector, bytes: &Bytes<'_>, pieces: &Pieces<'_>) {
        // With parity, P has the first.
        let first = usize::from(self.inner.rows().kind() == RowKind::Parity);
        for (column, from) in (first..).zip(pieces.columns_of(request.at)) {
            if let Some(column) = self.inner.calls.column(request.id, column) {
                bytes.copy_to(from.0 - at.0, request.len, Some(&mut lock(column).0[..]));
            }
        }
    }

    /// Submits them, and waits for those that are taken: the others stay `refused`, to be written row by row.
    fn submit_tall(&self, requests: &[Request], refused: &mut [bool; TALL_MAX]) -> io::Result<()> {
        let (mut from, mut outcome) = (0, Ok(()));
        while from < requests.len() && outcome.is_ok() {
            let submitted = self.submit_all(&requests[from..]);
            let taken = submitted.map_or_else(|(taken, _)| taken, |()| requests.len() - from);
            refused[from..from + taken].fill(false);
            from += taken + 1;
            if let Err((_, why)) = submitted
                && why != Refused::RowByRow
            {
                outcome = Err(io::Error::other(why));
            }
        }
        for (request, _) in requests.iter().zip(refused).filter(|(_, refused)| !**refused) {
            outcome = self.inner.calls.wait(request.id).map_err(failed).and(outcome);
        }
        outcome
    }
}
