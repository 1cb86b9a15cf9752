//! One changed value anywhere in a receipt or a transaction is refused; whatever bytes come in, nothing panics and nothing
//! wrong passes in silence.

use std::sync::LazyLock;

use alloy_primitives::B256;
use openmesh_evm::{Decoded, canonical_block, decode, decode_canonical};
use proptest::prelude::*;
use serde_json::Value;

use crate::support::chain::{FORKS, Fork, Made, block};
use crate::support::sets;

static BLOCKS: LazyLock<Vec<Made>> =
    LazyLock::new(|| FORKS.into_iter().map(|fork| block(fork, 55, B256::repeat_byte(2), 3)).collect());

/// Pointers to all leaves.
fn leaves(value: &Value, path: String, out: &mut Vec<String>) {
    match value {
        Value::Array(list) => list.iter().enumerate().for_each(|(at, item)| leaves(item, format!("{path}/{at}"), out)),
        Value::Object(fields) => fields.iter().for_each(|(name, item)| leaves(item, format!("{path}/{name}"), out)),
        // What says nothing cannot be flipped.
        Value::Null => {}
        Value::String(text) if text == "0x" => {}
        _ => out.push(path),
    }
}

/// Flips one bit of a byte (of a nibble, where there is only one) of a leaf; the text of a name is left alone.
fn flip(leaf: &mut Value, at: usize, bit: u32) {
    match leaf {
        Value::Bool(value) => *value = !*value,
        Value::String(text) => {
            let mut digits: Vec<char> = text.chars().collect();
            let place = 2 + at % (digits.len() - 2);
            let nibble = digits[place].to_digit(16).unwrap() ^ (1 << (bit % 4));
            digits[place] = char::from_digit(nibble, 16).unwrap();
            *text = digits.into_iter().collect();
        }
        other => panic!("no leaf of a node's answer: {other}"),
    }
}

/// All but one field count: from Prague on an unknown price of blob gas is dropped and named (`prices_of_blob_gas`).
fn bound(made: &Made, path: &str) -> bool {
    made.block["requestsHash"].is_null() || !path.ends_with("/blobGasPrice")
}

fn refused(block: &Value, receipts: &Value) -> bool {
    decode(&serde_json::to_vec(block).unwrap(), &serde_json::to_vec(receipts).unwrap()).is_err()
}

/// Every leaf of every receipt and transaction, one after the other.
#[test]
fn every_leaf_of_generated_blocks_counts() {
    for made in BLOCKS.iter() {
        let mut flips = 0;
        let mut paths = Vec::new();
        leaves(&made.receipts, String::new(), &mut paths);
        paths.retain(|path| bound(made, path));
        for path in &paths {
            let mut receipts = made.receipts.clone();
            flip(receipts.pointer_mut(path).unwrap(), flips * 7, flips as u32);
            assert!(refused(&made.block, &receipts), "receipts{path}");
            flips += 1;
        }
        let mut paths = Vec::new();
        leaves(&made.block["transactions"], "/transactions".to_owned(), &mut paths);
        leaves(&made.block["withdrawals"], "/withdrawals".to_owned(), &mut paths);
        for path in &paths {
            let mut block = made.block.clone();
            flip(block.pointer_mut(path).unwrap(), flips * 7, flips as u32);
            assert!(refused(&block, &made.receipts), "block{path}");
            flips += 1;
        }
        assert!(flips > 60, "only {flips} values were flipped");
    }
}

/// The recorded blocks: 40 places each, spread over all leaves.
#[test]
fn leaves_of_recorded_blocks_count() {
    for set in sets() {
        let document = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).unwrap()["result"].clone();
        let (mut block, mut receipts) = (document(&set.block), document(&set.receipts));
        let mut paths = Vec::new();
        leaves(&receipts, String::new(), &mut paths);
        // Without bodies nothing binds these; the output says so (`receipt_fields`).
        let unbound = ["/from", "/to", "/effectiveGasPrice", "/contractAddress", "/type", "/transactionHash"];
        paths.retain(|path| set.bodies || !unbound.iter().any(|end| path.ends_with(end)));
        for turn in 0..25 {
            let path = &paths[turn * paths.len() / 25];
            let before = receipts.pointer(path).unwrap().clone();
            flip(receipts.pointer_mut(path).unwrap(), turn * 13, turn as u32);
            assert!(refused(&block, &receipts), "{}: receipts{path}", set.name);
            *receipts.pointer_mut(path).unwrap() = before;
        }
        let mut paths = Vec::new();
        leaves(&block["transactions"], "/transactions".to_owned(), &mut paths);
        for turn in 0..15 {
            let Some(path) = paths.get(turn * paths.len() / 15) else { continue };
            let before = block.pointer(path).unwrap().clone();
            flip(block.pointer_mut(path).unwrap(), turn * 13, turn as u32);
            assert!(refused(&block, &receipts), "{}: block{path}", set.name);
            *block.pointer_mut(path).unwrap() = before;
        }
        assert!(!refused(&block, &receipts), "{}: the flips were taken back", set.name);
    }
}

/// A result that was altered on the way is either refused, or the same rows, or says that something is missing.
fn never_silently_different(original: &Decoded, block: &[u8], receipts: &[u8]) -> Result<(), TestCaseError> {
    if let Ok(decoded) = decode(block, receipts) {
        let same = decoded.rows == original.rows;
        prop_assert!(same || decoded.not_verified != original.not_verified, "different rows passed");
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn one_byte_of_the_text(which in 0..FORKS.len(), in_block: bool, at: usize, byte: u8) {
        let made = &BLOCKS[which];
        let (mut block, mut receipts) = (made.block_bytes(), made.receipts_bytes());
        let original = decode(&block, &receipts).unwrap();
        let document = if in_block { &mut block } else { &mut receipts };
        let at = at % document.len();
        document[at] = byte;
        never_silently_different(&original, &block, &receipts)?;
    }

    #[test]
    fn any_leaf_any_bit(which in 0..FORKS.len(), leaf: usize, at: usize, bit: u32) {
        let made = &BLOCKS[which];
        let mut paths = Vec::new();
        leaves(&made.receipts, String::new(), &mut paths);
        paths.retain(|path| bound(made, path));
        let mut receipts = made.receipts.clone();
        flip(receipts.pointer_mut(&paths[leaf % paths.len()]).unwrap(), at, bit);
        prop_assert!(refused(&made.block, &receipts), "{}", paths[leaf % paths.len()]);
    }

    /// Strings and numbers in places where blocks have others.
    #[test]
    fn leaves_of_any_kind(leaf: usize, in_block: bool, value in prop_oneof![
        any::<String>().prop_map(Value::from),
        "0x[0-9a-f]{0,70}".prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        Just(Value::Null),
        Just(Value::Array(vec![])),
    ]) {
        let made = block(Fork::Prague, 55, B256::repeat_byte(2), 3);
        let original = decode(&made.block_bytes(), &made.receipts_bytes()).unwrap();
        let (mut block, mut receipts) = (made.block, made.receipts);
        let document = if in_block { &mut block } else { &mut receipts };
        let mut paths = Vec::new();
        leaves(document, String::new(), &mut paths);
        *document.pointer_mut(&paths[leaf % paths.len()]).unwrap() = value;
        never_silently_different(&original, &serde_json::to_vec(&block).unwrap(), &serde_json::to_vec(&receipts).unwrap())?;
    }

    #[test]
    fn any_bytes(block: Vec<u8>, receipts: Vec<u8>) {
        prop_assert!(decode(&block, &receipts).is_err());
        prop_assert!(decode_canonical(&block).is_err());
    }

    #[test]
    fn one_byte_of_the_canonical_form(which in 0..FORKS.len(), at: usize, bit in 0u32..8) {
        let made = &BLOCKS[which];
        let mut bytes = canonical_block(&decode(&made.block_bytes(), &made.receipts_bytes()).unwrap());
        let at = at % bytes.len();
        bytes[at] ^= 1 << bit;
        prop_assert!(decode_canonical(&bytes).is_err(), "byte {at}");
    }
}
