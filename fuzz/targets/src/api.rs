//! Bodies and messages that people and programs send over HTTP and WebSocket: the contract's types, and messages of EIP-4361.

use openmesh_api as api;
use openmesh_primitives::eip712::personal_message_hash;
use openmesh_primitives::{AccountKey, Address, Digest};
use serde::Serialize;
use serde::de::DeserializeOwned;
use signinwithethereum::Message;

/// JSON of every type of the contract: what is read is written so that it is read as the same again.
pub fn bodies(data: &[u8]) {
    body::<api::StreamRequest>(data);
    body::<api::StreamMessage>(data);
    body::<api::TransactionRequest>(data);
    body::<api::TypedDataRequest>(data);
    body::<api::SignInRequest>(data);
    body::<api::SqlRequest>(data);
    body::<api::SqlResponse>(data);
    body::<api::ProofBundle>(data);
    body::<api::ChunkInfo>(data);
    body::<api::BlockDetail>(data);
    body::<api::BookView>(data);
    body::<api::ErrorBody>(data);
    body::<api::Page<api::IncidentInfo>>(data);
}

fn body<T: Serialize + DeserializeOwned>(data: &[u8]) {
    let Ok(value) = serde_json::from_slice::<T>(data) else { return };
    let json = serde_json::to_string(&value).expect("what was read can be written");
    let again: T = serde_json::from_str(&json).unwrap_or_else(|e| panic!("{json} cannot be read again: {e}"));
    assert_eq!(serde_json::to_string(&again).expect("and written"), json);
}

/// A message of EIP-4361. What is accepted and printed is accepted again, and says the same; a signature over the text
/// does not hold for another text.
pub fn sign_in_message(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(message) = text.parse::<Message>() else { return };
    let printed = message.to_string();
    let again: Message = printed.parse().unwrap_or_else(|e| panic!("{printed:?} is not accepted again: {e}"));
    assert_eq!(again, message);
    assert!(message.nonce.bytes().all(|b| b.is_ascii_alphanumeric()), "{:?} is no nonce", message.nonce);
    let _ = message.valid_now();
    let key = AccountKey::from_bytes([7; 32]).expect("a key");
    let hash = personal_message_hash(text.as_bytes());
    let signature = key.sign_hash(&hash).expect("a signature");
    assert_eq!(signature.recover(&hash), Ok(key.address()));
    let other: Digest = personal_message_hash(&[text.as_bytes(), b" "].concat());
    assert_ne!(signature.recover(&other), Ok(key.address()));
    assert_eq!(Address(message.address).to_string().parse(), Ok(Address(message.address)));
}

/// Seeds of [`bodies`].
pub fn bodies_seeds() -> Vec<Vec<u8>> {
    [
        r#"{"op":"subscribe","exchange":"binance","feed":"trades","symbol":"BTC.USDT","id":"1"}"#,
        r#"{"op":"unsubscribe","feed":"blocks"}"#,
        r#"{"op":"ping"}"#,
        r#"{"bytes":"00ff"}"#,
        r#"{"action":{"kind":"transfer","to":"0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed","amount":"1"},"nonce":0,"max_fee":"2","tip":"1","signature":"0x00"}"#,
        r#"{"from":"0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed","action":{"kind":"register_source","id":"x","exchange":"kraken","source_kind":"market","symbols":["BTC.USD"],"feeds":["trades"],"window_ms":10000,"origin":"live"}}"#,
        r#"{"message":"example.org wants you to sign in","signature":"0x00"}"#,
        r#"{"sql":"select 1","limit":10,"timeout_ms":1000}"#,
        r#"{"error":{"code":"unknown_table","message":"no table","hint":"SHOW TABLES"}}"#,
        r#"{"items":[],"next":null}"#,
        r#"{"version":1,"chain_id":84202,"cid":"bafkrei","source":"kraken","window":1,"stream":"BTC.USD/trades","state_key":"00","state_value":"00","state_proof":"00","header":"00","certificate":"00","validators":"00"}"#,
    ]
    .map(|text| text.as_bytes().to_vec())
    .to_vec()
}

/// Seeds of [`sign_in_message`].
pub fn sign_in_message_seeds() -> Vec<Vec<u8>> {
    let address = AccountKey::from_bytes([7; 32]).expect("a key").address();
    let of = |domain: &str, statement: &str, rest: &str| {
        format!(
            "{domain} wants you to sign in with your Ethereum account:\n{address}\n{statement}\nURI: http://{domain}\nVersion: 1\nChain ID: 84202\nNonce: 0123456789abcdef\nIssued At: 2026-08-09T21:05:48.000Z{rest}"
        )
        .into_bytes()
    };
    vec![
        of("127.0.0.1:8420", "\nSign in to Openmesh.\n", ""),
        of("example.org", "", "\nExpiration Time: 2026-08-09T22:05:48Z\nNot Before: 2026-08-09T21:00:00+02:00"),
        of("example.org", "\nA statement.\n", "\nRequest ID: 17\nResources:\n- https://example.org/a\n- ipfs://bafy"),
        of("[::1]:80", "\n\u{e9}\n", "\nResources:"),
    ]
}
