//! Transactions.

use openmesh_api as api;
use openmesh_ledger::{
    AccountsAction, Action, Attestation, ChunkClaim, Class, Commitment, Evidence, Header, Receipt, SignedBlock,
    SourcesAction, StampsAction, Transaction, UpgradeVote,
};
use openmesh_primitives::eip712::Value;
use openmesh_primitives::{Address, Amount, canonical};
use openmesh_storage::StoredBlock;

use super::words;
use crate::error::transaction_hint;

/// The account that a transaction's bytes send OPEN to.
pub fn receiver(bytes: &[u8]) -> Option<Address> {
    match canonical::decode(bytes) {
        Ok(Transaction::Account(t)) => match t.action {
            Action::Accounts(AccountsAction::Transfer { to, .. }) => Some(to),
            Action::Sources(_) | Action::Stamps(_) | Action::Registered(_) => None,
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
        tip: "0".into(),
        max_fee: None,
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
            summary.fee = receipt.map_or(t.offer.max_fee, |r| r.fee).to_string();
            summary.tip = receipt.map_or(t.offer.tip, |r| r.tip).to_string();
            summary.max_fee = Some(t.offer.max_fee.to_string());
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
        Ok(Transaction::Upgrade(ballot)) => {
            summary.class = api::TransactionClass::Upgrade;
            summary.kind = ballot.vote.kind().into();
            summary.sender = ballot.validator().to_string();
            summary.action = describe_vote(&ballot.vote);
        }
        Err(_) => {}
    }
    summary
}

/// A transaction with what it carries: as it waits, or with its block and its receipt.
pub fn detail(bytes: &[u8], committed: Option<(&Header, &Receipt)>) -> api::TransactionDetail {
    let mut detail = api::TransactionDetail {
        summary: summary(bytes, committed),
        fields: Vec::new(),
        attestation: None,
        evidence: None,
    };
    match canonical::decode(bytes) {
        Ok(Transaction::Account(t)) => detail.fields = values(&t.action),
        Ok(Transaction::Attestation(a)) => detail.attestation = Some(attestation(&a)),
        Ok(Transaction::Commitment(c)) => detail.fields = commitment(&c),
        Ok(Transaction::Evidence(e)) => detail.evidence = Some(evidence(&e)),
        Ok(Transaction::Upgrade(ballot)) => detail.fields = vote_values(&ballot.vote),
        Err(_) => {}
    }
    detail
}

/// Fields of an action by its declaration, so that an action of a new module is shown without a line here.
fn values(action: &Action) -> Vec<api::ActionValue> {
    let message = action.typed_message(0, Amount::ZERO);
    let text = |value: &Value<'_>| match value {
        Value::Text(text) => vec![(*text).to_string()],
        Value::Address(address) => vec![address.to_string()],
        Value::Uint(number) => vec![number.to_string()],
        Value::Bytes32(bytes) => vec![hex::encode(bytes)],
        Value::Texts(texts) => texts.to_vec(),
    };
    let both = action.descriptor().fields.iter().zip(&message.fields);
    both.map(|(field, typed)| {
        let declared = words::field_info(field);
        api::ActionValue {
            name: declared.name,
            kind: declared.kind,
            label: declared.label,
            unit: declared.unit,
            values: text(&typed.value),
        }
    })
    .collect()
}

fn attestation(attestation: &Attestation) -> api::AttestationInfo {
    let claim = |claim: &ChunkClaim| api::ClaimInfo {
        stream: claim.stream.clone(),
        cid: claim.cid.to_string(),
        bytes: claim.bytes,
        events: claim.events,
    };
    api::AttestationInfo {
        source: attestation.source.clone(),
        window: attestation.window,
        epoch: attestation.epoch,
        claims: attestation.chunks.iter().map(claim).collect(),
        abstained: attestation.abstained.clone(),
    }
}

fn evidence(evidence: &Evidence) -> api::EvidenceInfo {
    let block = |message: &SignedBlock| message.block.map(|block| block.to_string());
    api::EvidenceInfo {
        validator: evidence.validator().to_string(),
        height: evidence.height,
        round: evidence.round,
        step: evidence.step.as_str().into(),
        first: block(&evidence.first),
        second: block(&evidence.second),
    }
}

/// A value that belongs to no action, as the fields of one are shown.
fn value(name: &str, kind: api::FieldType, label: &str, value: String) -> api::ActionValue {
    api::ActionValue { name: name.into(), kind, label: label.into(), unit: None, values: vec![value] }
}

/// Content of a commitment, as the fields of an action are shown.
fn commitment(commitment: &Commitment) -> Vec<api::ActionValue> {
    use api::FieldType::{Hash, Text, Uint};
    vec![
        value("source", Text, "Source", commitment.source.clone()),
        value("window", Uint, "Window", commitment.window.to_string()),
        value("epoch", Uint, "Epoch", commitment.epoch.to_string()),
        value("seal", Hash, "Seal", commitment.seal.to_string()),
    ]
}

/// Content of a ballot, as the fields of an action are shown.
fn vote_values(vote: &UpgradeVote) -> Vec<api::ActionValue> {
    use api::FieldType::{Address, Hash, Text, Uint};
    match vote {
        UpgradeVote::Approve(plan) => vec![
            value("version", Uint, "Rule set", plan.version.to_string()),
            value("height", Uint, "Height", plan.height.to_string()),
            value("release", Text, "Release", plan.release.clone()),
            value("digest", Hash, "SHA-256 of the release", plan.digest.to_string()),
        ],
        UpgradeVote::Withdraw { height, plan } => {
            vec![value("height", Uint, "Height", height.to_string()), value("plan", Text, "Plan", plan.to_string())]
        }
        UpgradeVote::Ready { version } => vec![value("version", Uint, "Rule set", version.to_string())],
        UpgradeVote::Payout { account } => vec![value("account", Address, "Account", account.to_string())],
    }
}

/// Puts a ballot in words.
fn describe_vote(vote: &UpgradeVote) -> String {
    match vote {
        UpgradeVote::Approve(plan) => {
            format!("approve rule set {} at height {}, release {}", plan.version, plan.height, plan.release)
        }
        UpgradeVote::Withdraw { height, plan } => format!("withdraw the approval of plan {plan} at height {height}"),
        UpgradeVote::Ready { version } => format!("its program knows rule sets up to {version}"),
        UpgradeVote::Payout { account } => format!("the tips of its blocks go to {account}"),
    }
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
        Action::Stamps(StampsAction::Stamp { hash, topic, .. }) => {
            summary.action = format!("stamp {hash} under {topic}");
        }
        Action::Registered(action) => summary.action = format!("action {} of a registered rule set", action.tag),
    }
}
