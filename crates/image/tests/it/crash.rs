//! Death and errors of the system at every door, then what is there: the old state or the new, never half.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use openmesh_blueprint::document::{Content, File, Mode, Recipe};
use openmesh_blueprint::inventory::ImageState;
use openmesh_image::effect::{Effect, open};
use openmesh_image::recipe::{Kitchen, Mirror, RecipeError};
use openmesh_image::store::{LayerState, Store, StoreError};
use openmesh_primitives::Digest;

use crate::bench::{Baked, Pack, Room, helper, no_root, platform, quick_room};

/// Variable with the order for a process that is to die: `root|act|passage`.
const ORDER: &str = "OPENMESH_IMAGE_TEST_DEATH";
/// Exit of a process that died at its door.
const DIED: i32 = 86;

/// Things that are done to a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    Open,
    Refer,
    Lease,
    Unpack,
    Collect,
    Discard,
    DiscardLayer,
    Make,
}

const ACTS: [Act; 8] =
    [Act::Open, Act::Refer, Act::Lease, Act::Unpack, Act::Collect, Act::Discard, Act::DiscardLayer, Act::Make];

const NAME: &str = "example.org/web:1";

fn kept() -> Baked {
    Baked::of(&[Pack::new().folder("etc").file("etc/kept", "kept").done()])
}

fn other() -> Baked {
    Baked::of(&[Pack::new().folder("etc").file("etc/other", "other").done()])
}

fn recipe() -> Recipe {
    let file = File { content: Content::Text("one".into()), mode: Mode(0o644), owner: None };
    Recipe {
        base: None,
        debian: BTreeMap::new(),
        npm: BTreeMap::new(),
        pypi: BTreeMap::new(),
        files: BTreeMap::from([("/etc/a".parse().unwrap(), file)]),
        command: vec!["/bin/run".into()],
    }
}

fn kitchen() -> Kitchen {
    Kitchen { suite: "bookworm".into(), mirror: Mirror::Address("http://deb.debian.org/debian".into()) }
}

fn unpack(store: &Store, image: &Digest, effect: Effect<'_>) -> Result<(), StoreError> {
    store.unpack(&store.image(image)?, &helper(), effect, &|_, _| ())
}

/// A store with an image that somebody needs and one that nobody needs, in the state in which an act makes sense.
fn prepare(act: Act) -> Room {
    let room = quick_room();
    let store = &room.store;
    store.lease("web", &BTreeSet::from([kept().keep(store)]), &open).unwrap();
    let other = other().keep(store);
    unpack(store, &kept().digest(), &open).unwrap();
    if matches!(act, Act::Collect | Act::DiscardLayer) {
        store.refer(NAME, Some(other), &open).unwrap();
        unpack(store, &other, &open).unwrap();
    }
    if act == Act::Open {
        std::fs::remove_file(store.root().join("index.json")).unwrap();
        std::fs::create_dir_all(store.root().join("layers/building-x/root")).unwrap();
    }
    room
}

fn perform(store: &Store, act: Act, effect: Effect<'_>) -> Result<(), StoreError> {
    let other = other().digest();
    match act {
        Act::Open => Store::open(store.root(), platform(), effect).map(drop),
        Act::Refer => store.refer(NAME, Some(other), effect),
        Act::Lease => store.lease_also("web", other, effect),
        Act::Unpack => unpack(store, &other, effect),
        Act::Collect => store.collect(&store.collection()?, effect).map(drop),
        Act::Discard => store.discard(&other, effect),
        Act::DiscardLayer => store.discard_layer(&store.image(&other)?.config.diff_ids[0], effect),
        Act::Make => match store.make(&recipe(), &kitchen(), "maker", effect) {
            Ok(_) => Ok(()),
            Err(RecipeError::Store(error)) => Err(error),
            Err(RecipeError::Disk { path, cause }) => Err(StoreError::Io { path, doing: "making", cause }),
            Err(other) => panic!("{other}"),
        },
    }
}

#[test]
#[ignore = "it is started by other tests, and dies"]
fn the_process_that_dies() {
    let Ok(order) = std::env::var(ORDER) else { return };
    let parts: Vec<&str> = order.split('|').collect();
    let [root, act, passage] = parts[..] else { panic!("{order}") };
    let act = *ACTS.iter().find(|known| format!("{known:?}") == act).unwrap();
    let passage: usize = passage.parse().unwrap();
    let passed = AtomicUsize::new(0);
    let effect = |_: &str| {
        if passed.fetch_add(1, Ordering::Relaxed) == passage { std::process::exit(DIED) } else { Ok(()) }
    };
    if act == Act::Open {
        drop(Store::open(Path::new(root), platform(), &effect).unwrap());
        return;
    }
    let store = Store::open(Path::new(root), platform(), &open).unwrap();
    perform(&store, act, &effect).unwrap();
}

/// Lets a process die at a passage; returns true where it came to its end before.
fn die_at(root: &Path, act: Act, passage: usize) -> bool {
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["crash::the_process_that_dies", "--exact", "--ignored"]);
    let output = child.env(ORDER, format!("{}|{act:?}|{passage}", root.display())).output().unwrap();
    match output.status.code() {
        Some(DIED) => false,
        Some(0) => true,
        _ => panic!("{act:?} at {passage}: {}", String::from_utf8_lossy(&output.stdout)),
    }
}

/// Everything that has a name is whole, and what is needed is there, whatever was done.
fn check_old_or_new(store: &Store, act: Act, passage: usize) {
    let words = format!("{act:?} at {passage}");
    for entry in std::fs::read_dir(store.root().join("blobs/sha256")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        store.check(&name.parse().unwrap()).unwrap();
    }
    for entry in std::fs::read_dir(store.root().join("layers")).unwrap() {
        let layer: Digest = entry.unwrap().file_name().into_string().unwrap().parse().unwrap();
        assert_eq!(store.check_layer(&layer, true).unwrap(), LayerState::Whole, "{words}");
    }
    assert_eq!(store.state(&kept().digest()), Some(ImageState::Unpacked), "{words}");
    assert!(store.leases().unwrap()["web"].contains(&kept().digest()), "{words}");
    for image in store.references().unwrap().into_values() {
        assert!(act == Act::Discard || store.state(&image).is_some(), "{words}: a name that leads nowhere");
    }
    for image in store.built().unwrap().into_values() {
        assert_eq!(store.state(&image), Some(ImageState::Fetched), "{words}");
        assert!(store.leases().unwrap()["maker"].contains(&image), "{words}");
    }
}

/// The act is called again and must get to its end.
fn check_new(store: &Store, act: Act) {
    let other = other().digest();
    // Without a manifest there is no layer to name.
    if act != Act::DiscardLayer || store.state(&other) == Some(ImageState::Unpacked) {
        perform(store, act, &open).unwrap();
    }
    match act {
        Act::Open => assert!(store.references().unwrap().is_empty()),
        Act::Refer => assert_eq!(store.references().unwrap()[NAME], other),
        Act::Lease => assert!(store.leases().unwrap()["web"].contains(&other)),
        Act::Unpack => assert_eq!(store.state(&other), Some(ImageState::Unpacked)),
        Act::Collect => {
            assert!(store.references().unwrap().is_empty() && store.collection().unwrap().items.is_empty());
            let layers = std::fs::read_dir(store.root().join("layers")).unwrap();
            let names =
                layers.filter_map(|entry| entry.unwrap().file_name().into_string().unwrap().parse::<Digest>().ok());
            assert_eq!(names.count(), 1);
        }
        Act::Discard => assert!(matches!(store.check(&other), Err(StoreError::Missing(_)))),
        Act::DiscardLayer => assert_eq!(store.state(&other), Some(ImageState::Fetched)),
        Act::Make => {
            let built = store.built().unwrap();
            assert_eq!(built.len(), 1);
            assert!(store.make(&recipe(), &kitchen(), "maker", &open).unwrap().cached);
        }
    }
}

/// Closes the store and opens it as the next agent does.
fn again(room: Room) -> (tempfile::TempDir, Store) {
    let root = room.store.root().to_path_buf();
    drop(room.store);
    (room.folder, Store::open(&root, platform(), &open).unwrap())
}

#[test]
fn death_at_every_door_leaves_the_old_or_the_new() {
    if no_root() {
        return;
    }
    let mut deaths = 0;
    for act in ACTS {
        for passage in 0.. {
            let room = prepare(act);
            let root = room.store.root().to_path_buf();
            drop(room.store);
            let ended = die_at(&root, act, passage);
            let store = Store::open(&root, platform(), &open).unwrap();
            check_old_or_new(&store, act, passage);
            check_new(&store, act);
            if ended {
                assert!(passage >= 2, "{act:?} has its doors");
                break;
            }
            deaths += 1;
        }
    }
    println!("{deaths} deaths");
    assert!(deaths >= 60, "every act has its doors: {deaths}");
}

#[test]
fn errors_at_every_door_leave_the_old_or_the_new() {
    if no_root() {
        return;
    }
    let mut errors = 0;
    for act in ACTS {
        for passage in 0.. {
            let mut room = prepare(act);
            if act == Act::Open {
                // The one that is to fail has to be alone.
                let root = room.store.root().to_path_buf();
                room.store = Store::open(&room.path("elsewhere"), platform(), &open).unwrap();
                let passed = AtomicUsize::new(0);
                let opened = Store::open(&root, platform(), &|_: &str| fail_at(&passed, passage));
                let ended = opened.is_ok();
                drop(opened);
                check_old_or_new(&Store::open(&root, platform(), &open).unwrap(), act, passage);
                errors += usize::from(!ended);
                if ended {
                    break;
                }
                continue;
            }
            let passed = AtomicUsize::new(0);
            let result = perform(&room.store, act, &|_: &str| fail_at(&passed, passage));
            let ended = result.is_ok();
            if let Err(error) = result {
                assert!(matches!(&error, StoreError::Io { cause, .. } if cause.raw_os_error() == Some(28)), "{error}");
                errors += 1;
            }
            // Each second one is tried again at once; the others after a start.
            let (_folder, store) = if passage % 2 == 0 { (room.folder, room.store) } else { again(room) };
            if passage % 2 == 1 {
                check_old_or_new(&store, act, passage);
            }
            check_new(&store, act);
            if ended {
                break;
            }
        }
    }
    println!("{errors} errors");
}

fn fail_at(passed: &AtomicUsize, passage: usize) -> std::io::Result<()> {
    if passed.fetch_add(1, Ordering::Relaxed) == passage { Err(std::io::Error::from_raw_os_error(28)) } else { Ok(()) }
}
