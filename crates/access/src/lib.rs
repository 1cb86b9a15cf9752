//! Access to an Xnode: who may do what, how they come in, and what they did (clauses of `docs/spec/xnode.md`; formats: `docs/spec/access.md`).
//!
//! # What it owns
//! The roles and the one table of rights ([`decide`]), members, roles of one's own, API keys and sessions ([`Access`]), sign-in by wallet, invitations for other machines, and the audit log ([`audit`]).
//!
//! # Shape
//! Rules are pure: the table, the grammar of messages, nonces, changes of members, the check of the log. Time enters as a value, by two clocks ([`Moment`]). The store puts a lock
//! and a file around them. HTTP is the agent's: nothing here knows a request.
//!
//! # On failure
//! What cannot be written has not happened, and nobody has a right by it. A token is kept as its hash; whoever reads the files becomes nobody.

pub mod audit;
mod count;
mod error;
mod file;
mod invitations;
mod message;
mod moment;
mod nonce;
mod own;
mod principal;
mod questions;
mod role;
mod rules;
pub mod site;
mod state;
mod store;
mod token;
pub mod views;

pub use error::{AccessError, Refusal};
pub use invitations::{INVITATION_MS, INVITATION_MS_MAX, INVITATION_MS_MIN};
pub use message::{Message, Purpose};
pub use moment::{Moment, Tick};
pub use own::{Right, RightError};
pub use principal::{Principal, ROOT, Who};
pub use role::{Role, RoleError};
pub use rules::{Least, RULES, Rule, Verdict, decide, rule};
pub use state::{IDLE_MS, KEY_MS_MAX, KeyWish, SESSION_MS};
pub use store::{Access, Attempt, ContractWallets, Verifies, owners};
pub use token::{is_invitation, of_machine};
