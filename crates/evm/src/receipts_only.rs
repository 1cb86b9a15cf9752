//! Tests on recorded receipts whose header is not at hand: the root is compared with the one that was computed when they
//! were recorded, and swaps with what eth-abi decodes.

use alloy_consensus::proofs;
use openmesh_chain::{decode_swap, decode_token_transfer, hex0x};
use serde_json::Value;

use crate::file::{read_maybe_gz, recordings};
use crate::report::Report;
use crate::rpc::{RpcReceipt, parse_receipts};
use crate::verify::{Tally, receipt_envelopes};

/// A header with nothing in it but the block's time, which logs repeat.
fn header(first: &RpcReceipt) -> openmesh_chain::Block {
    let (zero, bloom) = (hex0x(&[0; 32]), hex0x(&[0; 256]));
    let time = first.logs.first().and_then(|log| log.block_timestamp).unwrap_or_default();
    let document = serde_json::json!({
        "number": first.block_number, "hash": first.block_hash, "parentHash": zero, "nonce": "0x0000000000000000",
        "sha3Uncles": zero, "logsBloom": bloom, "transactionsRoot": zero, "stateRoot": zero, "receiptsRoot": zero,
        "miner": hex0x(&[0; 20]), "difficulty": "0x0", "extraData": "0x", "gasLimit": "0x0", "gasUsed": "0x0",
        "timestamp": time, "mixHash": zero,
    });
    let bytes = serde_json::to_vec(&document).unwrap();
    let (block, _) = crate::rpc::parse_block(&bytes).unwrap();
    crate::assemble::block_row(&block)
}

#[test]
fn roots_blooms_and_swaps() {
    let Some(folder) = recordings().map(|data| data.join("eth-receipts-noheader")) else { return };
    let roots = [
        ("18100000", "0x6dd032f81474c95722fd188fea3c0870289d92d5e6c377cd4725ce76028ff10a", 140),
        ("19125000", "0xbf6878e9c4ce491e91e9d7901a109d3491d06540cfede154be0cd7f228a3764c", 98),
        ("4306306", "0xfe2b1e2b5188454931ea1146b47bc18b0b11831ee2d2126143565a496e176849", 19),
    ];
    for (number, root, transfers) in roots {
        let document = read_maybe_gz(folder.join(format!("{number}.eth_getBlockReceipts.json.gz"))).unwrap();
        let list = parse_receipts(&document).unwrap();
        let header = header(list.iter().find(|receipt| !receipt.logs.is_empty()).unwrap());
        let mut claims = Tally::new("claims");
        let mut logs = Vec::new();
        let rows = crate::assemble::receipt_rows(&header, None, None, &list, &mut logs, &mut claims).unwrap();
        let mut report = Report::default();
        report.add(claims.into_check());
        report.judge().unwrap_or_else(|e| panic!("{number}: {e}"));
        let envelopes = receipt_envelopes(&rows, &logs).unwrap();
        assert_eq!(proofs::calculate_receipt_root(&envelopes).to_string(), root, "{number}");
        assert_eq!(logs.iter().filter_map(decode_token_transfer).count(), transfers, "{number}");

        let reference = read_maybe_gz(folder.join(format!("reference/{number}.dex_swaps.eth-abi.jsonl.gz"))).unwrap();
        let reference = serde_json::Deserializer::from_slice(&reference).into_iter().map(Result::<Value, _>::unwrap);
        let uniswap = |swap: &Value| matches!(swap["event"].as_str(), Some("uniswap_v2" | "uniswap_v3"));
        let expected: Vec<(Option<u64>, Value)> =
            reference.filter(uniswap).map(|swap| (swap["logIndex"].as_u64(), swap["event"].clone())).collect();
        let found: Vec<(Option<u64>, Value)> =
            logs.iter().filter_map(decode_swap).map(|swap| (Some(swap.log_index), swap.protocol().into())).collect();
        assert_eq!(found, expected, "{number}");
    }
}
