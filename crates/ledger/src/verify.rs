//! The part of a transaction's check that needs no state, and costs nearly everything: decoding and the signature.

use openmesh_primitives::{Address, Digest, canonical, sha256};

use crate::error::{EnvelopeError, TransactionError};
use crate::limits::TRANSACTION_BYTES_HARD_MAX;
use crate::transaction::{Class, Transaction};

/// A transaction whose signature has been verified. It is made by verifying one, and in no other way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedTransaction {
    bytes: Vec<u8>,
    hash: Digest,
    sender: Address,
    transaction: Transaction,
}

impl VerifiedTransaction {
    /// Canonical bytes, as they stand in a block.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// SHA-256 of the bytes.
    pub const fn hash(&self) -> Digest {
        self.hash
    }

    /// The account or validator that signed.
    pub const fn sender(&self) -> Address {
        self.sender
    }

    /// The transaction.
    pub const fn transaction(&self) -> &Transaction {
        &self.transaction
    }

    /// Its class.
    pub const fn class(&self) -> Class {
        self.transaction.class()
    }
}

/// A transaction that was hashed and not looked at otherwise, so that whoever knows it by its hash need not pay for more.
#[derive(Clone, Debug)]
pub struct RawTransaction {
    bytes: Vec<u8>,
    hash: Digest,
    /// The transaction that the bytes were made of here.
    decoded: Option<Transaction>,
}

impl RawTransaction {
    /// Hashes a transaction's bytes.
    pub fn new(bytes: Vec<u8>) -> RawTransaction {
        RawTransaction { hash: sha256(&[&bytes]), bytes, decoded: None }
    }

    /// SHA-256 of the bytes.
    pub const fn hash(&self) -> Digest {
        self.hash
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Decodes it and verifies its signature. Pure in the bytes, so it may run on any thread and the result be kept.
    ///
    /// Fails if the bytes are too long or no transaction, or the signature is not the sender's.
    pub fn verify(self) -> Result<VerifiedTransaction, TransactionError> {
        let RawTransaction { bytes, hash, decoded } = self;
        fits(&bytes)?;
        let transaction = match decoded {
            Some(transaction) => transaction,
            None => canonical::decode(&bytes).map_err(|e| EnvelopeError::Encoding { reason: e.to_string() })?,
        };
        verify_decoded(bytes, hash, transaction).map_err(|unsigned| unsigned.error)
    }
}

impl From<Transaction> for RawTransaction {
    fn from(transaction: Transaction) -> RawTransaction {
        let raw = RawTransaction::new(transaction.encode());
        RawTransaction { decoded: Some(transaction), ..raw }
    }
}

/// Decodes a transaction and verifies its signature. Pure in the bytes, so it may run on any thread and be kept.
pub fn verify_stateless(bytes: &[u8]) -> Result<VerifiedTransaction, TransactionError> {
    fits(bytes)?;
    RawTransaction::new(bytes.to_vec()).verify()
}

fn fits(bytes: &[u8]) -> Result<(), EnvelopeError> {
    let (bytes, bytes_max) = (bytes.len() as u64, TRANSACTION_BYTES_HARD_MAX);
    if bytes > bytes_max { Err(EnvelopeError::Size { bytes, bytes_max }) } else { Ok(()) }
}

/// A transaction whose signature is none, or not one of its sender.
#[derive(Debug)]
pub(crate) struct Unsigned {
    pub hash: Digest,
    pub transaction: Transaction,
    pub error: TransactionError,
}

/// Verifies the signature of a transaction that was decoded from these bytes with this hash.
pub(crate) fn verify_decoded(
    bytes: Vec<u8>,
    hash: Digest,
    transaction: Transaction,
) -> Result<VerifiedTransaction, Box<Unsigned>> {
    match signer(&transaction) {
        Ok(sender) => Ok(VerifiedTransaction { bytes, hash, sender, transaction }),
        Err(error) => Err(Box::new(Unsigned { hash, transaction, error: error.into() })),
    }
}

/// The account or validator that signed.
fn signer(transaction: &Transaction) -> Result<Address, EnvelopeError> {
    match transaction {
        Transaction::Account(inner) => inner.sender().map_err(|_| EnvelopeError::Signature),
        Transaction::Attestation(inner) => {
            inner.verify().map_err(|_| EnvelopeError::Signature)?;
            Ok(inner.validator())
        }
        Transaction::Commitment(inner) => {
            inner.verify().map_err(|_| EnvelopeError::Signature)?;
            Ok(inner.validator())
        }
        Transaction::Evidence(inner) => {
            inner.verify().map_err(|_| EnvelopeError::Signature)?;
            Ok(inner.validator())
        }
        Transaction::Upgrade(inner) => {
            inner.verify().map_err(|_| EnvelopeError::Signature)?;
            Ok(inner.validator())
        }
    }
}

/// [`verify_stateless`] for several, in their order. A caller with threads splits its list into several such calls.
pub fn check_transactions_batch<T: AsRef<[u8]>>(batch: &[T]) -> Vec<Result<VerifiedTransaction, TransactionError>> {
    batch.iter().map(|bytes| verify_stateless(bytes.as_ref())).collect()
}
