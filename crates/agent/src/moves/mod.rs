//! Moves of applications between machines (X-110 to X-117): their marks, and what follows from them on both sides.
//!
//! # What it owns
//! The two marks of a move, durable before what they allow; what was sealed for it; the words that two agents tell each other. The rules of both marks are
//! those of `openmesh_blueprint::moving`, copies are backups (`backups`), changes are generations (`service`), the loan is one of `lending`.
//!
//! ```text
//! STATE/moves/leaving/NAME.json   an application that leaves
//!             arriving/ID.json    one that comes, or was let go of or kept lately
//!             ended.json          how the last ones ended
//! ```
//!
//! # Shape
//! A task for each mark looks at it and at the machine, and does the next act, in a thread of `backups`. The machine that is left asks the other one over its API;
//! the other one hears orders, and never asks.
//!
//! # On failure
//! Nothing is replayed. An act that has failed, or whose agent has died, is done again. Until the other machine was told to serve, every failure lets the application
//! serve where it is; from then on this machine waits for its word, and says so.
//!
//! # Known limits
//! The last copy is read and restored as a whole, and what has changed is sent. One application moves by itself: links are not moved. A job `drill` proves the first copy
//! on the machine that is left.

mod acts;
mod arrive;
mod asks;
mod back;
mod begin;
mod book;
mod change;
mod copy;
mod error;
mod guard;
mod leave;
mod live;
mod loan;
mod names;
mod page;
mod records;
mod retry;
mod returns;
mod silence;
mod standstill;
mod view;
pub mod views;
pub(crate) mod wire;
mod works;
mod writes;

use std::sync::Arc;
use std::time::Duration;

use openmesh_blueprint::document::Name;
use openmesh_primitives::Timestamp;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

pub(crate) use arrive::{hear, look, open};
pub(crate) use begin::{begin, forget, undo};
pub(crate) use book::Moves;
pub use error::MovesError;
pub(crate) use names::node_name;
pub(crate) use view::list;
pub(crate) use writes::Writing;

use crate::api::blocking;
use crate::error::AgentError;
use crate::service::Service;
use records::{Arriving, Leaving};

/// Longest time between two looks for marks that nobody looks after.
const LOOK: Duration = Duration::from_secs(5);
/// Time for which it is remembered that an application was let go of or kept, milliseconds: the other machine may have been off, and asks.
const REMEMBERED_MS: u64 = 30 * 86_400_000;
/// Applications that came and are over which are remembered, the newest first: each is a file that is read at every look and every change.
const REMEMBERED_MAX: usize = 64;

/// A mark that somebody has to look after.
enum Due {
    Leaving(Leaving, Name),
    Arriving(Arriving, Name),
}

impl Due {
    /// Id of the move.
    fn id(&self) -> &str {
        match self {
            Due::Leaving(leaving, _) => &leaving.id,
            Due::Arriving(arriving, _) => &arriving.id,
        }
    }
}

/// Starts the task that lets every move be looked after. It ends once the sender of `stays` is gone.
pub(crate) fn start(service: Arc<Service>, mut stays: watch::Receiver<()>) -> JoinHandle<()> {
    tokio::spawn(async move {
        let mut news = service.moves().follow();
        let mut tasks = JoinSet::new();
        let mut told = false;
        loop {
            match blocking(&service, due).await {
                Ok(all) => {
                    told = false;
                    for one in all {
                        tasks.spawn(looked_after(service.clone(), one, stays.clone()));
                    }
                }
                Err(error) if !told => {
                    told = true;
                    tracing::error!(%error, "moves of applications cannot be looked at");
                }
                Err(_) => {}
            }
            tokio::select! {
                () = tokio::time::sleep(LOOK) => {}
                _ = news.changed() => {}
                Some(_) = tasks.join_next() => {}
                _ = stays.changed() => break,
            }
        }
        while tasks.join_next().await.is_some() {}
    })
}

/// Lets go of a move where its task ends by a fault of the program: the next look begins another one.
struct Followed(Arc<Service>, String);

impl Drop for Followed {
    fn drop(&mut self) {
        self.0.moves().live.unfollow(&self.1, false);
    }
}

async fn looked_after(service: Arc<Service>, due: Due, stays: watch::Receiver<()>) {
    let _followed = Followed(service.clone(), due.id().to_owned());
    match due {
        Due::Leaving(leaving, name) => leave::follow(service, leaving, name, stays).await,
        Due::Arriving(arriving, name) => arrive::follow(service, arriving, name, stays).await,
    }
}

/// Marks that nobody looks after yet. Those that mean nothing any more are forgotten.
fn due(service: &Service) -> Result<Vec<Due>, AgentError> {
    let moves = service.moves();
    let mut due = Vec::new();
    for leaving in moves.all_leaving()? {
        let name = crate::api::name(&leaving.application)?;
        if leaving.is_settled {
            forget_away(service, &leaving, &name)?;
        } else {
            due.push(Due::Leaving(leaving, name));
        }
    }
    let mut over = Vec::new();
    for arriving in moves.all_arriving()? {
        if arriving.mark.is_over() && arriving.is_cleared {
            over.push((arriving.since, arriving.id));
        } else {
            let name = crate::api::name(&arriving.application)?;
            due.push(Due::Arriving(arriving, name));
        }
    }
    for id in forgotten(over, |since| view::since_ms(since) > REMEMBERED_MS) {
        moves.forget_arriving(&id)?;
    }
    // The other machine may ask about what is over, and nothing of it is under way.
    moves.live.keep(|id| due.iter().any(|one| one.id() == id));
    // Behind everything that may fail: whoever is noted as looked after has a task.
    due.retain(|one| moves.live.follow(one.id()));
    Ok(due)
}

/// Ids of moves that are over and are not remembered any more: of those with these moments the old ones, and those beyond a number.
fn forgotten(mut over: Vec<(Timestamp, String)>, is_old: impl Fn(Timestamp) -> bool) -> Vec<String> {
    over.sort();
    over.reverse();
    let too_many = over.split_off(over.len().min(REMEMBERED_MAX));
    let old = over.into_iter().filter(|(since, _)| is_old(*since));
    old.chain(too_many).map(|(_, id)| id).collect()
}

/// Forgets an application that is another machine's once it is not on this one any more.
fn forget_away(service: &Service, leaving: &Leaving, name: &Name) -> Result<(), AgentError> {
    let (_, document) = change::wanted(service)?;
    if document.applications.contains_key(name) {
        return Ok(());
    }
    page::clear(service, name)?;
    service.moves().end_leaving(leaving, views::MoveOutcome::Moved, None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_moves_that_are_over_are_remembered_for_a_time() {
        let over = |moments: &[i64]| moments.iter().map(|at| (Timestamp(*at), at.to_string())).collect::<Vec<_>>();
        let is_old = |since: Timestamp| since < Timestamp(10);
        assert_eq!(forgotten(over(&[9, 10, 11]), is_old), ["9"]);
        assert_eq!(forgotten(Vec::new(), is_old), Vec::<String>::new());
        let most = i64::try_from(REMEMBERED_MAX).unwrap();
        let many: Vec<i64> = (10..10 + most + 2).rev().collect();
        let mut gone = forgotten(over(&many), is_old);
        gone.sort();
        assert_eq!(gone, ["10", "11"], "the oldest of too many");
        assert!(forgotten(over(&many[..REMEMBERED_MAX]), is_old).is_empty());
    }
}
