//! Signing in, JSON-RPC of wallets, and the collectors' signed lists of what they saw.

use std::io::Write;
use std::net::{IpAddr, Ipv4Addr};
use std::time::SystemTime;

use openmesh_collector::{SegmentManifest, read_manifest};
use openmesh_gateway::rpc::{self, Call, Incoming};
use openmesh_gateway::sessions::{Audience, Sessions, SignInError};
use openmesh_market::Exchange;
use openmesh_primitives::eip712::personal_message_hash;
use openmesh_primitives::{AccountKey, AccountSignature, ContentId, Timestamp, ValidatorKey, canonical};
use serde_json::{Value, json};

/// The site that is signed in to.
const DOMAIN: &str = "127.0.0.1:8420";
/// Its network.
const CHAIN_ID: u64 = 84_202;

/// A message in which `NONCE` stands for a fresh nonce and `ADDRESS` for the signer's address. The first byte alters the
/// signature.
///
/// Checks a sign-in: whoever gets in holds the key of the address in the message, the message names this site, and it does not work twice.
pub fn sign_in(data: &[u8]) {
    let Some((alter, text)) = data.split_first() else { return };
    let Ok(text) = std::str::from_utf8(text) else { return };
    let sessions = Sessions::new(Audience { hosts: vec![DOMAIN.into()], chain_id: CHAIN_ID });
    let now = SystemTime::now();
    let (nonce, _) = sessions.nonce(IpAddr::V4(Ipv4Addr::LOCALHOST), now).expect("randomness");
    let key = AccountKey::from_bytes([7; 32]).expect("a key");
    let text = text.replace("NONCE", &nonce).replace("ADDRESS", &key.address().to_string());
    let mut signature = key.sign_hash(&personal_message_hash(text.as_bytes())).expect("a signature");
    let place = usize::from(*alter % 65);
    signature = AccountSignature(signature.0.map(|b| b));
    if *alter != 0 {
        signature.0[place] ^= 1 << (alter % 8);
    }
    match sessions.sign_in(&text, &signature, now) {
        Ok((token, session)) => {
            assert_eq!(*alter, 0, "an altered signature is let in");
            assert_eq!(session.address, key.address());
            assert!(text.contains(DOMAIN) && text.contains(&nonce), "a message for another site or moment is let in");
            assert_eq!(sessions.session(&token, now), Some(session));
            let again = sessions.sign_in(&text, &signature, now);
            assert_eq!(again.map(|_| ()), Err(SignInError::Nonce), "a message is taken twice");
        }
        Err(error) => assert!(!error.code().as_str().is_empty() && !error.to_string().is_empty()),
    }
}

/// A body of JSON-RPC. Each request in it has its id and either a method that is read the same again or a fault in words; what is no JSON is
/// told apart from what is no request, and a refusal never repeats much of what it refuses.
pub fn json_rpc(data: &[u8]) {
    let read = serde_json::from_slice::<Value>(data);
    let calls = match rpc::parse(data) {
        Err(fault) => {
            assert!([rpc::PARSE, rpc::INVALID_REQUEST].contains(&fault.code), "{fault:?}");
            assert!(fault.code != rpc::PARSE || read.is_err(), "JSON is called none");
            return;
        }
        Ok(Incoming::One(call)) => vec![call],
        Ok(Incoming::Batch(calls)) => calls,
    };
    let items = match read.expect("what is answered is JSON") {
        Value::Array(items) => items,
        one => vec![one],
    };
    assert_eq!(calls.len(), items.len(), "a request is lost");
    for (Call { id, ask }, item) in calls.into_iter().zip(items) {
        let is_request = item.get("jsonrpc") == Some(&json!("2.0")) && item["method"].is_string();
        match (&id, &ask) {
            (None, _) => assert!(is_request && item.get("id").is_none(), "{item}: an answer is withheld"),
            (Some(id), _) => assert!(item.get("id") == Some(id) || id.is_null(), "{item}: it is answered as {id}"),
        }
        match ask {
            Ok(ask) => {
                let (method, params) = (item["method"].as_str().expect("text"), item["params"].as_array());
                assert!(is_request, "{item} is taken as {ask:?}");
                let again = rpc::Ask::of(method, params.map(Vec::as_slice).unwrap_or_default());
                assert_eq!(again, Ok(ask));
            }
            Err(fault) => {
                assert!(!fault.message.is_empty() && !fault.hint.is_empty());
                assert!(fault.message.len() < 1_000, "{} bytes of words", fault.message.len());
                let text = rpc::reply(&id.unwrap_or_default(), Err(fault.clone()));
                let answer: Value = serde_json::from_str(&text).expect("an answer is JSON");
                assert_eq!((&answer["error"]["code"], answer.get("result")), (&json!(fault.code), None));
            }
        }
    }
}

/// A collector's manifest as a file. What is trusted is signed line by line, and none is missing.
pub fn segments(data: &[u8]) {
    let mut file = tempfile::NamedTempFile::new().expect("a file");
    file.write_all(data).expect("the file");
    let Ok(segments) = read_manifest(file.path()) else { return };
    assert!(segments.len() <= data.iter().filter(|b| **b == b'\n').count());
    let honest = honest();
    // A day begins anywhere in the chain.
    let first = segments.first().map_or(0, |segment| segment.sequence as usize);
    for (number, segment) in (first..).zip(&segments) {
        assert_eq!(segment.sequence, number as u64, "a segment is missing");
        // Nobody but the holder of the key can have said so.
        assert_eq!(honest.get(number), Some(segment), "a segment is believed that nobody signed");
    }
}

/// The manifest of the seeds.
fn honest() -> Vec<SegmentManifest> {
    let mut previous = None;
    let segment = |sequence: u64| {
        let cid = ContentId::of(&sequence.to_le_bytes());
        let segment = SegmentManifest {
            collector: ValidatorKey::from_seed([7; 32]).public(),
            source: "kraken".into(),
            exchange: Exchange::Kraken,
            sequence,
            first: Timestamp(sequence as i64),
            last: Timestamp(sequence as i64 + 1),
            lines: 5,
            raw_bytes: 500,
            cid,
            previous,
            lost: 0,
        };
        previous = Some(cid);
        segment
    };
    (0..3).map(segment).collect()
}

/// Seeds of [`sign_in`].
pub fn sign_in_seeds() -> Vec<Vec<u8>> {
    let of = |alter: u8, domain: &str, rest: &str| {
        let text = format!(
            "{domain} wants you to sign in with your Ethereum account:\nADDRESS\n\nSign in to Openmesh.\n\nURI: http://{domain}\nVersion: 1\nChain ID: 84202\nNonce: NONCE\nIssued At: 2026-01-01T00:00:00.000Z{rest}"
        );
        [&[alter][..], text.as_bytes()].concat()
    };
    vec![
        of(0, DOMAIN, ""),
        of(1, DOMAIN, ""),
        of(0, "evil.example", ""),
        of(0, DOMAIN, "\nExpiration Time: 2020-01-01T00:00:00Z"),
        of(0, DOMAIN, "\nRequest ID: 1\nResources:\n- http://127.0.0.1"),
    ]
}

/// Seeds of [`json_rpc`].
pub fn json_rpc_seeds() -> Vec<Vec<u8>> {
    let address = "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed";
    let hash = format!("0x{}", "0a".repeat(32));
    let request =
        |method: &str, params: Value| json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
    let all = [
        request("eth_chainId", json!([])),
        request("eth_getBalance", json!([address, "latest"])),
        request("eth_getTransactionCount", json!([address, { "blockNumber": "0x1b4" }])),
        request("eth_getCode", json!([address, { "blockHash": hash, "requireCanonical": true }])),
        request("eth_getBlockByNumber", json!(["0x1b4", true])),
        request("eth_getBlockByHash", json!([hash, false])),
        request("eth_getTransactionReceipt", json!([hash])),
        request("eth_feeHistory", json!(["0x5", "latest", [10, 20.5, 100]])),
        request("eth_estimateGas", json!([{ "from": address, "to": address, "value": "0x1", "data": "0x" }])),
        request("eth_call", json!([{ "to": address, "data": "0x70a08231" }, "latest"])),
        request("eth_subscribe", json!(["newHeads"])),
        json!({ "jsonrpc": "2.0", "method": "eth_unsubscribe", "params": ["0x1"] }),
        json!({ "jsonrpc": "1.0", "id": "a", "method": 7, "params": {} }),
    ];
    let mut seeds: Vec<Vec<u8>> = all.iter().map(|request| request.to_string().into_bytes()).collect();
    seeds.push(json!(all).to_string().into_bytes());
    seeds.push(br#"[1,[],{},null,"x",{"id":[]}]"#.to_vec());
    seeds
}

/// Seeds of [`segments`].
pub fn segments_seeds() -> Vec<Vec<u8>> {
    let key = ValidatorKey::from_seed([7; 32]);
    let line = |segment: &SegmentManifest| {
        let message = [b"openmesh raw segment v2\n", canonical::encode(segment).as_slice()].concat();
        let mut json = serde_json::to_value(segment).expect("JSON");
        json["signature"] = key.sign(&message).to_string().into();
        format!("{json}\n").into_bytes()
    };
    let lines: Vec<Vec<u8>> = honest().iter().map(line).collect();
    vec![lines.concat(), [lines[0].clone(), lines[2].clone()].concat(), lines[0][..40].to_vec()]
}
