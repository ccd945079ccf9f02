//! The operations a host calls: any of data, P and Q made from the others, changed or checked.
//!
//! Every operation becomes a list of columns ([`Columns`]), or one with factors ([`Weighted`]), and one call of a kernel. A
//! violated contract is an [`Error`] and leaves all destinations as they were; it is never a panic.

use core::fmt;

use super::kernel::Kernels;
use super::sources::{Columns, Fold, Weighted};
use super::{gf, reference};

/// Most data columns: as many as there are different powers of the generator.
pub const COLUMNS_MAX: usize = 255;

/// Lengths are multiples of this many bytes: a line of cache, the widest register.
pub const LENGTH_UNIT_BYTES: usize = 64;

/// What was wrong with a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// A buffer is not as long as the others, or the length is no multiple of [`LENGTH_UNIT_BYTES`].
    Length,
    /// More than [`COLUMNS_MAX`] columns.
    TooManyColumns,
    /// A column that there cannot be: a lost one outside `data`, the same one twice, or an exponent of 255.
    NoSuchColumn,
    /// More is lost than P and Q can bring back.
    NotEnough,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Length => "buffers differ in length, or are no multiple of 64 bytes long",
            Self::TooManyColumns => "more than 255 data columns",
            Self::NoSuchColumn => "no such column, or the same column twice",
            Self::NotEnough => "more columns are lost than the parity at hand can bring back",
        })
    }
}

impl core::error::Error for Error {}

/// The data columns to bring back: which, by exponent, and where to.
#[derive(Debug)]
pub enum Lost<'a> {
    /// All data are there; only parity is wanted.
    Nothing,
    /// One column.
    One(u8, &'a mut [u8]),
    /// Two different columns.
    Two((u8, &'a mut [u8]), (u8, &'a mut [u8])),
}

/// The part P, or Q, plays in a recovery.
#[derive(Debug)]
pub enum Parity<'a> {
    /// It is good.
    Given(&'a [u8]),
    /// It is lost and to be made again.
    Wanted(&'a mut [u8]),
    /// There is none, or it is lost and nobody asks for it.
    Absent,
}

/// Where the blocks of an operation are, as far as its caller knows. It changes the speed alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Temporal {
    /// They were touched a moment ago, or what is made will be: work through the caches. Right unless one knows better.
    #[default]
    Cached,
    /// They come from memory, more of them than the caches hold, and what is made is not looked at soon: it is stored
    /// past the caches. On blocks that are cached this is two to four times slower.
    Memory,
}

/// Where [`Ops::check`] found parity and data to disagree first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// Offset of the first byte at which P or Q is not what the data make.
    pub at_bytes: usize,
    /// P differs there.
    pub p: bool,
    /// Q differs there.
    pub q: bool,
}

/// The parity operations in the form of one instruction set.
///
/// Common to all: column `i` of `data` has the exponent `i` in Q. An empty slice is a column of zeros. All other slices
/// have one length, a multiple of [`LENGTH_UNIT_BYTES`]; they need not be aligned, but are faster at 64 bytes. At
/// most [`COLUMNS_MAX`] columns.
#[derive(Clone, Copy)]
pub struct Ops {
    name: &'static str,
    kernels: Kernels,
    temporal: Temporal,
}

impl Ops {
    /// Operations made of entry points.
    ///
    /// # Safety
    /// The entry points do what [`Kernels`] says of them and touch nothing else, and the value is used only
    /// where the CPU has their instructions (in a kernel: where its vector registers may be used).
    #[must_use]
    #[expect(unsafe_code, reason = "the promise about the CPU that every call relies on")]
    pub const unsafe fn new(name: &'static str, kernels: Kernels) -> Self {
        Self { name, kernels, temporal: Temporal::Cached }
    }

    /// The same operations, for blocks that are where `temporal` says.
    #[must_use]
    pub const fn hinted(&self, temporal: Temporal) -> Self {
        Self { temporal, ..*self }
    }

    /// The name of the instruction set, as [`named`](super::named) takes it.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// `out` becomes the sum of `sources`: P of them, or one of them from P and the others.
    ///
    /// # Errors
    /// [`Error::Length`], [`Error::TooManyColumns`].
    pub fn xor(&self, out: &mut [u8], sources: &[&[u8]]) -> Result<(), Error> {
        let mut columns = Columns::of_length(out.len());
        columns.fill(sources)?;
        columns.xor(&self.kernels, self.temporal, out)
    }

    /// `p` and `q` become P and Q of `data`.
    ///
    /// # Errors
    /// [`Error::Length`], [`Error::TooManyColumns`].
    pub fn pq(&self, data: &[&[u8]], p: &mut [u8], q: &mut [u8]) -> Result<(), Error> {
        let mut columns = Columns::of_length(p.len());
        columns.fill(data)?;
        if columns.count() == data.len() {
            return columns.pq(&self.kernels, self.temporal, p, q);
        }
        // A column of zeros is left out, and those behind it keep their exponents.
        self.weighted(data, q, Some(p))
    }

    /// Q of `data`, and P, without regard to which columns are there.
    fn weighted(&self, data: &[&[u8]], q: &mut [u8], p: Option<&mut [u8]>) -> Result<(), Error> {
        let mut list = Weighted::of_length(q.len());
        list.push_data(data, &[], gf::power)?;
        list.dot(&self.kernels, self.temporal, Fold::No, q, p)
    }

    /// Adds a change of the column with `exponent` to those of `p` and `q` that are given. The change is the sum of
    /// `changes`: the old and the new contents, or their difference alone. The cost does not depend on the exponent.
    ///
    /// # Errors
    /// [`Error::Length`], [`Error::TooManyColumns`]; [`Error::NoSuchColumn`] for exponent 255.
    pub fn update(
        &self,
        exponent: u8,
        changes: &[&[u8]],
        p: Option<&mut [u8]>,
        q: Option<&mut [u8]>,
    ) -> Result<(), Error> {
        if usize::from(exponent) >= COLUMNS_MAX {
            return Err(Error::NoSuchColumn);
        }
        let Some(len_bytes) = p.as_deref().or(q.as_deref()).map(<[u8]>::len) else { return Ok(()) };
        let mut columns = Columns::of_length(len_bytes);
        columns.fill(changes)?;
        columns.update(&self.kernels, gf::power(exponent), p, q)
    }

    /// Brings back any one or two of data, P and Q. What `data` has in the places of lost columns is not looked at.
    ///
    /// Every combination costs one pass over what survives.
    ///
    /// # Errors
    /// [`Error::NotEnough`] if the given parity cannot make what is lost and wanted; [`Error::NoSuchColumn`],
    /// [`Error::Length`], [`Error::TooManyColumns`].
    pub fn recover(&self, data: &[&[u8]], lost: Lost<'_>, p: Parity<'_>, q: Parity<'_>) -> Result<(), Error> {
        use Parity::{Given, Wanted};
        match (lost, p, q) {
            (Lost::Nothing, Wanted(p), Wanted(q)) => self.pq(data, p, q),
            (Lost::Nothing, Wanted(p), _) => self.xor(p, data),
            (Lost::Nothing, _, Wanted(q)) => self.weighted(data, q, None),
            (Lost::Nothing, _, _) => Ok(()),
            (Lost::One(a, out), Given(p), Wanted(q)) => self.one_and_q(data, (a, out), p, q),
            (Lost::One(a, out), Given(p), _) => self.one_by_p(data, (a, out), p),
            (Lost::One(a, out), Wanted(p), Given(q)) => self.one_by_q(data, (a, out), q, Some(p)),
            (Lost::One(a, out), _, Given(q)) => self.one_by_q(data, (a, out), q, None),
            (Lost::Two(a, b), Given(p), Given(q)) => self.two(data, a, b, p, q),
            (Lost::One(..) | Lost::Two(..), _, _) => Err(Error::NotEnough),
        }
    }

    /// Dₐ = ΣDᵢ ⊕ P.
    fn one_by_p(&self, data: &[&[u8]], (a, out): (u8, &mut [u8]), p: &[u8]) -> Result<(), Error> {
        weight_of(data, a)?;
        let mut list = Columns::of_length(out.len());
        for (exponent, column) in data.iter().enumerate() {
            if !column.is_empty() && exponent != usize::from(a) {
                list.push(column)?;
            }
        }
        list.push(p)?;
        list.xor(&self.kernels, self.temporal, out)
    }

    /// Dₐ from P, and Q: Q = Σ gⁱ·Dᵢ ⊕ gᵃ·Dₐ with Dₐ = ΣDᵢ ⊕ P is Σ (gⁱ ⊕ gᵃ)·Dᵢ ⊕ gᵃ·P.
    fn one_and_q(&self, data: &[&[u8]], (a, out): (u8, &mut [u8]), p: &[u8], q: &mut [u8]) -> Result<(), Error> {
        let weight = weight_of(data, a)?;
        let mut list = Weighted::of_length(out.len());
        list.push_data(data, &[a], |i| gf::power(i) ^ weight)?;
        list.push(p, weight)?;
        list.dot(&self.kernels, self.temporal, Fold::No, q, Some(out))
    }

    /// Dₐ = g⁻ᵃ·(Q ⊕ Σ gⁱ·Dᵢ), and P = ΣDᵢ ⊕ Dₐ if it is wanted.
    fn one_by_q(&self, data: &[&[u8]], (a, out): (u8, &mut [u8]), q: &[u8], p: Option<&mut [u8]>) -> Result<(), Error> {
        let inverse = gf::inverse(weight_of(data, a)?);
        let mut list = Weighted::of_length(out.len());
        list.push_data(data, &[a], |i| gf::multiply(inverse, gf::power(i)))?;
        list.push(q, inverse)?;
        list.dot(&self.kernels, self.temporal, Fold::LastIsQ, out, p)
    }

    /// With c = (gᵃ ⊕ gᵇ)⁻¹: Dₐ = Σ c·(gⁱ ⊕ gᵇ)·Dᵢ ⊕ c·gᵇ·P ⊕ c·Q, and D_b = Dₐ ⊕ ΣDᵢ ⊕ P.
    fn two(
        &self,
        data: &[&[u8]],
        (a, out_a): (u8, &mut [u8]),
        (b, out_b): (u8, &mut [u8]),
        p: &[u8],
        q: &[u8],
    ) -> Result<(), Error> {
        if a == b {
            return Err(Error::NoSuchColumn);
        }
        let (weight_a, weight_b) = (weight_of(data, a)?, weight_of(data, b)?);
        let inverse = gf::inverse(weight_a ^ weight_b);
        let mut list = Weighted::of_length(out_a.len());
        list.push_data(data, &[a, b], |i| gf::multiply(inverse, gf::power(i) ^ weight_b))?;
        list.push(p, gf::multiply(inverse, weight_b))?;
        list.push(q, inverse)?;
        list.dot(&self.kernels, self.temporal, Fold::LastIsQ, out_a, Some(out_b))
    }

    /// Whether those of P and Q that are given are what `data` make; if not, where they first differ.
    ///
    /// # Errors
    /// [`Error::Length`], [`Error::TooManyColumns`].
    pub fn check(&self, data: &[&[u8]], p: Option<&[u8]>, q: Option<&[u8]>) -> Result<Option<Mismatch>, Error> {
        self.check_from(data, p, q, 0)
    }

    /// [`check`](Self::check) from a byte on, a multiple of what a kernel takes at once.
    pub(super) fn check_from(
        &self,
        data: &[&[u8]],
        p: Option<&[u8]>,
        q: Option<&[u8]>,
        from_bytes: usize,
    ) -> Result<Option<Mismatch>, Error> {
        let Some(len_bytes) = p.or(q).map(<[u8]>::len) else { return Ok(None) };
        let (p_rest, q_rest) = (rest(p, from_bytes)?, rest(q, from_bytes)?);
        let gaps = q.is_some() && data.iter().any(|column| column.is_empty());
        let right_bytes = if gaps {
            self.right_of_some(data, p_rest, q_rest, (from_bytes, len_bytes))?
        } else {
            self.right_of_all(data, p_rest, q_rest, (from_bytes, len_bytes))?
        };
        // A kernel ends within a few lines of the first wrong byte; which one it is, the reference says.
        Ok((from_bytes.saturating_add(right_bytes)..len_bytes).find_map(|at_bytes| {
            let (made_p, made_q) = reference::pq_at(data, at_bytes);
            let wrong = |stored: Option<&[u8]>, made| stored.and_then(|stored| stored.get(at_bytes)) != Some(&made);
            let (p, q) = (p.is_some() && wrong(p, made_p), q.is_some() && wrong(q, made_q));
            (p || q).then_some(Mismatch { at_bytes, p, q })
        }))
    }

    /// How many bytes of the rest are right. Here and below: lists are kilobytes, and the stack of a kernel has few; so each has a frame
    /// of its own.
    #[inline(never)]
    fn right_of_all(
        &self,
        data: &[&[u8]],
        p: Option<&[u8]>,
        q: Option<&[u8]>,
        (from_bytes, len_bytes): (usize, usize),
    ) -> Result<usize, Error> {
        let mut columns = Columns::of_length(len_bytes.saturating_sub(from_bytes));
        if from_bytes == 0 {
            columns.fill(data)?;
        } else {
            for column in data.iter().filter(|column| !column.is_empty()) {
                columns.push(column.get(from_bytes..).ok_or(Error::Length)?)?;
            }
        }
        columns.check(&self.kernels, p, q)
    }

    /// The same where columns are left out, and those behind them keep their factors.
    #[inline(never)]
    fn right_of_some(
        &self,
        data: &[&[u8]],
        p: Option<&[u8]>,
        q: Option<&[u8]>,
        (from_bytes, len_bytes): (usize, usize),
    ) -> Result<usize, Error> {
        let mut list = Weighted::of_length(len_bytes.saturating_sub(from_bytes));
        if data.len() > COLUMNS_MAX {
            return Err(Error::TooManyColumns);
        }
        for (exponent, column) in (0..=u8::MAX).zip(data).filter(|(_, column)| !column.is_empty()) {
            list.push(column.get(from_bytes..).ok_or(Error::Length)?, gf::power(exponent))?;
        }
        list.check(&self.kernels, p, q)
    }
}

impl fmt::Debug for Ops {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Ops").field(&self.name).field(&self.temporal).finish()
    }
}

/// What is left of a buffer from a byte on.
fn rest(buffer: Option<&[u8]>, from_bytes: usize) -> Result<Option<&[u8]>, Error> {
    buffer.map(|buffer| buffer.get(from_bytes..).ok_or(Error::Length)).transpose()
}

/// The weight of a lost column in Q, if `data` has such a column.
fn weight_of(data: &[&[u8]], exponent: u8) -> Result<u8, Error> {
    if usize::from(exponent) < data.len() { Ok(gf::power(exponent)) } else { Err(Error::NoSuchColumn) }
}
