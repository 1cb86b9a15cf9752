//! A repository of the first version of the format: it stays readable. `OPENMESH_UPDATE=1` makes it anew, with other nonces.

use std::fs;
use std::path::{Path, PathBuf};

use openmesh_backup::{Data, Folder, Identity, Kind, Owners, Repository, Restoration, Store as _, open};

use crate::world::{back_up, describe};

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

fn make(folder: &Path) {
    let tree = folder.join("tree");
    fs::create_dir_all(tree.join("folder")).unwrap();
    let text: String = (0..40_000).map(|line| format!("line {} of a file\n", line / 9)).collect();
    fs::write(tree.join("folder/text"), text).unwrap();
    fs::write(tree.join("short"), "short").unwrap();
    fs::hard_link(tree.join("short"), tree.join("short too")).unwrap();
    std::os::unix::fs::symlink("folder/text", tree.join("link")).unwrap();
    let sparse = fs::File::create(tree.join("sparse")).unwrap();
    sparse.set_len(1 << 20).unwrap();
    let repository = golden().join("repository");
    let _ = fs::remove_dir_all(&repository);
    fs::create_dir_all(golden()).unwrap();
    let owner = Identity::generate().unwrap();
    fs::write(golden().join("owner.txt"), owner.secret_text()).unwrap();
    let store = Folder::open(&repository).unwrap();
    let repository = Repository::create(&store, &[owner.recipient()], &open).unwrap();
    // Of the folder alone nothing is in the tree: its packs are marked.
    let forgotten = back_up(&repository, &tree.join("folder"), "golden", &open).unwrap().snapshot;
    fs::write(tree.join("folder/text"), "another text").unwrap();
    back_up(&repository, &tree, "golden", &open).unwrap();
    repository.forget([forgotten], &open).unwrap();
    assert_eq!(repository.mark(crate::world::NOW, &open).unwrap().packs, 1);
    // A session stays, as of a writer that died.
    let shut = std::cell::Cell::new(false);
    let door = |name: &str| {
        shut.set(shut.get() || name == "put session done");
        if shut.get() { Err(std::io::Error::other("dead")) } else { Ok(()) }
    };
    back_up(&repository, &tree, "dead", &door).unwrap_err();
    fs::remove_dir_all(&tree).unwrap();
}

/// The description without owners and times, which are those of whoever made it.
fn plain(lines: Vec<String>) -> String {
    let plain = lines.into_iter().map(|line| {
        let (name, rest) = line.split_once(" (").unwrap();
        let (_, rest) = rest.split_once(") ").unwrap();
        format!("{name} {rest}\n")
    });
    plain.collect()
}

#[test]
fn a_repository_of_version_1_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let update = std::env::var_os("OPENMESH_UPDATE").is_some();
    if update {
        make(folder.path());
    }
    // The store makes folders that are missing, so it works on a copy.
    let copy = folder.path().join("repository");
    crate::world::copy(&golden().join("repository"), &copy);
    let store = Folder::open(copy).unwrap();
    let owner: Identity = fs::read_to_string(golden().join("owner.txt")).unwrap().parse().unwrap();
    let repository = Repository::open(&store, &[owner], None).unwrap();
    let checked = repository.check(Data::All).unwrap();
    assert!(checked.findings.is_empty() && checked.broken.is_empty() && checked.snapshots == 1, "{checked:?}");
    for kind in Kind::ALL {
        assert!(!store.list(kind).unwrap().is_empty(), "an object of every kind: {kind:?}");
    }
    let snapshot = *repository.snapshots().unwrap().found.first_key_value().unwrap().0;
    let target = folder.path().join("target");
    let order = Restoration { snapshot, target: &target, owners: Owners::Callers, verify: true };
    repository.restore(&order, &open).unwrap();
    let found = plain(describe(&target));
    let want = golden().join("tree.txt");
    if update {
        fs::write(&want, &found).unwrap();
    }
    assert_eq!(found, fs::read_to_string(want).unwrap());
}
