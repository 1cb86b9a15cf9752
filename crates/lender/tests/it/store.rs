//! The room of another Xnode as a store: as every other, with its terms, its room and its withheld objects (B-10, B-74 to B-79).

use std::fs;
use std::time::Duration;

use openmesh_backup::peer::line::Patience;
use openmesh_backup::{
    BackupError, Folder, Id, Identity, Kind, Name, Refusal, Repository, Room, Store as _, StoreError, open,
};
use openmesh_lender::effects::free;
use openmesh_lender::loans::{BringBack, Loan, Standing};
use openmesh_primitives::Timestamp;

use crate::conformance::{self, object};
use crate::stage::{Stage, files, loan, until};
use crate::world::{PACK_BYTES, World, back_up, describe, noise, restore};

fn refusal(error: StoreError) -> Refusal {
    match error {
        StoreError::Refused { refusal, .. } => refusal,
        other => panic!("{other}"),
    }
}

#[test]
fn the_room_of_a_lender_is_a_store_as_every_other() {
    let folder = tempfile::tempdir().unwrap();
    let stage = Stage::free(folder.path());
    stage.lend(&[("ann", loan(&[1])), ("bob", loan(&[2]))]);
    conformance::objects(&stage.peer(1));
    conformance::life(&stage.peer(2));
}

#[test]
fn lists_go_on_over_many_pages() {
    let folder = tempfile::tempdir().unwrap();
    let stage = Stage::free(folder.path());
    let peer = stage.peer(1);
    // More than a page has, written as another process would.
    let objects = folder.path().join("guests/ann/objects");
    let mut ids: Vec<Id> = (0..9_000_u32).map(|number| Id::of(&number.to_le_bytes())).collect();
    ids.sort();
    for id in &ids {
        let path = objects.join(Name::Object(Kind::Pack, *id).to_string());
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "x").unwrap();
        fs::write(objects.join(Name::Object(Kind::Index, *id).to_string()), "x").unwrap();
    }
    for kind in [Kind::Pack, Kind::Index] {
        let listed: Vec<Id> = peer.list(kind).unwrap().into_iter().map(|listed| listed.id).collect();
        assert_eq!(listed, ids, "{kind:?}");
    }
}

#[test]
fn room_that_is_lent_has_an_end_and_an_error_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let stage = Stage::free(folder.path());
    stage.lend(&[("ann", Loan { room_bytes: 100 << 10, ..loan(&[1]) })]);
    let peer = stage.peer(1);
    let (one, two) = (noise(1, 60 << 10), noise(2, 60 << 10));
    assert!(peer.put_new(object(&one), &one).unwrap());
    let room = refusal(peer.put_new(object(&two), &two).unwrap_err());
    let (room_bytes, used_bytes, wanted_bytes) = (100 << 10, 60 << 10, 60 << 10);
    assert_eq!(room, Refusal::Room { room_bytes, used_bytes, held_bytes: 0, wanted_bytes });
    assert!(room.to_string().contains("102400"), "{room}");
    // What is removed is withheld, and takes its room; the same object is there already.
    assert!(peer.delete(object(&one)).unwrap());
    assert!(matches!(refusal(peer.put_new(object(&two), &two).unwrap_err()), Refusal::Room { held_bytes: 61_440, .. }));
    let terms = peer.terms().unwrap();
    assert_eq!((terms.used_bytes, terms.held_bytes, terms.left_bytes(), terms.held_days), (0, 61_440, 40_960, 14));
    let room = Room { all_bytes: 102_400, used_bytes: 61_440, until: None };
    assert_eq!(peer.room().unwrap(), Some(room));
    // More room, and it goes on.
    stage.lend(&[("ann", loan(&[1]))]);
    assert!(peer.put_new(object(&two), &two).unwrap());
    assert_eq!(peer.stat(object(&two)).unwrap().map(|about| about.bytes), Some(60 << 10));
    // A repository says the cause.
    stage.lend(&[("ann", Loan { room_bytes: 0, ..loan(&[1]) })]);
    let owner = Identity::generate().unwrap();
    let refused = Repository::create(&peer, &[owner.recipient()], &open).unwrap_err();
    assert!(matches!(refused, BackupError::Store(StoreError::Refused { refusal: Refusal::Room { .. }, .. })));
}

#[test]
fn a_loan_ends_by_date_and_by_a_person_and_what_is_there_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let stage = Stage::free(folder.path());
    let peer = stage.peer(1);
    let (one, two) = (noise(1, 100), noise(2, 100));
    peer.put_new(object(&one), &one).unwrap();
    stage.lend(&[("ann", Loan { until: Some(Timestamp(1)), ..loan(&[1]) })]);
    assert_eq!(refusal(peer.put_new(object(&two), &two).unwrap_err()), Refusal::Over);
    assert_eq!(peer.read(object(&one), 0, 999).unwrap(), one);
    assert!(peer.delete(object(&one)).unwrap(), "it still tidies");
    stage.lend(&[("ann", Loan { standing: Standing::Ended, ..loan(&[1]) })]);
    assert_eq!(refusal(peer.delete(object(&one)).unwrap_err()), Refusal::Over);
    stage.lend(&[("ann", Loan { standing: Standing::Ended, bring_back: order(1, 1), ..loan(&[1]) })]);
    stage.house.tend();
    assert_eq!(peer.read(object(&one), 0, 999).unwrap(), one);
    // A person wants it gone.
    stage.lend(&[("ann", Loan { standing: Standing::Forgotten, ..loan(&[1]) })]);
    assert_eq!(refusal(peer.read(object(&one), 0, 999).unwrap_err()), Refusal::Stranger);
    stage.house.tend();
    assert!(!folder.path().join("guests/ann").exists() && stage.house.reports()["ann"].forgotten);
}

fn order(number: u64, days: u32) -> Option<BringBack> {
    Some(BringBack { number, days })
}

/// Whoever has stolen the guest's machine with all of its keys removes everything that it can: the lender's owner brings it back, and it is whole (B-77).
#[test]
fn what_a_thief_removes_comes_back_whole() {
    let folder = tempfile::tempdir().unwrap();
    let stage = Stage::free(folder.path());
    let (world, peer) = (World::new(), stage.peer(1));
    let tree = world.small_tree("tree", 5);
    fs::write(tree.join("large"), noise(6, 700_000)).unwrap();
    let owner = Identity::generate().unwrap();
    Repository::create(&peer, &[owner.recipient()], &open).unwrap();
    let snapshot = {
        let repository = Repository::open(&peer, std::slice::from_ref(&owner), None).unwrap();
        back_up(&repository.ending_packs_at(PACK_BYTES), &tree, "writer", &open).unwrap().snapshot
    };
    for kind in Kind::ALL {
        for listed in peer.list(kind).unwrap() {
            assert!(peer.delete(Name::Object(kind, listed.id)).unwrap());
        }
    }
    assert_eq!(refusal(peer.delete(Name::Format).unwrap_err()), Refusal::Protected);
    // Nothing of it is seen any more, and all of it is there.
    assert!(peer.list(Kind::Pack).unwrap().is_empty() && stage.taken("ann").1 > 700_000);
    let planted = noise(7, 100);
    peer.put_new(object(&planted), &planted).unwrap();
    stage.lend(&[("ann", Loan { bring_back: order(1, 1), ..loan(&[1]) })]);
    until("it is brought back", || {
        stage.house.tend();
        stage.house.reports()["ann"].brought == 1
    });
    assert_eq!(stage.taken("ann").1, 0);
    let repository = Repository::open(&peer, &[owner], None).unwrap();
    let target = world.path("target");
    restore(&repository, snapshot, &target, &open).unwrap();
    assert_eq!(describe(&target), describe(&tree));
}

/// The layout is that of a folder: a disk that is carried away is a place of its own.
#[test]
fn a_disk_with_lent_objects_is_a_folder_with_a_repository() {
    let folder = tempfile::tempdir().unwrap();
    let (world, owner) = (World::new(), Identity::generate().unwrap());
    let tree = world.small_tree("tree", 9);
    let snapshot = {
        let stage = Stage::free(folder.path());
        let peer = stage.peer(1);
        Repository::create(&peer, &[owner.recipient()], &open).unwrap();
        let repository = Repository::open(&peer, std::slice::from_ref(&owner), None).unwrap();
        back_up(&repository, &tree, "writer", &open).unwrap().snapshot
    };
    let store = Folder::open(folder.path().join("guests/ann/objects")).unwrap();
    let target = world.path("target");
    restore(&Repository::open(&store, &[owner], None).unwrap(), snapshot, &target, &open).unwrap();
    assert_eq!(describe(&target), describe(&tree));
    // Nothing of the tree lies open.
    let open_text = b"one file with two names";
    let lies_open =
        |path: &std::path::PathBuf| fs::read(path).unwrap().windows(open_text.len()).any(|at| at == open_text);
    assert!(!files(folder.path()).iter().any(lies_open));
}

#[test]
fn a_lender_that_starts_anew_has_the_same_objects_and_account() {
    let folder = tempfile::tempdir().unwrap();
    let content = noise(3, 100_000);
    let taken = {
        let stage = Stage::free(folder.path());
        let peer = stage.peer(1);
        assert!(peer.put_new(object(&content), &content).unwrap());
        peer.put_new(object(b"removed"), b"removed").unwrap();
        peer.delete(object(b"removed")).unwrap();
        stage.taken("ann")
    };
    let stage = Stage::free(folder.path());
    assert_eq!(stage.taken("ann"), taken, "counted anew it is the same");
    assert!(!stage.peer(1).put_new(object(&content), &content).unwrap());
}

#[test]
fn a_line_that_ended_while_it_rested_counts_as_no_try() {
    let folder = tempfile::tempdir().unwrap();
    // Long enough for a line that is in use, also on a machine that is busy with other tests.
    let stall = Duration::from_secs(2);
    let stage = Stage::patient(folder.path(), free(), Patience { greeting: Duration::from_secs(10), stall });
    let peer = stage.peer(1);
    peer.put_new(object(b"a"), b"a").unwrap();
    until("the line ends", || stage.house.reports()["ann"].connections == 0);
    assert_eq!(peer.read(object(b"a"), 0, 9).unwrap(), b"a");
}
