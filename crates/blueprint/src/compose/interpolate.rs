//! Variables in a compose file: `${NAME}`, `${NAME:-default}` and their relatives.
//!
//! A text is read once from its beginning to its end, also where a part of it is not taken, so that the time is that of its length; braces
//! within braces are followed to a bound, and so is all that comes out. Source: the Compose specification, "Interpolation".

use std::collections::{BTreeMap, BTreeSet};

use crate::text::{Node, Place, Problems, SCALAR_BYTES, Value};

/// Deepest `${A:-${B:-...}}`: files of people have three at most.
const BRACES_MAX: usize = 16;
/// Most values with variables in one file: the largest known one has a thousand, and each is remembered with its path.
const USES_MAX: usize = 5_000;
/// Most bytes that variables may make of one file, which is four times the longest file: a short file with a long value is a mistake.
pub(super) const BYTES_MAX: usize = 4 << 20;

/// Variables of one value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Use {
    /// Names of all variables in it, also of those whose default was taken.
    pub(super) names: BTreeSet<String>,
    /// The one variable that is the value as a whole, as in `${NAME:-default}`; of `KEY=VALUE` the value counts.
    pub(super) whole: Option<String>,
    /// Path of the value, fault and way out, where one has neither value nor default.
    pub(super) missing: Option<(String, String, String)>,
}

/// Variables by the place of the value that has them.
pub(super) type Uses = BTreeMap<Place, Use>;

/// Replaces variables in every single value of a tree, keys excepted. A variable without value and default is told in what is returned and not yet
/// a problem, since a value that becomes a secret needs none: an empty password is worse than a refusal.
pub(super) fn interpolate(node: &mut Node, variables: &BTreeMap<String, String>, problems: &mut Problems) -> Uses {
    let mut uses = Uses::new();
    let mut room = BYTES_MAX;
    walk(node, variables, &mut room, &mut uses, problems);
    measure(node);
    uses
}

/// Sizes of a tree anew, so that what variables made of it counts where it is copied by `extends`.
fn measure(node: &mut Node) -> usize {
    let size = match &mut node.value {
        Value::Scalar { text, .. } => text.len() / SCALAR_BYTES,
        Value::List(items) => items.iter_mut().map(measure).sum(),
        Value::Map(entries) => {
            entries.iter_mut().map(|entry| 1 + entry.key.len() / SCALAR_BYTES + measure(&mut entry.value)).sum()
        }
    };
    node.size = 1 + size;
    node.size
}

fn walk(
    node: &mut Node,
    variables: &BTreeMap<String, String>,
    room: &mut usize,
    uses: &mut Uses,
    problems: &mut Problems,
) {
    let place = node.place;
    match &mut node.value {
        Value::List(items) => items.iter_mut().enumerate().for_each(|(index, item)| {
            problems.below(index.to_string(), |problems| walk(item, variables, room, uses, problems));
        }),
        Value::Map(entries) => entries.iter_mut().for_each(|entry| {
            problems.below(&entry.key, |problems| walk(&mut entry.value, variables, room, uses, problems));
        }),
        Value::Scalar { text, plain } => {
            if !text.contains('$') {
                return;
            }
            if uses.len() >= USES_MAX {
                // One problem each, of which a hundred are kept.
                return problems.add(place, format!("is behind {USES_MAX} values with variables, which is too many"));
            }
            match replaced(text, variables, room) {
                Ok((done, mut used)) => {
                    if !used.names.is_empty() {
                        // Empty text is text, where nothing would be no value at all.
                        *plain = false;
                        if let Some(missing) = &mut used.missing {
                            missing.0 = problems.path();
                        }
                        uses.insert(place, used);
                    }
                    *text = done;
                }
                Err((what, hint)) => problems.add_with_hint(place, what, hint),
            }
        }
    }
}

type Fault = (String, String);

/// The text with its variables replaced, and which they are.
pub(super) fn replaced(
    text: &str,
    variables: &BTreeMap<String, String>,
    room: &mut usize,
) -> Result<(String, Use), Fault> {
    let mut reader = Reader { rest: text, variables, used: Use::default(), room };
    let mut done = String::new();
    reader.run(0, true, &mut done)?;
    let value = match text.split_once('=') {
        Some((key, value)) if !key.contains('$') => value,
        _ => text,
    };
    let whole = whole(value).map(str::to_string);
    Ok((done, Use { whole, ..reader.used }))
}

/// The variable of a text that is one variable and nothing beside it.
fn whole(text: &str) -> Option<&str> {
    let rest = text.strip_prefix('$')?;
    let inner = rest.strip_prefix('{').unwrap_or(rest);
    let end = inner.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(inner.len());
    let closing = match rest.starts_with('{') {
        true => {
            let mut open = 1usize;
            let closes = |c: char| {
                open = match c {
                    '{' => open + 1,
                    '}' => open - 1,
                    _ => open,
                };
                open == 0
            };
            inner.find(closes)? + 1
        }
        false => end,
    };
    (closing == inner.len() && end > 0).then(|| &inner[..end])
}

struct Reader<'a, 'b> {
    rest: &'a str,
    variables: &'a BTreeMap<String, String>,
    used: Use,
    room: &'b mut usize,
}

impl<'a> Reader<'a, '_> {
    /// Reads to the end, or to the brace that closes where it is within braces. `live` is false in a part that is not taken.
    fn run(&mut self, depth: usize, live: bool, done: &mut String) -> Result<(), Fault> {
        let mut open = 0usize;
        loop {
            let is_mark = |c: char| c == '$' || (depth > 0 && matches!(c, '{' | '}'));
            let Some(at) = self.rest.find(is_mark) else {
                if depth > 0 {
                    return Err(unclosed());
                }
                let rest = std::mem::take(&mut self.rest);
                return self.put(rest, live, done);
            };
            let rest = self.rest;
            let (before, mark) = (&rest[..at], &rest[at..=at]);
            self.rest = &rest[at + 1..];
            self.put(before, live, done)?;
            match mark {
                "}" if open == 0 => return Ok(()),
                "}" => open -= 1,
                "{" => open += 1,
                _ => {
                    self.variable(depth, live, done)?;
                    continue;
                }
            }
            self.put(mark, live, done)?;
        }
    }

    fn put(&mut self, text: &str, live: bool, done: &mut String) -> Result<(), Fault> {
        if live {
            *self.room = self.room.checked_sub(text.len()).ok_or_else(|| {
                let what = format!("and what was before it make more than {BYTES_MAX} bytes of the variables");
                (what, "give a shorter value".to_string())
            })?;
            done.push_str(text);
        }
        Ok(())
    }

    /// Takes what follows a `$`.
    fn variable(&mut self, depth: usize, live: bool, done: &mut String) -> Result<(), Fault> {
        if let Some(rest) = self.rest.strip_prefix('$') {
            self.rest = rest;
            return self.put("$", live, done);
        }
        if let Some(rest) = self.rest.strip_prefix('{') {
            self.rest = rest;
            return match depth < BRACES_MAX {
                true => self.braced(depth + 1, live, done),
                false => Err((format!("has more than {BRACES_MAX} `${{` in one another"), "write it out".to_string())),
            };
        }
        match self.name() {
            "" => self.put("$", live, done),
            name => self.plain(name, live, done),
        }
    }

    /// The name that comes next; empty where none does.
    fn name(&mut self) -> &'a str {
        if !self.rest.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
            return "";
        }
        let end = self.rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(self.rest.len());
        let (name, rest) = self.rest.split_at(end);
        self.rest = rest;
        name
    }

    fn plain(&mut self, name: &str, live: bool, done: &mut String) -> Result<(), Fault> {
        let variables = self.variables;
        match variables.get(name) {
            _ if !live => Ok(()),
            Some(value) => {
                self.used.names.insert(name.to_string());
                self.put(value, live, done)
            }
            None => {
                self.missing(name, format!("needs the variable {name}"));
                Ok(())
            }
        }
    }

    fn missing(&mut self, name: &str, what: String) {
        self.used.names.insert(name.to_string());
        let hint = format!("give it with `--set {name}=...`");
        self.used.missing.get_or_insert((String::new(), what, hint));
    }

    /// Takes what follows `${`, up to the brace that closes it.
    fn braced(&mut self, depth: usize, live: bool, done: &mut String) -> Result<(), Fault> {
        let name = self.name();
        let variables = self.variables;
        let set = variables.get(name);
        let filled = set.filter(|value| !value.is_empty());
        if let Some(rest) = self.rest.strip_prefix('}').filter(|_| !name.is_empty()) {
            self.rest = rest;
            return self.plain(name, live, done);
        }
        if self.rest.is_empty() {
            return Err(unclosed());
        }
        let operators = [":-", ":?", ":+", "-", "?", "+"];
        let operator = operators.into_iter().find(|operator| self.rest.starts_with(*operator));
        let Some(operator) = operator.filter(|_| !name.is_empty()) else {
            let shown: String = self.rest.chars().take(20).collect();
            let what = format!("has `${{{name}{shown}`, which is not understood");
            return Err((what, "`$$` stands for `$`".to_string()));
        };
        self.rest = &self.rest[operator.len()..];
        if live {
            self.used.names.insert(name.to_string());
        }
        let found = if operator.starts_with(':') { filled } else { set };
        let inside = self.rest;
        match operator.trim_start_matches(':') {
            // The default, or the value with the default passed over.
            "-" => {
                self.run(depth, live && found.is_none(), done)?;
                found.map_or(Ok(()), |value| self.put(value, live, done))
            }
            "+" => self.run(depth, live && found.is_some(), done),
            _ => {
                self.run(depth, false, done)?;
                let message = &inside[..inside.len() - self.rest.len() - 1];
                match found {
                    Some(value) => self.put(value, live, done),
                    None if live => {
                        let message = if message.is_empty() { String::new() } else { format!(": {message}") };
                        self.missing(name, format!("needs the variable {name}{message}"));
                        Ok(())
                    }
                    None => Ok(()),
                }
            }
        }
    }
}

fn unclosed() -> Fault {
    ("has a `${` that is not closed".to_string(), "`$$` stands for `$`".to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn done(text: &str) -> Result<(String, Use), Fault> {
        let variables = [("A", "1"), ("E", "")].map(|(k, v)| (k.to_string(), v.to_string())).into();
        let mut room = BYTES_MAX;
        replaced(text, &variables, &mut room)
    }

    #[test]
    fn variables_are_replaced() {
        for (text, expected) in [
            ("${A}-$A-$$A", "1-1-$A"),
            ("${E:-x}${E-x}", "x"),
            ("${B:-${A:-y}}", "1"),
            ("${B:-${C:-${D:-z}}}", "z"),
            ("${A:+yes}${B:+no}", "yes"),
            ("${A+yes}${E+yes}${E:+no}", "yesyes"),
            ("cost: 5$ and $5", "cost: 5$ and $5"),
            ("${B-}", ""),
            ("${B:-{\"a\":{}}}", "{\"a\":{}}"),
            ("${A?no}${A:?no ${B}}", "11"),
            ("$", "$"),
            ("a}b{c", "a}b{c"),
            ("é$Aé${A}é", "é1é1é"),
        ] {
            let (text_done, used) = done(text).unwrap();
            assert_eq!(text_done, expected, "{text}");
            assert_eq!(used.missing, None, "{text}");
        }
        for text in ["${A", "${A!x}", "${}", "${1}", "${A:-{}", "${A:x}", "${-x}"] {
            assert!(done(text).is_err(), "{text}");
        }
    }

    #[test]
    fn values_that_are_one_variable() {
        for (text, expected) in [
            ("$A", Some("A")),
            ("${A}", Some("A")),
            ("${A:-{x}${B}}", Some("A")),
            ("KEY=${A}", Some("A")),
            ("${A}b", None),
            ("${A}${B}", None),
            ("$A$B", None),
            ("x", None),
            ("$", None),
        ] {
            assert_eq!(done(text).unwrap().1.whole.as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn variables_without_a_value_are_told() {
        for (text, expected) in [
            ("$B", "needs the variable B"),
            ("${B}", "needs the variable B"),
            ("${B:?wanted}", "needs the variable B: wanted"),
            ("${E:?}", "needs the variable E"),
            ("${B?a ${C} b}", "needs the variable B: a ${C} b"),
        ] {
            let (_, used) = done(text).unwrap();
            assert_eq!(used.missing.unwrap().1, expected, "{text}");
        }
        // A part that is not taken needs nothing.
        assert_eq!(done("${A:-$B}").unwrap().1.missing, None);
        assert_eq!(done("${B:+$C}").unwrap().1.missing, None);
        assert_eq!(done("${A:-$B}").unwrap().1.names, BTreeSet::from(["A".to_string()]));
    }

    /// A hundred and twenty kilobytes of braces within braces end neither the stack nor the day.
    #[test]
    fn braces_and_sizes_are_bounded() {
        let deep = format!("{}x{}", "${A:-".repeat(20_000), "}".repeat(20_000));
        assert!(done(&deep).unwrap_err().0.contains("more than 16"));
        let deep = format!("{}x{}", "${B:-".repeat(16), "}".repeat(16));
        assert_eq!(done(&deep).unwrap().0, "x");
        assert!(done(&"${".repeat(60_000)).is_err());
        assert_eq!(done(&format!("${{B:-{}}}", "{}".repeat(100_000))).unwrap().0.len(), 200_000);
        let variables = [("L".to_string(), "x".repeat(1 << 20))].into();
        let mut room = BYTES_MAX;
        let fault = replaced(&"$L".repeat(100), &variables, &mut room).unwrap_err();
        assert!(fault.0.contains("more than 4194304 bytes"), "{}", fault.0);
    }

    #[test]
    fn values_with_variables_are_bounded() {
        let mut tree = crate::text::parse(&format!("a: [{}]", "$A, ".repeat(USES_MAX + 1))).unwrap();
        let mut problems = Problems::default();
        let uses = interpolate(&mut tree, &BTreeMap::new(), &mut problems);
        assert_eq!((uses.len(), problems.len()), (USES_MAX, 1));
    }

    #[test]
    fn what_is_replaced_is_text() {
        let mut tree = crate::text::parse("a: ${E:-}\nb: ${A}\nc: plain\nd: [\"$B\"]\n").unwrap();
        let variables = [("A", "null"), ("E", "")].map(|(k, v)| (k.to_string(), v.to_string())).into();
        let mut problems = Problems::default();
        let uses = interpolate(&mut tree, &variables, &mut problems);
        assert!(problems.is_empty());
        assert_eq!(tree.size, 1 + 4 * 2 + 1, "each key and value, and the list's");
        let text = |key: &str| tree.get(key).unwrap().as_text();
        assert_eq!((text("a"), text("b"), text("c")), (Some(""), Some("null"), Some("plain")));
        let missing: Vec<&str> = uses.values().filter_map(|used| Some(used.missing.as_ref()?.0.as_str())).collect();
        assert_eq!(missing, ["d.0"]);
    }
}
