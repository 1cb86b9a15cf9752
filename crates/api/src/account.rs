//! Accounts, sending transactions, signing in.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::ApiError;

/// An account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AccountInfo {
    /// Address.
    pub address: String,
    /// Balance in 10^-18 OPEN.
    pub balance: String,
    /// Nonce that its next transaction must carry.
    pub nonce: u64,
}

/// An action of an account: its kind, and its fields beside it, as `GET /v1/actions` declares them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ActionRequest {
    /// Kind, such as `transfer`.
    pub kind: String,
    /// Fields by name.
    #[serde(flatten)]
    pub fields: BTreeMap<String, FieldValue>,
}

/// Value of a field of an action.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum FieldValue {
    /// Whole number.
    Number(u64),
    /// Text; also a number or an amount as text.
    Text(String),
    /// List of texts.
    Texts(Vec<String>),
}

/// Declaration of an action.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ActionInfo {
    /// Kind, such as `register_source`.
    pub kind: String,
    /// Title of its form.
    pub title: String,
    /// One sentence about what it does.
    pub summary: String,
    /// Rules beyond the summary.
    pub details: String,
    /// Type of its typed data (EIP-712), as `encodeType` has it.
    pub typed_data: String,
    /// Room that it takes in a block, in transfers.
    pub weight: u32,
    /// Base fee in the next block, in 10^-18 OPEN: its highest fee must be at least that.
    pub fee_min: String,
    /// Deposit for the record that it stores, in 10^-18 OPEN; it comes back when the record goes.
    pub deposit: String,
    /// Fields, in the order of a form.
    pub fields: Vec<ActionField>,
    /// Codes of the refusals that only its own rules give.
    pub errors: Vec<String>,
}

/// Declaration of a field of an action.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ActionField {
    /// Name in requests.
    pub name: String,
    /// Type.
    #[serde(rename = "type")]
    pub kind: FieldType,
    /// Label in a form.
    pub label: String,
    /// One sentence about what is expected.
    pub help: String,
    /// Unit of a number or an amount.
    pub unit: Option<String>,
    /// Texts to choose from; empty unless it is a choice.
    pub choices: Vec<String>,
}

/// Type of a field of an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum FieldType {
    /// Address: 0x and 40 hexadecimal digits.
    Address,
    /// Whole number of 10^-18 OPEN, as text.
    Amount,
    /// Text.
    Text,
    /// Text that may be empty or left out.
    OptionalText,
    /// List of texts.
    Texts,
    /// SHA-256: 64 hexadecimal digits.
    Hash,
    /// Whole number.
    Uint,
    /// One of the choices.
    Choice,
}

/// Asks for the typed data (EIP-712) of an action, for `eth_signTypedData_v4`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TypedDataRequest {
    /// Address that will sign.
    pub from: String,
    /// Action.
    pub action: ActionRequest,
    /// Most that base fee and tip take together, in 10^-18 OPEN; an estimate where absent.
    #[serde(default)]
    pub max_fee: Option<String>,
    /// Most that the proposer gets of it, in 10^-18 OPEN; an estimate where absent.
    #[serde(default)]
    pub tip: Option<String>,
}

/// Typed data with the nonce and the fees it was made for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TypedDataResponse {
    /// Nonce.
    pub nonce: u64,
    /// Most that base fee and tip take together, in 10^-18 OPEN.
    pub max_fee: String,
    /// Most that the proposer gets of it, in 10^-18 OPEN.
    pub tip: String,
    /// The argument of `eth_signTypedData_v4`.
    #[schema(value_type = Object)]
    pub typed_data: serde_json::Value,
}

/// A transaction to send: either its canonical bytes, or its parts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(untagged)]
pub enum TransactionRequest {
    /// Canonical bytes.
    Bytes {
        /// Hexadecimal.
        bytes: String,
    },
    /// Parts, with the wallet's signature.
    Parts {
        /// Action.
        action: ActionRequest,
        /// Nonce.
        nonce: u64,
        /// Most that base fee and tip take together, in 10^-18 OPEN.
        max_fee: String,
        /// Most that the proposer gets of it, in 10^-18 OPEN.
        tip: String,
        /// 65 bytes, hexadecimal.
        signature: String,
    },
}

/// By hand, because an untagged enum answers every mistake with "did not match any variant": with `bytes` it is the one
/// form, without it the other, and the mistake is named.
impl<'de> Deserialize<'de> for TransactionRequest {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<TransactionRequest, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Bytes {
            bytes: String,
        }
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Parts {
            action: ActionRequest,
            nonce: u64,
            max_fee: String,
            tip: String,
            signature: String,
        }
        let value = serde_json::Value::deserialize(deserializer)?;
        if value.get("bytes").is_some() {
            let Bytes { bytes } = serde_json::from_value(value).map_err(serde::de::Error::custom)?;
            return Ok(TransactionRequest::Bytes { bytes });
        }
        let Parts { action, nonce, max_fee, tip, signature } =
            serde_json::from_value(value).map_err(serde::de::Error::custom)?;
        Ok(TransactionRequest::Parts { action, nonce, max_fee, tip, signature })
    }
}

/// A transaction was taken into the mempool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TransactionAccepted {
    /// SHA-256 of its canonical bytes.
    pub hash: String,
}

/// The outcomes of a batch of transactions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BatchOutcomes {
    /// One for each transaction, in their order.
    pub outcomes: Vec<BatchOutcome>,
}

/// The outcome of one transaction of a batch: either member, and never both.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BatchOutcome {
    /// SHA-256 of its canonical bytes, where it was taken into the mempool.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hash: Option<String>,
    /// The refusal, where it was not: the same as for a transaction that comes alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<ApiError>,
}

/// A nonce for signing in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NonceResponse {
    /// To be put into the message (EIP-4361).
    pub nonce: String,
    /// Time until which it can be used, once.
    pub expires: String,
}

/// A signed message of EIP-4361.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SignInRequest {
    /// The message's text as signed.
    pub message: String,
    /// 65 bytes, hexadecimal.
    pub signature: String,
}

/// A session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SessionInfo {
    /// Signed-in address.
    pub address: String,
    /// Time of its end.
    pub expires: String,
    /// Bearer token, only in the answer to signing in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<TransactionRequest, String> {
        serde_json::from_str(text).map_err(|e| e.to_string())
    }

    #[test]
    fn a_mistake_in_a_transaction_is_named() {
        assert_eq!(read(r#"{"bytes":"00ff"}"#), Ok(TransactionRequest::Bytes { bytes: "00ff".into() }));
        let parts = r#"{"action":{"kind":"transfer","amount":"1","to":"0x1"},"nonce":0,"max_fee":"2","tip":"1","signature":"0x2"}"#;
        let read_back = read(parts).unwrap();
        assert_eq!(serde_json::to_string(&read_back).unwrap(), parts);
        assert!(
            read(r#"{"action":{"kind":"transfer","to":"0x1","amount":"1"},"nonce":0,"max_fee":"2","tip":"1"}"#)
                .is_err_and(|e| e.contains("signature"))
        );
        assert!(read(r#"{"bytes":"00","memo":"x"}"#).is_err_and(|e| e.contains("memo")));
        assert!(read("[]").is_err_and(|e| e.contains("sequence") || e.contains("expected")));
    }
}
