//! The programs that tests use as peers, and the packages that hold them.

use std::path::Path;

use anyhow::Result;

use crate::{apt, command};

/// A program that some test or build calls.
pub(crate) struct Tool {
    /// What is called.
    program: &'static str,
    /// The Debian package that holds it.
    package: &'static str,
    /// What is not tested, or not built, without it.
    serves: &'static str,
}

pub(crate) const fn tool(program: &'static str, package: &'static str, serves: &'static str) -> Tool {
    Tool { program, package, serves }
}

/// For libFuzzer, which is C++.
pub(crate) const CXX: Tool = tool("g++", "g++", "fuzzing");

/// Makes load.
pub(crate) const FIO: Tool = tool("fio", "fio", "fio against our server and our device-mapper target");

/// What `cargo xtask test` uses besides Rust and a C compiler.
pub(crate) const FOR_TESTS: [Tool; 16] = [
    tool("nbdinfo", "libnbd-bin", "libnbd's clients against our NBD server"),
    tool("nbdcopy", "libnbd-bin", "libnbd's clients against our NBD server"),
    tool("qemu-img", "qemu-utils", "qcow2 and VMDK members, QEMU's NBD client"),
    tool("qemu-io", "qemu-utils", "QEMU's NBD client"),
    FIO,
    tool("nbdkit", "nbdkit", "members behind somebody else's NBD server"),
    tool("mdadm", "mdadm", "what we create and change, read by mdadm"),
    tool("dmraid", "dmraid", "records of BIOS RAIDs that we make, served by dmraid"),
    tool("linux.uml", "user-mode-linux", "a real kernel that assembles what we make"),
    tool("lvm", "lvm2", "RAID volumes of LVM in that kernel, written by us and by it"),
    tool("dmsetup", "dmsetup", "RAID volumes of LVM in that kernel, written by us and by it"),
    tool("mkfs.ext4", "e2fsprogs", "a file system read through a served array"),
    tool("sfdisk", "fdisk", "members in partitions"),
    tool("objdump", "binutils", "the parity code as a leaf object"),
    tool("valgrind", "valgrind", "the engine's instructions"),
    CXX,
];

/// What builds a Linux kernel with Rust in it, and what its guest is filled with.
pub(crate) const FOR_KERNEL: [Tool; 17] = [
    tool("make", "make", BUILD),
    tool("gcc", "gcc", BUILD),
    tool("flex", "flex", BUILD),
    tool("bison", "bison", BUILD),
    tool("bc", "bc", BUILD),
    tool("xz", "xz-utils", BUILD),
    tool("clang-19", "clang-19", BUILD),
    tool("ld.lld-19", "lld-19", BUILD),
    tool("llvm-ar-19", "llvm-19", BUILD),
    tool("/usr/lib/llvm-19/lib/libclang.so", "libclang-19-dev", BUILD),
    tool("/bin/busybox", "busybox-static", GUEST),
    tool("dmsetup", "dmsetup", GUEST),
    tool("mdadm", "mdadm", GUEST),
    tool("blkdiscard", "util-linux", GUEST),
    tool("mke2fs", "e2fsprogs", GUEST),
    tool("e2fsck", "e2fsprogs", GUEST),
    tool("cmp", "diffutils", GUEST),
];

/// What exercises file systems and devices there; a guest without them skips some tests.
pub(crate) const TO_EXERCISE: [Tool; 2] =
    [FIO, tool("stress-ng", "stress-ng", "a file system on our device-mapper target")];

/// What emulates a PC for such a kernel, and what its build needs besides.
pub(crate) const FOR_X86: [Tool; 2] = [
    tool("qemu-system-x86_64", "qemu-system-x86", "raid-kmod on an emulated PC"),
    tool("/usr/include/libelf.h", "libelf-dev", BUILD),
];

const BUILD: &str = "building a kernel for the tests of raid-kmod";
const GUEST: &str = "the guest that tests raid-kmod";

/// Installs what is missing if it can, and tells what will not be tested if it cannot.
///
/// # Errors
/// If the package manager is there and allowed to install, but fails.
pub(crate) fn ensure(tools: &[Tool]) -> Result<Vec<String>> {
    let missing: Vec<&Tool> = tools.iter().filter(|tool| !tool.is_there()).collect();
    if missing.is_empty() {
        return Ok(Vec::new());
    }
    if let Some(hindrance) = apt::hindrance() {
        return Ok(missing.into_iter().map(|tool| tool.skip(hindrance)).collect());
    }
    let mut packages: Vec<&str> = missing.iter().map(|tool| tool.package).collect();
    packages.dedup();
    apt::install(&packages)?;
    Ok(Vec::new())
}

impl Tool {
    /// A path is looked for where it says.
    fn is_there(&self) -> bool {
        if self.program.starts_with('/') {
            Path::new(self.program).exists()
        } else {
            command::find(self.program).is_some()
        }
    }

    fn skip(&self, hindrance: &str) -> String {
        format!("{}: {} is missing and {hindrance}", self.serves, self.program)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_is_not_installed_again() {
        assert_eq!(ensure(&[tool("sh", "no-such-package", "anything")]).unwrap(), Vec::<String>::new());
    }

    #[test]
    fn a_tool_that_cannot_be_had_says_what_is_not_tested() {
        let says = CXX.skip("only root can install it");
        assert_eq!(says, "fuzzing: g++ is missing and only root can install it");
    }
}
