//! Failures of an agent.

use std::io;
use std::path::PathBuf;

use openmesh_blueprint::document::Name;
use openmesh_blueprint::refusal::Refusal;

/// A failure of an agent.
#[derive(Debug, thiserror::Error)]
pub enum XnodeError {
    /// A file cannot be used.
    #[error("{}: {doing} has failed: {cause}", path.display())]
    File {
        /// Its path.
        path: PathBuf,
        /// The act.
        doing: &'static str,
        /// The system's word.
        cause: io::Error,
    },
    /// A mark or a generation is not of its form.
    #[error("{} cannot be read: {words}; it was written by another version, or is damaged", path.display())]
    Mark {
        /// Its path.
        path: PathBuf,
        /// The reason.
        words: String,
    },
    /// A generation that is not kept.
    #[error("generation {number} is not here; `openmesh app history` lists those that are kept")]
    NoGeneration {
        /// Its number.
        number: u64,
    },
    /// The wanted generation is older than the committed one.
    #[error(
        "generation {number} is older than {current}, which serves; a rollback is a new generation with the content of an old one"
    )]
    Older {
        /// Number of the wanted one.
        number: u64,
        /// Number of the committed one.
        current: u64,
    },
    /// Another generation is kept under this number.
    #[error("another generation {number} is kept already; resolve the document again, so that it gets the next number")]
    NumberTaken {
        /// The number.
        number: u64,
    },
    /// There is no plan.
    #[error("{}", words(refusals))]
    Refused {
        /// Every reason.
        refusals: Vec<Refusal>,
    },
    /// The machine cannot hold applications.
    #[error("{0}")]
    Machine(String),
    /// An instance cannot be made as its generation says.
    #[error("{application}: {words}")]
    Instance {
        /// The application.
        application: Name,
        /// The reason.
        words: String,
    },
    /// A secret is not here.
    #[error(
        "{application}: version {version} of the secret `{secret}` is not here; set it again with `openmesh xnode secret set {secret}`"
    )]
    NoSecret {
        /// The application.
        application: Name,
        /// The secret.
        secret: Name,
        /// Its version.
        version: u32,
    },
    /// A port of the host that another application of ours still has.
    #[error("{application}: port {port} of the host is still published for {by}, which keeps it until it can go on")]
    PortHeld {
        /// The application that wants it.
        application: Name,
        /// The port.
        port: openmesh_blueprint::generation::HostPort,
        /// Its holder.
        by: String,
    },
    /// Another agent works with this state, or under this name.
    #[error(
        "{} is held by another agent{}: two agents never work on one state or under one name; end the other one, or use another --name and state directory", path.display(), number(*pid)
    )]
    AnotherAgent {
        /// The lock that it holds.
        path: PathBuf,
        /// Number of its process, where it is known.
        pid: Option<u32>,
    },
    /// A restart that is refused.
    #[error(transparent)]
    NoRestart(#[from] crate::restarts::refusal::NoRestart),
    /// Something that this agent cannot do yet.
    #[error("{application}: {what} is not supported by this agent; take it out of the document")]
    Unsupported {
        /// The application.
        application: Name,
        /// The thing.
        what: &'static str,
    },
    /// The network.
    #[error(transparent)]
    Links(#[from] openmesh_links::LinksError),
    /// Allocations of the network that do not go together.
    #[error("{}", openmesh_links_words(.0))]
    Network(Vec<openmesh_links::Problem>),
    /// A volume.
    #[error(transparent)]
    Volume(#[from] openmesh_volume::VolumeError),
    /// The store of images.
    #[error(transparent)]
    Image(Box<openmesh_image::store::StoreError>),
    /// A pull.
    #[error(transparent)]
    Pull(Box<openmesh_image::pull::PullError>),
    /// Namespaces or a root.
    #[error(transparent)]
    Space(#[from] openmesh_cage::space::SpaceError),
    /// A control group.
    #[error(transparent)]
    Group(#[from] openmesh_cage::cgroup::CgroupError),
    /// A container.
    #[error(transparent)]
    Driver(#[from] openmesh_cage::driver::DriverError),
    /// A shim that did not start.
    #[error(transparent)]
    ShimStart(#[from] openmesh_shim::start::StartError),
    /// A shim that does not answer.
    #[error(transparent)]
    Shim(#[from] openmesh_shim::client::ClientError),
    /// The state of a shim.
    #[error(transparent)]
    ShimState(#[from] openmesh_shim::StateError),
}

impl From<openmesh_image::store::StoreError> for XnodeError {
    fn from(error: openmesh_image::store::StoreError) -> XnodeError {
        XnodeError::Image(Box::new(error))
    }
}

impl From<openmesh_image::pull::PullError> for XnodeError {
    fn from(error: openmesh_image::pull::PullError) -> XnodeError {
        XnodeError::Pull(Box::new(error))
    }
}

impl XnodeError {
    /// Makes the error of a file.
    pub(crate) fn file(doing: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> XnodeError {
        let path = path.into();
        move |cause| XnodeError::File { path, doing, cause }
    }
}

fn number(pid: Option<u32>) -> String {
    pid.map_or_else(String::new, |pid| format!(" (process {pid})"))
}

fn words(refusals: &[Refusal]) -> String {
    refusals.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

fn openmesh_links_words(problems: &[openmesh_links::Problem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}
