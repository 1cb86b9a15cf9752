//! Images of programs that this machine has already, with the libraries that they are linked to.
//!
//! Nothing is fetched, and no package manager runs: the files are those of this machine, so the image runs wherever they do. Its digest follows from their bytes.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::process::Command;

use openmesh_primitives::{Digest, sha256};
use sha2::{Digest as _, Sha256};

use super::kitchen::PATH;
use super::layer::Layer;
use super::{Built, RecipeError};
use crate::effect::Effect;
use crate::oci::Config;
use crate::store::Store;
use crate::tar::{Entry, Kind};

/// Word in the place of a release, in the note that an image was made.
const RELEASE: &str = "own";
/// Lists that programs look for: users, and where names of hosts are looked up.
const LISTS: [(&str, &str); 3] = [
    ("etc/group", "root:x:0:\napp:x:1000:\nnogroup:x:65534:\n"),
    ("etc/nsswitch.conf", "hosts: files dns\n"),
    ("etc/passwd", "root:x:0:0::/:/bin/sh\napp:x:1000:1000::/:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n"),
];

/// A file of this machine with its path in an image, which does not begin with `/`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Taken {
    /// Path on this machine; links are followed.
    pub source: PathBuf,
    /// Path in the image.
    pub target: String,
}

impl Store {
    /// Makes the image of programs with their libraries, and of further files, or finds it made, and adds it to what `owner` needs. The first program is its
    /// command.
    ///
    /// # Errors
    /// A program or a library is not there, `ldd` is not, or as [`Store::make`].
    pub fn make_own(
        &self,
        programs: &[Taken],
        files: &[Taken],
        owner: &str,
        effect: Effect<'_>,
    ) -> Result<Digest, RecipeError> {
        let mut taken: BTreeMap<String, (PathBuf, u32)> = BTreeMap::new();
        for program in programs {
            for library in libraries(&program.source)? {
                let target = library.display().to_string().trim_start_matches('/').to_string();
                taken.insert(target, (library, 0o755));
            }
        }
        taken.extend(files.iter().map(|file| (file.target.clone(), (file.source.clone(), 0o644))));
        taken.extend(programs.iter().map(|program| (program.target.clone(), (program.source.clone(), 0o755))));
        let hash = hash(&taken)?;
        let _held = self.hold(&format!("recipe-{hash}"))?;
        let collections = self.hold_off_collections()?;
        if let Some(built) = self.note(&hash)
            && self.state(&built.image).is_some()
        {
            self.lease_also(owner, built.image, effect)?;
            return Ok(built.image);
        }
        drop(collections);
        let scratch = self.root().join(format!("building-recipe-{hash}"));
        let disk = |cause| RecipeError::Disk { path: scratch.clone(), cause };
        effect("image.recipe.scratch").map_err(disk)?;
        crate::delete::folder_if_there(&scratch).map_err(disk)?;
        std::fs::create_dir_all(&scratch).map_err(disk)?;
        effect("image.recipe.scratch").map_err(disk)?;
        let command = programs.first().map(|program| format!("/{}", program.target));
        let made = self.gather(&taken, command, &scratch, owner, effect);
        // An error of the files is worth more than one of its remains, which the next start removes.
        let _ = crate::delete::folder_if_there(&scratch);
        let image = made?;
        let note = Built { image, suite: RELEASE.into() };
        self.keep_note(&hash, &serde_json::to_vec(&note).unwrap_or_default(), effect)?;
        Ok(image)
    }

    fn gather(
        &self,
        taken: &BTreeMap<String, (PathBuf, u32)>,
        command: Option<String>,
        scratch: &Path,
        owner: &str,
        effect: Effect<'_>,
    ) -> Result<Digest, RecipeError> {
        let mut layer = Layer::new(&scratch.join("own.spool"))?;
        let names = taken.keys().map(String::as_str).chain(LISTS.iter().map(|(name, _)| *name));
        for folder in folders(names).into_iter().chain(["tmp".to_string()]) {
            let mode = if folder == "tmp" { 0o1777 } else { 0o755 };
            let disk = |cause| RecipeError::Disk { path: scratch.to_path_buf(), cause };
            layer.add(entry(&folder, Kind::Directory, mode), &mut io::empty()).map_err(disk)?;
        }
        for (target, (source, mode)) in taken {
            let disk = |cause| RecipeError::Disk { path: source.clone(), cause };
            let mut file = File::open(source).map_err(disk)?;
            layer.add(entry(target, Kind::File, *mode), &mut file).map_err(disk)?;
        }
        for (name, text) in LISTS {
            layer.file(name.as_bytes(), 0o644, (0, 0), text.as_bytes())?;
        }
        let mut config = Config { env: vec![format!("PATH={PATH}")], ..Config::default() };
        config.command.extend(command);
        // From the first blob to the lease: a collection between the two would take the layer.
        let _collections = self.hold_off_collections()?;
        let (descriptor, diff_id) = layer.finish(self, effect)?;
        config.diff_ids.push(diff_id);
        self.seal(&config, &[descriptor], owner, effect)
    }
}

/// An entry without a content yet.
fn entry(name: &str, kind: Kind, mode: u32) -> Entry {
    Entry {
        name: name.as_bytes().to_vec(),
        kind,
        mode,
        uid: 0,
        gid: 0,
        mtime: 0,
        size: 0,
        link: Vec::new(),
        xattrs: Vec::new(),
    }
}

/// Every folder above some paths.
fn folders<'a>(paths: impl Iterator<Item = &'a str>) -> BTreeSet<String> {
    let mut folders = BTreeSet::new();
    for path in paths {
        folders.extend(path.match_indices('/').map(|(at, _)| path[..at].to_string()));
    }
    folders
}

/// Hash under which an image is kept: of its files' paths, modes and bytes.
fn hash(taken: &BTreeMap<String, (PathBuf, u32)>) -> Result<Digest, RecipeError> {
    let mut parts: Vec<Vec<u8>> = vec![b"openmesh own image 1".to_vec()];
    for (target, (source, mode)) in taken {
        let disk = |cause| RecipeError::Disk { path: source.clone(), cause };
        let mut hasher = Sha256::new();
        io::copy(&mut File::open(source).map_err(disk)?, &mut hasher).map_err(disk)?;
        parts.push(format!("{target}\n{mode:o}\n").into_bytes());
        parts.push(hasher.finalize().to_vec());
    }
    Ok(sha256(&parts.iter().map(Vec::as_slice).collect::<Vec<_>>()))
}

/// Libraries of a program and its loader, as this machine would load them; none of a program that is linked to nothing.
fn libraries(program: &Path) -> Result<BTreeSet<PathBuf>, RecipeError> {
    let disk = |cause| RecipeError::Disk { path: program.to_path_buf(), cause };
    File::open(program).map_err(disk)?;
    let listed = Command::new("ldd").arg(program).env_clear().env("PATH", PATH).env("LC_ALL", "C").output();
    let listed = match listed {
        Err(cause) if cause.kind() == ErrorKind::NotFound => {
            return Err(RecipeError::Missing { program: "ldd", package: "libc-bin" });
        }
        listed => listed.map_err(disk)?,
    };
    let text = format!("{}{}", String::from_utf8_lossy(&listed.stdout), String::from_utf8_lossy(&listed.stderr));
    if text.contains("statically linked") || text.contains("not a dynamic executable") {
        return Ok(BTreeSet::new());
    }
    if !listed.status.success() || text.contains("not found") {
        return Err(RecipeError::Program { program: "ldd", status: listed.status.to_string(), text });
    }
    Ok(text.split_whitespace().filter(|word| word.starts_with('/')).map(PathBuf::from).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::oci::Platform;

    fn taken(source: &str, target: &str) -> Taken {
        Taken { source: source.into(), target: target.into() }
    }

    #[test]
    fn an_image_of_this_machine_is_the_same_each_time_and_has_its_libraries() {
        let open = |_: &str| Ok(());
        let mut digests = BTreeSet::new();
        for _ in 0..2 {
            let folder = tempfile::tempdir().unwrap();
            let store = Store::open(folder.path(), Platform::here(), &open).unwrap();
            let programs = [taken("/bin/sh", "bin/sh")];
            let image = store.make_own(&programs, &[taken("/etc/passwd", "etc/name")], "test", &open).unwrap();
            assert_eq!(store.make_own(&programs, &[taken("/etc/passwd", "etc/name")], "test", &open).unwrap(), image);
            let other = store.make_own(&programs, &[], "test", &open).unwrap();
            assert_ne!(other, image, "other files are another image");
            let found = store.image(&image).unwrap();
            assert_eq!(found.config.command, ["/bin/sh"]);
            let bytes = store.read(&found.manifest.layers[0].digest).unwrap();
            let mut archive = crate::tar::Archive::new(bytes.as_slice());
            let mut names = BTreeSet::new();
            while let Some(entry) = archive.next().unwrap() {
                names.insert(String::from_utf8(entry.name).unwrap());
                std::io::copy(&mut archive.content(), &mut std::io::sink()).unwrap();
            }
            for library in libraries(Path::new("/bin/sh")).unwrap() {
                let name = library.display().to_string();
                assert!(names.contains(name.trim_start_matches('/')), "{name}: {names:?}");
            }
            assert!(names.contains("etc/nsswitch.conf") && names.contains("tmp"), "{names:?}");
            digests.insert(image);
        }
        assert_eq!(digests.len(), 1);
    }

    #[test]
    fn a_program_that_is_not_there_is_named() {
        let error = libraries(Path::new("/no/such/program")).unwrap_err();
        assert!(error.to_string().contains("/no/such/program"), "{error}");
        assert_eq!(folders(["a/b/c", "a/d"].into_iter()), BTreeSet::from(["a".to_string(), "a/b".to_string()]));
    }
}
