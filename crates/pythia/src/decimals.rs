//! Arithmetic of decimals in 256 bits.
//!
//! A price is `Decimal128(38, 18)`. Multiplying two of them needs 36 places after the point, which leaves two digits
//! before it: `price * size` overflows for every interesting trade. Dividing is as bad. So before types are settled,
//! operands of `*`, `/` and `%` become `Decimal256(76, ...)`: a product keeps all its digits up to 10^40. Divisors are
//! taken to [`DIVISOR_SCALE`] places, dividends to [`DIVIDEND_SCALE`], so that a quotient of two sums of products fits;
//! a quotient is not exact anyway. `sum` and `avg` go the same way, because the library's sum of `Decimal128` wraps
//! around silently.

use arrow::datatypes::DataType;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, Result};
use datafusion::logical_expr::expr::{AggregateFunction, WindowFunction};
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
fn widen(expr: Expr, kind: &DataType, scale_max: i8) -> Expr {
    let scale = match kind {
        kind if kind.is_integer() => 0,
        kind => match scale_of(kind) {
            Some(scale) => scale.min(scale_max),
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
        let (left_max, right_max) = match expr.op {
            BinaryOperator::Multiply | BinaryOperator::Modulo => (i8::MAX, i8::MAX),
            BinaryOperator::Divide => (DIVIDEND_SCALE, DIVISOR_SCALE),
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
        let (l, r) = (widen(l, &left, left_max), widen(r, &right, right_max));
        Ok(PlannerResult::Original(RawBinaryExpr { op, left: l, right: r }))
    }
}

/// Widens what is summed and averaged.
#[derive(Debug)]
pub(crate) struct WideSums;

fn wide_argument(name: &str, args: &mut [Expr], schema: &DFSchema) -> bool {
    let [argument] = args else { return false };
    if !matches!(name, "sum" | "avg") {
        return false;
    }
    match argument.get_type(schema) {
        Ok(kind @ (DataType::Decimal128(..) | DataType::Decimal64(..) | DataType::Decimal32(..))) => {
            *argument = widen(std::mem::take(argument), &kind, i8::MAX);
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
            other => Transformed::no(other),
        })
    }
}
