//! The outcome of a block: writes, receipts and events. Events are put together from the modules.

use std::borrow::Cow;
use std::collections::BTreeMap;

use borsh::{BorshDeserialize, BorshSerialize};
use openmesh_primitives::{Address, Amount, Digest};
use serde::{Deserialize, Serialize};

use crate::error::TransactionError;
use crate::fact::Fact;
use crate::modules::accounts::AccountsEvent;
use crate::modules::deposits::DepositsEvent;
use crate::modules::epochs::EpochsEvent;
use crate::modules::fees::{Fee, FeesEvent};
use crate::modules::incidents::LedgerIncident;
use crate::modules::sources::SourcesEvent;
use crate::modules::stamps::StampsEvent;
use crate::modules::upgrades::UpgradesEvent;
use crate::modules::windows::WindowsEvent;
use crate::rule_set::MigrationWrites;
use crate::transaction::Class;
use crate::upcoming::Migration;
use crate::verify::{Unsigned, VerifiedTransaction};

/// The outcome of a block, to be stored by the caller.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Execution {
    /// State keys and their new values; `None` deletes. Those of a migration are not among them: see [`Execution::all_writes`].
    pub writes: BTreeMap<Vec<u8>, Option<Vec<u8>>>,
    /// One for each transaction, in the block's order.
    pub receipts: Vec<Receipt>,
    /// In the order in which they happened.
    pub events: Vec<LedgerEvent>,
    /// Epoch of the block, to whose tree the facts belong.
    pub epoch: u64,
    /// Position of the first fact in the tree of the epoch.
    pub first_fact: u64,
    /// Facts of the block, in the order of the tree.
    pub facts: Vec<Fact>,
    /// The migration that the block brought. Its writes, which may be the whole state, come before those of the block, and are shared by
    /// all blocks of the height.
    pub migration: Option<Migration>,
}

impl Execution {
    /// All writes of the block: those of its migration, if it brings one, and its own over them.
    pub fn all_writes(&self) -> Cow<'_, MigrationWrites> {
        match &self.migration {
            None => Cow::Borrowed(&self.writes),
            Some(migration) => {
                let mut all = MigrationWrites::clone(&migration.writes);
                all.extend(self.writes.iter().map(|(key, value)| (key.clone(), value.clone())));
                Cow::Owned(all)
            }
        }
    }
}

/// The outcome of a transaction.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
pub struct Receipt {
    /// SHA-256 of the transaction.
    pub hash: Digest,
    /// Position in the block.
    pub index: u32,
    /// Its class.
    pub class: Class,
    /// Account or validator; unknown where the signature does not verify.
    pub sender: Option<Address>,
    /// Of an account's transaction.
    pub nonce: Option<u64>,
    /// Paid: base fee and tip; zero if refused.
    pub fee: Amount,
    /// Of it, the proposer's; the rest was burnt.
    pub tip: Amount,
    /// The refusal; `None`: it took effect.
    pub error: Option<TransactionError>,
}

/// Declares [`LedgerEvent`] from one line for each module: the variant, and the module's own type of events.
macro_rules! events {
    ($($(#[$doc:meta])* $variant:ident($part:ident),)*) => {
        /// An event of a block.
        #[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
        pub enum LedgerEvent {
            $($(#[$doc])* $variant($part),)*
        }

        $(impl From<$part> for LedgerEvent {
            fn from(event: $part) -> LedgerEvent {
                LedgerEvent::$variant(event)
            }
        })*
    };
}

events! {
    /// Of accounts.
    Accounts(AccountsEvent),
    /// Of the register of sources.
    Sources(SourcesEvent),
    /// Of windows.
    Windows(WindowsEvent),
    /// Of epochs.
    Epochs(EpochsEvent),
    /// Something that a person may want to look at.
    Incident(LedgerIncident),
    /// Of fees.
    Fees(FeesEvent),
    /// Of deposits.
    Deposits(DepositsEvent),
    /// Of stamps.
    Stamps(StampsEvent),
    /// Of upgrades.
    Upgrades(UpgradesEvent),
}

impl Receipt {
    /// Of a transaction whose signature was verified; its position is filled in at the end of the block.
    pub(crate) fn of(verified: &VerifiedTransaction, outcome: Result<Fee, TransactionError>) -> Receipt {
        let nonce = verified.transaction().nonce();
        let paid = outcome.as_ref().copied().unwrap_or_default();
        let (fee, tip, error) = (paid.total(), paid.tip, outcome.err());
        let (hash, class, sender) = (verified.hash(), verified.class(), Some(verified.sender()));
        Receipt { hash, index: 0, class, sender, nonce, fee, tip, error }
    }

    /// Of a transaction whose signature does not verify; its position is filled in at the end of the block.
    pub(crate) fn unverified(unsigned: Unsigned) -> Receipt {
        let Unsigned { hash, transaction, error } = unsigned;
        let (class, nonce) = (transaction.class(), transaction.nonce());
        let (fee, tip) = (Amount::ZERO, Amount::ZERO);
        Receipt { hash, index: 0, class, sender: None, nonce, fee, tip, error: Some(error) }
    }

    /// Returns true if the transaction took effect.
    pub const fn ok(&self) -> bool {
        self.error.is_none()
    }
}
