//! Events of the ledger: what a block did, one by one.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// An event of the ledger. What does not belong to its kind is `null` or empty.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EventInfo {
    /// Height and number: `12-3`.
    pub id: String,
    /// Height of the block.
    pub height: u64,
    /// Number among the events of the block, from 0, in the order in which they happened.
    pub number: u32,
    /// Time of the block.
    pub time: String,
    /// Kind.
    pub kind: EventKind,
    /// The event in words, for people.
    pub text: String,
    /// Source.
    pub source: Option<String>,
    /// Number of the window.
    pub window: Option<u64>,
    /// Stream: `BTC.USDT/trades`.
    pub stream: Option<String>,
    /// CID of a chunk.
    pub cid: Option<String>,
    /// Epoch that was closed.
    pub epoch: Option<u64>,
    /// Validators that it is about.
    pub validators: Vec<String>,
    /// Accounts that it is about: of a transfer, the sender first.
    pub accounts: Vec<String>,
    /// Hash of the transaction.
    pub transaction: Option<String>,
    /// Amount of a transfer or a deposit, or what was burnt, in 10^-18 OPEN.
    pub amount: Option<String>,
    /// Hash that was stamped.
    pub hash: Option<String>,
    /// Topic under which it was stamped.
    pub topic: Option<String>,
}

/// Kind of an event of the ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    /// A transfer took effect.
    Transferred,
    /// A source was registered.
    SourceRegistered,
    /// The streams of a source change.
    SourceUpdated,
    /// A source was retired.
    SourceRetired,
    /// The network agreed on a chunk.
    ChunkAccepted,
    /// A window closed.
    WindowClosed,
    /// A validator attested a window.
    Attested,
    /// A validator's word about a stream is another than the decided one.
    Differed,
    /// An epoch ended, and its facts have one root that stays.
    EpochClosed,
    /// An incident was recorded.
    Incident,
    /// A hash was stamped.
    Stamped,
    /// The fees of a block: what was burnt, the tips, and the base fee.
    FeesCollected,
    /// An amount is held for a record that an account has stored.
    DepositHeld,
    /// A record has left the state, and its account has the deposit back.
    DepositReturned,
    /// A validator approved a plan of an upgrade.
    PlanApproved,
    /// A validator took its approval of a plan back.
    PlanWithdrawn,
    /// A validator told the highest rule set that its program knows.
    RulesKnown,
    /// The network follows another rule set from this block on.
    Upgraded,
    /// A plan came due and did not stand.
    PlanLapsed,
}

impl EventKind {
    /// Every kind.
    pub const ALL: [EventKind; 19] = [
        EventKind::Transferred,
        EventKind::SourceRegistered,
        EventKind::SourceUpdated,
        EventKind::SourceRetired,
        EventKind::ChunkAccepted,
        EventKind::WindowClosed,
        EventKind::Attested,
        EventKind::Differed,
        EventKind::EpochClosed,
        EventKind::Incident,
        EventKind::Stamped,
        EventKind::FeesCollected,
        EventKind::DepositHeld,
        EventKind::DepositReturned,
        EventKind::PlanApproved,
        EventKind::PlanWithdrawn,
        EventKind::RulesKnown,
        EventKind::Upgraded,
        EventKind::PlanLapsed,
    ];

    /// The word as it stands in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            EventKind::Transferred => "transferred",
            EventKind::SourceRegistered => "source_registered",
            EventKind::SourceUpdated => "source_updated",
            EventKind::SourceRetired => "source_retired",
            EventKind::ChunkAccepted => "chunk_accepted",
            EventKind::WindowClosed => "window_closed",
            EventKind::Attested => "attested",
            EventKind::Differed => "differed",
            EventKind::EpochClosed => "epoch_closed",
            EventKind::Incident => "incident",
            EventKind::Stamped => "stamped",
            EventKind::FeesCollected => "fees_collected",
            EventKind::DepositHeld => "deposit_held",
            EventKind::DepositReturned => "deposit_returned",
            EventKind::PlanApproved => "plan_approved",
            EventKind::PlanWithdrawn => "plan_withdrawn",
            EventKind::RulesKnown => "rules_known",
            EventKind::Upgraded => "upgraded",
            EventKind::PlanLapsed => "plan_lapsed",
        }
    }

    /// The kind of a word; `None` where there is none.
    pub fn of(word: &str) -> Option<EventKind> {
        EventKind::ALL.into_iter().find(|kind| kind.as_str() == word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_kinds_are_those_of_the_wire() {
        for kind in EventKind::ALL {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.as_str());
            assert_eq!(EventKind::of(kind.as_str()), Some(kind));
        }
        assert_eq!(EventKind::of("weather"), None);
    }
}
