//! Tags that are pinned: a reference that an application had already means the image that it has.

use std::collections::BTreeMap;

use openmesh_blueprint::catalogue::ImageFacts;
use openmesh_blueprint::document::{ImageReference, Origin};
use openmesh_blueprint::generation::ImageSource;
use openmesh_blueprint::{Document, Generation};

/// References of a document that need no registry: each application that had the same one in the generation before goes on with its digest. One that two
/// applications have with different digests is looked up, since nobody can say which is meant.
pub(crate) fn pinned(document: &Document, previous: Option<&Generation>) -> BTreeMap<ImageReference, ImageFacts> {
    let mut found: BTreeMap<ImageReference, Option<ImageFacts>> = BTreeMap::new();
    for (name, application) in &document.applications {
        let Some(Origin::Image(reference)) = application.origin() else { continue };
        let had = previous.and_then(|previous| previous.portable.applications.get(name)).map(|had| &had.image);
        let same = ImageSource::Registry(ImageReference { digest: None, ..reference.clone() });
        let Some(image) = had.filter(|image| reference.digest.is_none() && image.source == same) else { continue };
        let facts = ImageFacts { digest: image.digest, packed: image.packed, unpacked: image.unpacked };
        let entry = found.entry(reference.clone()).or_insert(Some(facts));
        if entry.is_some_and(|entry| entry.digest != facts.digest) {
            *entry = None;
        }
    }
    found.into_iter().filter_map(|(reference, facts)| Some((reference, facts?))).collect()
}

#[cfg(test)]
mod tests {
    use openmesh_blueprint::catalogue::Catalogue;
    use openmesh_blueprint::document::Size;
    use openmesh_blueprint::generation::Cause;
    use openmesh_blueprint::resolve;
    use openmesh_blueprint::resolve::Allocations;
    use openmesh_primitives::{Timestamp, sha256};

    use super::*;

    fn allocations() -> Allocations {
        Allocations {
            node: "kitchen".parse().unwrap(),
            taken: BTreeMap::new(),
            highest: 0,
            busy: BTreeMap::new(),
            first_id: 1_000_000,
            id_ranges: 8,
            secrets: BTreeMap::new(),
            committed: 0,
            disposals: BTreeMap::new(),
            gone: std::collections::BTreeSet::new(),
            gpus: openmesh_blueprint::gpu::Stock::default(),
        }
    }

    fn facts(word: &str) -> ImageFacts {
        ImageFacts { digest: sha256(&[word.as_bytes()]), packed: Size(1), unpacked: Size(2) }
    }

    fn generation(document: &Document, images: &[(&str, &str)]) -> Generation {
        let mut catalogue = Catalogue::default();
        for (reference, word) in images {
            catalogue.images.insert(reference.parse().unwrap(), facts(word));
        }
        let cause = Cause { by: "test".into(), reason: "a test".into(), at: Timestamp(0) };
        resolve(document, &catalogue, &allocations(), None, cause).unwrap()
    }

    #[test]
    fn a_tag_is_looked_up_once() {
        let text = "version: 1\napplications:\n  web: {image: \"shop:1\"}\n  db: {image: \"postgres:16\"}\n";
        let document = Document::parse(text).unwrap();
        let before = generation(&document, &[("shop:1", "a"), ("postgres:16", "b")]);
        assert_eq!(pinned(&document, None), BTreeMap::new());
        let all = pinned(&document, Some(&before));
        assert_eq!(all.values().map(|facts| facts.digest).collect::<Vec<_>>().len(), 2);
        assert_eq!(all[&"shop:1".parse::<ImageReference>().unwrap()], facts("a"));
        // Another tag, and a new application, are looked up.
        let text = text.replace("postgres:16", "postgres:17") + "  other: {image: \"shop:1\"}\n";
        let changed = pinned(&Document::parse(&text).unwrap(), Some(&before));
        assert_eq!(changed.keys().map(ToString::to_string).collect::<Vec<_>>().len(), 1, "{changed:?}");
    }
}
