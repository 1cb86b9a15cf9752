//! The process that looks at files and changes them, in its cage.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use openmesh_image::files::{Act, Answer, Expect, Fault, Ids, Kind, Range, Task};
use openmesh_image::unpack::{Job, has_landlock};

use crate::bench::helper;

/// Lets the process do one act in a folder. Returns its answer, and the bytes behind it.
fn act(folder: &Path, act: Act, input: &[u8]) -> (Result<Answer, Fault>, Vec<u8>) {
    let (user, group) = (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw());
    let task = Task { act, ids: Ids { first: 0, count: u32::MAX, user, group } };
    let mut child = Command::new(helper().program)
        .arg(serde_json::to_string(&Job::Files(task)).unwrap())
        .env_clear()
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    // A process that refuses reads no input.
    let _ = child.stdin.take().unwrap().write_all(input);
    let output = child.wait_with_output().unwrap().stdout;
    let end = output.iter().position(|byte| *byte == b'\n').expect("an answer");
    (serde_json::from_slice(&output[..end]).unwrap(), output[end + 1..].to_vec())
}

fn frames(content: &[u8]) -> Vec<u8> {
    let mut frames = u32::try_from(content.len()).unwrap().to_le_bytes().to_vec();
    frames.extend(content);
    frames.extend(0_u32.to_le_bytes());
    frames
}

#[test]
fn every_act_works_within_the_cage() {
    if !has_landlock() {
        println!("skipped: this kernel has no landlock");
        return;
    }
    let outer = tempfile::tempdir().unwrap();
    let folder = outer.path().join("volume");
    fs::create_dir(&folder).unwrap();
    fs::write(outer.path().join("beside"), "not of the volume").unwrap();
    let content = vec![7; 300_000];
    let made = act(&folder, Act::MakeFolder { path: "a".into() }, &[]).0.unwrap();
    assert!(matches!(made, Answer::Entry(entry) if entry.kind == Kind::Folder));
    let write =
        |path: &str, expect, content: &[u8]| act(&folder, Act::Write { path: path.into(), expect }, &frames(content)).0;
    let Answer::Entry(entry) = write("a/file", Expect::New, &content).unwrap() else { panic!() };
    let range = Some(Range::Last(10));
    let (answer, bytes) = act(&folder, Act::Read { path: "a/file".into(), range, of: entry.tag.clone() }, &[]);
    assert!(matches!(answer, Ok(Answer::Content { first: 299_990, bytes: 10, .. })), "{answer:?}");
    assert_eq!(bytes, [7; 10]);
    let (answer, bytes) = act(&folder, Act::Read { path: "a/file".into(), range, of: Some("other".into()) }, &[]);
    assert!(answer.is_ok() && bytes == content, "all of a file that is another one");
    let tag = entry.tag.unwrap();
    write("a/file", Expect::Tag(tag.clone()), b"second").unwrap();
    assert_eq!(write("a/file", Expect::Tag(tag), b"third"), Err(Fault::Changed("a/file".into())));
    act(&folder, Act::Rename { from: "a/file".into(), to: "moved".into() }, &[]).0.unwrap();
    let Ok(Answer::Folder { entries, .. }) = act(&folder, Act::List { path: "".into() }, &[]).0 else { panic!() };
    assert_eq!(entries.iter().map(|entry| entry.name.as_str()).collect::<Vec<_>>(), ["a", "moved"]);
    for path in ["../beside", "/../beside"] {
        let (answer, bytes) = act(&folder, Act::Read { path: path.into(), range: None, of: None }, &[]);
        assert!(matches!(answer, Err(Fault::Name { .. })) && bytes.is_empty());
    }
    let removed = act(&folder, Act::Remove { path: "a".into(), all: true, expect: None }, &[]).0;
    assert_eq!(removed, Ok(Answer::Removed { entries: 1 }));
    assert_eq!(fs::read(folder.join("moved")).unwrap(), b"second");
}
