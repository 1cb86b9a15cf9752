//! Expressions of the Nix language for plain values, as a person would write them.
//!
//! # Why so
//! A value that comes from a document must not become Nix: no text of it opens an interpolation or ends its quotes, and no key of it is a keyword. Signs that a
//! reader does not see, or that turn the direction of what is read, are written by their numbers. What Nix cannot hold is refused: a value that reads back as
//! another one would be worse than none.
//!
//! Sources: the manual of Nix, "String" and "Data Types"; `lexer.l` and `value-to-json.cc` of Nix 2.18.

mod print;
mod text;
mod value;

pub use print::expression;
pub use text::string;
pub use value::{NixError, Value};
