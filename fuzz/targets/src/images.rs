//! Images: whatever a registry sends as a layer or a document, it is refused or means one thing.

use std::io::Read as _;

use openmesh_image::limits::{BLOB_BYTES_MAX, IMAGE_BYTES_MAX, LAYERS_MAX, PATH_BYTES_MAX};
use openmesh_image::oci::{
    CONFIG, Config, Descriptor, Document, INDEX, LAYER, MANIFEST, Manifest, Platform, write_config, write_manifest,
};
use openmesh_image::tar::{Archive, Entry, Kind, Writer};
use openmesh_primitives::sha256;

/// Entries with their contents, up to the first fault; true where there was none.
fn entries(bytes: &[u8]) -> (Vec<(Entry, Vec<u8>)>, bool) {
    let mut archive = Archive::new(bytes);
    let mut found = Vec::new();
    loop {
        match archive.next() {
            Ok(Some(entry)) => {
                let mut content = Vec::new();
                if archive.content().read_to_end(&mut content).is_err() {
                    return (found, false);
                }
                found.push((entry, content));
            }
            Ok(None) => return (found, true),
            Err(_) => return (found, false),
        }
    }
}

/// An archive is read, written and read again: names are bounded, contents are as long as they say, and the second reading equals the first.
pub fn archive(data: &[u8]) {
    let (found, _) = entries(data);
    let mut writer = Writer::new(Vec::new());
    for (entry, content) in &found {
        for text in [&entry.name, &entry.link] {
            assert!(text.len() <= PATH_BYTES_MAX && !text.contains(&0));
        }
        assert!(!entry.name.is_empty() && entry.mode <= 0o7777);
        assert_eq!(content.len() as u64, entry.size);
        assert!(entry.kind == Kind::File || entry.size == 0);
        assert!(entry.link.is_empty() || matches!(entry.kind, Kind::HardLink | Kind::Symlink));
        writer.append(entry, &mut content.as_slice()).expect("memory");
    }
    let written = writer.finish().expect("memory");
    let (again, whole) = entries(&written);
    assert!(whole, "what was written cannot be read");
    assert_eq!(again.len(), found.len());
    for ((first, content), (second, copied)) in found.iter().zip(&again) {
        // An attribute without a value is the same as none, and one without a name has no place.
        let seen = |entry: &Entry| Entry { xattrs: Vec::new(), ..entry.clone() };
        assert_eq!(seen(first), seen(second));
        assert_eq!(content, copied);
    }
}

/// Seeds of [`archive`].
pub fn archive_seeds() -> Vec<Vec<u8>> {
    let entry = |name: &[u8], kind, link: &[u8]| Entry {
        name: name.to_vec(),
        kind,
        mode: 0o755,
        uid: 1,
        gid: 2,
        mtime: 3,
        size: 0,
        link: link.to_vec(),
        xattrs: Vec::new(),
    };
    let pack = |entries: &[(Entry, &[u8])]| {
        let mut writer = Writer::new(Vec::new());
        for (entry, content) in entries {
            let entry = Entry { size: content.len() as u64, ..entry.clone() };
            writer.append(&entry, &mut &**content).expect("memory");
        }
        writer.finish().expect("memory")
    };
    let long = [b"d/".repeat(80), b"end".to_vec()].concat();
    let xattrs = vec![(b"user.a".to_vec(), b"b=c\n".to_vec())];
    vec![
        Vec::new(),
        pack(&[(entry(b"a", Kind::Directory, b""), b""), (entry(b"a/b", Kind::File, b""), b"content")]),
        pack(&[
            (entry(b"l", Kind::Symlink, b"../x"), b""),
            (entry(b"h", Kind::HardLink, b"a"), b""),
            (entry(b"p", Kind::Fifo, b""), b""),
        ]),
        pack(&[(entry(&long, Kind::File, b""), b"x"), (entry(b"s", Kind::Symlink, &long), b"")]),
        pack(&[(Entry { uid: 1 << 40, mtime: 1 << 40, xattrs, ..entry(b"\xff", Kind::File, b"") }, b"y")]),
        pack(&[(entry(b".wh.a", Kind::File, b""), b""), (entry(b"b/.wh..wh..opq", Kind::File, b""), b"")]),
    ]
}

/// A document is read as an index or a manifest, never both, within its bounds; a configuration is written and read again.
pub fn document(data: &[u8]) {
    let platform = Platform { os: "linux".into(), architecture: "amd64".into(), variant: None };
    match Document::parse(data, None) {
        Ok(Document::Manifest(manifest)) => {
            assert!(manifest.layers.len() <= LAYERS_MAX && manifest.bytes() <= IMAGE_BYTES_MAX);
            assert!(manifest.blobs().all(|blob| blob.size <= BLOB_BYTES_MAX));
            assert!(manifest.layers.iter().all(|layer| layer.compression().is_ok()));
            let written = write_manifest(&manifest.config, &manifest.layers);
            assert_eq!(Document::parse(&written, Some(MANIFEST)), Ok(Document::Manifest(manifest)));
            assert!(Document::parse(data, Some(INDEX)).is_err());
        }
        Ok(Document::Index(index)) => {
            if let Ok(chosen) = index.choose(&platform) {
                assert!(index.manifests.iter().any(|(descriptor, _)| descriptor == chosen));
            }
            assert!(Document::parse(data, Some(MANIFEST)).is_err());
        }
        Err(_) => {}
    }
    if let Ok(config) = Config::parse(data) {
        assert!(config.diff_ids.len() <= LAYERS_MAX);
        assert_eq!(Config::parse(&write_config(&config, &platform)), Ok(config));
    }
}

/// Seeds of [`document`].
pub fn document_seeds() -> Vec<Vec<u8>> {
    let blob =
        |kind: &str, text: &str| Descriptor { media_type: kind.into(), digest: sha256(&[text.as_bytes()]), size: 7 };
    let manifest = Manifest {
        config: blob(CONFIG, "c"),
        layers: vec![blob(LAYER, "a"), blob("application/vnd.oci.image.layer.v1.tar+gzip", "b")],
    };
    let digest = sha256(&[b"m"]);
    let index = format!(
        "{{\"schemaVersion\":2,\"manifests\":[{{\"mediaType\":\"{MANIFEST}\",\"digest\":\"sha256:{digest}\",\"size\":9,\"platform\":{{\"os\":\"linux\",\"architecture\":\"amd64\"}}}}]}}"
    );
    let config = Config {
        diff_ids: vec![digest],
        env: vec!["A=b".into()],
        command: vec!["/x".into()],
        exposed: vec!["80/tcp".into()],
        ..Config::default()
    };
    let platform = Platform { os: "linux".into(), architecture: "arm64".into(), variant: Some("v8".into()) };
    vec![
        write_manifest(&manifest.config, &manifest.layers),
        index.into_bytes(),
        write_config(&config, &platform),
        b"{\"schemaVersion\":1,\"fsLayers\":[]}".to_vec(),
    ]
}
