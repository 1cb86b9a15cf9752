//! YAML and JSON into a tree with places.
//!
//! Anchors, aliases and merge keys (`<<`) are followed, within a bound on all values together, so that a text of a kilobyte cannot become
//! gigabytes. A key that stands twice in a map is refused: one of the two would be lost silently. Source: YAML 1.2.2.

use std::borrow::Cow;
use std::collections::BTreeMap;

use granit_parser::{Event, Parser, ScalarStyle, Span};

use super::node::{Entry, Node, Place, Value};
use super::problem::{Problem, Problems};

/// Longest text that is read, in bytes: a document of a thousand applications has a third of it.
pub const TEXT_BYTES_MAX: usize = 1 << 20;
/// Deepest nesting: the deepest place of a document is at 9, of a compose file at 8.
pub const DEPTH_MAX: usize = 32;
/// Most values after aliases were followed: as many as a text of the greatest length can hold by itself.
pub const NODES_MAX: usize = 200_000;

/// The tree of a text within the usual limits. Fails with the problems of its form, as a rule one, since a parser cannot go on behind it.
pub fn parse(text: &str) -> Result<Node, Vec<Problem>> {
    parse_with_limits(text, TEXT_BYTES_MAX, NODES_MAX)
}

/// The tree of a text of at most `bytes_max` bytes and `nodes_max` values.
pub fn parse_with_limits(text: &str, bytes_max: usize, nodes_max: usize) -> Result<Node, Vec<Problem>> {
    let mut problems = Problems::default();
    if text.len() > bytes_max {
        problems.add(
            Place { line: 1, column: 1 },
            format!("has {} bytes, of which at most {bytes_max} are read", text.len()),
        );
        return Err(problems.into_sorted());
    }
    let mut builder = Builder { nodes_max, ..Builder::default() };
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
        (Some(root), true) => Ok(root),
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
    Map { entries: Vec<Entry>, merged: Vec<Node>, key: Option<(String, Place)> },
}

#[derive(Default)]
struct Builder {
    root: Option<Node>,
    open: Vec<Open>,
    anchors: BTreeMap<usize, Node>,
    nodes: usize,
    nodes_max: usize,
    documents: usize,
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
            Event::Alias(id) => match self.anchors.get(&id).cloned() {
                Some(node) => self.add(node, problems),
                None => {
                    problems.add(at, "refers to an anchor that is not closed yet: it would contain itself");
                    Err(Stop)
                }
            },
            Event::Scalar(text, style, anchor, _) => self.scalar(text, style, anchor, at, problems),
            Event::SequenceStart(_, anchor, ..) => self.begin(at, anchor, Items::List(Vec::new()), problems),
            Event::MappingStart(_, anchor, ..) => {
                self.begin(at, anchor, Items::Map { entries: Vec::new(), merged: Vec::new(), key: None }, problems)
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(problems),
            _ => Ok(()),
        }
    }

    fn scalar(
        &mut self,
        text: Cow<'_, str>,
        style: ScalarStyle,
        anchor: usize,
        at: Place,
        problems: &mut Problems,
    ) -> Result<(), Stop> {
        let plain = style == ScalarStyle::Plain;
        let node = Node { place: at, value: Value::Scalar { text: text.into_owned(), plain }, size: 1 };
        if anchor > 0 {
            self.anchors.insert(anchor, node.clone());
        }
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
            Items::Map { entries, merged, .. } => Value::Map(merge(entries, merged, problems)),
        };
        let node = Node { place, value, size };
        if anchor > 0 {
            self.anchors.insert(anchor, node.clone());
        }
        // Its values were counted one by one.
        self.nodes -= size - 1;
        self.add(node, problems)
    }

    fn add(&mut self, node: Node, problems: &mut Problems) -> Result<(), Stop> {
        self.nodes += node.size;
        if self.nodes > self.nodes_max {
            problems.add(node.place, format!("holds more than {} values, aliases followed", self.nodes_max));
            return Err(Stop);
        }
        let Some(open) = self.open.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        open.size += node.size;
        match &mut open.items {
            Items::List(nodes) => nodes.push(node),
            Items::Map { entries, merged, key } => match key.take() {
                None => match node.value {
                    Value::Scalar { text, .. } => *key = Some((text, node.place)),
                    _ => {
                        problems.add(node.place, "a key must be a single value");
                        return Err(Stop);
                    }
                },
                Some((text, _)) if text == "<<" => merged.push(node),
                Some((text, place)) => match entries.iter().find(|entry| entry.key == text) {
                    Some(first) => problems.add(place, format!("`{text}` stands here again, first at {}", first.place)),
                    None => entries.push(Entry { key: text, place, value: node }),
                },
            },
        }
        Ok(())
    }
}

/// Entries of a map with those that merge keys bring; its own come first, then the earlier of several.
fn merge(mut entries: Vec<Entry>, merged: Vec<Node>, problems: &mut Problems) -> Vec<Entry> {
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
                if !entries.iter().any(|own| own.key == entry.key) {
                    entries.push(entry);
                }
            }
        }
    }
    entries
}
