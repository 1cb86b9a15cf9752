//! The people who may open an application, as requests look them up.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::document::{Document, Host};
use crate::pass::{Key, Wallet};

/// The way in to an application for those who may come in.
#[derive(Debug)]
pub struct Entry {
    /// The application.
    pub application: String,
    /// Key of its passes.
    pub key: Key,
    /// Address where people sign in.
    pub sign_in: String,
    wallets: BTreeSet<Wallet>,
}

impl Entry {
    /// The entry of a host; none where everybody may come in, or the document has no way in.
    pub fn of(document: &Document, host: &Host) -> Option<Arc<Entry>> {
        let wallets = document.wallets(&host.access)?;
        let (gate, people) = host.gate.as_ref().zip(document.people.as_ref())?;
        Some(Arc::new(Entry {
            application: gate.application.clone(),
            key: gate.key.clone(),
            sign_in: people.sign_in.clone(),
            wallets,
        }))
    }

    /// Returns true for a wallet that may come in.
    pub fn admits(&self, wallet: &Wallet) -> bool {
        self.wallets.contains(wallet)
    }
}
