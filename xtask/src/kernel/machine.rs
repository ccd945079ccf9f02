//! The machines that a kernel is built for, and how one of them is started.

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Result, bail};

use super::{linux::Kernel, running::Guest};
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
    /// The longest that it may take.
    pub(super) longest: Duration,
    /// What processor is emulated.
    pub(super) cpu: &'static str,
    /// One processor, whose clock counts its instructions, a nanosecond each; on an emulated machine only.
    pub(super) counts: bool,
    pub(super) disks: &'a [Disk],
}

/// The processor with all that can be emulated.
pub(super) const BEST_CPU: &str = "max";

/// The longest that a boot takes, beside much else; and how often it is tried.
const BOOTS_WITHIN: Duration = Duration::from_secs(180);
const ATTEMPTS: u32 = 3;

impl<'a> Start<'a> {
    /// Without disks, on the best processor.
    pub(super) const fn new(kernel: &'a Kernel, image: &'a Path, megabytes: u32, longest: Duration) -> Self {
        Self { kernel, image, megabytes, longest, cpu: BEST_CPU, counts: false, disks: &[] }
    }

    /// Starts it; its kernel hears `words`. An emulated machine whose processors are kept waiting by others may lose its clock while its
    /// kernel boots, and stand still: then once more.
    ///
    /// # Errors
    /// If it cannot be started, or does not come up.
    pub(super) fn spawn(&self, words: &str) -> Result<Guest> {
        let (name, first) = self.kernel.machine.disks();
        let words = format!("{words} raid_disk={name} raid_letter={first}");
        for _ in 0..ATTEMPTS {
            let command = if self.kernel.machine.is_emulated() { self.emulated(&words) } else { self.process(&words) };
            let mut guest = Guest::start(command, self.longest)?;
            if guest.comes_up(BOOTS_WITHIN) {
                return Ok(guest);
            }
            println!("a guest did not come up within {} s", BOOTS_WITHIN.as_secs());
        }
        bail!("the guest does not come up")
    }

    fn process(&self, words: &str) -> Command {
        let mut guest = command(self.kernel.folder.join("linux"));
        guest.arg(format!("mem={}M", self.megabytes)).arg(format!("initrd={}", self.image.display()));
        guest.args(["con=null", "con0=fd:0,fd:1", "quiet", "seccomp=on", "panic=1"]);
        guest.args((1..).zip(self.disks).map(|(number, disk)| format!("ubd{number}={}", disk.file.display())));
        guest.args(words.split_whitespace());
        guest
    }

    fn emulated(&self, words: &str) -> Command {
        let mut guest = command("qemu-system-x86_64");
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
}
