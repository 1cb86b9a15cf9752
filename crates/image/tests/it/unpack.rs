//! The cage itself.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;

use openmesh_image::oci::Compression;
use openmesh_image::tar::Kind;
use openmesh_image::unpack::{Job, Paths, Refused, Report, UnpackError};
use openmesh_primitives::sha256;

use crate::bench::{Pack, helper, no_root};

/// Unpacks an archive into a folder.
pub fn unpack(
    archive: &[u8],
    packed: &[u8],
    compression: Compression,
    paths: Paths,
    folder: &Path,
) -> Result<Report, UnpackError> {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(packed).unwrap();
    std::io::Seek::rewind(&mut file).unwrap();
    let job = Job::Unpack { compression, diff_id: sha256(&[archive]), packed: packed.len() as u64, paths };
    helper().unpack(&job, file, folder)
}

/// Unpacks a plain archive.
pub fn plain(archive: &[u8], paths: Paths, folder: &Path) -> Result<Report, UnpackError> {
    unpack(archive, archive, Compression::Plain, paths, folder)
}

#[test]
fn the_cage_lets_nothing_through_but_its_folder() {
    let outside = tempfile::tempdir().unwrap();
    let folder = outside.path().join("root");
    std::fs::create_dir(&folder).unwrap();
    let attempts = helper().probe(&folder).unwrap();
    for attempt in &attempts {
        println!(
            "{}: {}",
            attempt.deed,
            attempt.errno.map_or("let through".into(), |errno| std::io::Error::from_raw_os_error(errno).to_string())
        );
    }
    let through: Vec<&str> =
        attempts.iter().filter(|attempt| attempt.errno.is_none()).map(|attempt| attempt.deed.as_str()).collect();
    assert_eq!(through, ["make a file in the folder"]);
    assert_eq!(attempts.len(), 6);
    assert!(!outside.path().join("planted").exists());
}

/// With the path check off, names and links lead where they will: only the cage is left.
#[test]
fn a_planted_escape_fails_even_when_the_path_check_is_off() {
    if no_root() {
        return;
    }
    type Escape = (&'static str, fn(&str) -> Pack);
    let escapes: [Escape; 7] = [
        ("upwards", |_| Pack::new().file("../planted", "x")),
        ("absolute", |outside| Pack::new().file(&format!("{outside}/planted"), "x")),
        ("through a link", |outside| Pack::new().link("way", outside, Kind::Symlink).file("way/planted", "x")),
        ("a link made outside", |_| Pack::new().link("../planted", "/etc/passwd", Kind::Symlink)),
        ("a folder made outside", |_| Pack::new().folder("../planted")),
        ("a hard link to what is outside", |_| Pack::new().link("stolen", "../treasure", Kind::HardLink)),
        ("a file outside replaced", |_| Pack::new().file("../treasure", "x")),
    ];
    for (name, pack) in escapes {
        let outside = tempfile::tempdir().unwrap();
        let (folder, treasure) = (outside.path().join("root"), outside.path().join("treasure"));
        std::fs::create_dir(&folder).unwrap();
        std::fs::write(&treasure, "gold").unwrap();
        let archive = pack(outside.path().to_str().unwrap()).done();
        let result = plain(&archive, Paths::Unchecked, &folder);
        match result {
            Err(UnpackError::Refused(Refused::System { errno, .. })) => {
                assert!([13, 1, 18].contains(&errno), "{name}: {errno}")
            }
            other => panic!("{name}: {other:?}"),
        }
        assert!(!outside.path().join("planted").exists(), "{name}");
        assert!(!folder.join("stolen").exists(), "{name}");
        assert_eq!(std::fs::read_to_string(&treasure).unwrap(), "gold", "{name}");
    }
    // The switch itself works: the same name is taken by the kernel where it stays inside.
    let outside = tempfile::tempdir().unwrap();
    plain(&Pack::new().folder("a").file("a/../b", "x").done(), Paths::Unchecked, outside.path()).unwrap();
    assert!(outside.path().join("b").exists());
}

#[test]
fn a_helper_that_is_not_there_or_says_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let job = || Job::Probe;
    let absent = openmesh_image::unpack::Helper { program: "/nonexistent/unpack".into(), arguments: Vec::new() };
    let null = || File::open("/dev/null").unwrap();
    assert!(matches!(absent.unpack(&job(), null(), folder.path()), Err(UnpackError::Run { .. })));
    let silent = openmesh_image::unpack::Helper { program: "/bin/true".into(), arguments: Vec::new() };
    let error = silent.unpack(&job(), null(), folder.path()).unwrap_err();
    assert!(error.to_string().starts_with("the unpacker ended without a report (exit status: 0)"), "{error}");
}
