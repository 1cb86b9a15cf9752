//! Every validator is asked before a run whether it verifies signatures: figures of validators that do not would be of another work.
//!
//! Each gets forgeries of a transfer that differ from a good one in nothing but what a check of the signature looks at, and has to
//! refuse each for the signature. The account of the good one has the means, so that nothing else refuses them. After a run each has to
//! have verified at least as many signatures as transfers were committed, by its own count: doors do not show what becomes of blocks.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use openmesh_ledger::{AccountTransaction, AccountsAction, Action, Transaction};
use openmesh_primitives::{AccountSignature, Amount};

use super::net::Net;
use super::protocol::Protocol;
use crate::door::Door;

/// The word of the API for a signature that does not verify.
const WORD: &str = "signature";
/// Order of secp256k1's group, big-endian. Source: SEC 2 v2, 2.4.1.
const ORDER: [u8; 32] = [
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xfe, 0xba, 0xae, 0xdc,
    0xe6, 0xaf, 0x48, 0xa0, 0x3b, 0xbf, 0xd2, 0x5e, 0x8c, 0xd0, 0x36, 0x41, 0x41,
];

/// Hands every validator's door each forgery.
///
/// # Errors
/// A validator does not refuse one, or refuses it for another reason; it is named by its number and address.
pub async fn by_everybody(net: &Net) -> anyhow::Result<()> {
    let key = net.last_sender().context("no account to sign with")?;
    let action = Action::Accounts(AccountsAction::Transfer { to: key.address(), amount: Amount(1) });
    let signed = AccountTransaction::sign(key, Net::chain_id(), 0, net.fee, action).context("signing")?;
    for (number, host) in net.hosts.iter().enumerate() {
        let mut door = Door::open(host).await.with_context(|| format!("validator {number} ({host})"))?;
        for (what, signature) in forgeries(&signed.signature) {
            let forged = Transaction::Account(AccountTransaction { signature, ..signed.clone() }).encode();
            let (status, body) = door.ask(&net.protocol.request(host, &[&forged])).await?;
            let answer: serde_json::Value = serde_json::from_slice(&body).unwrap_or_default();
            let word = answer.pointer("/error/code").and_then(serde_json::Value::as_str).unwrap_or_default();
            ensure!(
                status == 400 && word == WORD,
                "validator {number} ({host}) does not refuse a transfer with {what} for its signature (it answers {status} {answer}): \
                 figures count only where every validator verifies every signature"
            );
        }
    }
    Ok(())
}

/// Counter of the signatures of transactions that a validator has verified, of its clients, of peers and in blocks.
const VERIFIED: &str = "openmesh_engine_signatures_verified_total";
/// Longest time until a validator that is behind has executed the last block.
const BEHIND: Duration = Duration::from_secs(20);
/// Time between two looks at how far it is.
const BEHIND_POLL: Duration = Duration::from_millis(200);

/// Signatures that each validator has verified so far; none where they do not count them.
///
/// # Errors
/// A validator does not answer.
pub async fn counts(net: &Net) -> anyhow::Result<Vec<u64>> {
    match net.protocol {
        Protocol::Openmesh => net.counters(VERIFIED).await,
        Protocol::CometBft => Ok(Vec::new()),
    }
}

/// The least number of signatures that a validator has verified since a count; `None` where they do not count them.
///
/// # Errors
/// A validator has verified fewer than were committed; it is named by its number and address.
pub async fn at_least(net: &Net, before: &[u64], committed: usize) -> anyhow::Result<Option<u64>> {
    let deadline = tokio::time::Instant::now() + BEHIND;
    loop {
        let now = counts(net).await?;
        let since = now.iter().zip(before).map(|(now, before)| now.saturating_sub(*before));
        let Some((number, verified)) = since.enumerate().min_by_key(|(_, verified)| *verified) else { return Ok(None) };
        if verified >= committed as u64 {
            return Ok(Some(verified));
        }
        ensure!(
            tokio::time::Instant::now() < deadline,
            "validator {number} ({}) has verified {verified} signatures, and {committed} transfers were committed: figures count only \
             where every validator verifies every signature",
            net.hosts[number]
        );
        tokio::time::sleep(BEHIND_POLL).await;
    }
}

/// Signatures that no validator may take in the place of a good one.
fn forgeries(good: &AccountSignature) -> [(&'static str, AccountSignature); 4] {
    let (mut none, mut beyond, mut other, mut high) = (good.0, good.0, good.0, good.0);
    none[..32].fill(0);
    beyond[..32].copy_from_slice(&ORDER);
    other[64] = 29;
    // The other of the two signatures that anybody can make of one: the order less `s`, by the other `v`.
    let mut borrow = 0;
    for at in (0..32).rev() {
        let difference = i16::from(ORDER[at]) - i16::from(good.0[32 + at]) - borrow;
        borrow = i16::from(difference < 0);
        high[32 + at] = difference.rem_euclid(256) as u8;
    }
    high[64] = if good.0[64] == 27 { 28 } else { 27 };
    [("an r of zero", none), ("an r beyond the order", beyond), ("another v", other), ("a high s", high)]
        .map(|(what, bytes)| (what, AccountSignature(bytes)))
}

#[cfg(test)]
mod tests {
    use openmesh_primitives::{AccountKey, Address, KeyError};

    use super::*;

    fn transfer() -> AccountTransaction {
        let key = AccountKey::from_bytes([7; 32]).unwrap();
        let action = Action::Accounts(AccountsAction::Transfer { to: Address([9; 20]), amount: Amount(1) });
        AccountTransaction::sign(&key, 1, 0, Amount(1), action).unwrap()
    }

    #[test]
    fn forgeries_are_none_that_verify_and_the_high_one_is_the_good_one_turned_round() {
        let good = transfer();
        for (what, signature) in forgeries(&good.signature) {
            let forged = AccountTransaction { signature, ..good.clone() };
            assert_eq!(forged.sender(), Err(KeyError::Signature), "{what}");
        }
        let [.., (_, high)] = forgeries(&good.signature);
        let [.., (_, low)] = forgeries(&high);
        assert_eq!(low, good.signature);
    }

    /// The transfer that the peer's side of the comparison verifies in its own tests.
    #[test]
    fn the_peers_transfer_is_one_of_ours() {
        let text = include_str!("../../cometbft/transfer.txt");
        let (bytes, signer) = text.trim().split_once('\n').unwrap();
        let bytes = hex::decode(bytes).unwrap();
        let verified = openmesh_ledger::verify_stateless(&bytes).unwrap();
        assert_eq!(verified.sender().to_string().to_lowercase(), signer);
        assert_eq!(verified.transaction().encode(), bytes);
        assert_eq!(Transaction::Account(transfer()).encode().len(), bytes.len());
    }
}
