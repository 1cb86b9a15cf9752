//! Death of either side at each object (B-81): whatever was visible is whole, the next backup is whole, and nothing is left behind.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use openmesh_backup::{BackupError, Data, Door, Identity, Kind, Peer, Repository, Store as _, open};
use openmesh_lender::effects::Effects;
use openmesh_primitives::{SplitMix64, Timestamp};

use crate::stage::{Stage, files, guest_at, until};
use crate::world::{NOW, PACK_BYTES, World, back_up, describe, noise, restore};

/// Variable with the order for a process that is to die: `folder|address|effect|turn`.
const ORDER: &str = "OPENMESH_LENDER_TEST_DEATH";

/// A folder with a key, a tree, and room for a lender.
fn prepare() -> World {
    let world = World::new();
    fs::write(world.path("key"), world.owner.secret_text()).unwrap();
    let tree = world.small_tree("tree", 1);
    fs::write(tree.join("large"), noise(50, 300_000)).unwrap();
    world
}

fn owner(folder: &Path) -> Identity {
    fs::read_to_string(folder.join("key")).unwrap().parse().unwrap()
}

fn opened<'p>(peer: &'p Peer, folder: &Path) -> Result<Repository<'p>, BackupError> {
    Ok(Repository::open(peer, &[owner(folder)], None)?.ending_packs_at(PACK_BYTES))
}

/// Makes a repository, backs up twice, forgets the first backup, and takes away what nobody needs: every kind of object is put and removed.
fn act(peer: &Peer, folder: &Path, door: Door<'_>) -> Result<(), BackupError> {
    match Repository::create(peer, &[owner(folder).recipient()], door) {
        Ok(_) | Err(BackupError::Exists { .. }) => {}
        Err(error) => return Err(error),
    }
    let repository = opened(peer, folder)?;
    let first = back_up(&repository, &folder.join("tree"), "writer", door)?.snapshot;
    fs::write(folder.join("tree/large"), noise(51, 300_000)).unwrap();
    back_up(&repository, &folder.join("tree"), "writer", door)?;
    repository.forget([first], door)?;
    repository.mark(NOW, door)?;
    repository.sweep(Timestamp(NOW.nanos() + 1), 0, door).map(drop)
}

/// Holds what a death left against the rule, and goes on.
fn check(stage: &Stage, world: &World, place: &str) {
    let folder = world.folder.path();
    let peer = stage.peer(1);
    // A repository whose making broke off is made.
    match Repository::create(&peer, &[owner(folder).recipient()], &open) {
        Ok(_) | Err(BackupError::Exists { .. }) => {}
        Err(error) => panic!("{place}: {error}"),
    }
    let repository = opened(&peer, folder).unwrap();
    let whole = |place: &str| {
        let checked = repository.check(Data::All).unwrap();
        assert!(checked.findings.is_empty() && checked.broken.is_empty(), "{place}: {checked:?}");
    };
    whole(place);
    let restored = |snapshot, place: &str| {
        let target = world.path("target");
        restore(&repository, snapshot, &target, &open).unwrap_or_else(|error| panic!("{place}: {error}"));
        let found = describe(&target);
        fs::remove_dir_all(&target).unwrap();
        found
    };
    for snapshot in repository.snapshots().unwrap().found.into_keys() {
        restored(snapshot, place);
    }
    let report = back_up(&repository, &folder.join("tree"), "writer", &open).unwrap();
    assert_eq!(restored(report.snapshot, place), describe(&folder.join("tree")), "{place}: the next backup is whole");
    repository.mark(NOW, &open).unwrap();
    for _ in 0..2 {
        repository.sweep(Timestamp(NOW.nanos() + 1), 0, &open).unwrap();
    }
    assert_eq!(repository.mark(NOW, &open).unwrap().packs, 0, "{place}: what nobody needs is gone");
    whole(place);
    for kind in [Kind::Mark, Kind::Session] {
        assert!(peer.list(kind).unwrap().is_empty(), "{place}: {kind:?}");
    }
    let begun = || files(&folder.join("guests")).iter().any(|path| path.parent().is_some_and(|at| at.ends_with("tmp")));
    assert!(!begun(), "{place}: nothing is left that was being written");
    let account = stage.house.reports();
    let again = Stage::free(folder);
    assert_eq!(again.house.reports()["ann"].used_bytes, account["ann"].used_bytes, "{place}: counted anew");
}

/// Effects and their turns at which somebody dies: one turn of each, chosen by a seed, and most of them where all are asked for. Packs differ from run to run,
/// so that the last turns may not come.
fn chosen(names: &[String]) -> Vec<(String, usize)> {
    let mut counts: BTreeMap<&String, usize> = BTreeMap::new();
    for name in names {
        *counts.entry(name).or_default() += 1;
    }
    let (all, mut numbers) = (std::env::var_os("OPENMESH_DOORS").is_some(), SplitMix64::new(9));
    let turns = |(name, count): (&String, usize)| -> Vec<(String, usize)> {
        let most = (count / 2).max(1);
        let turns = if all { (0..most).collect() } else { vec![numbers.index(most)] };
        turns.into_iter().map(|turn| (name.clone(), turn)).collect()
    };
    counts.into_iter().flat_map(turns).collect()
}

/// A process of this program that runs one of its tests, and ends with this value.
struct Dying(Child);

impl Dying {
    fn start(test: &str, order: String) -> Dying {
        let mut child = Command::new(std::env::current_exe().unwrap());
        let test = format!("crash::{test}");
        child.args([test.as_str(), "--exact", "--ignored", "--nocapture"]).env(ORDER, order);
        Dying(child.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap())
    }

    /// Signal that has ended it.
    fn signal(&mut self) -> Option<i32> {
        self.0.wait().unwrap().signal()
    }
}

impl Drop for Dying {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The order of this process: folder, address, effect, and the turn of it at which it dies.
fn order() -> Option<(String, String, String, usize)> {
    let order = std::env::var(ORDER).ok()?;
    let mut parts = order.split('|').map(str::to_string);
    Some((parts.next()?, parts.next()?, parts.next()?, parts.next()?.parse().ok()?))
}

fn die() {
    rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL).unwrap();
}

#[test]
fn the_lender_dies_at_each_object() {
    let names: Arc<Mutex<Vec<String>>> = Arc::default();
    let noted = names.clone();
    let effects: Effects = Arc::new(move |name: &str| {
        noted.lock().unwrap().push(name.to_string());
        Ok(())
    });
    let world = prepare();
    act(&Stage::at(world.folder.path(), effects).peer(1), world.folder.path(), &open).unwrap();
    let names = names.lock().unwrap().clone();
    let (mut deaths, seen) = (0, names.iter().collect::<BTreeSet<_>>());
    for name in ["place object", "place object done", "withhold object", "withhold object done", "remove object"] {
        assert!(seen.contains(&name.to_string()), "{name}: {seen:?}");
    }
    for (name, turn) in chosen(&names) {
        let world = prepare();
        let folder = world.folder.path();
        let mut lender = Dying::start("the_lender_that_dies", format!("{}||{name}|{turn}", folder.display()));
        let mut lines = BufReader::new(lender.0.stdout.take().unwrap()).lines().map_while(Result::ok);
        let address = lines.find_map(|line| line.rsplit_once("listens at ")?.1.parse::<SocketAddr>().ok()).unwrap();
        let failed = act(&guest_at(address, 1), folder, &open);
        assert!(failed.is_err(), "{name}, turn {turn}: the guest hears of it");
        assert_eq!(lender.signal(), Some(9), "{name}");
        check(&Stage::free(folder), &world, &format!("the lender at \"{name}\", turn {turn}"));
        deaths += 1;
    }
    eprintln!("{deaths} deaths");
    assert!(deaths >= 10, "each effect has its deaths: {deaths}");
}

#[test]
#[ignore = "it is started by another test, and dies"]
fn the_lender_that_dies() {
    let Some((folder, _, last, turn)) = order() else { return };
    let count = AtomicUsize::new(0);
    let effects: Effects = Arc::new(move |name: &str| {
        if name == last && count.fetch_add(1, Ordering::SeqCst) == turn {
            die();
        }
        Ok(())
    });
    let stage = Stage::at(Path::new(&folder), effects);
    println!("listens at {}", stage.address);
    loop {
        std::thread::park();
    }
}

#[test]
fn the_guest_dies_at_each_object() {
    let (world, names) = (prepare(), RefCell::new(Vec::new()));
    let door = |name: &str| {
        names.borrow_mut().push(name.to_string());
        Ok(())
    };
    act(&Stage::free(world.folder.path()).peer(1), world.folder.path(), &door).unwrap();
    let (names, mut deaths) = (names.into_inner(), 0);
    for (name, turn) in chosen(&names) {
        let world = prepare();
        let folder = world.folder.path();
        let stage = Stage::free(folder);
        let order = format!("{}|{}|{name}|{turn}", folder.display(), stage.address);
        assert_eq!(Dying::start("the_guest_that_dies", order).signal(), Some(9), "{name}, turn {turn}");
        until("its connections end", || stage.house.reports()["ann"].connections == 0);
        check(&stage, &world, &format!("the guest at \"{name}\", turn {turn}"));
        deaths += 1;
    }
    eprintln!("{deaths} deaths");
    assert!(deaths >= 10, "each act has its deaths: {deaths}");
}

#[test]
#[ignore = "it is started by another test, and dies"]
fn the_guest_that_dies() {
    let Some((folder, address, last, turn)) = order() else { return };
    let count = Cell::new(0);
    let door = |name: &str| {
        if name == last {
            if count.get() == turn {
                die();
            }
            count.set(count.get() + 1);
        }
        Ok(())
    };
    act(&guest_at(address.parse().unwrap(), 1), Path::new(&folder), &door).unwrap();
}
