//! From what the agent knows to what somebody should know: pure.

use std::collections::BTreeMap;
use std::time::Duration;

use openmesh_primitives::Timestamp;

use crate::alerts::views::{AlertKind, Severity};
use crate::backups::views::{Application as Backups, State as BackupState, Target};
use crate::lending::views::{Lending, Loan, LoanStanding};
use crate::views::ApplicationState;

/// Time for which an application is down before somebody is woken: a switch or a restart by its policy is shorter.
pub const DOWN_LASTS: Duration = Duration::from_secs(30);
/// Time for which it starts: what loads a database into memory needs minutes.
pub const STARTING_LASTS: Duration = Duration::from_secs(300);
/// Time for which a step of the machine fails: the first attempts are within it.
pub const MACHINE_LASTS: Duration = Duration::from_secs(60);
/// Time for which backups are late or fail: a failed one is tried again within it.
pub const BACKUP_LASTS: Duration = Duration::from_secs(600);
/// Time for which a disk or a volume is full: what is written and removed again at once is no trouble.
pub const FULL_LASTS: Duration = Duration::from_secs(60);
/// Time for which the door does not take changed members: one that is started again or replaced takes them within it.
pub const MEMBERS_LASTS: Duration = Duration::from_secs(10);
/// Time for which the lender does not do what it was told: one that is started again or replaced does it within it.
pub const LENDER_LASTS: Duration = Duration::from_secs(60);
/// Time for which a move does not get further: a machine that starts anew is back within it.
pub const MOVE_LASTS: Duration = Duration::from_secs(60);
/// Time for which a machine that joined is silent, beside the minute after which it counts as that: one that starts anew reports within it.
pub const SILENT_LASTS: Duration = Duration::from_secs(240);
/// Time for which everything else lasts: a look that saw half of a change is over by then.
pub const OTHER_LASTS: Duration = Duration::from_secs(30);

/// Share of the machine's disk that is used, thousandths, above which a person should look: volumes that are made or grow still find room.
pub const DISK_WARNING_PERMILLE: u64 = 800;
/// The same above which images and backups soon find none.
pub const DISK_CRITICAL_PERMILLE: u64 = 900;
/// Share of room that is lent which is used, thousandths, above which the next backups may not fit.
pub const ROOM_WARNING_PERMILLE: u64 = 900;
/// The same above which the next one does not.
pub const ROOM_CRITICAL_PERMILLE: u64 = 980;
/// Time before its end at which whoever lends or borrows should speak of it, seconds.
pub const LOAN_WARNING_S: u64 = 14 * 86_400;
/// Time before its end at which a certificate should have been renewed, seconds: those of the own authority are 30 days before.
pub const CERTIFICATE_WARNING_S: u64 = 14 * 86_400;
/// The same at which visitors see a warning soon, seconds.
pub const CERTIFICATE_CRITICAL_S: u64 = 3 * 86_400;
/// Attempts after which a step that fails is no passing trouble.
pub const ATTEMPTS_MIN: u32 = 3;

/// Everything that rules look at.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// Moment, seconds since 1970.
    pub now_s: u64,
    /// Applications.
    pub applications: Vec<ApplicationFacts>,
    /// Causes of steps of the machine itself that fail, with their attempts.
    pub machine: Vec<(String, u32)>,
    /// Backups by application.
    pub backups: Vec<Backups>,
    /// Places for backups.
    pub targets: Vec<Target>,
    /// Room that this machine lends; none where it cannot be looked at.
    pub lending: Option<Lending>,
    /// Moves of applications that do not get further.
    pub moves: Vec<MoveFacts>,
    /// Machines that have joined this one and are silent: number and name.
    pub silent: Vec<(String, String)>,
    /// Bytes of the machine's disk, and those that are free for everybody.
    pub disk: Option<(u64, u64)>,
    /// Certificates of names that the door serves.
    pub certificates: Vec<CertificateFacts>,
    /// Files of catalogues of other publishers that could not be read.
    pub damages: Vec<DamageFacts>,
    /// Reason for which the door does not know of the present members yet.
    pub members_due: Option<String>,
    /// A deployment that came back by itself: its number, that of the generation that serves in its place, the cause.
    pub returned: Option<(u64, u64, String)>,
    /// Parts that could not be looked at, with their causes.
    pub unread: Vec<String>,
    /// The program of this agent was replaced by another one on disk.
    pub is_replaced: bool,
    /// A document of a file that is not taken: file, cause, remedy.
    pub refused: Option<(String, String, String)>,
}

/// Facts of a move that does not get further.
#[derive(Clone, Debug)]
pub struct MoveFacts {
    /// The application.
    pub application: String,
    /// Name of the other machine.
    pub other: String,
    /// It leaves this machine; else it comes here.
    pub leaves: bool,
    /// Clients are let in nowhere.
    pub is_down: bool,
    /// A person can cancel or undo it here.
    pub can_undo: bool,
    /// Cause.
    pub cause: String,
}

/// Facts of a file that could not be read.
#[derive(Clone, Debug)]
pub struct DamageFacts {
    /// The thing that it holds.
    pub what: String,
    /// Place in which it lies now.
    pub file: String,
    /// Reason, where it is known.
    pub words: Option<String>,
}

/// Facts of a certificate that rules look at.
#[derive(Clone, Debug, Default)]
pub struct CertificateFacts {
    /// Name or pattern.
    pub name: String,
    /// Begin and end of its life, seconds since 1970; none where there is no certificate.
    pub life: Option<(u64, u64)>,
    /// The one who renews it does so by itself.
    pub renews: bool,
    /// Attempts to get another one that failed in a row, with cause and remedy.
    pub failure: Option<(u32, String, String)>,
}

/// Facts of an application that rules look at.
#[derive(Clone, Debug)]
pub struct ApplicationFacts {
    /// Name.
    pub name: String,
    /// State.
    pub state: ApplicationState,
    /// Cause of a state that nobody wished.
    pub cause: Option<String>,
    /// Conditions: kind, number of the instance, words with figures.
    pub conditions: Vec<(String, u32, String)>,
}

/// Subject of an alert. There is one alert for it at a time.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    /// Kind.
    pub kind: AlertKind,
    /// Application; none for the machine.
    pub application: Option<String>,
    /// One of several: a place for backups, a name of a certificate, an instance.
    pub subject: Option<String>,
}

/// Something that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Severity.
    pub severity: Severity,
    /// Cause.
    pub cause: String,
    /// Remedy, in words.
    pub remedy: String,
    /// Time for which it has to last before an alert opens.
    pub lasts: Duration,
}

type Findings = BTreeMap<Key, Finding>;

/// Everything that is not as it should be.
pub fn findings(facts: &Facts) -> Findings {
    let mut found = Findings::new();
    for application in &facts.applications {
        down(application, &mut found);
        conditions(application, &mut found);
    }
    backups(facts, &mut found);
    places(facts, &mut found);
    lender(facts, &mut found);
    facts.moves.iter().for_each(|one| move_waits(one, &mut found));
    facts.silent.iter().for_each(|(id, name)| silent(id, name, &mut found));
    disk(facts, &mut found);
    certificates(facts, &mut found);
    members(facts, &mut found);
    facts.damages.iter().for_each(|one| damage(one, &mut found));
    machine(facts, &mut found);
    found
}

fn key(kind: AlertKind, application: Option<&str>, subject: Option<&str>) -> Key {
    Key { kind, application: application.map(Into::into), subject: subject.map(Into::into) }
}

fn down(application: &ApplicationFacts, found: &mut Findings) {
    let name = &application.name;
    let (words, lasts, remedy) = match application.state {
        ApplicationState::Running | ApplicationState::Stopped | ApplicationState::Leaving => return,
        ApplicationState::Starting => ("does not come up", STARTING_LASTS, format!("openmesh app logs {name}")),
        ApplicationState::CrashLoop => ("ends again and again", DOWN_LASTS, format!("openmesh app logs {name}")),
        ApplicationState::Frozen => ("is frozen", DOWN_LASTS, format!("openmesh app why {name}")),
        ApplicationState::Ended => ("has ended", DOWN_LASTS, format!("openmesh app logs {name}")),
        ApplicationState::Failed => ("did not pass its gate", DOWN_LASTS, "openmesh app history".into()),
        ApplicationState::Held => ("is left as it is", DOWN_LASTS, format!("openmesh app why {name}")),
    };
    let cause = application.cause.as_ref().map(|cause| format!(": {cause}")).unwrap_or_default();
    let finding =
        Finding { severity: Severity::Critical, cause: format!("{name} {words}{cause}"), remedy: look(&remedy), lasts };
    found.insert(key(AlertKind::Down, Some(name), None), finding);
}

fn look(command: &str) -> String {
    format!("`{command}` tells more; `openmesh app rollback GENERATION` goes back to a version that ran")
}

fn conditions(application: &ApplicationFacts, found: &mut Findings) {
    let name = application.name.as_str();
    for (kind, index, text) in &application.conditions {
        let subject = index.to_string();
        let (kind, severity, lasts, remedy) = match kind.as_str() {
            "disk_full" => (
                AlertKind::VolumeFull,
                Severity::Critical,
                FULL_LASTS,
                format!("raise the `size` of its volumes, or remove files: `openmesh app files {name}`"),
            ),
            "out_of_memory" => (
                AlertKind::OutOfMemory,
                Severity::Warning,
                OTHER_LASTS,
                format!("raise `limits.memory` of {name}; `openmesh app usage {name}` shows what it needs"),
            ),
            // Waiting for a processor by a limit that a person chose wakes nobody.
            _ => continue,
        };
        let finding = Finding { severity, cause: format!("{name} {subject}: {text}"), remedy, lasts };
        found.insert(key(kind, Some(name), Some(&subject)), finding);
    }
}

fn backups(facts: &Facts, found: &mut Findings) {
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
fn places(facts: &Facts, found: &mut Findings) {
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

/// Severity and words of room that is nearly full.
fn fullness(used_bytes: u64, all_bytes: u64) -> Option<(Severity, String)> {
    let permille = match all_bytes {
        0 => 1_000,
        all => u64::try_from(u128::from(used_bytes) * 1_000 / u128::from(all)).unwrap_or(u64::MAX),
    };
    let severity = match permille {
        ROOM_CRITICAL_PERMILLE.. => Severity::Critical,
        ROOM_WARNING_PERMILLE.. => Severity::Warning,
        _ => return None,
    };
    let left = all_bytes.saturating_sub(used_bytes) >> 20;
    Some((severity, format!("is at {}.{} %, with {left} MiB free", permille / 10, permille % 10)))
}

/// Severity and words of room whose end is near, or has passed.
fn ending_soon(until: Option<Timestamp>, now_s: u64) -> Option<(Severity, String)> {
    let until = until?;
    let left = u64::try_from(until.nanos().div_euclid(1_000_000_000)).unwrap_or(0).saturating_sub(now_s);
    let when = until.to_rfc3339();
    match left {
        0 => Some((Severity::Critical, format!("has ended at {when}, and takes nothing new"))),
        left if left <= LOAN_WARNING_S => Some((Severity::Warning, format!("ends at {when}"))),
        _ => None,
    }
}

/// The lender of this machine, and its loans. What a person ended is as that person wants it.
fn lender(facts: &Facts, found: &mut Findings) {
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

/// A move that waits, as for a machine that is away. Where nobody serves clients meanwhile, somebody has to look at it now.
fn move_waits(one: &MoveFacts, found: &mut Findings) {
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

/// A machine that has joined and does not report: it is off, or reaches this one no more.
fn silent(id: &str, name: &str, found: &mut Findings) {
    let cause = format!("{name}, which has joined this Xnode, does not report");
    let remedy = format!(
        "look whether it runs, and whether it reaches this one: `openmesh xnode join --status` there tells why; `openmesh xnode machines remove {id}` here where it is gone for good"
    );
    let finding = Finding { severity: Severity::Warning, cause, remedy, lasts: SILENT_LASTS };
    found.insert(key(AlertKind::Silent, None, Some(id)), finding);
}

/// Changed members that the door has not taken: whoever was removed may still open what members may.
fn members(facts: &Facts, found: &mut Findings) {
    let Some(words) = &facts.members_due else { return };
    let cause = format!("the door has not taken changed members, and lets people in by those of before: {words}");
    let remedy =
        "`openmesh xnode doors` tells more; make room where the disk is full. The door is told again each second";
    let finding = Finding { severity: Severity::Critical, cause, remedy: remedy.into(), lasts: MEMBERS_LASTS };
    found.insert(key(AlertKind::Machine, None, Some("members")), finding);
}

/// A file of a catalogue that was left out. What it held is fetched anew or lost; a disk that damages one file may damage others.
fn damage(one: &DamageFacts, found: &mut Findings) {
    let DamageFacts { what, file, words } = one;
    let words = words.as_ref().map(|words| format!(": {words}")).unwrap_or_default();
    let cause = format!("{what} could not be read, and lies in {file}{words}");
    let remedy = format!(
        "look after the disk; `openmesh app catalogues` shows what is in use, and `openmesh app catalogues refresh` fetches it anew; remove {file} once nobody needs it"
    );
    let finding = Finding { severity: Severity::Warning, cause, remedy, lasts: Duration::ZERO };
    found.insert(key(AlertKind::Machine, None, Some(file)), finding);
}

fn disk(facts: &Facts, found: &mut Findings) {
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

fn certificates(facts: &Facts, found: &mut Findings) {
    for one in &facts.certificates {
        let name = &one.name;
        let Some((severity, mut cause)) = ending(one, facts.now_s) else { continue };
        let give = format!("`openmesh xnode doors certificate {name}` gives another one");
        let remedy = match &one.failure {
            Some((_, words, remedy)) => {
                cause += &format!(": {words}");
                format!("{remedy}; {give}")
            }
            None if one.renews => format!("`openmesh xnode doors` tells why; {give}"),
            None => give,
        };
        let finding = Finding { severity, cause, remedy, lasts: OTHER_LASTS };
        found.insert(key(AlertKind::Certificate, None, Some(name)), finding);
    }
}

/// Severity and words of a certificate that ends soon, or that cannot be had.
fn ending(one: &CertificateFacts, now_s: u64) -> Option<(Severity, String)> {
    let name = &one.name;
    let Some((from_s, until_s)) = one.life else {
        let failing = one.failure.as_ref().is_some_and(|(count, _, _)| *count >= ATTEMPTS_MIN);
        return failing.then(|| (Severity::Warning, format!("no certificate for {name} can be had")));
    };
    // One that lives for a day is renewed on that day: its alert comes when a sixth of its life is left.
    let (life, left) = (until_s.saturating_sub(from_s), until_s.saturating_sub(now_s));
    let severity = match left {
        left if left <= CERTIFICATE_CRITICAL_S.min(life / 20) => Severity::Critical,
        left if left <= CERTIFICATE_WARNING_S.min(life / 6) => Severity::Warning,
        _ => return None,
    };
    let when = match left {
        0 => "has ended".to_string(),
        left => format!("ends in {} hours", left / 3_600),
    };
    let renewed = if one.renews { ", and was not renewed" } else { "; a person gave it, and nobody renews it" };
    Some((severity, format!("the certificate for {name} {when}{renewed}")))
}

fn machine(facts: &Facts, found: &mut Findings) {
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
    use super::*;

    fn application(state: ApplicationState) -> ApplicationFacts {
        ApplicationFacts { name: "web".into(), state, cause: Some("it says why".into()), conditions: Vec::new() }
    }

    fn only(facts: &Facts) -> (Key, Finding) {
        let mut all = findings(facts);
        assert_eq!(all.len(), 1, "{all:?}");
        all.pop_first().unwrap()
    }

    const NOW_S: u64 = 1_000_000_000;

    /// A certificate for a year, with so much of it left.
    fn certificate(now_s: u64, left: u64) -> CertificateFacts {
        let until = now_s + left;
        CertificateFacts {
            name: "a.lan".into(),
            life: Some((until.saturating_sub(31_536_000), until)),
            renews: true,
            failure: None,
        }
    }

    #[test]
    fn nothing_is_said_of_what_is_as_it_should_be() {
        let running = [ApplicationState::Running, ApplicationState::Stopped, ApplicationState::Leaving];
        let facts = Facts {
            now_s: NOW_S,
            applications: running.map(application).into(),
            disk: Some((1_000, 201)),
            certificates: vec![certificate(NOW_S, CERTIFICATE_WARNING_S + 1)],
            machine: vec![("once".into(), ATTEMPTS_MIN - 1)],
            ..Facts::default()
        };
        assert!(findings(&facts).is_empty());
        assert!(findings(&Facts { disk: Some((0, 0)), ..Facts::default() }).is_empty());
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
    fn an_application_that_is_down_is_told_with_its_cause() {
        for state in [
            ApplicationState::CrashLoop,
            ApplicationState::Frozen,
            ApplicationState::Ended,
            ApplicationState::Failed,
            ApplicationState::Held,
            ApplicationState::Starting,
        ] {
            let facts = Facts { applications: vec![application(state)], ..Facts::default() };
            let (key, finding) = only(&facts);
            assert_eq!((key.kind, key.application.as_deref()), (AlertKind::Down, Some("web")));
            assert!(finding.cause.contains("it says why") && finding.remedy.contains("openmesh app"), "{finding:?}");
            let lasts = if state == ApplicationState::Starting { STARTING_LASTS } else { DOWN_LASTS };
            assert_eq!(finding.lasts, lasts);
        }
    }

    #[test]
    fn what_cannot_be_looked_at_is_trouble_of_the_machine() {
        let (key, finding) = only(&Facts { unread: vec!["backups: damaged".into()], ..Facts::default() });
        assert!(key.kind == AlertKind::Machine && finding.cause.ends_with("backups: damaged"), "{finding:?}");
    }

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

    #[test]
    fn whoever_borrows_room_is_told_before_it_is_full_or_over() {
        let target = |used_bytes: u64, until_s: Option<u64>, state| {
            let until = until_s.map(|until| Timestamp(until as i64 * 1_000_000_000));
            let room = Some(crate::backups::views::Room { all_bytes: 1_000, used_bytes, until });
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
    fn certificates_are_told_before_their_end() {
        let with = |one: CertificateFacts| {
            let facts = Facts { now_s: NOW_S, certificates: vec![one], ..Facts::default() };
            findings(&facts).into_values().next()
        };
        let at = |left: u64| with(certificate(NOW_S, left)).unwrap();
        assert_eq!(at(CERTIFICATE_WARNING_S).severity, Severity::Warning);
        assert_eq!(at(CERTIFICATE_CRITICAL_S).severity, Severity::Critical);
        assert!(at(0).cause.contains("has ended") && at(0).cause.contains("was not renewed"));
        let given = with(CertificateFacts { renews: false, ..certificate(NOW_S, 60) }).unwrap();
        assert!(given.cause.contains("a person gave it") && given.remedy.contains("doors certificate a.lan"));
        let failure = Some((1, "no way".to_string(), "open port 80".to_string()));
        let failing = with(CertificateFacts { failure: failure.clone(), ..certificate(NOW_S, 60) }).unwrap();
        assert!(failing.cause.contains("no way") && failing.remedy.starts_with("open port 80"), "{failing:?}");
        // One for six days is not told in its first hours, and one that never was there after some attempts.
        let short = |left: u64| {
            with(CertificateFacts { life: Some((NOW_S + left - 6 * 86_400, NOW_S + left)), ..certificate(NOW_S, 0) })
        };
        assert_eq!(short(5 * 86_400), None);
        assert_eq!(short(86_400).unwrap().severity, Severity::Warning);
        let never = |count| {
            let failure = failure.clone().map(|(_, cause, remedy)| (count, cause, remedy));
            with(CertificateFacts { life: None, failure, ..certificate(NOW_S, 0) })
        };
        assert_eq!(never(ATTEMPTS_MIN - 1), None);
        assert!(never(ATTEMPTS_MIN).unwrap().cause.contains("can be had: no way"));
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
    fn full_volumes_and_killed_processes_are_told_and_slow_ones_not() {
        let mut web = application(ApplicationState::Running);
        web.conditions = vec![
            ("disk_full".into(), 0, "at 99.0 %".into()),
            ("out_of_memory".into(), 1, "killed 2".into()),
            ("throttled".into(), 0, "waited".into()),
        ];
        let all = findings(&Facts { applications: vec![web], ..Facts::default() });
        let kinds: Vec<(AlertKind, Option<&str>)> = all.keys().map(|key| (key.kind, key.subject.as_deref())).collect();
        assert_eq!(kinds, [(AlertKind::VolumeFull, Some("0")), (AlertKind::OutOfMemory, Some("1"))]);
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
