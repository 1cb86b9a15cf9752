//! A look whether a validator's key signs somewhere else while its node begins: two nodes with one key sign twice for one height, which names the
//! validator for ever. `docs/spec/operators.md`, clause O-18.
//!
//! Nobody can lie about it: what is found is a signature of the key itself over a block that was made after this node began, which has not signed
//! anything yet. A peer may keep silent about it, and a certificate may be without a signature that came late; so it finds most twins, and not all.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::future::join_all;
use openmesh_ledger::light::ValidatorChange;
use openmesh_ledger::{Header, precommit_sign_bytes};
use openmesh_primitives::{Height, Timestamp, ValidatorPublicKey};
use tokio::time::{Instant, sleep, timeout};

use crate::peers::Peers;
use crate::survey::{Heard, offers};
use crate::wire::Question;

/// Time by which a block has to be younger than the begin of a node without blocks, milliseconds: two seconds that a proposer's clock may be ahead,
/// and one of this machine's. What the key has signed before, for a home that was lost, is older.
const CLOCKS_MS: i64 = 3_000;
/// Time of a look for a node with blocks: some blocks of a second.
const LOOK_TIME: Duration = Duration::from_secs(5);
/// Pause between two rounds of questions.
const ROUND_PAUSE: Duration = Duration::from_millis(500);
/// Longest wait for a header and its certificate.
const STEP_TIME: Duration = Duration::from_secs(3);
/// Signatures in one certificate under the key's name that are checked: an honest one has one, and a check takes a fraction of a millisecond.
const SIGNATURES_TRIED_MAX: usize = 16;

/// The begin of a node's run, from which on its key has signed nothing here.
#[derive(Clone, Copy, Debug)]
pub struct Begin {
    /// By its clock.
    pub since: Timestamp,
    /// Its last block; 0 where it has none.
    pub height: Height,
}

impl Begin {
    /// True for a header that this home's own run before cannot have signed. With blocks their number says so: of the block after the last one that is
    /// kept there may be a signature, and of none beyond it. The time says beside it that no earlier life of the key was it, whose home was lost
    /// or brought back from a copy.
    fn is_after(&self, header: &Header) -> bool {
        let after_ms = header.time.millis().saturating_sub(self.since.millis());
        match self.height {
            0 => after_ms > CLOCKS_MS,
            height => header.height > height.saturating_add(1) && after_ms > 0,
        }
    }
}

/// Time of a look from a begin at this height: the same number of new blocks, whether they count from the begin or from a while after it.
pub const fn look_time(height: Height) -> Duration {
    match height {
        0 => LOOK_TIME.saturating_add(Duration::from_millis(CLOCKS_MS.unsigned_abs())),
        _ => LOOK_TIME,
    }
}

/// Looks for some time whether a key signs new blocks; returns height and time of one that it has signed. A network that begins, of which all
/// peers that are named answer that they have nothing, is not waited for by a node that has nothing either.
pub async fn signs_elsewhere(
    peers: &Peers,
    key: &ValidatorPublicKey,
    chain_id: u64,
    begin: Begin,
    named: usize,
    time: Duration,
) -> Option<(Height, Timestamp)> {
    let begun = Instant::now();
    // By peer: what one of them shows for a height keeps no other one from showing more.
    let mut seen: BTreeSet<(String, Height)> = BTreeSet::new();
    while begun.elapsed() < time {
        let Heard { offers, .. } = offers(peers, &BTreeSet::new()).await;
        if begin.height == 0 && offers.len() >= named && offers.values().all(|offer| offer.tip == 0) {
            return None;
        }
        let newest = offers.iter().map(|(peer, offer)| (peer.clone(), offer.tip));
        let newest: Vec<(String, Height)> = newest.filter(|step| step.1 > 0 && !seen.contains(step)).collect();
        let steps = newest.into_iter().map(|(peer, height)| async move {
            let step = peers.ask::<ValidatorChange>(&peer, Question::Step { height });
            let step = timeout(STEP_TIME, step).await.ok()?.ok()?;
            Some((peer, height, step))
        });
        for (peer, height, step) in join_all(steps).await.into_iter().flatten() {
            if is_signed(&step, key, chain_id, begin) {
                return Some((step.header.height, step.header.time));
            }
            seen.insert((peer, height));
        }
        sleep(ROUND_PAUSE).await;
    }
    None
}

/// True where the key has signed a header of the chain that was made after the begin.
fn is_signed(step: &ValidatorChange, key: &ValidatorPublicKey, chain_id: u64, begin: Begin) -> bool {
    let (header, certificate) = (&step.header, &step.certificate);
    let hash = header.hash();
    if !begin.is_after(header) || hash != certificate.block_hash || header.height != certificate.height {
        return false;
    }
    let address = key.address();
    let bytes = precommit_sign_bytes(chain_id, header.height, certificate.round, &hash, &address);
    // Whoever adds a wrong signature of the key before the right one hides nothing.
    let mut own = certificate.signatures.iter().filter(|(signer, _)| *signer == address).take(SIGNATURES_TRIED_MAX);
    own.any(|(_, signature)| key.verify(&bytes, signature).is_ok())
}

#[cfg(test)]
mod tests {
    use openmesh_primitives::{Address, Digest};

    use super::*;

    fn header(height: Height, ms: i64) -> Header {
        Header {
            version: openmesh_ledger::HEADER_VERSION,
            chain_id: 1,
            height,
            time: Timestamp::from_millis(ms),
            parent: Digest::ZERO,
            state_root: Digest::ZERO,
            transactions_root: Digest::ZERO,
            last_commit_hash: Digest::ZERO,
            proposer: Address([0; 20]),
            validators_hash: Digest::ZERO,
            next_validators_hash: Digest::ZERO,
            beacon_proof: openmesh_primitives::VrfProof([0; 80]),
        }
    }

    #[test]
    fn blocks_that_the_home_itself_may_have_signed_are_no_others() {
        let begin = |height| Begin { since: Timestamp::from_millis(100_000), height };
        // With blocks: the next one may be its own of before, whatever the clocks say; those beyond are not.
        for (height, ms, is_after) in
            [(7, 200_000, false), (8, 200_000, false), (9, 100_001, true), (9, 100_000, false), (90, 1, false)]
        {
            assert_eq!(begin(7).is_after(&header(height, ms)), is_after, "{height} at {ms}");
        }
        // Without any: by the clocks alone.
        assert!(begin(0).is_after(&header(5, 103_001)) && !begin(0).is_after(&header(5, 103_000)));
        assert!(!begin(u64::MAX).is_after(&header(u64::MAX, 200_000)), "no overflow");
        assert_eq!((look_time(0).as_secs(), look_time(7).as_secs()), (8, 5));
    }
}
