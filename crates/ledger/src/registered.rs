//! Actions of rule sets that a host hands in: a tag and a text, which only those rule sets understand. Clause U7 of
//! `docs/spec/upgrades.md`.
//!
//! No rule set of this product has any. They are here so that a program which embeds the ledger, such as the one that tries
//! upgrades out, can have an action without a change in here.

use borsh::{BorshDeserialize, BorshSerialize};
use openmesh_primitives::Amount;
use openmesh_primitives::eip712::Value;
use serde::{Deserialize, Serialize};

use crate::descriptor::{ActionDescriptor, FieldDescriptor, FieldKind};

/// Tags from this one on are those of registered actions; no module has one of them.
pub const REGISTERED_TAG_MIN: u8 = 240;

/// An action of a registered rule set. Its canonical bytes are the tag and the text.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegisteredAction {
    /// At least [`REGISTERED_TAG_MIN`].
    pub tag: u8,
    /// Its content, in the rule set's own form.
    pub body: String,
}

/// The declaration that registered actions share: what a wallet signs names the tag.
pub(crate) const REGISTERED: ActionDescriptor = ActionDescriptor {
    kind: "registered",
    tag: REGISTERED_TAG_MIN,
    primary_type: "Registered",
    title: "Action of a registered rule set",
    summary: "An action that only a rule set handed in by the host has.",
    details: "",
    weight: 1,
    deposit: |_| Amount::ZERO,
    fields: &[
        FieldDescriptor {
            name: "tag",
            typed_name: "tag",
            kind: FieldKind::Uint,
            label: "Tag",
            help: "Tag of the action.",
            unit: None,
        },
        FieldDescriptor {
            name: "body",
            typed_name: "body",
            kind: FieldKind::Text,
            label: "Body",
            help: "Content in the rule set's own form.",
            unit: None,
        },
    ],
    errors: &["action_not_in_force", "registered_refused"],
};

impl RegisteredAction {
    /// The values of the declaration's fields.
    pub(crate) fn values(&self) -> Vec<Value<'_>> {
        vec![Value::Uint(u128::from(self.tag)), Value::Text(&self.body)]
    }
}
