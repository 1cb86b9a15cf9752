//! Blocks.

use openmesh_api as api;
use openmesh_ledger::{Block, BlockFees, Certificate, block_fees};
use openmesh_primitives::Amount;
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

/// A block with its transactions and its certificate; `lowest` is the least base fee.
pub fn detail(stored: &StoredBlock, lowest: Amount) -> api::BlockDetail {
    let header = &stored.block.header;
    api::BlockDetail {
        summary: summary(&stored.block, &stored.certificate),
        parent: header.parent.to_string(),
        state_root: header.state_root.to_string(),
        transactions_root: header.transactions_root.to_string(),
        validators_hash: header.validators_hash.to_string(),
        fees: stored.has_receipts().then(|| fees(&block_fees(&stored.events, lowest))),
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

fn fees(fees: &BlockFees) -> api::BlockFeesInfo {
    api::BlockFeesInfo {
        base_fee: fees.base_fee.to_string(),
        burnt: fees.burnt.to_string(),
        tips: fees.tips.to_string(),
        load: fees.load,
    }
}

/// True where a block is wanted.
pub fn fits(query: &api::BlockQuery, proposer: Option<openmesh_primitives::Address>, block: &Block) -> bool {
    proposer.is_none_or(|p| block.header.proposer == p)
        && query.transactions.is_none_or(|some| some != block.transactions.is_empty())
}
