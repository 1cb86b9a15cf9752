//! Moves as people ask for them: begun, undone, forgotten.

use std::sync::Arc;

use openmesh_access::Role;
use openmesh_backup::NodeKey;
use openmesh_blueprint::document::{Name, Wish};
use openmesh_blueprint::moving::{Arrival, Departure, Done, Order};
use openmesh_primitives::Timestamp;
use reqwest::Method;

use super::acts::{GUEST, TOKEN};
use super::copy;
use super::error::MovesError;
use super::names::node_name;
use super::page;
use super::records::{Arriving, Leaving};
use super::view;
use super::views::{ArrivalWish, Move, MoveArrival, MoveOutcome, MoveWish};
use super::wire::{Other, Trouble};
use crate::api::blocking;
use crate::backups::subject;
use crate::error::AgentError;
use crate::service::{Service, names};
use crate::views::access::Me;
use crate::views::{EventKind, Node};

/// Notes an event of an application that moves.
pub(super) fn note(service: &Service, kind: EventKind, application: &str, text: String) {
    service.history().note(kind, service.wanted().unwrap_or(0), Some(application.to_string()), text);
}

/// Begins to move an application to another machine; one that is on its way there already goes on with the new key.
///
/// # Errors
/// It cannot move, the other machine does not let this one in, or refuses it: then nothing has changed.
pub(crate) async fn begin(service: &Arc<Service>, name: &Name, wish: MoveWish, by: &str) -> Result<Move, AgentError> {
    let other = Other::new(&wish.to, wish.root.as_deref(), wish.key.trim().to_string())?;
    let node = let_in(&other).await.map_err(|trouble| trouble.error(&wish.to))?;
    let (own_name, own_wish) = (name.clone(), wish.clone());
    if let Some(found) = blocking(service, move |service| rekey(service, &own_name, &own_wish)).await? {
        return Ok(found);
    }
    let (own_name, own_wish, own_by) = (name.clone(), wish.clone(), by.to_string());
    let leaving = blocking(service, move |service| fresh(service, &own_name, &own_wish, node, own_by)).await?;
    {
        // Nobody changes the application between the look and the mark.
        let _change = service.hold().await;
        let (own_name, own_leaving) = (name.clone(), leaving.clone());
        let begun = move |service: &Service| {
            movable(service, &own_name)?;
            service.moves().begin_leaving(&own_leaving)
        };
        blocking(service, begun).await?;
    }
    let opened: Result<MoveArrival, AgentError> = match asked(service, &leaving, name).await {
        Ok(wish) => open(&other, &leaving, &wish).await.map_err(|trouble| trouble.error(&leaving.to).into()),
        Err(error) => Err(error),
    };
    // What was only not answered is asked again by whoever looks after the move.
    if let Err(error) = opened
        && !matches!(error, AgentError::Moves(MovesError::Unreachable { .. }))
    {
        let gone = leaving.clone();
        blocking(service, move |service| {
            service.moves().end_leaving(&gone, MoveOutcome::Returned, Some("it was refused".into()))
        })
        .await?;
        return Err(error);
    }
    note(service, EventKind::Begins, &leaving.application, format!("{by} moves {name} to {}", leaving.node));
    service.moves().look_now();
    Ok(view::of_leaving(service, &leaving))
}

/// Asks the other machine who this one is there, and for its name.
async fn let_in(other: &Other) -> Result<String, Trouble> {
    let me: Me = other.get("/access/me").await?;
    if me.role < Role::Operator {
        return Err(Trouble::Key(format!("{} is a {} there, and a move needs an operator", me.who, me.role)));
    }
    let node: Node = other.get("").await?;
    let name: String = node.node.chars().filter(|sign| !sign.is_control()).take(64).collect();
    Ok(if name.is_empty() { other.host().to_string() } else { name })
}

/// Gives a move that goes on another key; none where the application does not leave.
fn rekey(service: &Service, name: &Name, wish: &MoveWish) -> Result<Option<Move>, AgentError> {
    let moves = service.moves();
    // One that is over may still have to tell the other machine so.
    let Some(leaving) = moves.leaving(name.as_str())?.filter(|leaving| !leaving.is_settled) else {
        return Ok(None);
    };
    if leaving.to != wish.to {
        let Leaving { application, node, mark, .. } = leaving;
        return Err(match mark {
            Departure::Over => MovesError::Away { application, node }.into(),
            _ => MovesError::Leaving { application, node }.into(),
        });
    }
    let token = moves.seal(&leaving.id, TOKEN, wish.key.trim())?;
    let changed = moves.change_leaving((name.as_str(), &leaving.id), |leaving| {
        leaving.token = token;
        leaving.root.clone_from(&wish.root);
    })?;
    moves.look_now();
    Ok(changed.map(|leaving| view::of_leaving(service, &leaving)))
}

/// The mark of a new move.
fn fresh(service: &Service, name: &Name, wish: &MoveWish, node: String, by: String) -> Result<Leaving, AgentError> {
    movable(service, name)?;
    let id = crate::backups::fresh_mark()?;
    let moves = service.moves();
    Ok(Leaving {
        token: moves.seal(&id, TOKEN, wish.key.trim())?,
        guest: moves.seal(&id, GUEST, &NodeKey::generate()?.secret_text())?,
        id,
        application: name.to_string(),
        to: wish.to.clone(),
        root: wish.root.clone(),
        node,
        by,
        begun: Timestamp::now(),
        recipient: None,
        lender: None,
        repository: None,
        gone: None,
        ran_ms: 0,
        is_open_there: false,
        is_settled: false,
        mark: Departure::Tries,
    })
}

/// Refuses an application that cannot move as it is now.
///
/// # Errors
/// It cannot.
fn movable(service: &Service, name: &Name) -> Result<(), AgentError> {
    let refused = |why: String| AgentError::from(MovesError::NotMovable { application: name.to_string(), why });
    let missing = |known: String| AgentError::NoApplication { name: name.to_string(), known };
    let (wanted, serving) = service.agent().generations()?.ok_or_else(|| missing("none".into()))?;
    let all = &wanted.portable.applications;
    let application = &all.get(name).ok_or_else(|| missing(names(all.keys())))?.application;
    if let Some(leaving) = service.moves().leaving(name.as_str())? {
        return Err(MovesError::Away { application: leaving.application, node: leaving.node }.into());
    }
    let comes = |one: &&Arriving| one.application == name.as_str() && !one.mark.is_over();
    if let Some(arriving) = service.moves().all_arriving()?.iter().find(comes) {
        return Err(MovesError::Undoable { application: name.to_string(), node: arriving.node.clone() }.into());
    }
    if serving.is_none_or(|serving| serving.number != wanted.number) {
        return Err(refused("another generation is on its way; wait until it is done".into()));
    }
    if application.wish != Wish::Running {
        return Err(refused(
            "it does not run; start it first, so that the other machine can be held against it".into(),
        ));
    }
    let ties: Vec<&Name> = application.links.iter().chain(&application.after).collect();
    let linked = |(_, other): &(&Name, &openmesh_blueprint::generation::Resolved)| {
        other.application.links.contains(name) || other.application.after.contains(name)
    };
    let tied: Vec<&Name> = all.iter().filter(linked).map(|(other, _)| other).collect();
    if !ties.is_empty() || !tied.is_empty() {
        let all = names(ties.into_iter().chain(tied));
        return Err(refused(format!("it is tied to {all} by `links` or `after`, and one application moves by itself")));
    }
    copy::portable(service, name).map(drop)
}

/// Wish by which the other machine hears of a move.
pub(super) async fn asked(service: &Arc<Service>, leaving: &Leaving, name: &Name) -> Result<ArrivalWish, AgentError> {
    let (leaving, name) = (leaving.clone(), name.clone());
    blocking(service, move |service| {
        let guest = service.moves().unseal(&leaving.id, GUEST, &leaving.guest)?;
        let guest: NodeKey = guest.parse().map_err(|_| MovesError::Failed("the key of this move is damaged".into()))?;
        let missing = || AgentError::NoApplication { name: name.to_string(), known: "others".into() };
        let present = subject::present(service)?.ok_or_else(missing)?;
        let resolved = present.portable.applications.get(&name).ok_or_else(missing)?;
        Ok(ArrivalWish {
            application: leaving.application.clone(),
            node: node_name(service)?,
            guest: guest.public().to_string(),
            recipient: service.backups().keys.node().recipient().to_string(),
            size_bytes: resolved.application.volumes.values().map(|volume| volume.size.0).sum(),
            image: copy::portable(service, &name)?.image,
        })
    })
    .await
}

/// Tells the other machine of a move. Told already: nothing changes.
pub(super) async fn open(other: &Other, leaving: &Leaving, wish: &ArrivalWish) -> Result<MoveArrival, Trouble> {
    other.send(Method::PUT, &format!("/arrivals/{}", leaving.id), wish).await
}

/// Cancels or undoes a move of an application that leaves.
///
/// # Errors
/// It does not leave, or it is too late.
pub(crate) fn undo(service: &Service, name: &Name, by: &str) -> Result<Move, AgentError> {
    let moves = service.moves();
    let none = || MovesError::NoMove { application: name.to_string() };
    let before = moves.leaving(name.as_str())?.ok_or_else(none)?;
    let at = (name.as_str(), before.id.as_str());
    let after = moves.change_leaving(at, |leaving| leaving.mark = leaving.mark.clone().recall())?.ok_or_else(none)?;
    if after.mark == Departure::Over {
        let node = &after.node;
        let why = format!("it is {node}'s by now; move it back from {node}, and take it out of this machine first");
        return Err(MovesError::Stays { application: name.to_string(), why }.into());
    }
    if after.mark != before.mark {
        if after.mark.may_serve() && !before.mark.may_serve() {
            // Nobody is told that it serves before this machine has looked.
            moves.live.change(&after.id, |one| one.is_awaited = true);
        }
        if let Some(job) = moves.live.one(&after.id).job {
            job.cancel();
        }
        note(
            service,
            EventKind::Begins,
            &after.application,
            format!("{by} undoes the move of {name} to {}", after.node),
        );
    }
    moves.look_now();
    Ok(view::of_leaving(service, &after))
}

/// Lets this machine forget a move: of an application that leaves, so that a person decides what becomes of it here, or of one that comes, which stays there.
///
/// # Errors
/// It does not move, or a mark cannot be read or written.
pub(crate) fn forget(service: &Service, name: &Name, by: &str) -> Result<(), AgentError> {
    let moves = service.moves();
    if let Some(leaving) = moves.leaving(name.as_str())? {
        moves.end_leaving(&leaving, MoveOutcome::Forgotten, Some(format!("{by} let this machine forget it")))?;
        page::clear(service, name)?;
        if let Some(job) = moves.live.one(&leaving.id).job {
            job.cancel();
        }
        let text = format!("{by} let this machine forget that {name} moves to {}; it stays as it is", leaving.node);
        note(service, EventKind::Done, &leaving.application, text);
        moves.look_now();
        return Ok(());
    }
    let is_its = |one: &Arriving| one.application == name.as_str() && !one.is_cleared;
    let found = moves.all_arriving()?.into_iter().find(is_its);
    let arriving = found.ok_or_else(|| MovesError::NoMove { application: name.to_string() })?;
    let after = moves.change_arriving(&arriving.id, |arriving| {
        // What was on its way back stays stopped: whether it runs at the other machine, only a person knows.
        arriving.is_admitted |= goes_back(&arriving.mark);
        arriving.mark = left_there(&arriving.mark, by);
    })?;
    if let Some(job) = moves.live.one(&after.id).job.filter(|_| !arriving.mark.may_serve()) {
        job.cancel();
    }
    note(service, EventKind::Done, &after.application, format!("{by} ended the move of {name} from {}", after.node));
    moves.look_now();
    Ok(())
}

/// Returns true for an application that is given back, or was and is not fetched yet.
fn goes_back(mark: &Arrival) -> bool {
    matches!(mark, Arrival::GivesBack | Arrival::Given { .. })
}

/// The mark of an application that comes after a person here has ended its move: one that never served stays there, one that serves stays here, and so does
/// what nobody fetches.
fn left_there(mark: &Arrival, by: &str) -> Arrival {
    let refused = Done::Failed { cause: format!("{by} did not want it there") };
    match mark {
        Arrival::Refused { .. } => mark.clone().hear(&Order::Drop),
        Arrival::Serves => mark.clone().hear(&Order::Keep),
        mark if goes_back(mark) => Arrival::Kept,
        other => other.clone().done(&refused),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_person_ends_an_arrival_where_nothing_is_lost_by_it() {
        let backup = || "ab".to_string();
        let refused = Arrival::Refused { cause: "ann did not want it there".into() };
        for mark in [Arrival::Arrives { tried: None }, Arrival::Ready { backup: backup() }, Arrival::Told] {
            assert_eq!(left_there(&mark, "ann"), refused);
        }
        assert_eq!(left_there(&refused, "ann"), Arrival::Dropped);
        assert_eq!(left_there(&Arrival::Serves, "ann"), Arrival::Kept);
        // The machine that is left may be gone for good, with data of after the move in no other place.
        for mark in [Arrival::GivesBack, Arrival::Given { backup: backup() }] {
            assert_eq!(left_there(&mark, "ann"), Arrival::Kept);
        }
        for mark in [Arrival::Kept, Arrival::Dropped] {
            assert_eq!(left_there(&mark, "ann"), mark);
        }
    }
}
