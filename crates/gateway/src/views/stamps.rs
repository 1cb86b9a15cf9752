//! Stamps.

use openmesh_api as api;
use openmesh_ledger::StampRecord;
use openmesh_primitives::ContentId;

/// A stamp as the API shows it.
pub fn info(record: &StampRecord) -> api::StampInfo {
    api::StampInfo {
        hash: record.hash.to_string(),
        cid: ContentId::from_digest(record.hash).to_string(),
        topic: record.topic.clone(),
        account: record.account.to_string(),
        note: record.note.clone(),
        height: record.height,
        number: record.number,
        time: record.time.to_rfc3339(),
        transaction: record.transaction.to_string(),
    }
}
