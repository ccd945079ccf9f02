//! Disk images made by hand or by imago. Needs no tool; images made by QEMU are in `tools.rs`.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::thread;

use imago::file::File;
use imago::qcow2::Qcow2;
use imago::{
    FormatAccess, FormatCreateBuilder as _, FormatDriverBuilder as _, PermissiveImplicitOpenGate, Storage as _,
    StorageCreateOptions,
};
use proptest::prelude::*;
use raid_user::media::{Format, Media as _, Note, OpenError};
use tempfile::TempDir;

use super::{bytes, pattern, read, read_following, refused, write};

const MIB: usize = 1 << 20;

/// A qcow2 image of 4 MiB with 1.5 MiB of data from 1 MiB on, and that data.
fn make_qcow2(path: &Path) -> Vec<u8> {
    let file = File::create_open(StorageCreateOptions::new().filename(path)).unwrap();
    Qcow2::<File>::create_builder(file).size(4 * MIB as u64).create().unwrap();
    let image = Qcow2::<File>::builder_path(path).write(true);
    let image = FormatAccess::new(image.open(PermissiveImplicitOpenGate::default()).unwrap());
    let data = pattern(3 * MIB / 2);
    image.write(&data, MIB as u64).unwrap();
    image.flush().unwrap();
    data
}

/// The bytes of such an image, made once.
fn qcow2_bytes() -> &'static [u8] {
    static BYTES: OnceLock<Vec<u8>> = OnceLock::new();
    BYTES.get_or_init(|| {
        let dir = TempDir::new().unwrap();
        make_qcow2(&dir.path().join("a"));
        fs::read(dir.path().join("a")).unwrap()
    })
}

#[test]
fn a_qcow2_image_is_detected_and_read_by_many_threads() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("a");
    let data = make_qcow2(&path);
    let before = fs::read(&path).unwrap();
    let opened = read(&path).unwrap();
    assert_eq!(opened.notes, [Note::Detected(Format::Qcow2)]);
    let media = opened.media;
    assert_eq!((media.size_bytes(), media.describe()), (4 * MIB as u64, format!("qcow2:{}", path.display())));
    thread::scope(|scope| {
        for start in 0..8 {
            let (media, data) = (&media, &data);
            scope.spawn(move || {
                for at in (start * 1000..data.len() - 5000).step_by(61_441) {
                    assert!(bytes(&**media, (MIB + at) as u64, 5000) == data[at..at + 5000]);
                }
            });
        }
    });
    assert!(bytes(&*media, 0, MIB) == vec![0; MIB]);
    let zero_bytes: u64 =
        media.allocation(0, 4 * MIB as u64).unwrap().iter().filter(|run| run.zero).map(|run| run.len_bytes).sum();
    assert_eq!(zero_bytes, 5 * MIB as u64 / 2);
    media.read_at(4 * MIB as u64 - 1, &mut [0; 2]).unwrap_err();
    assert!(fs::read(&path).unwrap() == before);
}

#[test]
fn raw_can_be_forced_and_keeps_the_identity() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("a");
    make_qcow2(&path);
    let forced = read(format!("raw:{}", path.display())).unwrap();
    assert_eq!(bytes(&*forced.media, 0, 4), b"QFI\xfb");
    assert_eq!(forced.notes, []);
    assert!(forced.media.identity().unwrap().overlaps(&read(&path).unwrap().media.identity().unwrap()));
    refused(write(&path), &path, "writing to a qcow2 image");
    write(format!("raw:{}", path.display())).unwrap();
    fs::write(&path, pattern(5000)).unwrap();
    let spec = format!("qcow2:{}", path.display());
    refused(read(spec), &path, "qcow2 image");
}

#[test]
fn a_truncated_qcow2_image_never_reads_as_zeros() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("a");
    let whole = qcow2_bytes();
    let data = pattern(3 * MIB / 2);
    for kept in (0..whole.len()).step_by(whole.len() / 40).skip(1) {
        fs::write(&path, &whole[..kept]).unwrap();
        match read(&path) {
            Err(error) => assert!(error.to_string().contains(&path.display().to_string()), "{error}"),
            Ok(opened) => {
                let mut buf = vec![0xEE; data.len()];
                let error = opened.media.read_at(MIB as u64, &mut buf).unwrap_err().to_string();
                assert!(error.contains("truncated") && error.contains(&path.display().to_string()), "{error}");
            }
        }
    }
    fs::write(&path, &whole[..100_000]).unwrap();
    assert!(matches!(read(&path).unwrap_err(), OpenError::Truncated { .. }));
}

/// A VMDK descriptor with these extents.
fn vmdk(extents: &str) -> String {
    format!(
        "# Disk DescriptorFile\nversion=1\nCID=fffffffe\nparentCID=ffffffff\ncreateType=\"monolithicFlat\"\n\n{extents}\n\n\
         ddb.virtualHWVersion = \"4\"\nddb.geometry.cylinders = \"4\"\n"
    )
}

#[test]
fn a_flat_vmdk_is_put_together_from_its_extents() {
    let dir = TempDir::new().unwrap();
    let path = |name: &str| dir.path().join(name);
    let data = pattern(3 * 65536);
    fs::write(path("a-f001.vmdk"), &data[..65536]).unwrap();
    fs::write(path("a-f002.vmdk"), &data[65536..]).unwrap();
    let extents = "RW 128 FLAT \"a-f001.vmdk\" 0\nRW 64 ZERO\nRW 128 FLAT \"a-f002.vmdk\" 128";
    fs::write(path("a.vmdk"), vmdk(extents)).unwrap();
    let opened = read(path("a.vmdk")).unwrap();
    assert_eq!(opened.media.size_bytes(), 320 * 512);
    assert!(bytes(&*opened.media, 0, 65536) == data[..65536]);
    assert!(bytes(&*opened.media, 65536, 32768) == vec![0; 32768]);
    assert!(bytes(&*opened.media, 65536 + 32768, 65536) == data[2 * 65536..]);
    let needs = |name: &str| Note::Refers { to: path(name) };
    assert_eq!(opened.notes, [Note::Detected(Format::Vmdk), needs("a-f001.vmdk"), needs("a-f002.vmdk")]);
    refused(write(path("a.vmdk")), &path("a.vmdk"), "writing to a VMDK image");
}

#[test]
fn a_vmdk_may_not_have_files_of_other_folders_opened() {
    let dir = TempDir::new().unwrap();
    let path = |name: &str| dir.path().join(name);
    fs::create_dir(path("in")).unwrap();
    fs::write(path("secret"), [7; 65536]).unwrap();
    std::os::unix::fs::symlink("../secret", path("in/link")).unwrap();
    for name in ["../secret".to_owned(), path("secret").display().to_string(), "link".to_owned()] {
        fs::write(path("in/a.vmdk"), vmdk(&format!("RW 128 FLAT \"{name}\" 0"))).unwrap();
        let error = refused(read(path("in/a.vmdk")), &path("in/a.vmdk"), "only if asked for");
        assert!(matches!(error, OpenError::Refers { .. }));
        let opened = read_following(path("in/a.vmdk")).unwrap();
        assert_eq!(bytes(&*opened.media, 0, 4), [7; 4]);
    }
}

#[test]
fn a_vmdk_that_does_not_hold_together_is_refused() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("a.vmdk");
    fs::write(dir.path().join("short"), [7; 1000]).unwrap();
    fs::create_dir(dir.path().join("folder")).unwrap();
    for (extents, says) in [
        ("RW 128 FLAT \"short\" 0", "truncated"),
        ("RW 1 FLAT \"short\" 1", "truncated"),
        ("RW 1 FLAT \"missing\" 0", "no such file"),
        ("RW 1 FLAT \".\" 0", "only if asked for"),
        ("RW 1 FLAT \"folder\" 0", "directory"),
        ("RW 1 SPARSE \"short\"", "Unsupported extent type"),
        ("NOACCESS 1", "NOACCESS"),
        ("RW 99999999999999999999 ZERO", "sector count"),
        ("RW 18446744073709551615 ZERO", "overflow"),
        ("", "is empty"),
        ("encoding=\"UTF-8\"\nRW 1 ZERO", "encoding"),
    ] {
        fs::write(&path, vmdk(extents)).unwrap();
        refused(read(&path), &path, says);
    }
}

#[test]
fn images_that_nothing_here_reads_are_named_and_can_be_read_as_bytes() {
    let dir = TempDir::new().unwrap();
    let path: PathBuf = dir.path().join("a");
    for (magic, name) in [
        (&b"KDMV"[..], "sparse VMDK"),
        (b"COWD", "sparse VMDK"),
        (b"vhdxfile", "VHDX"),
        (b"conectix", "VHD"),
        (b"QED\0", "QED"),
        (b"QFI\xfb\0\0\0\x01", "qcow (version 1)"),
    ] {
        let mut content = vec![0; 4096];
        content[..magic.len()].copy_from_slice(magic);
        fs::write(&path, &content).unwrap();
        refused(read(&path), &path, name);
        refused(write(&path), &path, name);
        assert_eq!(bytes(&*read(format!("raw:{}", path.display())).unwrap().media, 0, 4096), content);
    }
}

#[test]
fn an_image_that_is_its_own_backing_file_is_refused() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("a");
    let file = File::create_open(StorageCreateOptions::new().filename(&path)).unwrap();
    let image = Qcow2::<File>::create_builder(file).size(MIB as u64).backing("a".into(), "qcow2".into());
    image.create().unwrap();
    refused(read(&path), &path, "only if asked for");
    refused(read_following(&path), &path, "refers to itself");
}

#[test]
fn a_header_extension_of_an_odd_length_is_an_error_and_no_panic() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("a");
    let mut image = qcow2_bytes().to_vec();
    assert_eq!(image[104..108], 0x6803_F857_u32.to_be_bytes(), "the first extension is the table of feature names");
    image[108..112].copy_from_slice(&(48_u32 + 1).to_be_bytes());
    fs::write(&path, &image).unwrap();
    refused(read(&path), &path, "qcow2 image");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Damage in the header and the mapping tables, where it can lead astray.
    #[test]
    fn a_damaged_qcow2_image_is_an_error_or_data_but_no_panic(
        damage in prop::collection::vec((0..8_usize, 0..112_usize, any::<u8>()), 1..5),
    ) {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("a");
        let mut image = qcow2_bytes().to_vec();
        for (cluster, at, byte) in damage {
            if let Some(place) = image.get_mut(cluster * 65536 + at) {
                *place = byte;
            }
        }
        fs::write(&path, &image).unwrap();
        if let Ok(opened) = read(&path) {
            let len = opened.media.size_bytes().min(8 * MIB as u64);
            let mut buf = vec![0; usize::try_from(len).unwrap()];
            let _ = opened.media.read_at(0, &mut buf);
            let _ = opened.media.allocation(0, len);
            let _ = opened.media.read_at(opened.media.size_bytes() - 1, &mut [0]);
        }
    }

    #[test]
    fn a_damaged_vmdk_descriptor_is_an_error_or_data_but_no_panic(
        text in "(version=[0-9]\n|(RW|RDONLY|NOACCESS) [0-9]{1,20} (ZERO|FLAT) ?(\"a\"|\"\"|\")? ?[0-9]{0,20}\n\
            |createType=\"?\n|ddb[.=]{0,3}\n){0,6}",
    ) {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("a");
        fs::write(&path, format!("# Disk DescriptorFile\nversion=1\n{text}")).unwrap();
        if let Ok(opened) = read(&path) {
            let _ = opened.media.read_at(0, &mut [0; 100]);
            let _ = opened.media.read_at(opened.media.size_bytes() - 1, &mut [0]);
        }
    }
}
