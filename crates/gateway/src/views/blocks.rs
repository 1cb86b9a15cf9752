//! Blocks.

use openmesh_api as api;
use openmesh_ledger::{Block, Certificate};
use openmesh_storage::StoredBlock;

use super::transactions;

/// A block as lists show it.
pub fn summary(block: &Block, certificate: &Certificate) -> api::BlockSummary {
    let Block { header, transactions, .. } = block;
    api::BlockSummary {
        height: header.height,
        hash: header.hash().to_string(),
        time: header.time.to_rfc3339(),
        proposer: header.proposer.to_string(),
        transactions: u32::try_from(transactions.len()).unwrap_or(u32::MAX),
        bytes: transactions.iter().map(|t| t.len() as u64).sum(),
        round: certificate.round,
        signatures: u32::try_from(certificate.signatures.len()).unwrap_or(u32::MAX),
    }
}

/// A block with its transactions and its certificate.
pub fn detail(stored: &StoredBlock) -> api::BlockDetail {
    let header = &stored.block.header;
    api::BlockDetail {
        summary: summary(&stored.block, &stored.certificate),
        parent: header.parent.to_string(),
        state_root: header.state_root.to_string(),
        transactions_root: header.transactions_root.to_string(),
        validators_hash: header.validators_hash.to_string(),
        transaction_list: transactions::of_block(stored).collect(),
        has_receipts: stored.has_receipts(),
        certificate: stored
            .certificate
            .signatures
            .iter()
            .map(|(validator, signature)| api::CertificateSignature {
                validator: validator.to_string(),
                signature: signature.to_string(),
            })
            .collect(),
    }
}

/// True where a block is wanted.
pub fn fits(query: &api::BlockQuery, proposer: Option<openmesh_primitives::Address>, block: &Block) -> bool {
    proposer.is_none_or(|p| block.header.proposer == p)
        && query.transactions.is_none_or(|some| some != block.transactions.is_empty())
}
