//! Backups that are late or fail, and the places for them.

use std::time::Duration;

use openmesh_alerts::Finding;

use super::facts::Facts;
use super::finding::{Findings, OTHER_LASTS, key};
use super::room::{ending_soon, fullness};
use crate::alerts::views::{AlertKind, Severity};
use crate::backups::views::State as BackupState;

/// Time for which backups are late or fail: a failed one is tried again within it.
const BACKUP_LASTS: Duration = Duration::from_secs(600);

/// Backups of applications that are late or fail, and drills that do not get through.
pub fn backups(facts: &Facts, found: &mut Findings) {
    let words = |cause: &Option<String>| cause.clone().unwrap_or_else(|| "no cause is known".into());
    for one in &facts.backups {
        let name = one.name.as_str();
        let trouble = match one.state {
            BackupState::Late => Some((AlertKind::BackupLate, "late")),
            BackupState::Failed => Some((AlertKind::BackupFailed, "failing")),
            BackupState::Ok | BackupState::Waiting | BackupState::Running => None,
        };
        if let Some((kind, state)) = trouble {
            let cause = format!("backups of {name} are {state}: {}", words(&one.cause));
            let remedy =
                format!("`openmesh app backups {name}` tells more; `openmesh app backup {name}` makes one now");
            let severity = Severity::Critical;
            found.insert(key(kind, Some(name), None), Finding { severity, cause, remedy, lasts: BACKUP_LASTS });
        }
        if matches!(one.drill_state, Some(BackupState::Late | BackupState::Failed)) {
            let cause = format!("restore drills of {name} do not get through: {}", words(&one.drill_cause));
            let remedy =
                format!("`openmesh app drill {name}` tries again; until then nobody knows that its backups are good");
            let severity = Severity::Warning;
            let finding = Finding { severity, cause, remedy, lasts: BACKUP_LASTS };
            found.insert(key(AlertKind::DrillFailed, Some(name), None), finding);
        }
    }
}

/// Places for backups that fail, and those at other Xnodes that soon take nothing more.
pub fn places(facts: &Facts, found: &mut Findings) {
    for target in &facts.targets {
        let (name, place) = (&target.name, &target.place);
        let finding = if target.state == BackupState::Failed {
            let cause = target.cause.as_deref().unwrap_or("no cause is known");
            let cause = format!("the place for backups `{name}` ({place}): {cause}");
            let remedy = "`openmesh xnode backups` tells more".to_string();
            Finding { severity: Severity::Critical, cause, remedy, lasts: BACKUP_LASTS }
        } else {
            let Some(room) = &target.room else { continue };
            let parts = [fullness(room.used_bytes, room.all_bytes), ending_soon(room.until, facts.now_s)];
            let Some(severity) = parts.iter().flatten().map(|(severity, _)| *severity).max() else { continue };
            let words: Vec<&str> = parts.iter().flatten().map(|(_, words)| words.as_str()).collect();
            let cause = format!("the room that `{name}` ({place}) lends to this machine {}", words.join(", and "));
            let remedy = "speak with whoever lends it, keep fewer backups, or name another place in the document";
            Finding { severity, cause, remedy: remedy.into(), lasts: OTHER_LASTS }
        };
        found.insert(key(AlertKind::BackupTarget, None, Some(name)), finding);
    }
}

#[cfg(test)]
mod tests {
    use openmesh_primitives::Timestamp;

    use super::super::findings;
    use super::super::tests::{NOW_S, only};
    use super::*;
    use crate::backups::views::{Room, Target};

    #[test]
    fn whoever_borrows_room_is_told_before_it_is_full_or_over() {
        let target = |used_bytes: u64, until_s: Option<u64>, state| {
            let until = until_s.map(|until| Timestamp(until as i64 * 1_000_000_000));
            let room = Some(Room { all_bytes: 1_000, used_bytes, until });
            let (name, place) = ("attic".to_string(), "Xnode ab at attic.lan:7790".to_string());
            let target = Target { name, place, repository: None, state, cause: None, tended: None, room };
            Facts { now_s: NOW_S, targets: vec![target], ..Facts::default() }
        };
        assert!(findings(&target(899, None, BackupState::Ok)).is_empty());
        let (key, finding) = only(&target(900, Some(NOW_S + 60), BackupState::Ok));
        assert_eq!((key.kind, key.subject.as_deref()), (AlertKind::BackupTarget, Some("attic")));
        assert_eq!(finding.severity, Severity::Warning);
        assert!(
            finding.cause.contains("lends to this machine is at 90.0 %, with 0 MiB free, and ends at 2001-"),
            "{finding:?}"
        );
        let (_, finding) = only(&target(0, Some(NOW_S - 60), BackupState::Ok));
        assert!(finding.severity == Severity::Critical && finding.cause.contains("takes nothing new"), "{finding:?}");
        // What fails is told with its own cause.
        let (_, finding) = only(&target(1_000, None, BackupState::Failed));
        assert!(finding.cause.ends_with("no cause is known"), "{finding:?}");
    }
}
