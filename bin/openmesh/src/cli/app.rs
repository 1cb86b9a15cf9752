//! Arguments of `app`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::common::{AgentName, ChangeArgs, Output};
use super::{backup, beside, files, import, moves, templates};

/// Options of an application's logs.
#[derive(Debug, Clone, Args)]
pub struct LogArgs {
    /// Application.
    pub name: openmesh_agent::Name,
    /// Go on with new lines.
    #[arg(long, short)]
    pub follow: bool,
    /// Last lines to begin with.
    #[arg(long, short = 'n', default_value_t = 200)]
    pub lines: usize,
    /// Only lines with this text.
    #[arg(long, value_name = "TEXT")]
    pub contains: Option<String>,
    /// Only this stream (stdout, stderr, shim).
    #[arg(long, value_name = "STREAM")]
    pub stream: Option<String>,
    /// Agent.
    #[command(flatten)]
    pub agent: AgentName,
    /// Output.
    #[command(flatten)]
    pub output: Output,
}

/// Fate of an application's data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DataFate {
    /// They stay until somebody says otherwise.
    Keep,
    /// They go after a day, if a backup was made since.
    Backup,
    /// They go after a day.
    Wipe,
}

/// Applications.
#[derive(Debug, Subcommand)]
pub enum AppCommand {
    /// List applications with their states.
    List {
        /// Only those in this state (running, starting, stopped, crash_loop, frozen, ended, failed, held, leaving).
        #[arg(long, value_name = "STATE")]
        state: Option<String>,
        /// Agent.
        #[command(flatten)]
        agent: AgentName,
        /// Output.
        #[command(flatten)]
        output: Output,
    },
    /// Tell why an application is as it is: state, cause, instances, last ends, volumes.
    Why {
        /// Application.
        name: openmesh_agent::Name,
        /// Agent.
        #[command(flatten)]
        agent: AgentName,
        /// Output.
        #[command(flatten)]
        output: Output,
    },
    /// Print the way to a document, and change nothing.
    Plan {
        /// Document in YAML or JSON; - is standard input.
        document: PathBuf,
        /// Look up every tag anew, as a deployment with this word does.
        #[arg(long)]
        refresh: bool,
        /// Show the secrets that a deployment with this word makes, and make none.
        #[arg(long)]
        make_secrets: bool,
        /// Agent.
        #[command(flatten)]
        agent: AgentName,
        /// Output.
        #[command(flatten)]
        output: Output,
    },
    /// Bring the machine to a document, and show each step.
    Deploy {
        /// Document in YAML or JSON; - is standard input.
        document: PathBuf,
        /// Look up every tag anew; without it, an application keeps the image that its tag led to.
        #[arg(long)]
        refresh: bool,
        /// Make the secrets that its templates make, and that are not there; without it they have to be there.
        #[arg(long)]
        make_secrets: bool,
        /// Change.
        #[command(flatten)]
        change: ChangeArgs,
    },
    /// Print an application's log.
    Logs(LogArgs),
    /// List generations: who, when, why.
    History {
        /// Agent.
        #[command(flatten)]
        agent: AgentName,
        /// Output.
        #[command(flatten)]
        output: Output,
    },
    /// Print the document of a generation (of the wanted one without a number).
    Show {
        /// Generation.
        generation: Option<u64>,
        /// Agent.
        #[command(flatten)]
        agent: AgentName,
    },
    /// Print what differs between two generations.
    Diff {
        /// Generation before.
        before: u64,
        /// Generation after.
        after: u64,
        /// Agent.
        #[command(flatten)]
        agent: AgentName,
        /// Output.
        #[command(flatten)]
        output: Output,
    },
    /// Go back to the content of an old generation, with the present data.
    Rollback {
        /// Generation.
        generation: u64,
        /// Line of data to return to; without it the present data stay.
        #[arg(long = "line", value_name = "APPLICATION/VOLUME:NUMBER")]
        lines: Vec<String>,
        /// Change.
        #[command(flatten)]
        change: ChangeArgs,
    },
    /// Start an application's instances anew, without a new version: one after another where it has several, else requests wait meanwhile.
    Restart(beside::RestartArgs),
    /// Remove an application.
    Remove {
        /// Application.
        name: openmesh_agent::Name,
        /// Fate of its data.
        #[arg(long, value_enum)]
        data: DataFate,
        /// Change.
        #[command(flatten)]
        change: ChangeArgs,
    },
    /// List templates of applications; with a name, show one with its options.
    Templates(templates::TemplatesArgs),
    /// Tell what applications cost by the prices of this machine's document: an hour, a month, and for what.
    Costs {
        /// Agent.
        #[command(flatten)]
        agent: AgentName,
        /// Output.
        #[command(flatten)]
        output: Output,
    },
    /// Catalogues of templates of other publishers: how old their copies are, and what is wrong with them.
    Catalogues(templates::CataloguesArgs),
    /// Make an application out of a template; questions are asked at a terminal.
    New(NewArgs),
    /// Bring an application to a newer version of its template, with its answers, its data and what was written beside the template.
    #[command(disable_version_flag = true)]
    Upgrade(templates::UpgradeArgs),
    /// Back up an application now, to the place that its document names.
    Backup {
        /// Application.
        name: openmesh_agent::Name,
        /// Act.
        #[command(flatten)]
        act: backup::ActArgs,
    },
    /// List the backups of an application.
    Backups {
        /// Application.
        name: openmesh_agent::Name,
        /// Agent.
        #[command(flatten)]
        agent: AgentName,
        /// Output.
        #[command(flatten)]
        output: Output,
    },
    /// Restore a backup: to a new line of each volume, which a new generation chooses; nothing is written over. Or as a new application.
    Restore(backup::RestoreArgs),
    /// Prove a backup: restore it to a scratch place and read all of it back.
    Drill(backup::DrillArgs),
    /// List the lines of data of an application, or remove one (openmesh app rollback chooses one).
    Lines(backup::LinesArgs),
    /// Run a program in an application, with what its first process has: openmesh app exec NAME [-it] -- COMMAND.
    Exec(beside::ExecArgs),
    /// List an application's jobs: when they run, and how they ended.
    Jobs(beside::JobsArgs),
    /// Run a job of an application to its end, with its log.
    Job(beside::JobArgs),
    /// List an application's processes: number on the machine and inside, user, state, share of a processor, memory, arguments without secrets.
    Processes(beside::ProcessesArgs),
    /// Show what an application uses: processors, memory, disk, network.
    Usage(beside::UsageArgs),
    /// Make a document of a compose file and tell what is not as in Docker; deploys nothing, ends with 1 where something is unsupported.
    Import(import::ImportArgs),
    /// Move an application with its data to another Xnode, while clients write; or undo that within an hour.
    Move(moves::MoveArgs),
    /// List the applications that leave this machine or come to it, and how the last moves ended.
    Moves(moves::MovesArgs),
    /// Files of an application: list, copy out and in, rename, remove.
    Files(files::FilesArgs),
}

/// Arguments of `app new`.
#[derive(Debug, Args)]
pub struct NewArgs {
    /// Template; one of another publisher as CATALOGUE/TEMPLATE.
    pub template: templates::TemplateName,
    /// Name of the application; the template's without it.
    pub name: Option<openmesh_agent::Name>,
    /// Answer to an option: memory=1GiB; a secret that is there already is secret:NAME.
    #[arg(long, value_name = "OPTION=ANSWER")]
    pub set: Vec<String>,
    /// Version of the template; the newest without it.
    #[arg(long, value_name = "VERSION")]
    pub template_version: Option<String>,
    /// Place of the machine for backups; without it the first one, where there is one.
    #[arg(long, value_name = "PLACE")]
    pub backups: Option<String>,
    /// Make no backups of what it keeps.
    #[arg(long, conflicts_with = "backups")]
    pub no_backups: bool,
    /// Ask nothing: options without an answer have their default.
    #[arg(long)]
    pub defaults: bool,
    /// Change.
    #[command(flatten)]
    pub change: ChangeArgs,
}
