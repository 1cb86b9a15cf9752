//! Types that are read from a tree, printed and described in a schema, from one declaration.
//!
//! `record!`, `words!` and `scalar!` make the type, its reader, its printer and its part of the JSON schema from the same lines, so that the
//! four cannot drift apart. Readers never stop at a problem: they note it and read on.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::str::FromStr;

use super::node::{Entry, Node, Value};
use super::out::Out;
use super::problem::{Problems, nearest};

/// Definitions of a schema, by the name of their type.
pub type Definitions = BTreeMap<String, Out>;

/// A type with a form in a document.
pub trait Shape: Sized + PartialEq {
    /// The value of a tree; `None` when there was a problem, which is then noted.
    fn read(node: &Node, problems: &mut Problems) -> Option<Self>;
    /// The value in canonical form.
    fn write(&self) -> Out;
    /// JSON schema (2020-12) of the form.
    fn schema(definitions: &mut Definitions) -> Out;
    /// The value of a key that is not there; `None` when the key must be there.
    fn absent() -> Option<Self> {
        None
    }
}

/// A type with a form of one word, which may also be a key.
pub trait Scalar: FromStr<Err: Display> + Display + Ord {
    /// Noun phrase of what is expected: "a size with its unit".
    const EXPECTED: &'static str;
    /// Regular expression (ECMA 262) of a superset of the accepted texts.
    const PATTERN: &'static str;
    /// Digits of base 8, as a mode: a plain number must then begin with 0, as no number of JSON does. Without it `420` would be read as 0420,
    /// where a program that writes JSON means 0644.
    const IS_OCTAL: bool = false;
}

/// Reads the one word of a scalar type.
pub(crate) fn read_scalar<T: Scalar>(node: &Node, problems: &mut Problems) -> Option<T> {
    let Some(text) = node.as_text() else {
        problems.add(node.place, format!("is {}, but {} is expected", node.kind(), T::EXPECTED));
        return None;
    };
    if T::IS_OCTAL && matches!(&node.value, Value::Scalar { plain: true, .. }) && !text.starts_with('0') {
        let what = format!("is the number {text}, of which nobody knows whether its digits are of base 8 or 10");
        problems.add_with_hint(node.place, what, "write it as a text, as \"0644\"");
        return None;
    }
    match text.parse() {
        Ok(value) => Some(value),
        Err(error) => {
            problems.add(node.place, error.to_string());
            None
        }
    }
}

/// Schema of a scalar type.
pub(crate) fn scalar_schema<T: Scalar>() -> Out {
    Out::map([
        ("type", Out::text("string")),
        ("pattern", Out::text(T::PATTERN)),
        ("description", Out::text(T::EXPECTED)),
    ])
}

/// Gives types with [`Scalar`] their [`Shape`]; `octal` behind the pattern says that their digits are of base 8.
macro_rules! scalar {
    ($($ty:ty: $expected:literal, $pattern:expr $(, $octal:ident)?;)*) => { $(
        impl $crate::text::Scalar for $ty {
            const EXPECTED: &'static str = $expected;
            const PATTERN: &'static str = $pattern;
            $(const IS_OCTAL: bool = matches!(stringify!($octal).as_bytes(), b"octal");)?
        }
        impl $crate::text::Shape for $ty {
            fn read(node: &$crate::text::Node, problems: &mut $crate::text::Problems) -> Option<Self> {
                $crate::text::read_scalar(node, problems)
            }
            fn write(&self) -> $crate::text::Out {
                $crate::text::Out::Text(self.to_string())
            }
            fn schema(_: &mut $crate::text::Definitions) -> $crate::text::Out {
                $crate::text::scalar_schema::<$ty>()
            }
        }
    )* };
}
pub(crate) use scalar;

/// Declares a choice of words.
macro_rules! words {
    ($(#[$meta:meta])* $name:ident { $($(#[doc = $doc:literal])+ $variant:ident = $word:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, borsh::BorshSerialize, borsh::BorshDeserialize)]
        pub enum $name { $($(#[doc = $doc])+ $variant,)+ }

        impl $name {
            /// All words, in the order of the declaration.
            pub const WORDS: &'static [&'static str] = &[$($word),+];

            /// The word in documents.
            pub const fn word(self) -> &'static str {
                match self { $($name::$variant => $word,)+ }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.word())
            }
        }

        impl std::str::FromStr for $name {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, String> {
                match text {
                    $($word => Ok($name::$variant),)+
                    _ => Err($crate::text::unknown_word(text, Self::WORDS)),
                }
            }
        }

        impl $crate::text::Shape for $name {
            fn read(node: &$crate::text::Node, problems: &mut $crate::text::Problems) -> Option<Self> {
                let Some(text) = node.as_text() else {
                    problems.add(node.place, format!("is {}, but one of {} is expected", node.kind(), Self::WORDS.join(", ")));
                    return None;
                };
                text.parse().map_err(|error: String| problems.add(node.place, error)).ok()
            }
            fn write(&self) -> $crate::text::Out {
                $crate::text::Out::Text(self.word().to_string())
            }
            fn schema(_: &mut $crate::text::Definitions) -> $crate::text::Out {
                let words = Self::WORDS.iter().map(|word| $crate::text::Out::text(*word)).collect();
                $crate::text::Out::map([("enum", $crate::text::Out::List(words))])
            }
        }
    };
}
pub(crate) use words;

/// The message for a word that is not among the known ones.
pub(crate) fn unknown_word(word: &str, known: &[&str]) -> String {
    match nearest(word, known) {
        Some(near) => format!("is `{word}`, which is not known; did you mean `{near}`?"),
        None => format!("is `{word}`, but one of {} is expected", known.join(", ")),
    }
}

/// Entries of a map of which the keys are known.
pub(crate) struct Fields<'a> {
    node: &'a Node,
}

impl<'a> Fields<'a> {
    /// The entries; unknown keys are noted with the nearest known one.
    pub(crate) fn of(node: &'a Node, known: &[&str], problems: &mut Problems) -> Option<Fields<'a>> {
        let Value::Map(entries) = &node.value else {
            problems.add(node.place, format!("is {}, but a map with {} is expected", node.kind(), some_of(known)));
            return None;
        };
        for Entry { key, place, .. } in entries.iter().filter(|entry| !known.contains(&entry.key.as_str())) {
            // Beyond the bound no hint is looked for.
            let near = if problems.is_full() { None } else { nearest(key, known) };
            problems.below(key, |problems| match near {
                Some(near) => problems.add_with_hint(*place, "is not a known key", format!("did you mean `{near}`?")),
                None => {
                    problems.add_with_hint(*place, "is not a known key", format!("known here: {}", known.join(", ")))
                }
            });
        }
        Some(Fields { node })
    }

    /// The value of a key. A key without a value counts as left out.
    pub(crate) fn read<T: Shape>(&self, key: &str, default: Option<T>, problems: &mut Problems) -> Option<T> {
        match self.node.get(key).filter(|node| !node.is_null()) {
            Some(node) => problems.below(key, |problems| T::read(node, problems)),
            None => default.or_else(T::absent).or_else(|| {
                problems.add_with_hint(self.node.place, format!("lacks `{key}`"), format!("write `{key}:` here"));
                None
            }),
        }
    }
}

fn some_of(known: &[&str]) -> String {
    let shown: Vec<String> = known.iter().take(4).map(|key| format!("`{key}`")).collect();
    match known.len() > 4 {
        true => format!("{}, ...", shown.join(", ")),
        false => shown.join(", "),
    }
}

/// Declares a map with known keys: the struct, its reader, its printer and its schema. `= value` is a default, which printing leaves out. A field with
/// `#[borsh(skip)]` came later than the canonical bytes, which have it elsewhere.
macro_rules! record {
    ($(#[$meta:meta])* $name:ident {
        $($(#[doc = $doc:literal])+ $(#[borsh($late:ident)])? $field:ident: $ty:ty $(= $default:expr)?,)+
    }) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Eq, borsh::BorshSerialize, borsh::BorshDeserialize)]
        pub struct $name { $($(#[doc = $doc])+ $(#[borsh($late)])? pub $field: $ty,)+ }

        impl $crate::text::Shape for $name {
            fn read(node: &$crate::text::Node, problems: &mut $crate::text::Problems) -> Option<Self> {
                let fields = $crate::text::Fields::of(node, &[$(stringify!($field)),+], problems)?;
                $(let $field: Option<$ty> =
                    fields.read(stringify!($field), $crate::text::record!(@default $($default)?), problems);)+
                Some($name { $($field: $field?,)+ })
            }

            fn write(&self) -> $crate::text::Out {
                let mut pairs = Vec::new();
                $({
                    let default: Option<$ty> = $crate::text::record!(@default $($default)?);
                    if default.or_else(<$ty as $crate::text::Shape>::absent).as_ref() != Some(&self.$field) {
                        pairs.push((stringify!($field).to_string(), $crate::text::Shape::write(&self.$field)));
                    }
                })+
                $crate::text::Out::Map(pairs)
            }

            fn schema(definitions: &mut $crate::text::Definitions) -> $crate::text::Out {
                let fields = vec![$({
                    let default: Option<$ty> = $crate::text::record!(@default $($default)?);
                    $crate::text::FieldSchema {
                        key: stringify!($field),
                        description: concat!($($doc),+),
                        required: default.is_none() && <$ty as $crate::text::Shape>::absent().is_none(),
                        default: default.map(|value| $crate::text::Shape::write(&value)),
                        schema: <$ty as $crate::text::Shape>::schema(definitions),
                    }
                }),+];
                $crate::text::define(stringify!($name), fields, definitions)
            }

            fn absent() -> Option<Self> {
                // A map of which every key may be left out may be left out itself.
                Some($name { $($field: {
                    let default: Option<$ty> = $crate::text::record!(@default $($default)?);
                    default.or_else(<$ty as $crate::text::Shape>::absent)?
                },)+ })
            }
        }
    };
    (@default) => { None };
    (@default $default:expr) => { Some($default) };
}
pub(crate) use record;

/// A key of a record in a schema.
pub(crate) struct FieldSchema {
    /// The key.
    pub(crate) key: &'static str,
    /// Its doc comment.
    pub(crate) description: &'static str,
    /// It must be there.
    pub(crate) required: bool,
    /// Its value without it.
    pub(crate) default: Option<Out>,
    /// Form of its value.
    pub(crate) schema: Out,
}

/// Puts a record into the definitions and gives the reference to it.
pub(crate) fn define(name: &str, fields: Vec<FieldSchema>, definitions: &mut Definitions) -> Out {
    let required = fields.iter().filter(|field| field.required).map(|field| Out::text(field.key)).collect();
    let properties = fields.into_iter().map(|field| {
        let Out::Map(mut pairs) = field.schema else { return (field.key, field.schema) };
        pairs.retain(|(key, _)| key != "description");
        pairs.push(("description".to_string(), Out::text(field.description.trim())));
        if let Some(default) = field.default {
            pairs.push(("default".to_string(), default));
        }
        (field.key, Out::Map(pairs))
    });
    let definition = Out::map([
        ("type", Out::text("object")),
        ("additionalProperties", Out::Bool(false)),
        ("required", Out::List(required)),
        ("properties", Out::map(properties)),
    ]);
    definitions.insert(name.to_string(), definition);
    Out::map([("$ref", Out::text(format!("#/$defs/{name}")))])
}

impl<T: Shape> Shape for Option<T> {
    fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
        T::read(node, problems).map(Some)
    }
    fn write(&self) -> Out {
        self.as_ref().map_or(Out::Map(Vec::new()), Shape::write)
    }
    fn schema(definitions: &mut Definitions) -> Out {
        T::schema(definitions)
    }
    fn absent() -> Option<Self> {
        Some(None)
    }
}

impl<T: Shape> Shape for Vec<T> {
    fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
        let Value::List(items) = &node.value else {
            problems.add_with_hint(
                node.place,
                format!("is {}, but a list is expected", node.kind()),
                "write `[a, b]` or lines with `- `",
            );
            return None;
        };
        let read: Vec<Option<T>> = items
            .iter()
            .enumerate()
            .map(|(index, item)| problems.below(index.to_string(), |problems| T::read(item, problems)))
            .collect();
        read.into_iter().collect()
    }
    fn write(&self) -> Out {
        Out::List(self.iter().map(Shape::write).collect())
    }
    fn schema(definitions: &mut Definitions) -> Out {
        Out::map([("type", Out::text("array")), ("items", T::schema(definitions))])
    }
    fn absent() -> Option<Self> {
        Some(Vec::new())
    }
}

impl<T: Shape + Ord> Shape for BTreeSet<T> {
    fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
        let items = Vec::<T>::read(node, problems)?;
        let mut set = BTreeSet::new();
        for (index, item) in items.into_iter().enumerate() {
            if !set.insert(item) {
                let place = match &node.value {
                    Value::List(nodes) => nodes.get(index).map_or(node.place, |node| node.place),
                    _ => node.place,
                };
                problems.below(index.to_string(), |problems| problems.add(place, "stands in the list twice"));
                return None;
            }
        }
        Some(set)
    }
    fn write(&self) -> Out {
        Out::List(self.iter().map(Shape::write).collect())
    }
    fn schema(definitions: &mut Definitions) -> Out {
        let items = T::schema(definitions);
        Out::map([("type", Out::text("array")), ("items", items), ("uniqueItems", Out::Bool(true))])
    }
    fn absent() -> Option<Self> {
        Some(BTreeSet::new())
    }
}

impl<K: Scalar, T: Shape> Shape for BTreeMap<K, T> {
    fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
        let Value::Map(entries) = &node.value else {
            problems.add(node.place, format!("is {}, but a map from {} is expected", node.kind(), K::EXPECTED));
            return None;
        };
        let mut map = Some(BTreeMap::new());
        for Entry { key, place, value } in entries {
            let pair = problems.below(key, |problems| {
                let parsed = key.parse::<K>().map_err(|error| problems.add(*place, error.to_string())).ok();
                let value = match (value.is_null(), T::absent()) {
                    (true, Some(absent)) => Some(absent),
                    _ => T::read(value, problems),
                };
                parsed.zip(value)
            });
            match (&mut map, pair) {
                (Some(map), Some((key, value))) => drop(map.insert(key, value)),
                (map, None) => *map = None,
                (None, _) => {}
            }
        }
        map
    }
    fn write(&self) -> Out {
        Out::map(self.iter().map(|(key, value)| (key.to_string(), value.write())))
    }
    fn schema(definitions: &mut Definitions) -> Out {
        let names = Out::map([("pattern", Out::text(K::PATTERN))]);
        let values = T::schema(definitions);
        Out::map([("type", Out::text("object")), ("propertyNames", names), ("additionalProperties", values)])
    }
    fn absent() -> Option<Self> {
        Some(BTreeMap::new())
    }
}

impl Shape for String {
    fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
        match node.as_text() {
            Some(text) if text.contains('\0') => {
                problems.add(node.place, "holds a NUL, which no program can be given");
                None
            }
            Some(text) => Some(text.to_string()),
            None => {
                problems.add_with_hint(
                    node.place,
                    format!("is {}, but a text is expected", node.kind()),
                    "an empty text is `\"\"`",
                );
                None
            }
        }
    }
    fn write(&self) -> Out {
        Out::Text(self.clone())
    }
    fn schema(_: &mut Definitions) -> Out {
        Out::map([("type", Out::List(["string", "number", "boolean"].map(Out::text).to_vec()))])
    }
}

impl Shape for bool {
    fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
        match &node.value {
            Value::Scalar { text, plain: true } if text == "true" => Some(true),
            Value::Scalar { text, plain: true } if text == "false" => Some(false),
            _ => {
                problems.add(node.place, "must be true or false, without quotes");
                None
            }
        }
    }
    fn write(&self) -> Out {
        Out::Bool(*self)
    }
    fn schema(_: &mut Definitions) -> Out {
        Out::map([("type", Out::text("boolean"))])
    }
}

/// Gives unsigned numbers their shape.
macro_rules! numbers {
    ($($ty:ty),*) => { $(
        impl Shape for $ty {
            fn read(node: &Node, problems: &mut Problems) -> Option<Self> {
                let text = match &node.value {
                    Value::Scalar { text, plain: true } => text.as_str(),
                    _ => "",
                };
                let number = text.parse().ok().filter(|_| text.bytes().all(|b| b.is_ascii_digit()));
                if number.is_none() {
                    problems.add(node.place, format!("must be a whole number from 0 to {}, without quotes", <$ty>::MAX));
                }
                number
            }
            fn write(&self) -> Out {
                Out::Number(u64::from(*self))
            }
            fn schema(_: &mut Definitions) -> Out {
                let max = ("maximum", Out::Number(u64::from(<$ty>::MAX)));
                Out::map([("type", Out::text("integer")), ("minimum", Out::Number(0)), max])
            }
        }
    )* };
}
numbers!(u16, u32, u64);

#[cfg(test)]
mod tests {
    use std::fmt;

    use super::*;
    use crate::text::{Place, parse};

    /// A number of base 8.
    #[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
    struct Bits(u16);

    impl FromStr for Bits {
        type Err = std::num::ParseIntError;

        fn from_str(text: &str) -> Result<Bits, Self::Err> {
            u16::from_str_radix(text, 8).map(Bits)
        }
    }

    impl fmt::Display for Bits {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "{:o}", self.0)
        }
    }

    scalar! {
        Bits: "bits", "^[0-7]+$", octal;
    }

    #[test]
    fn plain_numbers_of_base_8_begin_with_0() {
        let read = |text: &str| {
            let mut problems = Problems::default();
            let bits = Bits::read(&parse(text).unwrap(), &mut problems);
            (bits, problems.into_sorted().first().map(ToString::to_string).unwrap_or_default())
        };
        assert_eq!(read("0644").0, Some(Bits(0o644)));
        assert_eq!(read("\"644\"").0, Some(Bits(0o644)));
        let (bits, said) = read("420");
        assert_eq!(bits, None);
        assert!(said.starts_with("1:1: is the number 420") && said.contains("\"0644\""), "{said}");
        assert_eq!(Bits::read(&Node::text("644", Place::default()), &mut Problems::default()), Some(Bits(0o644)));
    }
}
