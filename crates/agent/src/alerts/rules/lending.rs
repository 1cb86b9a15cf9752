//! The lender of this machine, and what it lends.

use std::time::Duration;

use openmesh_alerts::Finding;

use super::facts::Facts;
use super::finding::{Findings, OTHER_LASTS, key};
use super::room::{ending_soon, fullness};
use crate::alerts::views::{AlertKind, Severity};
use crate::lending::views::{Loan, LoanStanding};

/// Time for which the lender does not do what it was told: one that is started again or replaced does it within it.
const LENDER_LASTS: Duration = Duration::from_secs(60);

/// The lender of this machine, and its loans. What a person ended is as that person wants it.
pub fn lender(facts: &Facts, found: &mut Findings) {
    let Some(lending) = facts.lending.as_ref().filter(|lending| !lending.loans.is_empty()) else { return };
    let known = lending.troubles.join("; ");
    let finding = match lending.shut {
        None => {
            let why = if known.is_empty() { "no cause is known" } else { known.as_str() };
            let cause = format!("the lender does not run, so that guests neither store nor read: {why}");
            let remedy = "mount the disk with the guests' objects, or correct `[lend]` in the agent's settings; `openmesh xnode lend list` tells more";
            Some((Severity::Critical, cause, remedy))
        }
        Some(_) if !known.is_empty() => {
            let cause = format!("the lender does not do all that it was told: {known}");
            let remedy = "free its address, or name another one in `[lend]` of the agent's settings; `openmesh xnode lend list` tells more";
            Some((Severity::Critical, cause, remedy))
        }
        Some(false) => {
            let cause = "the kernel does not shut the lender in, which answers strangers: landlock with ABI 2 (Linux 5.19) is missing";
            let remedy = "boot a kernel with CONFIG_SECURITY_LANDLOCK and `landlock` in its lsm list; until then the lender's user alone keeps it in its folders";
            Some((Severity::Warning, cause.into(), remedy))
        }
        Some(true) => None,
    };
    if let Some((severity, cause, remedy)) = finding {
        let finding = Finding { severity, cause, remedy: remedy.into(), lasts: LENDER_LASTS };
        found.insert(key(AlertKind::Lender, None, None), finding);
    }
    lending.loans.iter().for_each(|one| loan(one, facts.now_s, found));
}

/// A loan that cannot be served, that is nearly full, or whose end is near.
fn loan(loan: &Loan, now_s: u64, found: &mut Findings) {
    let name = loan.name.as_str();
    let mut add = |kind, (severity, words): (Severity, String), remedy: String, lasts| {
        let finding = Finding { severity, cause: format!("the loan `{name}` {words}"), remedy, lasts };
        found.insert(key(kind, None, Some(name)), finding);
    };
    if let Some(trouble) = &loan.trouble {
        let words = (Severity::Critical, format!("cannot be served: {trouble}"));
        let remedy = "look at the disk with the guests' objects; `openmesh xnode lend list` tells more";
        add(AlertKind::Lender, words, remedy.into(), LENDER_LASTS);
    }
    if !matches!(loan.standing, LoanStanding::Lent | LoanStanding::Over) {
        return;
    }
    if let Some(words) = fullness(loan.used_bytes.saturating_add(loan.held_bytes), loan.room_bytes) {
        let (held, days) = (loan.held_bytes >> 20, loan.held_days);
        let remedy = format!(
            "`openmesh xnode lend give {name}` with a larger `--room`; {held} MiB of it were removed by the guest, and go after {days} days each"
        );
        add(AlertKind::LoanFull, words, remedy, OTHER_LASTS);
    }
    if let Some((_, words)) = ending_soon(loan.until, now_s) {
        let remedy =
            format!("`openmesh xnode lend give {name}` with a later `--until`, or `openmesh xnode lend end {name}`");
        // Whoever borrows is told that nothing is backed up; whoever lends has chosen that day.
        add(AlertKind::LoanEnds, (Severity::Warning, words), remedy, OTHER_LASTS);
    }
}

#[cfg(test)]
mod tests {
    use openmesh_primitives::Timestamp;

    use super::super::findings;
    use super::super::room::LOAN_WARNING_S;
    use super::super::tests::{NOW_S, only};
    use super::*;
    use crate::lending::views::Lending;

    /// A loan of a GiB to somebody, with so much of it taken.
    fn loan(used_bytes: u64, until_s: Option<u64>) -> Loan {
        Loan {
            name: "ann".into(),
            keys: vec!["ab".repeat(32)],
            readers: vec![],
            room_bytes: 1 << 30,
            used_bytes,
            held_bytes: 0,
            objects: 1,
            until: until_s.map(|until| Timestamp(until as i64 * 1_000_000_000)),
            held_days: 14,
            standing: LoanStanding::Lent,
            connections: 0,
            seen: None,
            trouble: None,
            brings_back: false,
            by: "root".into(),
            at: Timestamp(0),
        }
    }

    fn lent(shut: Option<bool>, troubles: &[&str], loans: Vec<Loan>) -> Facts {
        let troubles = troubles.iter().map(ToString::to_string).collect();
        let (key, listens) = ("cd".repeat(32), vec!["[::]:7790".to_string()]);
        let lending = Lending { key, listens, troubles, shut, disk_free_bytes: None, loans };
        Facts { now_s: NOW_S, lending: Some(lending), ..Facts::default() }
    }

    #[test]
    fn a_lender_that_does_not_do_what_it_was_told_is_told_with_cause_and_remedy() {
        assert!(findings(&lent(Some(true), &[], vec![loan(0, None)])).is_empty());
        assert!(findings(&lent(None, &["it is not there"], vec![])).is_empty(), "nothing is lent");
        for (shut, troubles, severity, words) in [
            (None, vec!["its disk is away"], Severity::Critical, "guests neither store nor read: its disk is away"),
            (None, vec![], Severity::Critical, "no cause is known"),
            (Some(true), vec!["it cannot listen at [::]:7790"], Severity::Critical, "it cannot listen"),
            (Some(false), vec!["it cannot listen at [::]:7790"], Severity::Critical, "it cannot listen"),
            (Some(false), vec![], Severity::Warning, "landlock"),
        ] {
            let (key, finding) = only(&lent(shut, &troubles, vec![loan(0, None)]));
            assert_eq!((key.kind, key.subject, finding.severity), (AlertKind::Lender, None, severity), "{words}");
            assert!(finding.cause.contains(words) && !finding.remedy.is_empty(), "{finding:?}");
            assert_eq!(finding.lasts, LENDER_LASTS);
        }
        let broken = Loan { trouble: Some("its disk failed".into()), ..loan(0, None) };
        let (key, finding) = only(&lent(Some(true), &[], vec![broken]));
        assert_eq!((key.kind, key.subject.as_deref()), (AlertKind::Lender, Some("ann")));
        assert!(finding.cause.ends_with("cannot be served: its disk failed"), "{finding:?}");
    }

    #[test]
    fn loans_that_are_nearly_full_or_soon_over_are_told() {
        let severity = |one: Loan| {
            let all = findings(&lent(Some(true), &[], vec![one]));
            all.into_iter().map(|(key, finding)| (key.kind, finding.severity)).collect::<Vec<_>>()
        };
        let part = |permille: u64| loan((1 << 30) / 1_000 * permille, None);
        assert_eq!(severity(part(890)), vec![]);
        assert_eq!(severity(part(910)), [(AlertKind::LoanFull, Severity::Warning)]);
        assert_eq!(severity(part(985)), [(AlertKind::LoanFull, Severity::Critical)]);
        // What is withheld takes its room.
        let held = Loan { held_bytes: 1 << 29, ..part(450) };
        assert_eq!(severity(held), [(AlertKind::LoanFull, Severity::Warning)]);
        assert_eq!(severity(loan(0, Some(NOW_S + LOAN_WARNING_S + 1))), vec![]);
        assert_eq!(severity(loan(0, Some(NOW_S + LOAN_WARNING_S))), [(AlertKind::LoanEnds, Severity::Warning)]);
        let over = Loan { standing: LoanStanding::Over, ..loan(1 << 30, Some(NOW_S - 1)) };
        assert_eq!(
            severity(over.clone()),
            [(AlertKind::LoanFull, Severity::Critical), (AlertKind::LoanEnds, Severity::Warning)]
        );
        // A person has ended it: nothing is left to say.
        assert_eq!(severity(Loan { standing: LoanStanding::Ended, ..over.clone() }), vec![]);
        assert_eq!(severity(Loan { standing: LoanStanding::Going, ..over }), vec![]);
    }
}
