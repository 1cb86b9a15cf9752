//! YAML and JSON into a tree with places.
//!
//! Anchors, aliases and merge keys (`<<`) are followed, within a bound on all values and all of their text together, so that a text of a kilobyte
//! cannot become gigabytes. A key that stands twice in a map is refused: one of the two would be lost silently. So is a tag that means nothing to
//! the reader: `!secret token` is not the text `token`. Source: YAML 1.2.2.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use granit_parser::{Event, Parser, ScalarStyle, Span, Tag};

use super::node::{Entry, Node, Place, Value};
use super::problem::{Problem, Problems};

/// Longest text that is read, in bytes: a document of a thousand applications has a third of it.
pub const TEXT_BYTES_MAX: usize = 1 << 20;
/// Deepest nesting: the deepest place of a document is at 9, of a compose file at 8.
pub const DEPTH_MAX: usize = 32;
/// Most values after aliases were followed, each [`SCALAR_BYTES`] of a text counted as one more: as many as a text of the greatest length can
/// hold by itself, and at most 12.8 MB of text.
pub const NODES_MAX: usize = 200_000;
/// Bytes of a single value that count as one value, so that a long text that is repeated by aliases reaches the bound as well: about what the
/// tree needs for a value beside its text.
pub const SCALAR_BYTES: usize = 64;

/// A tree, and the tags in it that mean something to the reader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tagged {
    /// The tree.
    pub root: Node,
    /// Tags by the place of the value that has them, as `!reset`.
    pub tags: BTreeMap<Place, String>,
}

/// The tree of a text within the usual limits. Fails with the problems of its form, as a rule one, since a parser cannot go on behind it.
pub fn parse(text: &str) -> Result<Node, Vec<Problem>> {
    parse_with_limits(text, TEXT_BYTES_MAX, NODES_MAX)
}

/// The tree of a text of at most `bytes_max` bytes and `nodes_max` values.
pub fn parse_with_limits(text: &str, bytes_max: usize, nodes_max: usize) -> Result<Node, Vec<Problem>> {
    read(text, bytes_max, nodes_max, &[]).map(|tagged| tagged.root)
}

/// The tree of a text within the usual limits, in which values may have one of these tags, written as `!reset`. Fails as [`parse`].
pub fn parse_with_tags(text: &str, known: &[&str]) -> Result<Tagged, Vec<Problem>> {
    read(text, TEXT_BYTES_MAX, NODES_MAX, known)
}

/// A text without the byte order mark that some editors put before it. Whoever counts columns does not see it, so it is no column.
pub(crate) fn unmarked(text: &str) -> &str {
    text.strip_prefix('\u{feff}').unwrap_or(text)
}

fn read(text: &str, bytes_max: usize, nodes_max: usize, known: &[&str]) -> Result<Tagged, Vec<Problem>> {
    let (text, mut problems) = (unmarked(text), Problems::default());
    if text.len() > bytes_max {
        problems.add(
            Place { line: 1, column: 1 },
            format!("has {} bytes, of which at most {bytes_max} are read", text.len()),
        );
        return Err(problems.into_sorted());
    }
    let known = known.iter().map(|tag| (*tag).to_string()).collect();
    let mut builder = Builder { nodes_max, known, ..Builder::default() };
    for next in Parser::new_from_str(text) {
        let stop = match next {
            Ok((event, span)) => builder.take(event, &span, &mut problems),
            Err(error) => {
                let marker = error.marker();
                problems
                    .add(place(marker.line(), marker.col()), format!("is neither YAML nor JSON: {}", message(&error)));
                Err(Stop)
            }
        };
        if stop.is_err() {
            return Err(problems.into_sorted());
        }
    }
    match (builder.root, problems.is_empty()) {
        (Some(root), true) => Ok(Tagged { root, tags: builder.tags }),
        (None, true) => {
            problems.add_with_hint(Place { line: 1, column: 1 }, "is empty", "a document begins with `version: 1`");
            Err(problems.into_sorted())
        }
        _ => Err(problems.into_sorted()),
    }
}

/// The parser's message without the place that it repeats.
fn message(error: &granit_parser::ScanError) -> String {
    let text = error.to_string();
    text.split(" at char ").next().unwrap_or_default().split(" at byte ").next().unwrap_or_default().to_string()
}

fn place(line: usize, column: usize) -> Place {
    let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    Place { line: number(line), column: number(column).saturating_add(1) }
}

/// Nothing can be read behind this place.
struct Stop;

/// A list or map that is still open.
struct Open {
    place: Place,
    anchor: usize,
    items: Items,
    size: usize,
}

enum Items {
    List(Vec<Node>),
    Map { entries: Vec<Entry>, seen: BTreeMap<String, Place>, merged: Vec<Node>, key: Option<(String, Place)> },
}

impl Items {
    fn map() -> Items {
        Items::Map { entries: Vec::new(), seen: BTreeMap::new(), merged: Vec::new(), key: None }
    }
}

#[derive(Default)]
struct Builder {
    root: Option<Node>,
    open: Vec<Open>,
    anchors: BTreeMap<usize, Node>,
    /// Sizes of the values that were kept for aliases, which are copies.
    kept: usize,
    nodes: usize,
    nodes_max: usize,
    documents: usize,
    known: BTreeSet<String>,
    tags: BTreeMap<Place, String>,
}

impl Builder {
    fn take(&mut self, event: Event<'_>, span: &Span, problems: &mut Problems) -> Result<(), Stop> {
        let at = place(span.start.line(), span.start.col());
        match event {
            Event::DocumentStart(..) => {
                self.documents += 1;
                if self.documents > 1 {
                    problems.add(at, "holds a second document, of which only one is read");
                    return Err(Stop);
                }
                Ok(())
            }
            Event::Alias(id) => self.alias(id, at, problems),
            Event::Scalar(text, style, anchor, tag) => {
                let plain = match tag {
                    None => style == ScalarStyle::Plain,
                    Some(tag) => self.scalar_tag(&tag, style, at, problems)?,
                };
                self.scalar(text, plain, anchor, at, problems)
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.collection_tag(tag.as_deref(), "seq", at, problems)?;
                self.begin(at, anchor, Items::List(Vec::new()), problems)
            }
            Event::MappingStart(_, anchor, tag) => {
                self.collection_tag(tag.as_deref(), "map", at, problems)?;
                self.begin(at, anchor, Items::map(), problems)
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(problems),
            _ => Ok(()),
        }
    }

    fn alias(&mut self, id: usize, at: Place, problems: &mut Problems) -> Result<(), Stop> {
        let Some(kept) = self.anchors.get(&id) else {
            problems.add(at, "refers to an anchor that is not closed yet: it would contain itself");
            return Err(Stop);
        };
        // Looked at before it is copied: a copy beyond the bound is never made.
        if self.nodes + kept.size > self.nodes_max {
            return Err(self.too_many(at, problems));
        }
        let node = kept.clone();
        self.add(node, problems)
    }

    fn too_many(&self, at: Place, problems: &mut Problems) -> Stop {
        let what = format!(
            "holds more than {} values, aliases followed and each {SCALAR_BYTES} bytes of text counted as one",
            self.nodes_max
        );
        problems.add(at, what);
        Stop
    }

    /// Keeps a value for the aliases that may follow.
    fn keep(&mut self, anchor: usize, node: &Node, problems: &mut Problems) -> Result<(), Stop> {
        if anchor == 0 {
            return Ok(());
        }
        // Anchors within anchors: each level is a copy of all below it.
        self.kept += node.size;
        if self.kept > self.nodes_max {
            return Err(self.too_many(node.place, problems));
        }
        self.anchors.insert(anchor, node.clone());
        Ok(())
    }

    /// Returns true where a tag leaves a single value plain: `!!int "5"`, and false for `!!str 5`.
    fn scalar_tag(&mut self, tag: &Tag, style: ScalarStyle, at: Place, problems: &mut Problems) -> Result<bool, Stop> {
        match tag.core_suffix() {
            Some("str") => Ok(false),
            Some("int" | "float" | "bool" | "null") => Ok(true),
            // `! text` says that it is a text.
            None if tag.original() == "!" => Ok(false),
            _ => self.known_tag(tag, at, problems).map(|()| style == ScalarStyle::Plain),
        }
    }

    fn collection_tag(
        &mut self,
        tag: Option<&Tag>,
        kind: &str,
        at: Place,
        problems: &mut Problems,
    ) -> Result<(), Stop> {
        match tag {
            None => Ok(()),
            Some(tag) if tag.core_suffix() == Some(kind) || tag.original() == "!" => Ok(()),
            Some(tag) => self.known_tag(tag, at, problems),
        }
    }

    /// Notes a tag that means something to the reader. Any other is a problem: without it the value would be something else.
    fn known_tag(&mut self, tag: &Tag, at: Place, problems: &mut Problems) -> Result<(), Stop> {
        let text = tag.original();
        if self.known.contains(&text) {
            self.tags.insert(at, text);
            return Ok(());
        }
        let what = format!("has the tag `{text}`, which means nothing here");
        match text == "!secret" {
            true => problems.add_with_hint(at, what, "a secret is written `{ secret: NAME }`"),
            false => problems.add_with_hint(at, what, "take it away, or write the value as it should be"),
        }
        Err(Stop)
    }

    fn scalar(
        &mut self,
        text: Cow<'_, str>,
        plain: bool,
        anchor: usize,
        at: Place,
        problems: &mut Problems,
    ) -> Result<(), Stop> {
        let size = 1 + text.len() / SCALAR_BYTES;
        let node = Node { place: at, value: Value::Scalar { text: text.into_owned(), plain }, size };
        self.keep(anchor, &node, problems)?;
        self.add(node, problems)
    }

    fn begin(&mut self, place: Place, anchor: usize, items: Items, problems: &mut Problems) -> Result<(), Stop> {
        if self.open.len() >= DEPTH_MAX {
            problems.add(place, format!("is nested deeper than {DEPTH_MAX}"));
            return Err(Stop);
        }
        if matches!(self.open.last(), Some(Open { items: Items::Map { key: None, .. }, .. })) {
            problems.add(place, "a key must be a single value");
            return Err(Stop);
        }
        self.open.push(Open { place, anchor, items, size: 1 });
        Ok(())
    }

    fn end(&mut self, problems: &mut Problems) -> Result<(), Stop> {
        let Some(Open { place, anchor, items, size }) = self.open.pop() else { return Ok(()) };
        let value = match items {
            Items::List(nodes) => Value::List(nodes),
            Items::Map { entries, seen, merged, .. } => Value::Map(merge(entries, seen, merged, problems)),
        };
        let node = Node { place, value, size };
        self.keep(anchor, &node, problems)?;
        // Its values were counted one by one.
        self.nodes -= size - 1;
        self.add(node, problems)
    }

    fn add(&mut self, node: Node, problems: &mut Problems) -> Result<(), Stop> {
        self.nodes += node.size;
        if self.nodes > self.nodes_max {
            return Err(self.too_many(node.place, problems));
        }
        let Some(open) = self.open.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        open.size += node.size;
        match &mut open.items {
            Items::List(nodes) => nodes.push(node),
            Items::Map { entries, seen, merged, key } => match key.take() {
                None => match node.value {
                    Value::Scalar { text, .. } => *key = Some((text, node.place)),
                    _ => {
                        problems.add(node.place, "a key must be a single value");
                        return Err(Stop);
                    }
                },
                Some((text, _)) if text == "<<" => merged.push(node),
                Some((text, place)) => match seen.get(&text) {
                    Some(first) => problems.add(place, format!("`{text}` stands here again, first at {first}")),
                    None => {
                        seen.insert(text.clone(), place);
                        entries.push(Entry { key: text, place, value: node });
                    }
                },
            },
        }
        Ok(())
    }
}

/// Entries of a map with those that merge keys bring; its own come first, then the earlier of several.
fn merge(
    mut entries: Vec<Entry>,
    mut seen: BTreeMap<String, Place>,
    merged: Vec<Node>,
    problems: &mut Problems,
) -> Vec<Entry> {
    for node in merged {
        let maps = match node.value {
            Value::List(nodes) => nodes,
            _ => vec![node],
        };
        for map in maps {
            let Value::Map(more) = map.value else {
                problems.add(map.place, "`<<` takes a map or a list of maps");
                continue;
            };
            for entry in more {
                if seen.insert(entry.key.clone(), entry.place).is_none() {
                    entries.push(entry);
                }
            }
        }
    }
    entries
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A byte order mark.
    const MARK: char = '\u{feff}';

    fn problem(text: &str) -> String {
        parse(text).unwrap_err().first().map(ToString::to_string).unwrap_or_default()
    }

    fn text_of(text: &str) -> (String, bool) {
        match parse(text).unwrap().value {
            Value::Scalar { text, plain } => (text, plain),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_byte_order_mark_at_the_begin_is_no_part_of_the_text() {
        for text in ["a: 1\nb: {c: 2}\n", "{\"a\": [1]}", "# note\na: 1\n", "  a: 1\n"] {
            assert_eq!(parse(&format!("{MARK}{text}")).unwrap(), parse(text).unwrap(), "{text}");
        }
        for text in ["a: 1\na: 2\n", "{\"a\": 1, \"a\": 2}", "!x 1", ""] {
            assert_eq!(problem(&format!("{MARK}{text}")), problem(text), "{text}");
        }
    }

    /// Half a megabyte of text that aliases would make sixty gigabytes of.
    #[test]
    fn long_texts_count_by_their_bytes() {
        let aliases = vec!["*a"; 120_000].join(", ");
        let text = format!("a: &a \"{}\"\nb: [{aliases}]\n", "x".repeat(400_000));
        assert!(problem(&text).contains("holds more than 200000 values"), "{}", problem(&text));
        // The same text by itself, and a few times, is fine.
        let text = format!("a: &a \"{}\"\nb: [*a, *a, *a]\n", "x".repeat(400_000));
        assert_eq!(parse(&text).unwrap().get("b").unwrap().size, 3 * (1 + 400_000 / SCALAR_BYTES) + 1);
    }

    /// Each of thirty anchors holds the one within it, so that all copies together are thirty times the text.
    #[test]
    fn anchors_within_anchors_are_bounded() {
        let open: String = (0..30).map(|level| format!("&a{level} [")).collect();
        let text = format!("{open}{}{}", "x,".repeat(100_000), "]".repeat(30));
        assert!(problem(&text).contains("holds more than 200000 values"), "{}", problem(&text));
    }

    /// A hundred thousand keys of one map are compared with a set, not with each other.
    #[test]
    fn many_keys_and_a_repeated_one() {
        let mut text: String = (0..90_000).map(|key| format!("k{key}: 1\n")).collect();
        assert!(matches!(parse(&text).unwrap().value, Value::Map(entries) if entries.len() == 90_000));
        text.push_str("k7: 2\n");
        assert_eq!(problem(&text), "90001:1: `k7` stands here again, first at 8:1");
    }

    #[test]
    fn merge_keys_of_many_keys() {
        let keys: String = (0..40_000).map(|key| format!("  k{key}: 1\n")).collect();
        let text = format!("a: &a\n{keys}b:\n  <<: *a\n  k1: 2\n");
        let tree = parse(&text).unwrap();
        let b = tree.get("b").unwrap();
        assert_eq!(b.get("k1").unwrap().as_text(), Some("2"));
        assert!(matches!(&b.value, Value::Map(entries) if entries.len() == 40_000));
    }

    #[test]
    fn tags_of_the_core_schema_are_followed() {
        assert_eq!(text_of("!!str 5"), ("5".to_string(), false));
        assert_eq!(text_of("!!int \"5\""), ("5".to_string(), true));
        assert_eq!(text_of("! 5"), ("5".to_string(), false));
        assert!(parse("!!map {a: !!seq [1]}").is_ok());
    }

    #[test]
    fn other_tags_are_refused_with_their_line() {
        let said = problem("a: 1\nb: !secret token\n");
        assert!(said.starts_with("2:") && said.contains("has the tag `!secret`"), "{said}");
        assert!(said.contains("{ secret: NAME }"), "{said}");
        for text in ["a: !reset []", "a: !!binary aGk=", "a: !!seq {}", "a: !<tag:example.org,2000:x> 1", "!x {a: 1}"] {
            assert!(problem(text).contains("which means nothing here"), "{text}: {}", problem(text));
        }
    }

    #[test]
    fn known_tags_are_noted_at_the_value() {
        let tagged = parse_with_tags("a: !reset []\nb: !override {c: 1}\n", &["!reset", "!override"]).unwrap();
        let tag = |key: &str| tagged.tags.get(&tagged.root.get(key).unwrap().place).map(String::as_str);
        assert_eq!((tag("a"), tag("b")), (Some("!reset"), Some("!override")));
        assert!(parse_with_tags("a: !other 1", &["!reset"]).is_err());
    }
}
