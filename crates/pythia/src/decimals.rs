//! Arithmetic of decimals in 256 bits.
//!
//! A price is `Decimal128(38, 18)`. Multiplying two of them needs 36 places after the point, which leaves two digits
//! before it: `price * size` overflows for every interesting trade. Dividing is as bad. So before types are settled,
//! operands of `*`, `/` and `%` become `Decimal256(76, ...)`: a product keeps all its digits up to 10^40. Divisors are
//! taken to [`DIVISOR_SCALE`] places, dividends to [`DIVIDEND_SCALE`], so that a quotient of two sums of products fits;
//! a quotient is not exact anyway, but has at least 22 places. `sum` and `avg` go the same way, because the library's
//! sum of `Decimal128` wraps around silently, and so do sums of integers.
//!
//! A text beside a decimal (`price = '60000.01'`) is read as a decimal with all its places; the library would take both
//! to ten places, and find equal what is not.

use arrow::datatypes::DataType;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, Result};
use datafusion::logical_expr::expr::{AggregateFunction, InList, WindowFunction};
use datafusion::logical_expr::expr_rewriter::FunctionRewrite;
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawBinaryExpr};
use datafusion::logical_expr::{Cast, Expr, ExprSchemable, WindowFunctionDefinition};
use datafusion::sql::sqlparser::ast::BinaryOperator;

/// Most digits of a 256-bit decimal.
const PRECISION: u8 = 76;
/// Places of a divisor.
const DIVISOR_SCALE: i8 = 18;
/// Places of a dividend: those of a product of two prices.
const DIVIDEND_SCALE: i8 = 36;
/// Fewest places of a dividend; a quotient has four more.
const DIVIDEND_SCALE_MIN: i8 = 18;
/// What holds every sum of 64-bit integers.
const INTEGER_SUM: DataType = DataType::Decimal128(38, 0);

fn scale_of(kind: &DataType) -> Option<i8> {
    match kind {
        DataType::Decimal32(_, scale)
        | DataType::Decimal64(_, scale)
        | DataType::Decimal128(_, scale)
        | DataType::Decimal256(_, scale) => Some(*scale),
        _ => None,
    }
}

/// Widened where it is a decimal or (in company of one) an integer; floats make the other side a float as usual.
fn widen(expr: Expr, kind: &DataType, scale_min: i8, scale_max: i8) -> Expr {
    let scale = match kind {
        kind if kind.is_integer() => scale_min,
        kind => match scale_of(kind) {
            Some(scale) => scale.clamp(scale_min, scale_max),
            None => return expr,
        },
    };
    let wide = DataType::Decimal256(PRECISION, scale);
    if *kind == wide { expr } else { Expr::Cast(Cast::new(Box::new(expr), wide)) }
}

/// Widens the operands of arithmetic while SQL is planned.
#[derive(Debug)]
pub(crate) struct WideArithmetic;

impl ExprPlanner for WideArithmetic {
    fn plan_binary_op(&self, expr: RawBinaryExpr, schema: &DFSchema) -> Result<PlannerResult<RawBinaryExpr>> {
        let expr = with_texts_read(expr, schema);
        let (left_min, left_max, right_max) = match expr.op {
            BinaryOperator::Multiply | BinaryOperator::Modulo => (0, i8::MAX, i8::MAX),
            BinaryOperator::Divide => (DIVIDEND_SCALE_MIN, DIVIDEND_SCALE, DIVISOR_SCALE),
            _ => return Ok(PlannerResult::Original(expr)),
        };
        let (Ok(left), Ok(right)) = (expr.left.get_type(schema), expr.right.get_type(schema)) else {
            return Ok(PlannerResult::Original(expr));
        };
        let number = |kind: &DataType| kind.is_integer() || scale_of(kind).is_some();
        if !number(&left) || !number(&right) || (left.is_integer() && right.is_integer()) {
            return Ok(PlannerResult::Original(expr));
        }
        let RawBinaryExpr { op, left: l, right: r } = expr;
        let (l, r) = (widen(l, &left, left_min, left_max), widen(r, &right, 0, right_max));
        Ok(PlannerResult::Original(RawBinaryExpr { op, left: l, right: r }))
    }
}

/// Both sides, where a text beside a decimal has become the decimal that it says.
fn with_texts_read(expr: RawBinaryExpr, schema: &DFSchema) -> RawBinaryExpr {
    use BinaryOperator::{Divide, Eq, Gt, GtEq, Lt, LtEq, Minus, Modulo, Multiply, NotEq, Plus};
    if !matches!(expr.op, Plus | Minus | Multiply | Divide | Modulo | Eq | NotEq | Lt | LtEq | Gt | GtEq) {
        return expr;
    }
    let RawBinaryExpr { op, left, right } = expr;
    let (left_kind, right_kind) = (left.get_type(schema), right.get_type(schema));
    let read = |text: Expr, beside: Result<DataType>| match beside {
        Ok(kind) => read_as(text, &kind),
        Err(_) => text,
    };
    RawBinaryExpr { op, left: read(left, right_kind), right: read(right, left_kind) }
}

/// A text as a decimal of this kind; everything else, and a text that says none, as it is.
fn read_as(text: Expr, kind: &DataType) -> Expr {
    let Expr::Literal(constant, metadata) = &text else { return text };
    let (Some(Some(written)), Some(scale)) = (constant.try_as_str(), scale_of(kind)) else { return text };
    // With more places than the decimal beside it has, both are compared with that many.
    let places = written.split(['e', 'E']).next().and_then(|w| w.split_once('.')).map_or(0, |(_, places)| places.len());
    let kind = match i8::try_from(places) {
        Ok(places) if places <= scale => kind.clone(),
        Ok(places) => DataType::Decimal256(PRECISION, places),
        Err(_) => return text,
    };
    match constant.cast_to(&kind) {
        Ok(read) => Expr::Literal(read, metadata.clone()),
        Err(_) => text,
    }
}

/// Widens what is summed and averaged, and reads texts beside decimals.
#[derive(Debug)]
pub(crate) struct WideSums;

fn wide_argument(name: &str, args: &mut [Expr], schema: &DFSchema) -> bool {
    let [argument] = args else { return false };
    if !matches!(name, "sum" | "avg") {
        return false;
    }
    match argument.get_type(schema) {
        Ok(kind @ (DataType::Decimal128(..) | DataType::Decimal64(..) | DataType::Decimal32(..))) => {
            *argument = widen(std::mem::take(argument), &kind, 0, i8::MAX);
            true
        }
        Ok(kind) if name == "sum" && kind.is_integer() => {
            *argument = Expr::Cast(Cast::new(Box::new(std::mem::take(argument)), INTEGER_SUM));
            true
        }
        _ => false,
    }
}

impl FunctionRewrite for WideSums {
    fn name(&self) -> &str {
        "wide_sums"
    }

    fn rewrite(&self, expr: Expr, schema: &DFSchema, _config: &ConfigOptions) -> Result<Transformed<Expr>> {
        Ok(match expr {
            Expr::AggregateFunction(AggregateFunction { func, mut params }) => {
                let changed = wide_argument(func.name(), &mut params.args, schema);
                Transformed::new_transformed(Expr::AggregateFunction(AggregateFunction { func, params }), changed)
            }
            Expr::WindowFunction(mut window) => {
                let WindowFunction { fun, params } = &mut *window;
                let changed = match fun {
                    WindowFunctionDefinition::AggregateUDF(func) => {
                        wide_argument(func.name(), &mut params.args, schema)
                    }
                    WindowFunctionDefinition::WindowUDF(_) => false,
                };
                Transformed::new_transformed(Expr::WindowFunction(window), changed)
            }
            Expr::Between(mut between) => {
                let kind = between.expr.get_type(schema)?;
                for bound in [&mut between.low, &mut between.high] {
                    **bound = read_as(std::mem::take(&mut **bound), &kind);
                }
                Transformed::yes(Expr::Between(between))
            }
            Expr::InList(InList { expr, list, negated }) => {
                let kind = expr.get_type(schema)?;
                let list = list.into_iter().map(|item| read_as(item, &kind)).collect();
                Transformed::yes(Expr::InList(InList { expr, list, negated }))
            }
            other => Transformed::no(other),
        })
    }
}
