//! Transactions and their classes. Clauses T, A and V of `docs/spec/transactions.md`, clause U2 of `docs/spec/upgrades.md`.

use borsh::{BorshDeserialize, BorshSerialize};
use openmesh_primitives::{AccountKey, AccountSignature, Address, Digest, KeyError, canonical, sha256};
use serde::{Deserialize, Serialize};

use crate::action::Action;
use crate::modules::evidence::Evidence;
use crate::modules::fees::FeeOffer;
use crate::modules::upgrades::UpgradeBallot;
use crate::modules::windows::{Attestation, Commitment};

/// A transaction. Its canonical bytes are what travels and what is hashed.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Transaction {
    /// Of an account: signed by a wallet, pays a fee.
    Account(AccountTransaction),
    /// Of a validator: its own class, without fee, in reserved room.
    Attestation(Attestation),
    /// Proof that a validator equivocated: of nobody, without fee.
    Evidence(Evidence),
    /// Of a validator, before its attestation, of the same class.
    Commitment(Commitment),
    /// A validator's ballot about upgrades: in the room of attestations, without fee.
    Upgrade(UpgradeBallot),
}

/// The class of a transaction, which decides its room in mempool and block.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, BorshSerialize, BorshDeserialize, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// Of an account.
    Account,
    /// Of a validator: attestations and the commitments before them.
    Attestation,
    /// About a validator.
    Evidence,
    /// Of a validator, about upgrades.
    Upgrade,
}

/// A transaction of an account, signed as EIP-712 typed data.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
pub struct AccountTransaction {
    /// The network's number (EIP-155 style); a signature for one network is worthless in another.
    pub chain_id: u64,
    /// Number of transactions that this account has sent before.
    pub nonce: u64,
    /// Most that it pays for fees, and the tip in it.
    pub offer: FeeOffer,
    /// The action.
    pub action: Action,
    /// `r`, `s`, `v` with `v` 27 or 28: the only form, so that a transaction has one hash.
    pub signature: AccountSignature,
}

impl Class {
    /// Rank of the class in a block: evidence, then attestations and ballots, then transactions of accounts.
    pub(crate) const fn rank(self) -> u8 {
        match self {
            Class::Evidence => 0,
            Class::Attestation | Class::Upgrade => 1,
            Class::Account => 2,
        }
    }

    /// `account`, `attestation`, `evidence` or `upgrade`, as in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Class::Account => "account",
            Class::Attestation => "attestation",
            Class::Evidence => "evidence",
            Class::Upgrade => "upgrade",
        }
    }
}

impl Transaction {
    /// Canonical bytes.
    pub fn encode(&self) -> Vec<u8> {
        canonical::encode(self)
    }

    /// SHA-256 of the canonical bytes.
    pub fn hash(&self) -> Digest {
        sha256(&[&self.encode()])
    }

    /// Its class.
    pub const fn class(&self) -> Class {
        match self {
            Transaction::Account(_) => Class::Account,
            Transaction::Attestation(_) | Transaction::Commitment(_) => Class::Attestation,
            Transaction::Evidence(_) => Class::Evidence,
            Transaction::Upgrade(_) => Class::Upgrade,
        }
    }
}

impl Transaction {
    /// Room that it takes in a block, in transfers; [`crate::BlocksParams::block_transactions_max`] bounds their sum.
    pub fn weight(&self) -> u64 {
        match self {
            Transaction::Account(inner) => u64::from(inner.action.descriptor().weight),
            Transaction::Attestation(_)
            | Transaction::Evidence(_)
            | Transaction::Commitment(_)
            | Transaction::Upgrade(_) => 1,
        }
    }

    /// Nonce of an account's transaction; the other classes have none.
    pub(crate) const fn nonce(&self) -> Option<u64> {
        match self {
            Transaction::Account(inner) => Some(inner.nonce),
            Transaction::Attestation(_)
            | Transaction::Evidence(_)
            | Transaction::Commitment(_)
            | Transaction::Upgrade(_) => None,
        }
    }
}

impl AccountTransaction {
    /// Puts a wallet's signature to an action. Some wallets return `v` as 0 or 1: it becomes 27 or 28.
    pub fn with_signature(
        chain_id: u64,
        nonce: u64,
        offer: impl Into<FeeOffer>,
        action: Action,
        mut signature: AccountSignature,
    ) -> AccountTransaction {
        if signature.0[64] < 2 {
            signature.0[64] += 27;
        }
        AccountTransaction { chain_id, nonce, offer: offer.into(), action, signature }
    }

    /// Signs an action with a key that is at hand.
    pub fn sign(
        key: &AccountKey,
        chain_id: u64,
        nonce: u64,
        offer: impl Into<FeeOffer>,
        action: Action,
    ) -> Result<AccountTransaction, KeyError> {
        let offer = offer.into();
        let signature = key.sign_hash(&action.signing_hash(chain_id, nonce, offer))?;
        Ok(AccountTransaction { chain_id, nonce, offer, action, signature })
    }

    /// The hash that the wallet signed.
    pub fn signing_hash(&self) -> Digest {
        self.action.signing_hash(self.chain_id, self.nonce, self.offer)
    }

    /// The address whose key signed; a signature over other fields gives another, random address.
    pub fn sender(&self) -> Result<Address, KeyError> {
        if !matches!(self.signature.0[64], 27 | 28) {
            return Err(KeyError::Signature);
        }
        self.signature.recover(&self.signing_hash())
    }
}
