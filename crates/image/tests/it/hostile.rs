//! Archives that mean harm: each gets its own error, and nothing outside its folder changes.

use std::io::Write as _;

use openmesh_image::oci::Compression;
use openmesh_image::tar::{BLOCK_BYTES, Entry, Kind};
use openmesh_image::unpack::{Paths, Refused, UnpackError};

use crate::bench::{Pack, entry, gzip, no_root};
use crate::unpack::{plain, unpack};

/// Changes bytes of the first header and makes its sum right.
fn altered(mut archive: Vec<u8>, change: impl Fn(&mut [u8])) -> Vec<u8> {
    let block = &mut archive[..BLOCK_BYTES];
    change(block);
    block[148..156].fill(b' ');
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    archive
}

fn file() -> Vec<u8> {
    Pack::new().file("a", "x").done()
}

/// A pax header with these records before a file.
fn pax(records: &[u8]) -> Vec<u8> {
    let header = Pack::new().add(&entry(b"pax", Kind::File), records).done();
    let header = altered(header, |block| block[156] = b'x');
    [&header[..header.len() - 2 * BLOCK_BYTES], &file()].concat()
}

type Case = (&'static str, Vec<u8>, fn(&Refused) -> bool);

fn names() -> Vec<Case> {
    let upwards: fn(&Refused) -> bool = |e| matches!(e, Refused::Upwards(_));
    let through: fn(&Refused) -> bool = |e| matches!(e, Refused::ThroughLink(_));
    let target: fn(&Refused) -> bool = |e| matches!(e, Refused::LinkTarget { .. });
    let pack = Pack::new;
    vec![
        ("..", pack().file("..", "x").done(), upwards),
        ("../x", pack().file("../planted", "x").done(), upwards),
        ("a/../../x", pack().folder("a").file("a/../../planted", "x").done(), upwards),
        ("/../x", pack().file("/../planted", "x").done(), upwards),
        ("folder ..", pack().folder("../planted").done(), upwards),
        ("link and write through", pack().link("a", "..", Kind::Symlink).file("a/planted", "x").done(), through),
        (
            "absolute link and write through",
            pack().link("a", "/tmp", Kind::Symlink).file("a/planted", "x").done(),
            through,
        ),
        (
            "link to a link",
            pack().link("a", "b", Kind::Symlink).link("b", "..", Kind::Symlink).file("a/planted", "x").done(),
            through,
        ),
        ("link and folder below", pack().link("a", "..", Kind::Symlink).folder("a/planted/b").done(), through),
        ("below a file", pack().file("a", "x").file("a/b", "x").done(), through),
        ("hard link outside", pack().link("a", "../treasure", Kind::HardLink).done(), upwards),
        ("hard link by absolute name", pack().link("a", "/etc/passwd", Kind::HardLink).done(), target),
        (
            "hard link through a link",
            pack().link("l", "..", Kind::Symlink).link("a", "l/treasure", Kind::HardLink).done(),
            target,
        ),
        ("hard link to a folder", pack().folder("d").link("a", "d", Kind::HardLink).done(), target),
        ("hard link to a whiteout", pack().file(".wh.w", "").link("a", "w", Kind::HardLink).done(), target),
        ("hard link to nothing", pack().link("a", "b", Kind::HardLink).done(), target),
        ("character device", pack().add(&entry(b"a", Kind::Character), b"").done(), |e| {
            matches!(e, Refused::Device(_))
        }),
        ("block device", pack().add(&entry(b"a", Kind::Block), b"").done(), |e| matches!(e, Refused::Device(_))),
        ("file over a full folder", pack().folder("a").file("a/b", "").file("a", "x").done(), |e| {
            matches!(e, Refused::Clash(_))
        }),
        ("root as a file", pack().file(".", "x").done(), |e| matches!(e, Refused::Clash(_))),
    ]
}

fn marks() -> Vec<Case> {
    let upwards: fn(&Refused) -> bool = |e| matches!(e, Refused::Upwards(_));
    let through: fn(&Refused) -> bool = |e| matches!(e, Refused::ThroughLink(_));
    let whiteout: fn(&Refused) -> bool = |e| matches!(e, Refused::Whiteout(_));
    let pack = Pack::new;
    vec![
        ("whiteout of nothing", pack().file(".wh.", "").done(), whiteout),
        ("whiteout of .", pack().file(".wh..", "").done(), whiteout),
        ("whiteout of ..", pack().file("a/.wh...", "").done(), whiteout),
        ("whiteout of a whiteout", pack().file(".wh..wh.x", "").done(), whiteout),
        ("opaque root", pack().file(".wh..wh..opq", "").done(), whiteout),
        ("whiteout as a folder", pack().folder(".wh.a").done(), whiteout),
        ("whiteout as a link", pack().link(".wh.a", "..", Kind::Symlink).done(), whiteout),
        ("below a whiteout's name", pack().file(".wh.a/b", "").done(), whiteout),
        ("whiteout through a link", pack().link("a", "..", Kind::Symlink).file("a/.wh.treasure", "").done(), through),
        ("whiteout upwards", pack().file("../.wh.treasure", "").done(), upwards),
        (
            "opaque mark through a link",
            pack().link("a", "..", Kind::Symlink).file("a/.wh..wh..opq", "").done(),
            through,
        ),
        ("a long part", pack().file(&"x".repeat(256), "").done(), |e| matches!(e, Refused::Part(_))),
        ("too deep", pack().file(&"d/".repeat(129), "").done(), |e| matches!(e, Refused::Depth(_))),
        (
            "an attribute of overlayfs",
            pack()
                .add(
                    &Entry {
                        xattrs: vec![(b"trusted.overlay.redirect".to_vec(), b"/".to_vec())],
                        ..entry(b"a", Kind::Directory)
                    },
                    b"",
                )
                .done(),
            |e| matches!(e, Refused::Attribute { .. }),
        ),
        (
            "an attribute of overlayfs for users",
            pack()
                .add(
                    &Entry {
                        xattrs: vec![(b"user.overlay.opaque".to_vec(), b"y".to_vec())],
                        ..entry(b"a", Kind::Directory)
                    },
                    b"",
                )
                .done(),
            |e| matches!(e, Refused::Attribute { .. }),
        ),
    ]
}

fn forms() -> Vec<Case> {
    let archive: fn(&Refused) -> bool = |e| matches!(e, Refused::Archive(_));
    vec![
        ("no archive", vec![7; 2_048], archive),
        ("half a header", vec![7; 100], archive),
        (
            "ends in a file",
            altered(Pack::new().file("a", &"x".repeat(5_000)).done()[..1_024].to_vec(), |_| ()),
            archive,
        ),
        ("a sparse file", altered(file(), |block| block[156] = b'S'), archive),
        ("a sparse file of pax", pax(b"24 GNU.sparse.major=1\n\n\n"), archive),
        ("an unknown kind", altered(file(), |block| block[156] = b'Z'), archive),
        (
            "a size of 8 EiB",
            altered(file(), |block| {
                block[124..136].copy_from_slice(&[0x80, 0, 0, 0, 0x7f, 255, 255, 255, 255, 255, 255, 255])
            }),
            archive,
        ),
        ("a size below zero", altered(file(), |block| block[124..136].fill(0xff)), archive),
        (
            "a size that is no number",
            altered(file(), |block| block[124..136].copy_from_slice(b"99999999999\0")),
            archive,
        ),
        (
            "a pax header of 8 GiB",
            altered(pax(b""), |block| block[124..136].copy_from_slice(b"77777777777\0")),
            archive,
        ),
        ("a pax size of 8 EiB", pax(b"28 size=9223372036854775807\n"), archive),
        ("a pax size beyond any number", pax(b"35 size=99999999999999999999999999\n"), archive),
        ("a pax record that is too long", pax(b"999999999999 path=a\n"), archive),
        ("a pax record without an end", pax(b"9 path=ab"), archive),
        ("a name with NUL", pax(b"12 path=a\0b\n"), archive),
        (
            "a target with NUL",
            [pax(b"16 linkpath=a\0b\n")[..1_024].to_vec(), Pack::new().link("a", "b", Kind::Symlink).done()].concat(),
            archive,
        ),
        ("an empty name", altered(file(), |block| block[..100].fill(0)), archive),
        ("extended headers without an end", pax(b"").repeat(1)[..512].repeat(20), archive),
    ]
}

#[test]
fn each_gets_its_own_error_and_nothing_outside_changes() {
    if no_root() {
        return;
    }
    for (name, archive, expected) in names().into_iter().chain(marks()).chain(forms()) {
        let outside = tempfile::tempdir().unwrap();
        let folder = outside.path().join("root");
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(outside.path().join("treasure"), "gold").unwrap();
        match plain(&archive, Paths::Checked, &folder) {
            Err(UnpackError::Refused(refused)) => {
                assert!(expected(&refused), "{name}: {refused:?}");
                println!("{name}: {refused}");
            }
            other => panic!("{name}: {other:?}"),
        }
        let mut left: Vec<String> =
            std::fs::read_dir(outside.path()).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        left.sort();
        assert_eq!(left, ["root", "treasure"], "{name}");
        assert_eq!(std::fs::read_to_string(outside.path().join("treasure")).unwrap(), "gold", "{name}");
    }
}

#[test]
fn names_that_come_twice() {
    if no_root() {
        return;
    }
    // A file over its own hard link does not write into the other name.
    let folder = tempfile::tempdir().unwrap();
    let archive = Pack::new()
        .file("a", "first")
        .link("b", "a", Kind::HardLink)
        .file("b", "second")
        .link("c", "a", Kind::Symlink)
        .file("c", "third")
        .file("d", "x")
        .folder("d")
        .file("d/e", "x")
        .link("a", "a", Kind::HardLink)
        .done();
    plain(&archive, Paths::Checked, folder.path()).unwrap();
    let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
    assert_eq!(
        (read("a"), read("b"), read("c"), read("d/e")),
        ("first".into(), "second".into(), "third".into(), "x".into())
    );
}

#[test]
fn bombs_stop_early() {
    if no_root() {
        return;
    }
    let zeros = vec![0; 64 << 20];
    let archive = Pack::new().add(&entry(b"zeros", Kind::File), &zeros).done();
    let zstd = zstd::encode_all(archive.as_slice(), 3).unwrap();
    for (packed, compression) in [(gzip(&archive), Compression::Gzip), (zstd, Compression::Zstd)] {
        let folder = tempfile::tempdir().unwrap();
        let error = unpack(&archive, &packed, compression, Paths::Checked, folder.path()).unwrap_err();
        assert!(
            matches!(error, UnpackError::Refused(Refused::Bomb { packed: said }) if said == packed.len() as u64),
            "{error}"
        );
        let written = std::fs::metadata(folder.path().join("zeros")).unwrap().len();
        assert!(written <= 17 << 20, "{written} bytes were written");
    }
    // A million names of nothing are a bomb as well: their headers count.
    let header = Pack::new().file("a", "").done()[..BLOCK_BYTES].to_vec();
    let archive = header.repeat(100_000);
    let folder = tempfile::tempdir().unwrap();
    let error = unpack(&archive, &gzip(&archive), Compression::Gzip, Paths::Checked, folder.path()).unwrap_err();
    assert!(matches!(error, UnpackError::Refused(Refused::Bomb { .. })), "{error}");
    // A window of 2 GiB is asked for by the frame's first bytes.
    let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
    encoder.window_log(28).unwrap();
    encoder.write_all(&zeros).unwrap();
    let packed = encoder.finish().unwrap();
    let error = unpack(&zeros, &packed, Compression::Zstd, Paths::Checked, folder.path()).unwrap_err();
    assert!(matches!(error, UnpackError::Refused(Refused::Compressed(_))), "{error}");
}

#[test]
fn compressions_and_digests_that_are_wrong() {
    if no_root() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let archive = file();
    for (packed, compression) in [
        (archive.clone(), Compression::Gzip),
        (archive.clone(), Compression::Zstd),
        (gzip(&archive)[..40].to_vec(), Compression::Gzip),
    ] {
        let error = unpack(&archive, &packed, compression, Paths::Checked, folder.path()).unwrap_err();
        assert!(matches!(error, UnpackError::Refused(Refused::Compressed(_) | Refused::Archive(_))), "{error}");
    }
    // What follows the end mark counts for the digest; two members of gzip are one stream.
    let twice = [gzip(&archive[..700]), gzip(&archive[700..])].concat();
    unpack(&archive, &twice, Compression::Gzip, Paths::Checked, folder.path()).unwrap();
    let tail = [archive.clone(), b"tail".to_vec()].concat();
    let error = unpack(&archive, &gzip(&tail), Compression::Gzip, Paths::Checked, folder.path()).unwrap_err();
    assert!(matches!(error, UnpackError::Refused(Refused::DiffId { .. })), "{error}");
    unpack(&tail, &gzip(&tail), Compression::Gzip, Paths::Checked, folder.path()).unwrap();
}
