//! Generations that nobody goes back to: an application of theirs is another machine's by now.

use std::collections::BTreeSet;

use openmesh_blueprint::Document;
use openmesh_blueprint::moving::Arrival;

use super::REMEMBERED_MS;
use super::book::Moves;
use super::error::MovesError;
use super::records::Arriving;
use super::view::since_ms;
use super::views::MoveOutcome;
use crate::error::AgentError;

impl Moves {
    /// Refuses to go back to a generation with an application that came and went back, or that moved away: it would serve here beside the other machine.
    ///
    /// # Errors
    /// There is one; or a mark, or how the last moves ended, cannot be read.
    pub fn check_back(&self, before: &Document, after: &Document) -> Result<(), AgentError> {
        let has = |document: &Document, name: &str| document.applications.keys().any(|one| one.as_str() == name);
        let comes_back = |one: &Arriving| {
            one.mark == Arrival::Dropped && has(after, &one.application) && !has(before, &one.application)
        };
        if let Some(one) = self.all_arriving()?.into_iter().find(comes_back) {
            return Err(MovesError::Back { application: one.application, node: one.node }.into());
        }
        // The newest end of each counts: what moved away and here again is this machine's.
        let mut seen = BTreeSet::new();
        for ended in self.ended()? {
            let (application, node) = (ended.application, ended.other);
            let is_newest = seen.insert(application.clone());
            let is_away = ended.leaves && ended.outcome == MoveOutcome::Moved && since_ms(ended.at) <= REMEMBERED_MS;
            if is_newest && is_away && has(after, &application) && !has(before, &application) {
                return Err(MovesError::Back { application, node }.into());
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use openmesh_blueprint::moving::Departure;

    use super::super::records::Leaving;
    use super::super::records::tests::{arriving, leaving};
    use super::*;
    use crate::secrets::Vault;

    #[test]
    fn nobody_goes_back_to_what_went_back() {
        let folder = tempfile::tempdir().unwrap();
        let moves = Moves::new(folder.path(), Arc::new(Vault::open(folder.path()).unwrap()));
        let none = Document::parse("version: 1\n").unwrap();
        let web = Document::parse("version: 1\napplications: {web: {image: \"shop:1\"}}\n").unwrap();
        assert!(moves.check_back(&none, &web).is_ok());
        let one = arriving(Arrival::Serves);
        moves.begin_arriving(&one).unwrap();
        assert!(moves.check_back(&none, &web).is_ok());
        moves.change_arriving(&one.id, |one| one.mark = Arrival::Dropped).unwrap();
        assert_eq!(moves.check_back(&none, &web).unwrap_err().code(), ("moved", 409));
        assert!(moves.check_back(&web, &web).is_ok() && moves.check_back(&web, &none).is_ok());
        moves.forget_arriving(&one.id).unwrap();
        // Nor to what moved away, as long as it did not come again.
        let gone = leaving(Departure::Over);
        moves.end_leaving(&gone, MoveOutcome::Moved, None).unwrap();
        assert_eq!(moves.check_back(&none, &web).unwrap_err().code(), ("moved", 409));
        assert!(moves.check_back(&web, &web).is_ok());
        moves.end_arriving(&Arriving { id: "1".repeat(32), ..one.clone() }, MoveOutcome::Moved, None).unwrap();
        assert!(moves.check_back(&none, &web).is_ok());
        moves.end_leaving(&Leaving { id: "2".repeat(32), ..gone }, MoveOutcome::Returned, None).unwrap();
        assert!(moves.check_back(&none, &web).is_ok(), "it stayed here");
    }
}
