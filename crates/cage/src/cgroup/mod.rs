//! Control groups by files: found where the machine has them, written and read without a library.
//!
//! [`layout`] reads what is mounted, [`files`] says which file gets which text, [`usage`] reads figures: all pure. [`group`] does the effects. A machine
//! with any of the needed controllers on v1 is a v1 machine, also where the v2 hierarchy is mounted beside it (hybrid): a controller is in one
//! hierarchy at a time. There the v2 group has no controller, and still gives pressure and a kill in one stroke.

use std::io;
use std::path::{Path, PathBuf};

pub mod files;
pub mod group;
pub mod layout;
pub mod usage;

pub use group::Group;
pub use layout::Layout;
pub use usage::{Pressure, Usage};

/// Control groups that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CgroupError {
    /// Controllers are in no hierarchy.
    #[error(
        "no control group hierarchy has the controllers {missing}: mount them, or boot with `systemd.unified_cgroup_hierarchy=1`"
    )]
    Missing {
        /// Their names.
        missing: String,
    },
    /// A file or folder cannot be used.
    #[error("{path} cannot be {action}: {cause}")]
    Io {
        /// Its path.
        path: PathBuf,
        /// `read`, `written`, `made`, `removed`.
        action: &'static str,
        /// The system's word.
        cause: io::Error,
    },
    /// A file does not hold what the kernel's documentation says.
    #[error("{path} holds {text:?}, which is no {expected}")]
    Malformed {
        /// Its path.
        path: PathBuf,
        /// Its text, shortened.
        text: String,
        /// Expected form.
        expected: &'static str,
    },
    /// The group does not become as wanted.
    #[error("{path} is not {wanted} after {ms} ms: {left} processes are in it")]
    Late {
        /// Its path.
        path: PathBuf,
        /// `frozen`, `thawed`, `empty`.
        wanted: &'static str,
        /// Time waited, milliseconds.
        ms: u64,
        /// Processes in it.
        left: usize,
    },
}

impl CgroupError {
    fn io(path: &Path, action: &'static str) -> impl FnOnce(io::Error) -> CgroupError {
        move |cause| CgroupError::Io { path: path.into(), action, cause }
    }
}

/// Controllers that a limit or a figure needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Controller {
    /// Processor time limits.
    Cpu,
    /// Processor time figures; a controller of its own on v1 only.
    Cpuacct,
    /// Devices; a controller on v1 only.
    Devices,
    /// Stopping and going on; a controller on v1 only.
    Freezer,
    /// Memory.
    Memory,
    /// Processes.
    Pids,
}

impl Controller {
    /// All of them.
    pub const ALL: [Controller; 6] = [
        Controller::Cpu,
        Controller::Cpuacct,
        Controller::Devices,
        Controller::Freezer,
        Controller::Memory,
        Controller::Pids,
    ];
    /// Those that are controllers on v2.
    pub const UNIFIED: [Controller; 3] = [Controller::Cpu, Controller::Memory, Controller::Pids];

    /// Its name in the kernel.
    pub fn name(self) -> &'static str {
        match self {
            Controller::Cpu => "cpu",
            Controller::Cpuacct => "cpuacct",
            Controller::Devices => "devices",
            Controller::Freezer => "freezer",
            Controller::Memory => "memory",
            Controller::Pids => "pids",
        }
    }

    /// The controller with a name.
    pub fn named(name: &str) -> Option<Controller> {
        Self::ALL.into_iter().find(|controller| controller.name() == name)
    }
}
