//! Failures of joining another Xnode.

use openmesh_primitives::Address;

/// A line that is no invitation.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LineFault {
    /// It begins with something else.
    #[error(
        "this is no invitation: one begins with `openmesh-invitation-1.`; an owner makes it: `openmesh xnode machines invite`, or Studio, Node, Machines"
    )]
    NotOne,
    /// One of a later form.
    #[error("this invitation is of a later version; renew the program on this machine first")]
    Later,
    /// A part of it lacks, or signs were changed.
    #[error("this invitation was cut or changed on its way: copy all of the line once more")]
    Cut,
    /// It was made so that nobody can be reached by it, or nobody would own the machine.
    #[error("this invitation cannot be used: {0}")]
    Odd(String),
}

/// A failure of joining another Xnode.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// A line that is no invitation.
    #[error(transparent)]
    Line(#[from] LineFault),
    /// This machine has joined already.
    #[error("this machine has joined {at} already; `openmesh xnode join --leave` leaves it")]
    Joined {
        /// Address of the Xnode.
        at: String,
    },
    /// This machine has joined none.
    #[error("this machine has joined no other Xnode")]
    Alone,
    /// This machine is somebody else's.
    #[error(
        "the invitation would make {owner} the owner of this machine, and it has another one; nothing was changed: an owner lets others in (`openmesh xnode access members`)"
    )]
    Owned {
        /// The owner of the invitation.
        owner: Address,
    },
    /// No name under which a machine could reach this one.
    #[error(
        "another machine cannot reach this Xnode: it has no name with TLS; give it one (hosts = [\"xnode.lan\"] in xnode.toml, then start the agent anew), or say an address: --at https://NAME"
    )]
    NoName,
    /// The other Xnode does not answer.
    #[error(
        "{at} cannot be reached from this machine: {cause}; it has to answer there, through firewalls and NAT, and certificates need a right clock (here it is {clock})"
    )]
    Unreachable {
        /// Its address.
        at: String,
        /// The cause.
        cause: String,
        /// This machine's clock.
        clock: String,
    },
    /// Another machine answers.
    #[error(
        "another machine than the one that made the invitation answers at {at}: its authority is another one; nothing was told to it"
    )]
    Stranger {
        /// The address.
        at: String,
    },
    /// The other Xnode knows no invitations.
    #[error("{at} knows no invitations: its version is an older one; renew it first")]
    Old {
        /// Its address.
        at: String,
    },
    /// The other Xnode refuses.
    #[error("{at} refuses: {message}")]
    Refused {
        /// Its address.
        at: String,
        /// Its stable word.
        code: String,
        /// Its words.
        message: String,
    },
    /// A value that cannot be.
    #[error("{0}")]
    Value(String),
}

impl JoinError {
    /// A stable word for programs, and the status of HTTP that goes with it.
    pub(crate) fn code(&self) -> (&'static str, u16) {
        match self {
            JoinError::Line(_) => ("invitation_line", 400),
            JoinError::Joined { .. } => ("joined", 409),
            JoinError::Alone => ("not_joined", 404),
            JoinError::Owned { .. } => ("owned", 409),
            JoinError::NoName => ("no_name", 409),
            JoinError::Unreachable { .. } => ("host_away", 502),
            JoinError::Stranger { .. } => ("host_stranger", 502),
            JoinError::Old { .. } => ("host_old", 502),
            // Each fault of an invitation keeps its own word on the way.
            JoinError::Refused { code, .. } => match code.as_str() {
                "invitation_unknown" => ("invitation_unknown", 409),
                "invitation_used" => ("invitation_used", 409),
                "invitation_expired" => ("invitation_expired", 409),
                "invitation_revoked" => ("invitation_revoked", 409),
                _ => ("host_refused", 409),
            },
            JoinError::Value(_) => ("value", 400),
        }
    }
}
