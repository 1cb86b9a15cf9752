//! Transactions and why they are refused. Clauses T and A of `docs/spec/transactions.md`.

use borsh::{BorshDeserialize, BorshSerialize};
use openmesh_primitives::{AccountKey, AccountSignature, Address, Amount, Digest, KeyError, canonical, eip712, sha256};
use serde::{Deserialize, Serialize};

use crate::{Attestation, Evidence, SourceError, SourceSpec};

/// `name` of the EIP-712 domain.
const DOMAIN_NAME: &str = "Openmesh";
/// `version` of the EIP-712 domain.
const DOMAIN_VERSION: &str = "1";

/// A transaction. Its canonical bytes are what travels and what is hashed.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Transaction {
    /// Of an account: signed by a wallet, pays a fee.
    Account(AccountTransaction),
    /// Of a validator: its own class, without fee, in reserved room.
    Attestation(Attestation),
    /// Proof that a validator equivocated: of nobody, without fee.
    Evidence(Evidence),
}

/// The class of a transaction, which decides its room in mempool and block.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, BorshSerialize, BorshDeserialize, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// Of an account.
    Account,
    /// Of a validator.
    Attestation,
    /// About a validator.
    Evidence,
}

/// A transaction of an account, signed as EIP-712 typed data.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
pub struct AccountTransaction {
    /// The network's number (EIP-155 style); a signature for one network is worthless in another.
    pub chain_id: u64,
    /// Number of transactions that this account has sent before.
    pub nonce: u64,
    /// Goes to the proposer, in units of 10^-18 OPEN.
    pub fee: Amount,
    /// What is to be done.
    pub action: Action,
    /// `r`, `s`, `v` with `v` 27 or 28: the only form, so that a transaction has one hash.
    pub signature: AccountSignature,
}

/// What an account can do.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Moves OPEN.
    Transfer {
        /// Receiver.
        to: Address,
        /// In units of 10^-18 OPEN.
        amount: Amount,
    },
    /// Registers a data source; validators are assigned to it from the next epoch on.
    RegisterSource(SourceSpec),
}

/// One field of typed data, with what a wallet needs to show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TypedField<'a> {
    /// Name in the message.
    pub name: &'static str,
    /// Solidity type.
    pub kind: &'static str,
    /// Value.
    pub value: eip712::Value<'a>,
}

/// An action as EIP-712 typed data. Hash and wallet's JSON come from the same list, so they cannot differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TypedMessage<'a> {
    /// `primaryType`.
    pub primary_type: &'static str,
    /// Fields in order.
    pub fields: Vec<TypedField<'a>>,
}

/// Why a transaction is refused.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize, thiserror::Error)]
#[serde(tag = "code", rename_all = "snake_case")]
pub enum TransactionError {
    /// Not the canonical bytes of a transaction.
    #[error("the transaction cannot be decoded: {reason}")]
    Encoding {
        /// What the decoder says.
        reason: String,
    },
    /// Too many bytes.
    #[error("the transaction is {bytes} bytes, {bytes_max} are allowed")]
    Size {
        /// As it is.
        bytes: u64,
        /// As allowed.
        bytes_max: u64,
    },
    /// For another network.
    #[error("the transaction is for chain {got}, this is chain {expected}")]
    Chain {
        /// This network.
        expected: u64,
        /// In the transaction.
        got: u64,
    },
    /// The signature is malformed or not of this key and these fields.
    #[error("the signature does not verify; v must be 27 or 28 and s the low one (EIP-2)")]
    Signature,
    /// The nonce was used already.
    #[error("nonce {got} was used already, the account's next nonce is {expected}")]
    NonceLow {
        /// Next one.
        expected: u64,
        /// In the transaction.
        got: u64,
    },
    /// Transactions in between are missing.
    #[error("nonce {got} is too high, the account's next nonce is {expected}")]
    NonceGap {
        /// Next one.
        expected: u64,
        /// In the transaction.
        got: u64,
    },
    /// Fee below the network's minimum.
    #[error("the fee is {} OPEN, at least {} OPEN is required", got.to_open(), min.to_open())]
    FeeLow {
        /// Least.
        min: Amount,
        /// In the transaction.
        got: Amount,
    },
    /// The recovered sender has no account: a signature over other fields gives a random address.
    #[error("there is no account {account}: either the signature belongs to other fields, or it never received OPEN")]
    UnknownSender {
        /// The recovered address.
        account: Address,
    },
    /// Amount and fee exceed the balance.
    #[error("the account {account} has {} OPEN, the transaction needs {} OPEN", balance.to_open(), needed.to_open())]
    Overdraft {
        /// The sender.
        account: Address,
        /// What it has.
        balance: Amount,
        /// Amount and fee.
        needed: Amount,
    },
    /// The source's description is malformed.
    #[error("the source cannot be registered: {0}", fault)]
    SourceInvalid {
        /// Which field, and why.
        fault: SourceError,
    },
    /// The id is taken.
    #[error("a source {id:?} is registered already")]
    SourceExists {
        /// Of the source.
        id: String,
    },
    /// The register is full.
    #[error("the register of sources is full: {max} are allowed")]
    SourcesFull {
        /// As allowed.
        max: u32,
    },
    /// No such source.
    #[error("there is no source {id:?}")]
    UnknownSource {
        /// As named in the attestation.
        id: String,
    },
    /// The source was registered only in this epoch.
    #[error("the source takes attestations from epoch {from_epoch} on")]
    SourceNotActive {
        /// First epoch.
        from_epoch: u64,
    },
    /// A stream that the source does not have.
    #[error("the source has no stream {stream:?}")]
    UnknownStream {
        /// As named in the attestation.
        stream: String,
    },
    /// Claims not in order, doubled or too many.
    #[error("the claims are malformed: {reason}")]
    Claims {
        /// What is wrong.
        reason: String,
    },
    /// The first attestation of a window must carry the current epoch or the one before.
    #[error("epoch {got} is neither the current epoch {current} nor the one before")]
    WrongEpoch {
        /// Of the block.
        current: u64,
        /// In the attestation.
        got: u64,
    },
    /// The first attestation of this window pinned another epoch.
    #[error("epoch {got}: the window's first attestation pinned epoch {pinned}; sign again with that one")]
    PinnedEpoch {
        /// Of the window.
        pinned: u64,
        /// In the attestation.
        got: u64,
    },
    /// The validator is not among those assigned to the source in the epoch.
    #[error("the validator {validator} is not assigned to the source in epoch {epoch}")]
    NotAssigned {
        /// Who.
        validator: Address,
        /// When.
        epoch: u64,
    },
    /// The validator has attested this window already.
    #[error("the validator {validator} has attested this window already")]
    DuplicateAttestation {
        /// Who.
        validator: Address,
    },
    /// The window takes no more attestations.
    #[error("the window was closed at height {height}")]
    WindowClosed {
        /// When.
        height: u64,
    },
    /// A window of a chain with a number that no block has.
    #[error("no block has such a number: at most {max}")]
    WindowNumber {
        /// As allowed.
        max: u64,
    },
    /// A window that has not ended yet.
    #[error("the window ends at {end_ms} ms, too far after {time_ms} ms, the block's time")]
    WindowAhead {
        /// End of the window, milliseconds since 1970.
        end_ms: u64,
        /// The block's time, milliseconds since 1970.
        time_ms: i64,
    },
    /// The validator opened so many windows that nobody has closed.
    #[error("the validator has opened {max} windows that are not closed yet")]
    OpenWindows {
        /// As allowed.
        max: u32,
    },
    /// Evidence whose two messages name the same block, or are not in order.
    #[error("the two messages do not conflict, or do not stand in ascending order of block")]
    NoConflict,
    /// Evidence about a block that is not decided, or too old.
    #[error("evidence about height {height}: heights {from} to {to} are taken now")]
    EvidenceHeight {
        /// Of the messages.
        height: u64,
        /// Oldest that is taken.
        from: u64,
        /// Newest that is taken.
        to: u64,
    },
    /// Evidence about a key that was never a validator's.
    #[error("{validator} is no validator of this network")]
    UnknownValidator {
        /// Whom the evidence names.
        validator: Address,
    },
    /// Evidence about the same validator and height was recorded before.
    #[error("that {validator} equivocated at height {height} is recorded already")]
    DuplicateEvidence {
        /// Whom the evidence names.
        validator: Address,
        /// Of the messages.
        height: u64,
    },
}

impl Class {
    /// Where the class stands in a block: evidence, then attestations, then transactions of accounts.
    pub(crate) const fn rank(self) -> u8 {
        match self {
            Class::Evidence => 0,
            Class::Attestation => 1,
            Class::Account => 2,
        }
    }

    /// `account`, `attestation` or `evidence`, as in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Class::Account => "account",
            Class::Attestation => "attestation",
            Class::Evidence => "evidence",
        }
    }
}

impl Transaction {
    /// Canonical bytes.
    pub fn encode(&self) -> Vec<u8> {
        canonical::encode(self)
    }

    /// SHA-256 of the canonical bytes.
    pub fn hash(&self) -> Digest {
        sha256(&[&self.encode()])
    }

    /// Its class.
    pub const fn class(&self) -> Class {
        match self {
            Transaction::Account(_) => Class::Account,
            Transaction::Attestation(_) => Class::Attestation,
            Transaction::Evidence(_) => Class::Evidence,
        }
    }
}

impl AccountTransaction {
    /// Puts a wallet's signature to an action. Some wallets return `v` as 0 or 1: it becomes 27 or 28.
    pub fn with_signature(
        chain_id: u64,
        nonce: u64,
        fee: Amount,
        action: Action,
        mut signature: AccountSignature,
    ) -> AccountTransaction {
        if signature.0[64] < 2 {
            signature.0[64] += 27;
        }
        AccountTransaction { chain_id, nonce, fee, action, signature }
    }

    /// Signs an action with a key that is at hand.
    pub fn sign(
        key: &AccountKey,
        chain_id: u64,
        nonce: u64,
        fee: Amount,
        action: Action,
    ) -> Result<AccountTransaction, KeyError> {
        let signature = key.sign_hash(&action.signing_hash(chain_id, nonce, fee))?;
        Ok(AccountTransaction { chain_id, nonce, fee, action, signature })
    }

    /// The hash that the wallet signed.
    pub fn signing_hash(&self) -> Digest {
        self.action.signing_hash(self.chain_id, self.nonce, self.fee)
    }

    /// The address whose key signed; a signature over other fields gives another, random address.
    pub fn sender(&self) -> Result<Address, KeyError> {
        if !matches!(self.signature.0[64], 27 | 28) {
            return Err(KeyError::Signature);
        }
        self.signature.recover(&self.signing_hash())
    }
}

impl Action {
    /// The hash to sign. Source: EIP-712; domain `{name: "Openmesh", version: "1", chainId}`.
    pub fn signing_hash(&self, chain_id: u64, nonce: u64, fee: Amount) -> Digest {
        let domain = eip712::domain_separator(DOMAIN_NAME, DOMAIN_VERSION, chain_id);
        eip712::signing_hash(&domain, &self.typed_message(nonce, fee).hash())
    }

    /// The action as typed data; a gateway makes the JSON for `eth_signTypedData_v4` from it.
    pub fn typed_message(&self, nonce: u64, fee: Amount) -> TypedMessage<'_> {
        use eip712::Value;
        let field = |name, kind, value| TypedField { name, kind, value };
        let (primary_type, mut fields) = match self {
            Action::Transfer { to, amount } => (
                "Transfer",
                vec![field("to", "address", Value::Address(*to)), field("amount", "uint256", Value::Uint(amount.0))],
            ),
            Action::RegisterSource(spec) => (
                "RegisterSource",
                vec![
                    field("id", "string", Value::Text(&spec.id)),
                    field("exchange", "string", Value::Text(&spec.exchange)),
                    field("kind", "string", Value::Text(spec.kind.as_str())),
                    field("symbols", "string[]", Value::Texts(&spec.symbols)),
                    field("feeds", "string[]", Value::Texts(&spec.feeds)),
                    field("windowMs", "uint256", Value::Uint(u128::from(spec.window_ms))),
                    field("origin", "string", Value::Text(spec.origin.as_str())),
                ],
            ),
        };
        fields.push(field("nonce", "uint256", Value::Uint(u128::from(nonce))));
        fields.push(field("fee", "uint256", Value::Uint(fee.0)));
        TypedMessage { primary_type, fields }
    }
}

impl TypedMessage<'_> {
    /// `encodeType` of EIP-712: `Transfer(address to,uint256 amount,uint256 nonce,uint256 fee)`.
    pub fn type_text(&self) -> String {
        let fields: Vec<String> = self.fields.iter().map(|f| format!("{} {}", f.kind, f.name)).collect();
        format!("{}({})", self.primary_type, fields.join(","))
    }

    /// `hashStruct` of EIP-712.
    pub fn hash(&self) -> Digest {
        let values: Vec<eip712::Value<'_>> = self.fields.iter().map(|f| f.value.clone()).collect();
        eip712::hash_struct(&self.type_text(), &values)
    }

    /// `name` and `version` of the domain; `chainId` is the network's.
    pub const fn domain() -> (&'static str, &'static str) {
        (DOMAIN_NAME, DOMAIN_VERSION)
    }
}

impl TransactionError {
    /// Stable name of the error, one for each variant; the same as `code` in JSON.
    pub const fn code(&self) -> &'static str {
        match self {
            TransactionError::Encoding { .. } => "encoding",
            TransactionError::Size { .. } => "size",
            TransactionError::Chain { .. } => "chain",
            TransactionError::Signature => "signature",
            TransactionError::NonceLow { .. } => "nonce_low",
            TransactionError::NonceGap { .. } => "nonce_gap",
            TransactionError::FeeLow { .. } => "fee_low",
            TransactionError::UnknownSender { .. } => "unknown_sender",
            TransactionError::Overdraft { .. } => "overdraft",
            TransactionError::SourceInvalid { .. } => "source_invalid",
            TransactionError::SourceExists { .. } => "source_exists",
            TransactionError::SourcesFull { .. } => "sources_full",
            TransactionError::UnknownSource { .. } => "unknown_source",
            TransactionError::SourceNotActive { .. } => "source_not_active",
            TransactionError::UnknownStream { .. } => "unknown_stream",
            TransactionError::Claims { .. } => "claims",
            TransactionError::WrongEpoch { .. } => "wrong_epoch",
            TransactionError::PinnedEpoch { .. } => "pinned_epoch",
            TransactionError::NotAssigned { .. } => "not_assigned",
            TransactionError::DuplicateAttestation { .. } => "duplicate_attestation",
            TransactionError::WindowClosed { .. } => "window_closed",
            TransactionError::WindowNumber { .. } => "window_number",
            TransactionError::WindowAhead { .. } => "window_ahead",
            TransactionError::OpenWindows { .. } => "open_windows",
            TransactionError::NoConflict => "no_conflict",
            TransactionError::EvidenceHeight { .. } => "evidence_height",
            TransactionError::UnknownValidator { .. } => "unknown_validator",
            TransactionError::DuplicateEvidence { .. } => "duplicate_evidence",
        }
    }
}
