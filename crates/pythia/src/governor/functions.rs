//! Functions that can make much out of little, or take long over it.
//!
//! The library's memory limit counts what sorts, joins and groups hold, not what one expression allocates:
//! `repeat('x', 2000000000)` or a text concatenated with itself sixty times would take the machine's memory in one
//! step. So each function whose result can be larger than its arguments is wrapped: how large the result can become is
//! calculated first, from the arguments, and refused beyond [`CALL_BYTES_MAX`], which all calls of a query share.
//! Functions that make lists out of numbers are not offered at all; the table function `generate_series` gives rows one
//! after another instead. Those that can take long are wrapped as well ([`super::steps`]).

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray};
use arrow::compute::kernels::concat_elements::concat_elements_utf8;
use arrow::compute::{cast, max};
use arrow::datatypes::{DataType, FieldRef, Int64Type};
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, DataFusionError, Result, plan_err};
use datafusion::execution::session_state::SessionState;
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawBinaryExpr};
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::{
    ColumnarValue, Documentation, Expr, ExprSchemable, LogicalPlan, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF,
    ScalarUDFImpl, Signature, Volatility, lit, not,
};
use datafusion::sql::sqlparser::ast::BinaryOperator;

use super::steps::Cost;
use super::{guard, row_bytes};

/// Most bytes that all calls of growing functions in a query may make out of one batch of rows each. A batch of
/// Ethereum call data is a tenth of it.
pub(crate) const CALL_BYTES_MAX: u64 = 64 << 20;

/// Longest text or list that a function may make.
const CELL_BYTES_MAX: u64 = 1 << 20;

/// Constants beyond this size make rows wide.
const LONG_CONSTANT_BYTES: u64 = 1 << 10;

/// Upper bound of a result's size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Growth {
    /// So many times all arguments together.
    Times(u64),
    /// The first argument as often as the second says.
    Repeat,
    /// As many characters as the second argument says.
    Pad,
    /// Each byte of the first argument replaced by the argument at this position, which may refer to groups of it.
    Replace(usize),
}

/// Functions that are wrapped.
const GROWING: [(&str, Growth); 33] = [
    ("repeat", Growth::Repeat),
    ("lpad", Growth::Pad),
    ("rpad", Growth::Pad),
    ("replace", Growth::Replace(2)),
    ("regexp_replace", Growth::Replace(2)),
    ("concat", Growth::Times(1)),
    ("concat_ws", Growth::Times(64)),
    ("overlay", Growth::Times(1)),
    ("array_to_string", Growth::Times(64)),
    ("string_to_array", Growth::Times(32)),
    ("encode", Growth::Times(2)),
    ("upper", Growth::Times(3)),
    ("lower", Growth::Times(3)),
    ("initcap", Growth::Times(3)),
    ("to_char", Growth::Times(32)),
    ("make_array", Growth::Times(1)),
    ("array_concat", Growth::Times(2)),
    ("array_append", Growth::Times(2)),
    ("array_prepend", Growth::Times(2)),
    ("array_insert", Growth::Times(2)),
    ("array_union", Growth::Times(2)),
    ("array_replace", Growth::Times(64)),
    ("array_replace_n", Growth::Times(64)),
    ("array_replace_all", Growth::Times(64)),
    ("flatten", Growth::Times(2)),
    ("make_map", Growth::Times(2)),
    ("map", Growth::Times(2)),
    ("regexp_match", Growth::Times(8)),
    ("translate", Growth::Times(4)),
    ("struct", Growth::Times(1)),
    ("named_struct", Growth::Times(1)),
    ("arrays_zip", Growth::Times(2)),
    ("array_positions", Growth::Times(8)),
];

/// Functions that are not offered: a number becomes a list of that length, at a position that is a number.
const NOT_OFFERED: [&str; 4] = ["array_repeat", "array_resize", "range", "generate_series"];

/// The session's functions, bounded.
pub(crate) fn bounded(state: &SessionState) -> Vec<Arc<ScalarUDF>> {
    let mut functions: Vec<Arc<ScalarUDF>> = Vec::new();
    for (name, function) in state.scalar_functions() {
        // The map also holds every alias; aliases come with their function.
        if name != function.name() || NOT_OFFERED.contains(&function.name()) {
            continue;
        }
        let growth = GROWING.iter().find(|(name, _)| *name == function.name()).map(|(_, growth)| *growth);
        let cost = Cost::of(function.name());
        functions.push(if growth.is_some() || cost.is_some() {
            let inner = Arc::clone(function);
            Arc::new(ScalarUDF::new_from_impl(Bounded { inner, growth, cost }))
        } else {
            Arc::clone(function)
        });
    }
    functions
}

/// Counts the parts of a plan that can make rows wide: calls of growing functions and long constants.
pub(crate) fn wide_parts(plan: &LogicalPlan) -> Result<u64> {
    let mut parts = 0;
    plan.apply_with_subqueries(|node| {
        node.apply_expressions(|expression| {
            expression.apply(|part| {
                parts += u64::from(match part {
                    Expr::ScalarFunction(call) => {
                        let inner = call.func.inner();
                        inner.downcast_ref::<Bounded>().is_some_and(|b| b.growth.is_some()) || inner.is::<JoinTexts>()
                    }
                    Expr::Literal(constant, _) => row_bytes::constant(constant)? > LONG_CONSTANT_BYTES,
                    _ => false,
                });
                Ok(TreeNodeRecursion::Continue)
            })
        })
    })?;
    Ok(parts)
}

/// A function with a look at its arguments before it runs.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Bounded {
    inner: Arc<ScalarUDF>,
    growth: Option<Growth>,
    cost: Option<Cost>,
}

impl ScalarUDFImpl for Bounded {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn aliases(&self) -> &[String] {
        self.inner.aliases()
    }

    fn signature(&self) -> &Signature {
        self.inner.signature()
    }

    fn return_type(&self, arg_types: &[DataType]) -> Result<DataType> {
        self.inner.inner().return_type(arg_types)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        self.inner.inner().return_field_from_args(args)
    }

    fn coerce_types(&self, arg_types: &[DataType]) -> Result<Vec<DataType>> {
        self.inner.inner().coerce_types(arg_types)
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.inner.inner().documentation()
    }

    /// Not the inner function's: it would put the inner function in this one's place.
    fn simplify(&self, args: Vec<Expr>, _info: &SimplifyContext) -> Result<ExprSimplifyResult> {
        Ok(ExprSimplifyResult::Original(args))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        guard::check()?;
        if let Some(growth) = self.growth {
            check(self.name(), growth, &args.args, args.number_rows)?;
        }
        let result = match self.cost {
            Some(cost) => cost.pay(&self.inner, args)?,
            None => self.inner.invoke_with_args(args)?,
        };
        if self.growth.is_some() {
            check_cells(self.name(), &result)?;
        }
        Ok(result)
    }
}

/// Refuses texts and lists that are too long for the operators that come next.
fn check_cells(name: &str, result: &ColumnarValue) -> Result<()> {
    let longest = longest(result)?;
    if longest <= CELL_BYTES_MAX {
        return Ok(());
    }
    Err(DataFusionError::Execution(format!("{name} made a value of {longest} bytes, the limit is {CELL_BYTES_MAX}")))
}

fn check(name: &str, growth: Growth, args: &[ColumnarValue], rows: usize) -> Result<()> {
    let scalars_only = args.iter().all(|a| matches!(a, ColumnarValue::Scalar(_)));
    let rows = if scalars_only { 1 } else { rows as u64 };
    let bytes = |at: usize| args.get(at).map_or(Ok(0), |a| bytes_of(a, rows));
    let size = match growth {
        Growth::Times(times) => {
            let all =
                (0..args.len()).try_fold(0u64, |sum, at| Ok::<_, DataFusionError>(sum.saturating_add(bytes(at)?)));
            all?.saturating_mul(times)
        }
        Growth::Repeat => bytes(0)?.saturating_mul(largest(args.get(1))?),
        // Four bytes is the longest character.
        Growth::Pad => rows.saturating_mul(largest(args.get(1))?).saturating_mul(4),
        Growth::Replace(at) => {
            let one = args.get(at).map_or(Ok(0), longest)?;
            bytes(0)?.saturating_add(rows).saturating_mul(one.saturating_mul(2).saturating_add(1))
        }
    };
    let limit = guard::current().map_or(CALL_BYTES_MAX, |guard| guard.call_bytes_max());
    if size <= limit {
        return Ok(());
    }
    let message = format!("{name} could make {size} bytes of one batch of rows, the limit is {limit}");
    Err(DataFusionError::Execution(message))
}

/// Bytes of a value, counted once for each row.
fn bytes_of(value: &ColumnarValue, rows: u64) -> Result<u64> {
    Ok(match value {
        ColumnarValue::Scalar(scalar) => row_bytes::constant(scalar)?.saturating_mul(rows),
        ColumnarValue::Array(array) => row_bytes::values(array).iter().sum(),
    })
}

/// Longest text or list of a value, in bytes.
fn longest(value: &ColumnarValue) -> Result<u64> {
    Ok(match value {
        ColumnarValue::Scalar(scalar) => row_bytes::constant(scalar)?,
        ColumnarValue::Array(array) => row_bytes::values(array).into_iter().max().unwrap_or(0),
    })
}

/// Largest number of a value; what is no number counts as none and is the inner function's to refuse.
fn largest(value: Option<&ColumnarValue>) -> Result<u64> {
    let Some(value) = value else { return Ok(0) };
    let array = value.to_array(1)?;
    let numbers = cast(&array, &DataType::Int64)?;
    Ok(max(numbers.as_primitive::<Int64Type>()).and_then(|n| u64::try_from(n).ok()).unwrap_or(0))
}

/// Puts bounded functions where SQL's own syntax would lead to unbounded ones: `a || b`, `[a, b]` and `a ~ b`.
#[derive(Debug)]
pub(crate) struct BoundedSyntax {
    make_array: Option<Arc<ScalarUDF>>,
    regexp_like: Option<Arc<ScalarUDF>>,
    join: Arc<ScalarUDF>,
}

impl BoundedSyntax {
    pub(crate) fn new(functions: &[Arc<ScalarUDF>]) -> BoundedSyntax {
        let named = |name: &str| functions.iter().find(|f| f.name() == name).cloned();
        let join =
            Arc::new(ScalarUDF::new_from_impl(JoinTexts { signature: Signature::any(2, Volatility::Immutable) }));
        BoundedSyntax { make_array: named("make_array"), regexp_like: named("regexp_like"), join }
    }

    /// `a ~ b` and its three relatives, as calls; the flag says whether letters' case matters and what is true.
    fn matches(&self, expr: RawBinaryExpr, ignore_case: bool, negated: bool) -> PlannerResult<RawBinaryExpr> {
        let Some(function) = &self.regexp_like else { return PlannerResult::Original(expr) };
        let mut args = vec![expr.left, expr.right];
        args.extend(ignore_case.then(|| lit("i")));
        let call = function.call(args);
        PlannerResult::Planned(if negated { not(call) } else { call })
    }
}

impl ExprPlanner for BoundedSyntax {
    fn plan_binary_op(&self, expr: RawBinaryExpr, schema: &DFSchema) -> Result<PlannerResult<RawBinaryExpr>> {
        match expr.op {
            BinaryOperator::StringConcat => {}
            BinaryOperator::PGRegexMatch => return Ok(self.matches(expr, false, false)),
            BinaryOperator::PGRegexIMatch => return Ok(self.matches(expr, true, false)),
            BinaryOperator::PGRegexNotMatch => return Ok(self.matches(expr, false, true)),
            BinaryOperator::PGRegexNotIMatch => return Ok(self.matches(expr, true, true)),
            _ => return Ok(PlannerResult::Original(expr)),
        }
        for side in [&expr.left, &expr.right] {
            if side.get_type(schema).is_ok_and(|kind| kind.is_nested()) {
                return plan_err!("|| joins texts; array_concat joins lists");
            }
        }
        Ok(PlannerResult::Planned(self.join.call(vec![expr.left, expr.right])))
    }

    fn plan_array_literal(&self, exprs: Vec<Expr>, _schema: &DFSchema) -> Result<PlannerResult<Vec<Expr>>> {
        Ok(match &self.make_array {
            Some(function) => PlannerResult::Planned(function.call(exprs)),
            None => PlannerResult::Original(exprs),
        })
    }
}

/// `a || b`: null where either is.
#[derive(Debug, PartialEq, Eq, Hash)]
struct JoinTexts {
    signature: Signature,
}

impl ScalarUDFImpl for JoinTexts {
    fn name(&self) -> &str {
        "join_texts"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        check("||", Growth::Times(1), &args.args, args.number_rows)?;
        let scalar = args.args.iter().all(|a| matches!(a, ColumnarValue::Scalar(_)));
        let rows = if scalar { 1 } else { args.number_rows };
        let text = |at: usize| -> Result<ArrayRef> {
            let value = args.args.get(at).ok_or_else(|| DataFusionError::Plan("|| joins two texts".to_string()))?;
            Ok(cast(&value.to_array(rows)?, &DataType::Utf8)?)
        };
        let (left, right) = (text(0)?, text(1)?);
        let joined = concat_elements_utf8(left.as_string::<i32>(), right.as_string::<i32>())?;
        if scalar {
            return Ok(ColumnarValue::Scalar(datafusion::common::ScalarValue::try_from_array(&joined, 0)?));
        }
        Ok(ColumnarValue::Array(Arc::new(joined)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every function of the session has a line in `tests/functions.txt`: its kind, its name and the class that somebody who looked
    /// at it gave it. With `OPENMESH_UPDATE=1` new ones are added as `unreviewed`, which fails until it is replaced: by `plain` where
    /// the result is no larger than the arguments and the time no more than proportional to them, else by a line in this file's lists.
    #[test]
    fn every_function_is_reviewed() {
        use datafusion::execution::{SessionStateBuilder, SessionStateDefaults};
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/functions.txt");
        let written = std::fs::read_to_string(file).unwrap_or_default();
        let known: std::collections::BTreeSet<&str> = written.lines().collect();
        let scalars =
            SessionStateBuilder::new().with_scalar_functions(SessionStateDefaults::default_scalar_functions()).build();
        let scalar = |name: &str| match () {
            () if NOT_OFFERED.contains(&name) => "not_offered",
            () if GROWING.iter().any(|(growing, _)| *growing == name) => "growing",
            () if Cost::of(name).is_some() => "slow",
            () if known.contains(format!("scalar {name} plain").as_str()) => "plain",
            () => "unreviewed",
        };
        let reviewed = |kind: &str, name: &str| {
            let line = format!("{kind} {name} plain");
            if known.contains(line.as_str()) { "plain" } else { "unreviewed" }
        };
        let aggregate = |name: &str| match () {
            () if super::super::frames::GROWING_AGGREGATES.contains(&name) => "growing",
            () if super::super::frames::SLOW_AGGREGATES.contains(&name) => "slow",
            () => reviewed("aggregate", name),
        };
        let names = scalars.scalar_functions().values().map(|f| f.name().to_string());
        let mut found: std::collections::BTreeSet<String> =
            names.map(|name| format!("scalar {name} {}", scalar(&name))).collect();
        let aggregates = SessionStateDefaults::default_aggregate_functions();
        found.extend(aggregates.iter().map(|f| format!("aggregate {} {}", f.name(), aggregate(f.name()))));
        let windows = SessionStateDefaults::default_window_functions();
        found.extend(windows.iter().map(|f| format!("window {} {}", f.name(), reviewed("window", f.name()))));
        let tables = SessionStateDefaults::default_table_functions();
        found.extend(tables.iter().map(|f| format!("table {} {}", f.name(), reviewed("table", f.name()))));
        let found: Vec<String> = found.into_iter().collect();
        if std::env::var_os("OPENMESH_UPDATE").is_some() {
            std::fs::write(file, found.join("\n") + "\n").unwrap();
        }
        assert_eq!(written.lines().collect::<Vec<_>>(), found);
        assert!(found.len() > 200 && !found.iter().any(|line| line.ends_with("unreviewed")));
    }
}
