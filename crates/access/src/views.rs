//! Requests and answers about access, as JSON has them.

use openmesh_primitives::{Address, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::role::Role;

/// Everything that a page needs to write a message of sign-in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Nonce {
    /// Nonce, good for one sign-in.
    pub nonce: String,
    /// Time for which it is good, milliseconds.
    pub lasts_ms: u64,
    /// The machine's clock as RFC 3339, for `Issued At`.
    pub at: String,
    /// Domain that the message must name.
    pub domain: String,
    /// Text for the person that a message of sign-in must have; that of a visit has another one.
    pub statement: String,
    /// Number of the chain that the message must name.
    pub chain_id: u64,
    /// False where nobody owns this Xnode yet: the first sign-in then needs a code that root has.
    pub owned: bool,
}

/// A sign-in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SignIn {
    /// Message of EIP-4361, as it was signed.
    pub message: String,
    /// Signature, in hexadecimal: 65 bytes of a key (EIP-191), or those of a contract wallet (ERC-1271).
    pub signature: String,
    /// Code by which the first owner is named.
    #[serde(default)]
    pub code: Option<String>,
}

/// Whoever asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Me {
    /// Wallet, key or root.
    pub who: String,
    /// Role.
    pub role: Role,
    /// Names of roles of one's own that narrow it.
    #[serde(default)]
    pub only: Vec<String>,
    /// Place from which they ask.
    pub from: String,
    /// Number of the session or key; none for root.
    pub id: Option<String>,
}

/// A session that has begun.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SignedIn {
    /// Token, told this once: a bearer token. A browser under a given domain has it in a cookie as well.
    pub token: String,
    /// Number of the session.
    pub id: String,
    /// Wallet.
    #[schema(value_type = String, format = "address")]
    pub wallet: Address,
    /// Role.
    pub role: Role,
    /// Longest life of the session, milliseconds.
    pub lasts_ms: u64,
    /// Time without use after which it ends, milliseconds.
    pub idle_ms: u64,
}

/// A session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Session {
    /// Number.
    pub id: String,
    /// Wallet.
    #[schema(value_type = String, format = "address")]
    pub wallet: Address,
    /// Role that it has now.
    pub role: Role,
    /// Place from which they signed in.
    pub from: String,
    /// Moment of the sign-in.
    #[schema(value_type = String, format = "seconds")]
    pub made: Timestamp,
    /// Last use, to the minute.
    #[schema(value_type = String, format = "seconds")]
    pub used: Timestamp,
    /// Time that is left of its life, milliseconds.
    pub left_ms: u64,
    /// Requests and streams of it that are open now.
    pub open: u64,
    /// It is the one that asks.
    pub current: bool,
}

/// Number of sessions that were ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = EndedSessions)]
pub struct Ended {
    /// Sessions.
    pub sessions: u64,
}

/// A member.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Member {
    /// Wallet.
    #[schema(value_type = String, format = "address")]
    pub wallet: Address,
    /// Role.
    pub role: Role,
    /// Name for people.
    pub name: Option<String>,
    /// Role of one's own that narrows theirs.
    #[serde(default)]
    pub only: Option<String>,
    /// Moment at which they were let in, or their role was changed.
    #[schema(value_type = String, format = "seconds")]
    pub since: Timestamp,
    /// Whoever did that.
    pub by: String,
    /// Their sessions.
    pub sessions: u64,
}

/// A wish for a member.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct MemberWish {
    /// Role.
    pub role: Role,
    /// Name for people; an empty one takes it away, none leaves it as it is.
    #[serde(default)]
    pub name: Option<String>,
    /// Role of one's own that narrows the role; an empty one takes it away, none leaves it as it is where the role is the same.
    #[serde(default)]
    pub only: Option<String>,
}

/// A role of one's own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OwnRole {
    /// Name.
    pub name: String,
    /// Role that it narrows.
    pub of: Role,
    /// Rights, each a method (or `*`) and a path, in which `*` stands for one part, and `**` at the end for everything below.
    pub rights: Vec<String>,
    /// Moment of its last change.
    #[schema(value_type = String, format = "seconds")]
    pub since: Timestamp,
    /// Whoever made that.
    pub by: String,
    /// Number of members and API keys that have it.
    pub used: u64,
}

/// A wish for a role of one's own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OwnRoleWish {
    /// Role that it narrows: viewer, operator or admin.
    pub of: Role,
    /// Rights, each a method (or `*`) and a path, in which `*` stands for one part, and `**` at the end for everything below.
    pub rights: Vec<String>,
}

/// An API key, without its secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = ApiKey)]
pub struct Key {
    /// Number.
    pub id: String,
    /// Name for people.
    pub name: String,
    /// Role that it has now.
    pub role: Role,
    /// Role of one's own that narrows it, beside that of its maker.
    #[serde(default)]
    pub only: Option<String>,
    /// Its maker; none where root made it.
    #[schema(value_type = Option<String>, format = "address")]
    pub maker: Option<Address>,
    /// Moment at which it was made.
    #[schema(value_type = String, format = "seconds")]
    pub made: Timestamp,
    /// Time that is left of its life, milliseconds: 0 where it is over, none where it has no end.
    pub left_ms: Option<u64>,
    /// Last use, to the minute.
    #[schema(value_type = Option<String>, format = "seconds")]
    pub used: Option<Timestamp>,
}

/// An API key that was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = MadeApiKey)]
pub struct MadeKey {
    /// The key, told this once.
    pub key: String,
    /// Its entry in the list.
    pub entry: Key,
}

/// A code by which the first owner is named.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = OwnerCode)]
pub struct Code {
    /// Code, good for one sign-in.
    pub code: String,
    /// Time for which it is good, milliseconds.
    pub lasts_ms: u64,
}

/// State of an invitation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum InvitationState {
    /// A machine can join by it.
    Open,
    /// A machine has joined by it.
    Used,
    /// Its time is over.
    Expired,
    /// It was taken back, or its owner is none any more.
    Revoked,
}

/// An invitation for another machine, without its secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Invitation {
    /// Number.
    pub id: String,
    /// State.
    pub state: InvitationState,
    /// Wallet that owns the machine that joins by it.
    #[schema(value_type = String, format = "address")]
    pub owner: Address,
    /// Whoever made it.
    pub by: String,
    /// Moment at which it was made.
    #[schema(value_type = String, format = "seconds")]
    pub made: Timestamp,
    /// Time that is left of its life, milliseconds: 0 where it is over.
    pub left_ms: u64,
    /// Number of the machine that has joined by it.
    pub machine: Option<String>,
}

/// A machine that has joined, as access knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Joined {
    /// Number.
    pub id: String,
    /// Name that it gave.
    pub name: String,
    /// Wallet that owns it.
    pub owner: Address,
    /// Moment at which it joined.
    pub joined: Timestamp,
}
