//! The published JSON schema, made from the same declarations as the reader.

use super::root::Document;
use crate::text::{Definitions, Out, Shape};

/// Address under which the schema is known.
const SCHEMA_ID: &str = "https://openmesh.network/schema/xnode/1";

/// JSON schema (2020-12) of the document. It refuses no document as it is printed; the reader is kinder in one thing (a key without a value
/// counts as left out), and stricter in what only a look at the whole tells, as two applications with one port.
pub fn schema() -> Out {
    let mut definitions = Definitions::new();
    let root = Document::schema(&mut definitions);
    if let Some(Out::Map(pairs)) = definitions.get_mut("Application") {
        let origins = ["image", "recipe", "template"];
        let one = origins.map(|key| Out::map([("required", Out::List(vec![Out::text(key)]))]));
        pairs.push(("oneOf".to_string(), Out::List(one.to_vec())));
    }
    let Out::Map(reference) = root else { return root };
    let head = [
        ("$schema", Out::text("https://json-schema.org/draft/2020-12/schema")),
        ("$id", Out::text(SCHEMA_ID)),
        ("title", Out::text("Xnode document")),
    ];
    let head = head.map(|(key, value)| (key.to_string(), value)).into_iter();
    Out::Map(head.chain(reference).chain([("$defs".to_string(), Out::map(definitions))]).collect())
}
