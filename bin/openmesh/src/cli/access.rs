//! Command line of access: the first owner, members, sessions, API keys, the audit log.

use std::net::SocketAddr;
use std::time::Duration;

use clap::{Args, Subcommand};
use openmesh_agent::views::Role;
use openmesh_primitives::{Address, Timestamp};

use super::common::{AgentName, Output};

/// Arguments of `xnode init`.
#[derive(Debug, Args)]
pub struct InitArgs {
    /// Wallet of the first owner, such as 0xf39F…2266; it counts as long as nobody is an owner.
    #[arg(long, value_name = "ADDRESS")]
    pub owner: Address,
    /// Name under which the door leads people to this agent, such as xnode.example.org; may be given several times.
    #[arg(long = "host", value_name = "NAME")]
    pub hosts: Vec<String>,
    /// Address at which people ask, on loopback (127.0.0.1:7780 for the default agent).
    #[arg(long, value_name = "ADDRESS")]
    pub face: Option<SocketAddr>,
    /// Number of the chain that is asked about contract wallets (ERC-1271).
    #[arg(long, value_name = "NUMBER", requires = "chain_rpc")]
    pub chain_id: Option<u64>,
    /// Address of the JSON-RPC of a node of that chain.
    #[arg(long, value_name = "URL", requires = "chain_id")]
    pub chain_rpc: Option<String>,
    /// Agent.
    #[command(flatten)]
    pub agent: AgentName,
    /// Output.
    #[command(flatten)]
    pub output: Output,
}

/// Access.
#[derive(Debug, Subcommand)]
pub enum AccessCommand {
    /// List members, or let wallets in and out.
    Members(MembersArgs),
    /// List API keys, or make and revoke them.
    Keys(KeysArgs),
    /// List roles of one's own, or make, change and remove them: each narrows viewer, operator or admin to some endpoints.
    Roles(RolesArgs),
    /// List sessions, or revoke them: whatever they have open ends within a second.
    Sessions(SessionsArgs),
    /// Print what was changed by whom, and what was refused; or check that nobody altered it.
    Audit(Box<AuditArgs>),
    /// Print a code with which a wallet becomes the first owner, where there is none.
    Code {
        /// Agent.
        #[command(flatten)]
        agent: AgentName,
        /// Output.
        #[command(flatten)]
        output: Output,
    },
}

/// Arguments of `xnode access members`.
#[derive(Debug, Args)]
pub struct MembersArgs {
    /// Something else than the list.
    #[command(subcommand)]
    pub command: Option<MembersCommand>,
    /// Agent.
    #[command(flatten)]
    pub agent: AgentName,
    /// Output.
    #[command(flatten)]
    pub output: Output,
}

/// Members.
#[derive(Debug, Subcommand)]
pub enum MembersCommand {
    /// Let a wallet in, or change its role.
    Set {
        /// Wallet.
        wallet: Address,
        /// Role: viewer, operator, admin or owner.
        role: Role,
        /// Name for people; an empty one takes it away.
        #[arg(long, value_name = "TEXT")]
        name: Option<String>,
        /// Role of one's own that narrows this role; without it that stays as it is where the role is the same, and an empty one takes it away.
        #[arg(long, value_name = "NAME")]
        only: Option<String>,
        /// Agent.
        #[command(flatten)]
        agent: AgentName,
    },
    /// Take a member out, with their sessions and the API keys that they made.
    Remove {
        /// Wallet.
        wallet: Address,
        /// Agent.
        #[command(flatten)]
        agent: AgentName,
    },
}

/// Arguments of `xnode access keys`.
#[derive(Debug, Args)]
pub struct KeysArgs {
    /// Something else than the list.
    #[command(subcommand)]
    pub command: Option<KeysCommand>,
    /// Agent.
    #[command(flatten)]
    pub agent: AgentName,
    /// Output.
    #[command(flatten)]
    pub output: Output,
}

/// API keys.
#[derive(Debug, Subcommand)]
pub enum KeysCommand {
    /// Make an API key, and print it this once.
    Make {
        /// Name, by which people know what uses it.
        name: String,
        /// Role: viewer, operator, admin or owner.
        #[arg(long)]
        role: Role,
        /// Role of one's own that narrows it.
        #[arg(long, value_name = "NAME")]
        only: Option<String>,
        /// Length of its life, such as 12h or 90d; without it, it has no end.
        #[arg(long, value_name = "LENGTH", value_parser = length)]
        lasts: Option<Duration>,
        /// Agent.
        #[command(flatten)]
        agent: AgentName,
        /// Output.
        #[command(flatten)]
        output: Output,
    },
    /// Revoke an API key.
    Revoke {
        /// Its id in the list.
        id: String,
        /// Agent.
        #[command(flatten)]
        agent: AgentName,
    },
}

/// Arguments of `xnode access roles`.
#[derive(Debug, Args)]
pub struct RolesArgs {
    /// Something else than the list.
    #[command(subcommand)]
    pub command: Option<RolesCommand>,
    /// Agent.
    #[command(flatten)]
    pub agent: AgentName,
    /// Output.
    #[command(flatten)]
    pub output: Output,
}

/// Roles of one's own.
#[derive(Debug, Subcommand)]
pub enum RolesCommand {
    /// Make a role, or change its rights: what whoever has it has open ends.
    Set {
        /// Name: small letters, digits and hyphens.
        name: String,
        /// Role that it narrows: viewer, operator or admin.
        #[arg(long, value_name = "ROLE")]
        of: Role,
        /// Rights, each in quotes: a method or *, and a path, in which * stands for one part and ** at the end for everything below, such as "* /v1/xnode/applications/web/**".
        #[arg(required = true, value_name = "RIGHT")]
        rights: Vec<String>,
        /// Agent.
        #[command(flatten)]
        agent: AgentName,
    },
    /// Remove a role that nobody has.
    Remove {
        /// Name.
        name: String,
        /// Agent.
        #[command(flatten)]
        agent: AgentName,
    },
}

/// Arguments of `xnode access sessions`.
#[derive(Debug, Args)]
pub struct SessionsArgs {
    /// Something else than the list.
    #[command(subcommand)]
    pub command: Option<SessionsCommand>,
    /// Agent.
    #[command(flatten)]
    pub agent: AgentName,
    /// Output.
    #[command(flatten)]
    pub output: Output,
}

/// Sessions.
#[derive(Debug, Subcommand)]
pub enum SessionsCommand {
    /// Revoke a session.
    Revoke {
        /// Its id in the list.
        id: String,
        /// Agent.
        #[command(flatten)]
        agent: AgentName,
    },
    /// Revoke every session of a member.
    RevokeAll {
        /// Wallet.
        wallet: Address,
        /// Agent.
        #[command(flatten)]
        agent: AgentName,
    },
}

/// Arguments of `xnode access audit`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct AuditArgs {
    /// Something else than the list.
    #[command(subcommand)]
    pub command: Option<AuditCommand>,
    /// Only records of whoever has this text in their name (a wallet, a key's name, root).
    #[arg(long, value_name = "TEXT")]
    pub who: Option<String>,
    /// Only this method (POST, PUT, DELETE, GET).
    #[arg(long, value_name = "METHOD")]
    pub method: Option<String>,
    /// Only paths that begin so, such as /v1/xnode/secrets.
    #[arg(long, value_name = "PATH")]
    pub path: Option<String>,
    /// Only refused requests.
    #[arg(long)]
    pub refused: bool,
    /// Only from this moment on: 2h for two hours ago, or 2026-05-01T12:00:00Z.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub since: Option<Timestamp>,
    /// Only before this moment.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub until: Option<Timestamp>,
    /// Only records before this number: the pages after the first.
    #[arg(long, value_name = "NUMBER")]
    pub before: Option<u64>,
    /// Most records.
    #[arg(long, short = 'n', default_value_t = 100)]
    pub limit: usize,
    /// Agent.
    #[command(flatten)]
    pub agent: AgentName,
    /// Output.
    #[command(flatten)]
    pub output: Output,
}

/// The audit log.
#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// Check every record that is kept, and name the first that was altered; ends with 1 where one was.
    Verify {
        /// A record that an earlier check printed, as NUMBER:HASH; whoever wrote the whole log anew does not have it.
        #[arg(long, value_name = "NUMBER:HASH")]
        noted: Option<Noted>,
        /// Read the files, where no agent runs.
        #[arg(long)]
        offline: bool,
        /// Agent.
        #[command(flatten)]
        agent: AgentName,
        /// Output.
        #[command(flatten)]
        output: Output,
    },
}

/// A record that somebody noted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Noted(pub openmesh_agent::views::AuditHead);

impl std::str::FromStr for Noted {
    type Err = String;
    fn from_str(text: &str) -> Result<Noted, String> {
        let parsed = text.split_once(':').and_then(|(sequence, hash)| {
            Some(openmesh_agent::views::AuditHead { sequence: sequence.parse().ok()?, hash: hash.parse().ok()? })
        });
        parsed.map(Noted).ok_or_else(|| "NUMBER:HASH is expected, as a check prints it".to_string())
    }
}

fn length(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|_| "a length such as 12h or 90d is expected".to_string())
}

/// A moment as RFC 3339 in UTC, or as a time ago.
fn moment(text: &str) -> Result<Timestamp, String> {
    if let Ok(at) = Timestamp::parse_rfc3339(text.as_bytes()) {
        return Ok(at);
    }
    let ago = humantime::parse_duration(text).map_err(|_| "a time such as 2h or 2026-05-01T12:00:00Z is expected")?;
    let nanos = i64::try_from(ago.as_nanos()).map_err(|_| "this is longer ago than there are times")?;
    Ok(Timestamp(Timestamp::now().0.saturating_sub(nanos)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_and_noted_records() {
        assert_eq!(moment("1970-01-01T00:00:01Z"), Ok(Timestamp(1_000_000_000)));
        assert!(moment("2h").unwrap() < Timestamp::now());
        assert!(moment("yesterday").is_err() && moment("9999999999y").is_err());
        let hash = "ab".repeat(32);
        let noted: Noted = format!("17:{hash}").parse().unwrap();
        assert_eq!((noted.0.sequence, noted.0.hash.to_string()), (17, hash));
        assert!("17".parse::<Noted>().is_err() && "17:ab".parse::<Noted>().is_err());
    }
}
