//! Arguments of `xnode`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::common::{AgentName, Output};
use super::{access, backup, export, files, join, lend, machine, templates};

/// This machine as an Xnode.
#[derive(Debug, Subcommand)]
pub enum XnodeCommand {
    /// Run the agent of this machine (as root). Ending it ends no application.
    Agent(Box<machine::AgentArgs>),
    /// Let systemd run the agent: it starts with the machine, and everything comes back.
    #[command(subcommand)]
    Service(machine::ServiceCommand),
    /// Empty this machine: nothing new is deployed, and every application stops, until --off.
    Drain(machine::DrainArgs),
    /// Write a copy of a binary that carries the programs of an agent behind its own end (make install does it).
    #[command(hide = true)]
    Carry {
        /// Binary; this one without it.
        #[arg(long, value_name = "FILE")]
        binary: Option<PathBuf>,
        /// Folder with the programs.
        #[arg(long, value_name = "DIR")]
        programs: PathBuf,
        /// File to write.
        #[arg(long, value_name = "FILE")]
        to: PathBuf,
    },
    /// Look whether this machine can be an Xnode, with a remedy for each lack. Changes nothing; ends with 1 where something essential lacks.
    Check {
        /// Agent.
        #[command(flatten)]
        agent: AgentName,
        /// Output.
        #[command(flatten)]
        output: Output,
    },
    /// End every application and take everything of the agent away from this machine; without --wipe its data stay.
    Uninstall {
        /// Remove documents, secrets and volumes too.
        #[arg(long)]
        wipe: bool,
        /// Do it; without it is shown what would go.
        #[arg(long)]
        yes: bool,
        /// Agent.
        #[command(flatten)]
        agent: AgentName,
        /// Output.
        #[command(flatten)]
        output: Output,
    },
    /// Tell what the agent does, and what is wrong.
    Status {
        /// Agent.
        #[command(flatten)]
        agent: AgentName,
        /// Output.
        #[command(flatten)]
        output: Output,
    },
    /// Print what was done and why; --follow goes on with what happens.
    Events {
        /// Go on with new events.
        #[arg(long, short)]
        follow: bool,
        /// Agent.
        #[command(flatten)]
        agent: AgentName,
        /// Output.
        #[command(flatten)]
        output: Output,
    },
    /// Write this machine's document in another form: as a flake of NixOS with --nixos, which runs the agent and gives it the document.
    Export(export::ExportArgs),
    /// Write a binary as it was linked, and each program that it carries, into a folder (the package for NixOS does it).
    #[command(hide = true)]
    Apart {
        /// Binary; this one without it.
        #[arg(long, value_name = "FILE")]
        binary: Option<PathBuf>,
        /// Folder to write to.
        #[arg(long, value_name = "DIR")]
        to: PathBuf,
    },
    /// Print the JSON schema of documents.
    Schema {
        /// Agent.
        #[command(flatten)]
        agent: AgentName,
    },
    /// Secrets of applications: sealed on disk, named in documents, never printed.
    #[command(subcommand)]
    Secret(SecretCommand),
    /// Show the door: where it listens, where it leads, who waits; its certificates.
    Doors(DoorsArgs),
    /// Tell the state of all backups and drills, with causes; --cancel ends one that is under way.
    Backups {
        /// Stop this backup, restore or drill.
        #[arg(long, value_name = "NUMBER")]
        cancel: Option<u64>,
        /// Agent.
        #[command(flatten)]
        agent: AgentName,
        /// Output.
        #[command(flatten)]
        output: Output,
    },
    /// Room on this machine for the backups of other Xnodes: who, how much, until when.
    #[command(subcommand)]
    Lend(lend::LendCommand),
    /// Keys of backups: the owner's is made once, and opens them when the machine is lost.
    #[command(subcommand)]
    BackupKey(backup::BackupKeyCommand),
    /// Restore a whole machine, onto one without anything, from a repository and the owner's key.
    Restore(Box<backup::MachineArgs>),
    /// Write the settings of this machine's agent, once: its first owner, and the names under which people ask it.
    Init(access::InitArgs),
    /// Join the Xnode of an invitation, which standard input gives: this machine becomes one of the same owner (as root).
    Join(join::JoinArgs),
    /// List the machines that have joined this one; invite, and remove them.
    Machines(join::MachinesArgs),
    /// Members, API keys, sessions, the audit log.
    #[command(subcommand)]
    Access(access::AccessCommand),
    /// Tell what somebody should know: open alerts with what helps, and whether webhooks took them.
    Alerts(files::AlertsArgs),
    /// A publisher's side of a catalogue of templates: its key, its signed index.
    #[command(subcommand)]
    Catalogue(templates::CatalogueCommand),
}

/// The door.
#[derive(Debug, Args)]
pub struct DoorsArgs {
    /// Something else than a look at it.
    #[command(subcommand)]
    pub command: Option<DoorsCommand>,
    /// Agent.
    #[command(flatten)]
    pub agent: AgentName,
    /// Output.
    #[command(flatten)]
    pub output: Output,
}

/// Certificates of the door.
#[derive(Debug, Subcommand)]
pub enum DoorsCommand {
    /// Print the root of the own authority: installed once on a device, it trusts names of the house (.lan, .local, .home.arpa, .internal).
    Authority {
        /// Agent.
        #[command(flatten)]
        agent: AgentName,
    },
    /// Give a certificate for a name that the door serves, in place of any other one.
    Certificate {
        /// Host, such as shop.example.org.
        name: String,
        /// Chain as PEM, the host's own first.
        #[arg(long, value_name = "FILE")]
        chain: PathBuf,
        /// Key as PEM.
        #[arg(long, value_name = "FILE")]
        key: PathBuf,
        /// Agent.
        #[command(flatten)]
        agent: AgentName,
    },
    /// Forget the certificate of a name; a name of the house gets another one.
    Forget {
        /// Host.
        name: String,
        /// Agent.
        #[command(flatten)]
        agent: AgentName,
    },
}

/// Secrets.
#[derive(Debug, Subcommand)]
pub enum SecretCommand {
    /// Set a secret from standard input or a file; applications get it by the next deployment.
    Set {
        /// Name.
        name: openmesh_agent::Name,
        /// File with the value, taken byte by byte; standard input without it, less one last line break.
        #[arg(long, value_name = "FILE")]
        file: Option<PathBuf>,
        /// Agent.
        #[command(flatten)]
        agent: AgentName,
    },
    /// List secrets with their versions and users.
    List {
        /// Agent.
        #[command(flatten)]
        agent: AgentName,
        /// Output.
        #[command(flatten)]
        output: Output,
    },
    /// Remove a secret that no application has.
    Remove {
        /// Name.
        name: openmesh_agent::Name,
        /// Agent.
        #[command(flatten)]
        agent: AgentName,
    },
}
