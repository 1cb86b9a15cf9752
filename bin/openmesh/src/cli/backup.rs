//! Command line of backups.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use openmesh_agent::Name;

use super::common::{AgentName, Output};

/// Arguments of whatever is waited for with its progress.
#[derive(Debug, Clone, Args)]
pub struct ActArgs {
    /// Return as soon as it has begun, without waiting for its end.
    #[arg(long)]
    pub no_wait: bool,
    /// Agent.
    #[command(flatten)]
    pub agent: AgentName,
    /// Output.
    #[command(flatten)]
    pub output: Output,
}

/// Arguments of `app restore`.
#[derive(Debug, Args)]
pub struct RestoreArgs {
    /// Application.
    pub name: Name,
    /// Backup, by its id or the first digits of it (openmesh app backups NAME lists them); the newest one without it.
    #[arg(long, value_name = "ID")]
    pub backup: Option<String>,
    /// Only this volume; may be given several times.
    #[arg(long = "volume", value_name = "VOLUME")]
    pub volumes: Vec<String>,
    /// Restore to a new application of this name, and leave the present one as it is.
    #[arg(long = "as", value_name = "NEW_NAME")]
    pub as_name: Option<Name>,
    /// Act.
    #[command(flatten)]
    pub act: ActArgs,
}

/// Arguments of `app drill`.
#[derive(Debug, Args)]
pub struct DrillArgs {
    /// Application.
    pub name: Name,
    /// Backup, by its id or the first digits of it; the newest one without it.
    #[arg(long, value_name = "ID")]
    pub backup: Option<String>,
    /// Act.
    #[command(flatten)]
    pub act: ActArgs,
}

/// Arguments of `app lines`.
#[derive(Debug, Args)]
pub struct LinesArgs {
    /// Application.
    pub name: Name,
    /// Remove this line with its data, as VOLUME:NUMBER.
    #[arg(long, value_name = "VOLUME:NUMBER", value_parser = volume_line)]
    pub drop: Option<(String, u32)>,
    /// Agent.
    #[command(flatten)]
    pub agent: AgentName,
    /// Output.
    #[command(flatten)]
    pub output: Output,
}

/// A line of a volume as a person writes it.
fn volume_line(text: &str) -> Result<(String, u32), String> {
    let parts = text.split_once(':').and_then(|(volume, line)| Some((volume.to_owned(), line.parse().ok()?)));
    parts.ok_or_else(|| "VOLUME:NUMBER is expected, as data:2".to_owned())
}

/// Keys of backups.
#[derive(Debug, Subcommand)]
pub enum BackupKeyCommand {
    /// Print the public halves of the owner's key and of this machine's.
    Show {
        /// Agent.
        #[command(flatten)]
        agent: AgentName,
        /// Output.
        #[command(flatten)]
        output: Output,
    },
    /// Make the owner's key, write it to a file and set its public half. Keep the file away from this machine: it opens the backups when the machine is lost.
    Make {
        /// File to write; must not exist.
        file: PathBuf,
        /// Take the place of another owner's key.
        #[arg(long)]
        replace: bool,
        /// Agent.
        #[command(flatten)]
        agent: AgentName,
    },
    /// Print the public keys of an owner's key: its recipient, and the key by which the owner reads at Xnodes that lend room. No agent is asked.
    Reading {
        /// File with the owner's key.
        #[arg(long, value_name = "FILE")]
        identity: PathBuf,
        /// Output.
        #[command(flatten)]
        output: Output,
    },
    /// Set the public half of the owner's key, made elsewhere (age-keygen, or backup-key make).
    Set {
        /// Recipient of age (age1...).
        recipient: String,
        /// Key by which the owner reads at Xnodes that lend room, as backup-key reading prints it.
        #[arg(long, value_name = "KEY")]
        reading: Option<String>,
        /// Take the place of another owner's key.
        #[arg(long)]
        replace: bool,
        /// Agent.
        #[command(flatten)]
        agent: AgentName,
    },
    /// Let this machine into the repository of a place that another machine, or this one before, has made.
    Join {
        /// Name of the place in the document.
        target: Name,
        /// File with the owner's key.
        #[arg(long, value_name = "FILE")]
        identity: PathBuf,
        /// Agent.
        #[command(flatten)]
        agent: AgentName,
    },
}

/// Arguments of `xnode restore`.
#[derive(Debug, Args)]
pub struct MachineArgs {
    /// Folder with the repository.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["s3", "peer"], required_unless_present_any = ["s3", "peer"])]
    pub folder: Option<PathBuf>,
    /// Address of an object store with the repository.
    #[arg(long, value_name = "URL", requires = "bucket", requires = "access_key", requires = "secret_key_file")]
    pub s3: Option<String>,
    /// Bucket; behind a slash the beginning of all keys in it.
    #[arg(long)]
    pub bucket: Option<String>,
    /// Region of the object store.
    #[arg(long)]
    pub region: Option<String>,
    /// Id of the access key.
    #[arg(long, value_name = "ID")]
    pub access_key: Option<String>,
    /// File with the secret access key.
    #[arg(long, value_name = "FILE")]
    pub secret_key_file: Option<PathBuf>,
    /// Address (HOST:PORT) of another Xnode with the repository, which lends room to this machine's key or knows the owner's reading key.
    #[arg(long, value_name = "ADDRESS", requires = "peer_key", conflicts_with = "s3")]
    pub peer: Option<String>,
    /// Key of that Xnode as a lender.
    #[arg(long, value_name = "KEY", requires = "peer")]
    pub peer_key: Option<String>,
    /// File with the owner's key; it is used and not kept.
    #[arg(long, value_name = "FILE")]
    pub identity: PathBuf,
    /// Id that the repository must have, from where you noted it.
    #[arg(long, value_name = "ID")]
    pub repository: Option<String>,
    /// Name of the machine, where the repository has several.
    #[arg(long, value_name = "NAME")]
    pub node: Option<String>,
    /// Restore; without it only what would be restored is shown.
    #[arg(long)]
    pub yes: bool,
    /// Act.
    #[command(flatten)]
    pub act: ActArgs,
}
