//! A `raid serve` that a test started, and how it is made to end.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// A server that runs. Dropped, it is killed.
#[derive(Debug)]
pub struct Served {
    child: Child,
    /// Where clients reach it.
    pub uri: String,
}

impl Served {
    /// Runs the program `raid serve` with these arguments in `folder`, where its control sockets are then, too. What it said and its exit
    /// code if it did not come to serving.
    ///
    /// # Errors
    /// It ended before it served.
    ///
    /// # Panics
    /// If the program cannot be started.
    pub fn start(raid: &str, folder: &Path, arguments: &[&str]) -> Result<Self, (i32, String)> {
        let mut child = raid_in(raid, folder)
            .arg("serve")
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the tool can be started");
        let mut uri = String::new();
        let stdout = child.stdout.take().expect("it is a pipe");
        BufReader::new(stdout).read_line(&mut uri).expect("its output is text");
        if uri.is_empty() {
            return Err(ended(child));
        }
        Ok(Self { child, uri: uri.trim_end().to_owned() })
    }

    /// Asks it to stop. Its exit code, and what it complained of.
    ///
    /// # Panics
    /// If there is no `kill`.
    #[must_use]
    pub fn stop(mut self) -> (i32, String) {
        let status = Command::new("kill").arg(self.child.id().to_string()).status().expect("a kill command");
        assert!(status.success());
        let status = self.child.wait().expect("a child");
        let mut said = String::new();
        self.child.stderr.take().expect("it is a pipe").read_to_string(&mut said).expect("text");
        (status.code().unwrap_or(-1), said)
    }

    /// Kills it on the spot.
    pub fn kill(self) {
        drop(self);
    }
}

/// The tool, to be run in `folder` with its control sockets there.
///
/// # Panics
/// If the folder cannot be written to.
#[must_use]
pub fn raid_in(raid: &str, folder: &Path) -> Command {
    let run = folder.join("run");
    std::fs::create_dir_all(&run).expect("the folder can be written to");
    let mut command = Command::new(raid);
    command.current_dir(folder).env("XDG_RUNTIME_DIR", run);
    command
}

fn ended(child: Child) -> (i32, String) {
    let output = child.wait_with_output().expect("a child");
    (output.status.code().unwrap_or(-1), String::from_utf8_lossy(&output.stderr).into_owned())
}

impl Drop for Served {
    fn drop(&mut self) {
        // One that is gone already needs no kill.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
