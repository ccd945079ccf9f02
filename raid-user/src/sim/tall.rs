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
use super::life::{Asked, Life, value_of};
use super::model::Value;
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
        let (rows, chunk) = (&self.setup.rows, index(self.setup.rows.geometry().chunk().0).max(4 * ROW_LEN));
        let (within, left) = (at % chunk / ROW_LEN * ROW_LEN, chunk - at % chunk / ROW_LEN * ROW_LEN);
        let height = 1 + self.world.outside(|out| out.dice.index(left / ROW_LEN));
        match (rows.kind(), kind) {
            (RowKind::Copies, _) => {
                let at = at - at % chunk + within;
                Some((Tall { at, rows: height, columns: 1, chunk: 0, parities: 0 }, kind))
            }
            (RowKind::Parity, Kind::Write { fua }) => {
                let chunk = index(rows.geometry().chunk().0);
                let place = rows.geometry().map(Sector(at as u64))?;
                let stripe = rows.geometry().stripe(rows.geometry().stripe_at(place.at))?;
                let columns = usize::from(stripe.data_count());
                let (within, left) = (at % chunk / ROW_LEN * ROW_LEN, chunk - at % chunk / ROW_LEN * ROW_LEN);
                let at = at - at % (chunk * columns) + within;
                let parities = usize::from(stripe.members()) - columns;
                let height = height.min(left / ROW_LEN);
                Some((Tall { at, rows: height, columns, chunk, parities }, Kind::WriteRows { fua }))
            }
            _ => None,
        }
    }

    /// Submits it; false if the engine does not take it as one.
    fn submit_tall(&mut self, kind: Kind, tall: Tall) -> bool {
        let (id, len) = (self.next_id + 1, tall.rows * ROW_LEN);
        if tall.parts().any(|at| at + ROW_LEN > self.model.len()) {
            return false;
        }
        let (parts, all) = (tall.rows * tall.columns, tall.rows * (tall.columns + tall.parities));
        let shape = Shape { parts, all, rows: tall.rows };
        self.next_id += all as u64;
        let places = tall.parts().map(Some).chain(std::iter::repeat(None));
        let mut written = Vec::new();
        for (part, at) in (id..id + all as u64).map(RequestId).zip(places) {
            let values = std::array::from_fn(|offset| match (kind, at) {
                (_, None) => POISON,
                (Kind::Write { .. } | Kind::WriteRows { .. }, Some(at)) => value_of(part, at + offset),
                (_, Some(_)) => 0,
            });
            let (at_or_none, writes) = (at.unwrap_or(0), at.is_some());
            let own = Own { id: part, at: at_or_none, len: ROW_LEN, writes, values, shape };
            self.world.buffers(|buffers| buffers.bring(own));
            written.extend(at.map(|at| (part, at, values)));
        }
        let sick = !self.impaired().is_empty();
        self.tell(Fact::Asked { id: RequestId(id), kind, at: tall.at, len });
        self.world.arm();
        let request = Request { id: RequestId(id), kind, at: Sector(tall.at as u64), len: Sectors(len as u64) };
        if engine::submit(&self.world, request).is_err() {
            self.tell(Fact::Refused { id: RequestId(id) });
            self.world.buffers(|buffers| (id..id + all as u64).for_each(|id| _ = buffers.take(RequestId(id))));
            return false;
        }
        self.totals.tall += 1;
        let (Kind::Write { fua } | Kind::WriteRows { fua } | Kind::WriteZeroes { fua, .. }) = kind else {
            return self.asked_all(written, false, sick);
        };
        self.asked_all(written, fua, sick)
    }

    fn asked_all(&mut self, parts: Vec<(RequestId, usize, [Value; ROW_LEN])>, fua: bool, sick: bool) -> bool {
        for (id, at, values) in parts {
            let written = self.model.write(at, &values);
            self.asked.push((id, Asked::Write { written, fua, at, sick }));
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
