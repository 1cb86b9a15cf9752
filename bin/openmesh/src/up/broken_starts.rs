//! Broken starts: whatever state a folder is in, the preparation of a network loses no key and nothing that a person wrote.
//!
//! Each case takes a whole network, breaks it in one way, prepares a start, and looks at every file again. Nothing is
//! started here: what is started reads these files and writes none of them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use clap::Parser as _;

use super::home::{Home, NodeHome};
use super::market::Market;
use super::{catalogue, network, settings};
use crate::cli::{Cli, Command, UpArgs};
use crate::failure::Failure;

/// Files that a start may make again: they hold nothing of a person's and no key.
const GENERATED: [&str; 3] = ["run.toml", "supervisor.json", "lock"];
/// The person's settings in each home of the test.
const SETTINGS: &str = "# mine\npublic_hosts = [\"studio.example\"]\n";

fn arguments(home: &Path, more: &[&str]) -> UpArgs {
    let home = home.to_str().unwrap();
    let port: &[&str] = if more.contains(&"--port") { &[] } else { &["--port", "0"] };
    let all = [&["openmesh", "up", "--simulate", "--home", home], port, more].concat();
    match Cli::parse_from(all).command {
        Command::Up(arguments) => arguments,
        _ => unreachable!("up was asked for"),
    }
}

/// Does what `openmesh up` does to a folder before and between the starts of its processes.
fn prepare(base: &Path, more: &[&str]) -> Result<(), Failure> {
    let (arguments, market) = (arguments(base, more), Market::Simulated);
    let count = arguments.validators as usize;
    let home = Home::open(&arguments, &market)?;
    let nodes: Vec<NodeHome> = (0..count).map(|number| NodeHome::of(home.root(), number)).collect();
    let found = network::inspect(home.root(), count)?;
    if let Some(genesis) = &found {
        network::check_window(home.root(), genesis, arguments.window)?;
    }
    settings::check(&nodes)?;
    let genesis = match found {
        Some(genesis) => genesis,
        None => network::create(home.root(), count, &market, &catalogue::live(), arguments.window)?,
    };
    let genesis = network::inspect(home.root(), count)?.unwrap_or(genesis);
    let gateway = Some("http://127.0.0.1:1");
    let wanted = settings::Wanted { arguments: &arguments, market: &market, gateway, genesis: &genesis, face: None };
    settings::write(&wanted, &nodes, &BTreeSet::new())
}

/// Every file below a folder with its bytes; links as what they point to.
fn files(root: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            let (path, kind) = (entry.path(), entry.file_type().unwrap());
            if kind.is_dir() {
                folders.push(path);
            } else if kind.is_symlink() {
                found.insert(path.clone(), std::fs::read_link(&path).unwrap().into_os_string().into_encoded_bytes());
            } else {
                // As the superuser reads it; without that, an unreadable file is compared by its length.
                let bytes = std::fs::read(&path).unwrap_or_else(|_| entry.metadata().unwrap().len().to_string().into());
                found.insert(path, bytes);
            }
        }
    }
    found
}

/// A way to break a file.
type Break = fn(&Path);

const BREAKS: [(&str, Break); 12] = [
    ("missing", |path| remove(path)),
    ("empty", |path| std::fs::write(path, "").unwrap()),
    ("half of it", |path| {
        let bytes = std::fs::read(path).unwrap_or_default();
        std::fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
    }),
    ("all but its last ten bytes", |path| {
        let bytes = std::fs::read(path).unwrap_or_default();
        std::fs::write(path, &bytes[..bytes.len().saturating_sub(10)]).unwrap();
    }),
    ("garbage", |path| std::fs::write(path, [0xff, 0, 0x80, 7, 0xfe]).unwrap()),
    ("zeros, as a crash leaves them", |path| {
        let length = std::fs::metadata(path).unwrap().len() as usize;
        std::fs::write(path, vec![0; length]).unwrap();
    }),
    ("other text", |path| std::fs::write(path, "I was here = {\n").unwrap()),
    ("something behind it", |path| {
        let bytes = std::fs::read(path).unwrap_or_default();
        std::fs::write(path, [bytes.as_slice(), b"\n}]= extra"].concat()).unwrap();
    }),
    ("a folder in its place", |path| {
        remove(path);
        std::fs::create_dir(path).unwrap();
    }),
    ("a link to nowhere", |path| {
        remove(path);
        symlink("/nowhere/at/all", path).unwrap();
    }),
    ("unreadable", |path| std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o000)).unwrap()),
    ("with a half-written draft beside it", |path| {
        std::fs::write(path.with_added_extension("new"), "half").unwrap();
    }),
];

fn remove(path: &Path) {
    match path.is_dir() {
        true => std::fs::remove_dir_all(path).unwrap(),
        false => std::fs::remove_file(path).unwrap(),
    }
}

/// Files that are broken, and whether a start can do without a good one.
const VICTIMS: [(&str, bool); 8] = [
    ("genesis.json", false),
    ("validator-1/validator.key", false),
    ("validator-3/genesis.json", false),
    ("validator-2/node.toml", false),
    ("validator-2/run.toml", true),
    ("faucet.key", true),
    ("supervisor.json", true),
    ("lock", true),
];

struct Case {
    _dir: tempfile::TempDir,
    base: PathBuf,
    root: PathBuf,
}

/// A network that has been started before, with a person's settings in each home.
fn network() -> Case {
    let dir = tempfile::tempdir().unwrap();
    let base = dir.path().join("home");
    prepare(&base, &[]).unwrap();
    let root = base.join("simulated");
    for number in 0..4 {
        let home = NodeHome::of(&root, number);
        std::fs::write(home.files().config(), SETTINGS).unwrap();
        std::fs::create_dir_all(home.dir.join("data/ledger")).unwrap();
        std::fs::write(home.dir.join("data/ledger/ledger.redb"), [7; 64]).unwrap();
    }
    std::fs::write(root.join("supervisor.json"), "{}").unwrap();
    Case { _dir: dir, base, root }
}

/// Prepares a start and asserts that nothing which was there is gone or changed.
fn start(case: &Case, name: &str, more: &[&str]) -> Result<(), Failure> {
    let before = files(&case.root);
    let outcome = prepare(&case.base, more);
    let after = files(&case.root);
    for (path, bytes) in &before {
        let generated = GENERATED.iter().any(|name| path.ends_with(name) || path.ends_with(format!("{name}.new")));
        if !generated {
            assert_eq!(after.get(path), Some(bytes), "{name}: {} was changed", path.display());
        }
    }
    for path in after.keys().filter(|path| !before.contains_key(*path)) {
        assert!(path.extension() != Some("key".as_ref()), "{name}: {} was made", path.display());
    }
    if let Err(failure) = &outcome {
        assert!(
            failure.message().contains('/') || failure.message().contains("port"),
            "{name}: {failure:?} names no file"
        );
    }
    outcome
}

#[test]
fn nothing_is_lost_however_a_file_is_broken() {
    let mut cases = 0;
    for (victim, is_expendable) in VICTIMS {
        for (how, break_it) in BREAKS {
            let case = network();
            break_it(&case.root.join(victim));
            let name = format!("{victim}: {how}");
            let outcome = start(&case, &name, &[]);
            // A copy and settings that are missing are made, an empty or whole file of settings is one.
            let is_good = match (victim, how) {
                (_, "with a half-written draft beside it") => true,
                ("validator-3/genesis.json", "missing") => true,
                ("validator-2/node.toml", "missing" | "empty") => true,
                (_, "unreadable") => rustix::process::geteuid().is_root() || (is_expendable && victim != "lock"),
                ("lock" | "validator-2/run.toml", "a folder in its place") => false,
                ("lock", "a link to nowhere") => false,
                _ => is_expendable,
            };
            assert_eq!(outcome.is_ok(), is_good, "{name}: {outcome:?}");
            cases += 1;
        }
    }
    assert_eq!(cases, VICTIMS.len() * BREAKS.len());
}

/// Several parts at once, as a half-restored backup or a full disk leaves them.
#[test]
fn nothing_is_lost_where_parts_of_a_network_are_missing() {
    let gone = |parts: &[&str]| {
        let case = network();
        parts.iter().for_each(|part| remove(&case.root.join(part)));
        let outcome = start(&case, &parts.join(", "), &[]);
        outcome.err().map(|failure| failure.message().to_owned()).unwrap_or_default()
    };
    assert_eq!(gone(&["validator-2/run.toml", "validator-2/node.toml", "validator-2/data"]), "");
    let all = ["validator-0", "validator-1", "validator-2", "validator-3"];
    for what in [
        &["genesis.json"][..],
        &["genesis.json", "validator-0"],
        &["genesis.json", "validator-0", "validator-1", "validator-2"],
        &["genesis.json", "validator-0", "validator-1", "validator-2", "validator-3"],
        &["genesis.json", "faucet.key", "validator-0/validator.key", "validator-1/validator.key"],
    ] {
        assert!(gone(what).contains("genesis.json is missing, but"), "{what:?}");
    }
    assert!(gone(&all).contains("validator-0/validator.key"), "no keys");
    assert!(gone(&all[3..]).contains("validator-3/validator.key"), "one home");
}

#[test]
fn keys_of_another_network_are_not_taken() {
    let (case, other) = (network(), network());
    for part in ["validator-1/validator.key", "validator-1/genesis.json", "genesis.json"] {
        let (own, theirs) = (case.root.join(part), other.root.join(part));
        let kept = std::fs::read(&own).unwrap();
        std::fs::copy(&theirs, &own).unwrap();
        let failure = start(&case, part, &[]).unwrap_err();
        assert!(failure.message().contains("validator-"), "{part}: {failure:?}");
        std::fs::write(&own, kept).unwrap();
    }
    // Two keys exchanged by a slip.
    let (a, b) = (case.root.join("validator-1/validator.key"), case.root.join("validator-2/validator.key"));
    let kept = std::fs::read(&a).unwrap();
    std::fs::copy(&b, &a).unwrap();
    std::fs::write(&b, kept).unwrap();
    assert!(start(&case, "exchanged keys", &[]).unwrap_err().message().contains("validator-1"));
}

#[test]
fn wrong_arguments_change_nothing() {
    for (more, word) in [
        (&["--validators", "3"][..], "4 validators, not 3"),
        (&["--validators", "5"], "4 validators, not 5"),
        (&["--window", "500ms"], "was made with windows of 10s, not 500ms"),
        (&["--drill-alter", "9:kraken/BTC.USD/trades"], "N:SOURCE/SYMBOL/FEED"),
        (&["--drill-alter", "nonsense"], "N:SOURCE/SYMBOL/FEED"),
        (&["--drill-copy", "9"], "there is no such validator"),
    ] {
        let case = network();
        let failure = prepare(&case.base, more).unwrap_err();
        assert!(failure.message().contains(word), "{failure:?}");
        let before = files(&case.root);
        prepare(&case.base, more).unwrap_err();
        assert_eq!(files(&case.root), before, "{more:?}");
    }
    let case = network();
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    assert!(start(&case, "a port that is taken", &["--port", &port]).unwrap_err().message().contains("is taken"));
}

#[test]
fn a_new_network_has_windows_of_the_length_that_was_asked_for() {
    let dir = tempfile::tempdir().unwrap();
    prepare(dir.path(), &["--window", "500ms"]).unwrap();
    let genesis = network::inspect(&dir.path().join("simulated"), 4).unwrap().unwrap();
    assert!(genesis.sources.iter().all(|source| source.window_ms == 500), "{:?}", genesis.sources);
    prepare(dir.path(), &[]).unwrap();
    prepare(dir.path(), &["--window", "500ms"]).unwrap();
    let refused = prepare(dir.path(), &["--window", "1s"]).unwrap_err();
    assert!(refused.message().contains("windows of 500ms, not 1s"), "{refused:?}");
}

#[test]
fn lengths_of_windows_are_those_that_the_ledger_takes() {
    let read = |text: &str| Cli::try_parse_from(["openmesh", "up", "--window", text]).map(|_| ());
    for text in ["100ms", "0.5s", "1s", "10m", "1h", "1m 30s"] {
        read(text).unwrap_or_else(|error| panic!("{text}: {error}"));
    }
    for text in ["99ms", "61m", "10", "", "ten", "500us", "99999999999999999999s"] {
        read(text).expect_err(text);
    }
}

#[test]
fn a_creation_that_was_interrupted_is_finished_or_begun_anew() {
    // Interrupted before it was whole: what there is of it has never been used.
    let dir = tempfile::tempdir().unwrap();
    let draft = dir.path().join("simulated/creating/validator-0");
    std::fs::create_dir_all(&draft).unwrap();
    std::fs::write(draft.join("validator.key"), "half of a").unwrap();
    prepare(dir.path(), &[]).unwrap();

    // Interrupted after each of its moves: finished, with the same keys.
    let parts = [
        "faucet.key",
        "validator-0/validator.key",
        "validator-1/validator.key",
        "validator-2/validator.key",
        "validator-3/validator.key",
        "genesis.json",
    ];
    for moved in 0..parts.len() {
        let dir = tempfile::tempdir().unwrap();
        prepare(dir.path(), &[]).unwrap();
        let (root, whole) = (dir.path().join("simulated"), dir.path().join("simulated/created"));
        let before: Vec<Vec<u8>> = parts.iter().map(|part| std::fs::read(root.join(part)).unwrap()).collect();
        for (number, part) in parts.iter().enumerate() {
            std::fs::create_dir_all(whole.join(part).parent().unwrap()).unwrap();
            if number >= moved {
                std::fs::rename(root.join(part), whole.join(part)).unwrap();
            }
        }
        (0..4).for_each(|n| remove(&NodeHome::of(&root, n).files().genesis()));
        prepare(dir.path(), &[]).unwrap();
        let after: Vec<Vec<u8>> = parts.iter().map(|part| std::fs::read(root.join(part)).unwrap()).collect();
        assert_eq!(after, before, "after {moved} moves");
        assert!(!whole.exists());
    }
}

/// A disk without room, and a folder that cannot be written.
#[test]
fn a_disk_that_takes_nothing_loses_nothing() {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: only the superuser mounts a disk");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let disk = dir.path().join("disk");
    std::fs::create_dir(&disk).unwrap();
    // 32 pages: enough for a folder and a few files, not for a network.
    let mount = |options: &str| {
        std::process::Command::new("mount").args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(&disk).status()
    };
    if !mount("size=131072").is_ok_and(|status| status.success()) {
        println!("skipped: no disk can be mounted here");
        return;
    }
    struct Mounted(PathBuf);
    impl Drop for Mounted {
        fn drop(&mut self) {
            let _ = std::process::Command::new("umount").arg(&self.0).status();
        }
    }
    let mounted = Mounted(disk.clone());
    prepare(&disk, &[]).unwrap();
    let case = Case { base: disk.clone(), root: disk.join("simulated"), _dir: tempfile::tempdir().unwrap() };
    std::fs::write(case.root.join("validator-0/node.toml"), SETTINGS).unwrap();
    fill(&disk.join("filler"));
    // Its own files are made again if they can be; what is there stays either way.
    let _ = start(&case, "full", &[]);
    remove(&disk.join("filler"));
    start(&case, "room again", &[]).unwrap();

    // Full from the beginning, at every amount of room: nothing half is ever taken for a network.
    for pages in 1..24 {
        remove(&case.root);
        fill_but(&disk.join("filler"), pages);
        let made = prepare(&disk, &[]);
        remove(&disk.join("filler"));
        if made.is_err() {
            prepare(&disk, &[]).unwrap();
        }
        assert!(network::inspect(&case.root, 4).unwrap().is_some(), "{pages} pages of room");
    }
    drop(mounted);
}

fn fill(path: &Path) {
    use std::io::Write as _;
    let mut file = std::fs::File::create(path).unwrap();
    while file.write_all(&[1; 4_096]).is_ok() {}
}

/// Fills a disk but for some pages.
fn fill_but(path: &Path, pages: u64) {
    fill(path);
    let file = std::fs::OpenOptions::new().write(true).open(path).unwrap();
    let length = file.metadata().unwrap().len();
    file.set_len(length.saturating_sub(pages * 4_096)).unwrap();
}
