//! The project's benchmarks: each a subcommand that prints one JSON object a line. `make bench` runs them all.
//!
//! They are no part of the product: those of whole networks start its binary and use nothing but its files and its API.

#![allow(clippy::disallowed_types, reason = "a benchmark reads the clock and prints rates")]

mod content;
mod door;
mod memory;
mod network;
mod normalise;
mod proc;
mod stages;
mod throughput;
mod transfers;
mod tree;
mod windows;
mod xnode;

use clap::{Parser, Subcommand};

/// The product's allocator, so that what is measured here is what runs there.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Benchmarks of Openmesh.
#[derive(Debug, Parser)]
#[command(version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

/// Benchmarks.
#[derive(Debug, Subcommand)]
enum Command {
    /// Decode a recording and apply it to books, on one core.
    Normalise(normalise::NormaliseArgs),
    /// Execute and commit transfers on one store, and read an account's transactions back.
    Throughput(throughput::ThroughputArgs),
    /// Keep small blocks of content as files and as rows, and open a store of many.
    Content(content::ContentArgs),
    /// Commit transfers on a network: validators in processes of their own, loaded through their public API.
    Transfers(transfers::TransfersArgs),
    /// Sample the memory of each process of a simulated network.
    Memory(memory::MemoryArgs),
    /// Run a simulated network with short windows for hours, draw what it takes, and judge what grows.
    Windows(windows::WindowsArgs),
    /// Back up and restore a tree, and print the time of each stage.
    Stages(stages::StagesArgs),
    /// Measure the Xnode beside podman, runc, restic and bare folders, as root; prints a table.
    Xnode(xnode::XnodeArgs),
}

fn main() -> anyhow::Result<()> {
    let cli = Cli::parse();
    let runtime = || tokio::runtime::Builder::new_multi_thread().enable_all().build();
    match cli.command {
        Command::Normalise(arguments) => normalise::run(&arguments),
        Command::Throughput(arguments) => throughput::run(&arguments),
        Command::Content(arguments) => content::run(&arguments),
        Command::Transfers(arguments) => runtime()?.block_on(transfers::run(&arguments)),
        Command::Memory(arguments) => runtime()?.block_on(memory::run(&arguments)),
        Command::Windows(arguments) => runtime()?.block_on(windows::run(&arguments)),
        Command::Stages(arguments) => stages::run(&arguments),
        Command::Xnode(arguments) => runtime()?.block_on(xnode::run(&arguments)),
    }
}
