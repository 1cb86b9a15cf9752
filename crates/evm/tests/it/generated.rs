//! Generated blocks of every fork: what verifies, what is computed where a node leaves it out, and what is refused.

use alloy_primitives::B256;
use openmesh_evm::{Decoded, VerifyError, decode, decode_block};
use serde_json::{Value, json};

use crate::support::chain::{FORKS, Fork, Made, block};
use crate::support::printed;

fn made(fork: Fork) -> Made {
    block(fork, 123, B256::repeat_byte(1), 1)
}

fn decoded(made: &Made) -> Result<Decoded, VerifyError> {
    decode(&made.block_bytes(), &made.receipts_bytes())
}

#[test]
fn every_fork_verifies() {
    for fork in FORKS {
        let decoded = decoded(&made(fork)).unwrap_or_else(|e| panic!("{fork:?}: {e}"));
        assert!(decoded.is_complete() && decoded.not_verified.is_empty(), "{fork:?}");
        let types: Vec<u8> = decoded.transactions().iter().map(|tx| tx.transaction_type).collect();
        let expected: &[u8] = match fork {
            Fork::Homestead | Fork::Byzantium => &[0, 0],
            Fork::London | Fork::Shanghai => &[0, 0, 1, 2],
            Fork::Cancun => &[0, 0, 1, 2, 3],
            Fork::Prague => &[0, 0, 1, 2, 3, 4],
        };
        assert_eq!(types, expected, "{fork:?}");
        assert_eq!(decoded.receipts()[0].root.is_some(), fork == Fork::Homestead);
        assert_eq!(decoded.checks.iter().any(|check| check.name == "withdrawals_root"), fork >= Fork::Shanghai);
        assert_eq!(decoded.checks.iter().any(|check| check.name == "blob_gas_used"), fork >= Fork::Cancun);
    }
}

#[test]
fn envelopes_and_results_alone_are_the_same() {
    let made = made(Fork::Prague);
    let wrap = |result: &Value| serde_json::to_vec(&json!({"jsonrpc": "2.0", "id": 1, "result": result})).unwrap();
    let wrapped = decode(&wrap(&made.block), &wrap(&made.receipts)).unwrap();
    assert_eq!(wrapped, decoded(&made).unwrap());
}

/// Nodes leave out what can be computed; the rows must not differ.
/// Batches of one, and the recorded tests of nodes, are unpacked; a list of several is no block.
#[test]
fn answers_in_a_list_of_one_are_unpacked() {
    let made = made(Fork::Cancun);
    let expected = decoded(&made).unwrap();
    let (block, receipts): (Value, Value) =
        (serde_json::from_slice(&made.block_bytes()).unwrap(), serde_json::from_slice(&made.receipts_bytes()).unwrap());
    let envelope = |result: &Value| json!({ "jsonrpc": "2.0", "id": 1, "result": result });
    let forms: [fn(Value) -> Value; 2] =
        [|answer| json!([answer]), |answer| json!([{ "request": { "method": "m" }, "response": answer }])];
    for form in forms {
        let (block, receipts) = (form(envelope(&block)).to_string(), form(envelope(&receipts)).to_string());
        assert_eq!(decode(block.as_bytes(), receipts.as_bytes()).unwrap(), expected);
    }
    let two = json!([envelope(&block), envelope(&block)]).to_string();
    let error = decode(two.as_bytes(), &made.receipts_bytes()).unwrap_err().to_string();
    assert!(error.contains("a list, where one block is expected"), "{error}");
    // One receipt in a list is a list of receipts.
    let one = json!([receipts[0]]).to_string();
    let error = decode(&made.block_bytes(), one.as_bytes()).unwrap_err().to_string();
    assert!(error.contains("are 1, but the block has 5 transactions; there is none for transaction 1"), "{error}");
}

#[test]
fn what_follows_is_filled_in() {
    let full = made(Fork::Cancun);
    let mut bare = full.clone();
    for tx in bare.block["transactions"].as_array_mut().unwrap() {
        let tx = tx.as_object_mut().unwrap();
        for name in ["blockHash", "blockNumber", "blockTimestamp", "transactionIndex"] {
            tx.remove(name);
        }
        if tx["type"] != "0x0" {
            tx.remove("v");
        }
        if tx.contains_key("maxFeePerGas") {
            tx.remove("gasPrice");
        }
    }
    for receipt in bare.receipts.as_array_mut().unwrap() {
        let receipt = receipt.as_object_mut().unwrap();
        for name in ["contractAddress", "effectiveGasPrice", "type", "blobGasUsed", "blobGasPrice"] {
            receipt.remove(name);
        }
        for log in receipt["logs"].as_array_mut().unwrap() {
            let log = log.as_object_mut().unwrap();
            for name in ["blockHash", "blockNumber", "blockTimestamp", "transactionHash", "transactionIndex", "removed"]
            {
                log.remove(name);
            }
        }
    }
    assert_eq!(decoded(&bare).unwrap().rows, decoded(&full).unwrap().rows);
}

#[test]
fn what_was_not_given_is_named() {
    let mut made = made(Fork::Shanghai);
    let hashes: Value = made.block["transactions"].as_array().unwrap().iter().map(|tx| tx["hash"].clone()).collect();
    let missing = |decoded: &Decoded| decoded.not_verified.iter().map(|item| item.what).collect::<Vec<_>>();

    let without_receipts = decode_block(&made.block_bytes()).unwrap();
    assert_eq!(missing(&without_receipts), ["receipts_root", "logs_bloom"]);
    assert!(!without_receipts.is_complete());

    made.block["transactions"] = hashes;
    made.block.as_object_mut().unwrap().remove("withdrawals");
    let light = decoded(&made).unwrap();
    assert_eq!(missing(&light), ["tx_hashes", "transactions_root", "senders", "withdrawals_root", "receipt_fields"]);
    let lines = printed(&light, "verification");
    assert!(lines.iter().any(|line| line["check"] == "receipts_root" && line["ok"] == true));
    let named = lines.iter().find(|line| line["check"] == "transactions_root").unwrap();
    assert!(named["ok"].is_null() && named["why"].as_str().unwrap().contains("bodies"));

    // The hashes that were given bind the receipts all the same.
    made.block["transactions"][0] = json!(B256::repeat_byte(3));
    assert!(matches!(decoded(&made), Err(VerifyError::Mismatch { failed, .. }) if failed.name == "claims"));
}

/// The header's encoding is positional: under another fork's name a value hashes the same.
#[test]
fn a_header_field_under_another_forks_name_is_refused() {
    let mut made = made(Fork::Shanghai);
    let root = made.block["withdrawalsRoot"].take();
    made.block["parentBeaconBlockRoot"] = root;
    made.block.as_object_mut().unwrap().remove("withdrawals");
    let error = decoded(&made).unwrap_err();
    assert!(error.to_string().contains("parentBeaconBlockRoot is given without"), "{error}");
}

#[test]
fn the_root_that_fails_is_named_with_both_values() {
    let mut made = made(Fork::London);
    made.receipts[3]["logs"][0]["data"] = json!(B256::repeat_byte(9));
    let error = decoded(&made).unwrap_err();
    let VerifyError::Mismatch { failed, checks } = &error else { panic!("{error}") };
    assert_eq!(failed.name, "receipts_root");
    assert_eq!(json!(failed.expected), made.block["receiptsRoot"]);
    assert!(failed.got.starts_with("0x") && failed.got != failed.expected);
    assert!(checks.iter().all(|check| check.ok == (check.name != "receipts_root")), "data is in no bloom: {checks:?}");
    assert_eq!(error.checks(), checks);
}

/// A price that no schedule of today gives stops Cancun's blocks, whose schedule is known, and is dropped from later ones.
#[test]
fn prices_of_blob_gas() {
    for (fork, refused) in [(Fork::Cancun, true), (Fork::Prague, false)] {
        let mut made = made(fork);
        made.receipts[4]["blobGasPrice"] = "0x12345".into();
        match decoded(&made) {
            Err(VerifyError::Mismatch { failed, .. }) => {
                assert!(refused);
                assert_eq!((failed.name, failed.got.as_str()), ("receipt_fields", "74565"));
            }
            Ok(decoded) => {
                assert!(!refused);
                assert_eq!(decoded.receipts()[4].blob_gas_price, None);
                assert_eq!(decoded.not_verified[0].what, "blob_gas_price");
            }
            Err(e) => panic!("{fork:?}: {e}"),
        }
    }
}

#[test]
fn answers_that_are_no_blocks_say_so() {
    let receipts = b"[]";
    let cases: [(&[u8], &str); 7] = [
        (b"null", "null"),
        (br#"{"jsonrpc":"2.0","id":1,"result":null}"#, "null"),
        (br#"{"jsonrpc":"2.0","id":1,"error":{"code":-32000,"message":"header not found"}}"#, "header not found"),
        (b"", "not what an Ethereum node answers"),
        (b"{}", "missing field"),
        (b"[1]", "not what an Ethereum node answers"),
        (b"\xff", "not what an Ethereum node answers"),
    ];
    for (document, words) in cases {
        let error = decode(document, receipts).unwrap_err().to_string();
        assert!(error.contains(words) && error.starts_with("block: "), "{error}");
    }
    let block = made(Fork::London).block_bytes();
    let error = decode(&block, br#"[{"logs": 5}]"#).unwrap_err().to_string();
    assert!(error.starts_with("receipt 0: "), "{error}");
    let error = decode(&block, receipts).unwrap_err().to_string();
    assert!(error.contains("are 0, but the block has 4 transactions; there is none for transaction 0"), "{error}");
}

/// A node that is behind leaves receipts out, and some answer in another order than the block's.
#[test]
fn receipts_are_those_of_the_block_in_its_order_or_refused() {
    let right = made(Fork::Prague);
    let refused = |change: &dyn Fn(&mut Vec<Value>)| {
        let mut made = right.clone();
        change(made.receipts.as_array_mut().unwrap());
        decoded(&made).unwrap_err().to_string()
    };
    let missing = "are 5, but the block has 6 transactions; there is none for transaction";
    type Change<'a> = &'a dyn Fn(&mut Vec<Value>);
    let cases: [(Change<'_>, &str); 7] = [
        (&|list| drop(list.remove(5)), &format!("{missing} 5")),
        (&|list| drop(list.remove(0)), &format!("{missing} 0")),
        (&|list| list.push(list[5].clone()), "are 7, but the block has 6 transactions"),
        (&|list| list[2] = Value::Null, "receipt 2: "),
        (&|list| list[1] = list[0].clone(), "receipts_root does not match"),
        (&|list| list[3]["logs"] = Value::Null, "receipt 3: "),
        (&|list| list[3]["logs"][0]["removed"] = json!(true), "removed"),
    ];
    for (change, words) in cases {
        let error = refused(change);
        assert!(error.contains(words), "{words}: {error}");
    }
    let mut turned = right.clone();
    turned.receipts.as_array_mut().unwrap().reverse();
    assert_eq!(decoded(&turned).unwrap(), decoded(&right).unwrap());
}

/// EIP-7702: the parity of an authorization is any byte, and nodes name it `yParity`, `v`, or both.
#[test]
fn the_parity_of_an_authorization_has_two_names() {
    let made = made(Fork::Prague);
    let expected = decoded(&made).unwrap();
    let with = |change: &dyn Fn(&mut Value)| {
        let mut made = made.clone();
        let list = made.block["transactions"][5]["authorizationList"].as_array_mut().unwrap();
        assert!(!list.is_empty());
        list.iter_mut().for_each(change);
        decoded(&made)
    };
    let both = |item: &mut Value| item["v"] = item["yParity"].clone();
    assert_eq!(with(&both).unwrap().rows, expected.rows);
    let old = |item: &mut Value| {
        item["v"] = item["yParity"].take();
        item.as_object_mut().unwrap().remove("yParity");
    };
    assert_eq!(with(&old).unwrap().rows, expected.rows);
    let differing = |item: &mut Value| item["v"] = json!("0x1f");
    assert!(with(&differing).unwrap_err().to_string().contains("authorization 0 v"));
    let neither = |item: &mut Value| drop(item.as_object_mut().unwrap().remove("yParity"));
    assert!(with(&neither).unwrap_err().to_string().contains("has neither yParity nor v"));
}
