//! The machine itself: its disk, files that cannot be read, its members, machines that joined it, its documents and its agent.

use std::time::Duration;

use openmesh_alerts::Finding;

use super::facts::{DamageFacts, Facts};
use super::finding::{ATTEMPTS_MIN, FULL_LASTS, Findings, OTHER_LASTS, key};
use crate::alerts::views::{AlertKind, Severity};

/// Time for which a step of the machine fails: the first attempts are within it.
const MACHINE_LASTS: Duration = Duration::from_secs(60);
/// Time for which the door does not take changed members: one that is started again or replaced takes them within it.
const MEMBERS_LASTS: Duration = Duration::from_secs(10);
/// Time for which a machine that joined is silent, beside the minute after which it counts as that: one that starts anew reports within it.
const SILENT_LASTS: Duration = Duration::from_secs(240);

/// Share of the machine's disk that is used, thousandths, above which a person should look: volumes that are made or grow still find room.
const DISK_WARNING_PERMILLE: u64 = 800;
/// The same above which images and backups soon find none.
const DISK_CRITICAL_PERMILLE: u64 = 900;

/// Changed members that the door has not taken: whoever was removed may still open what members may.
pub fn members(facts: &Facts, found: &mut Findings) {
    let Some(words) = &facts.members_due else { return };
    let cause = format!("the door has not taken changed members, and lets people in by those of before: {words}");
    let remedy =
        "`openmesh xnode doors` tells more; make room where the disk is full. The door is told again each second";
    let finding = Finding { severity: Severity::Critical, cause, remedy: remedy.into(), lasts: MEMBERS_LASTS };
    found.insert(key(AlertKind::Machine, None, Some("members")), finding);
}

/// A machine that has joined and does not report: it is off, or reaches this one no more.
pub fn silent(id: &str, name: &str, found: &mut Findings) {
    let cause = format!("{name}, which has joined this Xnode, does not report");
    let remedy = format!(
        "look whether it runs, and whether it reaches this one: `openmesh xnode join --status` there tells why; `openmesh xnode machines remove {id}` here where it is gone for good"
    );
    let finding = Finding { severity: Severity::Warning, cause, remedy, lasts: SILENT_LASTS };
    found.insert(key(AlertKind::Silent, None, Some(id)), finding);
}

/// A file of a catalogue that was left out. What it held is fetched anew or lost; a disk that damages one file may damage others.
pub fn damage(one: &DamageFacts, found: &mut Findings) {
    let DamageFacts { what, file, words } = one;
    let words = words.as_ref().map(|words| format!(": {words}")).unwrap_or_default();
    let cause = format!("{what} could not be read, and lies in {file}{words}");
    let remedy = format!(
        "look after the disk; `openmesh app catalogues` shows what is in use, and `openmesh app catalogues refresh` fetches it anew; remove {file} once nobody needs it"
    );
    let finding = Finding { severity: Severity::Warning, cause, remedy, lasts: Duration::ZERO };
    found.insert(key(AlertKind::Machine, None, Some(file)), finding);
}

/// A disk that is nearly full.
pub fn disk(facts: &Facts, found: &mut Findings) {
    let Some((bytes, free)) = facts.disk.filter(|(bytes, _)| *bytes > 0) else { return };
    let used = bytes.saturating_sub(free);
    let permille = u64::try_from(u128::from(used) * 1_000 / u128::from(bytes)).unwrap_or(u64::MAX);
    let severity = match permille {
        DISK_CRITICAL_PERMILLE.. => Severity::Critical,
        DISK_WARNING_PERMILLE.. => Severity::Warning,
        _ => return,
    };
    let (percent, tenth) = (permille / 10, permille % 10);
    let cause = format!("the machine's disk is at {percent}.{tenth} %, with {} MiB free", free >> 20);
    let remedy =
        "remove applications, images or files that are not needed, or give the machine a larger disk".to_string();
    found.insert(key(AlertKind::Disk, None, None), Finding { severity, cause, remedy, lasts: FULL_LASTS });
}

/// A machine that does not get to what is wanted of it, deployments that did not last, and an agent that is an older one.
pub fn machine(facts: &Facts, found: &mut Findings) {
    let unread = facts.unread.iter().map(String::as_str);
    let failing =
        facts.machine.iter().filter(|(_, attempts)| *attempts >= ATTEMPTS_MIN).map(|(cause, _)| cause.as_str());
    let causes: Vec<&str> = failing.chain(unread).collect();
    if !causes.is_empty() {
        let cause = format!("the machine does not get to what is wanted of it: {}", causes.join("; "));
        let remedy = "`openmesh xnode status` and `openmesh xnode events` tell more".to_string();
        let finding = Finding { severity: Severity::Critical, cause, remedy, lasts: MACHINE_LASTS };
        found.insert(key(AlertKind::Machine, None, None), finding);
    }
    if let Some((failed, by, cause)) = &facts.returned {
        let cause =
            format!("the update to generation {failed} has failed, and generation {by} serves in its place: {cause}");
        let remedy = format!("`openmesh app diff {failed} {by}` shows what came back; deploy a document that is right");
        let finding = Finding { severity: Severity::Warning, cause, remedy, lasts: Duration::ZERO };
        found.insert(key(AlertKind::Update, None, Some(&failed.to_string())), finding);
    }
    if let Some((file, cause, remedy)) = &facts.refused {
        let cause = format!("the document of {file} is not taken: {cause}");
        let finding = Finding { severity: Severity::Warning, cause, remedy: remedy.clone(), lasts: OTHER_LASTS };
        found.insert(key(AlertKind::Update, None, Some("document")), finding);
    }
    if facts.is_replaced {
        let cause = "another version of the agent is installed, and this one still runs".to_string();
        let remedy =
            "`openmesh xnode agent --take-over`, of a service `openmesh xnode service renew`: no application stops";
        let finding = Finding { severity: Severity::Info, cause, remedy: remedy.into(), lasts: OTHER_LASTS };
        found.insert(key(AlertKind::Update, None, Some("agent")), finding);
    }
}

#[cfg(test)]
mod tests {
    use super::super::findings;
    use super::super::tests::only;
    use super::*;

    #[test]
    fn what_cannot_be_looked_at_is_trouble_of_the_machine() {
        let (key, finding) = only(&Facts { unread: vec!["backups: damaged".into()], ..Facts::default() });
        assert!(key.kind == AlertKind::Machine && finding.cause.ends_with("backups: damaged"), "{finding:?}");
    }

    #[test]
    fn members_of_whom_the_door_does_not_know_are_told() {
        let both = Facts {
            members_due: Some("the document cannot be kept".into()),
            unread: vec!["backups: damaged".into()],
            ..Facts::default()
        };
        let all = findings(&both);
        assert_eq!(all.len(), 2, "beside other trouble of the machine: {all:?}");
        let (_, finding) = all.iter().find(|(key, _)| key.subject.as_deref() == Some("members")).unwrap();
        assert!(finding.cause.ends_with("the document cannot be kept"), "{finding:?}");
        assert_eq!((finding.severity, finding.lasts), (Severity::Critical, MEMBERS_LASTS));
    }

    #[test]
    fn a_machine_that_is_silent_is_told_by_its_name() {
        let facts = Facts { silent: vec![("ab12".into(), "attic".into())], ..Facts::default() };
        let (key, finding) = only(&facts);
        assert_eq!((key.kind, key.subject.as_deref()), (AlertKind::Silent, Some("ab12")));
        assert_eq!((finding.severity, finding.lasts), (Severity::Warning, SILENT_LASTS));
        assert!(finding.cause.contains("attic") && finding.remedy.contains("machines remove ab12"), "{finding:?}");
    }

    #[test]
    fn the_disk_has_two_bounds() {
        let severity = |free: u64| {
            let facts = Facts { disk: Some((1_000 << 20, free << 20)), ..Facts::default() };
            findings(&facts).into_values().next().map(|finding| finding.severity)
        };
        assert_eq!(severity(201), None);
        assert_eq!(severity(200), Some(Severity::Warning));
        assert_eq!(severity(101), Some(Severity::Warning));
        assert_eq!(severity(100), Some(Severity::Critical));
        assert_eq!(severity(0), Some(Severity::Critical));
    }

    #[test]
    fn each_file_that_could_not_be_read_is_named() {
        let one = |name: &str, words: Option<&str>| DamageFacts {
            what: format!("the record of the catalogue {name}"),
            file: format!("/state/{name}.damaged"),
            words: words.map(Into::into),
        };
        let damages = vec![one("acme", Some("it has 9 bytes")), one("wares", None)];
        let all = findings(&Facts { damages, ..Facts::default() });
        let causes: Vec<&str> = all.values().map(|finding| finding.cause.as_str()).collect();
        let (acme, wares) = (
            "the record of the catalogue acme could not be read, and lies in /state/acme.damaged: it has 9 bytes",
            "the record of the catalogue wares could not be read, and lies in /state/wares.damaged",
        );
        assert_eq!(causes, [acme, wares]);
        assert!(all.keys().all(|key| key.kind == AlertKind::Machine && key.application.is_none()));
        assert!(all.values().all(|finding| finding.remedy.contains("remove /state/") && finding.lasts.is_zero()));
    }

    #[test]
    fn a_failed_update_and_a_newer_agent_are_told() {
        let returned = Facts { returned: Some((7, 8, "web: did not answer".into())), ..Facts::default() };
        let (key, finding) = only(&returned);
        assert_eq!((key.kind, key.subject.as_deref()), (AlertKind::Update, Some("7")));
        assert!(finding.cause.contains("generation 8 serves") && finding.lasts.is_zero());
        let replaced = only(&Facts { is_replaced: true, ..Facts::default() });
        assert_eq!(replaced.1.severity, Severity::Info);
        let refused = ["/etc/x.json", "port 80 is taken", "free it"].map(String::from);
        let [file, cause, remedy] = refused;
        let (key, finding) = only(&Facts { refused: Some((file, cause, remedy)), ..Facts::default() });
        assert_eq!((key.kind, key.subject.as_deref()), (AlertKind::Update, Some("document")));
        assert!(finding.cause.ends_with("/etc/x.json is not taken: port 80 is taken") && finding.remedy == "free it");
    }
}
