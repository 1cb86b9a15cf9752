//! Variables in a compose file: `${NAME}`, `${NAME:-default}` and their relatives.

use std::collections::BTreeMap;

use crate::text::{Node, Problems, Value};

/// Replaces variables in every single value of a tree, keys excepted. A variable without value and default is a problem: an empty password is
/// worse than a refusal.
pub(super) fn interpolate(node: &mut Node, variables: &BTreeMap<String, String>, problems: &mut Problems) {
    let place = node.place;
    match &mut node.value {
        Value::List(items) => items.iter_mut().enumerate().for_each(|(index, item)| {
            problems.below(index.to_string(), |problems| interpolate(item, variables, problems));
        }),
        Value::Map(entries) => entries.iter_mut().for_each(|entry| {
            problems.below(&entry.key, |problems| interpolate(&mut entry.value, variables, problems));
        }),
        Value::Scalar { text, .. } => match replaced(text, variables) {
            Ok(done) => *text = done,
            Err((what, hint)) => problems.add_with_hint(place, what, hint),
        },
    }
}

type Fault = (String, String);

fn replaced(text: &str, variables: &BTreeMap<String, String>) -> Result<String, Fault> {
    let mut done = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        done.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            done.push('$');
            rest = after;
        } else if let Some(inside) = rest.strip_prefix('{') {
            let end = closing(inside)
                .ok_or_else(|| ("has a `${` that is not closed".to_string(), "`$$` stands for `$`".to_string()))?;
            done.push_str(&braced(&inside[..end], variables)?);
            rest = &inside[end + 1..];
        } else {
            let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(rest.len());
            match rest[..end].starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
                true => done.push_str(&value(&rest[..end], variables)?),
                // A `$` before anything else is one.
                false => done.push_str(&format!("${}", &rest[..end])),
            }
            rest = &rest[end..];
        }
    }
    done.push_str(rest);
    Ok(done)
}

/// Place of the brace that closes, those of defaults counted.
fn closing(text: &str) -> Option<usize> {
    let mut open = 0u32;
    for (at, c) in text.char_indices() {
        match c {
            '{' => open += 1,
            '}' if open == 0 => return Some(at),
            '}' => open -= 1,
            _ => {}
        }
    }
    None
}

fn value(name: &str, variables: &BTreeMap<String, String>) -> Result<String, Fault> {
    let missing = || (format!("needs the variable {name}"), format!("give it with `--set {name}=...`"));
    variables.get(name).cloned().ok_or_else(missing)
}

fn braced(inside: &str, variables: &BTreeMap<String, String>) -> Result<String, Fault> {
    let end = inside.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(inside.len());
    let (name, operator) = inside.split_at(end);
    let set = variables.get(name);
    let filled = set.filter(|value| !value.is_empty());
    let text = |text: &str| replaced(text, variables);
    let required =
        |message: &str| (format!("needs the variable {name}: {message}"), format!("give it with `--set {name}=...`"));
    let (two, one) = (operator.get(2..).unwrap_or_default(), operator.get(1..).unwrap_or_default());
    match operator {
        "" => value(name, variables),
        _ if operator.starts_with(":-") => filled.cloned().map_or_else(|| text(two), Ok),
        _ if operator.starts_with(":?") => filled.cloned().ok_or_else(|| required(two)),
        _ if operator.starts_with(":+") => filled.map_or_else(|| Ok(String::new()), |_| text(two)),
        _ if operator.starts_with('-') => set.cloned().map_or_else(|| text(one), Ok),
        _ if operator.starts_with('?') => set.cloned().ok_or_else(|| required(one)),
        _ if operator.starts_with('+') => set.map_or_else(|| Ok(String::new()), |_| text(one)),
        _ => Err((format!("has `${{{inside}}}`, which is not understood"), "`$$` stands for `$`".to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_replaced() {
        let variables = [("A", "1"), ("E", "")].map(|(k, v)| (k.to_string(), v.to_string())).into();
        for (text, expected) in [
            ("${A}-$A-$$A", "1-1-$A"),
            ("${E:-x}${E-x}", "x"),
            ("${B:-${A:-y}}", "1"),
            ("${A:+yes}${B:+no}", "yes"),
            ("cost: 5$ and $5", "cost: 5$ and $5"),
            ("${B-}", ""),
        ] {
            assert_eq!(replaced(text, &variables).unwrap(), expected, "{text}");
        }
        for text in ["$B", "${B}", "${B:?wanted}", "${A", "${A!x}", "${}"] {
            assert!(replaced(text, &variables).is_err(), "{text}");
        }
    }
}
