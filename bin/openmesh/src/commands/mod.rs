//! The subcommands: each reads its arguments, calls a room, prints.

mod account;
mod bench;
mod chain;
mod client;
mod doctor;
mod market;
mod sql;
mod venues;
mod verify;

use std::fmt::Display;
use std::io::Write as _;
use std::process::ExitCode;

use crate::cli::Command;

/// Why a subcommand failed: what was wrong and where, and what to do.
#[derive(Debug)]
pub struct Failure {
    message: String,
    hint: Option<String>,
    code: u8,
}

impl Failure {
    /// A failure at run time (exit code 1).
    pub fn new(message: impl Into<String>) -> Failure {
        Failure { message: message.into(), hint: None, code: 1 }
    }

    /// A wrong argument or configuration (exit code 2).
    pub fn usage(message: impl Into<String>) -> Failure {
        Failure { message: message.into(), hint: None, code: 2 }
    }

    /// `what: error`.
    pub fn from_display(what: impl Display, error: &(impl Display + ?Sized)) -> Failure {
        Failure::new(format!("{what}: {error}"))
    }

    /// Adds what to do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Failure {
        self.hint = Some(hint.into());
        self
    }

    /// What was wrong.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Prints it and gives the exit code.
    pub fn report(&self) -> ExitCode {
        // A full disk under the log, or a terminal that has gone, must not turn this exit code into a panic's.
        let mut error = std::io::stderr().lock();
        let _ = writeln!(error, "error: {}", self.message);
        if let Some(hint) = &self.hint {
            let _ = writeln!(error, "hint: {hint}");
        }
        ExitCode::from(self.code)
    }
}

/// Runs a subcommand.
pub async fn run(command: Command) -> Result<(), Failure> {
    match command {
        Command::Up(arguments) => crate::up::run(arguments).await,
        Command::Node(arguments) => crate::node::run(arguments).await,
        Command::Venues(arguments) => venues::run(arguments).await,
        Command::Sql(arguments) => sql::run(arguments).await,
        Command::Verify(arguments) => verify::run(&arguments),
        Command::Doctor(arguments) => doctor::run(arguments).await,
        Command::Market(command) => market::run(command),
        Command::Chain(command) => chain::run(command),
        Command::Account(command) => account::run(command).await,
        Command::Bench(command) => bench::run(command).await,
    }
}

/// A reader that went away (`| head`) is no failure.
fn unless_broken_pipe(error: std::io::Error) -> Result<(), Failure> {
    if error.kind() == std::io::ErrorKind::BrokenPipe {
        Ok(())
    } else {
        Err(Failure::from_display("standard output", &error))
    }
}
