//! Command line of what runs in an application beside its first process.

use clap::{Args, ValueEnum};
use openmesh_agent::Name;

use super::common::{AgentName, Output};

/// Arguments of `app exec`.
#[derive(Debug, Args)]
pub struct ExecArgs {
    /// Application.
    pub name: Name,
    /// Pass standard input on.
    #[arg(long, short)]
    pub interactive: bool,
    /// Give the process a terminal.
    #[arg(long, short)]
    pub terminal: bool,
    /// Instance (openmesh app why NAME lists them); the first running one without it.
    #[arg(long, value_name = "ID")]
    pub instance: Option<String>,
    /// Variable beside those of the application; may be given several times.
    #[arg(long = "env", short = 'e', value_name = "NAME=VALUE", value_parser = variable)]
    pub variables: Vec<(String, String)>,
    /// Working directory; the application's without it.
    #[arg(long, short, value_name = "DIR")]
    pub workdir: Option<String>,
    /// Agent.
    #[command(flatten)]
    pub agent: AgentName,
    /// Program and arguments; a shell at a terminal without them.
    #[arg(last = true, value_name = "COMMAND")]
    pub command: Vec<String>,
}

fn variable(text: &str) -> Result<(String, String), &'static str> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_string(), value.to_string())),
        _ => Err("NAME=VALUE is expected"),
    }
}

/// Arguments of `app jobs`.
#[derive(Debug, Args)]
pub struct JobsArgs {
    /// Application.
    pub name: Name,
    /// Agent.
    #[command(flatten)]
    pub agent: AgentName,
    /// Output.
    #[command(flatten)]
    pub output: Output,
}

/// Arguments of `app job`.
#[derive(Debug, Args)]
pub struct JobArgs {
    /// Application.
    pub name: Name,
    /// Job (openmesh app jobs NAME lists them).
    pub job: Name,
    /// Return as soon as it has begun, without waiting for its end.
    #[arg(long, conflicts_with_all = ["last", "end"])]
    pub no_wait: bool,
    /// Begin nothing: print the log of its last run.
    #[arg(long, conflicts_with = "end")]
    pub last: bool,
    /// Begin nothing: ask its present run to end.
    #[arg(long)]
    pub end: bool,
    /// Agent.
    #[command(flatten)]
    pub agent: AgentName,
    /// Output.
    #[command(flatten)]
    pub output: Output,
}

/// Order of processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ProcessOrder {
    /// The busiest first.
    Cpu,
    /// The largest first.
    Memory,
    /// The one with most threads first.
    Threads,
    /// The oldest first.
    Started,
    /// By number.
    Pid,
    /// By name.
    Name,
}

impl ProcessOrder {
    /// Its word in the agent's API.
    pub fn word(self) -> &'static str {
        match self {
            ProcessOrder::Cpu => "cpu",
            ProcessOrder::Memory => "memory",
            ProcessOrder::Threads => "threads",
            ProcessOrder::Started => "started",
            ProcessOrder::Pid => "pid",
            ProcessOrder::Name => "name",
        }
    }
}

/// Arguments of `app processes`.
#[derive(Debug, Args)]
pub struct ProcessesArgs {
    /// Application.
    pub name: Name,
    /// Order.
    #[arg(long, value_enum, default_value_t = ProcessOrder::Cpu)]
    pub sort: ProcessOrder,
    /// Only those with this text in their name or arguments.
    #[arg(long, value_name = "TEXT")]
    pub contains: Option<String>,
    /// Only those of this instance, by its name or its number.
    #[arg(long, value_name = "NAME")]
    pub instance: Option<String>,
    /// Most of them.
    #[arg(long, short = 'n', value_name = "COUNT")]
    pub limit: Option<usize>,
    /// Agent.
    #[command(flatten)]
    pub agent: AgentName,
    /// Output.
    #[command(flatten)]
    pub output: Output,
}

/// Arguments of `app usage`.
#[derive(Debug, Args)]
pub struct UsageArgs {
    /// Application.
    pub name: Name,
    /// Time up to now: 15m, 6h, 7d; a day is kept fine, a month coarse.
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = humantime::parse_duration)]
    pub since: std::time::Duration,
    /// Agent.
    #[command(flatten)]
    pub agent: AgentName,
    /// Output.
    #[command(flatten)]
    pub output: Output,
}

/// Arguments of `app restart`.
#[derive(Debug, Args)]
pub struct RestartArgs {
    /// Application.
    pub name: Name,
    /// Only this instance, by its name or its number.
    #[arg(long, value_name = "NAME")]
    pub instance: Option<String>,
    /// Reason, for the history.
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// Return as soon as it is taken, without waiting until it is done.
    #[arg(long)]
    pub no_wait: bool,
    /// Agent.
    #[command(flatten)]
    pub agent: AgentName,
    /// Output.
    #[command(flatten)]
    pub output: Output,
}
