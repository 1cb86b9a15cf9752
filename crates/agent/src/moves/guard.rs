//! Changes of a document that meet a move: pure.

use std::collections::{BTreeMap, BTreeSet};

use openmesh_blueprint::document::{Application, Name, Wish};
use openmesh_blueprint::moving::{Arrival, Departure};

use super::error::MovesError;
use super::records::{Arriving, Leaving};

/// Refuses a change of an application that leaves: it stays as the copies have it, and runs where its mark says so alone.
///
/// # Errors
/// It would be another one, run at the wrong place, or go.
pub(super) fn leaves(
    leaving: &Leaving,
    before: Option<&Application>,
    after: Option<&Application>,
) -> Result<(), MovesError> {
    let (application, node) = (leaving.application.clone(), leaving.node.clone());
    let wish = |one: Option<&Application>| one.map(|one| one.wish);
    let allowed = match (&leaving.mark, after) {
        // By now it is the other machine's: it may go here, and does not run.
        (Departure::Over, Some(after)) if after.wish == Wish::Running => {
            return Err(MovesError::Away { application, node });
        }
        (Departure::Over, _) => true,
        (_, None) => false,
        (mark, Some(after)) => {
            let stays = wish(before) == Some(after.wish);
            let same = before.is_some_and(|before| is_same(before, after));
            match mark {
                Departure::Tries => stays && same,
                // No copy counts any more. It may need a larger volume for what comes back, and then a person's word counts.
                Departure::Returns { data, .. } => data.is_none() || after.wish == Wish::Paused,
                _ => after.wish == Wish::Paused && same,
            }
        }
    };
    if allowed { Ok(()) } else { Err(MovesError::Leaving { application, node }) }
}

/// Refuses an application that comes with secrets that its document does not name. By a move an operator sets some, which else an admin does alone.
///
/// # Errors
/// There is one.
pub(super) fn brings(
    arriving: &Arriving,
    named: &BTreeSet<&Name>,
    brought: &BTreeMap<Name, Vec<u8>>,
) -> Result<(), MovesError> {
    let Some(secret) = brought.keys().find(|secret| !named.contains(*secret)) else { return Ok(()) };
    let why = format!("it comes with the secret `{secret}`, which its document does not name");
    Err(MovesError::TooMuch { application: arriving.application.clone(), why })
}

/// Refuses an application for which room was asked for larger volumes than its document declares. By a move an operator gives a loan, which else an admin does
/// alone.
///
/// # Errors
/// It was.
pub(super) fn fits(arriving: &Arriving, declared_bytes: u64) -> Result<(), MovesError> {
    if arriving.size_bytes <= declared_bytes {
        return Ok(());
    }
    let mebibytes = |bytes: u64| bytes.div_ceil(1 << 20);
    let (asked, declared) = (mebibytes(arriving.size_bytes), mebibytes(declared_bytes));
    let why = format!("room for volumes of {asked} MiB was asked for, and its document declares {declared} MiB");
    Err(MovesError::TooMuch { application: arriving.application.clone(), why })
}

/// Returns true for applications that differ in their wish alone.
fn is_same(one: &Application, other: &Application) -> bool {
    Application { wish: other.wish, ..one.clone() } == *other
}

/// Refuses a change of an application that comes, by anybody but its move. One that did not come is its move's until everything of it is removed: whatever has
/// its name by then goes with its data.
///
/// # Errors
/// It would be another one; or it has come, may go back, and would be removed.
pub(super) fn comes(
    arriving: &Arriving,
    before: Option<&Application>,
    after: Option<&Application>,
) -> Result<(), MovesError> {
    let (application, node) = (arriving.application.clone(), arriving.node.clone());
    match (&arriving.mark, after) {
        (Arrival::Kept, _) => Ok(()),
        (Arrival::Dropped, _) if arriving.is_cleared => Ok(()),
        (Arrival::Serves, Some(_)) => Ok(()),
        (Arrival::Serves, None) => Err(MovesError::Undoable { application, node }),
        _ if before == after => Ok(()),
        _ => Err(MovesError::Arriving { application, node }),
    }
}

#[cfg(test)]
mod tests {
    use openmesh_blueprint::Document;

    use super::super::records::tests::{arriving, leaving};
    use super::*;

    fn application(text: &str) -> Application {
        let text = format!("version: 1\napplications: {{web: {{image: \"shop:{text}}}}}\n");
        Document::parse(&text).unwrap().applications.into_values().next().unwrap()
    }

    #[test]
    fn an_application_that_leaves_runs_where_its_mark_says_so_and_stays_the_same() {
        let (runs, paused) = (application("1\""), application("1\", wish: paused"));
        let (stopped, other) = (application("1\", wish: stopped"), application("2\""));
        let returns = |data: Option<&str>| Departure::Returns { cause: "x".into(), data: data.map(Into::into) };
        let may = |mark: Departure, before: &Application, after: Option<&Application>| {
            leaves(&leaving(mark), Some(before), after).is_ok()
        };
        assert!(may(Departure::Tries, &runs, Some(&runs)));
        for after in [Some(&paused), Some(&stopped), Some(&other), None] {
            assert!(!may(Departure::Tries, &runs, after), "{after:?}");
        }
        let larger = application("2\", wish: paused");
        for mark in [Departure::Quiets, Departure::Hands, Departure::Gone, Departure::Recalls, returns(Some("ab"))] {
            assert!(may(mark.clone(), &runs, Some(&paused)) && may(mark.clone(), &paused, Some(&paused)), "{mark:?}");
            for after in [Some(&runs), Some(&stopped), Some(&other), None] {
                assert!(!may(mark.clone(), &paused, after), "{mark:?} {after:?}");
            }
            let returns = matches!(mark, Departure::Returns { .. });
            assert_eq!(may(mark, &paused, Some(&larger)), returns);
        }
        assert!(may(returns(None), &paused, Some(&runs)) && may(returns(None), &paused, Some(&paused)));
        assert!(may(returns(None), &paused, Some(&other)) && !may(returns(None), &runs, None));
        assert!(may(returns(None), &paused, Some(&stopped)) && may(returns(None), &runs, Some(&paused)));
        assert!(may(Departure::Over, &paused, None) && may(Departure::Over, &paused, Some(&stopped)));
        let refused = leaves(&leaving(Departure::Over), Some(&paused), Some(&runs)).unwrap_err();
        assert_eq!(refused.code(), ("moved", 409));
    }

    #[test]
    fn an_application_comes_with_what_its_document_declares() {
        let comes = Arriving { size_bytes: 3 << 20, ..arriving(Arrival::Arrives { tried: None }) };
        assert!(fits(&comes, 3 << 20).is_ok() && fits(&comes, 4 << 20).is_ok());
        assert_eq!(fits(&comes, (3 << 20) - 1).unwrap_err().code(), ("move_too_much", 409));
        let (token, other): (Name, Name) = ("token".parse().unwrap(), "other".parse().unwrap());
        let named = BTreeSet::from([&token]);
        let brought = BTreeMap::from([(token.clone(), b"hidden".to_vec())]);
        assert!(brings(&comes, &named, &brought).is_ok());
        assert!(brings(&comes, &named, &BTreeMap::new()).is_ok(), "it is there already");
        let more = BTreeMap::from([(token.clone(), b"hidden".to_vec()), (other, b"hidden".to_vec())]);
        let refused = brings(&comes, &named, &more).unwrap_err();
        assert_eq!(refused.code(), ("move_too_much", 409));
        let words = refused.to_string();
        assert!(words.contains("`other`") && !words.contains("hidden"), "{words}");
    }

    #[test]
    fn an_application_that_comes_is_changed_by_its_move_alone_until_it_serves() {
        let (one, other) = (application("1\", wish: stopped"), application("1\""));
        let may = |mark: Arrival, before: Option<&Application>, after: Option<&Application>| {
            comes(&arriving(mark), before, after).is_ok()
        };
        let refused = Arrival::Refused { cause: "x".into() };
        for mark in [Arrival::Arrives { tried: None }, Arrival::Told, Arrival::GivesBack, refused] {
            assert!(may(mark.clone(), None, None) && may(mark.clone(), Some(&one), Some(&one)));
            assert!(!may(mark.clone(), None, Some(&one)) && !may(mark.clone(), Some(&one), Some(&other)));
            assert!(!may(mark, Some(&one), None));
        }
        assert!(may(Arrival::Serves, Some(&one), Some(&other)) && !may(Arrival::Serves, Some(&one), None));
        assert!(may(Arrival::Kept, Some(&one), None) && may(Arrival::Kept, None, Some(&one)));
        // Its name is free once nothing of it is here any more.
        assert!(!may(Arrival::Dropped, None, Some(&one)) && !may(Arrival::Dropped, Some(&one), Some(&other)));
        let cleared = Arriving { is_cleared: true, ..arriving(Arrival::Dropped) };
        assert!(comes(&cleared, None, Some(&one)).is_ok() && comes(&cleared, Some(&one), None).is_ok());
    }
}
