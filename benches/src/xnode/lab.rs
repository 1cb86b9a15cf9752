//! The rows' common ground: the product's programs, a folder, an agent and a podman, each made when a row first needs it.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};

use super::agent::Agent;
use super::podman::Podman;

/// The common ground of all rows. All of it goes with it.
pub struct Lab {
    /// Name of everything that is made here, which no other run has at the same time.
    pub name: String,
    /// Sizes and rounds are those of a trial.
    pub is_trial: bool,
    binary: PathBuf,
    agent: Option<Agent>,
    podman: Option<Podman>,
    folder: tempfile::TempDir,
}

impl Lab {
    /// A lab for the product's binary; nothing is made yet but a folder.
    ///
    /// # Errors
    /// There is no folder for temporary files.
    pub fn new(binary: PathBuf, is_trial: bool) -> anyhow::Result<Lab> {
        let folder = tempfile::Builder::new().prefix("openmesh-bench-").tempdir()?;
        // Users of their own, PostgreSQL's and those of containers, find their folders below it.
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o711))?;
        let name = format!("bench{}", std::process::id());
        Ok(Lab { name, is_trial, binary, agent: None, podman: None, folder })
    }

    /// Path of a program beside the binary.
    ///
    /// # Errors
    /// It is not there.
    pub fn program(&self, name: &str) -> anyhow::Result<PathBuf> {
        let path = self.binary.with_file_name(name);
        ensure!(path.is_file(), "{} is not there: make programs", path.display());
        Ok(path)
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A number of rounds, or that of a trial.
    pub fn rounds(&self, rounds: usize, trial: usize) -> usize {
        if self.is_trial { trial } else { rounds }
    }

    /// An agent of its own name.
    pub fn agent(&mut self) -> anyhow::Result<&mut Agent> {
        if self.agent.is_none() {
            self.agent = Some(Agent::new(&self.binary, &self.name, &self.folder.path().join("agent"))?);
        }
        self.agent.as_mut().context("an agent")
    }

    /// A podman with storage and network of its own.
    pub fn podman(&mut self) -> anyhow::Result<&Podman> {
        if self.podman.is_none() {
            self.podman = Some(Podman::new(&self.name, &self.folder.path().join("podman"))?);
        }
        self.podman.as_ref().context("a podman")
    }

    /// Agent and podman at once.
    pub fn both(&mut self) -> anyhow::Result<(&mut Agent, &Podman)> {
        self.agent()?;
        self.podman()?;
        self.agent.as_mut().zip(self.podman.as_ref()).context("an agent and a podman")
    }

    /// Removes everything, and says what could not be removed.
    pub fn end(mut self) -> anyhow::Result<()> {
        let agent = self.agent.take().map_or(Ok(()), Agent::end);
        let podman = self.podman.take().map_or(Ok(()), Podman::end);
        agent.and(podman)?;
        let path = self.folder.path().to_path_buf();
        self.folder.close().with_context(|| format!("{} cannot be removed", path.display()))
    }
}
