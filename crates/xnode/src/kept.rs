//! Generations as they were read last: their files do not change once they are written, and are asked for at every look.
//!
//! What is kept is told by the file's stamp. Whoever changes, replaces or removes a file changes that too, and it is read again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use openmesh_blueprint::Generation;
use openmesh_image::stamp::Stamp;
use openmesh_primitives::{Digest, Timestamp};

use crate::error::XnodeError;
use crate::guard::lock;
use crate::{Paths, marks};

/// Generations that are kept whole: the one that is wanted, the one that serves, and some of which instances are left.
const WHOLE_MAX: usize = 4;

/// The part of a generation by which it is kept on the disk, with its images.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Brief {
    /// Its number.
    pub number: u64,
    /// Its moment.
    pub at: Timestamp,
    /// Its images.
    pub images: BTreeSet<Digest>,
}

impl Brief {
    fn of(generation: &Generation) -> Brief {
        let resolved = generation.portable.applications.values();
        let images = resolved.map(|resolved| resolved.image.digest).collect();
        Brief { number: generation.number, at: generation.cause.at, images }
    }
}

/// Generations of an agent as they were read last, by number.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    whole: Mutex<BTreeMap<u64, (Stamp, Arc<Generation>)>>,
    briefs: Mutex<BTreeMap<u64, (Stamp, Brief)>>,
}

impl Kept {
    /// A generation.
    ///
    /// # Errors
    /// It is not here, or cannot be read.
    pub fn generation(&self, paths: &Paths, number: u64) -> Result<Arc<Generation>, XnodeError> {
        self.generation_at(paths, number, SystemTime::now())
    }

    fn generation_at(&self, paths: &Paths, number: u64, now: SystemTime) -> Result<Arc<Generation>, XnodeError> {
        let stamp = stamp(paths, number);
        if let Some((_, kept)) = lock(&self.whole).get(&number).filter(|(of, _)| Some(*of) == stamp) {
            return Ok(kept.clone());
        }
        let read = Arc::new(marks::generation(paths, number)?);
        let mut whole = lock(&self.whole);
        whole.remove(&number);
        if let Some(stamp) = stamp.filter(|stamp| stamp.is_settled(now)) {
            // The newest are those that are asked for.
            while whole.len() >= WHOLE_MAX && whole.pop_first().is_some() {}
            whole.insert(number, (stamp, read.clone()));
        }
        Ok(read)
    }

    /// The part of a generation by which it is kept.
    ///
    /// # Errors
    /// It is not here, or cannot be read.
    pub fn brief(&self, paths: &Paths, number: u64) -> Result<Brief, XnodeError> {
        self.brief_at(paths, number, SystemTime::now())
    }

    fn brief_at(&self, paths: &Paths, number: u64, now: SystemTime) -> Result<Brief, XnodeError> {
        let stamp = stamp(paths, number);
        if let Some((_, kept)) = lock(&self.briefs).get(&number).filter(|(of, _)| Some(*of) == stamp) {
            return Ok(kept.clone());
        }
        let read = Brief::of(&marks::generation(paths, number)?);
        let mut briefs = lock(&self.briefs);
        briefs.remove(&number);
        if let Some(stamp) = stamp.filter(|stamp| stamp.is_settled(now)) {
            briefs.insert(number, (stamp, read.clone()));
        }
        Ok(read)
    }

    /// Forgets those that are not there any more.
    pub fn keep(&self, there: &[u64]) {
        lock(&self.whole).retain(|number, _| there.contains(number));
        lock(&self.briefs).retain(|number, _| there.contains(number));
    }
}

/// Stamp of a generation's file, taken before it is read: what is read then is of this stamp or of a later one. None where there is no file.
fn stamp(paths: &Paths, number: u64) -> Option<Stamp> {
    Stamp::of(&paths.generations().join(number.to_string()))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::Duration;

    use openmesh_blueprint::catalogue::Catalogue;
    use openmesh_blueprint::document::Document;
    use openmesh_blueprint::generation::Cause;
    use openmesh_blueprint::resolve;
    use openmesh_blueprint::resolve::Allocations;
    use openmesh_primitives::canonical;

    use super::*;

    /// A generation without applications, made by somebody.
    fn generation(by: &str) -> Generation {
        let allocations = Allocations {
            node: "kitchen".parse().unwrap(),
            taken: BTreeMap::new(),
            highest: 0,
            busy: BTreeMap::new(),
            first_id: 1_000_000,
            id_ranges: 16,
            secrets: BTreeMap::new(),
            committed: 0,
            disposals: BTreeMap::new(),
            gone: BTreeSet::new(),
            gpus: openmesh_blueprint::gpu::Stock::default(),
        };
        let cause = Cause { by: by.into(), reason: "a test".into(), at: Timestamp(7) };
        let document = Document::parse("version: 1\napplications: {}\n").unwrap();
        resolve(&document, &Catalogue::default(), &allocations, None, cause).unwrap()
    }

    /// Folders with generation 1, and a moment long after it was written.
    fn folders() -> (tempfile::TempDir, Paths, SystemTime) {
        let folder = tempfile::tempdir().unwrap();
        let paths = Paths::new(folder.path().join("state"), folder.path().join("run"));
        marks::keep(&paths, &generation("ann"), &crate::open).unwrap();
        (folder, paths, SystemTime::now() + Duration::from_secs(3_600))
    }

    fn file(paths: &Paths) -> std::path::PathBuf {
        paths.generations().join("1")
    }

    /// Writes a file in its place until its stamp is another one: the clock of the file system goes in steps.
    fn write_in_place(paths: &Paths, bytes: &[u8]) {
        let before = stamp(paths, 1);
        while stamp(paths, 1) == before {
            fs::write(file(paths), bytes).unwrap();
        }
    }

    #[test]
    fn what_nobody_changed_is_read_once() {
        let (_folder, paths, later) = folders();
        let kept = Kept::default();
        let first = kept.generation_at(&paths, 1, later).unwrap();
        assert_eq!(*first, generation("ann"));
        assert!(Arc::ptr_eq(&first, &kept.generation_at(&paths, 1, later).unwrap()));
        let brief = Brief { number: 1, at: Timestamp(7), images: BTreeSet::new() };
        assert_eq!(kept.brief_at(&paths, 1, later).unwrap(), brief);
        assert_eq!(lock(&kept.briefs).len(), 1);
        kept.keep(&[2]);
        assert!(lock(&kept.briefs).is_empty() && lock(&kept.whole).is_empty());
    }

    #[test]
    fn a_change_by_anybody_is_read() {
        let (_folder, paths, later) = folders();
        let kept = Kept::default();
        let by = |kept: &Kept| kept.generation_at(&paths, 1, later).unwrap().cause.by.clone();
        assert_eq!((by(&kept), kept.brief_at(&paths, 1, later).unwrap().at), ("ann".to_string(), Timestamp(7)));
        // Of the same length, in the same file.
        write_in_place(&paths, &canonical::encode(&generation("bob")));
        assert_eq!(by(&kept), "bob");
        // By another file in its place.
        marks::replace(&file(&paths), &canonical::encode(&generation("eve"))).unwrap();
        assert_eq!(by(&kept), "eve");
        write_in_place(&paths, b"damaged");
        assert!(matches!(kept.generation_at(&paths, 1, later), Err(XnodeError::Mark { .. })));
        assert!(matches!(kept.brief_at(&paths, 1, later), Err(XnodeError::Mark { .. })));
        fs::remove_file(file(&paths)).unwrap();
        assert!(matches!(kept.generation_at(&paths, 1, later), Err(XnodeError::NoGeneration { number: 1 })));
        assert!(matches!(kept.brief_at(&paths, 1, later), Err(XnodeError::NoGeneration { number: 1 })));
    }

    /// Two changes within one step of the clock have one stamp: what was just written is not kept, nor what comes from the future.
    #[test]
    fn what_was_just_written_is_read_again() {
        let (_folder, paths, _) = folders();
        let kept = Kept::default();
        let written = fs::metadata(file(&paths)).unwrap().modified().unwrap();
        for now in [written, SystemTime::UNIX_EPOCH] {
            kept.generation_at(&paths, 1, now).unwrap();
            kept.brief_at(&paths, 1, now).unwrap();
            assert!(lock(&kept.briefs).is_empty() && lock(&kept.whole).is_empty());
        }
    }
}
