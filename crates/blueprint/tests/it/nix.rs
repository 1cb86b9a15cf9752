//! Expressions of Nix: printed, read by a parser of Nix, and evaluated to the value that they were printed from.

use openmesh_blueprint::nix::{NixError, Value as Nix, expression};
use proptest::prelude::*;
use rnix::ast::{
    Apply, Attr, AttrSet, BinOpKind, Expr, HasEntry as _, InterpolPart, Literal, LiteralKind, Str, UnaryOpKind,
};
use serde_json::{Map, Number, Value};

/// Sees that a text is Nix, and returns its expression.
pub fn parsed(text: &str) -> Expr {
    let parsed = rnix::Root::parse(text);
    assert!(parsed.errors().is_empty(), "{:?}\n{text}", parsed.errors());
    parsed.tree().expr().unwrap_or_else(|| panic!("no expression: {text}"))
}

/// The value of an expression as `builtins.toJSON` writes it. Only what is printed for values is known here: anything else fails the test.
pub fn evaluated(expr: &Expr) -> Value {
    match expr {
        Expr::Paren(inner) => evaluated(&inner.expr().unwrap()),
        Expr::Ident(name) => match name.to_string().as_str() {
            "null" => Value::Null,
            "true" => Value::Bool(true),
            "false" => Value::Bool(false),
            other => panic!("`{other}` is no value"),
        },
        Expr::Literal(literal) => number(literal),
        Expr::Str(text) => Value::String(text_of(text)),
        Expr::List(list) => list.items().map(|item| evaluated(&item)).collect(),
        Expr::AttrSet(set) => Value::Object(set_of(set)),
        Expr::UnaryOp(operation) => {
            assert_eq!(operation.operator(), Some(UnaryOpKind::Negate), "{operation}");
            let positive = evaluated(&operation.expr().unwrap());
            serde_json::from_str(&format!("-{positive}")).unwrap()
        }
        Expr::BinOp(operation) => {
            assert_eq!(operation.operator(), Some(BinOpKind::Sub), "{operation}");
            let side = |expr: Option<Expr>| evaluated(&expr.unwrap()).as_i64().unwrap();
            Value::from(side(operation.lhs()).checked_sub(side(operation.rhs())).unwrap())
        }
        Expr::Apply(call) => read_json(call),
        other => panic!("no value is written so: {other}"),
    }
}

fn number(literal: &Literal) -> Value {
    match literal.kind() {
        LiteralKind::Integer(whole) => Value::from(whole.value().unwrap()),
        LiteralKind::Float(float) => serde_json::from_str(&float.to_string()).unwrap(),
        LiteralKind::Uri(address) => panic!("{address} is an address without quotes"),
    }
}

/// A text, in which nothing may be computed.
fn text_of(text: &Str) -> String {
    let parts = text.normalized_parts().into_iter().map(|part| match part {
        InterpolPart::Literal(literal) => literal,
        InterpolPart::Interpolation(found) => panic!("a text became Nix: {found}"),
    });
    parts.collect()
}

fn set_of(set: &AttrSet) -> Map<String, Value> {
    assert!(set.rec_token().is_none() && set.inherits().next().is_none(), "{set}");
    let mut map = Map::new();
    for pair in set.attrpath_values() {
        let names: Vec<Attr> = pair.attrpath().unwrap().attrs().collect();
        assert_eq!(names.len(), 1, "{pair}");
        let name = match &names[0] {
            Attr::Ident(name) => name.to_string(),
            Attr::Str(text) => text_of(text),
            Attr::Dynamic(computed) => evaluated(&computed.expr().unwrap()).as_str().unwrap().to_string(),
        };
        let before = map.insert(name, evaluated(&pair.value().unwrap()));
        assert!(before.is_none(), "{pair} stands there twice");
    }
    map
}

fn read_json(call: &Apply) -> Value {
    let function = call.lambda().unwrap().to_string();
    assert_eq!(function, "builtins.fromJSON", "{call}");
    let text = evaluated(&call.argument().unwrap());
    serde_json::from_str(text.as_str().unwrap()).unwrap()
}

/// A value of JSON as one of Nix.
fn nix(value: &Value) -> Nix {
    match value {
        Value::Null => Nix::Null,
        Value::Bool(truth) => Nix::Bool(*truth),
        Value::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(whole), _) => Nix::Integer(whole.into()),
            (None, Some(whole)) => Nix::Integer(whole.into()),
            (None, None) => Nix::Decimal(number.to_string()),
        },
        Value::String(text) => Nix::Text(text.clone()),
        Value::Array(items) => Nix::List(items.iter().map(nix).collect()),
        Value::Object(map) => Nix::Set(map.iter().map(|(key, value)| (key.clone(), nix(value))).collect()),
    }
}

/// Texts with everything that means something in Nix, and any others.
fn texts() -> impl Strategy<Value = String> {
    const PARTS: [&str; 22] = [
        "'", "''", "\"", "$", "${", "}", "{", "\\", "\n", "\n\n", " ", "  ", "\t", "\r", "a", "b\n", "#", "/*", "*/",
        "\u{1b}", "\u{202e}", "é",
    ];
    let nasty = prop::collection::vec(prop::sample::select(PARTS.to_vec()), 0..16).prop_map(|parts| parts.concat());
    let lines = prop::collection::vec(nasty.clone(), 2..5).prop_map(|lines| lines.join("\n") + "\n");
    let any = any::<String>().prop_map(|text| text.replace('\0', ""));
    prop_oneof![3 => nasty, 3 => lines, 2 => any]
}

fn keys() -> impl Strategy<Value = String> {
    let words =
        prop::sample::select(vec!["in", "or", "rec", "let", "with", "null", "true", "__curPos", "a.b", "1", ""]);
    let named = prop_oneof!["[a-zA-Z_][a-zA-Z0-9_'-]{0,6}", words.prop_map(str::to_string), texts()];
    named.prop_filter("a key that Nix takes for something else", |key| {
        !["outPath", "__toString", "_type"].contains(&key.as_str())
    })
}

fn values() -> impl Strategy<Value = Value> {
    // Few digits: a reader of JSON that is not exact in the last place is so for these.
    let fraction = "-?(0|[1-9][0-9]{0,4})\\.[0-9]{1,6}(e-?[0-9])?";
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        any::<i64>().prop_map(Value::from),
        prop::sample::select(vec![i64::MIN, i64::MIN + 1, i64::MAX, 0, -1]).prop_map(Value::from),
        fraction.prop_map(|text| serde_json::from_str::<Value>(&text).unwrap()),
        texts().prop_map(Value::String),
    ];
    leaf.prop_recursive(4, 48, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::Array),
            prop::collection::btree_map(keys(), inner, 0..6).prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_024))]

    /// Whatever a value holds, its expression is Nix, and stands for this value.
    #[test]
    fn values_are_read_back_as_they_were(value in values()) {
        let text = expression(&nix(&value)).unwrap();
        prop_assert_eq!(evaluated(&parsed(&text)), value, "{}", text);
    }

    /// No text ends its quotes or computes anything, on a line or on several, in a list, in a set or alone.
    #[test]
    fn texts_are_read_back_as_they_were(text in texts(), key in keys()) {
        let value = Value::Object([(key, Value::Array(vec![Value::String(text.clone())]))].into_iter().collect());
        for value in [value, Value::String(text)] {
            let printed = expression(&nix(&value)).unwrap();
            prop_assert_eq!(evaluated(&parsed(&printed)), value, "{}", printed);
            // Nothing in it is hidden from whoever reads it.
            prop_assert!(!printed.contains(|c: char| c.is_control() && c != '\n' && c != '\t'), "{:?}", printed);
            prop_assert!(!printed.contains('\u{202e}'), "{:?}", printed);
        }
    }

    /// Whole numbers that Nix holds are printed, and no others.
    #[test]
    fn numbers_beyond_what_nix_holds_are_refused(number in any::<u64>()) {
        let value = Value::Number(Number::from(number));
        match (i64::try_from(number), expression(&nix(&value))) {
            (Ok(_), Ok(text)) => prop_assert_eq!(evaluated(&parsed(&text)), value),
            (Err(_), Err(NixError::Integer { number: refused, .. })) => prop_assert_eq!(refused, i128::from(number)),
            (_, other) => prop_assert!(false, "{} gives {:?}", number, other),
        }
    }
}

/// The judge of these tests finds what it is there for.
#[test]
fn the_evaluator_is_no_fool() {
    for (text, value) in [
        ("{ a = 1; \"b c\" = [ true (-2) 0.5 null ]; }", "{\"a\":1,\"b c\":[true,-2,0.5,null]}"),
        ("''\n  a\n    b\n''", "\"a\\n  b\\n\""),
        ("(-9223372036854775807 - 1)", "-9223372036854775808"),
        ("\"\\${a}\"", "\"${a}\""),
    ] {
        assert_eq!(evaluated(&parsed(text)), serde_json::from_str::<Value>(value).unwrap(), "{text}");
    }
    for wrong in ["\"${a}\"", "a", "{ a = 1; a = 2; }", "a: a", "{ a.b = 1; }", "rec { a = 1; }", "1 + 2", "https://a"]
    {
        let refused = std::panic::catch_unwind(|| evaluated(&parsed(wrong)));
        assert!(refused.is_err(), "{wrong} was taken");
    }
    for wrong in ["[ -1 ]", "{ a = 1 }", "\"a", "''a", "{ in = 1; }", "[ 1"] {
        assert!(!rnix::Root::parse(wrong).errors().is_empty(), "{wrong} is no Nix");
    }
}
