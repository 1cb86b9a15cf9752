//! Acts on real folders, with somebody who plants links while they go on. The walls of the process are tried in `tests/it/files.rs`.

use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{Mode, OFlags, RenameFlags, renameat_with};

use super::tree::{Tree, pour};
use super::{Answer, Expect, Fault, Ids, Kind, Range};

/// A tree whose owner is whoever runs the test, so that it needs no root.
fn tree(folder: &Path) -> Tree {
    let own = (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw());
    let root = rustix::fs::open(folder, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()).unwrap();
    Tree::new(root, Ids { first: 0, count: u32::MAX, user: own.0, group: own.1 })
}

fn frames(content: &[u8]) -> Vec<u8> {
    let mut frames = Vec::new();
    for part in content.chunks(7) {
        frames.extend(u32::try_from(part.len()).unwrap().to_le_bytes());
        frames.extend(part);
    }
    frames.extend(0_u32.to_le_bytes());
    frames
}

fn write(tree: &Tree, path: &str, expect: &Expect, content: &[u8]) -> Result<Answer, Fault> {
    tree.write(path, expect, &mut &frames(content)[..])
}

fn read(tree: &Tree, path: &str, range: Option<Range>) -> Result<Vec<u8>, Fault> {
    let (answer, mut file) = tree.read(path, range, None)?;
    let Answer::Content { first, bytes, .. } = answer else { panic!("{answer:?}") };
    let mut content = Vec::new();
    pour(&mut file, first, bytes, &mut content).unwrap();
    Ok(content)
}

fn tag(tree: &Tree, path: &str) -> String {
    match tree.read(path, None, None).unwrap().0 {
        Answer::Content { entry, .. } => entry.tag.unwrap(),
        other => panic!("{other:?}"),
    }
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[test]
fn files_are_written_whole_read_in_parts_renamed_and_removed() {
    let folder = tempfile::tempdir().unwrap();
    let tree = tree(folder.path());
    tree.make_folder("notes").unwrap();
    let content = b"the quick brown fox jumps over the lazy dog";
    let Answer::Entry(entry) = write(&tree, "notes/fox.txt", &Expect::New, content).unwrap() else { panic!() };
    assert_eq!((entry.kind, entry.bytes, entry.mode), (Kind::File, content.len() as u64, 0o644));
    assert_eq!(read(&tree, "/notes//fox.txt", None).unwrap(), content);
    assert_eq!(read(&tree, "notes/fox.txt", Some(Range::From(4, Some(8)))).unwrap(), b"quick");
    assert_eq!(read(&tree, "notes/fox.txt", Some(Range::Last(3))).unwrap(), b"dog");
    let none = read(&tree, "notes/fox.txt", Some(Range::From(999, None)));
    assert_eq!(none, Err(Fault::Range { bytes: content.len() as u64 }));
    assert!(matches!(write(&tree, "notes/fox.txt", &Expect::New, b"x"), Err(Fault::Taken(_))));
    tree.rename("notes/fox.txt", "notes/dog.txt").unwrap();
    assert!(matches!(tree.rename("notes", "notes/dog.txt/x"), Err(Fault::Link(_))));
    write(&tree, "notes/cat.txt", &Expect::New, b"").unwrap();
    assert!(matches!(tree.rename("notes/cat.txt", "notes/dog.txt"), Err(Fault::Taken(_))));
    assert!(matches!(tree.remove("notes", false, None), Err(Fault::Filled(_))));
    assert_eq!(tree.remove("notes", true, None).unwrap(), Answer::Removed { entries: 3 });
    assert!(matches!(tree.remove("notes", true, None), Err(Fault::Missing(_))));
    for act in [tree.remove("", true, None), tree.make_folder("/"), tree.rename("a", ".")] {
        assert!(matches!(act, Err(Fault::Root | Fault::Missing(_))), "{act:?}");
    }
    assert!(names(folder.path()).is_empty());
}

#[test]
fn a_changed_file_is_not_overwritten_unseen() {
    let folder = tempfile::tempdir().unwrap();
    let tree = tree(folder.path());
    let path = folder.path().join("config");
    fs::write(&path, "one").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o4750)).unwrap();
    let seen = tag(&tree, "config");
    fs::write(&path, "two by the application").unwrap();
    let late = write(&tree, "config", &Expect::Tag(seen.clone()), b"mine");
    assert_eq!(late, Err(Fault::Changed("config".into())));
    assert_eq!(tree.remove("config", false, Some(&seen)), Err(Fault::Changed("config".into())));
    assert_eq!(fs::read_to_string(&path).unwrap(), "two by the application");
    let number = fs::metadata(&path).unwrap().ino();
    write(&tree, "config", &Expect::Tag(tag(&tree, "config")), b"mine").unwrap();
    let after = fs::metadata(&path).unwrap();
    assert_eq!(fs::read_to_string(&path).unwrap(), "mine");
    assert_ne!(after.ino(), number, "it was replaced as a whole");
    assert_eq!(after.mode() & 0o7777, 0o750, "permissions stay, and set-user-id goes");
    tree.remove("config", false, Some(&tag(&tree, "config"))).unwrap();
    let gone = write(&tree, "config", &Expect::Tag(seen), b"mine");
    assert_eq!(gone, Err(Fault::Changed("config".into())));
    assert!(names(folder.path()).is_empty(), "nothing is left beside it");
}

#[test]
fn a_content_that_breaks_off_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let tree = tree(folder.path());
    fs::write(folder.path().join("kept"), "as it was").unwrap();
    let whole = frames(b"a content of some length");
    for cut in 0..whole.len() {
        let broken = tree.write("kept", &Expect::Any, &mut &whole[..cut]);
        assert_eq!(broken, Err(Fault::Broken("kept".into())), "cut at {cut}");
    }
    assert_eq!(fs::read_to_string(folder.path().join("kept")).unwrap(), "as it was");
    assert_eq!(names(folder.path()), ["kept"]);
    let stale = folder.path().join(format!(".openmesh-upload-{:032x}", 1));
    fs::write(&stale, "broken off by force").unwrap();
    let old = std::time::SystemTime::now() - std::time::Duration::from_secs(7_200);
    fs::File::options().write(true).open(&stale).unwrap().set_modified(old).unwrap();
    write(&tree, "kept", &Expect::Any, b"new").unwrap();
    assert_eq!(names(folder.path()), ["kept"]);
}

#[test]
fn links_are_shown_and_never_followed() {
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("secret"), "of the host").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let tree = tree(folder.path());
    symlink(outside.path(), folder.path().join("out")).unwrap();
    symlink(outside.path().join("secret"), folder.path().join("direct")).unwrap();
    symlink("missing", folder.path().join("loose")).unwrap();
    let Answer::Folder { entries, more } = tree.list("").unwrap() else { panic!() };
    assert!(!more && entries.iter().all(|entry| entry.kind == Kind::Link && entry.tag.is_none()));
    assert_eq!(entries[1].target.as_deref(), Some("missing"));
    for path in ["out/secret", "out", "direct", "loose"] {
        assert!(matches!(read(&tree, path, None), Err(Fault::Link(_))), "{path}");
        assert!(matches!(write(&tree, path, &Expect::Any, b"x"), Err(Fault::Link(_))), "{path}");
    }
    assert!(matches!(tree.list("out"), Err(Fault::Link(_))));
    assert!(matches!(tree.make_folder("out/new"), Err(Fault::Link(_))));
    assert!(matches!(tree.rename("direct", "out/direct"), Err(Fault::Link(_))));
    assert!(matches!(tree.remove("out/secret", true, None), Err(Fault::Link(_))));
    assert_eq!(tree.remove("out", true, None).unwrap(), Answer::Removed { entries: 1 }, "the link goes alone");
    assert_eq!(names(outside.path()), ["secret"]);
}

#[test]
fn names_that_are_no_text_are_shown_and_can_be_named() {
    let folder = tempfile::tempdir().unwrap();
    let tree = tree(folder.path());
    let odd = std::ffi::OsStr::from_bytes(b"odd\xff\n");
    fs::write(folder.path().join(odd), "content").unwrap();
    let Answer::Folder { entries, .. } = tree.list("/").unwrap() else { panic!() };
    assert_eq!(entries[0].name, "odd\\xff\\x0a");
    assert_eq!(read(&tree, &entries[0].name, None).unwrap(), b"content");
    tree.rename(&entries[0].name, "even").unwrap();
    assert_eq!(names(folder.path()), ["even"]);
}

#[test]
fn special_files_are_shown_and_not_opened() {
    let folder = tempfile::tempdir().unwrap();
    let tree = tree(folder.path());
    let pipe = folder.path().join("pipe");
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    let Answer::Folder { entries, .. } = tree.list("").unwrap() else { panic!() };
    assert_eq!(entries[0].kind, Kind::Other);
    assert!(matches!(read(&tree, "pipe", None), Err(Fault::Kind { .. })));
    assert!(matches!(write(&tree, "pipe", &Expect::Any, b"x"), Err(Fault::Kind { .. })));
    tree.remove("pipe", false, None).unwrap();
}

/// Ends the one who swaps, also where the test fails.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Somebody swaps a folder with a link to another folder as fast as can be, while files are read, written, listed and removed below its name.
#[test]
fn no_race_with_a_planted_link_leads_outside() {
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("file"), "outside").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (inner, link) = (folder.path().join("inner"), folder.path().join("link"));
    fs::create_dir(&inner).unwrap();
    symlink(outside.path(), &link).unwrap();
    let ends = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !ends.load(Ordering::Relaxed) {
                let cwd = rustix::fs::CWD;
                renameat_with(cwd, &inner, cwd, &link, RenameFlags::EXCHANGE).unwrap();
            }
        });
        let _ends = Ends(&ends);
        let tree = tree(folder.path());
        let (mut inside, mut refused) = (0_u32, 0_u32);
        for round in 0..2_000_u32 {
            let done = match round % 4 {
                0 => write(&tree, "inner/file", &Expect::Any, b"inside").map(drop),
                1 => read(&tree, "inner/file", None).map(|content| assert_eq!(content, b"inside")),
                2 => tree.list("inner").map(drop),
                _ => tree.remove("inner/file", false, None).map(drop),
            };
            match done {
                Ok(()) => inside += 1,
                Err(Fault::Link(_) | Fault::Missing(_) | Fault::Busy(_) | Fault::Changed(_)) => refused += 1,
                Err(other) => panic!("{other:?}"),
            }
        }
        assert_eq!(inside + refused, 2_000);
    });
    assert_eq!(names(outside.path()), ["file"]);
    assert_eq!(fs::read_to_string(outside.path().join("file")).unwrap(), "outside");
}

#[test]
fn parts_of_files_are_those_of_the_standard() {
    for (range, bytes, found) in [
        (Range::From(0, None), 10, Some((0, 10))),
        (Range::From(9, Some(99)), 10, Some((9, 1))),
        (Range::From(10, None), 10, None),
        (Range::From(5, Some(4)), 10, None),
        (Range::From(0, Some(u64::MAX)), 10, Some((0, 10))),
        (Range::Last(3), 10, Some((7, 3))),
        (Range::Last(99), 10, Some((0, 10))),
        (Range::Last(0), 10, None),
        (Range::From(0, None), 0, None),
    ] {
        assert_eq!(range.within(bytes), found, "{range:?} of {bytes}");
    }
}
