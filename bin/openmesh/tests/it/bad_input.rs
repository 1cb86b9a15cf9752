//! Bad input at every door: each is refused with its own error, and the node goes on.

use std::path::Path;

use openmesh_ledger::{AccountTransaction, AccountsAction, Action, Transaction};
use openmesh_primitives::eip712::personal_message_hash;
use openmesh_primitives::{AccountKey, Address, Amount, canonical};
use serde_json::{Value, json};

use crate::network::Network;

#[tokio::test(flavor = "multi_thread")]
async fn each_is_refused_with_its_own_error() {
    let home = tempfile::tempdir().unwrap();
    let network = Network::start(home.path(), &crate::path::SIMULATED).await;
    network.until(0, "/v1/status", "an agreed chunk", |s| s["chunks_accepted"].as_u64() > Some(0)).await;

    statements(&network).await;
    paths(&network).await;
    transactions(&network).await;
    sign_in(&network).await;
    bodies(&network).await;
    crate::money::all(&network, home.path()).await;
    batches(&network, home.path()).await;

    let before = network.get(0, "/v1/status").await["height"].as_u64();
    network.until(0, "/v1/status", "blocks after all that", |s| s["height"].as_u64() > before).await;
    assert_eq!(network.stop().await, 0);
}

fn code(body: &Value) -> &str {
    assert!(body["error"]["message"].as_str().is_some_and(|m| !m.is_empty()), "an error says what was wrong: {body}");
    body["error"]["code"].as_str().unwrap_or_default()
}

async fn statements(network: &Network) {
    for (sql, expected) in [
        ("selec 1", "syntax"),
        ("drop table trades", "refused_statement"),
        ("insert into trades values (1)", "refused_statement"),
        ("create external table t stored as csv location '/etc/passwd'", "refused_statement"),
        ("copy trades to '/tmp/x.csv'", "refused_statement"),
        ("select * from nowhere", "unknown_table"),
        ("select no_such_column from trades", "unknown_column"),
    ] {
        let (status, body) = network.post(0, "/v1/sql", &json!({ "sql": sql })).await;
        assert_eq!((status, code(&body)), (400, expected), "{sql}: {body}");
    }
    let (status, body) =
        network.post(0, "/v1/sql", &json!({ "sql": "select count(*) from generate_series(1, 100000) a, generate_series(1, 100000) b, generate_series(1, 1000) c", "timeout_ms": 500 })).await;
    assert!(status >= 400 && ["timed_out", "memory_limit", "unknown_table"].contains(&code(&body)), "{body}");
}

async fn paths(network: &Network) {
    for (path, expected) in [
        ("/v1/chunks/..%2f..%2fetc%2fpasswd/parquet", "bad_cid"),
        ("/v1/chunks/bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e/raw", "unknown_chunk"),
        ("/v1/chunks?status=lost", "bad_parameter"),
        ("/v1/chunks?cursor=%27%3B--", "bad_cursor"),
        ("/v1/blocks/minus-one", "bad_height"),
        ("/v1/blocks/99999999", "unknown_block"),
        ("/v1/accounts/0x12", "bad_address"),
        ("/v1/transactions/zz", "bad_hash"),
        ("/v1/books/nowhere/BTC.USD", "unknown_exchange"),
        ("/v1/nothing", "unknown_path"),
        ("/..%2f..%2fCargo.toml", "unknown_file"),
    ] {
        let (status, body) = network.try_get(0, path).await.unwrap();
        assert!((400..500).contains(&status), "{path}: {status}");
        assert_eq!(code(&body), expected, "{path}: {body}");
    }
}

async fn transactions(network: &Network) {
    let key = AccountKey::from_bytes([9; 32]).unwrap();
    let transfer = json!({ "kind": "transfer", "to": key.address().to_string(), "amount": "1" });
    let parts = |signature: &str| json!({ "action": transfer, "nonce": 0, "max_fee": "1000000000000000", "tip": "0", "signature": signature });
    for (body, expected) in [
        (json!({ "bytes": "not hex" }), "bad_bytes"),
        (json!({ "bytes": "00ff00ff" }), "encoding"),
        (parts("0x12"), "bad_signature"),
        (parts(&format!("0x{}", "11".repeat(65))), "signature"),
    ] {
        let (status, answer) = network.post(0, "/v1/transactions", &body).await;
        assert_eq!((status, code(&answer)), (400, expected), "{body}");
    }
}

/// Several transactions at once, as bytes: each has an outcome of its own, and what is no batch an error of its own.
async fn batches(network: &Network, home: &Path) {
    const BATCH: &str = "/v1/transactions/batch";
    const BYTES: &str = "application/octet-stream";
    let key = crate::money::faucet(home);
    let chain = network.get(0, "/v1/status").await["chain_id"].as_u64().unwrap();
    let nonce = network.get(0, &format!("/v1/accounts/{}", key.address())).await["nonce"].as_u64().unwrap();
    let transfer = |nonce: u64| {
        let action = Action::Accounts(AccountsAction::Transfer { to: Address([9; 20]), amount: Amount(1) });
        let signed = AccountTransaction::sign(&key, chain, nonce, Amount(1_000_000_000_000_000), action).unwrap();
        Transaction::Account(signed).encode()
    };
    let mut forged = transfer(nonce + 2);
    *forged.last_mut().unwrap() = 29;
    let batch = vec![transfer(nonce), forged, vec![0xff; 3], transfer(nonce + 1), transfer(nonce)];
    let (status, body) = network.post_bytes(BATCH, BYTES, canonical::encode(&batch)).await;
    let outcomes = body["outcomes"].as_array().unwrap_or_else(|| panic!("{status}: {body}"));
    let words: Vec<&str> = outcomes.iter().map(|one| one["error"]["code"].as_str().unwrap_or("taken")).collect();
    assert_eq!((status, words), (200, vec!["taken", "signature", "encoding", "taken", "mempool"]), "{body}");
    assert!(outcomes.iter().all(|one| one["hash"].is_string() != one["error"].is_object()), "{body}");
    for taken in [&outcomes[0], &outcomes[3]] {
        let path = format!("/v1/transactions/{}?wait_ms=20000", taken["hash"].as_str().unwrap());
        network.until(0, &path, "its block", |transaction| transaction["height"].is_u64()).await;
    }
    let none: Vec<Vec<u8>> = Vec::new();
    for (kind, bytes, status, expected) in [
        ("application/json", b"[]".to_vec(), 415, "not_bytes"),
        (BYTES, Vec::new(), 400, "bad_batch"),
        (BYTES, vec![1, 0, 0, 0], 400, "bad_batch"),
        (BYTES, canonical::encode(&none), 400, "bad_batch"),
        (BYTES, canonical::encode(&vec![vec![0_u8]; 257]), 400, "bad_batch"),
        (BYTES, vec![0; 2 << 20], 413, "body_too_large"),
    ] {
        let (came, body) = network.post_bytes(BATCH, kind, bytes).await;
        assert_eq!((came, code(&body)), (status, expected), "{body}");
    }
}

async fn sign_in(network: &Network) {
    let key = AccountKey::from_bytes([9; 32]).unwrap();
    let host = network.apis[0].trim_start_matches("http://").to_string();
    let nonce = network.get(0, "/v1/auth/nonce").await["nonce"].as_str().unwrap().to_string();
    let issued = openmesh_primitives::Timestamp::from_millis(
        i64::try_from(std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis()).unwrap()
            - 1_000,
    )
    .to_rfc3339();
    let message = format!(
        "{host} wants you to sign in with your Ethereum account:\n{}\n\nSign in to Openmesh.\n\nURI: http://{host}\nVersion: 1\nChain ID: 1\nNonce: {nonce}\nIssued At: {issued}",
        key.address()
    );
    let signature = key.sign_hash(&personal_message_hash(message.as_bytes())).unwrap().to_string();
    let request = json!({ "message": message, "signature": signature });
    let (status, body) = network.post(0, "/v1/auth/sign-in", &request).await;
    assert_eq!(status, 200, "{body}");
    assert_eq!(body["address"], key.address().to_string());
    let (status, body) = network.post(0, "/v1/auth/sign-in", &request).await;
    assert_eq!((status, code(&body)), (401, "nonce_refused"), "replayed");
    let (status, body) =
        network.post(0, "/v1/auth/sign-in", &json!({ "message": "hello", "signature": signature })).await;
    assert_eq!((status, code(&body)), (400, "bad_message"));
}

async fn bodies(network: &Network) {
    let (status, body) = network.post(0, "/v1/sql", &json!({ "sql": "x".repeat(4 << 20) })).await;
    assert_eq!((status, code(&body)), (413, "body_too_large"));
    let (status, body) = network.post(0, "/v1/sql", &json!([1, 2, 3])).await;
    assert!((400..500).contains(&status), "{status}");
    assert_eq!(code(&body), "bad_json");
}
