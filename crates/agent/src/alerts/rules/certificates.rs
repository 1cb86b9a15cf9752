//! Certificates that end soon, or that cannot be had.

use openmesh_alerts::Finding;

use super::facts::{CertificateFacts, Facts};
use super::finding::{ATTEMPTS_MIN, Findings, OTHER_LASTS, key};
use crate::alerts::views::{AlertKind, Severity};

/// Time before its end at which a certificate should have been renewed, seconds: those of the own authority are 30 days before.
pub const CERTIFICATE_WARNING_S: u64 = 14 * 86_400;
/// The same at which visitors see a warning soon, seconds.
const CERTIFICATE_CRITICAL_S: u64 = 3 * 86_400;

/// Certificates of names that the door serves.
pub fn certificates(facts: &Facts, found: &mut Findings) {
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

#[cfg(test)]
mod tests {
    use super::super::findings;
    use super::super::tests::{NOW_S, certificate};
    use super::*;

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
}
