//! What a verb prints: one JSON document, or text for people; warnings and errors on stderr.

use std::io::{self, Write};

use serde::Serialize;

use super::exit::Failure;
use super::text::wrap;

/// Where and how to print.
#[derive(Clone, Copy, Debug)]
pub(super) struct Output {
    /// One JSON document on stdout instead of text.
    pub(super) json: bool,
    /// No warnings, no progress.
    pub(super) quiet: bool,
    /// Also what is passed over.
    pub(super) verbose: bool,
    /// Colours.
    pub(super) color: bool,
}

#[derive(Serialize)]
struct Document<'a, T> {
    schema: &'a str,
    #[serde(flatten)]
    body: T,
}

#[derive(Serialize)]
struct ErrorBody<'a> {
    exit_code: u8,
    message: &'a str,
}

impl Output {
    /// Prints `body` as a JSON document of this schema, or `text` for people.
    ///
    /// # Errors
    /// Stdout's; a reader that went away is no error.
    pub(super) fn print(
        &self,
        schema: &str,
        body: impl Serialize,
        text: impl FnOnce() -> String,
    ) -> Result<(), Failure> {
        let printed = if self.json {
            let document = serde_json::to_string_pretty(&Document { schema, body }).map_err(io::Error::other)?;
            write_out(&format!("{document}\n"))
        } else {
            write_out(&text())
        };
        match printed {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// A warning, on stderr.
    pub(super) fn warn(&self, warning: &str) {
        if !self.quiet {
            complain(warning);
        }
    }

    /// Something that is told only if asked, on stderr.
    pub(super) fn remark(&self, remark: &str) {
        if self.verbose {
            complain(remark);
        }
    }

    /// The last words of a verb that failed: on stderr, and as the one document if documents are wanted.
    pub(super) fn fail(&self, failure: &Failure) {
        complain(&failure.message);
        self.document(failure);
    }

    /// The document of a failure that stderr was told already.
    pub(super) fn document(&self, failure: &Failure) {
        if self.json {
            let body = ErrorBody { exit_code: failure.exit as u8, message: &failure.message };
            // The exit code tells it too, should stdout be gone.
            let _ = self.print("raid.error/1", body, String::new);
        }
    }
}

/// Says a message on stderr, its further lines below it. A stderr that is gone is nothing to fail for.
pub(super) fn complain(message: &str) {
    let mut lines = message.lines();
    let mut text = wrap("raid: ", lines.next().unwrap_or_default()) + "\n";
    lines.for_each(|line| text += &(wrap("  ", line.trim_start()) + "\n"));
    let _ = io::stderr().write_all(text.as_bytes());
}

fn write_out(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}
