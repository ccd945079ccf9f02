//! Images made by QEMU, tables made by util-linux, block devices made by the kernel. A test whose tool is absent says so.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use raid_user::media::{Media as _, MediaMut as _, Note, OpenError, Part, partitions};
use tempfile::TempDir;

use super::{bytes, pattern, read, read_following, refused, write};

const MIB: usize = 1 << 20;

/// A tool, if it is installed.
fn tool(name: &str) -> Option<String> {
    if Command::new(name).arg("--version").output().is_ok() {
        return Some(name.to_owned());
    }
    println!("skipped: {name} is not installed");
    None
}

/// Runs a tool with this input.
fn run(name: &str, arguments: &[&str], dir: &Path, input: &str) -> Output {
    let mut command = Command::new(name);
    command.args(arguments).current_dir(dir).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

/// Runs a tool that must succeed. Arguments are split at spaces.
fn make(name: &str, arguments: &str, dir: &Path, input: &str) -> String {
    let output = run(name, &arguments.split(' ').collect::<Vec<_>>(), dir, input);
    assert!(output.status.success(), "{name} {arguments}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// A raw disk with data, holes, and an odd end; and its bytes.
fn raw_disk(dir: &Path) -> Vec<u8> {
    let mut content = vec![0; 5 * MIB + 512];
    content[MIB / 2..2 * MIB].copy_from_slice(&pattern(3 * MIB / 2));
    content[4 * MIB..].fill(b'a');
    fs::write(dir.join("raw"), &content).unwrap();
    content
}

#[test]
fn every_kind_of_qcow2_image_reads_as_the_disk_it_was_made_from() {
    let Some(qemu) = tool("qemu-img") else { return };
    let dir = TempDir::new().unwrap();
    let content = raw_disk(dir.path());
    for options in [
        "",
        "-c ",
        "-o compat=0.10 ",
        "-c -o compat=0.10,cluster_size=4096 ",
        "-o cluster_size=512 ",
        "-o cluster_size=2M ",
        "-o lazy_refcounts=on ",
        "-o refcount_bits=1 ",
        "-o refcount_bits=64 ",
        "-o preallocation=metadata ",
        "-o preallocation=falloc ",
        "-o preallocation=full ",
    ] {
        make(&qemu, &format!("convert -f raw -O qcow2 {options}raw image"), dir.path(), "");
        let before = fs::read(dir.path().join("image")).unwrap();
        let media = read(dir.path().join("image")).unwrap().media;
        assert_eq!(media.size_bytes(), content.len() as u64, "{options}");
        assert!(bytes(&*media, 0, content.len()) == content, "{options}");
        assert!(bytes(&*media, 70_001, 3 * MIB) == content[70_001..][..3 * MIB], "{options}");
        let runs = media.allocation(0, content.len() as u64).unwrap();
        assert_eq!(runs.iter().map(|run| run.len_bytes).sum::<u64>(), content.len() as u64, "{options}");
        assert!(fs::read(dir.path().join("image")).unwrap() == before, "{options}: the image changed");
    }
}

#[test]
fn a_qcow2_image_that_needs_more_than_the_reader_has_is_refused() {
    let Some(qemu) = tool("qemu-img") else { return };
    let dir = TempDir::new().unwrap();
    raw_disk(dir.path());
    let path = dir.path().join("image");
    let secret = "--object secret,id=s,data=abc -o encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=10";
    for (options, says) in
        [("-c -o compression_type=zstd", "qcow2 image"), ("-o extended_l2=on", "qcow2 image"), (secret, "qcow2 image")]
    {
        let arguments = format!("convert -f raw -O qcow2 {options} raw image");
        let output = run(&qemu, &arguments.split(' ').collect::<Vec<_>>(), dir.path(), "");
        if !output.status.success() {
            println!("skipped: this qemu-img cannot do {options}");
            continue;
        }
        let error = refused(read(&path), &path, says);
        println!("{error}");
        fs::remove_file(&path).unwrap();
    }
}

#[test]
fn a_backing_file_is_opened_only_if_asked_for_and_never_changed() {
    let Some(qemu) = tool("qemu-img") else { return };
    let dir = TempDir::new().unwrap();
    let mut content = raw_disk(dir.path());
    let path = dir.path().join("top");
    make(&qemu, "convert -f raw -O qcow2 raw base", dir.path(), "");
    for (base, format) in [("raw", "raw"), ("base", "qcow2")] {
        make(&qemu, &format!("create -f qcow2 -b {base} -F {format} top 6M"), dir.path(), "");
        content.resize(6 * MIB, 0);
        let before = fs::read(dir.path().join(base)).unwrap();
        let error = refused(read(&path), &path, base);
        assert!(matches!(error, OpenError::Refers { .. }));
        let opened = read_following(&path).unwrap();
        assert!(opened.notes.contains(&Note::Refers { to: dir.path().join(base) }));
        assert!(bytes(&*opened.media, 0, 6 * MIB) == content);
        assert!(fs::read(dir.path().join(base)).unwrap() == before);
    }
    fs::write(dir.path().join("base"), &fs::read(dir.path().join("base")).unwrap()[..200_000]).unwrap();
    let error = refused(read_following(&path), &path, "truncated");
    assert!(error.to_string().contains("base"), "{error} does not say which");
}

#[test]
fn an_external_data_file_is_opened_only_if_asked_for() {
    let Some(qemu) = tool("qemu-img") else { return };
    let dir = TempDir::new().unwrap();
    let content = raw_disk(dir.path());
    make(&qemu, "convert -f raw -O qcow2 -o data_file=data raw image", dir.path(), "");
    let path = dir.path().join("image");
    refused(read(&path), &path, "data");
    let before = fs::metadata(dir.path().join("data")).unwrap().modified().unwrap();
    assert!(bytes(&*read_following(&path).unwrap().media, 0, content.len()) == content);
    assert_eq!(fs::metadata(dir.path().join("data")).unwrap().modified().unwrap(), before);
}

#[test]
fn flat_vmdk_images_are_read_and_sparse_ones_are_refused() {
    let Some(qemu) = tool("qemu-img") else { return };
    let dir = TempDir::new().unwrap();
    let content = raw_disk(dir.path());
    let path = dir.path().join("image.vmdk");
    for (subformat, readable) in [
        ("monolithicFlat", true),
        ("twoGbMaxExtentFlat", true),
        ("monolithicSparse", false),
        ("twoGbMaxExtentSparse", false),
        ("streamOptimized", false),
    ] {
        make(&qemu, &format!("convert -f raw -O vmdk -o subformat={subformat} raw image.vmdk"), dir.path(), "");
        if readable {
            assert!(bytes(&*read(&path).unwrap().media, 0, content.len()) == content, "{subformat}");
        } else {
            let error = read(&path).unwrap_err();
            println!("{subformat}: {error}");
            refused(read(&path), &path, if subformat == "twoGbMaxExtentSparse" { "SPARSE" } else { "sparse VMDK" });
        }
    }
}

/// Start and length of each partition, as util-linux's own dump says.
fn dumped(dump: &str) -> Vec<(u32, u64, u64)> {
    let fields = |line: &str| -> Option<(u32, u64, u64)> {
        let (name, rest) = line.split_once(" : ")?;
        let value = |key: &str| rest.split(',').find_map(|field| field.trim().strip_prefix(key)?.trim().parse().ok());
        let container = ["type=5", "type=f"].iter().any(|kind| rest.split(", ").any(|field| field.trim() == *kind));
        let index = name.rsplit(|letter: char| !letter.is_ascii_digit()).next()?.parse().ok()?;
        (!container).then_some((index, value("start=")?, value("size=")?))
    };
    dump.lines().filter_map(fields).collect()
}

/// What our own reader says, in blocks of the table.
fn ours(path: &Path) -> (u32, Vec<(u32, u64, u64)>, Vec<String>) {
    let table = partitions(&*read(path).unwrap().media).unwrap().unwrap();
    let block = u64::from(table.block_bytes);
    let places = table.partitions.iter().map(|found| (found.index, found.start_bytes / block, found.len_bytes / block));
    (table.block_bytes, places.collect(), table.partitions.iter().map(|found| found.name.clone()).collect())
}

/// An empty disk of 64 MiB.
fn empty_disk(dir: &Path) -> PathBuf {
    let path = dir.join("disk");
    File::create(&path).unwrap().set_len(64 << 20).unwrap();
    path
}

#[test]
fn tables_made_by_sfdisk_are_read_as_sfdisk_reads_them() {
    let Some(sfdisk) = tool("sfdisk") else { return };
    let dir = TempDir::new().unwrap();
    let path = empty_disk(dir.path());
    let gpt = "label: gpt\nsize=4M, name=boot\nsize=8M, type=A19D880F-05FC-4D3B-A006-743F0F84911E, name=\"raid ä\"\nsize=1M\n";
    make(&sfdisk, "-q disk", dir.path(), gpt);
    let (block_bytes, places, names) = ours(&path);
    assert_eq!((block_bytes, &places), (512, &dumped(&make(&sfdisk, "-d disk", dir.path(), ""))));
    assert_eq!((places.len(), names), (3, vec!["boot".to_owned(), "raid ä".to_owned(), String::new()]));
    let path = empty_disk(dir.path());
    let mbr = "label: dos\nsize=4M, type=fd\nsize=40M, type=5\nsize=1M\nsize=2M, type=fd\nsize=3M\nsize=4M\nsize=5M\n";
    make(&sfdisk, "-q disk", dir.path(), mbr);
    let (_, places, _) = ours(&path);
    assert_eq!(places, dumped(&make(&sfdisk, "-d disk", dir.path(), "")));
    assert_eq!(places.iter().map(|place| place.0).collect::<Vec<_>>(), [1, 3, 4, 5, 6, 7]);
}

#[test]
fn a_gpt_with_blocks_of_4096_bytes_made_by_fdisk_is_read() {
    let Some(fdisk) = tool("fdisk") else { return };
    let dir = TempDir::new().unwrap();
    let path = empty_disk(dir.path());
    make(&fdisk, "--sector-size 4096 disk", dir.path(), "g\nn\n1\n256\n+4M\nn\n2\n4096\n+8M\nw\n");
    let (block_bytes, places, _) = ours(&path);
    assert_eq!((block_bytes, places), (4096, vec![(1, 256, 1024), (2, 4096, 2048)]));
    File::options().write(true).open(&path).unwrap().write_all_at(b"here", 16 * MIB as u64).unwrap();
    let opened = read(format!("{}#2", path.display())).unwrap();
    assert_eq!((bytes(&*opened.media, 0, 4), opened.media.block_bytes()), (b"here".to_vec(), 4096));
}

#[test]
fn a_partition_inside_an_image_is_opened_by_its_number() {
    let (Some(sfdisk), Some(qemu)) = (tool("sfdisk"), tool("qemu-img")) else { return };
    let dir = TempDir::new().unwrap();
    let path = empty_disk(dir.path());
    make(&sfdisk, "-q disk", dir.path(), "label: gpt\nsize=4M\nsize=8M\n");
    let content = pattern(8 * MIB);
    File::options().write(true).open(&path).unwrap().write_all_at(&content, 5 * MIB as u64).unwrap();
    make(&qemu, "convert -f raw -O qcow2 disk image", dir.path(), "");
    let image = dir.path().join("image").display().to_string();
    let opened = read(format!("{image}#p2")).unwrap();
    assert_eq!(opened.media.describe(), format!("qcow2:{image}#2"));
    assert!(bytes(&*opened.media, 0, 8 * MIB) == content);
    let whole = read(&image).unwrap().media;
    let table = partitions(&*whole).unwrap().unwrap();
    let found = Part::new(whole.clone(), &table.partitions[1], table.block_bytes).unwrap();
    assert_eq!(found.identity(), opened.media.identity());
    assert!(whole.identity().unwrap().same_source(&found.identity().unwrap()));
    refused(read(format!("{image}#3")), Path::new(&image), "only 1, 2");
    let writer = write(format!("{}#2", path.display())).unwrap().media;
    writer.write_at(0, b"changed").unwrap();
    assert_eq!(fs::read(&path).unwrap()[5 * MIB..][..7], *b"changed");
    fs::write(&path, &fs::read(&path).unwrap()[..12 * MIB]).unwrap();
    drop(writer);
    refused(read(format!("{}#2", path.display())), &path, "cut short");
}

/// A loop device that is gone when this is.
struct Loop(String);

impl Loop {
    fn new(file: &Path, block_bytes: u32) -> Option<Self> {
        let block_bytes = block_bytes.to_string();
        let arguments = ["--find", "--show", "--partscan", "--sector-size", &block_bytes, &file.display().to_string()];
        let made = Command::new("losetup").args(arguments).output().ok().filter(|output| output.status.success());
        if made.is_none() {
            println!("skipped: losetup cannot make a device here (it needs root)");
        }
        Some(Self(String::from_utf8(made?.stdout).unwrap().trim().to_owned()))
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        let _ = Command::new("losetup").args(["--detach", &self.0]).status();
    }
}

#[test]
fn a_block_device_tells_its_size_and_its_blocks_and_is_written_by_one_only() {
    let dir = TempDir::new().unwrap();
    let path = empty_disk(dir.path());
    let Some(device) = Loop::new(&path, 4096) else { return };
    let reader = read(&device.0).unwrap().media;
    assert_eq!((reader.size_bytes(), reader.block_bytes()), (64 << 20, 4096));
    let writer = write(&device.0).unwrap().media;
    let error = refused(write(&device.0), Path::new(&device.0), "in use");
    assert!(matches!(error, OpenError::Busy { .. }));
    let content = pattern(3 * MIB);
    writer.write_at(MIB as u64, &content).unwrap();
    writer.write_zeroes(2 * MIB as u64, MIB as u64, true).unwrap();
    writer.write_zeroes(3 * MIB as u64 + 5, 7, true).unwrap();
    writer.discard(0, MIB as u64).unwrap();
    writer.flush().unwrap();
    let mut expected = content;
    expected[MIB..2 * MIB].fill(0);
    expected[2 * MIB + 5..2 * MIB + 12].fill(0);
    assert!(bytes(&*reader, MIB as u64, 3 * MIB) == expected);
    assert!(fs::read(&path).unwrap()[MIB..4 * MIB] == expected);
    assert_eq!(reader.identity(), writer.identity());
}

#[test]
fn the_device_of_a_partition_is_the_same_as_the_partition_in_the_disk() {
    let Some(addpart) = tool("addpart") else { return };
    let dir = TempDir::new().unwrap();
    let path = empty_disk(dir.path());
    // An MBR whose second entry is what the kernel is told below, so that it need not read tables itself.
    let mut record = [0; 512];
    record[462..478].copy_from_slice(&[0, 0, 0, 0, 0xFD, 0, 0, 0, 0, 40, 0, 0, 0, 64, 0, 0]);
    record[510..].copy_from_slice(&[0x55, 0xAA]);
    File::options().write(true).open(&path).unwrap().write_all_at(&record, 0).unwrap();
    let Some(device) = Loop::new(&path, 512) else { return };
    run(&addpart, &[&device.0, "2", "10240", "16384"], dir.path(), "");
    let name = device.0.trim_start_matches("/dev/");
    let Ok(numbers) = fs::read_to_string(format!("/sys/class/block/{name}p2/dev")) else {
        println!("skipped: the kernel makes no partitions of a loop device here");
        return;
    };
    let (major, minor) = numbers.trim().split_once(':').unwrap();
    let (number, node) = (rustix::fs::makedev(major.parse().unwrap(), minor.parse().unwrap()), dir.path().join("node"));
    let (kind, mode) = (rustix::fs::FileType::BlockDevice, rustix::fs::Mode::RUSR);
    rustix::fs::mknodat(rustix::fs::CWD, &node, kind, mode, number).unwrap();
    let by_node = read(&node).unwrap().media;
    let by_number = read(format!("{}#2", device.0)).unwrap().media;
    assert_eq!((by_node.size_bytes(), by_number.size_bytes()), (8 << 20, 8 << 20));
    assert_eq!(by_node.identity().unwrap(), by_number.identity().unwrap());
    assert!(by_node.identity().unwrap().overlaps(&read(&device.0).unwrap().media.identity().unwrap()));
}
