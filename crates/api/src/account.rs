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

/// What an account wants done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
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
        /// `market` or `chain`.
        source_kind: String,
        /// Instruments.
        symbols: Vec<String>,
        /// Feeds.
        feeds: Vec<String>,
        /// Length of a window in milliseconds.
        window_ms: u64,
        /// `live`, `simulated` or `replay`.
        origin: String,
    },
}

/// Asks for the typed data (EIP-712) of an action, for `eth_signTypedData_v4`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TypedDataRequest {
    /// Who will sign.
    pub from: String,
    /// What.
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum TransactionRequest {
    /// Canonical bytes.
    Bytes {
        /// Hexadecimal.
        bytes: String,
    },
    /// Parts, with the wallet's signature.
    Parts {
        /// What.
        action: ActionRequest,
        /// Nonce.
        nonce: u64,
        /// Fee in 10^-18 OPEN.
        fee: String,
        /// 65 bytes, hexadecimal.
        signature: String,
    },
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
    /// Until when it can be used, once.
    pub expires: String,
}

/// A signed message of EIP-4361.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
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
    /// Until when.
    pub expires: String,
    /// Bearer token, only in the answer to signing in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
}
