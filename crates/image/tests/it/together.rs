//! Several at one store: threads, agents at a hand-over, and who collects meanwhile.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use openmesh_blueprint::document::ImageReference;
use openmesh_blueprint::inventory::ImageState;
use openmesh_image::effect::open;
use openmesh_image::oci::print_digest;
use openmesh_image::pull::{Client, Patience, Settings};
use openmesh_image::store::{Kept, Store};
use openmesh_primitives::sha256;

use crate::bench::{Baked, Pack, helper, no_root, platform, quick_room};
use crate::registry::{Registry, Shelf};

fn image(content: &str) -> Baked {
    let noise: String = (0..20_000_u64).map(|n| format!("{:x}", n.wrapping_mul(0x9e37_79b9_7f4a_7c15))).collect();
    Baked::of(&[Pack::new().file("b", &noise).done(), Pack::new().folder("etc").file("etc/a", content).done()])
}

fn client() -> Client {
    let patience = Patience { pause: Duration::from_millis(1), attempts: 3, rate: 1, ..Patience::default() };
    Client::new(Settings { patience, ..Settings::default() }).unwrap()
}

/// Two pulls of one image, each with a store of its own for the same folder as two agents have them: the registry cuts every answer short, so that both would
/// be in the middle of the same file.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_pulls_of_one_blob_bring_it_once() {
    let image = image("one");
    let path = format!("/v2/a/b/blobs/{}", print_digest(&sha256(&[&image.layers[0]])));
    let shelf = Shelf::of("1", &image);
    let own = path.clone();
    let registry = Registry::start(move |asked| {
        let honest = shelf.answer(asked);
        if asked.path == own && asked.before < 3 { honest.cut(5_000) } else { honest }
    })
    .await;
    let room = quick_room();
    let beside = Store::open(room.store.root(), platform(), &open).unwrap();
    let reference: ImageReference = format!("{}/a/b:1", registry.address).parse().unwrap();
    let (one, two) = (client(), client());
    let (first, second) = tokio::join!(
        one.pull(&room.store, &reference, "first", &open, &|_| ()),
        two.pull(&beside, &reference, "second", &open, &|_| ())
    );
    assert_eq!(first.unwrap(), second.unwrap());
    assert!(room.store.verify(&image.digest()).unwrap().is_empty());
    assert_eq!(registry.count(&path), 4, "three times cut, and then whole: nobody fetched it beside the other");
    assert_eq!(std::fs::read_dir(room.store.root().join("partial")).unwrap().count(), 0);
}

#[test]
fn references_and_leases_that_are_written_at_once_are_all_there() {
    let room = quick_room();
    let digest = image("one").keep(&room.store);
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let store = room.store.clone();
            scope.spawn(move || {
                for count in 0..10 {
                    store.refer(&format!("example.org/{thread}:{count}"), Some(digest), &open).unwrap();
                    store.lease_also("all", sha256(&[&[thread, count]]), &open).unwrap();
                }
            });
        }
    });
    assert_eq!(room.store.references().unwrap().len(), 80);
    assert_eq!(room.store.leases().unwrap()["all"].len(), 80);
}

#[test]
fn layers_that_are_unpacked_at_once_are_unpacked_once() {
    if no_root() {
        return;
    }
    let room = quick_room();
    let digest = image("one").keep(&room.store);
    let image = room.store.image(&digest).unwrap();
    let unpacked = AtomicUsize::new(0);
    let effect = |name: &str| {
        unpacked.fetch_add(usize::from(name == "image.layer.unpack"), Ordering::Relaxed);
        Ok(())
    };
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| room.store.clone().unpack(&image, &helper(), &effect, &|_, _| ()).unwrap());
        }
    });
    assert_eq!(room.store.state(&digest), Some(ImageState::Unpacked));
    assert_eq!(unpacked.into_inner(), 4, "both layers once, each with a passage before and after");
}

/// Whoever says during a collection that he needs something waits, and then it is gone and comes again, or it stays: it is never taken after the word.
#[test]
fn a_need_is_said_before_a_collection_or_after_it() {
    let room = quick_room();
    let store = &room.store;
    let (gone, other) = (image("gone"), image("other"));
    gone.keep(store);
    other.keep(store);
    let shown = store.collection().unwrap();
    let (said, news) = std::sync::mpsc::channel();
    let news = Mutex::new(Some(news));
    let is_leased = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            said_first(&news);
            store.lease("late", &BTreeSet::from([gone.digest()]), &open).unwrap();
            is_leased.store(true, Ordering::SeqCst);
        });
        let effect = |name: &str| {
            if name == "image.collect.blob" {
                let _ = said.send(());
                assert!(!is_leased.load(Ordering::SeqCst), "in the middle of a collection nothing is promised");
            }
            Ok(())
        };
        store.collect(&shown, &effect).unwrap();
        waiting.join().unwrap();
    });
    assert!(!store.has(&gone.digest(), gone.manifest.len() as u64));
    // What is being fetched is not taken away.
    let blob = sha256(&[b"x"]);
    std::fs::write(store.root().join("partial").join(blob.to_string()), "x").unwrap();
    let fetched = std::fs::File::create(store.root().join("locks").join(format!("blob-{blob}"))).unwrap();
    fetched.lock().unwrap();
    let shown = store.collection().unwrap();
    assert!(shown.items.contains_key(&Kept::Partial(blob)));
    assert!(!store.collect(&shown, &open).unwrap().items.contains_key(&Kept::Partial(blob)));
    drop(fetched);
    assert!(store.collect(&shown, &open).unwrap().items.contains_key(&Kept::Partial(blob)));
}

fn said_first(news: &Mutex<Option<std::sync::mpsc::Receiver<()>>>) {
    let news = news.lock().unwrap().take().unwrap();
    news.recv().unwrap();
}
