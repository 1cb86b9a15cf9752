//! Transactions.

use openmesh_api as api;
use openmesh_ledger::{AccountsAction, Action, Class, Header, Receipt, SourcesAction, Transaction};
use openmesh_primitives::{Address, canonical};
use openmesh_storage::StoredBlock;

use super::words;
use crate::error::transaction_hint;

/// The account that a transaction's bytes send OPEN to.
pub fn receiver(bytes: &[u8]) -> Option<Address> {
    match canonical::decode(bytes) {
        Ok(Transaction::Account(t)) => match t.action {
            Action::Accounts(AccountsAction::Transfer { to, .. }) => Some(to),
            Action::Sources(_) => None,
        },
        _ => None,
    }
}

/// All transactions of a block.
pub fn of_block(stored: &StoredBlock) -> impl Iterator<Item = api::TransactionSummary> {
    let both = stored.block.transactions.iter().zip(&stored.receipts);
    both.map(|(bytes, receipt)| summary(bytes, Some((&stored.block.header, receipt))))
}

/// A transaction: as it waits, or with its block and its receipt.
pub fn summary(bytes: &[u8], committed: Option<(&Header, &Receipt)>) -> api::TransactionSummary {
    let decoded: Result<Transaction, _> = canonical::decode(bytes);
    let receipt = committed.map(|(_, receipt)| receipt);
    let header = committed.map(|(header, _)| header);
    let error = receipt.and_then(|r| r.error.as_ref());
    let mut summary = api::TransactionSummary {
        hash: openmesh_primitives::sha256(&[bytes]).to_string(),
        height: header.map(|h| h.height),
        index: receipt.map(|r| r.index),
        time: header.map(|h| h.time.to_rfc3339()),
        class: words::class(receipt.map_or(Class::Account, |r| r.class)),
        sender: "unknown".into(),
        nonce: None,
        kind: "unknown".into(),
        to: None,
        amount: None,
        action: "not decodable".into(),
        fee: "0".into(),
        bytes: bytes.len() as u64,
        ok: receipt.is_some() && error.is_none(),
        error: error.map(ToString::to_string),
        error_code: error.map(|e| e.code().to_string()),
        error_hint: error.map(|e| transaction_hint(e).to_string()),
    };
    match &decoded {
        Ok(Transaction::Account(t)) => {
            summary.class = api::TransactionClass::Account;
            // Known from the receipt once committed: recovering a key from a signature is the costly part.
            let sender = receipt.and_then(|r| r.sender).or_else(|| t.sender().ok());
            summary.sender = sender.map_or_else(|| "unknown".into(), |a| a.to_string());
            summary.nonce = Some(t.nonce);
            summary.fee = receipt.map_or(t.fee, |r| r.fee).to_string();
            describe_action(&t.action, &mut summary);
        }
        Ok(Transaction::Attestation(a)) => {
            summary.class = api::TransactionClass::Attestation;
            summary.kind = "attestation".into();
            summary.sender = a.validator().to_string();
            summary.action = format!("attest {} chunks of {}, window {}", a.chunks.len(), a.source, a.window);
        }
        Ok(Transaction::Commitment(c)) => {
            summary.class = api::TransactionClass::Attestation;
            summary.kind = "commitment".into();
            summary.sender = c.validator().to_string();
            summary.action = format!("commit to {}, window {}", c.source, c.window);
        }
        Ok(Transaction::Evidence(e)) => {
            summary.class = api::TransactionClass::Evidence;
            summary.kind = "evidence".into();
            summary.sender = e.validator().to_string();
            summary.action = format!("show two {}s of one validator at height {}", e.step.as_str(), e.height);
        }
        Err(_) => {}
    }
    summary
}

/// Puts an action in words.
fn describe_action(action: &Action, summary: &mut api::TransactionSummary) {
    use SourcesAction::{Register, Retire, Update};
    summary.kind = action.descriptor().kind.into();
    match action {
        Action::Accounts(AccountsAction::Transfer { to, amount }) => {
            summary.to = Some(to.to_string());
            summary.amount = Some(amount.to_string());
            summary.action = format!("send {} OPEN to {to}", amount.to_open());
        }
        Action::Sources(Register(spec)) => summary.action = format!("register source {}", spec.id),
        Action::Sources(Update { id, .. }) => summary.action = format!("change source {id}"),
        Action::Sources(Retire { id }) => summary.action = format!("retire source {id}"),
    }
}
