//! Images that were found unpacked: an inventory asks for each of them every few seconds, and their documents do not change.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use openmesh_primitives::Digest;

use crate::stamp::Stamp;

/// Images that are known at most: many times those of a machine. Nobody tells of images that go, so that they would pile up over years.
const IMAGES_MAX: usize = 1_024;

/// Images by the stamps of all files that were read for them.
#[derive(Debug, Default)]
pub(super) struct Known(Mutex<All>);

#[derive(Debug, Default)]
struct All {
    images: BTreeMap<Digest, Seen>,
    /// Times that stamps were taken.
    taken: u64,
}

#[derive(Debug)]
struct Seen {
    files: Vec<(PathBuf, Stamp)>,
    /// Number of the time at which the stamps were taken.
    taken: u64,
    /// They were read again after that, and said the same.
    confirmed: bool,
}

/// An image as it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// Nothing is known, or a file is another one by now: all of them are to be read.
    New,
    /// The files are the same, and were read only before their stamps were taken, which was this time: they are to be read once more.
    Same(u64),
    /// It is unpacked.
    Unpacked,
}

impl Known {
    fn lock(&self) -> MutexGuard<'_, All> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at the files of an image.
    pub fn look(&self, image: &Digest) -> Standing {
        let all = self.lock();
        let seen = all.images.get(image);
        let same = seen.filter(|seen| seen.files.iter().all(|(path, stamp)| Stamp::of(path) == Some(*stamp)));
        match same {
            Some(Seen { confirmed: true, .. }) => Standing::Unpacked,
            Some(seen) => Standing::Same(seen.taken),
            None => Standing::New,
        }
    }

    /// Notes that an image was found unpacked by its files, as it stood before they were read. Files that were just changed are not noted.
    pub fn note(&self, image: Digest, files: Vec<PathBuf>, before: Standing, now: SystemTime) {
        let mut all = self.lock();
        if let Some(seen) = all.images.get_mut(&image).filter(|seen| before == Standing::Same(seen.taken)) {
            seen.confirmed = true;
            return;
        }
        let stamps = files.into_iter().map(|path| {
            let stamp = Stamp::of(&path).filter(|stamp| stamp.is_settled(now))?;
            Some((path, stamp))
        });
        all.taken += 1;
        let taken = all.taken;
        match stamps.collect::<Option<Vec<_>>>() {
            Some(files) => {
                if all.images.len() >= IMAGES_MAX {
                    all.images.clear();
                }
                all.images.insert(image, Seen { files, taken, confirmed: false });
            }
            None => drop(all.images.remove(&image)),
        }
    }

    /// Forgets an image that is not unpacked.
    pub fn forget(&self, image: &Digest) {
        self.lock().images.remove(image);
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::Duration;

    use openmesh_primitives::sha256;

    use super::*;

    #[test]
    fn an_image_is_known_as_long_as_its_files_are_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let files: Vec<PathBuf> = ["manifest", "config", "record"].map(|name| folder.path().join(name)).into();
        for file in &files {
            fs::write(file, "a").unwrap();
        }
        let (known, image, later) =
            (Known::default(), sha256(&[b"image"]), SystemTime::now() + Duration::from_secs(60));
        let look = |now| {
            let standing = known.look(&image);
            if standing != Standing::Unpacked {
                known.note(image, files.clone(), standing, now);
            }
            standing
        };
        let written = fs::metadata(&files[0]).unwrap().modified().unwrap();
        assert_eq!([look(written), look(written)], [Standing::New; 2], "they were just written");
        let three = || [look(later), look(later), look(later)];
        let becomes_known = |[one, two, three]: [Standing; 3]| {
            one == Standing::New && matches!(two, Standing::Same(_)) && three == Standing::Unpacked
        };
        assert!(becomes_known(three()));
        assert_eq!(look(later), Standing::Unpacked);
        for file in &files {
            // Of the same length; the clock of the file system goes in steps.
            while known.look(&image) == Standing::Unpacked {
                fs::write(file, "b").unwrap();
            }
            assert!(becomes_known(three()), "{}", file.display());
        }
        fs::remove_file(&files[1]).unwrap();
        assert_eq!([look(later), look(later)], [Standing::New; 2]);
        fs::write(&files[1], "b").unwrap();
        assert!(becomes_known(three()));
        known.forget(&image);
        assert_eq!(known.look(&image), Standing::New);
    }

    #[test]
    fn images_that_are_asked_for_no_more_do_not_pile_up() {
        let known = Known::default();
        for number in 0..3 * IMAGES_MAX as u64 {
            known.note(sha256(&[&number.to_le_bytes()]), Vec::new(), Standing::New, SystemTime::now());
            assert!(known.lock().images.len() <= IMAGES_MAX);
        }
        let last = sha256(&[&(3 * IMAGES_MAX as u64 - 1).to_le_bytes()]);
        assert!(matches!(known.look(&last), Standing::Same(_)));
    }
}
