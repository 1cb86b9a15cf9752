//! Descriptors of actions: the one declaration from which wallets, the API, the command line, forms and documentation are
//! made.
//!
//! A module declares each of its actions once, as an [`ActionDescriptor`], beside the enum that carries the values. An
//! action is made from named fields ([`Fields`]) and gives its values in the order of the descriptor's fields, so that
//! the hash that a wallet signs, the JSON it shows and the form in which a person fills it in cannot differ.

use std::collections::BTreeMap;

use openmesh_primitives::eip712::Value;
use openmesh_primitives::{Address, Amount, Digest};
use serde::{Deserialize, Serialize};

use crate::error::TransactionError;
use crate::params::Params;

/// Fields at the end of every action's typed data, as EIP-712 has them.
const COMMON_FIELDS: [&str; 3] = ["uint256 nonce", "uint256 maxFee", "uint256 tip"];

/// The declaration of an action.
#[derive(Debug)]
pub struct ActionDescriptor {
    /// Name of the action in the API and on the command line: `register_source`.
    pub kind: &'static str,
    /// First byte of the action's canonical bytes; never used again for another action.
    pub tag: u8,
    /// `primaryType` of the typed data (EIP-712): `RegisterSource`.
    pub primary_type: &'static str,
    /// Title of its form.
    pub title: &'static str,
    /// One sentence about what it does.
    pub summary: &'static str,
    /// Rules beyond the summary, for the documentation.
    pub details: &'static str,
    /// Work and room that it takes in a block, in transfers ([`crate::BlocksParams::block_transactions_max`]); the base fee is paid
    /// for each unit of it.
    pub weight: u32,
    /// Deposit that it leaves for the record it stores, under these parameters; zero where it stores none that stays.
    pub deposit: fn(&Params) -> Amount,
    /// Its fields, in the order of the typed data. `nonce`, `maxFee` and `tip` follow them in every action.
    pub fields: &'static [FieldDescriptor],
    /// Codes of the refusals that only its own rules give.
    pub errors: &'static [&'static str],
}

/// The declaration of a field of an action.
#[derive(Debug)]
pub struct FieldDescriptor {
    /// Name in the API and on the command line: `window_ms`.
    pub name: &'static str,
    /// Name in the typed data: `windowMs`.
    pub typed_name: &'static str,
    /// Its type.
    pub kind: FieldKind,
    /// Label in a form.
    pub label: &'static str,
    /// One sentence about what is expected.
    pub help: &'static str,
    /// Unit of a number.
    pub unit: Option<&'static str>,
}

/// The type of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldKind {
    /// Address of an account: `0x` and 40 hexadecimal digits.
    Address,
    /// Amount, a whole number of 10^-18 OPEN.
    Amount,
    /// Text.
    Text,
    /// Text that may be empty or left out.
    OptionalText,
    /// List of texts.
    Texts,
    /// SHA-256: 64 hexadecimal digits, `0x` before them is allowed.
    Hash,
    /// Whole number below 2^64.
    Uint,
    /// One of these texts.
    Choice(&'static [&'static str]),
}

/// The value of a field as it comes from JSON or from a command line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum FieldInput {
    /// Whole number.
    Number(u64),
    /// Text; also numbers and amounts as text.
    Text(String),
    /// List of texts.
    Texts(Vec<String>),
}

/// A refusal of an action's fields.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FieldError {
    /// No module has such an action.
    #[error("there is no action {0:?}")]
    Kind(String),
    /// A field is missing.
    #[error("the field {0} is missing")]
    Missing(&'static str),
    /// A field that the action does not have.
    #[error("the action has no field {0:?}")]
    Unknown(String),
    /// A text that is no hash.
    #[error("{field}: a SHA-256 has 64 hexadecimal digits, this is a text of {characters} characters that is none")]
    Hash {
        /// Name of the field.
        field: &'static str,
        /// Of the text.
        characters: usize,
    },
    /// A value of another type or form.
    #[error("{field}: {expected} is expected")]
    Value {
        /// Name of the field.
        field: &'static str,
        /// Description of the form.
        expected: String,
    },
}

/// Fields that an action is made from. Every read takes the field out, so that what is left over is not the action's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fields(BTreeMap<String, FieldInput>);

/// The part of an action enum that a module provides.
pub trait ModuleActions: Sized {
    /// One descriptor for each variant.
    const DESCRIPTORS: &'static [ActionDescriptor];

    /// Makes an action; `None` if the kind is not of this module. Fails if a field is missing or malformed.
    fn from_fields(kind: &str, fields: &mut Fields) -> Result<Option<Self>, FieldError>;

    /// The descriptor of this action.
    fn descriptor(&self) -> &'static ActionDescriptor;

    /// The values of the descriptor's fields, in their order.
    fn values(&self) -> Vec<Value<'_>>;

    /// Amount that the sender spends beside fee and deposit.
    fn spends(&self) -> Amount;

    /// Checks what depends on no state, before an action waits in the pool for those of its sender before it. A module whose actions
    /// have nothing to check keeps this.
    fn check_form(&self) -> Result<(), TransactionError> {
        Ok(())
    }
}

impl FieldKind {
    /// Type in the typed data (EIP-712).
    pub const fn solidity(self) -> &'static str {
        match self {
            FieldKind::Address => "address",
            FieldKind::Amount | FieldKind::Uint => "uint256",
            FieldKind::Text | FieldKind::OptionalText | FieldKind::Choice(_) => "string",
            FieldKind::Hash => "bytes32",
            FieldKind::Texts => "string[]",
        }
    }

    /// `address`, `amount`, `text`, `optional_text`, `texts`, `hash`, `uint` or `choice`, as in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            FieldKind::Address => "address",
            FieldKind::Amount => "amount",
            FieldKind::Text => "text",
            FieldKind::OptionalText => "optional_text",
            FieldKind::Texts => "texts",
            FieldKind::Hash => "hash",
            FieldKind::Uint => "uint",
            FieldKind::Choice(_) => "choice",
        }
    }
}

impl ActionDescriptor {
    /// `encodeType` of EIP-712: `Transfer(address to,uint256 amount,uint256 nonce,uint256 maxFee,uint256 tip)`.
    pub fn type_text(&self) -> String {
        let own = self.fields.iter().map(|f| format!("{} {}", f.kind.solidity(), f.typed_name));
        let fields: Vec<String> = own.chain(COMMON_FIELDS.map(str::to_string)).collect();
        format!("{}({})", self.primary_type, fields.join(","))
    }
}

impl Fields {
    /// Fields by name.
    pub const fn new(fields: BTreeMap<String, FieldInput>) -> Fields {
        Fields(fields)
    }

    fn take(&mut self, field: &'static str) -> Result<FieldInput, FieldError> {
        self.0.remove(field).ok_or(FieldError::Missing(field))
    }

    fn parse<T: std::str::FromStr>(&mut self, field: &'static str, expected: &str) -> Result<T, FieldError> {
        let wrong = || FieldError::Value { field, expected: expected.to_string() };
        match self.take(field)? {
            FieldInput::Number(number) => number.to_string().parse().map_err(|_| wrong()),
            FieldInput::Text(text) => text.parse().map_err(|_| wrong()),
            FieldInput::Texts(_) => Err(wrong()),
        }
    }

    /// Takes an address. Fails if it is missing or none.
    pub fn address(&mut self, field: &'static str) -> Result<Address, FieldError> {
        self.parse(field, "an address, 0x and 40 hexadecimal digits,")
    }

    /// Takes an amount. Fails if it is missing or none.
    pub fn amount(&mut self, field: &'static str) -> Result<Amount, FieldError> {
        self.parse(field, "a whole number of 10^-18 OPEN")
    }

    /// Takes a number. Fails if it is missing or none.
    pub fn uint(&mut self, field: &'static str) -> Result<u64, FieldError> {
        self.parse(field, "a whole number")
    }

    /// Takes a hash. Fails if it is missing or none.
    pub fn hash(&mut self, field: &'static str) -> Result<Digest, FieldError> {
        let text = self.text(field)?;
        text.parse().map_err(|_| FieldError::Hash { field, characters: text.chars().count() })
    }

    /// Takes a text that may have been left out, which is the empty one. Fails if it is a list.
    pub fn optional_text(&mut self, field: &'static str) -> Result<String, FieldError> {
        if self.0.contains_key(field) { self.text(field) } else { Ok(String::new()) }
    }

    /// Takes a text. Fails if it is missing or a list.
    pub fn text(&mut self, field: &'static str) -> Result<String, FieldError> {
        match self.take(field)? {
            FieldInput::Text(text) => Ok(text),
            FieldInput::Number(number) => Ok(number.to_string()),
            FieldInput::Texts(_) => Err(FieldError::Value { field, expected: "a text".to_string() }),
        }
    }

    /// Takes a list of texts; a text is split at its commas, the empty one into none. Fails if it is missing or a number.
    pub fn texts(&mut self, field: &'static str) -> Result<Vec<String>, FieldError> {
        match self.take(field)? {
            FieldInput::Texts(texts) => Ok(texts),
            FieldInput::Text(text) if text.is_empty() => Ok(Vec::new()),
            FieldInput::Text(text) => Ok(text.split(',').map(|part| part.trim().to_string()).collect()),
            FieldInput::Number(_) => Err(FieldError::Value { field, expected: "a list of texts".to_string() }),
        }
    }

    /// Takes one of several texts. Fails if it is missing or none of them.
    pub fn choice<T: Copy>(&mut self, field: &'static str, choices: &[(&'static str, T)]) -> Result<T, FieldError> {
        let text = self.text(field)?;
        choices.iter().find(|(name, _)| *name == text).map(|(_, value)| *value).ok_or_else(|| {
            let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
            FieldError::Value { field, expected: format!("one of {}", names.join(", ")) }
        })
    }

    /// Ends the reading. Fails if a field is left over.
    pub fn end(self) -> Result<(), FieldError> {
        self.0.into_keys().next().map_or(Ok(()), |name| Err(FieldError::Unknown(name.chars().take(64).collect())))
    }
}
