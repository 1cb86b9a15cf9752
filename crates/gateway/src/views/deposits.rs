//! Deposits that are held for records.

use openmesh_api as api;
use openmesh_ledger::{Deposit, keys};
use openmesh_primitives::{Address, Digest};

/// Bytes of the account at the end of a stamp's key.
const ADDRESS_BYTES: usize = size_of::<Address>();

/// A deposit by the key of its record.
pub fn info(record: &[u8], deposit: &Deposit) -> api::DepositInfo {
    let mut info = api::DepositInfo {
        account: deposit.owner.to_string(),
        amount: deposit.amount.to_string(),
        kind: api::DepositKind::Other,
        source: None,
        hash: None,
        topic: None,
        key: hex::encode(record),
    };
    if let Some(id) = record.strip_prefix(keys::SOURCES) {
        info.kind = api::DepositKind::Source;
        info.source = Some(String::from_utf8_lossy(id).into_owned());
    } else if let Some((hash, topic)) = stamp(record) {
        info.kind = api::DepositKind::Stamp;
        info.hash = Some(hash.to_string());
        info.topic = Some(topic);
    }
    info
}

/// Hash and topic of a stamp by its key: `stamp/<32 bytes>/<topic>/<20 bytes>`.
fn stamp(record: &[u8]) -> Option<(Digest, String)> {
    let (hash, rest) = record.strip_prefix(keys::STAMPS)?.split_first_chunk::<32>()?;
    let rest = rest.strip_prefix(b"/")?;
    let topic = rest.get(..rest.len().checked_sub(1 + ADDRESS_BYTES)?)?;
    Some((Digest(*hash), String::from_utf8_lossy(topic).into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use openmesh_primitives::{Amount, sha256};

    #[test]
    fn a_record_is_told_by_its_key() {
        let deposit = Deposit { owner: Address([7; 20]), amount: Amount(5) };
        let source = info(&keys::source("kraken"), &deposit);
        assert_eq!((source.kind, source.source.as_deref()), (api::DepositKind::Source, Some("kraken")));
        assert_eq!((source.account, source.amount), (Address([7; 20]).to_string(), "5".to_string()));
        let hash = sha256(&[b"a"]);
        // A slash among the bytes of hash and account is none.
        let stamp = info(&keys::stamp(&hash, "xnode.drill", &Address(*b"////////////////////")), &deposit);
        assert_eq!((stamp.kind, stamp.hash), (api::DepositKind::Stamp, Some(hash.to_string())));
        assert_eq!(stamp.topic.as_deref(), Some("xnode.drill"));
        for other in [b"".as_slice(), b"stamp/", b"new/thing"] {
            let other = info(other, &deposit);
            assert_eq!(
                (other.kind, other.source, other.hash, other.topic),
                (api::DepositKind::Other, None, None, None)
            );
        }
    }
}
