//! Actions of accounts.

use borsh::{BorshDeserialize, BorshSerialize};
use openmesh_primitives::eip712::Value;
use openmesh_primitives::{Address, Amount};
use serde::{Deserialize, Serialize};

use crate::descriptor::{ActionDescriptor, FieldDescriptor, FieldError, FieldKind, Fields, ModuleActions};

/// An action of accounts. Its discriminants are the first byte of an action's canonical bytes.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub enum AccountsAction {
    /// Moves OPEN.
    Transfer {
        /// Receiver.
        to: Address,
        /// In units of 10^-18 OPEN.
        amount: Amount,
    } = 0,
}

const TRANSFER: ActionDescriptor = ActionDescriptor {
    kind: "transfer",
    tag: 0,
    primary_type: "Transfer",
    title: "Send OPEN",
    summary: "Moves OPEN from the sender's account to another.",
    details: "The receiver has the amount at once, even for a later transaction of the same block. An address that never \
              received anything becomes an account with its first transfer.",
    weight: 1,
    deposit: |_| Amount::ZERO,
    fields: &[
        FieldDescriptor {
            name: "to",
            typed_name: "to",
            kind: FieldKind::Address,
            label: "To",
            help: "Address of the receiving account, 0x and 40 hexadecimal digits.",
            unit: None,
        },
        FieldDescriptor {
            name: "amount",
            typed_name: "amount",
            kind: FieldKind::Amount,
            label: "Amount",
            help: "Amount to send.",
            unit: Some("10^-18 OPEN"),
        },
    ],
    errors: &["overdraft"],
};

impl ModuleActions for AccountsAction {
    const DESCRIPTORS: &'static [ActionDescriptor] = &[TRANSFER];

    fn from_fields(kind: &str, fields: &mut Fields) -> Result<Option<AccountsAction>, FieldError> {
        Ok(match kind {
            "transfer" => {
                Some(AccountsAction::Transfer { to: fields.address("to")?, amount: fields.amount("amount")? })
            }
            _ => None,
        })
    }

    fn descriptor(&self) -> &'static ActionDescriptor {
        match self {
            AccountsAction::Transfer { .. } => &TRANSFER,
        }
    }

    fn values(&self) -> Vec<Value<'_>> {
        match self {
            AccountsAction::Transfer { to, amount } => vec![Value::Address(*to), Value::Uint(amount.0)],
        }
    }

    fn spends(&self) -> Amount {
        match self {
            AccountsAction::Transfer { amount, .. } => *amount,
        }
    }
}
