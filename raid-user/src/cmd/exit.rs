//! How a verb ends: the exit codes, and the error that carries one.

use std::fmt;

/// The exit codes, all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Exit {
    /// It worked.
    Ok = 0,
    /// The answer is no: nothing found, the two differ, redundancy does not fit, nobody runs the array, or it was stopped before the end.
    No = 1,
    /// The command line is wrong.
    Usage = 2,
    /// The array is not opened as asked, because what it gives could be wrong.
    Refused = 3,
    /// A named file is not what it must be.
    BadInput = 4,
    /// Reading or writing failed.
    Io = 5,
    /// It worked but for ranges that could not be read, put in order or compared.
    Incomplete = 6,
}

/// What `--help` and the man pages say of the codes.
pub(super) const EXIT_CODES: &str = "Exit codes:
  0  it worked
  1  the answer is no: nothing found, the two differ, nobody runs the array
  2  the command line is wrong
  3  refused: the array cannot be opened safely as asked
  4  a named file is not what it must be
  5  reading or writing failed
  6  copied, put in order or compared, but for ranges that could not be";

/// Why a verb ends early.
#[derive(Debug)]
pub(super) struct Failure {
    /// The exit code.
    pub(super) exit: Exit,
    /// What was found where, and what to do; without a full stop.
    pub(super) message: String,
}

impl Failure {
    /// A failure with its code.
    pub(super) fn new(exit: Exit, message: impl fmt::Display) -> Self {
        Self { exit, message: message.to_string() }
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::new(Exit::Io, error)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}
