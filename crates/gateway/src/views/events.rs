//! Events of the ledger.

use openmesh_api::{self as api, EventKind};
use openmesh_ledger::{AccountsEvent, EpochsEvent, LedgerEvent, SourcesEvent, StampsEvent, WindowsEvent};
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
        LedgerEvent::Stamps(StampsEvent::Stamped(record)) => {
            info.accounts = vec![record.account.to_string()];
            info.transaction = Some(record.transaction.to_string());
            info.hash = Some(record.hash.to_string());
            info.topic = Some(record.topic.clone());
            info.text = format!("{} stamped under {}", record.hash, record.topic);
        }
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
        LedgerEvent::Stamps(StampsEvent::Stamped(_)) => EventKind::Stamped,
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
}
