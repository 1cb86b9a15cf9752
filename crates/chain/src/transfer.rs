//! Transfers of tokens: ERC-20 (EIP-20) and ERC-721 (EIP-721), told apart by their shape.

use serde::Serialize;

use super::text::hex;
use super::{ChainAddress, Hash, Log, U256, word_address, words};

/// `Transfer(address,address,uint256)`: topic 0 of both standards.
pub const TRANSFER: Hash = [
    0xdd, 0xf2, 0x52, 0xad, 0x1b, 0xe2, 0xc8, 0x9b, 0x69, 0xc2, 0xb0, 0x68, 0xfc, 0x37, 0x8d, 0xaa, 0x95, 0x2b, 0xa7,
    0xf1, 0x63, 0xc4, 0xa1, 0x16, 0x28, 0xf5, 0x5a, 0x4d, 0xf5, 0x23, 0xb3, 0xef,
];

/// A transfer of an ERC-20 token. Tokens that charge on transfer may credit less than `value`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TokenTransfer {
    /// Token's contract.
    #[serde(serialize_with = "hex")]
    pub token_address: ChainAddress,
    /// Payer; zero for minting.
    #[serde(serialize_with = "hex")]
    pub from_address: ChainAddress,
    /// Receiver; zero for burning.
    #[serde(serialize_with = "hex")]
    pub to_address: ChainAddress,
    /// In the token's smallest unit.
    pub value: U256,
    /// Transaction.
    #[serde(serialize_with = "hex")]
    pub transaction_hash: Hash,
    /// Transaction's place in the block.
    pub transaction_index: u64,
    /// Place among the block's logs.
    pub log_index: u64,
    /// Block's height.
    pub block_number: u64,
}

/// A transfer of an ERC-721 token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NftTransfer {
    /// Collection's contract.
    #[serde(serialize_with = "hex")]
    pub token_address: ChainAddress,
    /// Owner before; zero for minting.
    #[serde(serialize_with = "hex")]
    pub from_address: ChainAddress,
    /// Owner after; zero for burning.
    #[serde(serialize_with = "hex")]
    pub to_address: ChainAddress,
    /// Number of the token in the collection.
    pub token_id: U256,
    /// Transaction.
    #[serde(serialize_with = "hex")]
    pub transaction_hash: Hash,
    /// Transaction's place in the block.
    pub transaction_index: u64,
    /// Place among the block's logs.
    pub log_index: u64,
    /// Block's height.
    pub block_number: u64,
}

/// The ERC-20 transfer that a log is: two indexed addresses, the value as data.
pub fn decode_token_transfer(log: &Log) -> Option<TokenTransfer> {
    let [topic, from, to] = log.topics.as_slice() else { return None };
    if *topic != TRANSFER {
        return None;
    }
    let [value] = words::<1>(&log.data)?;
    Some(TokenTransfer {
        token_address: log.address,
        from_address: word_address(from)?,
        to_address: word_address(to)?,
        value: U256(value),
        transaction_hash: log.transaction_hash,
        transaction_index: log.transaction_index,
        log_index: log.log_index,
        block_number: log.block_number,
    })
}

/// The ERC-721 transfer that a log is: all three arguments indexed, no data.
pub fn decode_nft_transfer(log: &Log) -> Option<NftTransfer> {
    let [topic, from, to, token_id] = log.topics.as_slice() else { return None };
    if *topic != TRANSFER || !log.data.is_empty() {
        return None;
    }
    Some(NftTransfer {
        token_address: log.address,
        from_address: word_address(from)?,
        to_address: word_address(to)?,
        token_id: U256(*token_id),
        transaction_hash: log.transaction_hash,
        transaction_index: log.transaction_index,
        log_index: log.log_index,
        block_number: log.block_number,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use openmesh_primitives::keccak256;

    fn word(last: u8) -> Hash {
        let mut word = [0; 32];
        word[31] = last;
        word
    }

    fn log(topics: Vec<Hash>, data: Vec<u8>) -> Log {
        Log {
            log_index: 7,
            transaction_hash: [1; 32],
            transaction_index: 3,
            block_hash: [2; 32],
            block_number: 9,
            address: [5; 20],
            data,
            topics,
        }
    }

    #[test]
    fn the_topic_is_the_hash_of_the_signature() {
        assert_eq!(keccak256(&[b"Transfer(address,address,uint256)"]).0, TRANSFER);
    }

    #[test]
    fn shape_tells_the_standards_apart() {
        let erc20 = log(vec![TRANSFER, word(1), word(2)], word(3).to_vec());
        let transfer = decode_token_transfer(&erc20).unwrap();
        assert_eq!((transfer.from_address[19], transfer.to_address[19], transfer.value), (1, 2, U256::from(3u64)));
        assert_eq!(decode_nft_transfer(&erc20), None);

        let erc721 = log(vec![TRANSFER, word(1), word(2), word(3)], vec![]);
        assert_eq!(decode_nft_transfer(&erc721).unwrap().token_id, U256::from(3u64));
        assert_eq!(decode_token_transfer(&erc721), None);

        let unindexed = log(vec![TRANSFER], [word(1), word(2), word(3)].concat());
        let longer = log(vec![TRANSFER, word(1), word(2)], vec![0; 64]);
        let not_an_address = log(vec![TRANSFER, [0xff; 32], word(2)], word(3).to_vec());
        let other_event = log(vec![word(9), word(1), word(2)], word(3).to_vec());
        for log in [unindexed, longer, not_an_address, other_event, log(vec![], vec![])] {
            assert_eq!(decode_token_transfer(&log), None);
            assert_eq!(decode_nft_transfer(&log), None);
        }
    }
}
