//! An application that serves on the machine again that it did not leave: whether it has still to be started there, and whether a person says otherwise.

use openmesh_blueprint::Generation;
use openmesh_blueprint::document::{Name, Wish};
use openmesh_xnode::marks;

use super::change::shut_out;
use super::records::Leaving;
use crate::error::AgentError;
use crate::outcomes::AGENT;
use crate::service::Service;

/// Generations that are looked through for whoever stopped it: others are deployed while it is away.
const LOOKED_MAX: usize = 256;

/// Reason of the generation by which an application stops, to move to another machine.
pub(super) fn reason(name: &str, node: &str) -> String {
    format!("{name} moves to {node}")
}

/// Standing of an application that serves here again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Standing {
    /// It is to be started.
    pub is_due: bool,
    /// It serves, or a person has said that it is not to: nothing is left to do for it here.
    pub is_back: bool,
}

/// Part of a generation that is about one application.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Said {
    /// Its wish; none where it is not there.
    wish: Option<Wish>,
    by: String,
    reason: String,
    /// Number of the generation before.
    parent: u64,
}

impl Said {
    fn of(generation: &Generation, name: &Name) -> Said {
        let cause = &generation.cause;
        let (by, reason) = (cause.by.clone(), cause.reason.clone());
        Said { wish: wish(generation, name), by, reason, parent: generation.parent }
    }
}

fn wish(generation: &Generation, name: &Name) -> Option<Wish> {
    generation.portable.applications.get(name).map(|resolved| resolved.application.wish)
}

/// Looks at how an application stands here.
///
/// # Errors
/// The wanted generation or the one that serves cannot be read.
pub(super) fn standing(service: &Service, leaving: &Leaving, name: &Name) -> Result<Standing, AgentError> {
    let Some((wanted, serving)) = service.agent().generations()? else {
        return Ok(Standing { is_due: false, is_back: true });
    };
    Ok(match wish(&wanted, name) {
        None => Standing { is_due: false, is_back: true },
        // A move pauses it: a person has stopped it, also where a start after that has failed and came back to it.
        Some(Wish::Stopped) => Standing { is_due: false, is_back: true },
        Some(Wish::Running) => {
            let serves = serving.as_ref().and_then(|serving| wish(serving, name)) == Some(Wish::Running);
            // A generation is committed also where it is held at its gate, which is tried again.
            let is_held = serves && shut_out(service, name)?.is_some();
            Standing { is_due: is_held, is_back: serves && !is_held }
        }
        Some(Wish::Paused) => {
            let paths = &service.agent().machine().paths;
            // What is not kept any more, or cannot be read, says nothing.
            let before = |number| marks::generation(paths, number).ok().map(|found| Said::of(&found, name));
            let own = reason(&leaving.application, &leaving.node);
            let is_persons = is_persons(Said::of(&wanted, name), &own, before);
            Standing { is_due: !is_persons, is_back: is_persons }
        }
    })
}

/// Returns true where a person gave the application the wish that it has now: neither its move, with this reason, nor the way back from a start that has failed.
fn is_persons(present: Said, own: &str, before: impl Fn(u64) -> Option<Said>) -> bool {
    let mut first = present;
    for _ in 0..LOOKED_MAX {
        match before(first.parent) {
            None => return false,
            Some(said) if said.wish == first.wish => first = said,
            Some(_) => return first.by != AGENT && first.reason != own,
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// Asks about the last of some generations, of which each follows the one before.
    fn asked(all: &[(Wish, &str, &str)]) -> bool {
        let said = |(number, (wish, by, reason)): (u64, &(Wish, &str, &str))| {
            let said = Said { wish: Some(*wish), by: (*by).into(), reason: (*reason).into(), parent: number - 1 };
            (number, said)
        };
        let known: BTreeMap<u64, Said> = (1..).zip(all).map(said).collect();
        let last = known.values().next_back().unwrap().clone();
        is_persons(last, "web moves to b", |number| known.get(&number).cloned())
    }

    #[test]
    fn a_persons_wish_is_told_from_those_of_the_move_and_of_a_failed_start() {
        let runs = (Wish::Running, "ann", "a new shop");
        let quiets = (Wish::Paused, "ann", "web moves to b");
        let other = (Wish::Paused, "mia", "a new database");
        assert!(!asked(&[runs, quiets]));
        assert!(!asked(&[runs, quiets, other, other]), "that of another application is no word about this one");
        let starts = (Wish::Running, "ann", "web does not move to b");
        let returned = (Wish::Paused, AGENT, "generation 3 has failed: web: it did not answer");
        assert!(!asked(&[runs, quiets, starts, returned]));
        assert!(!asked(&[runs, quiets, starts, returned, other]));
        // A person's word counts, whenever it comes.
        let paused = (Wish::Paused, "ann", "");
        assert!(asked(&[runs, quiets, starts, paused]) && asked(&[runs, quiets, starts, paused, other]));
        let stopped = (Wish::Stopped, "mia", "it is not needed");
        assert!(asked(&[runs, quiets, stopped]) && asked(&[runs, quiets, starts, returned, stopped]));
        // What was before is not known any more.
        assert!(!asked(&[paused]));
        let mut long = vec![runs, paused];
        long.resize(LOOKED_MAX + 3, other);
        assert!(!asked(&long));
    }
}
