//! The machines that a kernel is built for, and how one of them is started.

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
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
    /// A PC that QEMU emulates: has two processors, and there vector registers must be asked for.
    X86,
    /// The same, with those checks.
    X86Debug,
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
            Self::X86Debug => "x86-debug",
        }
    }

    /// True if it is a PC.
    pub(super) const fn is_emulated(self) -> bool {
        matches!(self, Self::X86 | Self::X86Debug)
    }

    /// How the kernel is configured.
    pub(super) const fn config(self) -> &'static str {
        macro_rules! of {
            ($($name:literal)*) => { concat!($(include_str!(concat!("../../../raid-kmod/tests/", $name))),*) };
        }
        match self {
            Self::Um => of!("um.config" "linux.config"),
            Self::UmDebug => of!("um.config" "linux.config" "debug.config" "um-debug.config"),
            Self::X86 => of!("x86.config" "linux.config"),
            Self::X86Debug => of!("x86.config" "linux.config" "debug.config" "x86-debug.config"),
        }
    }

    /// What `make` is to make.
    pub(super) const fn goals(self) -> [&'static str; 2] {
        [if self.is_emulated() { "bzImage" } else { "linux" }, "modules"]
    }

    /// What a disk's name begins with in the guest, and the letter of the first.
    const fn disks(self) -> (&'static str, char) {
        if self.is_emulated() { ("vd", 'a') } else { ("ubd", 'b') }
    }
}

/// A file that the guest has as a disk.
#[derive(Debug, Clone)]
pub(super) struct Disk {
    pub(super) file: PathBuf,
    /// What the guest writes, in its order and with its flushes, is noted here too; on an emulated machine only.
    pub(super) log: Option<PathBuf>,
}

impl Disk {
    /// QEMU's words for it. The host's own disk waits for no flush: the host stays up.
    fn node(&self, name: &str) -> String {
        let file = |child: &str, path: &Path| {
            format!("{child}.driver=file,{child}.cache.no-flush=on,{child}.filename={}", path.display())
        };
        match &self.log {
            None => format!("node-name={name},driver=raw,{}", file("file", &self.file)),
            Some(log) => {
                format!("node-name={name},driver=blklogwrites,{},{}", file("file", &self.file), file("log", log))
            }
        }
    }
}

/// How a guest is started.
#[derive(Clone, Copy)]
pub(super) struct Start<'a> {
    pub(super) kernel: &'a Kernel,
    /// The first file system.
    pub(super) image: &'a Path,
    pub(super) megabytes: u32,
    /// The longest that it may take. Without, it is the guest itself that is spawned, and can be killed.
    pub(super) seconds: Option<u32>,
    /// What processor is emulated.
    pub(super) cpu: &'static str,
    /// One processor, whose clock counts its instructions, a nanosecond each; on an emulated machine only.
    pub(super) counts: bool,
    pub(super) disks: &'a [Disk],
}

/// The processor with all that can be emulated.
pub(super) const BEST_CPU: &str = "max";

impl<'a> Start<'a> {
    /// Without disks, on the best processor, for as long as it takes.
    pub(super) const fn new(kernel: &'a Kernel, image: &'a Path, megabytes: u32) -> Self {
        Self { kernel, image, megabytes, seconds: None, cpu: BEST_CPU, counts: false, disks: &[] }
    }

    /// Starts it; its kernel hears `words`. What it says can be read.
    ///
    /// # Errors
    /// If it cannot be started.
    pub(super) fn spawn(&self, words: &str) -> Result<(Child, ChildStdout)> {
        let (name, first) = self.kernel.machine.disks();
        let words = format!("{words} raid_disk={name} raid_letter={first}");
        let mut guest = if self.kernel.machine.is_emulated() { self.emulated(&words) } else { self.process(&words) };
        let mut child =
            guest.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().context("the guest does not start")?;
        let said = child.stdout.take().context("the guest is mute")?;
        Ok((child, said))
    }

    fn process(&self, words: &str) -> Command {
        let mut guest = self.bounded(self.kernel.folder.join("linux"));
        guest.arg(format!("mem={}M", self.megabytes)).arg(format!("initrd={}", self.image.display()));
        guest.args(["con=null", "con0=fd:0,fd:1", "quiet", "seccomp=on", "panic=1"]);
        guest.args((1..).zip(self.disks).map(|(number, disk)| format!("ubd{number}={}", disk.file.display())));
        guest.args(words.split_whitespace());
        guest
    }

    fn emulated(&self, words: &str) -> Command {
        let mut guest = self.bounded("qemu-system-x86_64");
        guest.args(["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-serial", "stdio"]);
        guest.args(["-machine", "q35", "-cpu", self.cpu, "-m", &self.megabytes.to_string()]);
        if self.counts {
            guest.args(["-accel", "tcg,thread=single", "-icount", "shift=0,sleep=off", "-smp", "1"]);
        } else {
            guest.args(["-accel", "tcg,thread=multi", "-smp", "2"]);
        }
        for (number, disk) in self.disks.iter().enumerate() {
            let node = format!("disk{number}");
            guest.args(["-blockdev", &disk.node(&node), "-device", &format!("virtio-blk-pci,drive={node}")]);
        }
        guest.arg("-kernel").arg(self.kernel.folder.join("arch/x86/boot/bzImage")).arg("-initrd").arg(self.image);
        guest.arg("-append").arg(format!("console=ttyS0 quiet panic=-1 {words}"));
        guest
    }

    fn bounded(&self, program: impl AsRef<OsStr>) -> Command {
        let Some(seconds) = self.seconds else { return command(program) };
        let mut guest = command("timeout");
        guest.args(["--kill-after=5", &seconds.to_string()]).arg(program);
        guest
    }
}
