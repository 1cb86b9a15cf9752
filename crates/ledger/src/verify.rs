//! The part of a transaction's check that needs no state, and costs nearly everything: decoding and the signature.

use openmesh_primitives::{Address, Digest, canonical, sha256};

use crate::error::{EnvelopeError, TransactionError};
use crate::limits::TRANSACTION_BYTES_HARD_MAX;
use crate::transaction::{Class, Transaction};

/// A transaction whose signature has been verified. There is no other way to make one than [`verify_stateless`].
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

/// Decodes a transaction and verifies its signature. Pure in the bytes, so it may run on any thread and be kept.
pub fn verify_stateless(bytes: &[u8]) -> Result<VerifiedTransaction, TransactionError> {
    if bytes.len() as u64 > TRANSACTION_BYTES_HARD_MAX {
        let bytes_max = TRANSACTION_BYTES_HARD_MAX;
        return Err(EnvelopeError::Size { bytes: bytes.len() as u64, bytes_max }.into());
    }
    let transaction = canonical::decode(bytes).map_err(|e| EnvelopeError::Encoding { reason: e.to_string() })?;
    verify_decoded(bytes, transaction)
}

/// Verifies the signature of a transaction that was made here rather than read from bytes.
///
/// Fails if its canonical bytes are too long, or the signature is not the sender's.
pub fn verify_transaction(transaction: Transaction) -> Result<VerifiedTransaction, TransactionError> {
    let bytes = transaction.encode();
    if bytes.len() as u64 > TRANSACTION_BYTES_HARD_MAX {
        let bytes_max = TRANSACTION_BYTES_HARD_MAX;
        return Err(EnvelopeError::Size { bytes: bytes.len() as u64, bytes_max }.into());
    }
    verify_decoded(&bytes, transaction)
}

/// The same for bytes that were decoded already.
pub(crate) fn verify_decoded(bytes: &[u8], transaction: Transaction) -> Result<VerifiedTransaction, TransactionError> {
    let sender = match &transaction {
        Transaction::Account(inner) => inner.sender().map_err(|_| EnvelopeError::Signature)?,
        Transaction::Attestation(inner) => {
            inner.verify().map_err(|_| EnvelopeError::Signature)?;
            inner.validator()
        }
        Transaction::Commitment(inner) => {
            inner.verify().map_err(|_| EnvelopeError::Signature)?;
            inner.validator()
        }
        Transaction::Evidence(inner) => {
            inner.verify().map_err(|_| EnvelopeError::Signature)?;
            inner.validator()
        }
        Transaction::Upgrade(inner) => {
            inner.verify().map_err(|_| EnvelopeError::Signature)?;
            inner.validator()
        }
    };
    Ok(VerifiedTransaction { bytes: bytes.to_vec(), hash: sha256(&[bytes]), sender, transaction })
}

/// [`verify_stateless`] for several, in their order. A caller with threads splits its list into several such calls.
pub fn check_transactions_batch<T: AsRef<[u8]>>(batch: &[T]) -> Vec<Result<VerifiedTransaction, TransactionError>> {
    batch.iter().map(|bytes| verify_stateless(bytes.as_ref())).collect()
}
