//! A copy of the checkout in which rules are broken.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::list::Mutant;

/// Tests of the binary. It is named beside each crate for the sake of its features alone, and a name of a test target would mean its own as well.
const LEFT_OUT: &str = "bin/openmesh/tests/";

/// A checkout with its copy.
pub struct Tree {
    checkout: PathBuf,
    copy: PathBuf,
}

impl Tree {
    /// A checkout with a folder for its copy; nothing is done yet.
    pub fn new(checkout: &Path, copy: PathBuf) -> Tree {
        Tree { checkout: checkout.into(), copy }
    }

    /// Folder of the copy.
    pub fn copy(&self) -> &Path {
        &self.copy
    }

    /// Brings the copy to the files of the checkout as they are now, tracked or about to be. What is the same keeps its time, so that cargo builds only
    /// what has changed; whatever else lies in the copy goes, as what a failed test has noted for its next run.
    ///
    /// # Errors
    /// git fails, or the system does.
    pub fn sync(&self) -> io::Result<()> {
        let files = self.files()?;
        std::fs::create_dir_all(&self.copy)?;
        remove_others(&self.copy, Path::new(""), &files)?;
        for file in &files {
            let (from, to) = (self.checkout.join(file), self.copy.join(file));
            // The copy is read first: most files are the same.
            if std::fs::read(&to).is_ok_and(|there| std::fs::read(&from).is_ok_and(|wanted| wanted == there)) {
                continue;
            }
            if let Some(folder) = to.parent() {
                std::fs::create_dir_all(folder)?;
            }
            std::fs::copy(&from, &to)?;
        }
        Ok(())
    }

    /// Breaks a rule in the copy.
    ///
    /// # Errors
    /// Its text is not there once, or the system fails.
    pub fn apply(&self, mutant: &Mutant) -> io::Result<()> {
        let path = self.copy.join(&mutant.file);
        let text = std::fs::read_to_string(&path)?;
        std::fs::write(path, mutant.applied(&text).map_err(io::Error::other)?)
    }

    /// Files of the checkout that git tracks or would take, from its root. Those that are gone are left out.
    fn files(&self) -> io::Result<BTreeSet<PathBuf>> {
        let listed = Command::new("git")
            .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
            .current_dir(&self.checkout)
            .output()?;
        if !listed.status.success() {
            return Err(io::Error::other(String::from_utf8_lossy(&listed.stderr).into_owned()));
        }
        let text = String::from_utf8_lossy(&listed.stdout);
        let names = text.split('\0').filter(|name| !name.is_empty() && !name.starts_with(LEFT_OUT));
        Ok(names.map(PathBuf::from).filter(|name| self.checkout.join(name).is_file()).collect())
    }
}

/// Removes files of a copy that are none of these, and folders that hold none.
fn remove_others(copy: &Path, below: &Path, files: &BTreeSet<PathBuf>) -> io::Result<()> {
    for entry in std::fs::read_dir(copy.join(below))? {
        let entry = entry?;
        let name = below.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            let holds = files.range(name.clone()..).next().is_some_and(|file| file.starts_with(&name));
            if holds {
                remove_others(copy, &name, files)?;
            } else {
                std::fs::remove_dir_all(copy.join(name))?;
            }
        } else if !files.contains(&name) {
            std::fs::remove_file(copy.join(name))?;
        }
    }
    Ok(())
}
