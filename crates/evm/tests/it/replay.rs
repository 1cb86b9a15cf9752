//! The replaying server as a node would be asked.

use alloy_primitives::B256;
use openmesh_evm::decode;
use openmesh_evm::replay::{BATCH_MAX, NEXT_BLOCK_METHOD, REQUEST_BYTES_MAX, ReplayChain, ReplayError};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::support::chain::{Fork, Made, block};
use crate::support::{recordings, replay_of};

fn made() -> Vec<Made> {
    [30, 100, 900].into_iter().map(|number| block(Fork::Prague, number, B256::ZERO, 1)).collect()
}

fn ask(chain: &ReplayChain, method: &str, params: Value) -> Value {
    let request = json!({"jsonrpc": "2.0", "id": "a", "method": method, "params": params});
    let answer: Value = serde_json::from_slice(&chain.answer(&serde_json::to_vec(&request).unwrap())).unwrap();
    assert_eq!((&answer["jsonrpc"], &answer["id"]), (&json!("2.0"), &json!("a")));
    if answer.get("error").is_some() { answer["error"]["code"].clone() } else { answer["result"].clone() }
}

#[test]
fn the_head_moves_over_recorded_blocks() {
    let chain = replay_of(&made());
    assert_eq!(chain.numbers(), [30, 100, 900]);
    assert_eq!(ask(&chain, "eth_chainId", json!([])), "0x1");
    assert_eq!(ask(&chain, "eth_blockNumber", json!([])), "0x1e");
    assert_eq!(ask(&chain, NEXT_BLOCK_METHOD, json!(["0x0"])), "0x1e");
    assert_eq!(ask(&chain, NEXT_BLOCK_METHOD, json!(["0x1f"])), Value::Null, "not visible yet");
    assert_eq!(ask(&chain, "eth_getBlockByNumber", json!(["0x64", true])), Value::Null);
    assert_eq!(chain.advance(), Some(100));
    assert_eq!(ask(&chain, NEXT_BLOCK_METHOD, json!(["0x1f"])), "0x64");
    assert_eq!(ask(&chain, "eth_getBlockByNumber", json!(["latest", false]))["number"], "0x64");
    assert_eq!(ask(&chain, "eth_getBlockByNumber", json!(["earliest"]))["number"], "0x1e");
    assert_eq!((chain.advance(), chain.advance(), chain.head()), (Some(900), None, 900));
}

#[test]
fn blocks_and_receipts_are_as_recorded() {
    let made = made();
    let chain = replay_of(&made);
    let first = &made[0];
    let full = ask(&chain, "eth_getBlockByNumber", json!(["0x1e", true]));
    assert_eq!(full, first.block);
    let light = ask(&chain, "eth_getBlockByHash", json!([first.hash, false]));
    assert_eq!(light["transactions"][2], first.block["transactions"][2]["hash"]);
    assert_eq!(light["stateRoot"], first.block["stateRoot"]);
    for which in [json!("0x1e"), json!(first.hash), json!({"blockHash": first.hash}), json!({"blockNumber": "0x1e"})] {
        assert_eq!(ask(&chain, "eth_getBlockReceipts", json!([which])), first.receipts);
    }
    assert_eq!(ask(&chain, "eth_getBlockReceipts", json!([made[1].hash])), Value::Null);
}

#[test]
fn logs_by_range_hash_and_filter() {
    let made = made();
    let chain = replay_of(&made);
    while chain.advance().is_some() {}
    let all = |receipts: &Value| -> Vec<Value> {
        receipts.as_array().unwrap().iter().flat_map(|r| r["logs"].as_array().unwrap().clone()).collect()
    };
    let first = all(&made[0].receipts);
    assert_eq!(ask(&chain, "eth_getLogs", json!([{"blockHash": made[0].hash}])), json!(first));
    assert_eq!(ask(&chain, "eth_getLogs", json!([{"fromBlock": "0x0", "toBlock": "0x1e"}])), json!(first));
    let everywhere = ask(&chain, "eth_getLogs", json!([{"fromBlock": "earliest", "toBlock": "latest"}]));
    assert_eq!(everywhere.as_array().unwrap().len(), made.iter().map(|m| all(&m.receipts).len()).sum::<usize>());
    let transfer = "0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef";
    let wanted: Vec<Value> = first.iter().filter(|log| log["topics"][0] == transfer).cloned().collect();
    assert!(!wanted.is_empty() && wanted.len() < first.len());
    let filter = json!([{"blockHash": made[0].hash, "topics": [[transfer]], "address": first[0]["address"]}]);
    assert_eq!(ask(&chain, "eth_getLogs", filter), json!(wanted));
    assert_eq!(ask(&chain, "eth_getLogs", json!([{"blockHash": B256::ZERO}])), -32000);
    assert_eq!(ask(&chain, "eth_getLogs", json!([{"blockHash": made[0].hash, "toBlock": "0x1e"}])), -32602);
    assert_eq!(ask(&chain, "eth_getLogs", json!([{"fromBlock": "0x5", "toBlock": "0x1"}])), -32602);
}

#[test]
fn errors_batches_and_notifications_as_json_rpc_has_them() {
    let chain = replay_of(&made());
    assert_eq!(ask(&chain, "eth_sendRawTransaction", json!(["0x"])), -32601);
    assert_eq!(ask(&chain, "eth_getBlockByNumber", json!(["twelve", true])), -32602);
    assert_eq!(ask(&chain, "eth_getBlockByNumber", json!(["0x+1", true])), -32602);
    assert_eq!(ask(&chain, "eth_getBlockByHash", json!(["0x12", true])), -32602);
    let code =
        |request: &[u8]| serde_json::from_slice::<Value>(&chain.answer(request)).unwrap()["error"]["code"].clone();
    assert_eq!(code(b"{"), -32700);
    assert_eq!(code(b"[]"), -32600);
    assert_eq!(code(br#"{"id":1,"method":"eth_chainId"}"#), -32600);
    assert_eq!(code(&vec![b' '; REQUEST_BYTES_MAX + 1]), -32600);
    let call = json!({"jsonrpc": "2.0", "id": 1, "method": "eth_chainId"});
    assert_eq!(code(&serde_json::to_vec(&vec![call.clone(); BATCH_MAX + 1]).unwrap()), -32600);

    let notification = json!({"jsonrpc": "2.0", "method": "eth_chainId"});
    assert!(chain.answer(&serde_json::to_vec(&notification).unwrap()).is_empty());
    assert!(chain.answer(&serde_json::to_vec(&[&notification]).unwrap()).is_empty());
    let batch = json!([call, 5, notification, {"jsonrpc": "2.0", "id": null, "method": "eth_blockNumber"}]);
    let answers: Value = serde_json::from_slice(&chain.answer(&serde_json::to_vec(&batch).unwrap())).unwrap();
    assert_eq!(
        answers,
        json!([
            {"jsonrpc": "2.0", "id": 1, "result": "0x1"},
            {"jsonrpc": "2.0", "id": null, "error": {"code": -32600, "message": "not a JSON-RPC 2.0 call"}},
            {"jsonrpc": "2.0", "id": null, "result": "0x1e"},
        ])
    );
}

#[test]
fn nothing_to_replay_says_so() {
    assert!(matches!(ReplayChain::new([]), Err(ReplayError::Empty)));
    let empty = std::env::temp_dir().join(format!("openmesh-evm-nothing-{}", std::process::id()));
    std::fs::create_dir_all(&empty).unwrap();
    assert!(matches!(ReplayChain::load(&empty), Err(ReplayError::Empty)));
    std::fs::remove_dir(&empty).unwrap();
    assert!(matches!(ReplayChain::load(&empty), Err(ReplayError::Folder { .. })));
}

/// Blocks served from recordings verify as the files do.
#[test]
fn recorded_sets_are_served() {
    let Some(data) = recordings() else { return };
    let chain = ReplayChain::load(&data).unwrap();
    assert_eq!(chain.numbers(), [10_000_000, 15_000_000, 18_000_000, 18_951_920, 20_000_000]);
    while chain.advance().is_some() {}
    for number in chain.numbers() {
        let bytes = |method: &str, params: Value| {
            let request = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
            chain.answer(&serde_json::to_vec(&request).unwrap())
        };
        let block = bytes("eth_getBlockByNumber", json!([format!("{number:#x}"), true]));
        let receipts = bytes("eth_getBlockReceipts", json!([format!("{number:#x}")]));
        let decoded = decode(&block, &receipts).unwrap_or_else(|e| panic!("{number}: {e}"));
        assert_eq!(decoded.block().number, number);
    }
}

proptest! {
    #[test]
    fn any_request_is_answered(bytes: Vec<u8>, method in "eth_[a-zA-Z]{0,20}|openmesh_nextBlockNumber|eth_getLogs", param in any::<String>()) {
        let chain = replay_of(&made()[..1]);
        chain.answer(&bytes);
        for params in [json!([param]), json!([{"address": param}]), json!({"x": param}), json!(param), json!(null)] {
            let request = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
            let answer: Value = serde_json::from_slice(&chain.answer(&serde_json::to_vec(&request).unwrap())).unwrap();
            prop_assert_eq!(&answer["id"], &json!(1));
            prop_assert!(answer.get("result").is_some() != answer.get("error").is_some());
        }
    }
}
