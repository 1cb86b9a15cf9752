//! Actions of stamps.

use borsh::{BorshDeserialize, BorshSerialize};
use openmesh_primitives::eip712::Value;
use openmesh_primitives::{Amount, Digest};
use serde::{Deserialize, Serialize};

use crate::descriptor::{ActionDescriptor, FieldDescriptor, FieldError, FieldKind, Fields, ModuleActions};
use crate::error::TransactionError;
use crate::params::Params;

/// An action of stamps. Its discriminants are the first byte of an action's canonical bytes.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub enum StampsAction {
    /// Stamps a hash under a topic.
    #[serde(rename = "stamp")]
    Stamp {
        /// SHA-256 of what is stamped.
        hash: Digest,
        /// Its subject.
        topic: String,
        /// A word about it, such as a CID; may be empty.
        note: String,
    } = 16,
}

const STAMP: ActionDescriptor = ActionDescriptor {
    kind: "stamp",
    tag: 16,
    primary_type: "Stamp",
    title: "Stamp a hash",
    summary: "Writes a hash with a topic into the ledger: the signer knew these bytes at the block's time.",
    details: "An account stamps a hash under a topic once; what others stamp stands beside it. Stamps leave the state some \
              epochs later, and then their deposits come back; they stay provable through their epoch's root. Nobody looks at what was hashed: a stamp does not \
              say that it is true.",
    // A block of nothing but stamps has eight hundred (block_transactions_max), whose keys one block can remove again
    // (pruned_keys_per_block_max): so what comes in never outruns what goes.
    weight: 25,
    deposit: |params: &Params| params.stamps.stamp_deposit,
    fields: &[
        FieldDescriptor {
            name: "hash",
            typed_name: "hash",
            kind: FieldKind::Hash,
            label: "Hash",
            help: "SHA-256 of what is stamped, 64 hexadecimal digits.",
            unit: None,
        },
        FieldDescriptor {
            name: "topic",
            typed_name: "topic",
            kind: FieldKind::Text,
            label: "Topic",
            help: "What it is about: 1 to 64 of a-z, 0-9, -, _ and . such as xnode.drill.",
            unit: None,
        },
        FieldDescriptor {
            name: "note",
            typed_name: "note",
            kind: FieldKind::OptionalText,
            label: "Note",
            help: "A word about it, such as a CID: at most 256 bytes, may be left empty.",
            unit: None,
        },
    ],
    errors: &[
        "stamp_topic_length",
        "stamp_topic_control",
        "stamp_topic_character",
        "stamp_note_length",
        "stamp_note_control",
        "stamp_exists",
        "stamps_full",
    ],
};

impl ModuleActions for StampsAction {
    const DESCRIPTORS: &'static [ActionDescriptor] = &[STAMP];

    fn from_fields(kind: &str, fields: &mut Fields) -> Result<Option<StampsAction>, FieldError> {
        Ok(match kind {
            "stamp" => Some(StampsAction::Stamp {
                hash: fields.hash("hash")?,
                topic: fields.text("topic")?,
                note: fields.optional_text("note")?,
            }),
            _ => None,
        })
    }

    fn descriptor(&self) -> &'static ActionDescriptor {
        match self {
            StampsAction::Stamp { .. } => &STAMP,
        }
    }

    fn values(&self) -> Vec<Value<'_>> {
        match self {
            StampsAction::Stamp { hash, topic, note } => {
                vec![Value::Bytes32(hash.0), Value::Text(topic), Value::Text(note)]
            }
        }
    }

    fn spends(&self) -> Amount {
        Amount::ZERO
    }

    fn check_form(&self) -> Result<(), TransactionError> {
        Ok(self.validate()?)
    }
}
