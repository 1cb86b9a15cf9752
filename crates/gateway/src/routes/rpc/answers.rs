//! Answers to bodies of JSON-RPC, each request with a place of its class. Clauses 3 to 6 of `docs/spec/rpc.md`.

use std::time::{Duration, Instant};

use openmesh_primitives::{Digest, Height};
use serde_json::Value;
use serde_json::value::RawValue;
use tokio_util::sync::CancellationToken;

use super::room::Room;
use super::subscriptions::Subscriptions;
use crate::node::Node;
use crate::reads::ethereum::{Class, World, class};
use crate::rpc::{Ask, Call, Fault, Incoming, Outcome, Subject, batch, parse, reply};
use crate::work::Budget;

/// The answer to a body; `None` where nobody waits for one. `subscriptions` are those of a WebSocket.
pub async fn answers(node: &Node, body: &[u8], subscriptions: Option<&mut Subscriptions>) -> Option<String> {
    match parse(body) {
        Err(fault) => Some(reply(&Value::Null, Err(fault))),
        Ok(Incoming::One(call)) => {
            let (id, asked) = (call.id?, call.ask);
            let outcome = match asked {
                Ok(ask) => outcome(node, ask, subscriptions).await,
                Err(fault) => Err(fault),
            };
            Some(reply(&id, outcome))
        }
        Ok(Incoming::Batch(calls)) => of_batch(node, calls, subscriptions).await,
    }
}

async fn of_batch(node: &Node, calls: Vec<Call>, mut subscriptions: Option<&mut Subscriptions>) -> Option<String> {
    let (mut texts, mut room) = (Vec::new(), Room::new(Instant::now()));
    for Call { id, ask } in calls {
        // A notification changes nothing here, and nobody would hear what came of it.
        let Some(id) = id else { continue };
        let outcome = match (ask, room.go_on(Instant::now())) {
            (Ok(ask), Ok(())) => outcome(node, ask, subscriptions.as_deref_mut()).await,
            (Ok(_), Err(fault)) | (Err(fault), _) => Err(fault),
        };
        texts.push(room.answer(&id, outcome));
    }
    (!texts.is_empty()).then(|| batch(&texts))
}

async fn outcome(node: &Node, ask: Ask, subscriptions: Option<&mut Subscriptions>) -> Outcome {
    match (ask, subscriptions) {
        (Ask::Subscribe(Subject::NewHeads), Some(subscriptions)) => subscriptions.add(),
        (Ask::Unsubscribe(number), Some(subscriptions)) => subscriptions.remove(number),
        (ask, _) => asked(node, ask).await,
    }
}

async fn asked(node: &Node, ask: Ask) -> Outcome {
    match class(&ask) {
        Class::Memory => with_world(node, |world| world.answer(&ask, &mut no_rows())),
        Class::Read => node.read(move |node| Ok(with_world(&node, |world| world.answer(&ask, &mut no_rows())))).await?,
        Class::Scan => node.scan(move |node, budget| Ok(with_world(&node, |world| world.answer(&ask, budget)))).await?,
    }
}

/// The head of a block for subscriptions; `None` where this node does not hold it. Fails as busy where no place becomes free in time.
pub async fn head(node: &Node, height: Height) -> Result<Option<Box<RawValue>>, Fault> {
    node.read(move |node| Ok(with_world(&node, |world| world.head(height)))).await?
}

/// The budget of what looks at no rows.
fn no_rows() -> Budget {
    Budget::new(0, Duration::ZERO, CancellationToken::new())
}

fn with_world<T>(node: &Node, look: impl FnOnce(&World<'_>) -> T) -> T {
    let find = |hash: &Digest| node.memory().hashes().find(hash, node.store().oldest_block());
    let pending = |hash: &Digest| node.pending(hash);
    look(&World {
        store: node.store(),
        version: node.deps().version,
        chain_id: node.chain_id(),
        engine: node.deps().engine.status(),
        find: &find,
        pending: &pending,
        nonce_after: &|address| node.deps().engine.nonce_after_waiting(address),
    })
}
