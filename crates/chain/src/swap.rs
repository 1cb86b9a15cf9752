//! Swaps in automated market makers with the events of Uniswap v2 and v3.
//!
//! SushiSwap, ShibaSwap and many others emit the same events: `protocol` names the event, not the operator.
//! Sources: `UniswapV2Pair.sol` (Uniswap/v2-core), `IUniswapV3PoolEvents.sol` (Uniswap/v3-core).

use serde::Serialize;

use super::text::{decimal, hex};
use super::{ChainAddress, Hash, Log, SignedAmount, U256, word_address, words};

/// `Swap(address,uint256,uint256,uint256,uint256,address)`: sender and recipient are indexed.
pub const UNISWAP_V2_SWAP: Hash = [
    0xd7, 0x8a, 0xd9, 0x5f, 0xa4, 0x6c, 0x99, 0x4b, 0x65, 0x51, 0xd0, 0xda, 0x85, 0xfc, 0x27, 0x5f, 0xe6, 0x13, 0xce,
    0x37, 0x65, 0x7f, 0xb8, 0xd5, 0xe3, 0xd1, 0x30, 0x84, 0x01, 0x59, 0xd8, 0x22,
];

/// `Swap(address,address,int256,int256,uint160,uint128,int24)`: sender and recipient are indexed.
pub const UNISWAP_V3_SWAP: Hash = [
    0xc4, 0x20, 0x79, 0xf9, 0x4a, 0x63, 0x50, 0xd7, 0xe6, 0x23, 0x5f, 0x29, 0x17, 0x49, 0x24, 0xf9, 0x28, 0xcc, 0x2a,
    0xc8, 0x18, 0xeb, 0x64, 0xfe, 0xd8, 0x00, 0x4e, 0x11, 0x5f, 0xbc, 0xca, 0x67,
];

/// A swap in a pool of two tokens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Swap {
    /// Pool's contract.
    #[serde(serialize_with = "hex")]
    pub pool_address: ChainAddress,
    /// Caller of the pool, most often a router.
    #[serde(serialize_with = "hex")]
    pub sender: ChainAddress,
    /// Receiver of the tokens bought.
    #[serde(serialize_with = "hex")]
    pub recipient: ChainAddress,
    /// Change of the pool's holding of token 0, in its smallest unit: positive was paid in, negative taken out.
    pub amount0: SignedAmount,
    /// The same of token 1.
    pub amount1: SignedAmount,
    /// Fields of this protocol alone; its name is `protocol`.
    #[serde(flatten)]
    pub detail: SwapDetail,
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

/// Fields that differ between the protocols.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "protocol", rename_all = "snake_case")]
pub enum SwapDetail {
    /// Amounts in and out of both tokens; more than one can be set, by flash swaps.
    UniswapV2 {
        /// Token 0 paid in.
        amount0_in: U256,
        /// Token 1 paid in.
        amount1_in: U256,
        /// Token 0 taken out.
        amount0_out: U256,
        /// Token 1 taken out.
        amount1_out: U256,
    },
    /// The pool's state after the swap.
    UniswapV3 {
        /// Square root of the price of token 0 in token 1, times 2^96 (uint160).
        sqrt_price_x96: U256,
        /// Liquidity in range (uint128).
        #[serde(serialize_with = "decimal")]
        liquidity: u128,
        /// Logarithm of the price to the base 1.0001 (int24).
        tick: i32,
    },
}

impl Swap {
    /// `uniswap_v2` or `uniswap_v3`.
    pub fn protocol(&self) -> &'static str {
        match self.detail {
            SwapDetail::UniswapV2 { .. } => "uniswap_v2",
            SwapDetail::UniswapV3 { .. } => "uniswap_v3",
        }
    }
}

/// The swap that a log is.
pub fn decode_swap(log: &Log) -> Option<Swap> {
    let [topic, sender, recipient] = log.topics.as_slice() else { return None };
    let (amount0, amount1, detail) = match *topic {
        UNISWAP_V2_SWAP => uniswap_v2(&log.data)?,
        UNISWAP_V3_SWAP => uniswap_v3(&log.data)?,
        _ => return None,
    };
    Some(Swap {
        pool_address: log.address,
        sender: word_address(sender)?,
        recipient: word_address(recipient)?,
        amount0,
        amount1,
        detail,
        transaction_hash: log.transaction_hash,
        transaction_index: log.transaction_index,
        log_index: log.log_index,
        block_number: log.block_number,
    })
}

fn uniswap_v2(data: &[u8]) -> Option<(SignedAmount, SignedAmount, SwapDetail)> {
    let [amount0_in, amount1_in, amount0_out, amount1_out] = words::<4>(data)?.map(U256);
    Some((
        SignedAmount::difference(amount0_in, amount0_out),
        SignedAmount::difference(amount1_in, amount1_out),
        SwapDetail::UniswapV2 { amount0_in, amount1_in, amount0_out, amount1_out },
    ))
}

fn uniswap_v3(data: &[u8]) -> Option<(SignedAmount, SignedAmount, SwapDetail)> {
    let [amount0, amount1, sqrt_price, liquidity, tick] = words::<5>(data)?;
    // A uint160 is padded as an address is.
    word_address(&sqrt_price)?;
    let liquidity = U256(liquidity).to_u128()?;
    let tick = int24(&tick)?;
    Some((
        SignedAmount::from_int256(amount0),
        SignedAmount::from_int256(amount1),
        SwapDetail::UniswapV3 { sqrt_price_x96: U256(sqrt_price), liquidity, tick },
    ))
}

/// An int24 whose sign fills the word.
fn int24(word: &Hash) -> Option<i32> {
    let (sign, low) = word.split_at(28);
    let value = i32::from_be_bytes(low.try_into().ok()?);
    let filler = if value < 0 { 0xff } else { 0 };
    let in_range = (-(1 << 23)..1 << 23).contains(&value);
    (in_range && sign.iter().all(|b| *b == filler)).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use openmesh_primitives::keccak256;
    use proptest::prelude::*;

    fn log(topic: Hash, words: &[Hash]) -> Log {
        let mut address = [0; 32];
        address[31] = 1;
        Log {
            log_index: 0,
            transaction_hash: [0; 32],
            transaction_index: 0,
            block_hash: [0; 32],
            block_number: 0,
            address: [9; 20],
            data: words.concat(),
            topics: vec![topic, address, address],
        }
    }

    fn word(value: i128) -> Hash {
        let mut word = [if value < 0 { 0xff } else { 0 }; 32];
        word[16..].copy_from_slice(&value.to_be_bytes());
        word
    }

    #[test]
    fn topics_are_the_hashes_of_the_signatures() {
        assert_eq!(keccak256(&[b"Swap(address,uint256,uint256,uint256,uint256,address)"]).0, UNISWAP_V2_SWAP);
        assert_eq!(keccak256(&[b"Swap(address,address,int256,int256,uint160,uint128,int24)"]).0, UNISWAP_V3_SWAP);
    }

    #[test]
    fn both_protocols() {
        let swap = decode_swap(&log(UNISWAP_V2_SWAP, &[word(0), word(40), word(109), word(2)])).unwrap();
        assert_eq!((swap.amount0.to_string().as_str(), swap.amount1.to_string().as_str()), ("-109", "38"));
        let line = serde_json::to_value(&swap).unwrap();
        assert_eq!((&line["protocol"], &line["amount1_in"]), (&"uniswap_v2".into(), &"40".into()));

        let swap = decode_swap(&log(UNISWAP_V3_SWAP, &[word(-5), word(7), word(8), word(9), word(-887272)])).unwrap();
        let line = serde_json::to_value(&swap).unwrap();
        assert_eq!(
            (&line["amount0"], &line["tick"], &line["liquidity"]),
            (&"-5".into(), &(-887272).into(), &"9".into())
        );
        assert_eq!(line["protocol"], swap.protocol());
    }

    #[test]
    fn what_no_abi_writes_is_no_swap() {
        let good = [word(-5), word(7), word(8), word(9), word(1)];
        for (at, bad) in [(2, word(-1)), (3, word(-1)), (4, word(1 << 23)), (4, word(-(1 << 23) - 1))] {
            let mut words = good;
            words[at] = bad;
            assert_eq!(decode_swap(&log(UNISWAP_V3_SWAP, &words)), None, "word {at}");
        }
        assert_eq!(decode_swap(&log(UNISWAP_V3_SWAP, &good[..4])), None);
        assert_eq!(decode_swap(&log(UNISWAP_V2_SWAP, &good)), None);
    }

    proptest! {
        #[test]
        fn any_log_is_a_swap_or_not(topics in proptest::collection::vec(any::<[u8; 32]>(), 0..5), data: Vec<u8>, v3: bool) {
            let mut log = log(if v3 { UNISWAP_V3_SWAP } else { UNISWAP_V2_SWAP }, &[]);
            log.topics.truncate(1);
            log.topics.extend(topics);
            log.data = data;
            let _ = decode_swap(&log);
            let _ = crate::decode_token_transfer(&log);
            let _ = crate::decode_nft_transfer(&log);
        }
    }
}
