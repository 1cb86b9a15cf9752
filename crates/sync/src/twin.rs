//! A look whether a validator's key signs somewhere else while its node begins: two nodes with one key sign twice for one height, which names the
//! validator for ever. `docs/spec/operators.md`, clause O-18.
//!
//! Nobody can lie about it: what is found is a signature of the key itself over a block that was made after this node began, and that has not signed
//! anything yet. A peer may keep silent about it, and a certificate may be without a signature that came late; so it finds most twins, and not all.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::future::join_all;
use openmesh_ledger::light::ValidatorChange;
use openmesh_ledger::precommit_sign_bytes;
use openmesh_primitives::{Height, Timestamp, ValidatorPublicKey};
use tokio::time::{Instant, sleep, timeout};

use crate::peers::Peers;
use crate::survey::{Heard, offers};
use crate::wire::Question;

/// Time of a look where nothing else is wanted: some blocks of a second, behind [`CLOCKS_MS`].
pub const TWIN_TIME: Duration = Duration::from_secs(8);
/// Time by which a block has to be younger than the node's begin, milliseconds: two seconds that a proposer's clock may be ahead, and one of this
/// machine's. The node's own last block before a quick restart is older.
const CLOCKS_MS: i64 = 3_000;
/// Pause between two rounds of questions.
const ROUND_PAUSE: Duration = Duration::from_millis(500);
/// Longest wait for a header and its certificate.
const STEP_TIME: Duration = Duration::from_secs(3);

/// Looks for some time whether a key signs new blocks; returns height and time of one that it has signed. A network that begins, of which all
/// peers that are named answer that they have nothing, is not waited for.
///
/// `since` is the moment at which this node began, and from which on it has signed nothing.
pub async fn signs_elsewhere(
    peers: &Peers,
    key: &ValidatorPublicKey,
    chain_id: u64,
    since: Timestamp,
    named: usize,
    time: Duration,
) -> Option<(Height, Timestamp)> {
    let begun = Instant::now();
    let mut asked: BTreeSet<Height> = BTreeSet::new();
    while begun.elapsed() < time {
        let Heard { offers, .. } = offers(peers, &BTreeSet::new()).await;
        if offers.len() >= named && offers.values().all(|offer| offer.tip == 0) {
            return None;
        }
        let newest = offers.iter().filter(|(_, offer)| offer.tip > 0 && !asked.contains(&offer.tip));
        let steps = newest.map(|(peer, offer)| async move {
            let step = peers.ask::<ValidatorChange>(peer, Question::Step { height: offer.tip });
            Some((offer.tip, timeout(STEP_TIME, step).await.ok()?.ok()?))
        });
        for (height, step) in join_all(steps).await.into_iter().flatten() {
            if let Some(time) = signed(&step, key, chain_id, since) {
                return Some((step.header.height, time));
            }
            asked.insert(height);
        }
        sleep(ROUND_PAUSE).await;
    }
    None
}

/// The time of a header that the key has signed for the chain, where it was made after a moment.
fn signed(step: &ValidatorChange, key: &ValidatorPublicKey, chain_id: u64, since: Timestamp) -> Option<Timestamp> {
    let (header, certificate) = (&step.header, &step.certificate);
    let hash = header.hash();
    let is_new = header.time.millis().saturating_sub(since.millis()) > CLOCKS_MS;
    if !is_new || hash != certificate.block_hash || header.height != certificate.height {
        return None;
    }
    let address = key.address();
    let (_, signature) = certificate.signatures.iter().find(|(signer, _)| *signer == address)?;
    let bytes = precommit_sign_bytes(chain_id, header.height, certificate.round, &hash, &address);
    key.verify(&bytes, signature).is_ok().then_some(header.time)
}
