//! Failures of a subcommand, as a person reads them.

use std::error::Error;
use std::fmt::Display;
use std::io::Write as _;
use std::process::ExitCode;

use openmesh_api::ErrorCode;
use openmesh_primitives::report;

/// The failure of a subcommand: a message, what to do, and the exit code.
#[derive(Debug)]
pub struct Failure {
    message: String,
    hint: Option<String>,
    code: u8,
    /// Word of the node that refused the request.
    refusal: Option<ErrorCode>,
}

impl Failure {
    /// A failure at run time (exit code 1).
    pub fn new(message: impl Into<String>) -> Failure {
        Failure { message: message.into(), hint: None, code: 1, refusal: None }
    }

    /// A wrong argument or configuration (exit code 2).
    pub fn usage(message: impl Into<String>) -> Failure {
        Failure { message: message.into(), hint: None, code: 2, refusal: None }
    }

    /// A failure at run time: `what: error`.
    pub fn from_display(what: impl Display, error: &(impl Display + ?Sized)) -> Failure {
        Failure::new(format!("{what}: {error}"))
    }

    /// A failure at run time with all causes: `what: error: cause`.
    pub fn from_error(what: impl Display, error: &dyn Error) -> Failure {
        Failure::new(format!("{what}: {}", report(error)))
    }

    /// The network, or the node's store, has come further than this program (exit code 3): starting it again changes nothing.
    pub fn outdated(message: impl Into<String>) -> Failure {
        Failure { message: message.into(), hint: None, code: 3, refusal: None }
    }

    /// Adds what to do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Failure {
        self.hint = Some(hint.into());
        self
    }

    /// The same with an exit code of its own, for whoever watches by it.
    #[must_use]
    pub fn with_code(mut self, code: u8) -> Failure {
        self.code = code;
        self
    }

    /// The same as a node's refusal with this word.
    #[must_use]
    pub fn with_refusal(mut self, refusal: ErrorCode) -> Failure {
        self.refusal = Some(refusal);
        self
    }

    /// The word with which a node refused, where it is one's refusal.
    pub fn refusal(&self) -> Option<ErrorCode> {
        self.refusal
    }

    /// The exit code.
    #[cfg(test)]
    pub fn code(&self) -> u8 {
        self.code
    }

    /// The message, without the hint.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The hint, where there is one.
    pub fn what_to_do(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    /// Prints message and hint to standard error and returns the exit code.
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

/// Turns a typed error into a failure.
pub trait OrFail<T> {
    /// The value, or the failure `what: error: cause`.
    fn or_fail(self, what: impl Display) -> Result<T, Failure>;
}

impl<T, E: Error + 'static> OrFail<T> for Result<T, E> {
    fn or_fail(self, what: impl Display) -> Result<T, Failure> {
        self.map_err(|error| Failure::from_error(what, &error))
    }
}

/// Takes a reader that went away (`| head`) for success.
pub fn unless_broken_pipe(error: std::io::Error) -> Result<(), Failure> {
    if error.kind() == std::io::ErrorKind::BrokenPipe {
        Ok(())
    } else {
        Err(Failure::from_display("standard output", &error))
    }
}
