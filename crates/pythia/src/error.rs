//! Errors of queries, in words and in codes.

use std::fmt;

use datafusion::arrow::error::ArrowError;
use datafusion::common::{DataFusionError, SchemaError};

use crate::governor::guard::Stopped;
use crate::suggest;

/// A place in the query's text, both from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// Line.
    pub line: u64,
    /// Column, in characters.
    pub column: u64,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}", self.line, self.column)
    }
}

/// Error of a query.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    /// Not SQL.
    #[error("{message}{}", .position.map(|p| format!(" at {p}")).unwrap_or_default())]
    Syntax {
        /// Text and token that were expected and found.
        message: String,
        /// Place in the text.
        position: Option<Position>,
        /// Advice.
        hint: Option<String>,
    },
    /// A table that does not exist.
    #[error("there is no table {name:?}")]
    UnknownTable {
        /// As written.
        name: String,
        /// Close names, closest first.
        suggestions: Vec<String>,
    },
    /// A column that no table of the query has.
    #[error("there is no column {name:?}")]
    UnknownColumn {
        /// As written.
        name: String,
        /// Close names, closest first.
        suggestions: Vec<String>,
    },
    /// A function that does not exist, or is not offered.
    #[error("there is no function {name:?}")]
    UnknownFunction {
        /// As written.
        name: String,
        /// Close names, closest first.
        suggestions: Vec<String>,
    },
    /// Well formed, but without meaning: types that do not fit, a missing GROUP BY.
    #[error("{message}")]
    Invalid {
        /// Reason, for people.
        message: String,
    },
    /// Anything but reading.
    #[error("{statement} is not allowed: only SELECT, WITH, VALUES, SHOW, DESCRIBE and EXPLAIN are")]
    RefusedStatement {
        /// The statement's first words.
        statement: String,
    },
    /// Longer than the service accepts.
    #[error("the query has {found} {unit}, the limit is {limit}")]
    TooLong {
        /// `bytes` or `words`.
        unit: &'static str,
        /// Number found.
        found: usize,
        /// Number allowed.
        limit: usize,
    },
    /// Stopped when its time was over.
    #[error("the query took longer than {time_ms_max} ms and was stopped")]
    TimedOut {
        /// Limit.
        time_ms_max: u64,
    },
    /// Stopped when it wanted more memory.
    #[error("the query needs more than {memory_bytes_max} bytes of memory and was stopped")]
    MemoryLimit {
        /// Limit.
        memory_bytes_max: usize,
    },
    /// The queue is full.
    #[error("{running} queries are running and {waiting} are waiting: try again in a moment")]
    TooManyQueries {
        /// Running now.
        running: usize,
        /// Waiting now.
        waiting: usize,
    },
    /// Stopped by whoever asked, or because the service is going down.
    #[error("the query was cancelled")]
    Cancelled,
    /// It ran, and a value made it impossible to go on: division by zero, a number too large, a failed cast.
    #[error("{message}")]
    Execution {
        /// Reason, for people.
        message: String,
    },
    /// Our fault. Details are in the log.
    #[error("the query failed inside the service; its log has the details")]
    Internal,
}

impl QueryError {
    /// The code in answers and metrics.
    pub const fn code(&self) -> &'static str {
        match self {
            QueryError::Syntax { .. } => "syntax",
            QueryError::UnknownTable { .. } => "unknown_table",
            QueryError::UnknownColumn { .. } => "unknown_column",
            QueryError::UnknownFunction { .. } => "unknown_function",
            QueryError::Invalid { .. } => "invalid_query",
            QueryError::RefusedStatement { .. } => "refused_statement",
            QueryError::TooLong { .. } => "query_too_long",
            QueryError::TimedOut { .. } => "timed_out",
            QueryError::MemoryLimit { .. } => "memory_limit",
            QueryError::TooManyQueries { .. } => "too_many_queries",
            QueryError::Cancelled => "cancelled",
            QueryError::Execution { .. } => "execution_failed",
            QueryError::Internal => "internal",
        }
    }

    /// Advice for the person who asked.
    pub fn hint(&self) -> Option<String> {
        let did_you_mean = |suggestions: &[String], other: &str| match suggestions {
            [] => other.to_string(),
            names => format!("did you mean {}?", names.join(", ")),
        };
        match self {
            QueryError::Syntax { hint, .. } => hint.clone(),
            QueryError::UnknownTable { suggestions, .. } => {
                Some(did_you_mean(suggestions, "SHOW TABLES lists what there is"))
            }
            QueryError::UnknownColumn { suggestions, .. } => {
                Some(did_you_mean(suggestions, "DESCRIBE <table> lists its columns; texts stand in 'single quotes'"))
            }
            QueryError::UnknownFunction { suggestions, .. } => {
                Some(did_you_mean(suggestions, "SHOW FUNCTIONS lists what there is"))
            }
            QueryError::RefusedStatement { .. } => Some("tables are filled by the network, not by queries".to_string()),
            QueryError::TimedOut { .. } => {
                Some("ask for less time: WHERE ts_exchange > now() - INTERVAL '1 hour'".to_string())
            }
            QueryError::MemoryLimit { .. } => {
                Some("ask for less at once: fewer rows, fewer groups, no join without condition".to_string())
            }
            QueryError::TooManyQueries { .. } => Some("wait a moment and ask again".to_string()),
            _ => None,
        }
    }

    /// Place in the text, if known.
    pub const fn position(&self) -> Option<Position> {
        match self {
            QueryError::Syntax { position, .. } => *position,
            _ => None,
        }
    }
}

/// Part of the work that failed: the same library error means other things in planning and in running.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    Planning,
    Running,
}

/// The library's error in our words.
pub(crate) fn translate(error: DataFusionError, stage: Stage, memory_bytes_max: usize) -> QueryError {
    match error {
        DataFusionError::SQL(error, _) => syntax(&error.to_string()),
        DataFusionError::SchemaError(error, _) => schema_error(*error),
        DataFusionError::ResourcesExhausted(_) => QueryError::MemoryLimit { memory_bytes_max },
        DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => {
            translate(*inner, stage, memory_bytes_max)
        }
        DataFusionError::Collection(errors) => match errors.into_iter().next() {
            Some(first) => translate(first, stage, memory_bytes_max),
            None => QueryError::Internal,
        },
        DataFusionError::Shared(error) => translate_shared(&error, stage, memory_bytes_max),
        DataFusionError::Plan(message) => plan_error(message),
        DataFusionError::NotImplemented(message) => QueryError::Invalid { message: not_supported(&message) },
        DataFusionError::ArrowError(error, _) => arrow_error(*error, stage, memory_bytes_max),
        DataFusionError::Execution(message) => told(message, stage),
        DataFusionError::External(error) => match error.downcast::<DataFusionError>() {
            Ok(inner) => translate(*inner, stage, memory_bytes_max),
            Err(error) => external(error.as_ref()),
        },
        DataFusionError::ExecutionJoin(error) if error.is_cancelled() => QueryError::Cancelled,
        other => internal(&other.to_string()),
    }
}

/// A shared error cannot be taken apart, only looked at.
fn translate_shared(error: &DataFusionError, stage: Stage, memory_bytes_max: usize) -> QueryError {
    match error.find_root() {
        DataFusionError::ResourcesExhausted(_) => QueryError::MemoryLimit { memory_bytes_max },
        DataFusionError::Plan(message) => plan_error(message.clone()),
        DataFusionError::Execution(message) => told(message.clone(), stage),
        DataFusionError::ArrowError(error, _) => told(error.to_string(), stage),
        DataFusionError::External(error) => external(error.as_ref()),
        other => internal(&other.to_string()),
    }
}

fn external(error: &(dyn std::error::Error + 'static)) -> QueryError {
    match error.downcast_ref::<Stopped>() {
        Some(Stopped::TimedOut { time_ms_max }) => QueryError::TimedOut { time_ms_max: *time_ms_max },
        Some(Stopped::Cancelled) => QueryError::Cancelled,
        None => internal(&error.to_string()),
    }
}

fn internal(message: &str) -> QueryError {
    tracing::error!(message, "a query failed inside the service");
    QueryError::Internal
}

/// Errors of calculating: constants are calculated while planning already.
fn told(message: String, stage: Stage) -> QueryError {
    let message = readable(&message);
    match stage {
        Stage::Planning => QueryError::Invalid { message },
        Stage::Running => QueryError::Execution { message },
    }
}

fn arrow_error(error: ArrowError, stage: Stage, memory_bytes_max: usize) -> QueryError {
    match error {
        ArrowError::ExternalError(inner) => match inner.downcast::<DataFusionError>() {
            Ok(inner) => translate(*inner, stage, memory_bytes_max),
            Err(inner) => internal(&inner.to_string()),
        },
        ArrowError::IoError(..)
        | ArrowError::IpcError(_)
        | ArrowError::ParquetError(_)
        | ArrowError::MemoryError(_) => internal(&error.to_string()),
        other => told(other.to_string(), stage),
    }
}

fn schema_error(error: SchemaError) -> QueryError {
    match error {
        SchemaError::FieldNotFound { field, valid_fields } => {
            let known = valid_fields.iter().map(|c| c.name.as_str());
            QueryError::UnknownColumn { suggestions: suggest::closest(&field.name, known), name: field.flat_name() }
        }
        other => QueryError::Invalid { message: readable(&other.to_string()) },
    }
}

fn plan_error(message: String) -> QueryError {
    // `table 'openmesh.public.foo' not found`: tables are looked up before planning, but for DESCRIBE and SHOW.
    if let Some(name) = message.strip_prefix("table '").and_then(|rest| rest.strip_suffix("' not found")) {
        return unknown_table(name.rsplit('.').next().unwrap_or(name));
    }
    // `Invalid function 'foo'.` and a guess, which knows no difference between names that are near and far.
    let function = message.strip_prefix("Invalid function '").and_then(|rest| rest.split_once('\''));
    if let Some((name, _)) = function {
        return QueryError::UnknownFunction { name: name.chars().take(80).collect(), suggestions: Vec::new() };
    }
    QueryError::Invalid { message: readable(&message) }
}

pub(crate) fn unknown_table(name: &str) -> QueryError {
    let known = openmesh_lake::Table::ALL.iter().map(|t| t.name());
    QueryError::UnknownTable { suggestions: suggest::closest(name, known), name: name.chars().take(80).collect() }
}

/// Features that the library does not have, and what to write instead.
fn not_supported(message: &str) -> String {
    let correlated = ["ScalarSubquery(", "OuterReferenceColumn("];
    if message.contains("JOIN operator AsOf") {
        "ASOF JOIN is not supported: join with <= and keep the rows where row_number() OVER (PARTITION BY ... \
         ORDER BY ... DESC) is 1"
            .to_string()
    } else if correlated.iter().any(|expression| message.contains(expression)) {
        "a subquery can compare the outer query's columns with = only, and LATERAL not at all: join instead".to_string()
    } else {
        format!("not supported: {}", readable(message))
    }
}

/// Longest message that is repeated to the person who asked.
const MESSAGE_CHARS_MAX: usize = 600;

/// Without backtraces, internal prefixes and endless lists.
fn readable(message: &str) -> String {
    let message = message.split("\n\nbacktrace:").next().unwrap_or(message);
    let message = ["Error during planning: ", "Execution error: ", "Arrow error: ", "Internal error: "]
        .iter()
        .fold(message.trim(), |m, prefix| m.strip_prefix(prefix).unwrap_or(m));
    // Long lists of what would have fitted.
    let lists = ["Candidate functions:", ", errors: ", " to the signature "];
    let message = lists.iter().fold(message, |m, list| m.split(list).next().unwrap_or(m)).trim();
    let message = message.replace("While expanding wildcard, ", "");
    match message.char_indices().nth(MESSAGE_CHARS_MAX) {
        Some((at, _)) => format!("{}...", &message[..at]),
        None => message,
    }
}

/// Takes the position out of the parser's text (`... at Line: 1, Column: 8`).
pub(crate) fn syntax(message: &str) -> QueryError {
    let message = message.strip_prefix("sql parser error: ").unwrap_or(message);
    let (text, position) = match message.rsplit_once(" at Line: ") {
        Some((text, place)) => (text, parse_position(place)),
        None => (message, None),
    };
    let hint = if text.contains("recursion limit") {
        Some("it is nested too deeply".to_string())
    } else if text.contains("Unterminated") {
        Some("a quotation mark is not closed".to_string())
    } else {
        None
    };
    QueryError::Syntax { message: readable(text), position, hint }
}

fn parse_position(place: &str) -> Option<Position> {
    let (line, column) = place.split_once(", Column: ")?;
    let digits: String = column.chars().take_while(char::is_ascii_digit).collect();
    Some(Position { line: line.trim().parse().ok()?, column: digits.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_taken_out() {
        let error = syntax("sql parser error: Expected: an expression, found: FROM at Line: 2, Column: 8");
        assert_eq!(error.position(), Some(Position { line: 2, column: 8 }));
        assert_eq!(error.to_string(), "Expected: an expression, found: FROM at line 2, column 8");
        assert_eq!(syntax("odd").position(), None);
    }
}
