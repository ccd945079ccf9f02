//! The client's side: one question, one answer.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use super::{Answer, Ask, FindingStatus, LINE_BYTES_MAX, Line, Refusal, Status, VERSION};

/// How long a server may take for an answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// A connection to a running array.
#[derive(Debug)]
pub struct Client(BufReader<UnixStream>);

/// Why there is no good answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The connection's.
    #[error("the server does not answer: {0}")]
    Io(#[from] io::Error),
    /// The server says no.
    #[error("{}", .0.message)]
    Refused(Refusal),
    /// It speaks otherwise.
    #[error("the server speaks version {0} of the control protocol, this tool version {VERSION}")]
    Version(u32),
    /// It speaks nonsense.
    #[error("the server's answer makes no sense: {0}")]
    Nonsense(serde_json::Error),
    /// It answers another question.
    #[error("the server answers another question")]
    Other,
}

impl Client {
    /// Connects; nothing if nobody listens there.
    ///
    /// # Errors
    /// The system's.
    pub fn connect(path: &Path) -> io::Result<Option<Self>> {
        let stream = match UnixStream::connect(path) {
            Ok(stream) => stream,
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
                return Ok(None);
            }
            Err(error) => return Err(io::Error::new(error.kind(), format!("{}: {error}", path.display()))),
        };
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Some(Self(BufReader::new(stream))))
    }

    /// Asks, and waits for the answer.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn ask(&mut self, ask: &Ask) -> Result<Status, ClientError> {
        match self.answer(ask)? {
            Answer::Done(status) => Ok(*status),
            Answer::Refused(refusal) => Err(ClientError::Refused(refusal)),
            Answer::Found { .. } => Err(ClientError::Other),
        }
    }

    /// What a check found, from that one on; nothing if that was all.
    ///
    /// # Errors
    /// [`ClientError`].
    pub fn findings(&mut self, from: u64) -> Result<Vec<FindingStatus>, ClientError> {
        match self.answer(&Ask::Findings { from })? {
            Answer::Found { findings } => Ok(findings),
            Answer::Refused(refusal) => Err(ClientError::Refused(refusal)),
            Answer::Done(_) => Err(ClientError::Other),
        }
    }

    fn answer(&mut self, ask: &Ask) -> Result<Answer, ClientError> {
        let mut line = serde_json::to_vec(&Line { version: VERSION, body: ask }).map_err(ClientError::Nonsense)?;
        line.push(b'\n');
        self.0.get_mut().write_all(&line)?;
        let mut answer = Vec::new();
        (&mut self.0).take(LINE_BYTES_MAX).read_until(b'\n', &mut answer)?;
        if answer.last() != Some(&b'\n') {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        // Of another version, only that word is sure to be there.
        let value: serde_json::Value = serde_json::from_slice(&answer).map_err(ClientError::Nonsense)?;
        let version = value.get("version").and_then(serde_json::Value::as_u64).unwrap_or(0);
        if version != u64::from(VERSION) {
            return Err(ClientError::Version(u32::try_from(version).unwrap_or(u32::MAX)));
        }
        serde_json::from_value::<Line<Answer>>(value).map(|line| line.body).map_err(ClientError::Nonsense)
    }
}
