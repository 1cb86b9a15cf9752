//! Recorded mainnet blocks against the references of other software.

use openmesh_evm::{VerifyError, decode, decode_block, read_maybe_gz};
use serde_json::{Value, json};

use crate::support::{Set, assert_covers, lines, normal, printed, recordings, sets};

/// Every root that was verified when the set was collected is verified again, and what bodies are missing for is named.
#[test]
fn every_listed_root_verifies() {
    for Set { name, folder, block, receipts, bodies } in sets() {
        let listed: Value = serde_json::from_slice(&std::fs::read(folder.join("verification.json")).unwrap()).unwrap();
        let decoded = decode(&block, &receipts).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert!(decoded.checks.iter().all(|check| check.ok));
        for (check, expected) in listed.as_object().unwrap() {
            if expected == &json!(true) {
                assert!(decoded.checks.iter().any(|made| made.name == check), "{name}: {check} was not checked");
            }
        }
        assert_eq!(listed["n_receipts"], json!(decoded.receipts().len()), "{name}");
        assert_eq!(listed["n_logs"], json!(decoded.logs().len()), "{name}");
        assert_eq!(listed["n_tx"], json!(decoded.block().transaction_count), "{name}");
        let missing: Vec<&str> = decoded.not_verified.iter().map(|item| item.what).collect();
        if bodies {
            assert_eq!(missing, Vec::<&str>::new(), "{name}");
        } else {
            assert_eq!(missing, ["tx_hashes", "transactions_root", "senders", "receipt_fields"], "{name}");
        }
        assert_eq!(decoded.is_complete(), bodies);
    }
}

fn rows_equal(ours: &[Value], reference: &[Value], what: &str) {
    assert_eq!(ours.len(), reference.len(), "{what}");
    for (place, (ours, reference)) in ours.iter().zip(reference).enumerate() {
        assert_covers(ours, reference, &format!("{what} {place}"));
    }
}

#[test]
fn rows_equal_those_of_ethereum_etl() {
    for Set { name, folder, block, receipts, bodies } in sets() {
        let decoded = decode(&block, &receipts).unwrap();
        let reference = |kind: &str| lines(folder.join(format!("reference/ethereum-etl.{kind}s.jsonl.gz")));
        for kind in ["block", "transaction", "receipt", "log"] {
            if kind == "transaction" && !bodies {
                continue;
            }
            rows_equal(&printed(&decoded, kind), &reference(kind), &format!("{name} {kind}"));
        }
        transfers_equal(name, &decoded, reference("token_transfer"));
    }
}

/// ethereum-etl makes one table of both standards, and also takes `Transfer` with nothing indexed for one; that is an
/// early ERC-721 (CryptoKitties, value = token), which no rule tells from an early ERC-20, so it stays a log here.
fn transfers_equal(name: &str, decoded: &openmesh_evm::Decoded, reference: Vec<Value>) {
    let mut ours = printed(decoded, "token_transfer");
    for mut transfer in printed(decoded, "nft_transfer") {
        transfer["type"] = "token_transfer".into();
        transfer["value"] = transfer["token_id"].clone();
        ours.push(transfer);
    }
    ours.sort_by_key(|transfer| transfer["log_index"].as_u64());
    let one_topic = |transfer: &Value| {
        let log = decoded.logs().iter().find(|log| normal(&json!(log.log_index)) == transfer["log_index"]);
        log.unwrap().topics.len() == 1
    };
    let (left_out, reference): (Vec<Value>, Vec<Value>) = reference.into_iter().partition(one_topic);
    assert_eq!(left_out.len(), usize::from(name == "eth-10000000-receipts"), "{name}");
    rows_equal(&ours, &reference, &format!("{name} transfer"));
}

fn swaps_equal(ours: &[Value], reference: Vec<Value>, what: &str) -> usize {
    let uniswap = |swap: &Value| matches!(swap["event"].as_str(), Some("uniswap_v2" | "uniswap_v3"));
    let reference: Vec<Value> = reference.into_iter().filter(uniswap).collect();
    assert_eq!(ours.len(), reference.len(), "{what}");
    for (ours, reference) in ours.iter().zip(&reference) {
        let args = &reference["args"];
        let mut expected = json!({
            "protocol": reference["event"],
            "pool_address": reference["contract"],
            "sender": args["sender"],
            "transaction_hash": reference["transactionHash"],
            "transaction_index": reference["transactionIndex"],
            "log_index": reference["logIndex"],
            "block_number": reference["blockNumber"],
        });
        let fields: &[(&str, &str)] = match reference["event"].as_str() {
            Some("uniswap_v2") => &[
                ("recipient", "to"),
                ("amount0_in", "amount0In"),
                ("amount1_in", "amount1In"),
                ("amount0_out", "amount0Out"),
                ("amount1_out", "amount1Out"),
            ],
            _ => &[
                ("recipient", "recipient"),
                ("amount0", "amount0"),
                ("amount1", "amount1"),
                ("sqrt_price_x96", "sqrtPriceX96"),
                ("liquidity", "liquidity"),
                ("tick", "tick"),
            ],
        };
        for (field, name) in fields {
            assert!(!args[name].is_null(), "{what}: the reference has no {name}: {args}");
            expected[field] = args[name].clone();
        }
        assert_covers(ours, &expected, what);
    }
    reference.len()
}

#[test]
fn swaps_equal_those_of_eth_abi() {
    let mut compared = 0;
    for Set { name, folder, block, receipts, .. } in sets() {
        let decoded = decode(&block, &receipts).unwrap();
        let reference = lines(folder.join("reference/dex_swaps.eth-abi.jsonl.gz"));
        compared += swaps_equal(&printed(&decoded, "swap"), reference, name);
    }
    assert!(recordings().is_none() || compared >= 100, "only {compared} swaps were compared");
}

/// Blocks without receipts: London, Shanghai and Cancun headers, all their transactions.
#[test]
fn blocks_without_receipts_verify_as_far_as_they_go() {
    let Some(folder) = recordings().map(|data| data.join("eth-blocks-with-tx")) else { return };
    for (number, withdrawals) in [("16000000", false), ("16000001", false), ("16000003", false), ("19900000", true)] {
        let block = read_maybe_gz(folder.join(format!("{number}.eth_getBlockByNumber.full.json.gz"))).unwrap();
        let decoded = decode_block(&block).unwrap_or_else(|e| panic!("{number}: {e}"));
        let made = |name| decoded.checks.iter().any(|check| check.name == name);
        assert!(made("block_hash") && made("tx_hashes") && made("transactions_root"), "{number}");
        assert_eq!(made("withdrawals_root"), withdrawals, "{number}");
        let missing: Vec<&str> = decoded.not_verified.iter().map(|item| item.what).collect();
        assert_eq!(missing, ["receipts_root", "logs_bloom"], "{number}");
        for kind in ["block", "transaction"] {
            let reference = lines(folder.join(format!("reference/{number}/ethereum-etl.{kind}s.jsonl.gz")));
            rows_equal(&printed(&decoded, kind), &reference, &format!("{number} {kind}"));
        }
    }
}

/// Two blocks of 2016 that follow each other (receipts with state roots, no chain id in signatures, an answer for each
/// receipt), against what ethereum-etl streams for them.
#[test]
fn blocks_before_byzantium() {
    let Some(data) = recordings() else { return };
    let folder = data.join("eth-etl-fixtures/test_stream/blocks_1755634_1755635");
    let result = |name: &str| -> Value {
        let document: Value = serde_json::from_slice(&std::fs::read(folder.join(name)).unwrap()).unwrap();
        document["result"].clone()
    };
    let mut parent = None;
    let mut transactions = Vec::new();
    let mut logs = Vec::new();
    let mut transfers = Vec::new();
    for name in ["0x1ac9f2", "0x1ac9f3"] {
        let block = result(&format!("web3_response.eth_getBlockByNumber_{name}_true.json"));
        let receipts: Vec<Value> = block["transactions"]
            .as_array()
            .unwrap()
            .iter()
            .map(|tx| result(&format!("web3_response.eth_getTransactionReceipt_{}.json", tx["hash"].as_str().unwrap())))
            .collect();
        let receipts = serde_json::to_vec(&receipts).unwrap();
        let decoded = decode(&serde_json::to_vec(&block).unwrap(), &receipts).unwrap();
        assert!(decoded.is_complete() && decoded.not_verified.is_empty());
        assert!(parent.is_none_or(|hash| hash == decoded.block().parent_hash));
        parent = Some(decoded.block().hash);
        transactions.extend(printed(&decoded, "transaction"));
        logs.extend(printed(&decoded, "log"));
        transfers.extend(printed(&decoded, "token_transfer"));
    }
    let expected = |name: &str, ours: &[Value]| {
        let mut reference = lines(folder.join(name));
        for row in &mut reference {
            let row = row.as_object_mut().unwrap();
            // What ethereum-etl adds to every item it streams, and the block's time, which our logs do not repeat.
            row.retain(|field, _| {
                !field.starts_with("item_") && field != "l1_fee" && field != "block_timestamp" && field != "block_hash"
            });
        }
        rows_equal(ours, &reference, name);
    };
    expected("expected_transactions.json", &transactions);
    expected("expected_logs.json", &logs);
    expected("expected_token_transfers.json", &transfers);
}

/// The same block and logs from another provider lead to the same rows, whatever each leaves out.
#[test]
fn two_providers_agree_on_the_rows() {
    let Some(data) = recordings() else { return };
    let folder = data.join("eth-18000000");
    let read = |name: &str| read_maybe_gz(folder.join(name)).unwrap();
    let receipts = read("eth_getBlockReceipts.json.gz");
    let ours = decode(&read("eth_getBlockByNumber.full.json.gz"), &receipts).unwrap();
    let other: Vec<Value> = serde_json::from_slice(&read("orig/shovel__block-18000000.json.gz")).unwrap();
    let block =
        other.iter().map(|item| item.get("result").unwrap_or(item)).find(|item| item["transactions"].is_array());
    let theirs = decode(&serde_json::to_vec(block.unwrap()).unwrap(), &receipts).unwrap();
    assert_eq!(ours.rows, theirs.rows);
}

/// Receipts of one block with the header of another.
#[test]
fn receipts_of_another_block_are_refused() {
    let sets = sets();
    let [first, second, ..] = sets.as_slice() else { return };
    let error = decode(&first.block, &second.receipts).unwrap_err();
    let VerifyError::Mismatch { failed, checks } = &error else { panic!("{error}") };
    assert_eq!(failed.name, "receipts_root");
    assert_ne!(failed.expected, failed.got);
    for name in ["logs_bloom", "positions"] {
        assert!(checks.iter().any(|check| check.name == name && !check.ok), "{name}");
    }
    assert!(error.to_string().starts_with("receipts_root does not match: expected 0x"), "{error}");
}

#[test]
fn lines_begin_with_their_type_and_verification_comes_first() {
    for Set { name, block, receipts, .. } in sets() {
        let decoded = decode(&block, &receipts).unwrap();
        let mut out = Vec::new();
        openmesh_evm::write_json_lines(&decoded, &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        let kinds: Vec<&str> = text.lines().map(|line| line.split('"').nth(3).unwrap()).collect();
        assert!(text.lines().all(|line| line.starts_with("{\"type\":\"")), "{name}");
        let order =
            ["verification", "block", "transaction", "receipt", "log", "token_transfer", "nft_transfer", "swap"];
        let places: Vec<usize> = kinds.iter().map(|kind| order.iter().position(|o| o == kind).unwrap()).collect();
        assert!(places.is_sorted(), "{name}");
        let root = printed(&decoded, "verification").into_iter().find(|line| line["check"] == "receipts_root").unwrap();
        assert_eq!(root["ok"], true);
        assert_eq!(normal(&root["expected"]), normal(&root["got"]));
    }
}
