//! Signing in, and the collectors' signed lists of what they saw.

use std::io::Write;
use std::net::{IpAddr, Ipv4Addr};
use std::time::SystemTime;

use openmesh_collector::{SegmentManifest, read_manifest};
use openmesh_gateway::sessions::{Audience, Sessions, SignInError};
use openmesh_market::Exchange;
use openmesh_primitives::eip712::personal_message_hash;
use openmesh_primitives::{AccountKey, AccountSignature, ContentId, Timestamp, ValidatorKey, canonical};

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
