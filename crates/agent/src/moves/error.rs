//! Failures of moves between machines.

/// A failure of a move.
#[derive(Debug, thiserror::Error)]
pub enum MovesError {
    /// An application that leaves.
    #[error(
        "{application} is on its way to {node}, and nothing else is changed of it meanwhile; `openmesh app move {application} --undo` brings it back"
    )]
    Leaving {
        /// The application.
        application: String,
        /// The other machine.
        node: String,
    },
    /// An application that has left.
    #[error(
        "{application} has moved to {node}, where its data are; move it back from there, or take it out of this machine first: `openmesh app remove {application} --data wipe`"
    )]
    Away {
        /// The application.
        application: String,
        /// The other machine.
        node: String,
    },
    /// An application that came and went back, or that moved away.
    #[error(
        "{application} is at {node} with what it had here, and going back to it would let it serve at two places; deploy it anew, or move it here again"
    )]
    Back {
        /// The application.
        application: String,
        /// The other machine.
        node: String,
    },
    /// An application that comes.
    #[error(
        "{application} is coming from {node}, and nobody else changes it before it is here; `openmesh app move {application} --forget` lets it stay there"
    )]
    Arriving {
        /// The application.
        application: String,
        /// The other machine.
        node: String,
    },
    /// An application that has come, and may go back.
    #[error(
        "{application} has come from {node}, and can be undone there for an hour; it is removed after that, or once `openmesh app move {application} --forget` here has kept it"
    )]
    Undoable {
        /// The application.
        application: String,
        /// The other machine.
        node: String,
    },
    /// A move that is not there.
    #[error("{application} does not move; `openmesh app moves` lists the applications that do")]
    NoMove {
        /// The application.
        application: String,
    },
    /// An arrival that is not there.
    #[error("nothing arrives here by the move {id}")]
    NoArrival {
        /// Its id.
        id: String,
    },
    /// An application that cannot move.
    #[error("{application} cannot move: {why}")]
    NotMovable {
        /// The application.
        application: String,
        /// The cause, and what helps.
        why: String,
    },
    /// An application that would take more of this machine than its document declares, or than there is.
    #[error("{application} takes more than it may: {why}")]
    TooMuch {
        /// The application.
        application: String,
        /// The cause, and what helps.
        why: String,
    },
    /// As many applications as come to a machine at once.
    #[error(
        "{most} applications come to that machine already, and no more are taken at once; `openmesh app moves` there tells which, and `openmesh app move NAME --forget` there ends one"
    )]
    Crowded {
        /// Most of them.
        most: usize,
    },
    /// A move that cannot be undone or forgotten as it is.
    #[error("the move of {application} stays as it is: {why}")]
    Stays {
        /// The application.
        application: String,
        /// The cause, and what helps.
        why: String,
    },
    /// The other machine does not answer.
    #[error("{to} cannot be asked: {cause}")]
    Unreachable {
        /// Its address.
        to: String,
        /// The cause.
        cause: String,
    },
    /// The other machine does not know the key, or gives it no right to this.
    #[error(
        "{to} does not let this machine in: {cause}; give a key of an operator there: `openmesh xnode access keys make NAME --role operator`"
    )]
    Key {
        /// Its address.
        to: String,
        /// Its words.
        cause: String,
    },
    /// The other machine refuses.
    #[error("{to} refuses: {message}")]
    Refused {
        /// Its address.
        to: String,
        /// Its words.
        message: String,
    },
    /// Something runs that has to rest; it may rest in a moment.
    #[error("{0}")]
    Unrest(String),
    /// A part of a move that has failed.
    #[error("{0}")]
    Failed(String),
    /// A value that cannot be.
    #[error("{0}")]
    Value(String),
}

impl MovesError {
    /// A stable word for programs, and the status of HTTP that goes with it.
    pub(crate) fn code(&self) -> (&'static str, u16) {
        match self {
            MovesError::Leaving { .. } | MovesError::Arriving { .. } | MovesError::Undoable { .. } => ("moving", 409),
            MovesError::Away { .. } | MovesError::Back { .. } => ("moved", 409),
            MovesError::NoMove { .. } => ("no_move", 404),
            MovesError::NoArrival { .. } => ("no_arrival", 404),
            MovesError::NotMovable { .. } => ("not_movable", 409),
            MovesError::TooMuch { .. } => ("move_too_much", 409),
            MovesError::Crowded { .. } => ("moves_full", 409),
            MovesError::Stays { .. } => ("move_stays", 409),
            MovesError::Unreachable { .. } => ("other_away", 502),
            MovesError::Key { .. } => ("other_key", 409),
            MovesError::Refused { .. } => ("other_refused", 409),
            MovesError::Unrest(_) => ("not_quiet", 409),
            MovesError::Failed(_) => ("move_failed", 409),
            MovesError::Value(_) => ("value", 400),
        }
    }
}
