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
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::logical_expr::expr::{AggregateFunction, InList, WindowFunction};
use datafusion::logical_expr::expr_rewriter::FunctionRewrite;
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawBinaryExpr};
use datafusion::logical_expr::{Cast, Expr, ExprSchemable, WindowFunctionDefinition};
use datafusion::sql::sqlparser::ast::BinaryOperator;

use crate::arithmetic::{WIDE_DIGITS_MAX, decimal, summable};

/// Places of a divisor.
const DIVISOR_SCALE: i8 = 18;
/// Places of a dividend: those of a product of two prices.
const DIVIDEND_SCALE: i8 = 36;
/// Fewest places of a dividend; a quotient has four more.
const DIVIDEND_SCALE_MIN: i8 = 18;
/// Type that holds every sum of 64-bit integers.
const INTEGER_SUM: DataType = DataType::Decimal128(38, 0);
/// Type in which integers are averaged: a double would keep 16 digits of a height or an amount. The average has four places more.
const INTEGER_AVERAGE: DataType = DataType::Decimal256(WIDE_DIGITS_MAX, 18);
/// Type in which integers are rounded by functions that would make doubles of them.
const INTEGER_ROUNDED: DataType = DataType::Decimal128(20, 0);
/// Functions that would make doubles of integers.
const ROUNDING: [&str; 3] = ["trunc", "ceil", "floor"];
/// Longest exponent, up or down, that a text may have: more digits fit no decimal.
const EXPONENT_MAX: i32 = 76;

fn scale_of(kind: &DataType) -> Option<i8> {
    decimal(kind).map(|(_, scale)| scale)
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
    let wide = DataType::Decimal256(WIDE_DIGITS_MAX, scale);
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
    let Some(written) = without_exponent(written) else { return text };
    // With more places than the decimal beside it has, both are compared with that many.
    let places = written.split_once('.').map_or(0, |(_, places)| places.len());
    let kind = match i8::try_from(places) {
        Ok(places) if places <= scale => kind.clone(),
        Ok(places) => DataType::Decimal256(WIDE_DIGITS_MAX, places),
        Err(_) => return text,
    };
    match ScalarValue::Utf8(Some(written)).cast_to(&kind) {
        Ok(read) => Expr::Literal(read, metadata.clone()),
        Err(_) => text,
    }
}

/// A number's text with its point where the exponent puts it; `None` where it is none, or has too long an exponent. The library
/// reads an exponent in a text wrongly, or not at all.
fn without_exponent(text: &str) -> Option<String> {
    let Some((mantissa, exponent)) = text.split_once(['e', 'E']) else { return Some(text.to_string()) };
    let exponent: i32 = exponent.parse().ok().filter(|e: &i32| e.abs() <= EXPONENT_MAX)?;
    let (sign, mantissa) = match mantissa.strip_prefix(['-', '+']) {
        Some(rest) => (&mantissa[..1], rest),
        None => ("", mantissa),
    };
    let (whole, places) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{places}");
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let point = i32::try_from(whole.len()).ok()? + exponent;
    Some(match usize::try_from(point) {
        Ok(point) if point >= digits.len() => format!("{sign}{digits}{}", "0".repeat(point - digits.len())),
        Ok(0) => format!("{sign}0.{digits}"),
        Ok(point) => format!("{sign}{}.{}", &digits[..point], &digits[point..]),
        Err(_) => format!("{sign}0.{}{digits}", "0".repeat(point.unsigned_abs() as usize)),
    })
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
        Ok(kind) if name == "avg" && kind.is_integer() => {
            *argument = Expr::Cast(Cast::new(Box::new(std::mem::take(argument)), INTEGER_AVERAGE));
            true
        }
        Ok(kind) if name == "sum" && kind.is_integer() => {
            *argument = Expr::Cast(Cast::new(Box::new(std::mem::take(argument)), INTEGER_SUM));
            true
        }
        Ok(kind @ DataType::Decimal256(..)) => match summable(argument, &kind) {
            Some(checked) => {
                *argument = checked;
                true
            }
            None => false,
        },
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
            Expr::ScalarFunction(mut call) if ROUNDING.contains(&call.func.name()) => {
                let integer = |arg: &Expr| arg.get_type(schema).is_ok_and(|kind| kind.is_integer());
                let changed = call.args.first().is_some_and(integer);
                if let Some(argument) = call.args.first_mut().filter(|_| changed) {
                    *argument = Expr::Cast(Cast::new(Box::new(std::mem::take(argument)), INTEGER_ROUNDED));
                }
                Transformed::new_transformed(Expr::ScalarFunction(call), changed)
            }
            Expr::Cast(cast) => match cast.expr.as_ref() {
                Expr::Literal(text, _) if text.try_as_str().is_some() => {
                    let read = read_as((*cast.expr).clone(), cast.field.data_type());
                    let changed = read != *cast.expr;
                    Transformed::new_transformed(Expr::Cast(Cast { expr: Box::new(read), ..cast }), changed)
                }
                _ => Transformed::no(Expr::Cast(cast)),
            },
            Expr::InList(InList { expr, list, negated }) => {
                let kind = expr.get_type(schema)?;
                let list = list.into_iter().map(|item| read_as(item, &kind)).collect();
                Transformed::yes(Expr::InList(InList { expr, list, negated }))
            }
            other => Transformed::no(other),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exponent_moves_the_point() {
        for (text, plain) in [
            ("1.5", Some("1.5")),
            ("abc", Some("abc")),
            ("1e3", Some("1000")),
            ("2.5E3", Some("2500")),
            ("-2.5e1", Some("-25")),
            ("2.55e1", Some("25.5")),
            ("1e-18", Some("0.000000000000000001")),
            ("+12.5e-2", Some("+0.125")),
            ("1.5e-1", Some("0.15")),
            ("e5", None),
            ("1e", None),
            ("1e77", None),
            ("0xe1", None),
            ("1e1e1", None),
        ] {
            assert_eq!(without_exponent(text).as_deref(), plain, "{text}");
        }
    }
}
