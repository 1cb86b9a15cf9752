//! The command line.

pub mod access;
pub mod backup;
pub mod beside;
mod common;
pub mod files;
pub mod import;
pub mod machine;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use openmesh_ledger::{WINDOW_MS_MAX, WINDOW_MS_MIN};

pub use common::{AgentName, Output};

/// Heading of the options that every command has, behind its own.
const LOGGING: &str = "Logging";

/// A decentralized cloud, data and oracle network in one binary.
#[derive(Debug, Parser)]
#[command(version, propagate_version = true, arg_required_else_help = true)]
pub struct Cli {
    /// Log filter: error, warn, info, debug, trace, or by module (info,openmesh_engine=debug).
    #[arg(long, global = true, env = "OPENMESH_LOG", default_value = "warn", help_heading = LOGGING)]
    pub log: String,
    /// Format of log lines.
    #[arg(long, global = true, env = "OPENMESH_LOG_FORMAT", value_enum, default_value_t = LogFormat::Text, help_heading = LOGGING)]
    pub log_format: LogFormat,
    /// Subcommand.
    #[command(subcommand)]
    pub command: Command,
}

/// Format of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Start a whole network on this machine: validators, collectors, API and Studio.
    Up(UpArgs),
    /// Stop the networks on this machine that openmesh up started, also where it was lost.
    Down(DownArgs),
    /// Run one node from its home directory.
    Node(NodeArgs),
    /// Serve venues (simulated, or replayed from recordings) through their own protocols.
    Venues(VenuesArgs),
    /// Ask a node in SQL.
    Sql(SqlArgs),
    /// Check a downloaded window offline: file, CID, ledger state, header, signatures.
    Verify(VerifyArgs),
    /// Tell how a node does, and what is wrong with it.
    #[command(visible_alias = "status")]
    Doctor(DoctorArgs),
    /// This machine as an Xnode: its agent, its state, its secrets.
    #[command(subcommand)]
    Xnode(XnodeCommand),
    /// Applications on this machine: deploy, look, change, return, remove.
    #[command(subcommand)]
    App(AppCommand),
    /// Market data tools.
    #[command(subcommand)]
    Market(MarketCommand),
    /// Chain data tools.
    #[command(subcommand)]
    Chain(ChainCommand),
    /// Accounts: make a key, look at a balance, send OPEN.
    #[command(subcommand)]
    Account(AccountCommand),
}

/// Arguments of `up`.
#[derive(Debug, Args)]
pub struct UpArgs {
    /// Serve the recordings in this folder through each venue's own protocol.
    #[arg(long, value_name = "DIR", conflicts_with_all = ["simulate", "live"])]
    pub replay: Option<PathBuf>,
    /// Only these recordings of the folder (names, separated by commas).
    #[arg(long, value_name = "SETS", value_delimiter = ',', requires = "replay")]
    pub sets: Vec<String>,
    /// Speed of the replay: 1, 4, any whole number, or max.
    #[arg(long, default_value = "1", requires = "replay", value_parser = speed)]
    pub speed: String,
    /// Use the simulated market, also where the venues can be reached.
    #[arg(long, conflicts_with = "live")]
    pub simulate: bool,
    /// Use the live venues; fail where they cannot be reached.
    #[arg(long)]
    pub live: bool,
    /// Number of validators, 1 to 16; it stays as it was when the network was made.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=16))]
    pub validators: u32,
    /// Home of the network (~/.openmesh where not given); each kind of market has its own network there.
    #[arg(long, value_name = "DIR", env = "OPENMESH_HOME")]
    pub home: Option<PathBuf>,
    /// Port of Studio and the API of the first validator, the others follow; 0 takes any free ones.
    #[arg(long, default_value_t = 8420)]
    pub port: u16,
    /// Length of a market window on the venues' clocks, chosen when a network is made (10s where not given): 500ms, 10s, 10m.
    #[arg(long, value_name = "LENGTH", value_parser = window)]
    pub window: Option<WindowMs>,
    /// Seed of the simulated market, for the same market again.
    #[arg(long)]
    pub seed: Option<u64>,
    /// Market events a second that the simulation makes.
    #[arg(long, default_value_t = 300)]
    pub rate: u32,
    /// Drill: this validator (0 is the first) alters the prices of a stream (kraken/BTC.USD/trades) before attesting.
    #[arg(long, value_name = "N:SOURCE/SYMBOL/FEED", hide = true)]
    pub drill_alter: Option<String>,
    /// Start no agent of the Xnode, which runs applications on this machine.
    #[arg(long, env = "OPENMESH_NO_XNODE")]
    pub no_xnode: bool,
}

/// Arguments of `down`.
#[derive(Debug, Args)]
pub struct DownArgs {
    /// The folder given to openmesh up (~/.openmesh where none was), or one network's folder in it.
    #[arg(long, value_name = "DIR", env = "OPENMESH_HOME")]
    pub home: Option<PathBuf>,
}

/// Arguments of `node`.
#[derive(Debug, Args)]
pub struct NodeArgs {
    /// The node's home directory: node.toml, genesis.json, validator.key and its data.
    #[arg(long, value_name = "DIR", env = "OPENMESH_NODE_HOME")]
    pub home: PathBuf,
}

/// Arguments of `venues`.
#[derive(Debug, Args)]
pub struct VenuesArgs {
    /// Address to listen on.
    #[arg(long, default_value = "127.0.0.1:0")]
    pub listen: std::net::SocketAddr,
    /// Folder that holds this server's lock and record, by which openmesh up finds it again.
    #[arg(long, value_name = "DIR", hide = true)]
    pub home: Option<PathBuf>,
    /// Replay the recordings in this folder; the simulation runs without it.
    #[arg(long, value_name = "DIR")]
    pub replay: Option<PathBuf>,
    /// Only these recordings of the folder.
    #[arg(long, value_name = "SETS", value_delimiter = ',', requires = "replay")]
    pub sets: Vec<String>,
    /// Speed of the replay: 1, 4, any whole number, or max.
    #[arg(long, default_value = "1", requires = "replay", value_parser = speed)]
    pub speed: String,
    /// Hold the replay until this many connections are open.
    #[arg(long, default_value_t = 1, requires = "replay")]
    pub hold: u32,
    /// Seed of the simulation.
    #[arg(long)]
    pub seed: Option<u64>,
    /// Events a second of the simulation.
    #[arg(long, default_value_t = 300)]
    pub rate: u32,
    /// Delay each frame by a random time up to this many milliseconds.
    #[arg(long, default_value_t = 0)]
    pub jitter_ms: u64,
}

/// A speed as the venues' server takes it.
fn speed(text: &str) -> Result<String, String> {
    let times = text.strip_suffix('x').unwrap_or(text);
    match times.parse::<u32>() {
        _ if text == "max" => Ok(text.to_owned()),
        Ok(1..=10_000) => Ok(times.to_owned()),
        _ => Err("1 to 10000, or max, is expected".to_owned()),
    }
}

/// Length of a market window, milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WindowMs(pub u64);

/// A window's length as a person writes it, within what the ledger takes.
fn window(text: &str) -> Result<WindowMs, String> {
    let length = humantime::parse_duration(text).map_err(|_| "a length such as 500ms, 10s or 10m is expected")?;
    let ms = u64::try_from(length.as_millis()).unwrap_or(u64::MAX);
    let is_whole = length.subsec_nanos() % 1_000_000 == 0;
    if !is_whole || !(WINDOW_MS_MIN..=WINDOW_MS_MAX).contains(&ms) {
        return Err(format!("whole milliseconds from {WINDOW_MS_MIN}ms to {}m are expected", WINDOW_MS_MAX / 60_000));
    }
    Ok(WindowMs(ms))
}

/// Address of the node to talk to.
#[derive(Debug, Clone, Args)]
pub struct NodeUrl {
    /// Address of a node's API.
    #[arg(long, env = "OPENMESH_API", default_value = "http://127.0.0.1:8420", value_parser = api)]
    pub api: url::Url,
}

/// An address of an API; where a person leaves the protocol out, it is HTTP.
fn api(text: &str) -> Result<url::Url, String> {
    let whole = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
    let url = url::Url::parse(&whole).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    url.ok_or_else(|| "an address such as http://127.0.0.1:8420 is expected".to_owned())
}

/// Arguments of `sql`.
#[derive(Debug, Args)]
pub struct SqlArgs {
    /// The query; read from standard input where absent.
    pub query: Option<String>,
    /// Node.
    #[command(flatten)]
    pub node: NodeUrl,
    /// Format of the result.
    #[arg(long, value_enum, default_value_t = TableFormat::Table)]
    pub format: TableFormat,
    /// Most rows.
    #[arg(long)]
    pub limit: Option<u32>,
}

/// Format of a printed result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TableFormat {
    /// Aligned columns.
    Table,
    /// Comma-separated values (RFC 4180).
    Csv,
    /// One JSON object a row.
    Json,
}

/// Arguments of `verify`.
#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// A window's Parquet (which carries its proof), or its canonical bytes with --proof.
    pub file: PathBuf,
    /// The proof, where it is not in the file (JSON from /v1/chunks/<cid>/proof).
    #[arg(long, value_name = "FILE")]
    pub proof: Option<PathBuf>,
    /// The network's genesis.json, which names the validators: from somebody you trust, not from who gave you the window.
    #[arg(long, value_name = "FILE")]
    pub trust: PathBuf,
    /// Check the rows alone and write the proved ones to this new file: for a Parquet that another program or version wrote.
    #[arg(long, value_name = "NEW_FILE")]
    pub write: Option<PathBuf>,
}

/// Arguments of `doctor`.
#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// Node.
    #[command(flatten)]
    pub node: NodeUrl,
    /// Also look at a node's home directory on this machine, or at a network's folder of openmesh up.
    #[arg(long, value_name = "DIR")]
    pub home: Option<PathBuf>,
}

/// Market data tools.
#[derive(Debug, Subcommand)]
pub enum MarketCommand {
    /// Print a recording's events as JSON lines, in the order of the frames.
    Decode {
        /// A folder with frames.jsonl.gz, or such a file itself; also packed files of hftbacktest's collector (Binance) and
        /// of Bybit's order book archive, or a folder of them.
        recording: PathBuf,
        /// Also write the books after the last frame to this file.
        #[arg(long, value_name = "FILE")]
        final_books: Option<PathBuf>,
    },
}

/// Chain data tools.
#[derive(Debug, Subcommand)]
pub enum ChainCommand {
    /// Verify an Ethereum block with its receipts and print what is in it as JSON lines.
    Decode {
        /// Answer of eth_getBlockByNumber with full transactions (.json or .json.gz).
        #[arg(long, value_name = "FILE")]
        block: PathBuf,
        /// Answer of eth_getBlockReceipts (.json or .json.gz); without it, what needs receipts is listed as not verified.
        #[arg(long, value_name = "FILE")]
        receipts: Option<PathBuf>,
    },
}

/// Accounts.
#[derive(Debug, Subcommand)]
pub enum AccountCommand {
    /// Make a new key and write it to a file (hexadecimal, readable by you alone).
    New {
        /// File to write; must not exist.
        file: PathBuf,
    },
    /// Show balance and nonce.
    Show {
        /// Address.
        address: String,
        /// Node.
        #[command(flatten)]
        node: NodeUrl,
    },
    /// List the actions that an account can take, with their fields.
    Actions {
        /// Only this action.
        kind: Option<String>,
    },
    /// Take any declared action and wait until it is committed: openmesh account do KIND FIELD=VALUE ...
    Do {
        /// File with the sender's key.
        #[arg(long, value_name = "FILE")]
        key: PathBuf,
        /// Kind of the action; openmesh account actions lists them.
        kind: String,
        /// Fields of the action. Lists are separated by commas, amounts are in 10^-18 OPEN or, with a unit, such as 12.5OPEN.
        #[arg(value_name = "FIELD=VALUE")]
        fields: Vec<String>,
        /// Node.
        #[command(flatten)]
        node: NodeUrl,
    },
    /// Send OPEN and wait until it is committed.
    Send {
        /// File with the sender's key.
        #[arg(long, value_name = "FILE")]
        key: PathBuf,
        /// Receiver.
        to: String,
        /// Amount in OPEN, such as 12.5.
        amount: String,
        /// Node.
        #[command(flatten)]
        node: NodeUrl,
    },
}

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
    /// Keys of backups: the owner's is made once, and opens them when the machine is lost.
    #[command(subcommand)]
    BackupKey(backup::BackupKeyCommand),
    /// Restore a whole machine, onto one without anything, from a repository and the owner's key.
    Restore(Box<backup::MachineArgs>),
    /// Write the settings of this machine's agent, once: its first owner, and the names under which people ask it.
    Init(access::InitArgs),
    /// Members, API keys, sessions, the audit log.
    #[command(subcommand)]
    Access(access::AccessCommand),
    /// Tell what somebody should know: open alerts with what helps, and whether webhooks took them.
    Alerts(files::AlertsArgs),
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

/// Options of whatever changes applications.
#[derive(Debug, Clone, Args)]
pub struct ChangeArgs {
    /// Reason, for the history.
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// Refuse unless this generation is the wanted one: nobody changed anything since it was looked at.
    #[arg(long, value_name = "GENERATION")]
    pub expect: Option<u64>,
    /// Do also what loses something; the plan names it.
    #[arg(long)]
    pub yes: bool,
    /// Return as soon as the change is taken, without waiting until it is done.
    #[arg(long)]
    pub no_wait: bool,
    /// Wait until it is committed: until new versions have passed their probation too.
    #[arg(long, conflicts_with = "no_wait")]
    pub committed: bool,
    /// Agent.
    #[command(flatten)]
    pub agent: AgentName,
    /// Output.
    #[command(flatten)]
    pub output: Output,
}

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
    Templates(TemplatesArgs),
    /// Make an application out of a template; questions are asked at a terminal.
    New(NewArgs),
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
    /// Files of an application: list, copy out and in, rename, remove.
    Files(files::FilesArgs),
}

/// Arguments of `app templates`.
#[derive(Debug, Args)]
pub struct TemplatesArgs {
    /// Template to show.
    pub name: Option<openmesh_agent::Name>,
    /// Only those with this word; several words may be given.
    #[arg(long, value_name = "WORD", conflicts_with = "name")]
    pub search: Vec<String>,
    /// Only those of this category (web, database, monitoring, blockchain, development, data, ai, automation, personal, games, openmesh).
    #[arg(long, value_name = "CATEGORY", conflicts_with = "name")]
    pub category: Option<String>,
    /// Agent.
    #[command(flatten)]
    pub agent: AgentName,
    /// Output.
    #[command(flatten)]
    pub output: Output,
}

/// Arguments of `app new`.
#[derive(Debug, Args)]
pub struct NewArgs {
    /// Template.
    pub template: String,
    /// Name of the application; the template's without it.
    pub name: Option<openmesh_agent::Name>,
    /// Answer to an option: memory=1GiB; a secret that is there already is secret:NAME.
    #[arg(long, value_name = "OPTION=ANSWER")]
    pub set: Vec<String>,
    /// Version of the template; the newest without it.
    #[arg(long, value_name = "VERSION")]
    pub template_version: Option<String>,
    /// Ask nothing: options without an answer have their default.
    #[arg(long)]
    pub defaults: bool,
    /// Change.
    #[command(flatten)]
    pub change: ChangeArgs,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn every_command_is_well_formed() {
        super::Cli::command().debug_assert();
    }
}
