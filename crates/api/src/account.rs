//! Accounts, sending transactions, signing in.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

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

/// Action of an account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum ActionRequest {
    /// Send OPEN.
    Transfer {
        /// Receiver.
        to: String,
        /// In 10^-18 OPEN.
        amount: String,
    },
    /// Register a source of data.
    RegisterSource {
        /// Id, lower case.
        id: String,
        /// Exchange or chain.
        exchange: String,
        /// Kind of data.
        source_kind: crate::SourceKind,
        /// Instruments.
        symbols: Vec<String>,
        /// Feeds.
        feeds: Vec<String>,
        /// Length of a window in milliseconds.
        window_ms: u64,
        /// Provenance of its data.
        origin: crate::Origin,
    },
}

/// Asks for the typed data (EIP-712) of an action, for `eth_signTypedData_v4`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TypedDataRequest {
    /// Address that will sign.
    pub from: String,
    /// Action.
    pub action: ActionRequest,
    /// Fee in 10^-18 OPEN; the network's minimum where absent.
    #[serde(default)]
    pub fee: Option<String>,
}

/// Typed data with the nonce and fee it was made for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TypedDataResponse {
    /// Nonce.
    pub nonce: u64,
    /// Fee in 10^-18 OPEN.
    pub fee: String,
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
        /// Fee in 10^-18 OPEN.
        fee: String,
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
            fee: String,
            signature: String,
        }
        let value = serde_json::Value::deserialize(deserializer)?;
        if value.get("bytes").is_some() {
            let Bytes { bytes } = serde_json::from_value(value).map_err(serde::de::Error::custom)?;
            return Ok(TransactionRequest::Bytes { bytes });
        }
        let Parts { action, nonce, fee, signature } =
            serde_json::from_value(value).map_err(serde::de::Error::custom)?;
        Ok(TransactionRequest::Parts { action, nonce, fee, signature })
    }
}

/// A transaction was taken into the mempool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TransactionAccepted {
    /// SHA-256 of its canonical bytes.
    pub hash: String,
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
        let parts = r#"{"action":{"kind":"transfer","to":"0x1","amount":"1"},"nonce":0,"fee":"1","signature":"0x2"}"#;
        let read_back = read(parts).unwrap();
        assert_eq!(serde_json::to_string(&read_back).unwrap(), parts);
        assert!(
            read(r#"{"action":{"kind":"transfer","to":"0x1","amount":"1"},"nonce":0,"fee":"1"}"#)
                .is_err_and(|e| e.contains("signature"))
        );
        assert!(read(r#"{"bytes":"00","memo":"x"}"#).is_err_and(|e| e.contains("memo")));
        assert!(read("[]").is_err_and(|e| e.contains("sequence") || e.contains("expected")));
    }
}
