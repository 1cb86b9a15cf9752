//! From what the agent knows to what somebody should know: pure. Each subject has a file with its rules, and the times and bounds that are its own.

mod applications;
mod backups;
mod certificates;
mod facts;
mod finding;
mod lending;
mod machine;
mod moves;
mod room;

pub use facts::{ApplicationFacts, CertificateFacts, DamageFacts, Facts, MoveFacts};
use finding::Findings;

/// Everything that is not as it should be.
pub fn findings(facts: &Facts) -> Findings {
    let mut found = Findings::new();
    for application in &facts.applications {
        applications::down(application, &mut found);
        applications::conditions(application, &mut found);
    }
    backups::backups(facts, &mut found);
    backups::places(facts, &mut found);
    lending::lender(facts, &mut found);
    facts.moves.iter().for_each(|one| moves::move_waits(one, &mut found));
    facts.silent.iter().for_each(|(id, name)| machine::silent(id, name, &mut found));
    machine::disk(facts, &mut found);
    certificates::certificates(facts, &mut found);
    machine::members(facts, &mut found);
    facts.damages.iter().for_each(|one| machine::damage(one, &mut found));
    machine::machine(facts, &mut found);
    found
}

#[cfg(test)]
mod tests {
    use super::certificates::CERTIFICATE_WARNING_S;
    use super::finding::ATTEMPTS_MIN;
    use super::*;
    use crate::alerts::views::Key;
    use crate::views::ApplicationState;
    use openmesh_alerts::Finding;

    /// An application `web` in a state.
    pub fn application(state: ApplicationState) -> ApplicationFacts {
        ApplicationFacts { name: "web".into(), state, cause: Some("it says why".into()), conditions: Vec::new() }
    }

    /// The one finding of some facts.
    pub fn only(facts: &Facts) -> (Key, Finding) {
        let mut all = findings(facts);
        assert_eq!(all.len(), 1, "{all:?}");
        all.pop_first().unwrap()
    }

    /// A moment, seconds since 1970.
    pub const NOW_S: u64 = 1_000_000_000;

    /// A certificate for a year, with so much of it left.
    pub fn certificate(now_s: u64, left: u64) -> CertificateFacts {
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
}
