//! Refusals of whoever asks for access, each with a stable word.

use std::io;
use std::path::PathBuf;

use openmesh_primitives::Address;

use crate::role::Role;

/// A refusal.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Nobody is signed in.
    #[error("nobody is signed in; sign in with a wallet, or send an API key as a bearer token")]
    SignedOut,
    /// A token that was never given out: forged, mistyped, or of another Xnode.
    #[error("this session or API key was never given out here: it is forged, incomplete, or of another Xnode")]
    Forged,
    /// A session or key whose time is over.
    #[error("this session or API key has expired; sign in again, or make a new key")]
    Expired,
    /// A session that was not used for long.
    #[error("this session was not used for {} minutes and has ended; sign in again", idle_ms / 60_000)]
    Idle {
        /// Time without use after which a session ends, milliseconds.
        idle_ms: u64,
    },
    /// A session or key that somebody ended.
    #[error("this session or API key was revoked; sign in again, or make a new key")]
    Revoked,
    /// Not a message of EIP-4361.
    #[error("the message is not one of EIP-4361: {0}")]
    Message(String),
    /// Made for another site: somebody may be using a signature that was given elsewhere.
    #[error("the message was made for {found}, and this is {expected}; sign one that this page made")]
    Domain {
        /// Name under which this Xnode was asked.
        expected: String,
        /// Name in the message.
        found: String,
    },
    /// Signed for another purpose: somebody may be using a signature that was given for something else.
    #[error("the message was signed for something else: its text has to be `{expected}`; sign one that this page made")]
    Statement {
        /// The text for the person that belongs there.
        expected: String,
    },
    /// Made for another chain.
    #[error("the message was made for chain {found}, and this Xnode asks for {expected}")]
    Chain {
        /// Number that is asked for.
        expected: u64,
        /// Number in the message.
        found: u64,
    },
    /// A nonce that was not made here, or before the agent began anew.
    #[error("the message's nonce was not made by this agent; take a new one and sign again")]
    NonceForged,
    /// A nonce that was used before: a message is being sent a second time.
    #[error("the message's nonce was used before, and each is good for one sign-in; take a new one and sign again")]
    NonceUsed,
    /// A nonce that is too old.
    #[error("the message's nonce is older than {} minutes; take a new one and sign again", age_ms_max / 60_000)]
    NonceExpired {
        /// Longest life of a nonce, milliseconds.
        age_ms_max: u64,
    },
    /// More people sign in than can be remembered.
    #[error("too many people sign in at this moment; try again in a minute")]
    Crowded,
    /// The message's own times do not hold now.
    #[error("the message is not valid now: {0}")]
    Time(String),
    /// The signature is not the address's.
    #[error("the signature is not that of {0} over this message")]
    Signature(Address),
    /// The chain that would know a contract wallet cannot be asked.
    #[error(
        "{address} signed in no way that a key does, and the chain cannot be asked about a contract wallet: {cause}"
    )]
    Chainless {
        /// The wallet.
        address: Address,
        /// The cause.
        cause: String,
    },
    /// The chain was asked too often in vain.
    #[error(
        "the chain was asked about contract wallets in vain too often, and is not asked again for now; try again in a minute, or sign in with a wallet that is a key"
    )]
    ChainBusy,
    /// A wallet that is no member.
    #[error("{0} is no member of this Xnode; its owner or an admin lets wallets in")]
    NoMember(Address),
    /// A wallet for which an application is not.
    #[error("{wallet} may not open {application}; another wallet may, or its owner lets this one in")]
    Audience {
        /// The wallet.
        wallet: Address,
        /// The application.
        application: String,
    },
    /// An address to which no visitor is led back.
    #[error("{0}; open the application's own address again")]
    Return(String),
    /// A wrong code for the first owner.
    #[error(
        "the code is not the one that this agent gave to root, or it was used or is too old; `openmesh xnode access code` gives another"
    )]
    Code,
    /// An invitation that was never made here: forged, mistyped, or of another Xnode.
    #[error("this invitation was never made here: it is forged, or of another Xnode; an owner makes another one")]
    InvitationUnknown,
    /// An invitation by which another machine has joined: somebody uses it a second time.
    #[error("a machine has joined by this invitation already, and each is good for one; an owner makes another one")]
    InvitationUsed,
    /// An invitation whose time is over.
    #[error("this invitation has expired; an owner makes another one")]
    InvitationExpired,
    /// An invitation that was taken back, or whose owner is no owner any more.
    #[error("this invitation was taken back, or its owner is none any more; an owner makes another one")]
    InvitationRevoked,
    /// The token of a machine that never joined here.
    #[error("no machine with this token has joined this Xnode")]
    MachineUnknown,
    /// The token of a machine that was removed from the list.
    #[error("this machine was removed from the list of that Xnode; it joins again by another invitation")]
    MachineRemoved,
    /// There is an owner already.
    #[error("this Xnode has an owner already; an owner lets others in")]
    Owned,
    /// The role is too small.
    #[error("this needs the role {least}, and {role} is yours")]
    Role {
        /// The role that is needed.
        least: Role,
        /// The role of whoever asks.
        role: Role,
    },
    /// A role of one's own that does not have this right.
    #[error("this is not among the rights of {names}, by which your role is narrowed; an owner changes them")]
    NotInRole {
        /// Names of the roles.
        names: String,
    },
    /// A role of one's own that somebody has.
    #[error("somebody has the role `{name}`; give them another one first")]
    RoleUsed {
        /// Its name.
        name: String,
    },
    /// Somebody whom one's role does not govern.
    #[error("{role} cannot give, change or take the role {other}; an owner can")]
    Govern {
        /// The role of whoever asks.
        role: Role,
        /// The other role.
        other: Role,
    },
    /// An API key that wants to change who has access.
    #[error("an API key changes nothing about access; sign in with a wallet")]
    KeyOnAccess,
    /// Only root may do it.
    #[error("only root on the machine may do this, through the agent's socket")]
    Root,
    /// The last owner cannot go.
    #[error("{0} is the last owner; name another one first")]
    LastOwner(Address),
    /// Something that is not there.
    #[error("there is no {what} `{name}`")]
    Missing {
        /// Its kind.
        what: &'static str,
        /// Its name.
        name: String,
    },
    /// A value that cannot be taken.
    #[error("{0}")]
    Value(String),
    /// A list is full.
    #[error("there are {max} {what} already, and no more are kept; remove some")]
    Full {
        /// Its kind.
        what: &'static str,
        /// The most.
        max: usize,
    },
    /// The operating system gave no randomness.
    #[error("the operating system gives no randomness: {0}")]
    Randomness(String),
    /// A decision that could not be written, so that nothing has changed.
    #[error("nothing has changed, since it could not be written: {0}")]
    Store(String),
}

impl Refusal {
    /// A stable word for programs, and the status of HTTP that goes with it.
    pub const fn code(&self) -> (&'static str, u16) {
        match self {
            Refusal::SignedOut => ("not_signed_in", 401),
            Refusal::Forged => ("unknown_credential", 401),
            Refusal::Expired => ("expired", 401),
            Refusal::Idle { .. } => ("idle", 401),
            Refusal::Revoked => ("revoked", 401),
            Refusal::Message(_) => ("bad_message", 400),
            Refusal::Domain { .. } => ("wrong_domain", 400),
            Refusal::Statement { .. } => ("wrong_statement", 400),
            Refusal::Chain { .. } => ("wrong_chain", 400),
            Refusal::NonceForged => ("nonce_unknown", 401),
            Refusal::NonceUsed => ("nonce_used", 401),
            Refusal::NonceExpired { .. } => ("nonce_expired", 401),
            Refusal::Crowded => ("crowded", 503),
            Refusal::Time(_) => ("message_time", 401),
            Refusal::Signature(_) => ("bad_signature", 401),
            Refusal::Chainless { .. } => ("chain", 502),
            Refusal::ChainBusy => ("chain_busy", 429),
            Refusal::NoMember(_) => ("no_member", 403),
            Refusal::Audience { .. } => ("audience", 403),
            Refusal::Return(_) => ("return", 400),
            Refusal::Code => ("code", 403),
            Refusal::InvitationUnknown => ("invitation_unknown", 404),
            Refusal::InvitationUsed => ("invitation_used", 409),
            Refusal::InvitationExpired => ("invitation_expired", 410),
            Refusal::InvitationRevoked => ("invitation_revoked", 410),
            Refusal::MachineUnknown => ("machine_unknown", 404),
            Refusal::MachineRemoved => ("machine_removed", 410),
            Refusal::Owned => ("owned", 409),
            Refusal::Role { .. } => ("role", 403),
            Refusal::NotInRole { .. } => ("not_in_role", 403),
            Refusal::RoleUsed { .. } => ("role_used", 409),
            Refusal::Govern { .. } => ("govern", 403),
            Refusal::KeyOnAccess => ("key", 403),
            Refusal::Root => ("root", 403),
            Refusal::LastOwner(_) => ("last_owner", 409),
            Refusal::Missing { .. } => ("missing", 404),
            Refusal::Value(_) => ("value", 400),
            Refusal::Full { .. } => ("full", 409),
            Refusal::Randomness(_) => ("machine", 500),
            Refusal::Store(_) => ("store", 507),
        }
    }
}

/// A failure of the files of access.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// A file cannot be used.
    #[error("{}: {doing} has failed: {cause}", path.display())]
    File {
        /// Its path.
        path: PathBuf,
        /// The act.
        doing: &'static str,
        /// The system's word.
        cause: io::Error,
    },
    /// A file is not of its form.
    #[error("{} cannot be read: {words}; it was written by another version, or is damaged", path.display())]
    Damaged {
        /// Its path.
        path: PathBuf,
        /// The reason.
        words: String,
    },
    /// No randomness.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

impl AccessError {
    /// Makes the error of a file.
    pub(crate) fn file(doing: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> AccessError {
        let path = path.into();
        move |cause| AccessError::File { path, doing, cause }
    }
}
