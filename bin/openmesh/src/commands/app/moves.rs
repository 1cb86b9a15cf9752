//! `openmesh app move` and `openmesh app moves`: an application with its data to another machine.

use std::path::Path;
use std::time::Duration;

use openmesh_agent::Client;
use openmesh_agent::views::moves::{DepartingState, EndedMove, Move, MoveOutcome, MoveWish, Moves};
use reqwest::Method;

use super::change::{asker, with_query};
use super::input::read;
use crate::cli::moves::{MoveArgs, MovesArgs};
use crate::commands::agent::{ask, client, columns, failure, get, json, moment, one_line, print};
use crate::commands::xnode_backup::{Shown, progress};
use crate::failure::Failure;

/// Pause between two looks at a move: its bytes run on the screen.
const LOOK: Duration = Duration::from_millis(300);

/// Moves an application, or undoes or forgets its move.
pub async fn run(asked: &MoveArgs) -> Result<(), Failure> {
    let client = client(&asked.agent)?;
    let path = format!("/applications/{}/move", asked.name);
    if asked.forget {
        let request = with_query(client.request(Method::DELETE, &path), &[("by", asker())])?;
        client.text(request).await.map_err(failure)?;
        return print(&format!("this machine forgets the move of {}\n", asked.name));
    }
    let request = match (&asked.to, asked.undo) {
        (Some(to), false) => {
            let body = serde_json::to_vec(&wish(asked, to)?).map_err(|e| Failure::from_display("the request", &e))?;
            client.request(Method::POST, &path).body(body)
        }
        _ => client.request(Method::POST, &format!("{path}/undo")),
    };
    let taken: Move = ask(&client, with_query(request, &[("by", asker())])?).await?;
    if asked.output.json {
        print(&one_line(&taken)?)?;
    }
    if asked.no_wait {
        let words = format!("{} moves; `openmesh app moves` tells how far it is\n", asked.name);
        return if asked.output.json { Ok(()) } else { print(&words) };
    }
    follow(&client, asked, taken).await
}

/// The wish of a move, with key and root as they were named.
fn wish(asked: &MoveArgs, to: &str) -> Result<MoveWish, Failure> {
    let lacks = || {
        let help = "--key KEY or OPENMESH_MOVE_KEY; there: openmesh xnode access keys make NAME --role operator";
        Failure::usage("a move needs a key of an operator at the other machine").hint(help)
    };
    let key = asked.key.as_deref().ok_or_else(lacks)?;
    let key = if key == "-" { read(Path::new("-"))? } else { key.to_owned() };
    let root = asked.root.as_deref().map(read).transpose()?;
    Ok(MoveWish { to: to.to_owned(), key: key.trim().to_owned(), root })
}

/// Shows every step of a move until the application is where it shall be.
async fn follow(client: &Client, asked: &MoveArgs, mut before: Move) -> Result<(), Failure> {
    let (mut shown, id) = (Shown::default(), before.id.clone());
    loop {
        let all: Moves = get(client, "/moves").await.map_err(|error| {
            error.hint("the move goes on when the agent is back; `openmesh app moves` tells how far it is")
        })?;
        let Some(present) = all.moves.iter().find(|one| one.leaves && one.id == id) else {
            shown.clear();
            let ended = all.ended.iter().find(|one| one.leaves && one.id == id);
            return outcome(asked, &before, ended);
        };
        if asked.output.json {
            if *present != before {
                print(&one_line(present)?)?;
            }
        } else {
            shown.show(&step(present), (present.bytes, present.all_bytes));
        }
        if let Some(done) = reached(present, asked.undo) {
            shown.clear();
            return match done {
                Ok(_) if asked.output.json => Ok(()),
                Ok(text) => print(&text),
                Err(failure) => Err(failure),
            };
        }
        before = present.clone();
        tokio::time::sleep(LOOK).await;
    }
}

/// Step of a move, with the cause for which it waits.
fn step(one: &Move) -> String {
    match one.cause.as_ref().filter(|_| one.waits_since.is_some()) {
        Some(cause) => format!("{}, and waits: {}", one.step, cause.replace('\n', "; ")),
        None => one.step.clone(),
    }
}

/// The end of a move that is waited for no longer, though it is not over: none while it is.
fn reached(one: &Move, undoes: bool) -> Option<Result<String, Failure>> {
    let Move { application, other, .. } = one;
    match one.departing? {
        // It has passed its gate there, and lets no client in yet.
        DepartingState::Gone | DepartingState::Over if !undoes && one.is_down => None,
        DepartingState::Gone | DepartingState::Over if !undoes => {
            let text = format!(
                "{application} serves at {other}; `openmesh app move {application} --undo` brings it back within an hour\n"
            );
            Some(Ok(text))
        }
        DepartingState::Over => Some(Err(Failure::new(format!("{application} is {other}'s, and does not come back"))
            .hint(format!("move it from there; before that, here: openmesh app remove {application} --data wipe")))),
        // It serves here by now, and the other machine is not there to hear of it.
        DepartingState::Returns if one.waits_since.is_some() && !one.is_down => Some(match undoes {
            true => Ok(format!("{application} serves here; {other} does not know of it yet\n")),
            false => Err(returned(application, other, one.cause.as_deref())),
        }),
        _ => None,
    }
}

fn returned(application: &str, other: &str, cause: Option<&str>) -> Failure {
    let cause = cause.unwrap_or("no cause is known");
    Failure::new(format!("{application} did not move to {other}: {cause}"))
        .hint(format!("it serves here as before; openmesh app why {application} tells more"))
}

/// The words about a move that is over.
fn outcome(asked: &MoveArgs, before: &Move, ended: Option<&EndedMove>) -> Result<(), Failure> {
    let Move { application, other, .. } = before;
    let words = match ended {
        Some(ended) if ended.outcome == MoveOutcome::Returned && !asked.undo => {
            return Err(returned(application, other, ended.cause.as_deref()));
        }
        Some(ended) if ended.outcome == MoveOutcome::Returned => format!("{application} serves here\n"),
        Some(ended) if ended.outcome == MoveOutcome::Moved => format!("{application} is {other}'s\n"),
        _ => format!("{application} moves no more, since somebody let this machine forget it\n"),
    };
    match (asked.output.json, ended) {
        (true, Some(ended)) => print(&one_line(ended)?),
        (true, None) => Ok(()),
        (false, _) => print(&words),
    }
}

/// Lists moves.
pub async fn list(asked: &MovesArgs) -> Result<(), Failure> {
    let all: Moves = get(&client(&asked.agent)?, "/moves").await?;
    if asked.output.json { json(&all) } else { print(&text(&all)) }
}

fn text(all: &Moves) -> String {
    let way = |leaves: bool, other: &str| format!("{} {other}", if leaves { "to" } else { "from" });
    let row = |one: &Move| {
        let undo = one.undo_left_ms.map(|left| format!("{} min", left.div_ceil(60_000)));
        vec![
            one.application.clone(),
            way(one.leaves, &one.other),
            moment(one.begun),
            progress(&one.step, (one.bytes, one.all_bytes)),
            undo.unwrap_or_default(),
            one.cause.as_deref().unwrap_or_default().replace('\n', "; "),
        ]
    };
    let mut text = match all.moves.as_slice() {
        [] => "nothing moves; `openmesh app move NAME --to URL` moves an application\n".to_owned(),
        moves => {
            let rows: Vec<Vec<String>> = moves.iter().map(row).collect();
            columns(&["APPLICATION", "MOVES", "BEGUN", "STEP", "UNDO WITHIN", "CAUSE"], &rows)
        }
    };
    for one in &all.ended {
        let came = match one.outcome {
            MoveOutcome::Moved => "moved",
            MoveOutcome::Returned => "did not move",
            MoveOutcome::Forgotten => "was forgotten on its way",
        };
        let cause = one.cause.as_deref().map(|cause| format!(": {}", cause.replace('\n', "; "))).unwrap_or_default();
        let (at, way) = (moment(one.at), way(one.leaves, &one.other));
        text += &format!("ended      {at} {} {came} {way}{cause}\n", one.application);
    }
    text
}

#[cfg(test)]
mod tests {
    use openmesh_primitives::Timestamp;

    use super::*;

    fn one(departing: DepartingState) -> Move {
        Move {
            id: "0".repeat(32),
            application: "web".into(),
            leaves: true,
            other: "attic".into(),
            to: Some("https://attic.lan".into()),
            by: "ann".into(),
            begun: Timestamp(0),
            departing: Some(departing),
            arriving: None,
            step: "stores the volume data".into(),
            bytes: 16 << 20,
            all_bytes: 64 << 20,
            cause: None,
            waits_since: None,
            is_down: false,
            can_undo: true,
            undo_left_ms: None,
        }
    }

    #[test]
    fn a_move_is_waited_for_until_it_serves_where_it_shall() {
        for state in [DepartingState::Tries, DepartingState::Quiets, DepartingState::Hands, DepartingState::Recalls] {
            assert!(reached(&one(state), false).is_none() && reached(&one(state), true).is_none(), "{state:?}");
        }
        assert!(reached(&one(DepartingState::Gone), false).is_some_and(|done| done.is_ok()));
        for state in [DepartingState::Gone, DepartingState::Over] {
            let shut = Move { is_down: true, ..one(state) };
            assert!(reached(&shut, false).is_none(), "no client is let in there yet: {state:?}");
        }
        assert!(reached(&one(DepartingState::Gone), true).is_none(), "the undoing has not begun");
        assert!(reached(&one(DepartingState::Over), true).is_some_and(|done| done.is_err()), "it is kept there");
        assert!(reached(&one(DepartingState::Returns), false).is_none(), "the other machine lets go");
        let away =
            Move { waits_since: Some(Timestamp(0)), cause: Some("no answer".into()), ..one(DepartingState::Returns) };
        let failed = reached(&away, false).unwrap().unwrap_err();
        assert_eq!(failed.message(), "web did not move to attic: no answer");
        assert!(reached(&away, true).unwrap().is_ok());
        assert!(step(&away).ends_with("and waits: no answer"));
    }

    #[test]
    fn moves_are_listed_with_their_bytes_and_their_ends() {
        let gone = Move { undo_left_ms: Some(3_599_000), ..one(DepartingState::Gone) };
        let ended = EndedMove {
            id: "1".repeat(32),
            application: "db".into(),
            leaves: true,
            other: "attic".into(),
            begun: Timestamp(0),
            at: Timestamp(0),
            outcome: MoveOutcome::Returned,
            cause: Some("no room".into()),
        };
        let shown = text(&Moves { moves: vec![one(DepartingState::Tries), gone], ended: vec![ended] });
        for part in ["to attic", "16 MiB of 64 MiB (25 %)", "60 min", "db did not move to attic: no room"] {
            assert!(shown.contains(part), "{part}: {shown}");
        }
        assert!(text(&Moves { moves: Vec::new(), ended: Vec::new() }).contains("nothing moves"));
    }
}
