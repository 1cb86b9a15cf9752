//! Backup and restore of a tree with half duplicate blocks beside restic, with a cold cache: both encrypt, compress, flush what they store, and read back what they
//! restore. Both open their repository within the time that is measured.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::Context as _;
use openmesh_backup::{Folder, Identity, Order, Owners, Repository, Restoration, Special, open};
use openmesh_primitives::Timestamp;

use super::lab::Lab;
use super::machine::{self, milliseconds};
use super::table::{Bar, Row, SECONDS};
use crate::tree;

/// Files of the tree, which has 1 GiB.
const FILES: u64 = 64;
/// The same of a trial, which has 64 MiB.
const TRIAL_FILES: u64 = 4;
/// Runs of each side.
const RUNS: usize = 3;
/// The same of a trial.
const TRIAL_RUNS: usize = 1;

/// Seconds of a backup and of a restore.
type Pair = (f64, f64);

/// Milliseconds of something that finds no file in the caches.
fn cold(act: impl FnOnce() -> anyhow::Result<()>) -> anyhow::Result<f64> {
    machine::cool()?;
    Ok(milliseconds(act)? / 1e3)
}

fn ours(tree: &Path, place: &Path) -> anyhow::Result<Pair> {
    let (repository, target) = (place.join("repository"), place.join("back"));
    let owner = Identity::generate()?;
    let store = Folder::open(repository)?;
    Repository::create(&store, &[owner.recipient()], &open)?;
    let opened = || Repository::open(&store, std::slice::from_ref(&owner), None);
    let order = Order {
        root: tree,
        labels: std::collections::BTreeMap::new(),
        time: Timestamp::now(),
        writer: "bench",
        special: Special::Refuse,
    };
    let mut snapshot = None;
    let backup = cold(|| {
        snapshot = Some(opened()?.backup(&order, &open)?.snapshot);
        Ok(())
    })?;
    let snapshot = snapshot.context("a backup has a snapshot")?;
    let order = Restoration { snapshot, target: &target, owners: Owners::Kept, verify: true };
    let restore = cold(|| Ok(opened()?.restore(&order, &open).map(drop)?))?;
    Ok((backup, restore))
}

fn theirs(restic: &Path, tree: &Path, place: &Path) -> anyhow::Result<Pair> {
    let (repository, target) = (place.join("repository"), place.join("back"));
    let run = |arguments: &[&str]| {
        let mut command = Command::new(restic);
        command.args(["--quiet", "--no-cache", "--repo"]).arg(&repository).args(arguments);
        machine::run(command.env("RESTIC_PASSWORD", "bench").stderr(Stdio::piped())).map(drop)
    };
    // Version 2 compresses, as ours does.
    run(&["init", "--repository-version", "2"])?;
    let (tree, target) = (tree.display().to_string(), target.display().to_string());
    let backup = cold(|| run(&["backup", &tree]))?;
    let restore = cold(|| run(&["restore", "latest", "--verify", "--target", &target]))?;
    Ok((backup, restore))
}

/// Measures backups and restores.
pub fn rows(lab: &mut Lab) -> anyhow::Result<Vec<Row>> {
    let restic = machine::program("restic", "restic")?;
    let name = format!("restic {}", machine::version(Command::new(&restic).arg("version"))?);
    let files = if lab.is_trial { TRIAL_FILES } else { FILES };
    let folder = tempfile::tempdir_in(lab.folder())?;
    let root: PathBuf = folder.path().join("tree");
    tree::make(&root, files)?;
    let (mut of_ours, mut of_restic) = (Vec::new(), Vec::new());
    for run in 0..lab.rounds(RUNS, TRIAL_RUNS) {
        for side in 0..2 {
            machine::go_on()?;
            // Each begins in its turn, in the same folder, which is emptied between.
            let place = tempfile::tempdir_in(folder.path())?;
            if (run + side) % 2 == 0 {
                of_ours.push(ours(&root, place.path())?);
            } else {
                of_restic.push(theirs(&restic, &root, place.path())?);
            }
        }
    }
    let mebibytes = tree::bytes(files) >> 20;
    let row = |what: &str, pick: fn(&Pair) -> f64| {
        let figures = |pairs: &[Pair]| pairs.iter().map(pick).collect::<Vec<f64>>();
        let named = format!("{what}, {mebibytes} MiB with half duplicate blocks, cold cache");
        Row::new(named, SECONDS, figures(&of_ours)).beside(&name, figures(&of_restic)).bar(Bar::TimesPeer(1.0))
    };
    Ok(vec![row("backup", |pair| pair.0), row("verified restore", |pair| pair.1)])
}
