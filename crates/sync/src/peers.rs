//! Peers as this room sees them.

use std::collections::BTreeSet;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;

use borsh::BorshDeserialize;
use futures::future::BoxFuture;
use openmesh_primitives::canonical;

use crate::error::{Fault, Lie, Refusal};
use crate::newer::newer_header;
use crate::wire::Question;

/// Asks a peer by its name.
pub type Ask = Arc<dyn Fn(&str, Vec<u8>) -> BoxFuture<'static, Result<Vec<u8>, Refusal>> + Send + Sync>;

/// The peers of a node: any host that can name them and ask one of them.
#[derive(Clone)]
pub struct Peers {
    /// Names of those that are connected.
    pub connected: Arc<dyn Fn() -> Vec<String> + Send + Sync>,
    /// Asks one of them.
    pub ask: Ask,
    /// Shuts one out that has lied.
    pub shut_out: Arc<dyn Fn(&str) + Send + Sync>,
}

impl Peers {
    /// The connected peers but for some, in an order that nobody can choose: names are made by those who bear them.
    pub(crate) fn shuffled(&self, except: &BTreeSet<String>) -> Vec<String> {
        let mut names = (self.connected)();
        names.retain(|name| !except.contains(name));
        shuffle(&mut names);
        names
    }

    /// Asks a peer, and reads its answer; what cannot be read is a lie.
    pub(crate) async fn ask<T: BorshDeserialize>(&self, peer: &str, question: Question) -> Result<T, Fault> {
        decoded(&self.answer(peer, question).await?)
    }

    /// Asks a peer for something with headers of a chain. One that is newer than this program is no lie, whether its form can be read or
    /// not.
    pub(crate) async fn ask_of_chain<T: BorshDeserialize>(
        &self,
        peer: &str,
        question: Question,
        chain_id: u64,
    ) -> Result<T, Fault> {
        let bytes = self.answer(peer, question).await?;
        match newer_header(question, &bytes, chain_id) {
            Some(version) => Err(Fault::Newer(version)),
            None => decoded(&bytes),
        }
    }

    async fn answer(&self, peer: &str, question: Question) -> Result<Vec<u8>, Fault> {
        let bytes = (self.ask)(peer, canonical::encode(&question)).await.map_err(Fault::Refused)?;
        match bytes.len() > question.answer_bytes_max() {
            true => Err(Lie::Form(format!("{} bytes are more than any answer to it has", bytes.len())).into()),
            false => Ok(bytes),
        }
    }
}

fn decoded<T: BorshDeserialize>(bytes: &[u8]) -> Result<T, Fault> {
    canonical::decode(bytes).map_err(|error| Lie::Form(error.to_string()).into())
}

/// Orders names at random.
pub(crate) fn shuffle(names: &mut [String]) {
    let order = RandomState::new();
    names.sort_by_cached_key(|name| order.hash_one(name));
}
