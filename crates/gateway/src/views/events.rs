//! Events of the ledger.

use openmesh_api::{self as api, EventKind};
use openmesh_ledger::{
    AccountsEvent, DepositsEvent, EpochsEvent, FeesEvent, Lapse, LedgerEvent, SourcesEvent, StampsEvent, UpgradesEvent,
    WindowsEvent,
};
use openmesh_primitives::{Height, Timestamp};

/// An event as the API shows it: the one of a number among those of a block.
pub fn info(event: &LedgerEvent, height: Height, number: u32, time: Timestamp) -> api::EventInfo {
    let mut info = api::EventInfo {
        id: format!("{height}-{number}"),
        height,
        number,
        time: time.to_rfc3339(),
        kind: kind(event),
        text: String::new(),
        source: None,
        window: None,
        stream: None,
        cid: None,
        epoch: None,
        validators: Vec::new(),
        accounts: Vec::new(),
        transaction: None,
        amount: None,
        hash: None,
        topic: None,
    };
    match event {
        LedgerEvent::Accounts(event) => of_accounts(event, &mut info),
        LedgerEvent::Sources(event) => of_sources(event, &mut info),
        LedgerEvent::Windows(event) => of_windows(event, &mut info),
        LedgerEvent::Epochs(EpochsEvent::EpochClosed { epoch, closed, .. }) => {
            info.epoch = Some(*epoch);
            info.text = format!(
                "epoch {epoch} closed: {} facts of blocks {} to {}",
                closed.facts, closed.first_height, closed.last_height
            );
        }
        LedgerEvent::Incident(incident) => {
            info.source = Some(incident.source.clone());
            info.window = Some(incident.window);
            info.stream.clone_from(&incident.stream);
            info.validators = incident.validator.iter().map(ToString::to_string).collect();
            info.text = format!("{}: {}", incident.kind.as_str(), incident.detail);
        }
        LedgerEvent::Fees(event) => of_fees(event, &mut info),
        LedgerEvent::Deposits(event) => of_deposits(event, &mut info),
        LedgerEvent::Stamps(StampsEvent::Stamped(record)) => {
            info.accounts = vec![record.account.to_string()];
            info.transaction = Some(record.transaction.to_string());
            info.hash = Some(record.hash.to_string());
            info.topic = Some(record.topic.clone());
            info.text = format!("{} stamped under {}", record.hash, record.topic);
        }
        LedgerEvent::Upgrades(event) => of_upgrades(event, &mut info),
    }
    info
}

/// Kind of an event.
pub const fn kind(event: &LedgerEvent) -> EventKind {
    match event {
        LedgerEvent::Accounts(AccountsEvent::Transferred { .. }) => EventKind::Transferred,
        LedgerEvent::Sources(SourcesEvent::SourceRegistered { .. }) => EventKind::SourceRegistered,
        LedgerEvent::Sources(SourcesEvent::SourceUpdated { .. }) => EventKind::SourceUpdated,
        LedgerEvent::Sources(SourcesEvent::SourceRetired { .. }) => EventKind::SourceRetired,
        LedgerEvent::Windows(WindowsEvent::ChunkAccepted { .. }) => EventKind::ChunkAccepted,
        LedgerEvent::Windows(WindowsEvent::WindowClosed { .. }) => EventKind::WindowClosed,
        LedgerEvent::Windows(WindowsEvent::Attested { .. }) => EventKind::Attested,
        LedgerEvent::Windows(WindowsEvent::Differed { .. }) => EventKind::Differed,
        LedgerEvent::Epochs(EpochsEvent::EpochClosed { .. }) => EventKind::EpochClosed,
        LedgerEvent::Incident(_) => EventKind::Incident,
        LedgerEvent::Fees(FeesEvent::Collected { .. }) => EventKind::FeesCollected,
        LedgerEvent::Deposits(DepositsEvent::Held { .. }) => EventKind::DepositHeld,
        LedgerEvent::Deposits(DepositsEvent::Returned { .. }) => EventKind::DepositReturned,
        LedgerEvent::Stamps(StampsEvent::Stamped(_)) => EventKind::Stamped,
        LedgerEvent::Upgrades(UpgradesEvent::Approved { .. }) => EventKind::PlanApproved,
        LedgerEvent::Upgrades(UpgradesEvent::Withdrawn { .. }) => EventKind::PlanWithdrawn,
        LedgerEvent::Upgrades(UpgradesEvent::Ready { .. }) => EventKind::RulesKnown,
        LedgerEvent::Upgrades(UpgradesEvent::Upgraded { .. }) => EventKind::Upgraded,
        LedgerEvent::Upgrades(UpgradesEvent::Lapsed(_)) => EventKind::PlanLapsed,
    }
}

fn of_accounts(event: &AccountsEvent, info: &mut api::EventInfo) {
    match event {
        AccountsEvent::Transferred { from, to, amount, transaction, .. } => {
            info.accounts = vec![from.to_string(), to.to_string()];
            info.transaction = Some(transaction.to_string());
            info.amount = Some(amount.to_string());
            info.text = format!("{} OPEN from {from} to {to}", amount.to_open());
        }
    }
}

fn of_fees(event: &FeesEvent, info: &mut api::EventInfo) {
    match event {
        FeesEvent::Collected { base_fee, next_base_fee, burnt, tips, .. } => {
            info.amount = Some(burnt.to_string());
            info.text = format!(
                "{} OPEN burnt, {} OPEN of tips to the proposer; base fee {} OPEN for a transfer, {} OPEN in the next block",
                burnt.to_open(),
                tips.to_open(),
                base_fee.to_open(),
                next_base_fee.to_open()
            );
        }
    }
}

fn of_deposits(event: &DepositsEvent, info: &mut api::EventInfo) {
    let (owner, amount, what) = match event {
        DepositsEvent::Held { owner, amount, .. } => (owner, amount, "held for a record that it has stored"),
        DepositsEvent::Returned { owner, amount, .. } => {
            (owner, amount, "given back, as its record has left the state")
        }
    };
    info.accounts = vec![owner.to_string()];
    info.amount = Some(amount.to_string());
    info.text = format!("{} OPEN of {owner} {what}", amount.to_open());
}

fn of_upgrades(event: &UpgradesEvent, info: &mut api::EventInfo) {
    match event {
        UpgradesEvent::Approved { plan, validator, power, total, .. } => {
            info.validators = vec![validator.to_string()];
            info.text = format!(
                "rule set {} at height {} approved, with release {}: {power} of {total} of the power approve it now",
                plan.version, plan.height, plan.release
            );
        }
        UpgradesEvent::Withdrawn { plan_height, plan, validator, .. } => {
            info.validators = vec![validator.to_string()];
            info.text = format!("approval of plan {plan} at height {plan_height} withdrawn");
        }
        UpgradesEvent::Ready { validator, version, .. } => {
            info.validators = vec![validator.to_string()];
            info.text = format!("its program knows rule sets up to {version}");
        }
        UpgradesEvent::Upgraded { plan, from, power, total, migrated_keys, .. } => {
            info.text = format!(
                "rule set {} in force after {from}, approved by {power} of {total} of the power; {migrated_keys} keys migrated",
                plan.version
            );
        }
        UpgradesEvent::Lapsed(lapsed) => {
            let reason = match lapsed.lapse {
                Lapse::TooLittlePower => "too little power approves it",
                Lapse::NotLater => "its rule set is in force already",
            };
            let (version, height) = (lapsed.plan.version, lapsed.plan.height);
            info.text = format!("plan for rule set {version} at height {height} lapsed: {reason}");
        }
    }
}

fn of_sources(event: &SourcesEvent, info: &mut api::EventInfo) {
    match event {
        SourcesEvent::SourceRegistered { id, owner, active_from_epoch, .. } => {
            info.source = Some(id.clone());
            info.accounts = vec![owner.to_string()];
            info.text = format!("source {id} registered, collected from epoch {active_from_epoch} on");
        }
        SourcesEvent::SourceUpdated { id, from_epoch, .. } => {
            info.source = Some(id.clone());
            info.text = format!("the streams of source {id} change with epoch {from_epoch}");
        }
        SourcesEvent::SourceRetired { id, from_epoch, .. } => {
            info.source = Some(id.clone());
            info.text = format!("source {id} is retired from epoch {from_epoch} on");
        }
    }
}

fn of_windows(event: &WindowsEvent, info: &mut api::EventInfo) {
    match event {
        WindowsEvent::ChunkAccepted { source, window, stream, cid, events, attesters, .. } => {
            info.source = Some(source.clone());
            info.window = Some(*window);
            info.stream = Some(stream.clone());
            info.cid = Some(cid.to_string());
            info.validators = attesters.iter().map(ToString::to_string).collect();
            info.text = format!("{stream} of {source}, window {window}, agreed on: {events} events");
        }
        WindowsEvent::WindowClosed { source, window, accepted, disputed, uncovered, missing, .. } => {
            info.source = Some(source.clone());
            info.window = Some(*window);
            info.validators = missing.iter().map(ToString::to_string).collect();
            info.text = format!(
                "window {window} of {source} closed: {accepted} chunks agreed on, {} disputed, {} uncovered, {} validators missing",
                disputed.len(),
                uncovered.len(),
                missing.len()
            );
        }
        WindowsEvent::Attested { source, window, validator, abstained, .. } => {
            info.source = Some(source.clone());
            info.window = Some(*window);
            info.validators = vec![validator.to_string()];
            info.text = match abstained.len() {
                0 => format!("window {window} of {source} attested"),
                streams => format!("window {window} of {source} attested, but for {streams} streams not covered"),
            };
        }
        WindowsEvent::Differed { source, window, stream, validator, .. } => {
            info.source = Some(source.clone());
            info.window = Some(*window);
            info.stream = Some(stream.clone());
            info.validators = vec![validator.to_string()];
            info.text = format!("another word about {stream} of {source}, window {window}, than the agreed one");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use openmesh_primitives::{Address, Amount, Digest};

    #[test]
    fn a_transfer_names_both_accounts_and_its_transaction() {
        let (from, to) = (Address([1; 20]), Address([2; 20]));
        let event = LedgerEvent::Accounts(AccountsEvent::Transferred {
            from,
            to,
            amount: Amount::open(2),
            transaction: Digest([3; 32]),
            height: 7,
        });
        let info = info(&event, 7, 4, Timestamp::from_millis(1_000));
        assert_eq!((info.id.as_str(), info.kind), ("7-4", EventKind::Transferred));
        assert_eq!(info.accounts, [from.to_string(), to.to_string()]);
        assert_eq!(info.transaction, Some(Digest([3; 32]).to_string()));
        assert!(info.text.starts_with("2 OPEN from 0x"), "{}", info.text);
    }

    #[test]
    fn a_ballot_says_whose_it_is_and_what_for() {
        let validator = Address([6; 20]);
        let event = LedgerEvent::Upgrades(UpgradesEvent::Ready { validator, version: 2, height: 7 });
        let told = info(&event, 7, 0, Timestamp::from_millis(1_000));
        assert_eq!((told.kind, told.validators), (EventKind::RulesKnown, vec![validator.to_string()]));
        assert!(told.text.contains("rule sets up to 2"), "{}", told.text);
    }

    #[test]
    fn fees_and_deposits_say_how_much_and_whose() {
        let fees = LedgerEvent::Fees(FeesEvent::Collected {
            base_fee: Amount(1_000_000_000_000),
            next_base_fee: Amount(1_125_000_000_000),
            burnt: Amount::open(3),
            tips: Amount::open(1),
            load: 1_000_000,
            height: 7,
        });
        let told = info(&fees, 7, 0, Timestamp::from_millis(1_000));
        assert_eq!((told.kind, told.amount), (EventKind::FeesCollected, Some(Amount::open(3).to_string())));
        assert!(
            told.text.starts_with("3 OPEN burnt, 1 OPEN of tips") && told.text.contains("0.000001125"),
            "{}",
            told.text
        );
        let (owner, amount, height) = (Address([4; 20]), Amount::open(10), 7);
        for (event, kind) in [
            (DepositsEvent::Held { owner, amount, height }, EventKind::DepositHeld),
            (DepositsEvent::Returned { owner, amount, height }, EventKind::DepositReturned),
        ] {
            let told = info(&LedgerEvent::Deposits(event), 7, 1, Timestamp::from_millis(1_000));
            assert_eq!((told.kind, told.accounts), (kind, vec![owner.to_string()]));
            assert_eq!(told.amount, Some(amount.to_string()));
        }
    }
}
