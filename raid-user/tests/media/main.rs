//! Media as their users meet them: names in, bytes out, and clear refusals.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

mod files;
mod images;
mod tools;

use std::path::Path;

use raid_user::media::{Media, MediaMut, MediaSpec, OpenError, Opened, Options, open, open_mut};

/// Opens for reading, without any permission.
fn read(path: impl AsRef<Path>) -> Result<Opened, OpenError> {
    open(&MediaSpec::parse(path.as_ref().as_os_str()).unwrap(), &Options::default())
}

/// Opens for reading what may refer to other files.
fn read_following(path: impl AsRef<Path>) -> Result<Opened, OpenError> {
    let options = Options { follow_references: true, ..Options::default() };
    open(&MediaSpec::parse(path.as_ref().as_os_str()).unwrap(), &options)
}

/// Opens for writing.
fn write(path: impl AsRef<Path>) -> Result<Opened<dyn MediaMut>, OpenError> {
    open_mut(&MediaSpec::parse(path.as_ref().as_os_str()).unwrap())
}

/// Reads from a medium.
fn bytes(media: &(impl Media + ?Sized), offset: u64, len: usize) -> Vec<u8> {
    let mut buf = vec![0xEE; len];
    media.read_at(offset, &mut buf).unwrap();
    buf
}

/// An error that names the file and holds these words.
fn refused<M: Media + ?Sized>(result: Result<Opened<M>, OpenError>, path: &Path, says: &str) -> OpenError {
    let error = result.unwrap_err();
    let text = error.to_string();
    assert!(text.contains(&path.display().to_string()), "{text} does not name {}", path.display());
    assert!(text.contains(says), "{text:?} does not say {says:?}");
    error
}

/// Bytes without a short period, so that a piece in the wrong place is seen.
fn pattern(len: usize) -> Vec<u8> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let words = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    });
    words.flatten().take(len).collect()
}
