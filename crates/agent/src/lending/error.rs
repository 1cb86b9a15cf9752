//! Failures of loans.

/// A failure of a loan.
#[derive(Debug, thiserror::Error)]
pub enum LendingError {
    /// No address is known at which guests could be answered.
    #[error(
        "this agent has no address at which guests could store; write `[lend]` with `listen = \"0.0.0.0:7790\"` into {file}, and start it anew"
    )]
    NoAddress {
        /// The file of settings.
        file: String,
    },
    /// The program is missing.
    #[error("{program} is missing beside the agent's program, so that nothing can be lent; `make programs` builds it")]
    NoProgram {
        /// Its name.
        program: &'static str,
    },
    /// A loan that is not there.
    #[error("there is no loan `{name}`; there are {known}")]
    NoLoan {
        /// The name that was asked for.
        name: String,
        /// Those that are there.
        known: String,
    },
    /// A key that is in another loan.
    #[error(
        "the key {key} is in the loan `{name}` already; take it out of that one first, or put all machines of this owner into one loan"
    )]
    KeyTaken {
        /// The key.
        key: String,
        /// The loan.
        name: String,
    },
    /// A loan whose objects are being removed.
    #[error("the objects of the loan `{name}` are being removed; give the loan once they are gone, or another name")]
    Going {
        /// The loan.
        name: String,
    },
    /// A loan that is lent, and whose objects were to be removed.
    #[error(
        "the loan `{name}` is not ended yet; `openmesh xnode lend end {name}` ends it, and then its objects can go"
    )]
    Lent {
        /// The loan.
        name: String,
    },
    /// A value that cannot be.
    #[error("{0}")]
    Value(String),
}

impl LendingError {
    /// A stable word for programs, and the status of HTTP that goes with it.
    pub(crate) fn code(&self) -> (&'static str, u16) {
        match self {
            LendingError::NoAddress { .. } | LendingError::NoProgram { .. } => ("no_lender", 409),
            LendingError::NoLoan { .. } => ("no_loan", 404),
            LendingError::KeyTaken { .. } => ("key_taken", 409),
            LendingError::Going { .. } => ("loan_goes", 409),
            LendingError::Lent { .. } => ("loan_lent", 409),
            LendingError::Value(_) => ("value", 400),
        }
    }
}
