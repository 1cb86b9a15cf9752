//! Text with places: YAML and JSON as a tree in which every value knows its line and column, problems that point there, and canonical printing.
//!
//! A tree of our own stands between the parser and the types because a deserialiser stops at the first error, and the rule is that a person
//! is told all of them at once. JSON is read by the same parser, since YAML 1.2 contains it.

mod node;
mod out;
mod problem;
mod shape;
mod yaml;

pub use node::{Entry, Node, Place, Value};
pub use out::Out;
pub(crate) use problem::printable;
pub use problem::{Problem, Problems, nearest};
pub use shape::{Definitions, Scalar, Shape};
pub(crate) use shape::{FieldSchema, Fields, define, read_scalar, record, scalar, scalar_schema, unknown_word, words};
pub(crate) use yaml::unmarked;
pub use yaml::{NODES_MAX, SCALAR_BYTES, Tagged, parse, parse_with_limits, parse_with_tags};
