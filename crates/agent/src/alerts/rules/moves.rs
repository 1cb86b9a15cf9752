//! Moves of applications that do not get further.

use std::time::Duration;

use openmesh_alerts::Finding;

use super::facts::MoveFacts;
use super::finding::{Findings, key};
use crate::alerts::views::{AlertKind, Severity};

/// Time for which a move does not get further: a machine that starts anew is back within it.
const MOVE_LASTS: Duration = Duration::from_secs(60);

/// A move that waits, as for a machine that is away. Where nobody serves clients meanwhile, somebody has to look at it now.
pub fn move_waits(one: &MoveFacts, found: &mut Findings) {
    let MoveFacts { application, other, cause, .. } = one;
    let way = if one.leaves { "to" } else { "from" };
    let cause = format!("the move of {application} {way} {other} does not get further: {cause}");
    let helps = match (one.leaves, one.can_undo) {
        (true, true) => format!("`openmesh app move {application} --undo` brings it back"),
        (true, false) => format!("where {other} takes its key no more, `openmesh app move` with another one goes on"),
        (false, _) => {
            format!("{other} can undo it, and `openmesh app move {application} --forget` here ends or keeps it")
        }
    };
    let remedy = format!("`openmesh app moves` tells more; {helps}");
    let severity = if one.is_down { Severity::Critical } else { Severity::Warning };
    let finding = Finding { severity, cause, remedy, lasts: MOVE_LASTS };
    found.insert(key(AlertKind::Move, Some(application), None), finding);
}

#[cfg(test)]
mod tests {
    use super::super::Facts;
    use super::super::tests::only;
    use super::*;

    #[test]
    fn a_move_that_waits_is_told_and_more_so_while_nobody_serves() {
        let told = |leaves: bool, is_down: bool| {
            let (application, other, cause) = ("web".into(), "attic".into(), "no answer".into());
            let one = MoveFacts { application, other, leaves, is_down, can_undo: is_down, cause };
            only(&Facts { moves: vec![one], ..Facts::default() })
        };
        let (key, finding) = told(true, true);
        assert_eq!((key.kind, key.application.as_deref()), (AlertKind::Move, Some("web")));
        assert_eq!((finding.severity, finding.lasts), (Severity::Critical, MOVE_LASTS));
        assert!(finding.cause.ends_with("to attic does not get further: no answer"), "{finding:?}");
        assert!(finding.remedy.contains("openmesh app move web --undo"));
        let (_, finding) = told(false, false);
        assert!(finding.severity == Severity::Warning && finding.cause.contains("from attic"), "{finding:?}");
        assert!(finding.remedy.contains("openmesh app move web --forget"), "{finding:?}");
        // Nothing is left to undo: it waits for the other machine alone.
        let (_, finding) = told(true, false);
        assert!(!finding.remedy.contains("--undo") && finding.remedy.contains("with another one"), "{finding:?}");
    }
}
