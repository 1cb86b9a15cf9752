//! Actions on the register of sources.

use borsh::{BorshDeserialize, BorshSerialize};
use openmesh_primitives::Amount;
use openmesh_primitives::eip712::Value;
use serde::{Deserialize, Serialize};

use super::spec::{Origin, SourceKind, SourceSpec};
use crate::descriptor::{ActionDescriptor, FieldDescriptor, FieldError, FieldKind, Fields, ModuleActions};
use crate::error::TransactionError;
use crate::params::Params;

/// An action on the register of sources. Its discriminants are the first byte of an action's canonical bytes.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize, Serialize, Deserialize)]
#[borsh(use_discriminant = true)]
#[repr(u8)]
pub enum SourcesAction {
    /// Registers a data source; validators are assigned to it from the first epoch on whose draw is not known yet.
    #[serde(rename = "register_source")]
    Register(SourceSpec) = 1,
    /// Changes the streams of a source, from the next epoch on.
    #[serde(rename = "update_source")]
    Update {
        /// Of the source.
        id: String,
        /// All symbols from then on.
        symbols: Vec<String>,
        /// All feeds from then on.
        feeds: Vec<String>,
    } = 2,
    /// Retires a source: no window is opened from the next epoch on.
    #[serde(rename = "retire_source")]
    Retire {
        /// Of the source.
        id: String,
    } = 3,
}

const ID: FieldDescriptor = FieldDescriptor {
    name: "id",
    typed_name: "id",
    kind: FieldKind::Text,
    label: "Id",
    help: "Unique name of the source: 1 to 32 of a-z, 0-9, - and _.",
    unit: None,
};

const SYMBOLS: FieldDescriptor = FieldDescriptor {
    name: "symbols",
    typed_name: "symbols",
    kind: FieldKind::Texts,
    label: "Symbols",
    help: "Up to 64 symbols in ascending order: BTC.USDT, BTC.USDT-PERP.",
    unit: None,
};

const FEEDS: FieldDescriptor = FieldDescriptor {
    name: "feeds",
    typed_name: "feeds",
    kind: FieldKind::Texts,
    label: "Feeds",
    help: "1 to 16 feeds in ascending order: book, trades.",
    unit: None,
};

const REGISTER: ActionDescriptor = ActionDescriptor {
    kind: "register_source",
    tag: 1,
    primary_type: "RegisterSource",
    title: "Register a source",
    summary: "Registers a data source, to which validators are assigned from the first epoch on whose draw is not known yet.",
    details: "The id must be free and the register must have a place. A deposit is held, which comes back when the source leaves \
              the register. The rules of the fields are in clause S of transactions.md.",
    weight: 4,
    deposit: |params: &Params| params.sources.source_deposit,
    fields: &[
        ID,
        FieldDescriptor {
            name: "exchange",
            typed_name: "exchange",
            kind: FieldKind::Text,
            label: "Venue or chain",
            help: "Name of the venue or chain: kraken.",
            unit: None,
        },
        FieldDescriptor {
            name: "source_kind",
            typed_name: "kind",
            kind: FieldKind::Choice(&["market", "chain"]),
            label: "Kind",
            help: "A trading venue or a blockchain.",
            unit: None,
        },
        SYMBOLS,
        FEEDS,
        FieldDescriptor {
            name: "window_ms",
            typed_name: "windowMs",
            kind: FieldKind::Uint,
            label: "Window",
            help: "Length of a window of the source's own clock, 100 to 3,600,000.",
            unit: Some("ms"),
        },
        FieldDescriptor {
            name: "origin",
            typed_name: "origin",
            kind: FieldKind::Choice(&["live", "simulated", "replay"]),
            label: "Origin",
            help: "Origin of the data: the venue itself, a generator or a recording.",
            unit: None,
        },
    ],
    errors: &["source_invalid", "source_exists", "sources_full"],
};

const UPDATE: ActionDescriptor = ActionDescriptor {
    kind: "update_source",
    tag: 2,
    primary_type: "UpdateSource",
    title: "Change a source",
    summary: "Changes the symbols and feeds of a source, from the next epoch on.",
    details: "Only the account that registered the source can change it. The lists are the whole ones, not what is added. \
              The length of a window and everything else stay: a source with another length is another source.",
    weight: 4,
    deposit: |_| Amount::ZERO,
    fields: &[ID, SYMBOLS, FEEDS],
    errors: &["unknown_source", "not_owner", "source_retired", "source_invalid"],
};

const RETIRE: ActionDescriptor = ActionDescriptor {
    kind: "retire_source",
    tag: 3,
    primary_type: "RetireSource",
    title: "Retire a source",
    summary: "Ends a source: from the next epoch on none of its windows is opened.",
    details: "Only the account that registered the source can retire it. Its place in the register is free an epoch later, and \
              then the deposit comes back; its id is never given again, because its windows stay provable under it.",
    weight: 2,
    deposit: |_| Amount::ZERO,
    fields: &[ID],
    errors: &["unknown_source", "not_owner", "source_retired"],
};

impl ModuleActions for SourcesAction {
    const DESCRIPTORS: &'static [ActionDescriptor] = &[REGISTER, UPDATE, RETIRE];

    fn from_fields(kind: &str, fields: &mut Fields) -> Result<Option<SourcesAction>, FieldError> {
        Ok(match kind {
            "register_source" => Some(SourcesAction::Register(SourceSpec {
                id: fields.text("id")?,
                exchange: fields.text("exchange")?,
                kind: fields.choice("source_kind", SourceKind::NAMES)?,
                symbols: fields.texts("symbols")?,
                feeds: fields.texts("feeds")?,
                window_ms: fields.uint("window_ms")?,
                origin: fields.choice("origin", Origin::NAMES)?,
            })),
            "update_source" => Some(SourcesAction::Update {
                id: fields.text("id")?,
                symbols: fields.texts("symbols")?,
                feeds: fields.texts("feeds")?,
            }),
            "retire_source" => Some(SourcesAction::Retire { id: fields.text("id")? }),
            _ => None,
        })
    }

    fn descriptor(&self) -> &'static ActionDescriptor {
        match self {
            SourcesAction::Register(_) => &REGISTER,
            SourcesAction::Update { .. } => &UPDATE,
            SourcesAction::Retire { .. } => &RETIRE,
        }
    }

    fn values(&self) -> Vec<Value<'_>> {
        match self {
            SourcesAction::Register(spec) => vec![
                Value::Text(&spec.id),
                Value::Text(&spec.exchange),
                Value::Text(spec.kind.as_str()),
                Value::Texts(&spec.symbols),
                Value::Texts(&spec.feeds),
                Value::Uint(u128::from(spec.window_ms)),
                Value::Text(spec.origin.as_str()),
            ],
            SourcesAction::Update { id, symbols, feeds } => {
                vec![Value::Text(id), Value::Texts(symbols), Value::Texts(feeds)]
            }
            SourcesAction::Retire { id } => vec![Value::Text(id)],
        }
    }

    fn spends(&self) -> Amount {
        Amount::ZERO
    }

    fn check_form(&self) -> Result<(), TransactionError> {
        Ok(self.validate()?)
    }
}
