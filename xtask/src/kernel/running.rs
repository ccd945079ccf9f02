//! A guest that runs: what it says, for as long as it may take.

use std::{
    collections::VecDeque,
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
    sync::mpsc::{self, Receiver, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};

/// What a guest's own lines begin with; the first is said when it is up.
pub(super) const GUEST: &str = "guest: ";

/// A guest, ended when this is dropped.
pub(super) struct Guest {
    child: Child,
    lines: Receiver<String>,
    /// Lines that nobody asked for yet.
    early: VecDeque<String>,
    until: Instant,
}

impl Guest {
    /// Starts it.
    ///
    /// # Errors
    /// If it cannot be started.
    pub(super) fn start(mut command: Command, longest: Duration) -> Result<Self> {
        let mut child =
            command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().context("the guest does not start")?;
        let said = BufReader::new(child.stdout.take().context("the guest is mute")?);
        let (to, lines) = mpsc::channel();
        thread::spawn(move || {
            for line in said.split(b'\n').map_while(Result::ok) {
                if to.send(String::from_utf8_lossy(&line).trim_end().to_owned()).is_err() {
                    return;
                }
            }
        });
        Ok(Self { child, lines, early: VecDeque::new(), until: Instant::now() + longest })
    }

    /// Waits until it is up, or has ended. False if it is neither for so long.
    pub(super) fn comes_up(&mut self, patience: Duration) -> bool {
        let until = Instant::now() + patience;
        loop {
            match self.lines.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    let is_up = line.starts_with(GUEST);
                    self.early.push_back(line);
                    if is_up {
                        return true;
                    }
                }
                Err(RecvTimeoutError::Timeout) => return false,
                Err(RecvTimeoutError::Disconnected) => return true,
            }
        }
    }

    /// The next line; none when it has ended, and has been waited for. Whoever takes too long is killed.
    pub(super) fn line(&mut self) -> Option<String> {
        if let Some(line) = self.early.pop_front() {
            return Some(line);
        }
        let line = match self.lines.recv_timeout(self.until.saturating_duration_since(Instant::now())) {
            Err(RecvTimeoutError::Timeout) => {
                self.kill();
                self.lines.recv().ok()
            }
            line => line.ok(),
        };
        if line.is_none() {
            let _ = self.child.wait();
        }
        line
    }

    /// Takes its power. What it said until then can still be read.
    pub(super) fn kill(&mut self) {
        let _ = self.child.kill();
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.kill();
        let _ = self.child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(words: &str, longest: u64) -> Guest {
        let mut command = Command::new("sh");
        command.args(["-c", words]);
        Guest::start(command, Duration::from_secs(longest)).unwrap()
    }

    #[test]
    fn lines_before_it_is_up_are_kept_and_its_end_is_the_end() {
        let mut guest = shell("echo kernel; echo guest: up; echo more", 100);
        assert!(guest.comes_up(Duration::from_secs(100)));
        let said: Vec<String> = std::iter::from_fn(|| guest.line()).collect();
        assert_eq!(said, ["kernel", "guest: up", "more"]);
    }

    #[test]
    fn who_does_not_come_up_is_told_and_who_takes_too_long_is_killed() {
        let mut guest = shell("echo kernel; exec sleep 1000", 0);
        assert!(!guest.comes_up(Duration::from_millis(300)));
        assert_eq!((guest.line().as_deref(), guest.line()), (Some("kernel"), None));
    }
}
