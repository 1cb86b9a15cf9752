//! Failures of the agent's service.

use std::io;
use std::path::PathBuf;

use openmesh_backup::BackupError;
use openmesh_blueprint::Unresolved;
use openmesh_blueprint::document::Name;
use openmesh_blueprint::nix::NixError;
use openmesh_blueprint::refusal::Refusal;
use openmesh_blueprint::text::Problem;
use openmesh_volume::VolumeError;
use openmesh_xnode::XnodeError;
use openmesh_xnode::restarts::NoRestart;

use crate::backups::BackupsError;
use crate::lending::LendingError;
use crate::machines::JoinError;
use crate::moves::MovesError;
use crate::publishers::CatalogueError;

/// A failure of the agent's service.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
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
    /// A file is not of its form.
    #[error("{} cannot be read: {words}; it was written by another version, or is damaged", path.display())]
    Damaged {
        /// Its path.
        path: PathBuf,
        /// The reason.
        words: String,
    },
    /// Another agent of this name runs.
    #[error("an agent `{name}` runs already (it holds {}); `openmesh xnode status --agent {name}` asks it", lock.display())]
    Running {
        /// Its name.
        name: Name,
        /// Its lock.
        lock: PathBuf,
    },
    /// The run folder is that of an agent with another state folder.
    #[error(
        "{} belongs to the agent whose state folder is {}, and nothing was touched; `{removes}` removes that one",
        run.display(), state.display()
    )]
    AnotherState {
        /// The run folder.
        run: PathBuf,
        /// State folder to which it belongs.
        state: PathBuf,
        /// Command that removes that agent.
        removes: String,
    },
    /// There is no agent to remove.
    #[error(
        "no agent `{name}` has the state folder {}, and nothing was touched; --agent and --agent-state name another one{}",
        state.display(), also(others)
    )]
    NoAgent {
        /// Its name.
        name: Name,
        /// The folder in which it would keep everything.
        state: PathBuf,
        /// Commands that remove the other agents of this machine.
        others: Vec<String>,
    },
    /// A program that the agent needs is not there.
    #[error("{} is missing; it belongs beside this program: `make build` makes both", path.display())]
    Program {
        /// Its path.
        path: PathBuf,
    },
    /// An agent has to be root.
    #[error("an agent needs root, to make namespaces, control groups and networks; start it with sudo")]
    NotRoot,
    /// No user ids are left for another agent.
    #[error("all {slots} ranges of user ids are held by other agents ({}); remove one with `openmesh xnode uninstall`", list.display())]
    NoIds {
        /// Number of ranges.
        slots: u32,
        /// File that lists their holders.
        list: PathBuf,
    },
    /// The document has problems.
    #[error("{}", lines(problems))]
    Document {
        /// All of them.
        problems: Vec<Problem>,
    },
    /// No generation can be made of the document.
    #[error("{}", lines(reasons))]
    Unresolved {
        /// All reasons.
        reasons: Vec<Unresolved>,
    },
    /// There is no way from the machine as it is to the document.
    #[error("{}", lines(refusals))]
    Refused {
        /// All refusals.
        refusals: Vec<Refusal>,
    },
    /// Somebody else changed the machine meanwhile.
    #[error(
        "generation {expected} was expected and {wanted} is wanted by now; look at the difference with `openmesh app diff {expected} {wanted}` and try again"
    )]
    Changed {
        /// Number that the caller had seen.
        expected: u64,
        /// Number that is wanted.
        wanted: u64,
    },
    /// A machine that is emptied.
    #[error("this machine is emptied and takes nothing new ({by}: {reason}); `openmesh xnode drain --off` undoes it")]
    Drained {
        /// Whoever asked for it.
        by: String,
        /// The reason.
        reason: String,
    },
    /// An application that is not there.
    #[error("there is no application `{name}`; there are {known}")]
    NoApplication {
        /// The name that was asked for.
        name: String,
        /// The names that are there.
        known: String,
    },
    /// A generation without its document.
    #[error("the document of generation {number} is not here")]
    NoDocument {
        /// Its number.
        number: u64,
    },
    /// A name that is none.
    #[error("{0}")]
    Name(String),
    /// A secret that cannot be kept.
    #[error("a secret has 1 to {max} bytes, and this one has {bytes}")]
    SecretSize {
        /// Its size.
        bytes: usize,
        /// The most.
        max: usize,
    },
    /// Too many secrets.
    #[error("there are {max} names of secrets already, removed ones among them, and no more can be kept")]
    SecretNames {
        /// The most.
        max: usize,
    },
    /// A secret that is not there.
    #[error("there is no secret `{0}`; `openmesh xnode secret list` shows those that are")]
    NoSecret(Name),
    /// A secret that is in use.
    #[error("the secret `{name}` is used by {by}; deploy a document without it first")]
    SecretUsed {
        /// Its name.
        name: Name,
        /// Its users.
        by: String,
    },
    /// Secrets that cannot be opened.
    #[error("{} cannot be opened with {}: one of them was changed or comes from another machine", sealed.display(), key.display())]
    Sealed {
        /// File with the secrets.
        sealed: PathBuf,
        /// File with their key.
        key: PathBuf,
    },
    /// An image whose documents cannot be had.
    #[error("{application}: {cause}")]
    Image {
        /// The application.
        application: Name,
        /// The cause.
        cause: Box<openmesh_image::pull::PullError>,
    },
    /// A recipe that cannot be built.
    #[error("{application}: {cause}")]
    Recipe {
        /// The application.
        application: Name,
        /// The cause.
        cause: Box<openmesh_image::recipe::RecipeError>,
    },
    /// Something is mounted where a folder is to be removed.
    #[error("something is mounted at {}, so that nothing there is removed; unmount it and try again", path.display())]
    Mounted {
        /// Its place.
        path: PathBuf,
    },
    /// A template that is not in this program.
    #[error("there is no template `{name}`; `openmesh app templates` lists those that are")]
    NoTemplate {
        /// The name that was asked for.
        name: String,
    },
    /// A catalogue of another publisher, or a template of one.
    #[error("{name}: {cause}")]
    Catalogue {
        /// Words for the catalogue.
        name: String,
        /// The cause.
        cause: Box<CatalogueError>,
    },
    /// An alert that is not open.
    #[error("no alert `{id}` is open; `openmesh xnode alerts` lists those that are")]
    NoAlert {
        /// The number that was asked for.
        id: String,
    },
    /// A webhook that is not in the document.
    #[error("the document has no webhook `{name}` in machine.alerts.webhooks")]
    NoWebhook {
        /// The name that was asked for.
        name: String,
    },
    /// An order from a template that cannot be done.
    #[error("{}", lines(faults))]
    Order {
        /// Every fault.
        faults: Vec<openmesh_templates::Fault>,
    },
    /// Settings that a person wrote.
    #[error("{}: {words}", path.display())]
    Settings {
        /// Their file.
        path: PathBuf,
        /// The reason.
        words: String,
    },
    /// Another owner is named already.
    #[error("{} names another owner, {owner}, and is not written over; an owner lets others in: `openmesh xnode access members`", path.display())]
    Owned {
        /// The file that names it.
        path: PathBuf,
        /// The owner.
        owner: openmesh_primitives::Address,
    },
    /// A refusal of access.
    #[error(transparent)]
    Refusal(#[from] openmesh_access::Refusal),
    /// The files of access.
    #[error(transparent)]
    Access(#[from] openmesh_access::AccessError),
    /// An agent that does not take over.
    #[error("{words}")]
    TakeOver {
        /// The reason.
        words: String,
    },
    /// The worker has ended.
    #[error("the thread that works on the machine has ended; its last words are in the log")]
    Worker,
    /// No randomness.
    #[error("the system gives no randomness: {0}")]
    Randomness(String),
    /// The machine.
    #[error(transparent)]
    Xnode(#[from] XnodeError),
    /// The store of images.
    #[error(transparent)]
    Store(#[from] openmesh_image::store::StoreError),
    /// The client of registries.
    #[error(transparent)]
    Pull(#[from] openmesh_image::pull::PullError),
    /// Backups, restores and drills.
    #[error(transparent)]
    Backups(#[from] BackupsError),
    /// A document that no value of Nix can hold.
    #[error(transparent)]
    Nix(Box<NixError>),
    /// Room for the backups of other machines.
    #[error(transparent)]
    Lending(#[from] LendingError),
    /// Moves of applications between machines.
    #[error(transparent)]
    Moves(#[from] MovesError),
    /// Joining another Xnode.
    #[error(transparent)]
    Join(#[from] JoinError),
}

impl From<NixError> for AgentError {
    fn from(error: NixError) -> AgentError {
        AgentError::Nix(Box::new(error))
    }
}

impl AgentError {
    /// Makes the error of a file.
    pub(crate) fn file(doing: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> AgentError {
        let path = path.into();
        move |cause| AgentError::File { path, doing, cause }
    }

    /// Returns true where another agent holds what this one needs.
    pub(crate) fn is_held(&self) -> bool {
        matches!(self, AgentError::Running { .. } | AgentError::Xnode(XnodeError::AnotherAgent { .. }))
    }

    /// A stable word for programs, and the status of HTTP that goes with it.
    pub(crate) fn code(&self) -> (&'static str, u16) {
        match self {
            AgentError::Document { .. } => ("document", 422),
            AgentError::Unresolved { .. } => ("unresolved", 422),
            AgentError::Refused { .. } | AgentError::Xnode(XnodeError::Refused { .. }) => ("refused", 409),
            AgentError::Changed { .. } => ("changed", 409),
            AgentError::Xnode(XnodeError::NoRestart(refused)) => no_restart(refused),
            AgentError::Drained { .. } => ("drained", 409),
            AgentError::NoApplication { .. } => ("no_application", 404),
            AgentError::NoDocument { .. } | AgentError::Xnode(XnodeError::NoGeneration { .. }) => {
                ("no_generation", 404)
            }
            AgentError::NoSecret(_) => ("no_secret", 404),
            AgentError::NoTemplate { .. } => ("no_template", 404),
            AgentError::Catalogue { cause, .. } => cause.code(),
            AgentError::NoAlert { .. } => ("no_alert", 404),
            AgentError::NoWebhook { .. } => ("no_webhook", 404),
            AgentError::Order { .. } => ("order", 422),
            AgentError::SecretUsed { .. } => ("secret_used", 409),
            AgentError::Name(_) | AgentError::SecretSize { .. } => ("value", 400),
            AgentError::SecretNames { .. } => ("secrets_full", 507),
            AgentError::Image { .. } => ("image", 502),
            AgentError::Recipe { .. } => ("recipe", 422),
            AgentError::Nix(_) => ("nix", 422),
            AgentError::Backups(error) => error.code(),
            AgentError::Lending(error) => error.code(),
            AgentError::Moves(error) => error.code(),
            AgentError::Join(error) => error.code(),
            AgentError::Refusal(refusal) => refusal.code(),
            _ => ("machine", 500),
        }
    }
}

fn no_restart(refused: &NoRestart) -> (&'static str, u16) {
    match refused {
        NoRestart::NoApplication { .. } => ("no_application", 404),
        NoRestart::NoInstance { .. } => ("no_instance", 404),
        NoRestart::NotRunning { .. } => ("not_running", 409),
        NoRestart::Held { .. } => ("held", 409),
        NoRestart::OnItsWay { .. } | NoRestart::First { .. } => ("on_its_way", 409),
    }
}

impl From<BackupError> for AgentError {
    fn from(error: BackupError) -> AgentError {
        AgentError::Backups(match error {
            BackupError::Cancelled => BackupsError::Cancelled,
            error => BackupsError::Repository(Box::new(error)),
        })
    }
}

impl From<openmesh_backup::StoreError> for AgentError {
    fn from(error: openmesh_backup::StoreError) -> AgentError {
        AgentError::Backups(BackupsError::Store(Box::new(error)))
    }
}

impl From<VolumeError> for AgentError {
    fn from(error: VolumeError) -> AgentError {
        AgentError::Backups(BackupsError::Volume(Box::new(error)))
    }
}

/// The agents that are there, each on a line with the command that removes it.
fn also(others: &[String]) -> String {
    let line = |other: &String| format!("\n  `{other}`");
    match others.is_empty() {
        true => String::new(),
        false => format!(", and there are:{}", others.iter().map(line).collect::<String>()),
    }
}

fn lines<T: ToString>(items: &[T]) -> String {
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}
