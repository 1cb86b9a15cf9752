//! Statements that may be asked: one a request, and only one that reads.
//!
//! A list of what is allowed, not of what is forbidden: a statement that a later parser learns is refused until
//! somebody allows it here.

use std::ops::ControlFlow;

use datafusion::sql::parser::{DFParserBuilder, Statement};
use datafusion::sql::sqlparser::ast::{
    BinaryOperator, Expr, Query, Select, SetExpr, Statement as SqlStatement, TableFactor, Visit, Visitor,
};
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};

use crate::config::Config;
use crate::error::{Position, QueryError, Stage, syntax, translate};

/// Deepest nesting that the parser follows. Its own default; each level costs stack.
pub(crate) const NESTING_MAX: usize = 50;
/// Deepest nesting of calls and subqueries. The parser reads each argument twice (it may be a named one), so the cost of
/// reading doubles with each level: 12 levels are some milliseconds, 40 would never end.
const CALLS_NESTED_MAX: usize = 12;
/// Deepest tree of operators other than AND and OR: the planner looks at all that is below each of them.
const OPERATORS_DEEP_MAX: usize = 200;
/// Most UNIONs (and the like) that follow each other.
const SET_OPERATIONS_MAX: usize = 400;
/// Longest part of a refused statement that its error repeats.
const REFUSED_CHARS_MAX: usize = 40;

/// The one statement of a text, if it only reads.
pub(crate) fn parse(sql: &str, config: &Config) -> Result<Statement, QueryError> {
    if sql.len() > config.sql_bytes_max {
        return Err(QueryError::TooLong { unit: "bytes", found: sql.len(), limit: config.sql_bytes_max });
    }
    let dialect = PostgreSqlDialect {};
    let tokens = Tokenizer::new(&dialect, sql).tokenize_with_location().map_err(|e| syntax(&e.to_string()))?;
    let words = tokens.iter().filter(|t| !matches!(t.token, Token::Whitespace(_))).count();
    if words > config.sql_tokens_max {
        return Err(QueryError::TooLong { unit: "words", found: words, limit: config.sql_tokens_max });
    }
    if calls_nested(tokens.iter().map(|t| &t.token)) > CALLS_NESTED_MAX {
        return Err(QueryError::Syntax {
            message: format!("calls and subqueries are nested more than {CALLS_NESTED_MAX} deep"),
            position: None,
            hint: Some("take it apart with WITH".to_string()),
        });
    }
    let parser = DFParserBuilder::new(tokens).with_dialect(&dialect).with_recursion_limit(NESTING_MAX).build();
    let statements = parser.and_then(|mut p| p.parse_statements());
    let mut statements = statements.map_err(|e| at_end(translate(e, Stage::Planning, config.memory_bytes_max), sql))?;
    match (statements.pop_front(), statements.len()) {
        (None, _) => Err(QueryError::Syntax {
            message: "the query is empty".to_string(),
            position: None,
            hint: Some("SHOW TABLES lists what there is".to_string()),
        }),
        (Some(_), more @ 1..) => Err(QueryError::Syntax {
            message: format!("{} statements in one request", more + 1),
            position: None,
            hint: Some("send one statement a request".to_string()),
        }),
        (Some(statement), 0) => allowed(&statement).map(|()| statement),
    }
}

/// The deepest nesting of brackets that follow a word, as those of a call do.
fn calls_nested<'a>(tokens: impl Iterator<Item = &'a Token>) -> usize {
    let mut open: Vec<bool> = Vec::new();
    let (mut depth, mut deepest, mut after_word) = (0usize, 0usize, false);
    for token in tokens {
        match token {
            Token::Whitespace(_) => continue,
            Token::LParen => {
                open.push(after_word);
                depth += usize::from(after_word);
                deepest = deepest.max(depth);
            }
            Token::RParen => depth -= usize::from(open.pop().unwrap_or(false)),
            _ => {}
        }
        after_word = matches!(token, Token::Word(_));
    }
    deepest
}

/// The parser gives no place for a text that ends too soon; it is the text's end.
fn at_end(error: QueryError, sql: &str) -> QueryError {
    match error {
        QueryError::Syntax { message, position: None, hint } if message.ends_with("found: EOF") => {
            let sql = sql.trim_end();
            let column = sql.rsplit('\n').next().map_or(0, |line| line.chars().count()) as u64 + 1;
            let position = Some(Position { line: sql.matches('\n').count() as u64 + 1, column });
            QueryError::Syntax { message, position, hint }
        }
        other => other,
    }
}

fn refused(statement: &str) -> QueryError {
    let words: Vec<&str> = statement.split_whitespace().take(2).collect();
    QueryError::RefusedStatement { statement: words.join(" ").chars().take(REFUSED_CHARS_MAX).collect() }
}

fn allowed(statement: &Statement) -> Result<(), QueryError> {
    match statement {
        Statement::Statement(statement) => allowed_sql(statement),
        Statement::Explain(explain) => allowed(&explain.statement),
        Statement::CreateExternalTable(_) => Err(refused("CREATE EXTERNAL")),
        Statement::CopyTo(_) => Err(refused("COPY")),
        Statement::Reset(_) => Err(refused("RESET")),
    }
}

fn allowed_sql(statement: &SqlStatement) -> Result<(), QueryError> {
    match statement {
        SqlStatement::Query(_)
        | SqlStatement::ShowTables { .. }
        | SqlStatement::ShowColumns { .. }
        | SqlStatement::ShowFunctions { .. }
        | SqlStatement::ShowVariable { .. }
        | SqlStatement::ExplainTable { .. } => {}
        SqlStatement::Explain { statement, .. } => return allowed_sql(statement),
        other => return Err(refused(&other.to_string())),
    }
    // A query can hide writing inside: WITH x AS (INSERT ...), SELECT ... INTO, SELECT ... FOR UPDATE.
    if let ControlFlow::Break(found) = statement.visit(&mut Writing) {
        return Err(refused(found));
    }
    match statement.visit(&mut Plannable) {
        ControlFlow::Break((message, hint)) => {
            Err(QueryError::Syntax { message, position: None, hint: Some(hint.to_string()) })
        }
        ControlFlow::Continue(()) => Ok(()),
    }
}

/// Finds what would take too long to plan or to run, where no limit on the way would see it.
struct Plannable;

impl Visitor for Plannable {
    type Break = (String, &'static str);

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<Self::Break> {
        let (mut rest, mut operations) = (vec![query.body.as_ref()], 0);
        while let Some(body) = rest.pop() {
            if let SetExpr::SetOperation { left, right, .. } = body {
                operations += 1;
                rest.extend([left.as_ref(), right.as_ref()]);
            }
        }
        if operations <= SET_OPERATIONS_MAX {
            return ControlFlow::Continue(());
        }
        ControlFlow::Break((format!("{operations} UNIONs follow each other"), "VALUES makes rows"))
    }

    fn pre_visit_table_factor(&mut self, table: &TableFactor) -> ControlFlow<Self::Break> {
        match table {
            // The planner would leave it out silently.
            TableFactor::Table { sample: Some(_), .. } => {
                ControlFlow::Break(("TABLESAMPLE is not offered".to_string(), "WHERE random() < 0.1 takes a tenth"))
            }
            _ => ControlFlow::Continue(()),
        }
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<Self::Break> {
        match expr {
            Expr::SimilarTo { .. } | Expr::RLike { .. } => {
                ControlFlow::Break(("SIMILAR TO and RLIKE are not offered".to_string(), "LIKE and ~ are"))
            }
            Expr::BinaryOp { .. } if operators_deep(expr) > OPERATORS_DEEP_MAX => ControlFlow::Break((
                format!("more than {OPERATORS_DEEP_MAX} operators follow each other"),
                "take it apart with WITH",
            )),
            _ => ControlFlow::Continue(()),
        }
    }
}

/// The depth of a tree of operators, those aside that the planner takes lightly.
fn operators_deep(expr: &Expr) -> usize {
    let (mut rest, mut deepest) = (vec![(expr, 0)], 0);
    while let Some((expr, depth)) = rest.pop() {
        deepest = deepest.max(depth);
        match expr {
            Expr::BinaryOp { left, op, right } => {
                let depth = depth + usize::from(!matches!(op, BinaryOperator::And | BinaryOperator::Or));
                rest.extend([(left.as_ref(), depth), (right.as_ref(), depth)]);
            }
            Expr::Nested(inner) => rest.push((inner, depth)),
            _ => {}
        }
    }
    deepest
}

/// Finds what writes or locks within a query.
struct Writing;

impl Visitor for Writing {
    type Break = &'static str;

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<&'static str> {
        if !query.locks.is_empty() {
            return ControlFlow::Break("FOR UPDATE");
        }
        writing_body(&query.body)
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<&'static str> {
        if select.into.is_some() { ControlFlow::Break("SELECT INTO") } else { ControlFlow::Continue(()) }
    }
}

fn writing_body(body: &SetExpr) -> ControlFlow<&'static str> {
    match body {
        SetExpr::Insert(_) => ControlFlow::Break("INSERT"),
        SetExpr::Update(_) => ControlFlow::Break("UPDATE"),
        SetExpr::Delete(_) => ControlFlow::Break("DELETE"),
        SetExpr::Merge(_) => ControlFlow::Break("MERGE"),
        SetExpr::SetOperation { left, right, .. } => {
            writing_body(left)?;
            writing_body(right)
        }
        SetExpr::Select(_) | SetExpr::Query(_) | SetExpr::Values(_) | SetExpr::Table(_) => ControlFlow::Continue(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(sql: &str) -> &'static str {
        parse(sql, &Config::default()).map_or_else(|e| e.code(), |_| "ok")
    }

    #[test]
    fn reading_is_allowed() {
        for sql in [
            "SELECT 1",
            "select * from trades;",
            "WITH t AS (SELECT 1) SELECT * FROM t",
            "VALUES (1), (2)",
            "SHOW TABLES",
            "SHOW COLUMNS FROM trades",
            "DESCRIBE trades",
            "EXPLAIN SELECT 1",
            "EXPLAIN ANALYZE SELECT 1",
            "(SELECT 1) UNION ALL (SELECT 2)",
            "SELECT '; DROP TABLE trades' -- ; DROP TABLE trades",
        ] {
            assert_eq!(code(sql), "ok", "{sql}");
        }
    }

    #[test]
    fn everything_else_is_refused() {
        for sql in [
            "DROP TABLE trades",
            "INSERT INTO trades VALUES (1)",
            "UPDATE trades SET price = 1",
            "DELETE FROM trades",
            "CREATE TABLE x AS SELECT 1",
            "CREATE VIEW x AS SELECT 1",
            "CREATE EXTERNAL TABLE x STORED AS CSV LOCATION '/etc/passwd'",
            "CREATE FUNCTION f() RETURNS INT RETURN 1",
            "COPY (SELECT 1) TO '/tmp/x.csv'",
            "COPY trades TO '/tmp/x.csv'",
            "SET datafusion.execution.batch_size = 1",
            "RESET datafusion.execution.batch_size",
            "EXPLAIN DROP TABLE trades",
            "EXPLAIN ANALYZE INSERT INTO trades VALUES (1)",
            "TRUNCATE trades",
            "BEGIN",
            "PREPARE p AS SELECT 1",
            "EXECUTE p",
            "GRANT ALL ON trades TO public",
            "SELECT * INTO x FROM trades",
            "SELECT * FROM trades FOR UPDATE",
            "WITH x AS (INSERT INTO trades VALUES (1) RETURNING 1) SELECT * FROM x",
            "WITH x AS (SELECT * INTO y FROM trades) SELECT * FROM x",
            "SELECT * FROM (DELETE FROM trades) t",
            "VACUUM",
            "KILL QUERY 1",
            "LOAD DATA INPATH '/etc/passwd' INTO TABLE t",
            "INSTALL httpfs",
            "ATTACH DATABASE 'x' AS y",
            "CALL f()",
            "LISTEN x",
        ] {
            let code = code(sql);
            assert!(["refused_statement", "syntax"].contains(&code), "{sql}: {code}");
        }
        assert_eq!(code("DROP TABLE trades"), "refused_statement");
        assert_eq!(code("COPY (SELECT 1) TO '/tmp/x.csv'"), "refused_statement");
    }

    #[test]
    fn one_statement_of_bounded_length() {
        assert_eq!(code(""), "syntax");
        assert_eq!(code(" -- nothing\n;"), "syntax");
        assert_eq!(code("SELECT 1; SELECT 2"), "syntax");
        assert_eq!(code("SELECT 1; DROP TABLE trades"), "syntax");
        assert_eq!(code(&format!("SELECT '{}'", "x".repeat(70_000))), "query_too_long");
        assert_eq!(code(&format!("SELECT 1{}", " + 1".repeat(10_000))), "query_too_long");
        assert_eq!(code(&format!("SELECT {}1{}", "(".repeat(1000), ")".repeat(1000))), "syntax");
        assert_eq!(code(&format!("SELECT 1{}", " UNION ALL SELECT 1".repeat(400))), "ok");
        assert_eq!(code(&format!("SELECT 1{}", " UNION ALL SELECT 1".repeat(401))), "syntax");
        assert_eq!(code(&format!("SELECT 1{}", " + 1".repeat(200))), "ok");
        assert_eq!(code(&format!("SELECT 1{}", " + 1".repeat(201))), "syntax");
        let inner = format!("(1{})", " + 1".repeat(150));
        assert_eq!(code(&format!("SELECT 2 * {inner}{}", " - 1".repeat(60))), "syntax");
        assert_eq!(code(&format!("SELECT * FROM trades WHERE price = 1{}", " OR price = 1".repeat(500))), "ok");
        assert_eq!(code("SELECT 'open"), "syntax");
        assert_eq!(code("SELECT \0"), "syntax");
    }

    #[test]
    fn mistakes_have_a_place() {
        let error = parse("SELECT price\nFROM trades WHERE", &Config::default()).unwrap_err();
        assert_eq!(error.position(), Some(Position { line: 2, column: 18 }), "{error}");
        let error = parse("SELECT price,\n , FROM trades", &Config::default()).unwrap_err();
        assert_eq!(error.position(), Some(Position { line: 2, column: 2 }), "{error}");
    }
}
