//! Restores by several threads at once: what fails in one ends all, what is read back is the disk's, and the door sees every effect (B-44 to B-46, B-49).

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use openmesh_backup::{BackupError, Meter, Stage, Stages, Watch, open};

use crate::world::{World, back_up, describe, noise, objects, restore};

/// Name of the folder beside `target` that is filled.
const BESIDE: &str = ".target.restoring";

fn nothing_is_there(world: &World, place: &str) {
    assert!(!world.path("target").exists() && !world.path(BESIDE).exists(), "{place}");
}

/// A tree of some large files, whose chunks are in more parts than there are threads to read them back.
fn large_tree(world: &World, files: u64, bytes: usize) -> PathBuf {
    let tree = world.path("tree");
    fs::create_dir(&tree).unwrap();
    for number in 0..files {
        fs::write(tree.join(format!("file-{number}")), noise(number + 1, bytes)).unwrap();
    }
    tree
}

#[test]
fn a_damaged_pack_among_many_is_the_one_that_is_named_and_ends_all() {
    let world = World::new();
    let tree = large_tree(&world, 8, 300_000);
    let snapshot = world.back_up(&tree).snapshot;
    let packs: Vec<PathBuf> =
        objects(&world.store).into_iter().filter(|path| path.to_str().unwrap().contains("/packs/")).collect();
    assert!(packs.len() >= 8, "{}", packs.len());
    for pack in &packs {
        let good = fs::read(pack).unwrap();
        let mut bad = good.clone();
        bad[good.len() / 3] ^= 1;
        fs::remove_file(pack).unwrap();
        fs::write(pack, bad).unwrap();
        let name = pack.strip_prefix(world.store.root()).unwrap().to_str().unwrap();
        let failed = restore(&world.repository(), snapshot, &world.path("target"), &open).unwrap_err();
        assert!(matches!(&failed, BackupError::Damaged { object, .. } if object == name), "{name}: {failed}");
        nothing_is_there(&world, name);
        fs::write(pack, good).unwrap();
    }
    assert_eq!(world.restored(snapshot), describe(&tree));
}

/// Changes a byte of a file, and leaves its time as it was.
fn spoil(path: &Path, place: u64) -> std::io::Result<()> {
    let file = OpenOptions::new().read(true).write(true).open(path)?;
    let time = file.metadata()?.modified()?;
    let mut byte = [0];
    file.read_exact_at(&mut byte, place)?;
    file.write_all_at(&[byte[0] ^ 1], place)?;
    file.set_modified(time)
}

#[test]
fn a_byte_that_the_disk_changed_is_found_in_whatever_part_it_is() {
    const BYTES: usize = 5 << 20;
    let world = World::new();
    let tree = large_tree(&world, 3, BYTES);
    let sparse = File::create(tree.join("sparse")).unwrap();
    sparse.write_all_at(&noise(9, 5000), 3 << 20).unwrap();
    sparse.set_len(6 << 20).unwrap();
    let snapshot = world.back_up(&tree).snapshot;
    let last = BYTES as u64 - 1;
    let places =
        [("file-0", 0), ("file-1", last / 2), ("file-2", last), ("sparse", 1 << 20), ("sparse", (3 << 20) + 9)];
    for (name, place) in places {
        let door = |effect: &str| match effect {
            "sync" => spoil(&world.path(BESIDE).join(name), place),
            _ => Ok(()),
        };
        let failed = restore(&world.repository(), snapshot, &world.path("target"), &door).unwrap_err();
        let is_named = matches!(
            &failed,
            BackupError::Differs { path, what } if path == Path::new(name) && what == "its content is another"
        );
        assert!(is_named, "{name} at {place}: {failed}");
        nothing_is_there(&world, name);
    }
    assert_eq!(world.restored(snapshot), describe(&tree));
}

#[test]
fn a_length_or_a_mode_that_changed_is_found() {
    let world = World::new();
    let tree = world.small_tree("tree", 61);
    fs::write(tree.join("large"), noise(62, 900_000)).unwrap();
    let snapshot = world.back_up(&tree).snapshot;
    type Change = fn(&Path) -> std::io::Result<()>;
    let changes: [(&str, Change); 3] = [
        ("large", |path| {
            let file = OpenOptions::new().write(true).open(path)?;
            let time = file.metadata()?.modified()?;
            file.set_len(899_999)?;
            file.set_modified(time)
        }),
        ("marked", |path| fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o640))),
        ("sparse", |path| fs::remove_file(path)),
    ];
    for (name, change) in changes {
        let door = |effect: &str| if effect == "sync" { change(&world.path(BESIDE).join(name)) } else { Ok(()) };
        let failed = restore(&world.repository(), snapshot, &world.path("target"), &door).unwrap_err();
        assert!(failed.to_string().contains(name) || name == "sparse", "{name}: {failed}");
        nothing_is_there(&world, name);
    }
    assert_eq!(world.restored(snapshot), describe(&tree));
}

/// A watch that stops an act once a stage was told so many times.
#[derive(Debug)]
struct Stops {
    stage: Stage,
    after: u64,
    told: AtomicU64,
    meter: Arc<Meter>,
}

impl Watch for Stops {
    fn note(&self, stage: Stage, _took: Duration, _bytes: u64) {
        if stage == self.stage && self.told.fetch_add(1, Ordering::SeqCst) + 1 == self.after {
            self.meter.stop();
        }
    }
}

#[test]
fn an_act_that_is_stopped_in_the_middle_of_a_stage_ends_there() {
    let world = World::new();
    // Of chunks of at most 2 MiB: more than all threads have in their hands after the third.
    let tree = large_tree(&world, 6, 4 << 20);
    let snapshot = world.back_up(&tree).snapshot;
    for stage in [Stage::ReadPack, Stage::Write, Stage::ReadBack] {
        let meter = Arc::new(Meter::new());
        let watch = Stops { stage, after: 3, told: AtomicU64::new(0), meter: meter.clone() };
        let repository = world.repository().metered(meter.clone()).watched(Arc::new(watch));
        let stopped = restore(&repository, snapshot, &world.path("target"), &open);
        assert!(matches!(stopped, Err(BackupError::Cancelled)) && meter.is_stopped(), "{stage:?}: {stopped:?}");
        nothing_is_there(&world, stage.word());
    }
    assert_eq!(world.restored(snapshot), describe(&tree));
}

#[test]
fn files_that_share_chunks_come_back_whatever_the_order_of_packs() {
    let world = World::new();
    let tree = world.path("tree");
    fs::create_dir(&tree).unwrap();
    let blocks: Vec<Vec<u8>> = (0..4).map(|seed| noise(70 + seed, 700_000)).collect();
    let orders = [[0, 1, 2, 3], [3, 2, 1, 0], [2, 2, 2, 2], [1, 0, 1, 0]];
    for (number, order) in orders.iter().enumerate() {
        let content: Vec<u8> = order.iter().flat_map(|block: &usize| blocks[*block].clone()).collect();
        fs::write(tree.join(format!("file-{number}")), content).unwrap();
    }
    let snapshot = world.back_up(&tree).snapshot;
    for _ in 0..3 {
        assert_eq!(world.restored(snapshot), describe(&tree));
    }
}

#[test]
fn the_door_sees_every_effect_before_and_after_it_and_in_the_order_of_an_act() {
    let world = World::new();
    let tree = large_tree(&world, 6, 300_000);
    let names = RefCell::new(Vec::new());
    let door = |name: &str| {
        names.borrow_mut().push(name.to_string());
        Ok(())
    };
    let all_are_done = |names: &[String]| {
        let mut open: BTreeMap<&str, i64> = BTreeMap::new();
        for name in names {
            let (word, step) = name.strip_suffix(" done").map_or((name.as_str(), 1), |word| (word, -1));
            let count = open.entry(word).or_default();
            *count += step;
            assert!(*count >= 0, "{names:?}");
        }
        assert!(open.values().all(|count| *count == 0), "{names:?}");
    };
    let place = |names: &[String], word: &str| names.iter().position(|name| name == word).unwrap();
    let last = |names: &[String], word: &str| names.iter().rposition(|name| name == word).unwrap();
    let snapshot = back_up(&world.repository(), &tree, "writer", &door).unwrap().snapshot;
    let seen = names.take();
    all_are_done(&seen);
    assert!(last(&seen, "put pack done") < place(&seen, "put index"), "{seen:?}");
    assert!(place(&seen, "put index done") < place(&seen, "put snapshot"), "{seen:?}");
    restore(&world.repository(), snapshot, &world.path("target"), &door).unwrap();
    let seen = names.take();
    all_are_done(&seen);
    assert!(seen.iter().filter(|name| *name == "write contents").count() >= 6, "{seen:?}");
    assert!(last(&seen, "write contents done") < place(&seen, "give attributes"), "{seen:?}");
    assert!(place(&seen, "sync done") < place(&seen, "place"), "{seen:?}");
}

#[test]
fn stages_are_told_with_their_bytes() {
    let world = World::new();
    let tree = large_tree(&world, 4, 700_000);
    let stages = Arc::new(Stages::default());
    let repository = world.repository().watched(stages.clone());
    let report = back_up(&repository, &tree, "writer", &open).unwrap();
    let bytes = |stage: Stage| stages.spent(stage).bytes;
    assert_eq!((bytes(Stage::ReadTree), bytes(Stage::Cut)), (report.bytes, report.bytes));
    assert_eq!((bytes(Stage::StorePack), bytes(Stage::FinishPack)), (report.stored_bytes, report.stored_bytes));
    assert_eq!(stages.spent(Stage::Identify).times, report.chunks);
    assert_eq!((bytes(Stage::Write), bytes(Stage::ReadBack)), (0, 0));
    restore(&repository, report.snapshot, &world.path("target"), &open).unwrap();
    assert_eq!((bytes(Stage::Write), bytes(Stage::ReadBack)), (report.bytes, report.bytes));
    assert_eq!((bytes(Stage::CheckPack), bytes(Stage::CheckBack)), (bytes(Stage::ReadPack), report.bytes));
    for stage in [Stage::Open, Stage::Attributes, Stage::Sync] {
        assert!(stages.spent(stage).times > 0, "{stage:?}");
    }
    assert_eq!(stages.spent(Stage::SyncAhead).times, 0, "little is written");
}

#[test]
fn what_is_written_goes_to_the_disk_meanwhile() {
    let world = World::new();
    let tree = world.path("tree");
    fs::create_dir(&tree).unwrap();
    // One chunk in many places: little is stored, and more is written than waits for the last sync.
    fs::write(tree.join("zeros"), vec![0; 70 << 20]).unwrap();
    let stages = Arc::new(Stages::default());
    let snapshot = world.back_up(&tree).snapshot;
    let repository = world.repository().watched(stages.clone());
    restore(&repository, snapshot, &world.path("target"), &open).unwrap();
    assert_eq!(stages.spent(Stage::SyncAhead).times, 1);
    assert_eq!(stages.spent(Stage::Write).bytes, 70 << 20);
    assert_eq!(describe(&world.path("target")), describe(&tree));
}
