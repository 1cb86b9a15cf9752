//! Closed sets of other rooms in the contract's words.

use openmesh_api as api;
use openmesh_duties::NodeIncidentKind;
use openmesh_ledger::{
    ActionDescriptor, Class, FieldDescriptor, FieldKind, IncidentKind, Origin, Params, SourceKind, weight_fee,
};
use openmesh_market::{Feed, Side, event};
use openmesh_primitives::Amount;

/// Provenance of data.
pub const fn origin(origin: Origin) -> api::Origin {
    match origin {
        Origin::Live => api::Origin::Live,
        Origin::Simulated => api::Origin::Simulated,
        Origin::Replay => api::Origin::Replay,
    }
}

/// Provenance of a network's data as a whole: the least real of its sources names it.
pub fn least_real(origins: impl IntoIterator<Item = Origin>) -> Origin {
    let all: Vec<Origin> = origins.into_iter().collect();
    [Origin::Simulated, Origin::Replay].into_iter().find(|o| all.contains(o)).unwrap_or(Origin::Live)
}

/// Kind of a source's data.
pub const fn kind(kind: SourceKind) -> api::SourceKind {
    match kind {
        SourceKind::Market => api::SourceKind::Market,
        SourceKind::Chain => api::SourceKind::Chain,
    }
}

/// Declaration of an action under a network's parameters, with its fee in the next block.
pub fn action_info(action: &ActionDescriptor, params: &Params, base_fee: Amount) -> api::ActionInfo {
    api::ActionInfo {
        kind: action.kind.into(),
        title: action.title.into(),
        summary: action.summary.into(),
        details: action.details.into(),
        typed_data: action.type_text(),
        weight: action.weight,
        fee_min: weight_fee(base_fee, action.weight).to_string(),
        deposit: (action.deposit)(params).to_string(),
        fields: action.fields.iter().map(field_info).collect(),
        errors: action.errors.iter().map(|code| (*code).to_owned()).collect(),
    }
}

/// Declaration of a field of an action.
pub fn field_info(field: &FieldDescriptor) -> api::ActionField {
    let (kind, choices): (_, &[&str]) = match field.kind {
        FieldKind::Address => (api::FieldType::Address, &[]),
        FieldKind::Amount => (api::FieldType::Amount, &[]),
        FieldKind::Text => (api::FieldType::Text, &[]),
        FieldKind::OptionalText => (api::FieldType::OptionalText, &[]),
        FieldKind::Hash => (api::FieldType::Hash, &[]),
        FieldKind::Texts => (api::FieldType::Texts, &[]),
        FieldKind::Uint => (api::FieldType::Uint, &[]),
        FieldKind::Choice(choices) => (api::FieldType::Choice, choices),
    };
    api::ActionField {
        name: field.name.into(),
        kind,
        label: field.label.into(),
        help: field.help.into(),
        unit: field.unit.map(str::to_owned),
        choices: choices.iter().map(|choice| (*choice).to_owned()).collect(),
    }
}

/// Class of a transaction.
pub const fn class(class: Class) -> api::TransactionClass {
    match class {
        Class::Account => api::TransactionClass::Account,
        Class::Attestation => api::TransactionClass::Attestation,
        Class::Evidence => api::TransactionClass::Evidence,
        Class::Upgrade => api::TransactionClass::Upgrade,
    }
}

/// Kind of an incident of the ledger.
pub const fn ledger_incident(kind: IncidentKind) -> api::IncidentKind {
    match kind {
        IncidentKind::Differing => api::IncidentKind::Differing,
        IncidentKind::Missing => api::IncidentKind::Missing,
        IncidentKind::Disputed => api::IncidentKind::Disputed,
        IncidentKind::Uncovered => api::IncidentKind::Uncovered,
        IncidentKind::Equivocation => api::IncidentKind::Equivocation,
        IncidentKind::Copied => api::IncidentKind::Copied,
    }
}

/// Kind of an incident of the collector.
pub const fn site_incident(kind: event::IncidentKind) -> api::IncidentKind {
    match kind {
        event::IncidentKind::Gap => api::IncidentKind::Gap,
        event::IncidentKind::Checksum => api::IncidentKind::Checksum,
        event::IncidentKind::Garbage => api::IncidentKind::Garbage,
        event::IncidentKind::Disconnected => api::IncidentKind::Disconnected,
        event::IncidentKind::Refused => api::IncidentKind::Refused,
        event::IncidentKind::Crossed => api::IncidentKind::Crossed,
        event::IncidentKind::Silence => api::IncidentKind::Silence,
    }
}

/// Kind of an incident of a validator's duties.
pub const fn duty_incident(kind: NodeIncidentKind) -> api::IncidentKind {
    match kind {
        NodeIncidentKind::ChunkWithdrawn => api::IncidentKind::ChunkWithdrawn,
        NodeIncidentKind::AttestedChunkWithdrawn => api::IncidentKind::AttestedChunkWithdrawn,
        NodeIncidentKind::WindowNotAttested => api::IncidentKind::WindowNotAttested,
    }
}

/// Side of a trade.
pub const fn side(side: Side) -> api::Side {
    match side {
        Side::Buy => api::Side::Buy,
        Side::Sell => api::Side::Sell,
    }
}

/// The collector's feed of a feed of instruments; `None` for the ledger's and the node's own.
pub const fn market_feed(feed: api::Feed) -> Option<Feed> {
    match feed {
        api::Feed::Trades => Some(Feed::Trades),
        api::Feed::Book => Some(Feed::Book),
        api::Feed::Ticker => Some(Feed::Ticker),
        api::Feed::Candles => Some(Feed::Candles),
        api::Feed::Funding => Some(Feed::Funding),
        api::Feed::OpenInterest => Some(Feed::OpenInterest),
        api::Feed::Liquidations => Some(Feed::Liquidations),
        api::Feed::MarkPrice => Some(Feed::MarkPrice),
        api::Feed::IndexPrice => Some(Feed::IndexPrice),
        api::Feed::Blocks
        | api::Feed::Chunks
        | api::Feed::Incidents
        | api::Feed::Receipts
        | api::Feed::Stamps
        | api::Feed::Events
        | api::Feed::Status
        | api::Feed::Upgrades => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_those_of_the_rooms_that_they_come_from() {
        for feed in Feed::ALL {
            assert!(api::Feed::of(&feed.to_string()).is_some(), "{feed}");
        }
        for (ours, theirs) in api::Feed::ALL.into_iter().filter_map(|ours| Some((ours, market_feed(ours)?))) {
            assert_eq!(ours.as_str(), theirs.to_string());
        }
        for kind in [
            IncidentKind::Differing,
            IncidentKind::Missing,
            IncidentKind::Disputed,
            IncidentKind::Uncovered,
            IncidentKind::Equivocation,
            IncidentKind::Copied,
        ] {
            assert_eq!(serde_json::to_value(ledger_incident(kind)).unwrap(), kind.as_str());
        }
    }

    #[test]
    fn a_network_is_named_after_the_least_real_of_its_sources() {
        assert_eq!(least_real([Origin::Live, Origin::Replay, Origin::Simulated]), Origin::Simulated);
        assert_eq!(least_real([Origin::Live, Origin::Replay]), Origin::Replay);
        assert_eq!(least_real([]), Origin::Live);
    }
}
