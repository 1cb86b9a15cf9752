//! The store in a bucket: against a strict server, against one that misbehaves, and against one that others wrote.

use std::collections::BTreeSet;
use std::fs;
use std::process::{Child, Command, Stdio};

use openmesh_backup::{Data, Id, Identity, Kind, Name, Repository, S3, S3Settings, Store, StoreError, open};
use openmesh_primitives::Timestamp;

use crate::bucket::{Bucket, Fault};
use crate::world::{NOW, PACK_BYTES, World, back_up, describe, noise, restore};

fn object(bytes: &[u8]) -> Name {
    Name::Object(Kind::Pack, Id::of(bytes))
}

/// Everything that is done to a repository, in a bucket.
fn life(settings: S3Settings) {
    let world = World::new();
    let tree = world.small_tree("tree", 51);
    fs::write(tree.join("large"), noise(52, 600_000)).unwrap();
    let (store, owner) = (S3::open(settings).unwrap(), Identity::generate().unwrap());
    Repository::create(&store, &[owner.recipient()], &open).unwrap();
    let repository = Repository::open(&store, &[owner], None).unwrap().ending_packs_at(PACK_BYTES);
    let first = back_up(&repository, &tree, "writer", &open).unwrap().snapshot;
    fs::write(tree.join("large"), noise(53, 600_000)).unwrap();
    let second = back_up(&repository, &tree, "writer", &open).unwrap().snapshot;
    repository.forget([first], &open).unwrap();
    assert!(repository.mark(NOW, &open).unwrap().packs > 1);
    assert!(repository.sweep(Timestamp(NOW.nanos() + 1_000_000), 0, &open).unwrap().removed > 1);
    let checked = repository.check(Data::All).unwrap();
    assert!(checked.findings.is_empty() && checked.broken.is_empty() && checked.snapshots == 1, "{checked:?}");
    let target = world.path("target");
    restore(&repository, second, &target, &open).unwrap();
    assert_eq!(describe(&target), describe(&tree));
    for kind in [Kind::Mark, Kind::Session] {
        assert!(store.list(kind).unwrap().is_empty());
    }
}

#[test]
fn a_repository_lives_in_a_bucket() {
    let bucket = Bucket::start();
    life(bucket.settings());
    let state = bucket.state.lock().unwrap();
    assert!(state.objects.keys().all(|key| key.starts_with("of/tests/")), "nothing beside the prefix");
    eprintln!("requests: {:?}", state.asked);
}

#[test]
fn a_server_of_others_is_spoken_with() {
    let Some((mut server, port)) = moto() else {
        eprintln!("skipped: the program moto_server is not installed (pip install 'moto[s3,server]')");
        return;
    };
    let settings = S3Settings {
        endpoint: format!("http://127.0.0.1:{port}"),
        region: "us-east-1".to_string(),
        ..Bucket::start().settings()
    };
    let made = Command::new("curl").args(["-sf", "-X", "PUT"]).arg(format!("{}/bucket", settings.endpoint)).status();
    assert!(made.unwrap().success(), "curl makes the bucket");
    let result = std::panic::catch_unwind(|| life(settings));
    server.kill().unwrap();
    server.wait().unwrap();
    result.unwrap();
}

/// A server of the project moto, on a port of its own choice.
fn moto() -> Option<(Child, u16)> {
    let mut child = Command::new("moto_server")
        .args(["-H", "127.0.0.1", "-p", "0"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .ok()?;
    let lines = std::io::BufRead::lines(std::io::BufReader::new(child.stderr.take()?));
    let port = lines.map_while(Result::ok).find_map(|line| {
        let (_, port) = line.split_once("http://127.0.0.1:")?;
        port.trim_matches(|letter: char| !letter.is_ascii_digit()).parse().ok()
    });
    Some((child, port?))
}

#[test]
fn an_object_is_put_once_read_in_part_listed_and_removed() {
    let bucket = Bucket::start();
    let store = S3::open(bucket.settings()).unwrap();
    let contents: Vec<Vec<u8>> = (0..10).map(|seed| noise(seed, 100)).collect();
    for content in &contents {
        assert!(matches!(store.read(object(content), 0, 9), Err(StoreError::Missing { .. })));
        assert!(store.put_new(object(content), content).unwrap());
    }
    let name = object(&contents[0]);
    assert!(!store.put_new(name, b"other").unwrap());
    assert_eq!(store.read(name, 0, 1000).unwrap(), contents[0]);
    assert_eq!(store.read(name, 30, 20).unwrap(), contents[0][30..50]);
    assert_eq!(store.read(name, 100, 20).unwrap(), b"");
    assert_eq!(store.read(name, 0, 0).unwrap(), b"");
    // What is no object's is passed over, and a stranger's prefix is not ours.
    let stray = ["of/tests/packs/note & more", "of/tests/packs/00/note", "of/tests2/packs/x", "packs/x"];
    for key in stray {
        bucket.state.lock().unwrap().objects.insert(key.to_string(), (vec![1], Timestamp::now()));
    }
    bucket.state.lock().unwrap().objects.remove("of/tests/packs/note & more");
    let listed = store.list(Kind::Pack).unwrap();
    let ids: BTreeSet<Id> = listed.iter().map(|listed| listed.id).collect();
    assert_eq!(ids, contents.iter().map(|content| Id::of(content)).collect());
    assert!(listed.iter().all(|listed| listed.bytes == 100 && listed.stored > NOW));
    assert!(store.delete(name).unwrap() && !store.delete(name).unwrap());
    assert_eq!(store.list(Kind::Pack).unwrap().len(), 9);
    assert_eq!(store.list(Kind::Mark).unwrap(), vec![]);
}

#[test]
fn what_passes_is_borne_and_what_is_sent_twice_is_done_once() {
    let bucket = Bucket::start();
    let store = S3::open(bucket.settings()).unwrap();
    bucket.will(&[Fault::Busy, Fault::Busy]);
    assert!(store.put_new(object(b"a"), b"a").unwrap());
    bucket.will(&[Fault::DoneButFailed]);
    assert!(!store.put_new(object(b"b"), b"b").unwrap(), "the second try finds the first");
    assert_eq!(store.read(object(b"b"), 0, 9).unwrap(), b"b");
    bucket.will(&[Fault::NoConditions]);
    assert!(store.put_new(object(b"c"), b"c").unwrap());
    bucket.will(&[Fault::NoConditions]);
    assert!(!store.put_new(object(b"c"), b"c").unwrap());
    // A repository whose marker was put by a request that seemed to fail is there, and ours.
    bucket.will(&[Fault::Busy]);
    let owner = Identity::generate().unwrap();
    Repository::create(&store, &[owner.recipient()], &|name: &str| {
        if name == "put format" {
            bucket.will(&[Fault::DoneButFailed]);
        }
        Ok(())
    })
    .unwrap();
    Repository::open(&store, &[owner], None).unwrap();
}

#[test]
fn a_wrong_clock_is_learned_from_the_server() {
    for ahead_ms in [-400 * 86_400_000, 3_600_000] {
        let bucket = Bucket::start();
        bucket.state.lock().unwrap().ahead_ms = ahead_ms;
        let store = S3::open(bucket.settings()).unwrap();
        assert!(store.put_new(object(b"a"), b"a").unwrap());
        assert_eq!(store.read(object(b"a"), 0, 9).unwrap(), b"a");
        assert_eq!(bucket.state.lock().unwrap().asked["PUT"], 2, "asked once for the time");
    }
}

#[test]
fn servers_that_lie_and_wrong_keys_are_errors_in_words() {
    let bucket = Bucket::start();
    let store = S3::open(bucket.settings()).unwrap();
    let content = noise(1, 5000);
    store.put_new(object(&content), &content).unwrap();
    for (fault, words) in [(Fault::LongRange, "another range"), (Fault::OtherRange, "another range")] {
        bucket.will(&[fault]);
        let failed = store.read(object(&content), 10, 20).unwrap_err().to_string();
        assert!(failed.contains(words), "{failed}");
    }
    for seed in 2..9 {
        store.put_new(object(&noise(seed, 9)), &noise(seed, 9)).unwrap();
    }
    for (faults, words) in
        [(vec![Fault::BrokenList], "cannot be read"), (vec![Fault::EndlessList, Fault::EndlessList], "is not in order")]
    {
        bucket.will(&faults);
        let failed = store.list(Kind::Pack).unwrap_err().to_string();
        assert!(failed.contains(words), "{failed}");
    }
    bucket.will(&[]);
    let wrong = S3::open(S3Settings { secret_key: "another".to_string(), ..bucket.settings() }).unwrap();
    let failed = wrong.list(Kind::Pack).unwrap_err().to_string();
    let want = "listing packs in the repository: the server answered 403, SignatureDoesNotMatch: said by the server";
    assert_eq!(failed, want);
    let nowhere = S3::open(S3Settings { bucket: "other".to_string(), ..bucket.settings() }).unwrap();
    let failed = nowhere.read(object(&content), 0, 9).unwrap_err();
    assert!(matches!(&failed, StoreError::Io { .. }) && failed.to_string().contains("NoSuchBucket"), "{failed}");
}
