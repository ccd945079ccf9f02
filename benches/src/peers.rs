//! Other people's parity code, as shared objects that `cargo xtask bench` has built, and the buffers that all work on.
//!
//! The one place of the benchmarks with `unsafe`: functions in C, behind the shims in `benches/peers`. Nothing is loaded unless
//! `RAID_PEERS` names a folder of such objects.

use std::ffi::{CString, c_char, c_int, c_void};
use std::marker::PhantomData;
use std::path::Path;
use std::{env, fs, mem, ptr, slice};

use crate::Buffers;

/// Variable that names the folder of the peers' objects.
pub const FOLDER_VARIABLE: &str = "RAID_PEERS";

/// Resolve all symbols at once; the value that Linux's and other ELF loaders give it.
const RTLD_NOW: c_int = 2;

// SAFETY: The C library's own, as POSIX declares them.
unsafe extern "C" {
    fn dlopen(path: *const c_char, mode: c_int) -> *mut c_void;
    fn dlsym(library: *mut c_void, symbol: *const c_char) -> *mut c_void;
}

type Start = unsafe extern "C" fn(*const c_char, usize) -> c_int;
type Generate = unsafe extern "C" fn(c_int, usize, *mut *mut c_void);
type Two = unsafe extern "C" fn(c_int, usize, c_int, c_int, *mut *mut c_void);
type DataP = unsafe extern "C" fn(c_int, usize, c_int, *mut *mut c_void);
type Update = unsafe extern "C" fn(c_int, usize, c_int, *mut c_void, *mut c_void, *mut c_void, *mut *mut c_void);
type Check = unsafe extern "C" fn(c_int, usize, *mut *mut c_void) -> c_int;
type Crc = unsafe extern "C" fn(u32, *const c_void, usize) -> u32;

/// One peer in one form. What it cannot do is `None`.
pub struct Peer {
    /// Its object's name.
    pub name: String,
    pq: Option<Generate>,
    xor: Option<Generate>,
    two: Option<Two>,
    data_p: Option<DataP>,
    update: Option<Update>,
    check: Option<Check>,
    crc32c: Option<Crc>,
}

/// What can be asked of a peer on a [`Stripe`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// P and Q of the data.
    Pq,
    /// P of the data.
    Xor,
    /// Two columns by P and Q.
    Two(u8, u8),
    /// A column and P by Q.
    DataP(u8),
    /// P and Q after a change of a column.
    Update(u8),
    /// Whether P and Q are those of the data.
    Check,
}

/// Every peer of the folder that runs here, by name. Blocks are at most `len_max` bytes long.
#[must_use]
pub fn all(len_max: usize) -> Vec<Peer> {
    let Some(folder) = env::var_os(FOLDER_VARIABLE) else { return Vec::new() };
    let entries = fs::read_dir(folder).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()));
    let mut paths: Vec<_> = entries.filter(|path| path.extension().is_some_and(|kind| kind == "so")).collect();
    paths.sort();
    paths.iter().filter_map(|path| Peer::load(path, len_max)).collect()
}

impl Peer {
    fn load(path: &Path, len_max: usize) -> Option<Self> {
        let name = path.file_stem()?.to_str()?.to_owned();
        let form = CString::new(if name.ends_with("-avx2") { "avx2" } else { "best" }).ok()?;
        let file = CString::new(path.to_str()?).ok()?;
        // SAFETY: Both are strings that end with a zero. The object is a shim of ours around a library; its initializers
        // are those of that library.
        let library = unsafe { dlopen(file.as_ptr(), RTLD_NOW) };
        if library.is_null() {
            return None;
        }
        // SAFETY: `peer.h`, by which the shims are compiled, gives these names these types.
        let peer = unsafe {
            let start: Start = symbol(library, c"peer_start".as_ptr())?;
            if start(form.as_ptr(), len_max) != 0 {
                return None;
            }
            Self {
                name,
                pq: symbol(library, c"peer_pq".as_ptr()),
                xor: symbol(library, c"peer_xor".as_ptr()),
                two: symbol(library, c"peer_two".as_ptr()),
                data_p: symbol(library, c"peer_data_p".as_ptr()),
                update: symbol(library, c"peer_update".as_ptr()),
                check: symbol(library, c"peer_check".as_ptr()),
                crc32c: symbol(library, c"peer_crc32c".as_ptr()),
            }
        };
        Some(peer)
    }

    /// Whether it can do that.
    #[must_use]
    pub const fn can(&self, operation: Operation) -> bool {
        match operation {
            Operation::Pq => self.pq.is_some(),
            Operation::Xor => self.xor.is_some(),
            Operation::Two(..) => self.two.is_some(),
            Operation::DataP(_) => self.data_p.is_some(),
            Operation::Update(_) => self.update.is_some(),
            Operation::Check => self.check.is_some(),
        }
    }

    /// Does it. The [recovered](Stripe::recovered) columns are the destinations of a recovery, the first of them is the new
    /// content for an update. False from a check that failed, and if the peer cannot.
    pub fn run(&self, operation: Operation, stripe: &mut Stripe<'_>) -> bool {
        let (k, len) = (stripe.width, stripe.len_bytes);
        let lost = |pointers: &mut [*mut c_void], index: u8, to: *mut u8| pointers[usize::from(index)] = to.cast();
        let [.., out_a, out_b] = stripe.made;
        let v = stripe.pointers.as_mut_ptr();
        // SAFETY: `pointers` has `k` columns, P and Q, all `len` bytes long and owned by the stripe's buffers, on lines of
        // their own. A peer writes to P, Q and the two recovered ones alone: where it would write in place of a lost
        // column, its pointer leads to those.
        unsafe {
            match operation {
                Operation::Pq => self.pq.map(|call| call(k, len, v)),
                Operation::Xor => self.xor.map(|call| call(k, len, v)),
                Operation::Two(a, b) => self.two.map(|call| {
                    let old = (stripe.pointers[usize::from(a)], stripe.pointers[usize::from(b)]);
                    lost(&mut stripe.pointers, a, out_a);
                    lost(&mut stripe.pointers, b, out_b);
                    call(k, len, a.into(), b.into(), v);
                    (stripe.pointers[usize::from(a)], stripe.pointers[usize::from(b)]) = old;
                }),
                Operation::DataP(a) => self.data_p.map(|call| {
                    let old = stripe.pointers[usize::from(a)];
                    lost(&mut stripe.pointers, a, out_a);
                    call(k, len, a.into(), v);
                    stripe.pointers[usize::from(a)] = old;
                }),
                Operation::Update(a) => self.update.map(|call| {
                    let old = stripe.pointers[usize::from(a)];
                    call(k, len, a.into(), old, out_a.cast(), out_b.cast(), v);
                }),
                Operation::Check => return self.check.is_some_and(|call| call(k, len, v) == 0),
            }
        }
        .is_some()
    }

    /// The register of CRC-32C after `bytes`; `None` if it has none.
    #[must_use]
    pub fn crc32c(&self, seed: u32, bytes: &[u8]) -> Option<u32> {
        // SAFETY: The bytes are a slice.
        self.crc32c.map(|call| unsafe { call(seed, bytes.as_ptr().cast(), bytes.len()) })
    }
}

/// A function of a library; `None` if it lacks it.
///
/// # Safety
/// `library` is open, `name` ends with a zero, and `T` is the type of the function with that name.
unsafe fn symbol<T>(library: *mut c_void, name: *const c_char) -> Option<T> {
    // SAFETY: The caller's promise.
    let address = unsafe { dlsym(library, name) };
    assert_eq!(size_of::<T>(), size_of_val(&address), "a function is as large as its address");
    // SAFETY: Not null, and of that type by the caller's promise.
    (!address.is_null()).then(|| unsafe { mem::transmute_copy(&address) })
}

/// Data columns, P, Q and two more, as our own slices and as the peers' pointers.
pub struct Stripe<'a> {
    data: Vec<&'a [u8]>,
    /// P, Q, and the two recovered ones.
    made: [*mut u8; 4],
    pointers: Vec<*mut c_void>,
    width: c_int,
    len_bytes: usize,
    buffers: PhantomData<&'a mut Buffers>,
}

/// What an operation of ours gets of a [`Stripe`].
pub struct Parts<'a> {
    /// The data columns.
    pub data: &'a [&'a [u8]],
    /// P.
    pub p: &'a mut [u8],
    /// Q.
    pub q: &'a mut [u8],
    /// Destinations of a recovery.
    pub recovered: [&'a mut [u8]; 2],
}

impl<'a> Stripe<'a> {
    /// Columns that a stripe takes beside its data.
    pub const MADE: usize = 4;

    /// All stripes of `width` that the buffers give.
    #[must_use]
    pub fn all(buffers: &'a mut Buffers, width: usize) -> Vec<Self> {
        let columns: Vec<(*mut u8, usize)> =
            buffers.split().into_iter().map(|column| (column.as_mut_ptr(), column.len())).collect();
        columns.chunks_exact(width + Self::MADE).map(|columns| Self::new(columns, width)).collect()
    }

    fn new(columns: &[(*mut u8, usize)], width: usize) -> Self {
        let len_bytes = columns[0].1;
        // SAFETY: Each is a column of the buffers, which are borrowed for 'a; nobody writes to the data columns.
        let slice = |column: &(*mut u8, usize)| unsafe { slice::from_raw_parts(column.0.cast_const(), len_bytes) };
        Self {
            data: columns[..width].iter().map(slice).collect(),
            made: [0, 1, 2, 3].map(|index| columns[width + index].0),
            pointers: columns[..width + 2].iter().map(|column| column.0.cast()).collect(),
            width: width.try_into().expect("columns are few"),
            len_bytes,
            buffers: PhantomData,
        }
    }

    /// As slices.
    pub fn parts(&mut self) -> Parts<'_> {
        // SAFETY: Four columns of their own, borrowed for as long as the stripe is.
        let [p, q, a, b] = self.made.map(|made| unsafe { slice::from_raw_parts_mut(made, self.len_bytes) });
        Parts { data: &self.data, p, q, recovered: [a, b] }
    }

    /// The two columns that a recovery made.
    #[must_use]
    pub fn recovered(&self) -> [&[u8]; 2] {
        let [.., a, b] = self.made;
        // SAFETY: As in `parts`.
        [a, b].map(|made| unsafe { &*ptr::slice_from_raw_parts(made, self.len_bytes) })
    }
}
