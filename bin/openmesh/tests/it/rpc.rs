//! JSON-RPC for wallets on real processes: what a wallet asks for when it adds the network, an account's transfer in its words, bad input at the
//! door, and new blocks as they come.

use futures::{SinkExt, StreamExt};
use openmesh_ledger::{AccountTransaction, AccountsAction, Action, Transaction};
use openmesh_primitives::{AccountKey, Address, Amount};
use serde_json::{Value, json};
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Message;

use crate::network::{Network, PATIENCE};

const RPC: &str = "/v1/rpc";
/// Fee of a transfer, in 10^-18 OPEN.
const FEE: u128 = 1_000_000_000_000_000;
/// Receiver of transfers.
const TO: Address = Address([9; 20]);

#[tokio::test(flavor = "multi_thread")]
async fn a_wallet_adds_the_network_and_follows_an_account() {
    let home = tempfile::tempdir().unwrap();
    let network = Network::start(home.path(), &crate::path::SIMULATED).await;
    network.until(0, "/v1/status", "the third block", |s| s["height"].as_u64() >= Some(3)).await;

    what_a_wallet_asks_for(&network).await;
    let key = faucet(home.path());
    a_transfer_in_its_words(&network, &key).await;
    what_waits_counts_up_to_a_gap(&network, &key).await;
    bad_input(&network).await;
    new_blocks(&network).await;

    let before = network.get(0, "/v1/status").await["height"].as_u64();
    network.until(0, "/v1/status", "blocks after all that", |s| s["height"].as_u64() > before).await;
    assert_eq!(network.stop().await, 0);
}

/// The result of a method; panics where it fails.
async fn call(network: &Network, method: &str, params: Value) -> Value {
    let request = json!({ "jsonrpc": "2.0", "id": 7, "method": method, "params": params });
    let (status, answer) = network.post(0, RPC, &request).await;
    assert_eq!((status, &answer["id"]), (200, &json!(7)), "{method}: {answer}");
    assert!(answer.get("error").is_none() && answer.get("result").is_some(), "{method} {params}: {answer}");
    answer["result"].clone()
}

fn number(quantity: &Value) -> u128 {
    let digits = quantity.as_str().and_then(|text| text.strip_prefix("0x")).unwrap_or_else(|| panic!("{quantity}"));
    assert!(digits == "0" || !digits.starts_with('0'), "{quantity} has leading zeros");
    u128::from_str_radix(digits, 16).unwrap_or_else(|_| panic!("{quantity}"))
}

async fn what_a_wallet_asks_for(network: &Network) {
    let status = network.get(0, "/v1/status").await;
    let chain_id = status["chain_id"].as_u64().unwrap();
    assert_eq!(number(&call(network, "eth_chainId", json!([])).await), u128::from(chain_id));
    assert_eq!(call(network, "net_version", json!([])).await, chain_id.to_string());
    let version = call(network, "web3_clientVersion", json!([])).await;
    assert_eq!(version, format!("openmesh/{}", status["version"].as_str().unwrap()));
    assert_eq!(call(network, "eth_accounts", json!([])).await, json!([]));
    assert_eq!(call(network, "eth_syncing", json!([])).await, false);
    let height = number(&call(network, "eth_blockNumber", json!([])).await);
    assert!(height >= u128::from(status["height"].as_u64().unwrap()));
    let block = call(network, "eth_getBlockByNumber", json!(["latest", false])).await;
    assert!(number(&block["number"]) >= height, "{block}");
    let number_of = format!("{height:#x}");
    let nothing = format!("0x{}", "00".repeat(32));
    let by_number = call(network, "eth_getBlockByNumber", json!([number_of, true])).await;
    let shown = network.get(0, &format!("/v1/blocks/{height}")).await;
    assert_eq!(by_number["hash"], format!("0x{}", shown["hash"].as_str().unwrap()));
    assert_eq!(by_number["parentHash"], format!("0x{}", shown["parent"].as_str().unwrap()));
    let by_hash = call(network, "eth_getBlockByHash", json!([by_number["hash"], true])).await;
    assert_eq!(by_hash, by_number);
    assert_eq!(call(network, "eth_getBlockByHash", json!([nothing, false])).await, Value::Null);
    let nobody = format!("0x{}", "ee".repeat(20));
    for (method, expected) in [("eth_getBalance", "0x0"), ("eth_getTransactionCount", "0x0"), ("eth_getCode", "0x")] {
        assert_eq!(call(network, method, json!([nobody, number_of])).await, expected, "{method}");
    }
    let gas = number(&call(network, "eth_estimateGas", json!([{ "to": nobody, "value": "0x1" }])).await);
    let price = number(&call(network, "eth_gasPrice", json!([])).await);
    let tip = number(&call(network, "eth_maxPriorityFeePerGas", json!([])).await);
    let actions = network.get(0, "/v1/actions").await;
    let transfer = actions.as_array().unwrap().iter().find(|action| action["kind"] == "transfer").unwrap();
    let least: u128 = transfer["fee_min"].as_str().unwrap().parse().unwrap();
    // The base fee is the least one while blocks are not half full, and a tip is a tenth of it.
    assert!(
        (least..least + gas).contains(&(gas * (price - tip))),
        "{gas} gas for {price} each, {least} is the base fee"
    );
    assert!((least / 10..least / 10 + gas).contains(&(gas * tip)), "{gas} gas, of each {tip} for the proposer");
    assert_eq!(number(&by_number["baseFeePerGas"]), price - tip);
    let history = call(network, "eth_feeHistory", json!(["0x2", "latest", [10, 90]])).await;
    assert_eq!(history["baseFeePerGas"].as_array().map(Vec::len), Some(3), "{history}");
    assert_eq!(history["reward"].as_array().map(Vec::len), Some(2), "{history}");
}

fn faucet(home: &std::path::Path) -> AccountKey {
    let text = std::fs::read_to_string(home.join("simulated/faucet.key")).unwrap();
    let bytes: [u8; 32] = hex::decode(text.trim()).unwrap().try_into().unwrap();
    AccountKey::from_bytes(bytes).unwrap()
}

/// Hands in a transfer of 5 units; returns its hash.
async fn hand_in(network: &Network, key: &AccountKey, nonce: u64) -> String {
    let chain_id = network.get(0, "/v1/status").await["chain_id"].as_u64().unwrap();
    let action = Action::Accounts(AccountsAction::Transfer { to: TO, amount: Amount(5) });
    let signed = AccountTransaction::sign(key, chain_id, nonce, Amount(FEE), action).unwrap();
    let bytes = hex::encode(Transaction::Account(signed).encode());
    let (status, sent) = network.post(0, "/v1/transactions", &json!({ "bytes": bytes })).await;
    assert_eq!(status, 202, "{sent}");
    sent["hash"].as_str().unwrap().to_string()
}

/// Waits for a transaction's block; returns its height.
async fn height_of(network: &Network, hash: &str) -> u64 {
    let path = format!("/v1/transactions/{hash}?wait_ms=20000");
    let committed = network.until(0, &path, "the transfer's block", |t| t["height"].is_u64()).await;
    committed["height"].as_u64().unwrap()
}

async fn nonce_at(network: &Network, account: &str, block: &str) -> u64 {
    u64::try_from(number(&call(network, "eth_getTransactionCount", json!([account, block])).await)).unwrap()
}

async fn what_waits_counts_up_to_a_gap(network: &Network, key: &AccountKey) {
    let from = key.address().to_string();
    let nonce = nonce_at(network, &from, "latest").await;
    assert_eq!(nonce_at(network, &from, "pending").await, nonce, "nothing waits");
    let later = hand_in(network, key, nonce + 1).await;
    assert_eq!(nonce_at(network, &from, "pending").await, nonce, "somebody has to fill the gap first");
    hand_in(network, key, nonce).await;
    // Whether they still wait or are committed already.
    assert_eq!(nonce_at(network, &from, "pending").await, nonce + 2);
    height_of(network, &later).await;
    assert_eq!(nonce_at(network, &from, "latest").await, nonce + 2);
    assert_eq!(nonce_at(network, &from, "pending").await, nonce + 2);
}

async fn a_transfer_in_its_words(network: &Network, key: &AccountKey) {
    let from = key.address().to_string();
    let nonce = nonce_at(network, &from, "latest").await;
    let before = number(&call(network, "eth_getBalance", json!([from, "latest"])).await);
    let handed_in = hand_in(network, key, nonce).await;
    let (hash, height) = (format!("0x{handed_in}"), height_of(network, &handed_in).await);
    let transaction = call(network, "eth_getTransactionByHash", json!([hash])).await;
    assert_eq!(transaction["from"], from.to_lowercase());
    assert_eq!(transaction["to"], TO.to_string().to_lowercase());
    assert_eq!((number(&transaction["value"]), number(&transaction["fee"])), (5, FEE));
    assert_eq!((number(&transaction["maxFee"]), number(&transaction["tip"])), (FEE, FEE), "as it was offered");
    assert_eq!(number(&transaction["nonce"]), u128::from(nonce));
    let receipt = call(network, "eth_getTransactionReceipt", json!([hash])).await;
    assert_eq!((&receipt["status"], number(&receipt["blockNumber"])), (&json!("0x1"), u128::from(height)), "{receipt}");
    let gas = number(&receipt["gasUsed"]);
    assert_eq!(number(&receipt["effectiveGasPrice"]), FEE / gas, "what was paid: {receipt}");
    assert!(
        (1..FEE).contains(&number(&receipt["tip"])),
        "the base fee was burnt, the rest is the proposer's: {receipt}"
    );
    let block = call(network, "eth_getBlockByNumber", json!([format!("{height:#x}"), false])).await;
    let place = usize::try_from(number(&receipt["transactionIndex"])).unwrap();
    assert_eq!((&block["transactions"][place], &block["hash"]), (&json!(hash), &receipt["blockHash"]));
    let balance = async |at: u64| number(&call(network, "eth_getBalance", json!([from, format!("{at:#x}")])).await);
    let around = (balance(height - 1).await, balance(height).await);
    assert_eq!(around, (before, before - 5 - FEE), "before and after its block");
}

async fn bad_input(network: &Network) {
    let one = json!({ "jsonrpc": "2.0", "id": 1, "method": "eth_chainId", "params": [] });
    let request =
        |method: &str, params: Value| json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
    let nested = "[".repeat(100_000);
    for (body, status, code) in [
        ("not json".to_string(), 200, -32_700),
        (String::new(), 200, -32_700),
        ("{\"jsonrpc\":\"2.0\",".to_string(), 200, -32_700),
        ("7".to_string(), 200, -32_600),
        ("[]".to_string(), 200, -32_600),
        (nested, 200, -32_600),
        (json!(vec![one.clone(); 10_000]).to_string(), 200, -32_600),
        (json!({ "jsonrpc": "1.0", "id": 1, "method": "eth_chainId" }).to_string(), 200, -32_600),
        (request("eth_getLogs", json!([{}])).to_string(), 200, -32_601),
        (request("eth_getBalance", json!([5, "latest"])).to_string(), 200, -32_602),
        (request("eth_getBlockByNumber", json!([5, false])).to_string(), 200, -32_602),
        (request("eth_getBalance", json!([format!("0x{}", "ee".repeat(20)), "0xffffff"])).to_string(), 200, -32_001),
        (request("eth_call", json!([{ "to": format!("0x{}", "ee".repeat(20)) }, "latest"])).to_string(), 200, -32_004),
        (request("eth_sendRawTransaction", json!(["0x00"])).to_string(), 200, -32_004),
        (request("eth_subscribe", json!(["newHeads"])).to_string(), 200, -32_004),
        (request("eth_chainId", json!(["x".repeat(4 << 20)])).to_string(), 413, -32_600),
    ] {
        let shown: String = body.chars().take(100).collect();
        let (came, answer) = network.post_bytes(RPC, "application/json", body).await;
        assert_eq!((came, answer["error"]["code"].as_i64()), (status, Some(code)), "{shown}: {answer}");
        assert_eq!(answer["jsonrpc"], "2.0", "{answer}");
        assert!(answer["error"]["message"].as_str().is_some_and(|words| !words.is_empty()), "{answer}");
        assert!(answer["error"]["data"]["hint"].as_str().is_some_and(|words| !words.is_empty()), "{answer}");
    }
    let (status, answer) = network.post_bytes(RPC, "text/plain", one.to_string()).await;
    assert_eq!((status, &answer["error"]["code"]), (415, &json!(-32_600)), "{answer}");
    let nobody_waits = json!([{ "jsonrpc": "2.0", "method": "eth_chainId" }]);
    assert_eq!(network.post(0, RPC, &nobody_waits).await, (204, Value::Null));
    let mixed = json!([one, 5, request("eth_nothing", json!([])), { "jsonrpc": "2.0", "method": "eth_chainId" }, one]);
    let (status, answers) = network.post(0, RPC, &mixed).await;
    let codes: Vec<Option<i64>> =
        answers.as_array().unwrap().iter().map(|answer| answer["error"]["code"].as_i64()).collect();
    assert_eq!((status, codes), (200, vec![None, Some(-32_600), Some(-32_601), None]), "{answers}");
}

async fn new_blocks(network: &Network) {
    let url = network.apis[0].replacen("http", "ws", 1) + RPC;
    let (mut socket, _) = connect_async(url).await.expect("a WebSocket");
    let mut next = async |said: Option<Value>| -> Value {
        if let Some(said) = said {
            socket.send(Message::text(said.to_string())).await.expect("sent");
        }
        loop {
            let message = tokio::time::timeout(PATIENCE, socket.next()).await.expect("in time");
            if let Message::Text(text) = message.expect("open").expect("a message") {
                return serde_json::from_str(&text).expect("JSON");
            }
        }
    };
    let request =
        |method: &str, params: Value| json!({ "jsonrpc": "2.0", "id": method, "method": method, "params": params });
    let refused = next(Some(json!("hello"))).await;
    assert_eq!(refused["error"]["code"], -32_600);
    let opened = next(Some(request("eth_subscribe", json!(["newHeads"])))).await;
    let name = opened["result"].clone();
    assert!(name.is_string(), "{opened}");
    let mut before: Option<Value> = None;
    for _ in 0..3 {
        let told = next(None).await;
        assert_eq!((&told["method"], &told["params"]["subscription"]), (&json!("eth_subscription"), &name), "{told}");
        let head = told["params"]["result"].clone();
        if let Some(before) = before.replace(head.clone()) {
            let follows = (&before["hash"], number(&before["number"]) + 1);
            assert_eq!((&head["parentHash"], number(&head["number"])), follows);
        }
        assert_eq!(head.get("transactions"), None, "{head}");
    }
    // Heads may come before the answer.
    let mut answer = next(Some(request("eth_unsubscribe", json!([name])))).await;
    while answer.get("method").is_some() {
        answer = next(None).await;
    }
    assert_eq!((&answer["id"], &answer["result"]), (&json!("eth_unsubscribe"), &json!(true)), "{answer}");
    let height = next(Some(request("eth_blockNumber", json!([])))).await;
    assert_eq!(height["id"], "eth_blockNumber", "nothing comes unasked any more: {height}");
}
