//! Errors of effects and observations.

use std::io;
use std::path::PathBuf;

/// An effect or observation that failed.
#[derive(Debug, thiserror::Error)]
pub enum LinksError {
    /// A program is not there.
    #[error("{program} cannot be started: install the Debian package {package}")]
    NoProgram {
        /// Its name.
        program: &'static str,
        /// Package that has it.
        package: &'static str,
        /// Cause.
        source: io::Error,
    },
    /// nft refused a text.
    #[error("nft refused to {task}: {output}")]
    Nft {
        /// Its task, in words.
        task: String,
        /// First lines of its output.
        output: String,
    },
    /// nft printed something that is not its JSON.
    #[error("the JSON of nft for {table} cannot be read ({reason}): this version of nft is not understood")]
    Json {
        /// Table.
        table: String,
        /// Reason.
        reason: String,
    },
    /// The kernel refused a request.
    #[error("the kernel refused to {task}")]
    Kernel {
        /// Its task, in words.
        task: String,
        /// Cause.
        source: io::Error,
    },
    /// A link has a name of ours and belongs to somebody else.
    #[error("the link {link} has a name of ours and is not ours (its alias is \"{alias}\"): rename or remove it")]
    Foreign {
        /// Name of the link.
        link: String,
        /// Its alias.
        alias: String,
    },
    /// An address is reached by somebody else's link.
    #[error("{address} is reached by the link {link}, which is not ours: give this agent another machine.subnet")]
    AddressTaken {
        /// The address.
        address: std::net::Ipv4Addr,
        /// The link.
        link: String,
    },
    /// A network namespace cannot be entered.
    #[error("the network namespace {path} cannot be entered: its instance may have ended")]
    Namespace {
        /// Path of the namespace.
        path: PathBuf,
        /// Cause.
        source: io::Error,
    },
    /// The namespace of an instance cannot be looked into.
    #[error("{address}: {reason}")]
    Closed {
        /// Address of the instance.
        address: std::net::Ipv4Addr,
        /// Reason.
        reason: String,
    },
    /// A program took too long and was killed.
    #[error("{program} did not end within {ms} ms and was killed")]
    Late {
        /// Its name.
        program: &'static str,
        /// Time given, milliseconds.
        ms: u64,
    },
    /// A file of the kernel or of our own cannot be read or written.
    #[error("{path} cannot be {task}")]
    File {
        /// The file.
        path: PathBuf,
        /// `read`, `written` or `removed`.
        task: &'static str,
        /// Cause.
        source: io::Error,
    },
    /// The door of effects failed; in use that is a test's doing.
    #[error("the effect {name} was not let through")]
    Effect {
        /// Name of the effect.
        name: String,
        /// Cause.
        source: io::Error,
    },
}

/// The door that every effect passes before (`name`) and after (`name.done`), handed in by the caller.
pub type Effect<'a> = &'a (dyn Fn(&str) -> io::Result<()> + Sync);

/// Passes the door, does one effect, and passes the door again.
pub(crate) fn through<T>(
    effect: Effect<'_>,
    name: &str,
    act: impl FnOnce() -> Result<T, LinksError>,
) -> Result<T, LinksError> {
    let pass = |name: String| effect(&name).map_err(|source| LinksError::Effect { name, source });
    pass(name.to_string())?;
    let value = act()?;
    pass(format!("{name}.done"))?;
    Ok(value)
}

/// Error of a refused request of the kernel.
pub(crate) fn kernel(task: impl Into<String>) -> impl FnOnce(io::Error) -> LinksError {
    let task = task.into();
    move |source| LinksError::Kernel { task, source }
}
