//! Operations gathered into a list, with the schemas of their types.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};
use utoipa::ToSchema;
use utoipa::openapi::{RefOr, Schema};

/// Form of a moment: what `seconds` means.
pub(super) const MOMENT: &str = r"^-?[0-9]+(\.[0-9]{1,9})?$";
/// Query of whatever changes something.
pub(super) const CHANGE: &[Parameter] = &[
    text("by", "Whoever asks, where root asks for somebody; of others it is ignored"),
    text("reason", "Reason, for the history"),
    number("expected", "Number of the wanted generation that the caller has seen: another one is refused"),
    flag("plan", "Only the plan is wanted"),
];

/// Kind of a parameter.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Text,
    Number,
    Flag,
    Moment,
}

/// A parameter of a query.
#[derive(Clone, Copy, Debug)]
pub(super) struct Parameter {
    name: &'static str,
    words: &'static str,
    kind: Kind,
}

pub(super) const fn text(name: &'static str, words: &'static str) -> Parameter {
    Parameter { name, words, kind: Kind::Text }
}

pub(super) const fn number(name: &'static str, words: &'static str) -> Parameter {
    Parameter { name, words, kind: Kind::Number }
}

pub(super) const fn flag(name: &'static str, words: &'static str) -> Parameter {
    Parameter { name, words, kind: Kind::Flag }
}

pub(super) const fn moment(name: &'static str, words: &'static str) -> Parameter {
    Parameter { name, words, kind: Kind::Moment }
}

impl Parameter {
    fn schema(self) -> Value {
        match self.kind {
            Kind::Text => json!({ "type": "string" }),
            Kind::Number => json!({ "type": "integer", "format": "int64", "minimum": 0 }),
            Kind::Flag => json!({ "type": "boolean", "default": false }),
            Kind::Moment => json!({ "type": "string", "pattern": MOMENT }),
        }
    }
}

/// A schema with those that it refers to.
pub(super) struct Typed {
    schema: Value,
    named: Vec<(String, RefOr<Schema>)>,
}

/// A reference to a type's schema.
pub(super) fn reference<T: ToSchema>() -> Typed {
    let mut named = Vec::new();
    T::schemas(&mut named);
    let name = T::name().into_owned();
    let schema = json!({ "$ref": format!("#/components/schemas/{name}") });
    named.push((name, T::schema()));
    Typed { schema, named }
}

/// A body or an answer.
pub(super) struct Content {
    media: &'static str,
    typed: Typed,
    is_stream: bool,
}

/// A value of a type as JSON.
pub(super) fn value<T: ToSchema>() -> Content {
    Content { media: "application/json", typed: reference::<T>(), is_stream: false }
}

/// A list of values as JSON.
pub(super) fn values<T: ToSchema>() -> Content {
    let typed = reference::<T>();
    let schema = json!({ "type": "array", "items": typed.schema });
    Content { media: "application/json", typed: Typed { schema, ..typed }, is_stream: false }
}

/// One value a line.
pub(super) fn lines<T: ToSchema>() -> Content {
    Content { media: "application/x-ndjson", typed: reference::<T>(), is_stream: true }
}

/// JSON of a plain schema.
pub(super) fn plain(schema: Value) -> Content {
    Content { media: "application/json", typed: Typed { schema, named: Vec::new() }, is_stream: false }
}

/// Text of a media type.
pub(super) fn of(media: &'static str) -> Content {
    Content { media, typed: Typed { schema: json!({ "type": "string" }), named: Vec::new() }, is_stream: false }
}

/// Bytes.
pub(super) fn bytes() -> Content {
    // Source: OpenAPI 3.1.0, 4.8.14.3: what is not encoded has no schema.
    Content {
        media: "application/octet-stream",
        typed: Typed { schema: json!({}), named: Vec::new() },
        is_stream: false,
    }
}

/// Operations by path, with the schemas of their types.
#[derive(Default)]
pub(super) struct List {
    pub paths: Map<String, Value>,
    pub schemas: BTreeMap<String, Value>,
    /// Names that two types have.
    pub clashes: BTreeSet<String>,
}

impl List {
    /// Takes the named schemas of a type, and returns its own.
    pub fn take(&mut self, typed: Typed) -> Value {
        for (name, schema) in typed.named {
            let schema = serde_json::to_value(schema).unwrap_or_default();
            let before = self.schemas.insert(name.clone(), schema.clone());
            if before.is_some_and(|before| before != schema) {
                self.clashes.insert(name);
            }
        }
        typed.schema
    }

    /// Begins an operation of a path below `/v1/xnode`.
    pub fn add(&mut self, tag: &str, (method, path): (&'static str, &str), words: &str) -> Operation<'_> {
        self.at(tag, (method, &format!("/v1/xnode{path}")), words)
    }

    /// Begins an operation.
    pub fn at(&mut self, tag: &str, (method, path): (&'static str, &str), words: &str) -> Operation<'_> {
        let path = path.to_string();
        let parameters: Vec<Value> = path.split('/').filter_map(parameter).collect();
        let name = operation_name(method, &path);
        let operation =
            json!({ "operationId": name, "tags": [tag], "summary": words, "parameters": parameters, "responses": {} });
        Operation { list: self, method, path, operation }
    }
}

/// Name of an operation, as programs have it.
fn operation_name(method: &str, path: &str) -> String {
    let own = path.strip_prefix("/v1/xnode").unwrap_or(path);
    let parts = own.split('/').filter(|part| !part.is_empty());
    let plain = parts.map(|part| part.trim_matches(['{', '}']).replace('.', "_"));
    // The same answer at two paths has two names.
    let first = if own == path { format!("{method}_own") } else { method.to_string() };
    std::iter::once(first).chain(plain).collect::<Vec<_>>().join("_")
}

/// The parameter of a part of a path.
fn parameter(part: &str) -> Option<Value> {
    let name = part.strip_prefix('{')?.strip_suffix('}')?;
    let is_number = matches!(name, "number" | "other" | "line");
    let schema = if is_number {
        json!({ "type": "integer", "format": "int64", "minimum": 0 })
    } else {
        json!({ "type": "string" })
    };
    Some(json!({ "name": name, "in": "path", "required": true, "schema": schema }))
}

/// An operation that is being described; it is in the list when it is dropped.
pub(super) struct Operation<'a> {
    list: &'a mut List,
    method: &'static str,
    path: String,
    operation: Value,
}

impl Operation<'_> {
    /// More words.
    pub fn about(mut self, words: &str) -> Self {
        self.operation["description"] = words.into();
        self
    }

    /// Parameters of its query.
    pub fn query(mut self, parameters: &[Parameter]) -> Self {
        for parameter in parameters {
            let described = json!({
                "name": parameter.name, "in": "query", "required": false, "description": parameter.words, "schema": parameter.schema(),
            });
            self.add_parameter(described);
        }
        self
    }

    /// A header that it takes.
    pub fn header(mut self, name: &str, words: &str) -> Self {
        let described = json!({ "name": name, "in": "header", "required": false, "description": words, "schema": { "type": "string" } });
        self.add_parameter(described);
        self
    }

    fn add_parameter(&mut self, described: Value) {
        if let Some(all) = self.operation["parameters"].as_array_mut() {
            all.push(described);
        }
    }

    /// A body that it takes; several are one or the other.
    pub fn body(mut self, content: Content, required: bool) -> Self {
        let schema = self.list.take(content.typed);
        self.operation["requestBody"]["required"] = required.into();
        self.operation["requestBody"]["content"][content.media] = json!({ "schema": schema });
        self
    }

    /// Its answer.
    pub fn answers(self, content: Content, words: &str) -> Self {
        self.answers_with("200", content, words)
    }

    /// An answer with a status of its own.
    pub fn answers_with(mut self, status: &str, content: Content, words: &str) -> Self {
        let schema = self.list.take(content.typed);
        let mut described = json!({ "schema": schema });
        if content.is_stream {
            described["x-stream"] = "lines".into();
        }
        self.operation["responses"][status] = json!({ "description": words, "content": { content.media: described } });
        self
    }

    /// An answer without a body.
    pub fn empty(mut self, status: &str, words: &str) -> Self {
        self.operation["responses"][status] = json!({ "description": words });
        self
    }
}

impl Drop for Operation<'_> {
    fn drop(&mut self) {
        let operation = std::mem::take(&mut self.operation);
        let path = self.list.paths.entry(self.path.clone()).or_insert_with(|| json!({}));
        path[self.method] = operation;
    }
}
