//! The store in a bucket: against a strict server, against one that misbehaves, and against one that others wrote.

use std::process::{Child, Command, Stdio};

use openmesh_backup::{Identity, Kind, Repository, S3, S3Settings, Store, StoreError};
use openmesh_primitives::Timestamp;

use crate::bucket::{Bucket, Fault};
use crate::conformance::{self, object};
use crate::world::noise;

/// Everything that is done to a repository, in a bucket.
fn life(settings: S3Settings) {
    conformance::life(&S3::open(settings).unwrap());
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
fn a_bucket_is_a_store_as_every_other() {
    let bucket = Bucket::start();
    let store = S3::open(bucket.settings()).unwrap();
    conformance::objects(&store);
    // What is no object's is passed over, and a stranger's prefix is not ours.
    let stray = ["of/tests/packs/note & more", "of/tests/packs/00/note", "of/tests2/packs/x", "packs/x"];
    for key in stray {
        bucket.state.lock().unwrap().objects.insert(key.to_string(), (vec![1], Timestamp::now()));
    }
    bucket.state.lock().unwrap().objects.remove("of/tests/packs/note & more");
    assert_eq!(store.list(Kind::Pack).unwrap().len(), 10);
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
