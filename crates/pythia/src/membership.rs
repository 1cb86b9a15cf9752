//! `IN (SELECT ...)` where nulls stand on either side.
//!
//! `x NOT IN (..., NULL)` is never true: it is unknown unless x is among the others. The library makes an anti join of it, which
//! is right about nulls only where x is a column and the subquery stands alone: of constants, of subqueries that name the outer row
//! and beside OR it finds rows that must not be found, and within other expressions it takes unknown for false. So before planning
//! a condition of WHERE is rewritten: only whether it is true matters there, and `x NOT IN (SELECT v ...)` is true exactly if there
//! is no row with `(v = x) IS NOT FALSE`. Where unknown would have to be told from false, the query is refused.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, DFSchema, Result, plan_err};
use datafusion::logical_expr::expr::{Exists, InSubquery};
use datafusion::logical_expr::logical_plan::Subquery;
use datafusion::logical_expr::{BinaryExpr, Expr, Filter, LogicalPlan, LogicalPlanBuilder, Operator, binary_expr};

/// Rewrites what the library would get wrong. Fails where it can not be written otherwise.
pub(crate) fn exact(plan: LogicalPlan) -> Result<LogicalPlan> {
    plan.transform_up_with_subqueries(|node| match node {
        LogicalPlan::Filter(Filter { predicate, input, .. }) if has_membership(&predicate)? => {
            let predicate = condition(predicate, false, Place::Conjunct, input.schema())?;
            Ok(Transformed::yes(LogicalPlan::Filter(Filter::try_new(predicate, input)?)))
        }
        LogicalPlan::Filter(_) => Ok(Transformed::no(node)),
        node => {
            for expression in node.expressions() {
                no_membership(&expression)?;
            }
            Ok(Transformed::no(node))
        }
    })
    .map(|transformed| transformed.data)
}

/// The place of a condition in a WHERE.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// One of those that must all be true.
    Conjunct,
    /// Beside OR.
    Alternative,
}

fn has_membership(expression: &Expr) -> Result<bool> {
    expression.exists(|part| Ok(matches!(part, Expr::InSubquery(_))))
}

fn no_membership(expression: &Expr) -> Result<()> {
    if !has_membership(expression)? {
        return Ok(());
    }
    plan_err!(
        "IN (SELECT ...) is offered as a condition of WHERE or HAVING, alone or with AND, OR and NOT: elsewhere use EXISTS or a join"
    )
}

/// A condition of which it only matters whether it is true; with `negated`, whether it is false.
fn condition(expression: Expr, negated: bool, place: Place, outer: &DFSchema) -> Result<Expr> {
    match expression {
        Expr::Not(inner) => condition(*inner, !negated, place, outer),
        Expr::BinaryExpr(BinaryExpr { left, op: op @ (Operator::And | Operator::Or), right }) => {
            let op = match (op, negated) {
                (Operator::And, false) | (Operator::Or, true) => Operator::And,
                _ => Operator::Or,
            };
            let place = if op == Operator::Or { Place::Alternative } else { place };
            let (left, right) = (*left, *right);
            Ok(binary_expr(condition(left, negated, place, outer)?, op, condition(right, negated, place, outer)?))
        }
        Expr::IsTrue(inner) if !negated => condition(*inner, false, place, outer),
        Expr::InSubquery(membership) => {
            let negated = membership.negated != negated;
            no_membership(&membership.expr)?;
            if negated {
                absent(membership, place, outer)
            } else {
                Ok(Expr::InSubquery(InSubquery { negated, ..membership }))
            }
        }
        other => {
            no_membership(&other)?;
            Ok(if negated { Expr::Not(Box::new(other)) } else { other })
        }
    }
}

/// `x NOT IN (SELECT v ...)`, where it only matters whether it is true.
fn absent(membership: InSubquery, place: Place, outer: &DFSchema) -> Result<Expr> {
    let InSubquery { expr, subquery, .. } = membership;
    let column = !expr.column_refs().is_empty();
    if column && subquery.outer_ref_columns.is_empty() && place == Place::Conjunct {
        // The library's join knows nulls here, and is faster than trying all pairs.
        return Ok(Expr::InSubquery(InSubquery { expr, subquery, negated: true }));
    }
    let value = Expr::Column(Column::from(subquery.subquery.schema().qualified_field(0)));
    let wanted = outer_reference(*expr, outer)?;
    let plan = LogicalPlanBuilder::from(Arc::unwrap_or_clone(subquery.subquery))
        .filter(value.eq(wanted).is_not_false())?
        .build()?;
    let outer_ref_columns = plan.all_out_ref_exprs();
    let subquery = Subquery { subquery: Arc::new(plan), outer_ref_columns, spans: subquery.spans };
    Ok(Expr::Exists(Exists { subquery, negated: true }))
}

/// An expression of the outer query as the subquery sees it.
fn outer_reference(expression: Expr, outer: &DFSchema) -> Result<Expr> {
    let seen = expression.transform_up(|part| match part {
        Expr::Column(column) => {
            let (_, field) = outer.qualified_field_from_column(&column)?;
            Ok(Transformed::yes(Expr::OuterReferenceColumn(Arc::clone(field), column)))
        }
        Expr::OuterReferenceColumn(..) => {
            plan_err!("NOT IN (SELECT ...) names a column of a query further out: use NOT EXISTS")
        }
        part => Ok(Transformed::no(part)),
    })?;
    Ok(seen.data)
}

#[cfg(test)]
mod tests {
    use datafusion::logical_expr::{col, lit};

    use super::*;

    fn written(expression: Expr, negated: bool) -> String {
        condition(expression, negated, Place::Conjunct, &DFSchema::empty()).unwrap().to_string()
    }

    #[test]
    fn a_negation_goes_down_to_what_it_denies() {
        let both = col("a").gt(lit(1)).and(Expr::Not(Box::new(col("b").or(col("c")))));
        assert_eq!(written(both.clone(), true), "NOT a > Int32(1) OR b OR c");
        assert_eq!(written(both, false), "a > Int32(1) AND NOT b AND NOT c");
    }
}
