//! Subscriptions of one WebSocket of JSON-RPC. Clause 20 of `docs/spec/rpc.md`.

use std::collections::BTreeSet;

use openmesh_api::limits::RPC_SUBSCRIPTIONS_MAX;
use serde_json::value::RawValue;

use crate::rpc::{Fault, LIMIT_EXCEEDED, quantity, raw};

/// Subscriptions to new blocks, by their numbers.
#[derive(Debug, Default)]
pub struct Subscriptions {
    last: u64,
    open: BTreeSet<u64>,
}

impl Subscriptions {
    /// True where nobody listens.
    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// Names of those that are open.
    pub fn names(&self) -> impl Iterator<Item = String> {
        self.open.iter().map(|number| quantity(*number))
    }

    /// Opens one; returns its name. Fails where there are too many.
    pub fn add(&mut self) -> Result<Box<RawValue>, Fault> {
        if self.open.len() >= RPC_SUBSCRIPTIONS_MAX {
            let message = format!("at most {RPC_SUBSCRIPTIONS_MAX} subscriptions on one connection");
            return Err(Fault::new(
                LIMIT_EXCEEDED,
                message,
                "end one with eth_unsubscribe, or open another connection",
            ));
        }
        self.last += 1;
        self.open.insert(self.last);
        raw(&quantity(self.last))
    }

    /// Ends one; the answer is false where there is none of this number.
    pub fn remove(&mut self, number: u64) -> Result<Box<RawValue>, Fault> {
        raw(&self.open.remove(&number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_a_name_of_its_own_and_there_are_not_too_many() {
        let mut subscriptions = Subscriptions::default();
        assert!(subscriptions.is_empty());
        for _ in 0..RPC_SUBSCRIPTIONS_MAX {
            subscriptions.add().unwrap();
        }
        assert_eq!(subscriptions.add().unwrap_err().code, LIMIT_EXCEEDED);
        assert_eq!(subscriptions.remove(1).unwrap().get(), "true");
        assert_eq!(subscriptions.remove(1).unwrap().get(), "false");
        assert_eq!(subscriptions.add().unwrap().get(), "\"0x11\"", "a name is not given twice");
        assert_eq!(subscriptions.names().next().as_deref(), Some("0x2"));
    }
}
