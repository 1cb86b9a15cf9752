//! Hashes of typed data, so that any Ethereum wallet can show and sign our transactions.
//!
//! Source: EIP-712, "Typed structured data hashing and signing"; only what the ledger's messages need: flat structs of
//! `string`, `address`, `uint256`/`uint64`, `bytes32` and arrays of strings.

use crate::{Address, Digest, keccak256};

/// One field's value. The variant decides its encoding, the type's text its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value<'a> {
    /// `string`.
    Text(&'a str),
    /// `address`.
    Address(Address),
    /// `uint64`, `uint128`, `uint256`: all are padded to 32 bytes.
    Uint(u128),
    /// `bytes32`.
    Bytes32([u8; 32]),
    /// `string[]`.
    Texts(&'a [String]),
}

impl Value<'_> {
    fn word(&self) -> [u8; 32] {
        let mut word = [0; 32];
        match self {
            Value::Text(text) => word = keccak256(&[text.as_bytes()]).0,
            Value::Address(address) => word[12..].copy_from_slice(&address.0),
            Value::Uint(number) => word[16..].copy_from_slice(&number.to_be_bytes()),
            Value::Bytes32(bytes) => word = *bytes,
            Value::Texts(texts) => {
                let words: Vec<[u8; 32]> = texts.iter().map(|t| keccak256(&[t.as_bytes()]).0).collect();
                let parts: Vec<&[u8]> = words.iter().map(|w| w.as_slice()).collect();
                word = keccak256(&parts).0;
            }
        }
        word
    }
}

/// `hashStruct`: of the type's text (`Transfer(address to,uint256 amount)`) and its values in that order.
pub fn hash_struct(type_text: &str, values: &[Value<'_>]) -> Digest {
    let type_hash = keccak256(&[type_text.as_bytes()]);
    let words: Vec<[u8; 32]> = std::iter::once(type_hash.0).chain(values.iter().map(Value::word)).collect();
    let parts: Vec<&[u8]> = words.iter().map(|w| w.as_slice()).collect();
    keccak256(&parts)
}

/// The separator of the domain `{name, version, chainId}`.
pub fn domain_separator(name: &str, version: &str, chain_id: u64) -> Digest {
    hash_struct(
        "EIP712Domain(string name,string version,uint256 chainId)",
        &[Value::Text(name), Value::Text(version), Value::Uint(u128::from(chain_id))],
    )
}

/// The hash that the wallet signs: `keccak256(0x19 0x01 || domainSeparator || hashStruct(message))`.
pub fn signing_hash(domain_separator: &Digest, message: &Digest) -> Digest {
    keccak256(&[&[0x19, 0x01], &domain_separator.0, &message.0])
}

/// The hash of a text message as `personal_sign` signs it. Source: EIP-191, version 0x45.
pub fn personal_message_hash(message: &[u8]) -> Digest {
    let length = message.len().to_string();
    keccak256(&[b"\x19Ethereum Signed Message:\n", length.as_bytes(), message])
}
