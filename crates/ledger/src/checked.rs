//! The check of a block's form, clause B of `docs/spec/transactions.md`, made so that no transaction is hashed, decoded or verified
//! twice: the hashes come first, and what a caller has verified before takes the place of its bytes.

use std::collections::BTreeSet;
use std::sync::Arc;

use openmesh_primitives::{Digest, canonical, sha256};

use crate::block::{Block, BlockError, BlockLimits, HEADER_VERSION, commit_hash};
use crate::merkle::root_over_hashes;
use crate::modules::evidence::EVIDENCE_PER_BLOCK_MAX;
use crate::transaction::{Class, Transaction};
use crate::verify::{Unsigned, VerifiedTransaction, verify_decoded};

/// A block with the hashes of its transactions, by which a caller looks up what it has verified before.
#[derive(Debug)]
pub struct HashedBlock<'a> {
    block: &'a Block,
    hashes: Vec<Digest>,
}

/// A block of which everything was checked that needs no state, with its transactions decoded.
#[derive(Debug)]
pub struct CheckedBlock<'a> {
    block: &'a Block,
    entries: Vec<Entry>,
}

/// A transaction of a checked block whose signature nobody has verified yet.
#[derive(Debug)]
pub struct UnverifiedTransaction<'a> {
    bytes: &'a [u8],
    entry: &'a mut Entry,
}

#[derive(Debug)]
struct Entry {
    hash: Digest,
    form: Form,
}

/// A transaction as far as it has come.
#[derive(Debug)]
enum Form {
    Decoded(Box<Transaction>),
    Verified(Arc<VerifiedTransaction>),
    Refused(Box<Unsigned>),
}

impl Block {
    /// Hashes the transactions, each once for all that follows.
    pub fn hashed(&self) -> HashedBlock<'_> {
        HashedBlock { block: self, hashes: self.transactions.iter().map(|bytes| sha256(&[bytes])).collect() }
    }

    /// Checks everything that needs no state. Fails with the first rule that the block breaks.
    pub fn verify_basic(&self, limits: &BlockLimits) -> Result<(), BlockError> {
        self.hashed().check(limits, &[]).map(drop)
    }
}

impl<'a> HashedBlock<'a> {
    /// SHA-256 of each transaction, in the block's order.
    pub fn hashes(&self) -> &[Digest] {
        &self.hashes
    }

    /// Checks everything that needs no state. `known`: transactions by position that were verified before, which are not decoded
    /// again; an entry that is not of the transaction at its position is ignored, so the result does not depend on them.
    ///
    /// Fails with the first rule that the block breaks.
    pub fn check(
        self,
        limits: &BlockLimits,
        known: &[Option<Arc<VerifiedTransaction>>],
    ) -> Result<CheckedBlock<'a>, BlockError> {
        let HashedBlock { block, hashes } = self;
        if block.header.version != HEADER_VERSION {
            return Err(BlockError::Version(block.header.version));
        }
        if root_over_hashes(&hashes) != block.header.transactions_root {
            return Err(BlockError::TransactionsRoot);
        }
        if commit_hash(block.last_commit.as_ref()) != block.header.last_commit_hash {
            return Err(BlockError::LastCommit);
        }
        verify_sizes(block, limits)?;
        let mut seen = BTreeSet::new();
        let mut entries = Vec::with_capacity(hashes.len());
        for (index, (bytes, hash)) in block.transactions.iter().zip(hashes).enumerate() {
            if !seen.insert(hash) {
                return Err(BlockError::Twice(index));
            }
            // The hash names the bytes.
            let known = known.get(index).and_then(Option::as_ref).filter(|known| known.hash() == hash);
            let decode = || canonical::decode(bytes).map(|transaction| Form::Decoded(Box::new(transaction)));
            let form = known.map_or_else(decode, |known| Ok(Form::Verified(Arc::clone(known))));
            let form = form.map_err(|e| BlockError::Undecodable { index, reason: e.to_string() })?;
            entries.push(Entry { hash, form });
        }
        let checked = CheckedBlock { block, entries };
        checked.verify_classes(limits)?;
        Ok(checked)
    }
}

impl<'a> CheckedBlock<'a> {
    /// The block.
    pub const fn block(&self) -> &'a Block {
        self.block
    }

    /// Transactions whose signatures nobody has verified yet, in order, for callers with threads. What is left is verified by
    /// whoever executes the block: the result is the same.
    pub fn unverified(&mut self) -> Vec<UnverifiedTransaction<'_>> {
        let both = self.block.transactions.iter().zip(&mut self.entries);
        let open = both.filter(|(_, entry)| matches!(entry.form, Form::Decoded(_)));
        open.map(|(bytes, entry)| UnverifiedTransaction { bytes, entry }).collect()
    }

    /// The transactions of which the signatures are verified, in order.
    pub fn verified(&self) -> impl Iterator<Item = &Arc<VerifiedTransaction>> {
        self.entries.iter().filter_map(|entry| match &entry.form {
            Form::Verified(verified) => Some(verified),
            Form::Decoded(_) | Form::Refused(_) => None,
        })
    }

    /// The transactions in order, with their signers.
    pub(crate) fn into_transactions(self) -> impl Iterator<Item = Result<Arc<VerifiedTransaction>, Box<Unsigned>>> {
        let CheckedBlock { block, entries } = self;
        block.transactions.iter().zip(entries).map(|(bytes, entry)| entry.verified(bytes))
    }

    /// Evidence and attestations come first, and account transactions leave them their room.
    fn verify_classes(&self, limits: &BlockLimits) -> Result<(), BlockError> {
        let (mut account_bytes, mut evidence, mut rank) = (0, 0, 0);
        let transactions = || self.entries.iter().map(Entry::transaction);
        let (count, count_max) = (transactions().map(Transaction::weight).sum(), limits.transactions_max);
        if count > count_max {
            return Err(BlockError::Count { count, count_max });
        }
        for (index, transaction) in transactions().enumerate() {
            let class = transaction.class();
            if class.rank() < rank {
                return Err(BlockError::Order(index));
            }
            rank = class.rank();
            match class {
                Class::Account => account_bytes += self.block.transactions[index].len() as u64,
                Class::Attestation => {}
                Class::Evidence => evidence += 1,
            }
        }
        if evidence > EVIDENCE_PER_BLOCK_MAX {
            return Err(BlockError::Evidence(evidence));
        }
        let bytes_max = limits.account_bytes_max();
        if account_bytes > bytes_max {
            return Err(BlockError::ReservedRoom { bytes: account_bytes, bytes_max });
        }
        Ok(())
    }
}

impl UnverifiedTransaction<'_> {
    /// Verifies the signature; the block keeps what comes of it.
    pub fn verify(&mut self) {
        if let Form::Decoded(transaction) = &self.entry.form {
            let outcome = verify_decoded(self.bytes.to_vec(), self.entry.hash, (**transaction).clone());
            self.entry.form = outcome.map_or_else(Form::Refused, |verified| Form::Verified(Arc::new(verified)));
        }
    }
}

impl Entry {
    fn transaction(&self) -> &Transaction {
        match &self.form {
            Form::Decoded(transaction) => transaction,
            Form::Verified(verified) => verified.transaction(),
            Form::Refused(unsigned) => &unsigned.transaction,
        }
    }

    fn verified(self, bytes: &[u8]) -> Result<Arc<VerifiedTransaction>, Box<Unsigned>> {
        match self.form {
            Form::Decoded(transaction) => verify_decoded(bytes.to_vec(), self.hash, *transaction).map(Arc::new),
            Form::Verified(verified) => Ok(verified),
            Form::Refused(unsigned) => Err(unsigned),
        }
    }
}

fn verify_sizes(block: &Block, limits: &BlockLimits) -> Result<(), BlockError> {
    let (bytes, count) = (block.transaction_bytes(), block.transactions.len() as u64);
    if bytes > limits.bytes_max {
        return Err(BlockError::Bytes { bytes, bytes_max: limits.bytes_max });
    }
    if count > limits.transactions_max {
        return Err(BlockError::Count { count, count_max: limits.transactions_max });
    }
    Ok(())
}
