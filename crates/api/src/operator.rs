//! The state of a node for its operator.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// State of a node for its operator: whether it does what it is there for, and what is wrong with its machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NodeState {
    /// Version of the binary.
    pub version: String,
    /// Network.
    pub network: NodeNetwork,
    /// Role that it has now.
    pub role: NodeRole,
    /// True where its settings say that it is to validate.
    pub meant_to_validate: bool,
    /// Address of its key.
    pub address: String,
    /// Its public key (ed25519), hexadecimal.
    pub public_key: String,
    /// Moment at which it was looked at.
    pub time: String,
    /// Seconds since it began to serve.
    pub uptime_seconds: u64,
    /// Height of its last block.
    pub height: u64,
    /// Age of that block by this machine's clock, in milliseconds; 0 where it seems to come from the future.
    pub lag_ms: u64,
    /// Longest time between two blocks while there is nothing to do, by its settings, in milliseconds; 0 of a node that does not tell it.
    #[serde(default)]
    pub idle_block_ms: u64,
    /// It is behind its peers.
    pub syncing: bool,
    /// Height of its oldest block; 0 where it has none.
    pub oldest_block: u64,
    /// Its part in consensus; nothing where its key is not in the set.
    pub signing: Option<NodeSigning>,
    /// Connected peers of consensus.
    pub consensus_peers: u32,
    /// Connected peers of gossip and content.
    pub network_peers: u32,
    /// Its clock.
    pub clock: NodeClock,
    /// Disks of its data.
    pub disks: Vec<NodeDisk>,
    /// Open alerts, the most severe first.
    pub alerts: Vec<NodeAlert>,
    /// Receivers of alerts.
    pub webhooks: Vec<NodeWebhook>,
}

impl NodeState {
    /// The part that everybody may know who reaches the API: that something is wrong with the machine, but neither the folders of its data nor the
    /// receivers of its alerts, whose failures name their hosts.
    #[must_use]
    pub fn for_others(self) -> NodeState {
        let of_disk = |alert: NodeAlert| NodeAlert {
            subject: None,
            cause: "little is free on a disk of this node's data".to_owned(),
            ..alert
        };
        let alert = |alert: NodeAlert| if alert.kind == NodeAlertKind::Disk { of_disk(alert) } else { alert };
        let alerts = self.alerts.into_iter().map(alert).collect();
        NodeState { disks: Vec::new(), webhooks: Vec::new(), alerts, ..self }
    }
}

/// A network, as its nodes know it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NodeNetwork {
    /// Name.
    pub name: String,
    /// Chain id.
    pub chain_id: u64,
    /// Hash of the genesis.
    pub genesis: String,
}

/// Role of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum NodeRole {
    /// Its key is in the validator set.
    Validator,
    /// It follows the ledger.
    Full,
    /// It follows the ledger and keeps every block.
    Archive,
}

impl NodeRole {
    /// The word as it stands in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            NodeRole::Validator => "validator",
            NodeRole::Full => "full",
            NodeRole::Archive => "archive",
        }
    }
}

/// Part of a validator in consensus, of at most the last hundred blocks that it had to sign.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NodeSigning {
    /// Account that earns the tips of its blocks; nothing where it has named none: nobody can spend them then.
    pub payout: Option<String>,
    /// Its voting power.
    pub power: u64,
    /// Power of all.
    pub total_power: u64,
    /// Number of these blocks.
    pub recent: u64,
    /// Blocks of these without its signature.
    pub missed: u64,
    /// Newest height that it signed, of these.
    pub last_signed_height: Option<u64>,
    /// It has signed the newest of them, or one of the three before, since it began to serve.
    pub signs: bool,
}

/// Clock of a node beside those of its peers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NodeClock {
    /// Time by which the middle of its peers' clocks is ahead of its own, in milliseconds; nothing where no peer has told.
    pub offset_ms: Option<i64>,
    /// Peers whose clocks were compared.
    pub peers: u32,
}

/// A disk of a node's data.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NodeDisk {
    /// Folder of data that lies on it.
    pub folder: String,
    /// Bytes that are free.
    pub free_bytes: u64,
}

/// Kind of an alert of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum NodeAlertKind {
    /// Blocks lack its signature.
    MissedBlocks,
    /// It is meant to validate, and the set does not have its key.
    NotValidating,
    /// No block has come for long.
    Standstill,
    /// It is behind its peers.
    Behind,
    /// Nobody is connected.
    Peers,
    /// A disk is nearly full.
    Disk,
    /// Its clock differs from its peers'.
    Clock,
}

impl NodeAlertKind {
    /// The word as it stands in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            NodeAlertKind::MissedBlocks => "missed_blocks",
            NodeAlertKind::NotValidating => "not_validating",
            NodeAlertKind::Standstill => "standstill",
            NodeAlertKind::Behind => "behind",
            NodeAlertKind::Peers => "peers",
            NodeAlertKind::Disk => "disk",
            NodeAlertKind::Clock => "clock",
        }
    }
}

/// Severity of an alert of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum NodeAlertSeverity {
    /// Somebody should look at it within days.
    Warning,
    /// Somebody should look at it now.
    Critical,
}

impl NodeAlertSeverity {
    /// The word as it stands in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            NodeAlertSeverity::Warning => "warning",
            NodeAlertSeverity::Critical => "critical",
        }
    }
}

/// An open alert of a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NodeAlert {
    /// Number; no two alerts of a node have the same.
    pub id: u64,
    /// Kind.
    pub kind: NodeAlertKind,
    /// One of several, such as a folder on a disk.
    pub subject: Option<String>,
    /// Severity.
    pub severity: NodeAlertSeverity,
    /// Cause.
    pub cause: String,
    /// Remedy, in words.
    pub remedy: String,
    /// Moment at which it was first seen.
    pub begin: String,
}

/// A receiver of a node's alerts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NodeWebhook {
    /// Its name in the settings.
    pub name: String,
    /// Messages that wait.
    pub waiting: u64,
    /// Reason for which it cannot be used, or cause of the last failure.
    pub trouble: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn others_learn_neither_folders_nor_receivers() {
        let alert = |id, kind, subject: Option<&str>| NodeAlert {
            id,
            kind,
            subject: subject.map(Into::into),
            severity: NodeAlertSeverity::Critical,
            cause: format!("cause {id}: {}", subject.unwrap_or_default()),
            remedy: "what to do".into(),
            begin: "2027-01-15T08:00:00Z".into(),
        };
        let state = NodeState {
            version: "1".into(),
            network: NodeNetwork { name: "net".into(), chain_id: 7, genesis: "00".into() },
            role: NodeRole::Full,
            meant_to_validate: false,
            address: "a".into(),
            public_key: "k".into(),
            time: "2027-01-15T08:00:00Z".into(),
            uptime_seconds: 1,
            height: 9,
            lag_ms: 3,
            idle_block_ms: 1_000,
            syncing: false,
            oldest_block: 1,
            signing: None,
            consensus_peers: 3,
            network_peers: 3,
            clock: NodeClock::default(),
            disks: vec![NodeDisk { folder: "/srv/secret".into(), free_bytes: 7 }],
            alerts: vec![alert(1, NodeAlertKind::Disk, Some("/srv/secret")), alert(2, NodeAlertKind::Peers, None)],
            webhooks: vec![NodeWebhook { name: "ops".into(), waiting: 1, trouble: Some("hooks.secret".into()) }],
        };
        let shown = state.clone().for_others();
        let text = serde_json::to_string(&shown).unwrap();
        assert!(!text.contains("secret") && !text.contains("ops"), "{text}");
        assert_eq!((shown.alerts.len(), &shown.alerts[1], shown.height), (2, &state.alerts[1], 9));
        assert_eq!((shown.alerts[0].id, shown.alerts[0].kind), (1, NodeAlertKind::Disk));
    }
}
