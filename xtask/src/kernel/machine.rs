//! The machines that a kernel is built for, and how one of them is started.

use std::{
    ffi::OsStr,
    path::Path,
    process::{Child, ChildStdout, Command, Stdio},
};

use anyhow::{Context, Result};

use super::linux::Kernel;
use crate::command::command;

/// What a kernel is built for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Machine {
    /// A process of the host: boots in a quarter of a second.
    Um,
    /// The same, with the kernel's own checks of locks and of memory.
    UmDebug,
    /// A PC that QEMU emulates, with checks of locks and of sleep: has two processors, and there vector registers must be asked for.
    X86,
}

impl Machine {
    /// The kernel's own name for it.
    pub(super) const fn arch(self) -> &'static str {
        if self.is_emulated() { "x86" } else { "um" }
    }

    /// What its folders are called.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Um => "um",
            Self::UmDebug => "um-debug",
            Self::X86 => "x86",
        }
    }

    /// True if it is a PC.
    pub(super) const fn is_emulated(self) -> bool {
        matches!(self, Self::X86)
    }

    /// How the kernel is configured.
    pub(super) const fn config(self) -> &'static str {
        match self {
            Self::Um => concat!(
                include_str!("../../../raid-kmod/tests/um.config"),
                include_str!("../../../raid-kmod/tests/linux.config")
            ),
            Self::UmDebug => concat!(
                include_str!("../../../raid-kmod/tests/um.config"),
                include_str!("../../../raid-kmod/tests/linux.config"),
                include_str!("../../../raid-kmod/tests/debug.config")
            ),
            Self::X86 => concat!(
                include_str!("../../../raid-kmod/tests/x86.config"),
                include_str!("../../../raid-kmod/tests/linux.config")
            ),
        }
    }

    /// What `make` is to make.
    pub(super) const fn goals(self) -> [&'static str; 2] {
        [if self.is_emulated() { "bzImage" } else { "linux" }, "modules"]
    }
}

/// How a guest is started.
#[derive(Clone, Copy)]
pub(super) struct Start<'a> {
    pub(super) kernel: &'a Kernel,
    /// The first file system.
    pub(super) image: &'a Path,
    /// The longest that it may take.
    pub(super) seconds: u32,
    /// What processor is emulated.
    pub(super) cpu: &'static str,
}

/// Of memory, that a guest has.
const MEGABYTES: u32 = 1024;

/// The processor with all that can be emulated.
pub(super) const BEST_CPU: &str = "max";

impl Start<'_> {
    /// Starts it; its kernel hears `words`. What it says can be read.
    ///
    /// # Errors
    /// If it cannot be started.
    pub(super) fn spawn(&self, words: &str) -> Result<(Child, ChildStdout)> {
        let mut guest = if self.kernel.machine.is_emulated() { self.emulated(words) } else { self.process(words) };
        let mut child =
            guest.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().context("the guest does not start")?;
        let said = child.stdout.take().context("the guest is mute")?;
        Ok((child, said))
    }

    fn process(&self, words: &str) -> Command {
        let mut guest = self.bounded(self.kernel.folder.join("linux"));
        guest.arg(format!("mem={MEGABYTES}M")).arg(format!("initrd={}", self.image.display()));
        guest.args(["con=null", "con0=fd:0,fd:1", "quiet", "seccomp=on", "panic=1"]);
        guest.args(words.split_whitespace());
        guest
    }

    fn emulated(&self, words: &str) -> Command {
        let mut guest = self.bounded("qemu-system-x86_64");
        guest.args(["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-serial", "stdio"]);
        guest.args(["-machine", "q35", "-cpu", self.cpu, "-m", &MEGABYTES.to_string()]);
        guest.args(["-accel", "tcg,thread=multi", "-smp", "2"]);
        guest.arg("-kernel").arg(self.kernel.folder.join("arch/x86/boot/bzImage")).arg("-initrd").arg(self.image);
        guest.arg("-append").arg(format!("console=ttyS0 quiet panic=-1 {words}"));
        guest
    }

    fn bounded(&self, program: impl AsRef<OsStr>) -> Command {
        let mut guest = command("timeout");
        guest.args(["--kill-after=5", &self.seconds.to_string()]).arg(program);
        guest
    }
}
