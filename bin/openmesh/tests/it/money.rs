//! The supply and fees on a running network: by the API, and by the command line as a person uses it.

use std::path::Path;

use openmesh_ledger::{AccountTransaction, AccountsAction, Action, FeeOffer, Transaction};
use openmesh_primitives::{AccountKey, Address, Amount};
use serde_json::{Value, json};

use crate::network::{Network, binary};

const TO: Address = Address([9; 20]);
/// Least base fee of a transfer in a local network.
const BASE: u128 = 1_000_000_000_000;

/// Everything of this file, on the network of a folder, of which the accounts have not been used.
pub async fn all(network: &Network, home: &Path) {
    supply_is_whole(network).await;
    estimates(network).await;
    refusals(network, home).await;
    by_command_line(network, home).await;
    let supply = supply_is_whole(network).await;
    assert!(units(&supply["burnt"]) >= BASE, "what was sent has burnt its base fee: {supply}");
}

fn units(value: &Value) -> u128 {
    value.as_str().and_then(|text| text.parse().ok()).unwrap_or_else(|| panic!("{value} is no amount"))
}

async fn supply_is_whole(network: &Network) -> Value {
    let supply = network.get(0, "/v1/supply").await;
    let places: u128 = ["pools", "accounts", "deposits", "burnt"].iter().map(|place| units(&supply[place])).sum();
    assert_eq!((places, units(&supply["cap"])), (10u128.pow(27), 10u128.pow(27)));
    let pools = supply["groups"].as_array().unwrap().iter().flat_map(|group| group["pools"].as_array().unwrap());
    let balances: Vec<u128> = pools.map(|pool| units(&pool["balance"])).collect();
    assert_eq!((balances.len(), balances.iter().sum::<u128>()), (25, units(&supply["pools"])));
    supply
}

async fn estimates(network: &Network) {
    let ask =
        |action: Value| async move { network.post(0, "/v1/transactions/estimate", &json!({ "action": action })).await };
    let (status, estimate) = ask(json!({ "kind": "transfer", "to": TO.to_string(), "amount": "7" })).await;
    assert_eq!(status, 200, "{estimate}");
    assert_eq!((estimate["weight"].as_u64(), units(&estimate["spends"])), (Some(1), 7));
    assert!(units(&estimate["burnt"]) >= BASE && units(&estimate["max_fee"]) > 2 * units(&estimate["burnt"]));
    let (status, refused) = ask(json!({ "kind": "mint", "amount": "7" })).await;
    assert_eq!((status, refused["error"]["code"].as_str()), (400, Some("bad_action")));
    let (status, refused) = network.post(0, "/v1/transactions/estimate", &json!({})).await;
    assert_eq!((status, refused["error"]["code"].as_str()), (422, Some("bad_json")));
}

/// The account that a local network endows.
pub fn faucet(home: &Path) -> AccountKey {
    let text = std::fs::read_to_string(home.join("simulated/faucet.key")).unwrap();
    AccountKey::from_bytes(hex::decode(text.trim()).unwrap().try_into().unwrap()).unwrap()
}

/// Each kind of wrong offer has its own word.
async fn refusals(network: &Network, home: &Path) {
    let key = faucet(home);
    let chain = network.get(0, "/v1/status").await["chain_id"].as_u64().unwrap();
    let account = network.get(0, &format!("/v1/accounts/{}", key.address())).await;
    let (nonce, balance) = (account["nonce"].as_u64().unwrap(), units(&account["balance"]));
    for (max_fee, tip, amount, expected) in [
        (BASE / 3, 0, 1, "fee_low"),
        (2 * BASE, 2 * BASE + 1, 1, "tip_high"),
        (balance + 1, 0, 1, "fee_unaffordable"),
        (u128::MAX, 0, u128::MAX, "fee_overflow"),
        (10 * BASE, 0, balance, "overdraft"),
    ] {
        let action = Action::from(AccountsAction::Transfer { to: TO, amount: Amount(amount) });
        let offer = FeeOffer::new(Amount(max_fee), Amount(tip));
        let signed = AccountTransaction::sign(&key, chain, nonce, offer, action).unwrap();
        let bytes = hex::encode(Transaction::Account(signed).encode());
        let (status, refused) = network.post(0, "/v1/transactions", &json!({ "bytes": bytes })).await;
        assert_eq!((status, refused["error"]["code"].as_str()), (400, Some(expected)), "{refused}");
        assert!(refused["error"]["hint"].as_str().is_some_and(|hint| hint.len() > 10), "{refused}");
    }
}

async fn run(network: &Network, arguments: &[&str]) -> (i32, String, String) {
    let output = binary().args(arguments).args(["--api", &network.apis[0]]).output().await.unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap_or(-1), text(&output.stdout), text(&output.stderr))
}

async fn by_command_line(network: &Network, home: &Path) {
    let (key, to) = (home.join("simulated/faucet.key"), TO.to_string());
    let (key, to) = (key.to_str().unwrap(), to.as_str());
    let (code, told, err) = run(network, &["account", "send", to, "1.5", "--estimate"]).await;
    assert_eq!(code, 0, "{err}");
    assert!(told.contains("burnt     0.000001 OPEN") && told.contains("spends    1.5 OPEN"), "{told}");
    let low = ["account", "send", "--key", key, to, "1.5", "--max-fee", "0.0000001", "--tip", "0"];
    let (code, _, err) = run(network, &low).await;
    assert!(code == 1 && err.contains("the highest fee is 0.0000001 OPEN"), "{err}");
    let torn = ["account", "send", "--key", key, to, "1.5", "--max-fee", "0.000002", "--tip", "0.000003"];
    let (code, _, err) = run(network, &torn).await;
    assert!(code == 2 && err.contains("is more than the highest fee"), "{err}");
    let (code, told, err) = run(network, &["account", "send", "--key", key, to, "1.5"]).await;
    assert_eq!(code, 0, "{err}");
    assert!(told.contains("sent 1.5 OPEN"), "{told}");
    let (code, told, err) = run(network, &["supply"]).await;
    assert_eq!(code, 0, "{err}");
    for word in ["of 1,000,000,000 OPEN", "in pools", "burnt", "community", "node-operators", "20.00 %"] {
        assert!(told.contains(word), "{word} is not in\n{told}");
    }
}
