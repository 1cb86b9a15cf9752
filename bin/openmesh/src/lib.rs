//! `openmesh`: one binary for every part of the network.
//!
//! This crate composes: configuration, logging, the order of starting and draining, and the subcommands. The rules
//! and the technologies live in the rooms under `crates/`. It is a library so that a program with further rule sets of the ledger is
//! this program in everything else ([`run`]): the one by which upgrades are tried, `bin/trial-node`.

mod cli;
mod commands;
mod failure;
mod node;
mod presence;
mod telemetry;
mod up;

use std::process::ExitCode;

/// Writing a minute of tables takes much memory for a moment, on whatever thread it happens. The C library's allocator keeps that
/// in each thread's arena; this one gives it back.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

use clap::Parser;
use openmesh_ledger::RuleSets;

/// Most threads that an agent of an Xnode serves people with, on however many processors: each has memory of its own, and what an agent waits for is done on
/// others.
const AGENT_THREADS_MAX: usize = 4;

/// Runs the program that the command line asks for, as one that knows these rule sets. A wrong use of the command line or of a
/// configuration file exits with 2, a node whose program does not know the rules of the next height with 3, everything else that
/// fails with 1.
pub fn run(rule_sets: RuleSets) -> ExitCode {
    let arguments = cli::Cli::parse();
    telemetry::start(&arguments.log, arguments.log_format);
    if rustls::crypto::ring::default_provider().install_default().is_err() {
        tracing::debug!("a TLS provider was installed before");
    }
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    if matches!(arguments.command, cli::Command::Xnode(_)) {
        runtime.worker_threads(std::thread::available_parallelism().map_or(1, usize::from).min(AGENT_THREADS_MAX));
    }
    let runtime = match runtime.enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failure::Failure::from_display("the operating system gives no threads", &error).report(),
    };
    let outcome = runtime.block_on(async {
        tokio::spawn(presence::follow());
        dispatch(arguments.command, rule_sets).await
    });
    // Blocking work that outlives the drain's deadline (a query, a compaction) is safe to abandon: all writes are atomic.
    runtime.shutdown_timeout(std::time::Duration::from_secs(2));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

/// Runs a subcommand.
async fn dispatch(command: cli::Command, rule_sets: RuleSets) -> Result<(), failure::Failure> {
    use cli::Command;
    match command {
        Command::Up(arguments) => up::run(arguments).await,
        Command::Down(arguments) => up::down::run(arguments).await,
        Command::Init(arguments) => commands::init::run(arguments).await,
        Command::Node(arguments) => node::run(arguments, rule_sets).await,
        Command::Validator(command) => commands::validator::run(command).await,
        Command::Genesis(command) => commands::genesis::run(&command),
        Command::Upgrade(command) => commands::upgrade::run(command, &rule_sets).await,
        Command::Venues(arguments) => commands::venues::run(arguments).await,
        Command::Sql(arguments) => commands::sql::run(arguments).await,
        Command::Verify(arguments) => commands::verify::run(&arguments),
        Command::Stamp(arguments) => commands::stamp::run(arguments).await,
        Command::Doctor(arguments) => commands::doctor::run(arguments).await,
        Command::Xnode(command) => commands::xnode::run(command).await,
        Command::App(command) => commands::app::run(command).await,
        Command::Market(command) => commands::market::run(command),
        Command::Chain(command) => commands::chain::run(command),
        Command::Account(command) => commands::account::run(command).await,
        Command::Supply(arguments) => commands::supply::run(arguments).await,
    }
}
