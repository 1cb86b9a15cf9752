//! The store: leases, collection, layers for overlayfs, and what a disk may do to them.

use std::collections::BTreeSet;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use openmesh_blueprint::inventory::ImageState;
use openmesh_image::effect::open;
use openmesh_image::oci::{Document, INDEX, MANIFEST, Platform, print_digest};
use openmesh_image::store::{Kept, LayerState, Store, StoreError};
use openmesh_image::tar::{Entry, Kind};
use openmesh_primitives::sha256;

use crate::bench::{Baked, Pack, entry, helper, no_root, platform, quick_room, room, skipped, tree};

fn image(content: &str) -> Baked {
    Baked::of(&[Pack::new().folder("etc").file("etc/shared", "same").done(), Pack::new().file("own", content).done()])
}

#[test]
fn what_nobody_needs_is_shown_and_goes() {
    let room = room();
    let store = &room.store;
    let (kept, gone) = (image("kept"), image("gone"));
    for (owner, image) in [("web", &kept), ("old", &gone)] {
        store.lease(owner, &BTreeSet::from([image.keep(store)]), &open).unwrap();
        store.refer(&format!("example.org/{owner}:1"), Some(image.digest()), &open).unwrap();
    }
    assert!(store.collection().unwrap().items.is_empty());
    assert_eq!(store.observe().unwrap().len(), 2);
    store.lease("old", &BTreeSet::new(), &open).unwrap();
    let shown = store.collection().unwrap();
    let own = |image: &Baked| Kept::Blob(sha256(&[&image.layers[1]]));
    let shared = Kept::Blob(sha256(&[&kept.layers[0]]));
    assert!(
        shown.items.contains_key(&own(&gone))
            && !shown.items.contains_key(&own(&kept))
            && !shown.items.contains_key(&shared)
    );
    assert!(shown.items.contains_key(&Kept::Reference("example.org/old:1".into())));
    assert_eq!(shown.items.len(), 4, "{shown}");
    assert!(shown.to_string().ends_with(&format!("4 things, {} bytes\n", shown.bytes())));
    // Somebody needs it again before it goes.
    store.lease("new", &BTreeSet::from([gone.digest()]), &open).unwrap();
    assert!(store.collect(&shown, &open).unwrap().items.is_empty());
    store.lease("new", &BTreeSet::new(), &open).unwrap();
    assert_eq!(store.collect(&shown, &open).unwrap(), shown);
    assert!(store.state(&gone.digest()).is_none());
    assert_eq!(store.state(&kept.digest()), Some(ImageState::Fetched));
    assert_eq!(store.references().unwrap().len(), 1);
    // A need that cannot be read stops a collection.
    std::fs::write(store.root().join("leases/bad.json"), "{").unwrap();
    assert!(matches!(store.collection(), Err(StoreError::Record { .. })));
    for owner in ["", "../x", ".x", "a/b", "a b", &"a".repeat(101)] {
        assert!(matches!(store.lease(owner, &BTreeSet::new(), &open), Err(StoreError::Owner(_))), "{owner}");
    }
}

#[test]
fn a_store_that_was_left_half_built_opens_clean() {
    let room = room();
    let root = &room.store.root().to_path_buf();
    assert_eq!(std::fs::metadata(root).unwrap().permissions().mode() & 0o777, 0o700);
    std::fs::create_dir_all(root.join("layers/building-x/root")).unwrap();
    std::fs::write(root.join("blobs/sha256/ab.new"), "half").unwrap();
    std::fs::write(root.join("index.json.new"), "half").unwrap();
    let digest = image("x").keep(&room.store);
    // As long as somebody has it open, it may be his.
    let beside = Store::open(root, platform(), &open).unwrap();
    assert!(root.join("layers/building-x").exists());
    drop((beside, room.store));
    let again = Store::open(root, platform(), &open).unwrap();
    assert!(
        !root.join("layers/building-x").exists()
            && !root.join("blobs/sha256/ab.new").exists()
            && !root.join("index.json.new").exists()
    );
    assert_eq!(again.state(&digest), Some(ImageState::Fetched));
}

#[test]
fn damage_is_named() {
    let room = room();
    let image = image("x");
    let digest = image.keep(&room.store);
    let layer = sha256(&[&image.layers[1]]);
    std::fs::write(room.store.blob_path(&layer), "y").unwrap();
    let found = room.store.verify(&digest).unwrap();
    assert!(matches!(found.as_slice(), [StoreError::Damaged(named)] if *named == layer), "{found:?}");
    assert!(room.store.state(&digest).is_none());
    room.store.discard(&layer, &open).unwrap();
    assert!(matches!(room.store.verify(&digest).unwrap().as_slice(), [StoreError::Missing(_)]));
    std::fs::write(room.store.blob_path(&digest), "{}").unwrap();
    assert!(matches!(room.store.image(&digest), Err(StoreError::Damaged(_))));
}

#[test]
fn variants_of_any_number_are_compared() {
    let manifest = |variant: &str| {
        serde_json::json!({ "mediaType": MANIFEST, "digest": print_digest(&sha256(&[variant.as_bytes()])), "size": 1,
            "platform": { "os": "linux", "architecture": "amd64", "variant": variant } })
    };
    let index = serde_json::json!({ "schemaVersion": 2, "mediaType": INDEX,
        "manifests": [manifest("v255"), manifest("v254"), manifest("v0")] });
    let Ok(Document::Index(index)) = Document::parse(index.to_string().as_bytes(), None) else { panic!("no index") };
    let chosen = |variant: Option<&str>| {
        index.choose(&Platform { variant: variant.map(str::to_string), ..platform() }).unwrap().digest
    };
    for (wanted, expected) in [(None, "v0"), (Some("v1"), "v0"), (Some("v254"), "v254"), (Some("v255"), "v255")] {
        assert_eq!(chosen(wanted), sha256(&[expected.as_bytes()]), "{wanted:?}");
    }
}

#[test]
fn layers_are_unpacked_once_and_known_again() {
    if no_root() {
        return;
    }
    let room = room();
    let (first, second) = (image("first"), image("second"));
    for image in [&first, &second] {
        let digest = image.keep(&room.store);
        let image = room.store.image(&digest).unwrap();
        room.store.unpack(&image, &helper(), &open, &|_, _| ()).unwrap();
        assert_eq!(room.store.state(&digest), Some(ImageState::Unpacked));
        assert_eq!(room.store.lowers(&image).unwrap().folders.len(), 2);
    }
    let layers = std::fs::read_dir(room.store.root().join("layers")).unwrap().count();
    assert_eq!(layers, 3, "the layer that both have is there once");
    let image = room.store.image(&first.digest()).unwrap();
    let own = image.config.diff_ids[1];
    assert_eq!(room.store.check_layer(&own, true).unwrap(), LayerState::Whole);
    let file = room.store.layer_root(&own).join("own");
    // The same length, and the time put back: only the contents tell.
    let times = std::fs::metadata(&file).unwrap().modified().unwrap();
    std::fs::write(&file, "FIRST").unwrap();
    std::fs::File::options().write(true).open(&file).unwrap().set_modified(times).unwrap();
    assert_eq!(room.store.check_layer(&own, false).unwrap(), LayerState::Whole);
    assert_eq!(room.store.check_layer(&own, true).unwrap(), LayerState::Altered);
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(room.store.check_layer(&own, false).unwrap(), LayerState::Altered);
    room.store.discard_layer(&own, &open).unwrap();
    assert_eq!(room.store.state(&first.digest()), Some(ImageState::Fetched));
    room.store.unpack(&image, &helper(), &open, &|_, _| ()).unwrap();
    assert_eq!(room.store.check_layer(&own, true).unwrap(), LayerState::Whole);
}

#[test]
fn a_failure_at_every_door_of_unpacking() {
    if no_root() {
        return;
    }
    let mut doors = 0;
    loop {
        let room = quick_room();
        let digest = image("x").keep(&room.store);
        let image = room.store.image(&digest).unwrap();
        let passed = std::sync::atomic::AtomicUsize::new(0);
        let effect = |_: &str| {
            let passage = passed.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            if passage == doors { Err(std::io::Error::from_raw_os_error(5)) } else { Ok(()) }
        };
        if room.store.unpack(&image, &helper(), &effect, &|_, _| ()).is_ok() {
            break;
        }
        let root = room.store.root().to_path_buf();
        drop(room.store);
        let again = Store::open(&root, platform(), &open).unwrap();
        for diff_id in &image.config.diff_ids {
            if again.layer(diff_id).is_ok() {
                assert_eq!(again.check_layer(diff_id, true).unwrap(), LayerState::Whole);
            }
        }
        again.unpack(&image, &helper(), &open, &|_, _| ()).unwrap();
        assert_eq!(again.state(&digest), Some(ImageState::Unpacked));
        doors += 1;
    }
    assert!(doors > 20, "{doors} passages");
    println!("{doors} passages");
}

#[test]
fn layers_of_an_image_that_cannot_be_read_stay() {
    if no_root() {
        return;
    }
    let room = room();
    let store = &room.store;
    let baked = image("x");
    let digest = baked.keep(store);
    let image = store.image(&digest).unwrap();
    store.unpack(&image, &helper(), &open, &|_, _| ()).unwrap();
    let all = store.collection().unwrap();
    assert!(all.items.contains_key(&Kept::Layer(image.config.diff_ids[0].to_string())));
    store.lease("web", &BTreeSet::from([digest]), &open).unwrap();
    let config = image.manifest.config.digest;
    std::fs::write(store.blob_path(&config), "rotten").unwrap();
    assert!(matches!(store.collection(), Err(StoreError::Damaged(named)) if named == config));
    assert!(store.collect(&all, &open).is_err());
    for gone in [config, digest] {
        store.discard(&gone, &open).unwrap();
        let shown = store.collection().unwrap();
        assert_eq!(shown.unread, BTreeSet::from([digest]));
        assert!(!shown.items.keys().any(|item| matches!(item, Kept::Layer(_))), "{shown}");
        assert!(shown.to_string().contains(&format!("unpacked layers stay: image sha256:{digest} is needed")));
        store.collect(&all, &open).unwrap();
        assert!(image.config.diff_ids.iter().all(|diff_id| store.layer_root(diff_id).exists()));
    }
    let error = {
        std::fs::write(store.root().join("leases/web.json"), "[").unwrap();
        store.collection().unwrap_err()
    };
    assert!(
        error
            .to_string()
            .ends_with("let its owner say again what it needs: while that is unknown nothing is collected")
    );
}

#[test]
fn a_layer_whose_record_cannot_be_used_is_not_taken_from_under_an_instance() {
    if no_root() {
        return;
    }
    let room = room();
    let store = &room.store;
    let digest = image("x").keep(store);
    let image = store.image(&digest).unwrap();
    store.unpack(&image, &helper(), &open, &|_, _| ()).unwrap();
    let layer = image.config.diff_ids[1];
    let record = store.layer_root(&layer).with_file_name("record.json");
    let text = std::fs::read_to_string(&record).unwrap();
    let inode = || std::fs::metadata(store.layer_root(&layer)).unwrap().ino();
    let before = inode();
    for other in [text.replacen("\"version\":1", "\"version\":2", 1), "{".into()] {
        std::fs::write(&record, other).unwrap();
        let error = store.unpack(&image, &helper(), &open, &|_, _| ()).unwrap_err();
        assert!(matches!(error, StoreError::Record { .. }), "{error}");
        assert!(error.to_string().ends_with("once no instance uses the layer discard it, and it is unpacked again"));
        assert_eq!(inode(), before);
    }
    // Descriptors that have run out are no reason either: a folder in place of the file stands for any error but that it is not there.
    std::fs::remove_file(&record).unwrap();
    std::fs::create_dir(&record).unwrap();
    assert!(matches!(store.unpack(&image, &helper(), &open, &|_, _| ()), Err(StoreError::Io { .. })));
    std::fs::remove_dir(&record).unwrap();
    assert!(matches!(store.unpack(&image, &helper(), &open, &|_, _| ()), Err(StoreError::Record { .. })));
    assert_eq!(inode(), before);
    store.discard_layer(&layer, &open).unwrap();
    store.unpack(&image, &helper(), &open, &|_, _| ()).unwrap();
    assert_eq!(store.check_layer(&layer, true).unwrap(), LayerState::Whole);
}

#[test]
fn a_blob_that_the_disk_changed_is_named_and_comes_again() {
    if no_root() {
        return;
    }
    let room = room();
    let baked = image("x");
    let digest = baked.keep(&room.store);
    let image = room.store.image(&digest).unwrap();
    let blob = image.manifest.layers[1].digest;
    let mut rotten = baked.layers[1].clone();
    let middle = rotten.len() / 2;
    rotten[middle] ^= 1;
    std::fs::write(room.store.blob_path(&blob), &rotten).unwrap();
    let error = room.store.unpack(&image, &helper(), &open, &|_, _| ()).unwrap_err();
    assert!(matches!(error, StoreError::Damaged(named) if named == blob), "{error}");
    assert!(!room.store.has(&blob, rotten.len() as u64));
    baked.keep(&room.store);
    room.store.unpack(&image, &helper(), &open, &|_, _| ()).unwrap();
    // A small one is compared whenever it is wanted.
    std::fs::write(room.store.blob_path(&blob), &rotten).unwrap();
    baked.keep(&room.store);
    room.store.check(&blob).unwrap();
}

#[test]
fn a_layer_that_comes_twice_lies_in_the_stack_once() {
    if no_root() {
        return;
    }
    let room = room();
    let empty = Pack::new().done();
    let twice = Pack::new().folder("a").file("a/1", "").file(".wh.b", "").done();
    let between = Pack::new().file("a/.wh.1", "").file("b", "").file("a/2", "").done();
    let image = Baked::of(&[empty.clone(), twice.clone(), empty.clone(), between, twice, empty]);
    let Some(seen) = mounted(&room, &image) else { return };
    let names: Vec<&str> = seen.iter().map(|line| line.split(' ').next().unwrap()).collect();
    assert_eq!(names, ["", "a", "a/1", "a/2"], "{seen:?}");
}

/// Mounts an image in a mount namespace of its own and lists what an instance would see.
fn mounted(room: &crate::bench::Room, image: &Baked) -> Option<Vec<String>> {
    let digest = image.keep(&room.store);
    let image = room.store.image(&digest).unwrap();
    room.store.unpack(&image, &helper(), &open, &|_, _| ()).unwrap();
    let lowers = room.store.lowers(&image).unwrap();
    let point = room.path("point");
    std::fs::create_dir_all(&point).unwrap();
    let script = "mount -t overlay overlay -o ro,lowerdir=\"$1\" \"$2\" || exit 9; cd \"$2\" && find . -printf '%P %M %U:%G\\n' | sort";
    let output = std::process::Command::new("unshare")
        .args(["--mount", "--propagation", "private", "sh", "-c", script, "sh"])
        .arg(lowers.option())
        .arg(&point)
        .env("LC_ALL", "C")
        .output()
        .unwrap();
    if output.status.code() == Some(9) {
        skipped(&format!("overlayfs cannot be mounted here: {}", String::from_utf8_lossy(&output.stderr)));
        return None;
    }
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(String::from_utf8(output.stdout).unwrap().lines().map(str::to_string).collect())
}

#[test]
fn whiteouts_and_opaque_folders_hide_what_is_below() {
    if no_root() {
        return;
    }
    let below = Pack::new()
        .folder("a")
        .file("a/1", "")
        .file("a/2", "")
        .folder("b")
        .file("b/1", "")
        .folder("c")
        .file("c/1", "")
        .file("d", "")
        .done();
    let above = Pack::new()
        .folder("a")
        .file("a/.wh.1", "")
        .file("a/3", "")
        .folder("b")
        .file("b/.wh..wh..opq", "")
        .file("b/2", "")
        // Hidden and brought again by the same layer, before and after.
        .file(".wh.c", "")
        .folder("c")
        .file("c/2", "")
        .file("d", "new")
        .file(".wh.d", "")
        .done();
    let room = room();
    let Some(seen) = mounted(&room, &Baked::of(&[below, above])) else { return };
    let names: Vec<&str> = seen.iter().map(|line| line.split(' ').next().unwrap()).collect();
    assert_eq!(names, ["", "a", "a/2", "a/3", "b", "b/2", "c", "c/2", "d"], "{seen:?}");
}

#[test]
fn folders_that_a_layer_does_not_name_keep_their_owner() {
    if no_root() {
        return;
    }
    let owned = |name: &str| Entry { mode: 0o2750, uid: 70, gid: 71, ..entry(name.as_bytes(), Kind::Directory) };
    let below = Pack::new()
        .folder("var")
        .add(&owned("var/data"), b"")
        .add(&owned("var/data/in"), b"")
        .folder("x")
        .file("x/1", "")
        .done();
    let above = Pack::new().file("var/data/in/new", "").file("y/z/1", "").file(".wh.x", "").done();
    let top = Pack::new().file("x/2", "").done();
    let room = room();
    let image = Baked::of(&[below, above, top]);
    let Some(seen) = mounted(&room, &image) else { return };
    let line =
        |name: &str| seen.iter().find(|line| line.starts_with(&format!("{name} "))).unwrap().split_once(' ').unwrap().1;
    assert_eq!(line("var/data"), "drwxr-s--- 70:71");
    assert_eq!(line("var/data/in"), "drwxr-s--- 70:71");
    assert_eq!(line("y/z"), "drwxr-xr-x 0:0");
    assert!(!seen.iter().any(|line| line.starts_with("x/1 ")), "{seen:?}");
    assert!(seen.iter().any(|line| line.starts_with("x/2 ")), "{seen:?}");
    assert_eq!(room.store.lowers(&room.store.image(&image.digest()).unwrap()).unwrap().folders.len(), 4);
}

#[test]
fn a_layer_lies_as_it_was_packed() {
    if no_root() {
        return;
    }
    let odd = Entry {
        mode: 0o6755,
        uid: 1_000,
        gid: 2_000_000,
        mtime: 1_600_000_000,
        xattrs: vec![(b"user.a".to_vec(), b"b".to_vec()), (b"security.capability".to_vec(), vec![1])],
        ..entry(b"tool", Kind::File)
    };
    let archive = Pack::new()
        .add(&Entry { mode: 0o1777, ..entry(b"/tmp/", Kind::Directory) }, b"")
        .add(&odd, b"x")
        .link("hard", "./tool", Kind::HardLink)
        .link("soft", "/etc/passwd", Kind::Symlink)
        .add(&entry(b"pipe", Kind::Fifo), b"")
        .add(&entry(b"\xff\xfe", Kind::File), b"not UTF-8")
        .file("n/".repeat(100).trim_end_matches('/'), "deep")
        .done();
    let room = room();
    let digest = Baked::of(&[archive]).keep(&room.store);
    let image = room.store.image(&digest).unwrap();
    room.store.unpack(&image, &helper(), &open, &|_, _| ()).unwrap();
    let root = room.store.layer_root(&image.config.diff_ids[0]);
    let look = |name: &str| std::fs::symlink_metadata(root.join(name)).unwrap();
    assert_eq!(
        (look("tool").mode() & 0o7777, look("tool").uid(), look("tool").gid(), look("tool").mtime()),
        (0o755, 1_000, 65_534, 1_600_000_000)
    );
    assert_eq!(look("tmp").mode() & 0o7777, 0o1777);
    assert_eq!(look("hard").ino(), look("tool").ino());
    assert_eq!(std::fs::read_link(root.join("soft")).unwrap().to_str(), Some("/etc/passwd"));
    assert_eq!(tree(&root).len(), 106 + 1, "{:?}", tree(&root).len());
    let dropped = room.store.layer(&image.config.diff_ids[0]).unwrap().report.dropped;
    assert_eq!((dropped.set_id, dropped.attributes, dropped.owners), (1, 1, 1));
    let mut value = [0; 8];
    assert_eq!(rustix::fs::lgetxattr(root.join("tool"), "user.a", &mut value).unwrap(), 1);
}
