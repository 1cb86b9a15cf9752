//! Moves as people and the other machine see them.

use std::sync::Arc;

use openmesh_blueprint::moving::{Arrival, Departure};
use openmesh_primitives::Timestamp;

use super::live::One;
use super::loan;
use super::names::node_name;
use super::records::{Arriving, Leaving};
use super::views::{ArrivingState, Move, MoveArrival, Moves, flat_arrival, flat_departure};
use crate::backups::Job;
use crate::error::AgentError;
use crate::service::Service;

/// Time in which a move can be undone, milliseconds.
pub(super) const UNDO_MS: u64 = 3_600_000;

/// Milliseconds since a moment by the wall clock; none before it.
pub(super) fn since_ms(at: Timestamp) -> u64 {
    u64::try_from(Timestamp::now().nanos().saturating_sub(at.nanos()) / 1_000_000).unwrap_or(0)
}

/// Time for which a move can still be undone, milliseconds: both by the wall clock and by the time in which the machine ran.
pub(super) fn undo_left_ms(leaving: &Leaving) -> u64 {
    let passed = leaving.gone.map_or(0, since_ms).min(leaving.ran_ms);
    UNDO_MS.saturating_sub(passed)
}

/// Progress of an act that is under way: words, bytes that are done, bytes in all. None once it has ended.
fn progress(job: Option<&Arc<Job>>) -> Option<(String, u64, u64)> {
    let view = job?.view();
    view.ended.is_none().then_some((view.phase, view.bytes, view.all_bytes))
}

/// Returns true where the other machine serves it, as far as it has said. What is over and was told to it is its own to say.
fn is_there(leaving: &Leaving) -> bool {
    matches!(leaving.mark, Departure::Gone | Departure::Over) && (leaving.is_open_there || leaving.is_settled)
}

/// Words for what a departure waits for while nothing is being done here.
fn waits(leaving: &Leaving, one: &One) -> (String, u64, u64) {
    let node = &leaving.node;
    let there = one.word.as_ref().filter(|word| !word.step.is_empty());
    if let Some(word) = there.filter(|_| !is_there(leaving)) {
        return (format!("{node}: {}", word.step), word.bytes, word.all_bytes);
    }
    let words = match &leaving.mark {
        Departure::Tries => format!("waits for {node}, which tries a first copy"),
        Departure::Quiets => format!("waits for {node}, which takes the last copy"),
        Departure::Hands => format!("waits until {node} serves it"),
        Departure::Gone if !leaving.is_open_there => format!("waits until {node} lets clients in"),
        Departure::Gone => format!("serves at {node}"),
        Departure::Recalls => format!("waits for {node}, which gives back its data"),
        Departure::Returns { data: Some(_), .. } => "its data come back".into(),
        Departure::Returns { data: None, .. } if one.is_awaited => "is about to be started here".into(),
        Departure::Returns { data: None, .. } => format!("waits until {node} has let go of it"),
        Departure::Over => format!("is {node}'s"),
    };
    (words, 0, 0)
}

/// A move of an application that leaves.
pub(super) fn of_leaving(service: &Service, leaving: &Leaving) -> Move {
    let one = service.moves().live.one(&leaving.id);
    let (state, cause, _) = flat_departure(&leaving.mark);
    let (step, bytes, all_bytes) = progress(one.job.as_ref()).unwrap_or_else(|| waits(leaving, &one));
    let trouble = one.trouble;
    let is_gone = leaving.mark == Departure::Gone;
    Move {
        id: leaving.id.clone(),
        application: leaving.application.clone(),
        leaves: true,
        other: leaving.node.clone(),
        to: Some(leaving.to.clone()),
        by: leaving.by.clone(),
        begun: leaving.begun,
        departing: Some(state),
        arriving: one.word.as_ref().map(|word| word.state),
        step,
        bytes,
        all_bytes,
        cause: trouble.as_ref().map(|(_, words)| words.clone()).or(cause),
        waits_since: trouble.map(|(since, _)| since),
        is_down: match leaving.mark {
            Departure::Gone | Departure::Over => !is_there(leaving),
            Departure::Returns { data: None, .. } => one.is_awaited,
            _ => !leaving.mark.may_serve(),
        },
        can_undo: matches!(leaving.mark, Departure::Tries | Departure::Quiets | Departure::Hands | Departure::Gone),
        undo_left_ms: is_gone.then(|| undo_left_ms(leaving)),
    }
}

/// Words for what an arrival waits for while nothing is being done here.
fn rests(arriving: &Arriving) -> String {
    let node = &arriving.node;
    match &arriving.mark {
        Arrival::Arrives { .. } | Arrival::Ready { .. } => format!("waits for {node}"),
        Arrival::Told => "is about to start behind its gate".into(),
        Arrival::Serves | Arrival::Kept if !arriving.is_admitted => "is about to let clients in".into(),
        Arrival::Serves => format!("serves here; it can be undone at {node} for an hour"),
        Arrival::Kept => "serves here".into(),
        Arrival::Refused { .. } => format!("did not come; waits for {node}"),
        Arrival::GivesBack => format!("goes back to {node}"),
        Arrival::Given { .. } => format!("waits until {node} has its data"),
        Arrival::Dropped => "did not come".into(),
    }
}

/// A move of an application that comes.
fn of_arriving(service: &Service, arriving: &Arriving) -> Move {
    let one = service.moves().live.one(&arriving.id);
    let (state, _, cause) = flat_arrival(&arriving.mark);
    let (step, bytes, all_bytes) = progress(one.job.as_ref()).unwrap_or_else(|| (rests(arriving), 0, 0));
    Move {
        id: arriving.id.clone(),
        application: arriving.application.clone(),
        leaves: false,
        other: arriving.node.clone(),
        to: None,
        by: arriving.by.clone(),
        begun: arriving.begun,
        departing: None,
        arriving: Some(state),
        step,
        bytes,
        all_bytes,
        cause: one.trouble.as_ref().map(|(_, words)| words.clone()).or(cause),
        waits_since: one.trouble.map(|(since, _)| since),
        // Whether it serves at the other machine is that one's to say.
        is_down: matches!(state, ArrivingState::Serves | ArrivingState::Kept) && !arriving.is_admitted,
        can_undo: false,
        undo_left_ms: None,
    }
}

/// The word of this machine about an application that comes, for the machine that it leaves.
///
/// # Errors
/// The loans or a generation cannot be read.
pub(super) fn word(service: &Service, arriving: &Arriving) -> Result<MoveArrival, AgentError> {
    let one = service.moves().live.one(&arriving.id);
    let (state, backup, cause) = flat_arrival(&arriving.mark);
    let (step, bytes, all_bytes) = progress(one.job.as_ref()).unwrap_or_default();
    Ok(MoveArrival {
        id: arriving.id.clone(),
        application: arriving.application.clone(),
        node: node_name(service)?,
        state,
        is_open: arriving.mark.may_serve() && arriving.is_admitted,
        backup,
        cause,
        recipient: service.backups().keys.node().recipient().to_string(),
        lender: loan::lender(service)?,
        heard: one.heard,
        step,
        bytes,
        all_bytes,
        trouble: one.trouble.map(|(_, words)| words),
    })
}

/// All moves of this machine.
///
/// # Errors
/// A mark cannot be read.
pub(crate) fn list(service: &Service) -> Result<Moves, AgentError> {
    let moves = service.moves();
    let mut all: Vec<Move> = moves.all_leaving()?.iter().map(|one| of_leaving(service, one)).collect();
    let arriving = moves.all_arriving()?;
    all.extend(arriving.iter().filter(|one| !one.is_cleared).map(|one| of_arriving(service, one)));
    all.sort_by(|a, b| (&a.application, a.begun, &a.id).cmp(&(&b.application, b.begun, &b.id)));
    Ok(Moves { moves: all, ended: moves.ended()? })
}

#[cfg(test)]
mod tests {
    use super::super::records::tests::{arriving, leaving};
    use super::*;

    #[test]
    fn a_move_can_be_undone_for_an_hour_by_both_clocks() {
        let ago = |ms: i64| Timestamp(Timestamp::now().nanos() - ms * 1_000_000);
        let gone = |wall_ms: i64, ran_ms: u64| {
            undo_left_ms(&Leaving { gone: Some(ago(wall_ms)), ran_ms, ..leaving(Departure::Gone) })
        };
        assert_eq!(undo_left_ms(&leaving(Departure::Gone)), UNDO_MS);
        // A clock that was set forward, and a machine that was off.
        assert_eq!(gone(86_400_000, 1_000), UNDO_MS - 1_000);
        let (begun, left) = (std::time::Instant::now(), gone(1_000, UNDO_MS));
        // The second, and whatever time this machine took to ask; ten milliseconds are for clocks that are put right meanwhile.
        let passed_max = 1_010 + u64::try_from(begun.elapsed().as_millis()).unwrap();
        assert!((UNDO_MS - passed_max..=UNDO_MS - 1_000).contains(&left), "{left}");
        assert_eq!(gone(7_200_000, UNDO_MS + 1), 0);
        // One that was set back.
        assert_eq!(gone(-600_000, UNDO_MS), UNDO_MS);
    }

    #[test]
    fn a_departure_says_what_it_waits_for() {
        let says = |leaving: &Leaving, step: &str| {
            let word = super::super::records::tests::word(step);
            waits(leaving, &One { word: Some(word), ..One::default() })
        };
        let words = |mark: Departure, step: &str| says(&leaving(mark), step);
        assert_eq!(words(Departure::Tries, "restores"), ("b: restores".into(), 5, 9));
        assert_eq!(words(Departure::Gone, "restores"), ("serves at b".into(), 0, 0));
        // One that has passed its gate there serves nobody before clients are let in.
        let shut = Leaving { is_open_there: false, ..leaving(Departure::Gone) };
        assert_eq!(says(&shut, "lets clients in"), ("b: lets clients in".into(), 5, 9));
        assert_eq!(says(&shut, "").0, "waits until b lets clients in");
        assert!(!is_there(&shut) && is_there(&leaving(Departure::Gone)) && !is_there(&leaving(Departure::Hands)));
        let over = Leaving { is_open_there: false, ..leaving(Departure::Over) };
        assert!(!is_there(&over) && is_there(&Leaving { is_settled: true, ..over }));
        let coming = |is_admitted| rests(&Arriving { is_admitted, ..arriving(Arrival::Serves) });
        assert!(coming(false).contains("about to let clients in") && coming(true).starts_with("serves here"));
        assert!(words(Departure::Hands, "").0.contains("until b serves"));
        let returns = leaving(Departure::Returns { cause: "no room".into(), data: None });
        assert!(waits(&returns, &One::default()).0.contains("until b has let go"));
        assert!(waits(&returns, &One { is_awaited: true, ..One::default() }).0.contains("to be started here"));
    }
}
