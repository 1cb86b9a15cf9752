//! A validator's key that runs somewhere else too: looked for before this node signs anything. `docs/spec/operators.md`, clause O-18.
//!
//! Two looks go on at once, beside the rest of the start. One visits the peers that the settings name: a host's identity follows from the validator's key,
//! so whoever answers with this node's own is this node (its number says so) or a twin. The other one asks connected peers for new blocks with the key's
//! signature. Neither believes anybody: an identity is proved by the connection, a signature by itself.

use std::time::Duration;

use futures::future::try_join_all;
use openmesh_network::{Multiaddr, PeerId, Visit};
use openmesh_primitives::{Timestamp, canonical};
use openmesh_storage::Store;
use openmesh_sync::{Begin, HelloQuestion, look_time, read_who, signs_elsewhere};
use tokio::time::timeout;

use super::config::MeantRole;
use super::joining::{self, Opening};
use crate::failure::Failure;

/// Exit code of a node that has found a twin: an automatic start does not try again, since the twin may be away for a moment only.
pub const EXIT_CODE: u8 = 6;
/// Peers that are visited: as many as a start asks for their genesis.
const PEERS_VISITED_MAX: usize = 16;
/// Longest visit: a host that is up is connected within a second, and answers at once.
const VISIT_TIME: Duration = Duration::from_secs(5);

/// The begin of a node that will sign: one that is meant to, and one of which the validator set has the key whatever it is meant to. `None` for every other one,
/// and for one whose settings leave open what it is, as those of `openmesh up` do: it waits for nothing.
///
/// # Errors
/// Where the store cannot be read.
pub fn begin(opening: &Opening<'_>, store: &Store) -> Result<Option<Begin>, Failure> {
    let config = opening.config;
    let (Some(role), false) = (config.role, config.network.peers.is_empty()) else { return Ok(None) };
    let signs = || -> Result<bool, Failure> {
        let own = joining::own(config, opening.genesis, store)?;
        Ok(own.validators.get(&opening.key.address()).is_some())
    };
    let is_watched = role == MeantRole::Validator || signs()?;
    Ok(is_watched.then(|| Begin { since: Timestamp::now(), height: store.tip().height }))
}

/// Refuses to begin where the key runs somewhere else now.
///
/// # Errors
/// Where a peer that the settings name is a twin, and where a block that was made after the begin has the key's signature, although this node has signed nothing yet.
pub async fn check(opening: &Opening<'_>, begin: Option<Begin>) -> Result<(), Failure> {
    let Some(begin) = begin else { return Ok(()) };
    tokio::try_join!(among_peers(opening), on_chain(opening, begin)).map(|_| ())
}

async fn among_peers(opening: &Opening<'_>) -> Result<(), Failure> {
    let (own, instance) = (opening.network.peer_id(), opening.instance);
    let look = |address: &String| {
        let address = address.clone();
        async move {
            match timeout(VISIT_TIME, is_twin(&address, own, instance)).await {
                Ok(Some(true)) => Err(refused(&format!("one with this node's own identity answers at {address}"))),
                _ => Ok(()),
            }
        }
    };
    try_join_all(opening.config.network.peers.iter().take(PEERS_VISITED_MAX).map(look)).await.map(|_| ())
}

/// True where a host with an identity is another run than the one of a number; `None` where it does not tell.
async fn is_twin(address: &str, own: PeerId, instance: u64) -> Option<bool> {
    let address: Multiaddr = address.parse().ok()?;
    let mut visit = Visit::begin(&address).await.ok()?;
    if visit.peer_id() != own {
        return Some(false);
    }
    let answer = visit.ask(canonical::encode(&HelloQuestion::Who)).await.ok()?;
    Some(read_who(&answer).ok()?.instance != instance)
}

async fn on_chain(opening: &Opening<'_>, begin: Begin) -> Result<(), Failure> {
    let (peers, named) = (joining::peers(opening.network), opening.config.network.peers.len());
    let (chain_id, time) = (opening.genesis.chain_id, look_time(begin.height));
    match signs_elsewhere(&peers, &opening.key, chain_id, begin, named, time).await {
        None => Ok(()),
        Some((height, time)) => Err(refused(&format!(
            "block {height} of {} has its signature, and this node has not signed yet",
            time.to_rfc3339()
        ))),
    }
}

fn refused(how: &str) -> Failure {
    Failure::new(format!("another node signs with this key now: {how}")).with_code(EXIT_CODE).hint(
        "stop the other node, see that it stays stopped, and start this one again: two nodes with one key sign twice for one height, which names \
         the validator for ever",
    )
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use futures::future::join_all;
    use openmesh_ledger::{Genesis, Params};
    use openmesh_network::{Config, Handle, start};
    use openmesh_sync::Greeter;
    use prometheus_client::registry::Registry;
    use tokio_util::sync::CancellationToken;

    use super::*;

    /// A host of an identity that greets in a run with a number.
    async fn host(seed: u8, instance: u64, stop: &CancellationToken) -> (Handle, String) {
        let listen = vec!["/ip4/127.0.0.1/tcp/0".parse().unwrap()];
        let config = Config { listen, peers: Vec::new(), chain_id: 9, key_seed: [seed; 32] };
        let (handle, _) = start(config, Arc::new(|_| None), stop.clone(), &mut Registry::default()).await.unwrap();
        let genesis = Genesis {
            chain_id: 9,
            name: "t".into(),
            time: Timestamp(0),
            validators: Vec::new(),
            accounts: Vec::new(),
            sources: Vec::new(),
            source_owners: Default::default(),
            allocation: Default::default(),
            params: Params::default(),
        };
        let greeter = Greeter::new(&genesis, "v", instance);
        handle.greet_with(Arc::new(move |question: &[u8]| greeter.answer(question, Timestamp(0))), Greeter::is_short);
        let address = handle.listen_addrs()[0].to_string();
        (handle, address)
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn an_identity_of_ones_own_in_another_run_is_a_twin() {
        let stop = CancellationToken::new();
        let (here, own_address) = host(1, 7, &stop).await;
        let (_twin, twin_address) = host(1, 8, &stop).await;
        let (_other, other_address) = host(2, 8, &stop).await;
        let own = here.peer_id();
        let looks = [own_address.as_str(), &twin_address, &other_address, "no address"];
        let seen = join_all(looks.map(|address| is_twin(address, own, 7))).await;
        assert_eq!(seen, [Some(false), Some(true), Some(false), None]);
        stop.cancel();
    }

    #[test]
    fn the_refusal_has_a_code_of_its_own() {
        let failure = refused("x");
        assert_eq!((failure.code(), failure.what_to_do().is_some()), (EXIT_CODE, true));
    }
}
