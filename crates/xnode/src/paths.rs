//! Places of an agent's files.
//!
//! ```text
//! STATE/current  target                 numbers of generations
//!       generations/N                   canonical bytes of a generation
//!       published.json                  mark: ports of the host that are given out
//!       applications/NAME/door.json     mark: traffic at the door
//!                        /jobs.json     mark: jobs of a switch that ended with 0
//!                        /failed-job.json               mark: a job of a switch that has failed
//!                        /probation.json
//!                        /restart.json  mark: instances that are to be started anew
//!                        /page.json     mark: text of its maintenance page
//!                        /instances/REVISION.INDEX/instance.json   what it was made of
//!                                                 /shim.json  started.json  gate.json  over.json  files/
//!       logs/NAME/REVISION.INDEX/       log of an instance, kept as long as a generation that has the revision
//!       images/  volumes/               the stores of these rooms
//!       programs/                       helpers of this version
//! RUN/  names/ID/user  net              namespaces of an instance
//!       roots/ID                        its root
//!       shims/ID/                       its shim: socket, lock, state, process number; its bundle, and files whose content is a secret
//!       states/                         the driver's
//!       marks/                          the network's
//!       cdi/                            descriptions of GPUs, for other programs too
//! ```
//!
//! RUN is on a memory file system: nothing in it outlives the machine's run.

use std::path::{Path, PathBuf};

use openmesh_blueprint::document::Name;
use openmesh_blueprint::inventory::InstanceId;

/// Folders of one agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paths {
    state: PathBuf,
    run: PathBuf,
}

/// Name of an instance on this machine: that of its application and its own.
pub fn instance_name(application: &Name, instance: &InstanceId) -> String {
    format!("{application}-{instance}")
}

impl Paths {
    /// Folders below which everything of the agent lies.
    pub fn new(state: impl Into<PathBuf>, run: impl Into<PathBuf>) -> Paths {
        Paths { state: state.into(), run: run.into() }
    }

    /// Folder of what outlives the machine's run.
    pub fn state(&self) -> &Path {
        &self.state
    }

    /// Folder of what does not.
    pub fn run(&self) -> &Path {
        &self.run
    }

    /// File with the number of the committed generation.
    pub fn current(&self) -> PathBuf {
        self.state.join("current")
    }

    /// File with the number of the wanted generation.
    pub fn target(&self) -> PathBuf {
        self.state.join("target")
    }

    /// Folder of generations.
    pub fn generations(&self) -> PathBuf {
        self.state.join("generations")
    }

    /// File of published ports.
    pub fn published(&self) -> PathBuf {
        self.state.join("published.json")
    }

    /// Folder of all applications.
    pub fn applications(&self) -> PathBuf {
        self.state.join("applications")
    }

    /// Folder of an application's marks.
    pub fn application(&self, name: &Name) -> PathBuf {
        self.applications().join(name.as_str())
    }

    /// File with the text of an application's maintenance page.
    pub fn page(&self, name: &Name) -> PathBuf {
        self.application(name).join("page.json")
    }

    /// Folder of an application's instances.
    pub fn instances(&self, name: &Name) -> PathBuf {
        self.application(name).join("instances")
    }

    /// Folder of an instance.
    pub fn instance(&self, name: &Name, instance: &InstanceId) -> PathBuf {
        self.instances(name).join(instance.to_string())
    }

    /// Folder of the logs of all applications.
    pub fn all_logs(&self) -> PathBuf {
        self.state.join("logs")
    }

    /// Folder of the logs of an application's instances, those that are there and those that were.
    pub fn logs(&self, name: &Name) -> PathBuf {
        self.all_logs().join(name.as_str())
    }

    /// Folder of an instance's log.
    pub fn log(&self, name: &Name, instance: &InstanceId) -> PathBuf {
        self.logs(name).join(instance.to_string())
    }

    /// Folder of the images' store.
    pub fn images(&self) -> PathBuf {
        self.state.join("images")
    }

    /// Folder of the volumes.
    pub fn volumes(&self) -> PathBuf {
        self.state.join("volumes")
    }

    /// Folder of helpers.
    pub fn programs(&self) -> PathBuf {
        self.state.join("programs")
    }

    /// Folder of an instance's namespaces.
    pub fn namespaces(&self, instance: &str) -> PathBuf {
        self.run.join("names").join(instance)
    }

    /// Place of an instance's root.
    pub fn root(&self, instance: &str) -> PathBuf {
        self.run.join("roots").join(instance)
    }

    /// Folder of an instance's shim.
    pub fn shim(&self, instance: &str) -> PathBuf {
        self.run.join("shims").join(instance)
    }

    /// Folder of the driver's states.
    pub fn states(&self) -> PathBuf {
        self.run.join("states")
    }

    /// Folder of descriptions of GPUs.
    pub fn descriptions(&self) -> PathBuf {
        self.run.join("cdi")
    }

    /// Folder of the network's marks.
    pub fn network_marks(&self) -> PathBuf {
        self.run.join("marks")
    }
}
