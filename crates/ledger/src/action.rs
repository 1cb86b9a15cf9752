//! Actions of accounts, put together from the modules, and their typed data (EIP-712).

use std::io::{Error, ErrorKind, Read, Write};

use borsh::de::EnumExt;
use borsh::{BorshDeserialize, BorshSerialize};
use openmesh_primitives::{Amount, Digest, eip712};
use serde::{Deserialize, Serialize};

use crate::descriptor::{ActionDescriptor, FieldError, Fields, ModuleActions};
use crate::error::TransactionError;
use crate::modules::accounts::AccountsAction;
use crate::modules::fees::FeeOffer;
use crate::modules::sources::SourcesAction;
use crate::modules::stamps::StampsAction;
use crate::registered::{REGISTERED, REGISTERED_TAG_MIN, RegisteredAction};

/// `name` of the EIP-712 domain.
const DOMAIN_NAME: &str = "Openmesh";
/// `version` of the EIP-712 domain.
const DOMAIN_VERSION: &str = "1";

/// Declares [`Action`] from one line for each module: the variant, and the module's own enum of actions. The bytes of an
/// action are those of the module's enum, whose discriminants are the tags of the descriptors: a module that is added
/// changes no bytes of another.
macro_rules! actions {
    ($($(#[$doc:meta])* $variant:ident($part:ident),)*) => {
        /// An action of an account.
        #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(untagged)]
        pub enum Action {
            $($(#[$doc])* $variant($part),)*
            /// Of a rule set that the host has registered.
            Registered(RegisteredAction),
        }

        $(impl From<$part> for Action {
            fn from(action: $part) -> Action {
                Action::$variant(action)
            }
        })*

        impl Action {
            /// The descriptors of all actions, in the order of the modules.
            pub fn descriptors() -> Vec<&'static ActionDescriptor> {
                [$($part::DESCRIPTORS,)*].into_iter().flatten().collect()
            }

            /// Makes an action from its kind and fields. Fails if there is no such kind, or if a field is missing,
            /// malformed or not of the action. The rules of the module are asked later, when the action is checked.
            pub fn from_fields(kind: &str, mut fields: Fields) -> Result<Action, FieldError> {
                $(if let Some(action) = $part::from_fields(kind, &mut fields)? {
                    fields.end()?;
                    return Ok(Action::$variant(action));
                })*
                Err(FieldError::Kind(kind.chars().take(64).collect()))
            }

            /// Its descriptor.
            pub fn descriptor(&self) -> &'static ActionDescriptor {
                match self {
                    $(Action::$variant(action) => action.descriptor(),)*
                    Action::Registered(_) => &REGISTERED,
                }
            }

            /// Amount that the sender spends beside fee and deposit.
            pub fn spends(&self) -> Amount {
                match self {
                    $(Action::$variant(action) => action.spends(),)*
                    Action::Registered(_) => Amount::ZERO,
                }
            }

            /// Checks what depends on no state. Of a registered action its rule set alone knows it.
            pub(crate) fn check_form(&self) -> Result<(), TransactionError> {
                match self {
                    $(Action::$variant(action) => action.check_form(),)*
                    Action::Registered(_) => Ok(()),
                }
            }

            fn values(&self) -> Vec<eip712::Value<'_>> {
                match self {
                    $(Action::$variant(action) => action.values(),)*
                    Action::Registered(action) => action.values(),
                }
            }
        }

        impl BorshSerialize for Action {
            fn serialize<W: Write>(&self, writer: &mut W) -> std::io::Result<()> {
                match self {
                    $(Action::$variant(action) => BorshSerialize::serialize(action, writer),)*
                    Action::Registered(action) => BorshSerialize::serialize(action, writer),
                }
            }
        }

        impl BorshDeserialize for Action {
            fn deserialize_reader<R: Read>(reader: &mut R) -> std::io::Result<Action> {
                let tag = u8::deserialize_reader(reader)?;
                $(if $part::DESCRIPTORS.iter().any(|descriptor| descriptor.tag == tag) {
                    return $part::deserialize_variant(reader, tag).map(Action::$variant);
                })*
                if tag >= REGISTERED_TAG_MIN {
                    let body = String::deserialize_reader(reader)?;
                    return Ok(Action::Registered(RegisteredAction { tag, body }));
                }
                Err(Error::new(ErrorKind::InvalidData, format!("there is no action with the tag {tag}")))
            }
        }
    };
}

actions! {
    /// Of accounts.
    Accounts(AccountsAction),
    /// Of the register of sources.
    Sources(SourcesAction),
    /// Of stamps.
    Stamps(StampsAction),
}

impl From<RegisteredAction> for Action {
    fn from(action: RegisteredAction) -> Action {
        Action::Registered(action)
    }
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

impl Action {
    /// First byte of its canonical bytes.
    pub fn tag(&self) -> u8 {
        match self {
            Action::Registered(action) => action.tag,
            other => other.descriptor().tag,
        }
    }

    /// The hash to sign. Source: EIP-712; domain `{name: "Openmesh", version: "1", chainId}`.
    pub fn signing_hash(&self, chain_id: u64, nonce: u64, offer: impl Into<FeeOffer>) -> Digest {
        let domain = eip712::domain_separator(DOMAIN_NAME, DOMAIN_VERSION, chain_id);
        eip712::signing_hash(&domain, &self.typed_message(nonce, offer).hash())
    }

    /// The action as typed data; a gateway makes the JSON for `eth_signTypedData_v4` from it.
    pub fn typed_message(&self, nonce: u64, offer: impl Into<FeeOffer>) -> TypedMessage<'_> {
        let FeeOffer { max_fee, tip } = offer.into();
        let descriptor = self.descriptor();
        let own = descriptor.fields.iter().zip(self.values());
        let mut fields: Vec<TypedField<'_>> = own
            .map(|(field, value)| TypedField { name: field.typed_name, kind: field.kind.solidity(), value })
            .collect();
        let number = |name, value| TypedField { name, kind: "uint256", value: eip712::Value::Uint(value) };
        fields.extend([number("nonce", u128::from(nonce)), number("maxFee", max_fee.0), number("tip", tip.0)]);
        TypedMessage { primary_type: descriptor.primary_type, fields }
    }
}

impl TypedMessage<'_> {
    /// `encodeType` of EIP-712: `Transfer(address to,uint256 amount,uint256 nonce,uint256 maxFee,uint256 tip)`.
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
