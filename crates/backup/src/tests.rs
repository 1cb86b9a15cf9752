//! Hostile repositories: made with the keys, by a writer who means harm (B-5, B-21); and values of the format that never change.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use openmesh_primitives::{SplitMix64, Timestamp};

use crate::age::Identity;
use crate::blob::{Opener, Sealer};
use crate::check::Data;
use crate::cut::Cutter;
use crate::door::open;
use crate::error::BackupError;
use crate::folder::Folder;
use crate::index::IndexedPack;
use crate::manifest::{Attributes, Piece, Record};
use crate::name::{Id, Kind};
use crate::object::{Sealed, seal};
use crate::pack::{BlobKind, ChunkId, Filling, PACK_BYTES};
use crate::repository::Repository;
use crate::restore::{Owners, Restoration};
use crate::secret::{Keys, Secret};
use crate::snapshot::{ManifestChunk, Snapshot};
use crate::stage::Clock;

/// A repository, and the folder that it is in.
struct World {
    folder: tempfile::TempDir,
    store: Folder,
}

impl World {
    fn new() -> World {
        let folder = tempfile::tempdir().unwrap();
        let store = Folder::open(folder.path().join("repository")).unwrap();
        World { folder, store }
    }

    fn repository(&self) -> Repository<'_> {
        let owner = Identity::generate().unwrap();
        Repository::create(&self.store, &[owner.recipient()], &open).unwrap()
    }

    /// Restores a planted snapshot, which fails, and leaves nothing.
    fn refused(&self, repository: &Repository<'_>, snapshot: Id) -> String {
        let target = self.folder.path().join("target");
        let order = Restoration { snapshot, target: &target, owners: Owners::Callers, verify: true };
        let failed = repository.restore(&order, &open).unwrap_err().to_string();
        let mut left: Vec<String> = fs::read_dir(self.folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        left.sort();
        assert_eq!(left, ["repository"], "nothing else was made: {failed}");
        failed
    }
}

fn attributes() -> Attributes {
    Attributes { user: 0, group: 0, mode: 0o700, modified_s: 0, modified_ns: 0, extended: vec![] }
}

fn folder(name: &[u8]) -> Record {
    Record::Folder { name: name.to_vec(), attributes: attributes() }
}

fn file(name: &[u8], bytes: u64) -> Record {
    Record::File { name: name.to_vec(), attributes: attributes(), bytes, linked: false }
}

/// Stores chunks in a pack of their own.
fn plant_chunks(repository: &Repository<'_>, chunks: &[(BlobKind, &[u8])]) -> (IndexedPack, Vec<ChunkId>) {
    let (mut filling, mut ids) = (Filling::default(), Vec::new());
    let mut sealer = Sealer::new(&repository.keys, Clock::new(None));
    for (kind, content) in chunks {
        let id = kind.chunk(&repository.keys, content);
        let (blob, sealed) = sealer.seal(*kind, id, content).unwrap();
        filling.add(blob, sealed, PACK_BYTES);
        ids.push(id);
    }
    let pack = filling.finish(&repository.keys).unwrap();
    repository.put(Kind::Pack, &pack.bytes, "put pack", &open).unwrap();
    (IndexedPack { id: pack.id, blobs: pack.blobs }, ids)
}

/// Stores a snapshot of records, with counts that it claims.
fn plant(repository: &Repository<'_>, records: &[Record], entries: u64, bytes: u64) -> Id {
    let manifest: Vec<u8> = records.iter().flat_map(|record| record.frame().unwrap()).collect();
    let parts: Vec<(BlobKind, &[u8])> = manifest.chunks(1 << 20).map(|part| (BlobKind::Manifest, part)).collect();
    let (_, ids) = plant_chunks(repository, &parts);
    let chunks = ids.into_iter().zip(&parts).map(|(id, (_, part))| ManifestChunk { id, bytes: part.len() as u32 });
    plant_snapshot(repository, chunks.collect(), entries, bytes)
}

fn plant_snapshot(repository: &Repository<'_>, chunks: Vec<ManifestChunk>, entries: u64, bytes: u64) -> Id {
    let snapshot = Snapshot { time: Timestamp(0), labels: BTreeMap::new(), entries, bytes, chunks };
    let bytes = seal(&repository.keys, Sealed::Snapshot, &snapshot).unwrap();
    repository.put(Kind::Snapshot, &bytes, "put snapshot", &open).unwrap()
}

#[test]
fn tricks_with_paths_make_nothing_and_are_named_by_check_as_well() {
    let world = World::new();
    let repository = world.repository();
    let outside = world.folder.path().join("outside").into_os_string().into_encoded_bytes();
    let link = |name: &[u8], target: &[u8]| Record::Link {
        name: name.to_vec(),
        attributes: attributes(),
        target: target.to_vec(),
    };
    let hard = |name: &[u8], to: &[u8]| Record::HardLink { name: name.to_vec(), to: to.to_vec() };
    let tricks = [
        vec![folder(b""), file(b"../outside", 0), Record::Leave],
        vec![folder(b""), file(&outside, 0), Record::Leave],
        vec![folder(b""), folder(b".."), file(b"outside", 0), Record::Leave, Record::Leave],
        vec![folder(b""), link(b"a", b".."), folder(b"a"), file(b"outside", 0), Record::Leave, Record::Leave],
        vec![folder(b""), link(b"a", b"../outside"), file(b"a", 0), Record::Leave],
        vec![folder(b""), hard(b"a", &outside), Record::Leave],
        vec![folder(b""), hard(b"a", b"../repository/format"), Record::Leave],
        vec![folder(b""), Record::Leave, Record::Leave, file(b"outside", 0)],
        vec![folder(b""), folder(b"a"), folder(b"b")],
    ];
    let count = tricks.len();
    for records in tricks {
        let snapshot = plant(&repository, &records, records.len() as u64 - 1, 0);
        let failed = world.refused(&repository, snapshot);
        assert!(failed.starts_with(&format!("the manifest of snapshot {snapshot} is refused")), "{failed}");
    }
    assert_eq!(repository.check(Data::All).unwrap().broken.len(), count);
}

#[test]
fn lengths_counts_and_kinds_that_lie_are_refused() {
    let world = World::new();
    let repository = world.repository();
    let (_, ids) = plant_chunks(&repository, &[(BlobKind::Data, b"content"), (BlobKind::Data, &[9; 1 << 20])]);
    let contents = |pieces: Vec<Piece>| Record::Contents(pieces);
    let tree = |bytes: u64, pieces: Vec<Piece>| vec![folder(b""), file(b"a", bytes), contents(pieces), Record::Leave];
    let chunk = |bytes: u32| Piece::Chunk { id: ids[0], bytes };
    let honest = plant(&repository, &tree(7, vec![chunk(7)]), 2, 7);
    assert!(repository.check(Data::All).unwrap().findings.is_empty());
    let lies = [
        plant(&repository, &tree(7, vec![chunk(7)]), 3, 7),
        plant(&repository, &tree(7, vec![chunk(7)]), 2, 6),
        plant(&repository, &tree(8, vec![chunk(8)]), 2, 8),
        plant(&repository, &tree(1 << 21, vec![chunk(7), Piece::Hole { bytes: u64::MAX }]), 2, 7),
        plant_snapshot(&repository, vec![ManifestChunk { id: ids[0], bytes: 7 }], 2, 7),
        plant_snapshot(&repository, vec![ManifestChunk { id: ids[0], bytes: 0 }], 2, 7),
        plant_snapshot(&repository, vec![ManifestChunk { id: ids[1], bytes: u32::MAX }; 9], 2, 7),
        plant_snapshot(&repository, vec![], 0, 0),
    ];
    for lie in lies {
        world.refused(&repository, lie);
    }
    let absent = Piece::Chunk { id: ChunkId([5; 32]), bytes: 7 };
    let failed = world.refused(&repository, plant(&repository, &tree(7, vec![absent]), 2, 7));
    assert!(failed.contains("and no pack has it"), "{failed}");
    let checked = repository.check(Data::All).unwrap();
    assert!(!checked.broken.contains_key(&honest) && checked.findings.len() == 9, "{checked:?}");
}

#[test]
fn a_tree_that_grows_beyond_the_disk_is_refused_before_a_byte_is_written() {
    let world = World::new();
    let repository = world.repository();
    let (_, ids) = plant_chunks(&repository, &[(BlobKind::Data, &[9; 1 << 20])]);
    // 64 TiB out of 4 KB in the repository.
    let pieces = vec![Piece::Chunk { id: ids[0], bytes: 1 << 20 }; 1 << 10];
    let bytes = (1_u64 << 30) * (1 << 16);
    let records = [folder(b""), file(b"bomb", bytes)];
    let contents = std::iter::repeat_n(Record::Contents(pieces), 1 << 10);
    let manifest: Vec<Record> = records.into_iter().chain(contents).chain([Record::Leave]).collect();
    let failed = world.refused(&repository, plant(&repository, &manifest, 2, bytes));
    assert!(failed.contains("are not as long as it"), "{failed}");
    let fitting: Vec<Record> =
        [folder(b""), file(b"bomb", 1 << 40)].into_iter().chain(manifest.into_iter().skip(2)).collect();
    let failed = world.refused(&repository, plant(&repository, &fitting, 2, 1 << 40));
    assert!(failed.contains("bytes free"), "{failed}");
}

#[test]
fn an_index_that_lies_changes_no_byte() {
    let world = World::new();
    let repository = world.repository();
    let (pack, ids) =
        plant_chunks(&repository, &[(BlobKind::Data, b"true content"), (BlobKind::Data, b"other bytes!")]);
    let piece = Piece::Chunk { id: ids[0], bytes: 12 };
    let records = [folder(b""), file(b"a", 12), Record::Contents(vec![piece]), Record::Leave];
    let snapshot = plant(&repository, &records, 2, 12);
    let mut lie = pack.clone();
    (lie.blobs[0].id, lie.blobs[1].id) = (ids[1], ids[0]);
    let bytes = seal(&repository.keys, Sealed::Index, &vec![lie]).unwrap();
    repository.put(Kind::Index, &bytes, "put index", &open).unwrap();
    let failed = world.refused(&repository, snapshot);
    assert!(failed.contains("is damaged: the seal of a blob"), "{failed}");
    let checked = repository.check(Data::None).unwrap();
    assert!(
        checked.findings[0].what == "its header is not what the index says" && checked.broken.len() == 1,
        "{checked:?}"
    );
}

/// Whoever writes to a repository can seal any content under any id: it is held against the id, read back or not.
#[test]
fn content_under_a_false_id_is_not_restored() {
    let world = World::new();
    let repository = world.repository();
    let id = BlobKind::Data.chunk(&repository.keys, b"true content");
    let (mut filling, mut sealer) = (Filling::default(), Sealer::new(&repository.keys, Clock::new(None)));
    let (blob, sealed) = sealer.seal(BlobKind::Data, id, b"other bytes!").unwrap();
    filling.add(blob, sealed, PACK_BYTES);
    let pack = filling.finish(&repository.keys).unwrap();
    repository.put(Kind::Pack, &pack.bytes, "put pack", &open).unwrap();
    let piece = Piece::Chunk { id, bytes: 12 };
    let records = [folder(b""), file(b"a", 12), Record::Contents(vec![piece]), Record::Leave];
    let snapshot = plant(&repository, &records, 2, 12);
    let failed = world.refused(&repository, snapshot);
    assert!(failed.contains("the content of a blob is not that of its id"), "{failed}");
    let target = world.folder.path().join("target");
    let order = Restoration { snapshot, target: &target, owners: Owners::Callers, verify: false };
    assert!(matches!(repository.restore(&order, &open), Err(BackupError::Damaged { .. })));
    assert!(repository.check(Data::All).unwrap().broken.contains_key(&snapshot));
}

#[test]
fn a_store_that_gives_endless_bytes_is_cut_off() {
    let world = World::new();
    let repository = world.repository();
    let id = Id([7; 32]);
    for kind in Kind::ALL {
        let path = world.store.root().join(crate::name::Name::Object(kind, id).to_string());
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::File::create(path).unwrap().set_len(1 << 40).unwrap();
    }
    let checked = repository.check(Data::All).unwrap();
    assert_eq!(checked.findings.len(), Kind::ALL.len(), "{checked:?}");
}

/// Values of which a change would make old repositories unreadable, or store everything again.
#[test]
fn values_of_the_format_stay() {
    let keys = Keys::new(Secret(std::array::from_fn(|place| place as u8)));
    let mut numbers = SplitMix64::new(1);
    let noise: Vec<u8> = (0..1 << 20).flat_map(|_| numbers.next().to_le_bytes()).collect();
    let cuts = |cutter: Cutter| {
        let mut rest = noise.as_slice();
        let lengths = std::iter::from_fn(|| {
            let (_, after) = rest.split_at(cutter.first(rest));
            let length = rest.len() - after.len();
            rest = after;
            (length > 0).then_some(length.to_string())
        });
        lengths.take(12).collect::<Vec<_>>().join(" ")
    };
    let extended = vec![(b"user.a".to_vec(), b"b".to_vec())];
    let attributes = Attributes { user: 1, group: 2, mode: 0o4755, modified_s: -1, modified_ns: 5, extended };
    let name = b"name".to_vec();
    let pieces = vec![Piece::Chunk { id: ChunkId([3; 32]), bytes: 7 }, Piece::Hole { bytes: 9 }];
    let records = [
        Record::Folder { name: vec![], attributes: attributes.clone() },
        Record::Leave,
        Record::File { name: name.clone(), attributes: attributes.clone(), bytes: 16, linked: true },
        Record::Link { name: name.clone(), attributes, target: b"to".to_vec() },
        Record::HardLink { name, to: b"a/b".to_vec() },
        Record::Contents(pieces),
    ];
    let mut found = format!("repository {}\n", keys.id);
    for kind in [BlobKind::Data, BlobKind::Manifest, BlobKind::Padding] {
        found += &format!("chunk of {kind:?} {}\n", kind.chunk(&keys, b"content"));
    }
    found += &format!("cut of data {}\n", cuts(Cutter::data(&keys.cut)));
    found += &format!("cut of manifests {}\n", cuts(Cutter::manifest(&keys.cut)));
    for record in records {
        found += &format!("{}\n", hex::encode(record.frame().unwrap()));
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/values.txt");
    if std::env::var_os("OPENMESH_UPDATE").is_some() {
        fs::write(&path, &found).unwrap();
    }
    assert_eq!(found, fs::read_to_string(path).unwrap());
}

#[test]
fn messages_say_what_where_and_what_to_do() {
    let id = Id([0xab; 32]);
    let short = |error: BackupError| error.to_string().replace(&"ab".repeat(32), "ID");
    let path = Path::new("/data/a").to_path_buf();
    let texts = [
        short(BackupError::damaged(crate::name::Name::Object(Kind::Pack, id), "its bytes are not those of its name")),
        short(BackupError::ChunkMissing { snapshot: id, chunk: "CHUNK".to_string() }),
        short(BackupError::Torn { path: path.clone() }),
        short(BackupError::NoRoom { path, need_bytes: 10, have_bytes: 9 }),
        short(BackupError::NoRepository),
    ];
    let want = [
        "packs/ab/ID is damaged: its bytes are not those of its name. Nothing was taken from it; run a check to see which snapshots need it",
        "snapshot ID needs chunk CHUNK, and no pack has it; restore another snapshot, or bring the lost pack back",
        "/data/a changed while it was read; back up a snapshot of the volume, or stop the application",
        "/data/a has 9 bytes free, and 10 are needed; make room, or choose another target",
        "there is no repository here: `format` is missing. Make one, or correct the place",
    ];
    assert_eq!(texts, want);
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]
    /// Bytes of strangers and whole objects with changed places are read or refused, and nothing else.
    #[test]
    fn decoders_refuse_and_never_panic(
        noise in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..400),
        places in proptest::collection::vec((proptest::prelude::any::<u16>(), proptest::prelude::any::<u8>()), 0..4),
    ) {
        let keys = Keys::new(Secret([1; 32]));
        let owner = [Identity::generate().unwrap()];
        let records = [folder(b""), file(b"a", 9), Record::Contents(vec![Piece::Hole { bytes: 9 }]), Record::Leave];
        let manifest: Vec<u8> = records.iter().flat_map(|record| record.frame().unwrap()).collect();
        let mut filling = Filling::default();
        let mut sealer = Sealer::new(&keys, Clock::new(None));
        let (blob, sealed) = sealer.seal(BlobKind::Data, BlobKind::Data.chunk(&keys, b"content"), b"content").unwrap();
        filling.add(blob, sealed, PACK_BYTES);
        let pack = filling.finish(&keys).unwrap().bytes;
        let key = crate::age::encrypt(&[owner[0].recipient()], b"secret").unwrap();
        for whole in [noise, manifest, pack, key] {
            let mut bytes = whole.clone();
            for (place, value) in &places {
                let length = bytes.len();
                if length > 0 {
                    bytes[usize::from(*place) % length] = *value;
                }
            }
            let _ = crate::manifest::read::<crate::manifest::Broken>(&bytes, |_, _| Ok(()));
            let _ = crate::age::decrypt(&owner, &bytes);
            let read = |from: u64, most: usize| {
                let from = usize::try_from(from).unwrap().min(bytes.len());
                Ok(bytes[from..bytes.len().min(from.saturating_add(most))].to_vec())
            };
            let _ = crate::pack::read_header(&keys, Id::of(&bytes), bytes.len() as u64, read);
            let _ = Opener::new(&keys, Clock::new(None)).open(&blob, &mut bytes.clone());
            let _ = crate::object::unseal::<Snapshot>(&keys, Sealed::Snapshot, &"it", &bytes);
        }
    }
}
