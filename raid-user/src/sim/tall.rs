//! Writes of several rows at once, as the engine knows one and the model many: they begin together, and end together.
//!
//! The buffer of such a request is many buffers of a row, under numbers that follow the request's own: those of its data, column by
//! column and row by row, and behind them those of its parity. Each of data is a write of its own to the model.

use raid_core::engine;
use raid_core::geometry::{Part, StripeMap};
use raid_core::request::{Kind, Request, RequestId};
use raid_core::rows::{ROW_LEN, RowKind};
use raid_core::{Sector, Sectors};

use super::compute::{Buffers, Own, POISON, Roles, Shape};
use super::life::{Asked, Life, is_fua, value_of};
use super::story::Fact;
use super::world::index;

/// A write of several rows.
#[derive(Clone, Copy, Debug)]
struct Tall {
    /// Its first sector, of the array.
    at: usize,
    rows: usize,
    /// Data columns; copies are one.
    columns: usize,
    /// From one column to the next, in sectors.
    chunk: usize,
    parities: usize,
}

impl Tall {
    /// First array sectors of its parts of data, in the order of their numbers.
    fn parts(self) -> impl Iterator<Item = usize> {
        let Self { at, rows, columns, chunk, .. } = self;
        (0..columns).flat_map(move |column| (0..rows).map(move |row| at + column * chunk + row * ROW_LEN))
    }
}

impl Life<'_> {
    /// A write of rows around a sector: in one request if the engine takes that, else one by one, as a host does it.
    pub(super) fn ask_tall(&mut self, kind: Kind, at: usize) {
        let Some((tall, kind)) = self.tall_at(kind, at) else { return };
        if !self.submit_tall(kind, tall) {
            let kind = if let Kind::WriteRows { fua } = kind { Kind::Write { fua } } else { kind };
            for at in tall.parts() {
                self.submit(kind, at, ROW_LEN);
            }
        }
    }

    /// Rows of the chunk, or of the stripe, that a sector lies in; fewer than there are, now and then.
    fn tall_at(&mut self, kind: Kind, at: usize) -> Option<(Tall, Kind)> {
        let geometry = self.setup.rows.geometry();
        let (stripe, kind) = match (self.setup.rows.kind(), kind) {
            (RowKind::Copies, kind) => (None, kind),
            (RowKind::Parity, Kind::Write { fua }) => {
                let place = geometry.map(Sector(at as u64))?;
                (Some(geometry.stripe(geometry.stripe_at(place.at))?), Kind::WriteRows { fua })
            }
            _ => return None,
        };
        // Of a mirror, which has no chunks, some rows.
        let chunk = index(geometry.chunk().0).max(if stripe.is_some() { 0 } else { 4 * ROW_LEN });
        let columns = stripe.map_or(1, |stripe| usize::from(stripe.data_count()));
        let parities = stripe.map_or(0, |stripe| usize::from(stripe.members()) - columns);
        let first = at % chunk / ROW_LEN;
        let rows = 1 + self.world.outside(|out| out.dice.index(chunk / ROW_LEN - first));
        let at = at - at % (chunk * columns) + first * ROW_LEN;
        Some((Tall { at, rows, columns, chunk, parities }, kind))
    }

    /// Submits it; false if the engine does not take it as one.
    fn submit_tall(&mut self, kind: Kind, tall: Tall) -> bool {
        if tall.parts().any(|at| at + ROW_LEN > self.model.len()) {
            return false;
        }
        let (id, len) = (self.next_id + 1, tall.rows * ROW_LEN);
        let (parts, all) = (tall.rows * tall.columns, tall.rows * (tall.columns + tall.parities));
        let (shape, ids) = (Shape { parts, all, rows: tall.rows }, id..id + all as u64);
        self.next_id += all as u64;
        let places = tall.parts().map(Some).chain(std::iter::repeat(None));
        let mut written = Vec::new();
        for (part, at) in ids.clone().map(RequestId).zip(places) {
            let values = std::array::from_fn(|offset| match (kind, at) {
                (_, None) => POISON,
                (Kind::Write { .. } | Kind::WriteRows { .. }, Some(at)) => value_of(part, at + offset),
                (_, Some(_)) => 0,
            });
            let (place, writes) = (at.unwrap_or(0), at.is_some());
            let own = Own { id: part, at: place, len: ROW_LEN, writes, values, shape };
            self.world.buffers(|buffers| buffers.bring(own));
            written.extend(at.map(|at| (part, at, values)));
        }
        let sick = !self.impaired().is_empty();
        self.tell(Fact::Asked { id: RequestId(id), kind, at: tall.at, len });
        self.world.arm();
        let request = Request { id: RequestId(id), kind, at: Sector(tall.at as u64), len: Sectors(len as u64) };
        if engine::submit(&self.world, request).is_err() {
            self.tell(Fact::Refused { id: RequestId(id) });
            self.world.buffers(|buffers| ids.for_each(|id| _ = buffers.take(RequestId(id))));
            return false;
        }
        self.totals.tall += 1;
        for (id, at, values) in written {
            let written = self.model.write(at, &values);
            self.asked.push((id, Asked::Write { written, fua: is_fua(kind), at, sick }));
        }
        true
    }
}

impl Buffers {
    /// How many buffers a request of the engine is.
    pub(super) fn shape_of(&mut self, id: RequestId) -> Shape {
        self.own(id).map_or(Shape::ONE, |own| own.shape)
    }

    /// One row of a part of a request of whole rows.
    pub(super) fn row_of(&mut self, request: RequestId, part: Part, row: usize) -> Option<&mut Own> {
        let Shape { rows, parts, .. } = self.own(request)?.shape;
        let column = match part {
            Part::Data(column) => usize::from(column),
            Part::P => parts / rows,
            Part::Q => parts / rows + 1,
        };
        self.own(RequestId(request.0 + (column * rows + row) as u64))
    }

    /// P and Q of a request of whole rows.
    pub(super) fn sum_rows(&mut self, request: RequestId, stripe: &StripeMap, (p, q): (bool, bool)) {
        let rows = self.shape_of(request).rows;
        let roles = Roles::new(stripe);
        for (row, at) in (0..rows).flat_map(|row| (0..ROW_LEN).map(move |at| (row, at))) {
            let (new_p, new_q) = roles.parity(|member| {
                let own = stripe.part(member).and_then(|part| self.row_of(request, part, row));
                own.map_or(POISON, |own| own.values[at])
            });
            for (part, new, made) in [(Part::P, new_p, p), (Part::Q, new_q, q)] {
                if let Some(own) = self.row_of(request, part, row).filter(|_| made) {
                    own.values[at] = new;
                }
            }
        }
    }
}
