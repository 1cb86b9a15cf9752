//! Actions: one declaration, from which everything else is made.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::PathBuf;

use openmesh_ledger::{
    AccountsAction, Action, FieldError, FieldInput, FieldKind, Fields, Origin, Params, SUPPLY_CAP, SourceKind,
    SourceSpec, SourcesAction, StampsAction, weight_fee,
};
use openmesh_primitives::{Address, Amount, Digest, canonical, sha256};

fn examples() -> Vec<Action> {
    let source = SourceSpec {
        id: "kraken".into(),
        exchange: "kraken".into(),
        kind: SourceKind::Market,
        symbols: vec!["BTC.USD".into(), "ETH.USD".into()],
        feeds: vec!["book".into(), "trades".into()],
        window_ms: 10_000,
        origin: Origin::Live,
    };
    let (symbols, feeds) = (source.symbols.clone(), source.feeds.clone());
    vec![
        AccountsAction::Transfer { to: Address([7; 20]), amount: Amount(12) }.into(),
        SourcesAction::Register(source).into(),
        SourcesAction::Update { id: "kraken".into(), symbols, feeds }.into(),
        SourcesAction::Retire { id: "kraken".into() }.into(),
        StampsAction::Stamp { hash: sha256(&[b"report"]), topic: "xnode.drill".into(), note: "a note".into() }.into(),
    ]
}

/// The fields of an action as a form or a command line has them.
fn fields_of(action: &Action) -> BTreeMap<String, FieldInput> {
    use openmesh_primitives::eip712::Value;
    let message = action.typed_message(0, Amount::ZERO);
    let input = |value: &Value<'_>| match value {
        Value::Text(text) => FieldInput::Text((*text).to_string()),
        Value::Address(address) => FieldInput::Text(address.to_string()),
        Value::Uint(number) => FieldInput::Text(number.to_string()),
        Value::Texts(texts) => FieldInput::Texts(texts.to_vec()),
        Value::Bytes32(bytes) => FieldInput::Text(Digest(*bytes).to_string()),
    };
    action.descriptor().fields.iter().zip(&message.fields).map(|(f, t)| (f.name.to_string(), input(&t.value))).collect()
}

#[test]
fn every_declared_action_is_made_from_its_fields_and_has_its_bytes() {
    let declared: BTreeSet<&str> = Action::descriptors().iter().map(|d| d.kind).collect();
    let shown: BTreeSet<&str> = examples().iter().map(|action| action.descriptor().kind).collect();
    assert_eq!(declared, shown, "an action without an example here");
    for action in examples() {
        let descriptor = action.descriptor();
        let made = Action::from_fields(descriptor.kind, Fields::new(fields_of(&action))).unwrap();
        assert_eq!(made, action);
        let bytes = canonical::encode(&action);
        assert_eq!(bytes[0], descriptor.tag, "{}", descriptor.kind);
        assert_eq!(canonical::decode::<Action>(&bytes).unwrap(), action);
        let message = action.typed_message(3, Amount(4));
        assert_eq!((message.type_text(), message.primary_type), (descriptor.type_text(), descriptor.primary_type));
        let json = serde_json::to_string(&action).unwrap();
        assert_eq!(serde_json::from_str::<Action>(&json).unwrap(), action);
    }
}

#[test]
fn names_and_tags_are_given_once() {
    let all = Action::descriptors();
    let distinct = |texts: Vec<String>| texts.iter().collect::<BTreeSet<_>>().len() == texts.len();
    assert!(distinct(all.iter().map(|d| d.kind.to_string()).collect()));
    assert!(distinct(all.iter().map(|d| d.tag.to_string()).collect()));
    assert!(distinct(all.iter().map(|d| d.primary_type.to_string()).collect()));
    for descriptor in all {
        assert!(distinct(descriptor.fields.iter().map(|f| f.name.to_string()).collect()), "{}", descriptor.kind);
        assert!(descriptor.weight > 0 && (descriptor.deposit)(&Params::default()) <= SUPPLY_CAP);
    }
    assert!(canonical::decode::<Action>(&[200]).is_err(), "a tag that no action has");
}

#[test]
fn what_is_missing_left_over_or_malformed_is_named() {
    for action in examples() {
        let kind = action.descriptor().kind;
        let whole = fields_of(&action);
        let may_lack =
            |name: &str| action.descriptor().fields.iter().any(|f| f.name == name && f.kind == FieldKind::OptionalText);
        for name in whole.keys() {
            let mut less = whole.clone();
            less.remove(name);
            if may_lack(name) {
                assert!(Action::from_fields(kind, Fields::new(less)).is_ok(), "{name} is optional");
                continue;
            }
            let error = Action::from_fields(kind, Fields::new(less)).unwrap_err();
            assert!(matches!(error, FieldError::Missing(missing) if missing == name), "{error}");
        }
        let mut more = whole.clone();
        more.insert("colour".into(), FieldInput::Text("red".into()));
        let error = Action::from_fields(kind, Fields::new(more)).unwrap_err();
        assert_eq!(error, FieldError::Unknown("colour".into()));
    }
    let transfer = |to: &str, amount: FieldInput| {
        let fields = [("to".to_string(), FieldInput::Text(to.into())), ("amount".to_string(), amount)];
        Action::from_fields("transfer", Fields::new(fields.into()))
    };
    let to = Address([7; 20]).to_string();
    assert!(transfer(&to, FieldInput::Number(12)).is_ok());
    for (to, amount) in
        [("0x12", FieldInput::Number(1)), (&*to, FieldInput::Text("1.5".into())), (&to, FieldInput::Texts(vec![]))]
    {
        assert!(matches!(transfer(to, amount), Err(FieldError::Value { .. })));
    }
    assert!(matches!(Action::from_fields("mint", Fields::default()), Err(FieldError::Kind(kind)) if kind == "mint"));
    let stamp = |hash: &str| {
        let fields = [("hash", hash), ("topic", "drill")];
        let fields = fields.map(|(name, text)| (name.to_string(), FieldInput::Text(text.to_string())));
        Action::from_fields("stamp", Fields::new(fields.into()))
    };
    assert!(stamp(&format!("0x{}", "ab".repeat(32))).is_ok());
    for wrong in [String::new(), "abc".to_string(), "ab".repeat(31), "ab".repeat(33), "xy".repeat(32)] {
        let error = stamp(&wrong).unwrap_err();
        assert_eq!(error, FieldError::Hash { field: "hash", characters: wrong.len() });
    }
    let mut odd = fields_of(&examples()[1]);
    odd.insert("origin".into(), FieldInput::Text("dreamt".into()));
    let error = Action::from_fields("register_source", Fields::new(odd)).unwrap_err();
    assert_eq!(error.to_string(), "origin: one of live, simulated, replay is expected");
}

/// A list comes from a command line as one text.
#[test]
fn lists_are_split_at_commas() {
    let fields = [("id", "a"), ("symbols", "BTC.USD, ETH.USD"), ("feeds", "trades")];
    let fields = fields.map(|(name, text)| (name.to_string(), FieldInput::Text(text.into())));
    let made = Action::from_fields("update_source", Fields::new(fields.into())).unwrap();
    let Action::Sources(SourcesAction::Update { symbols, .. }) = made else { panic!("{made:?}") };
    assert_eq!(symbols, ["BTC.USD", "ETH.USD"]);
}

fn document() -> String {
    let mut text = String::from(
        "# Actions of accounts\n\nMade from the declarations in `crates/ledger/src/modules/*/action.rs`; a test holds it \
         (`OPENMESH_UPDATE=1` writes it anew).\nThe bytes of an action are its tag and its fields in canonical form. Every \
         typed message ends with `uint256 nonce, uint256 maxFee, uint256 tip`.\nWhat all of them have in common is in clause T of \
         [transactions.md](transactions.md).\n",
    );
    for action in Action::descriptors() {
        let params = Params::default();
        let fee = weight_fee(params.accounts.fee_min, action.weight).to_open();
        let deposit = match (action.deposit)(&params) {
            Amount::ZERO => String::new(),
            amount => format!(", deposit {} OPEN by default", amount.to_open()),
        };
        writeln!(text, "\n## {}: `{}`\n\n{} {}\n", action.title, action.kind, action.summary, action.details).unwrap();
        writeln!(text, "- tag {}, weight {}, least base fee {fee} OPEN by default{deposit}", action.tag, action.weight)
            .unwrap();
        writeln!(text, "- refusals of its own: `{}`", action.errors.join("`, `")).unwrap();
        writeln!(text, "- command line: `openmesh account do {} --key FILE{}`", action.kind, arguments(action))
            .unwrap();
        writeln!(text, "\n```text\n{}\n```\n", action.type_text()).unwrap();
        writeln!(text, "| field | typed data | type | |\n| --- | --- | --- | --- |").unwrap();
        for field in action.fields {
            let kind = match field.kind {
                FieldKind::Choice(choices) => choices.join(", "),
                other => other.as_str().to_string(),
            };
            let unit = field.unit.map(|unit| format!(" In {unit}.")).unwrap_or_default();
            writeln!(text, "| `{}` | `{}` | {kind} | {}{unit} |", field.name, field.typed_name, field.help).unwrap();
        }
    }
    text
}

fn arguments(action: &openmesh_ledger::ActionDescriptor) -> String {
    action.fields.iter().map(|field| format!(" {}=...", field.name)).collect()
}

#[test]
fn the_document_is_that_of_the_declarations() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/spec/actions.md");
    if std::env::var_os("OPENMESH_UPDATE").is_some() {
        std::fs::write(&path, document()).unwrap();
    }
    assert_eq!(std::fs::read_to_string(&path).unwrap(), document(), "OPENMESH_UPDATE=1 writes {}", path.display());
}
