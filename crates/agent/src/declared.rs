//! A machine's document, given by a file: taken when the agent begins and when the file has another one, as the configuration of NixOS does it.
//!
//! # What it owns
//! The mark `declared.json` in the agent's folder: which document of the file was taken, and in which generation.
//!
//! # Why so
//! The file says what its owner wants, and people change the machine too. Whoever came last is not always right: what somebody did since the file's document was
//! taken stays, and the file's next document waits for a person's word. The rule is that of [`decide()`], a pure function. A file that is written over in place is
//! half a document for a moment, which may be one too, without the applications of its other half: it is read once it stays as it is.
//!
//! # On failure
//! A document becomes a generation as a whole or not at all. Where the agent dies before that is noted, the next look finds the machine with this document and
//! notes it.

mod decide;
mod file;
mod state;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use openmesh_blueprint::document::Name;
use openmesh_blueprint::{Document, Generation};
use openmesh_primitives::{Digest, Timestamp};
use openmesh_xnode::marks;
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub(crate) use state::Given;
pub use state::{Declared, DeclaredState};

use crate::api::blocking;
use crate::drain;
use crate::error::AgentError;
use crate::outcomes;
use crate::service::{Asked, Service};
use crate::settings::DocumentFile;
use crate::views::EventKind;
use decide::{Decision, Mark, Present, decide};
use file::{SETTLES, Stamp, read, stamp};
use state::{Known, Why};

/// Time between two looks at the file.
const LOOK: Duration = Duration::from_secs(5);
/// Looks in a row at a file that was just written to, after which that is told: a minute.
const WRITES_MAX: u32 = 30;
/// First pause before a document that was refused is tried again; the next ones double.
const PAUSE: Duration = Duration::from_secs(5);
/// Longest one.
const PAUSE_MAX: Duration = Duration::from_secs(300);

/// Everything that can be seen of what a refusal depends on. As long as it stays, a refusal is tried again by time alone.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Situation {
    stamp: Option<Stamp>,
    wanted: u64,
    secrets: BTreeMap<Name, u32>,
    is_emptied: bool,
}

/// Attempts in one situation.
#[derive(Default)]
struct Tries {
    situation: Option<Situation>,
    attempts: u32,
    /// Looks in a row at which the file was just written to.
    writes: u32,
    /// Moment of the next attempt; none where the situation has to change first.
    again: Option<Instant>,
}

/// A document of the file beside what the machine has.
struct Found {
    document: Document,
    digest: Digest,
    mark: Option<Mark>,
    present: Option<Present>,
    is_emptied: bool,
}

/// Starts the task that follows the file. It ends once the sender of `stays` is gone, and at once where no file is given.
pub(crate) fn start(service: Arc<Service>, mut stays: watch::Receiver<()>) -> JoinHandle<()> {
    tokio::spawn(async move {
        let Some(file) = service.given().file().cloned() else { return };
        let mut tries = Tries::default();
        loop {
            tokio::select! {
                () = turn(&service, &file, &mut tries) => {}
                () = ended(&mut stays) => return,
            }
            let pause = if tries.writes > 0 { SETTLES } else { LOOK };
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = ended(&mut stays) => return,
            }
        }
    })
}

/// Waits until the agent leaves.
async fn ended(stays: &mut watch::Receiver<()>) {
    while stays.changed().await.is_ok() {}
}

/// One look.
async fn turn(service: &Arc<Service>, file: &DocumentFile, tries: &mut Tries) {
    let path = file.path.clone();
    let situation = match blocking(service, move |service| situation(service, &path)).await {
        Ok(situation) => situation,
        Err(error) => return tell(service, file, refused(service, machine(&error))),
    };
    let is_fresh = situation.stamp.is_some_and(|stamp| stamp.is_fresh(Timestamp::now()));
    tries.writes = if is_fresh { tries.writes.saturating_add(1) } else { 0 };
    if is_fresh {
        if tries.writes >= WRITES_MAX {
            tell(service, file, refused(service, restless()));
        }
        return;
    }
    let is_same = tries.situation.as_ref() == Some(&situation);
    if is_same && tries.again.is_none_or(|again| again > Instant::now()) {
        return;
    }
    let Some(known) = attempt(service, file, situation.stamp).await else { return };
    tries.attempts = if is_same { tries.attempts.saturating_add(1) } else { 1 };
    tries.again = (known.state == DeclaredState::Refused).then(|| Instant::now() + pause_after(tries.attempts));
    tries.situation = Some(situation);
    tell(service, file, known);
}

fn situation(service: &Service, path: &Path) -> Result<Situation, AgentError> {
    Ok(Situation {
        stamp: stamp(path),
        wanted: service.wanted()?,
        secrets: service.secret_versions(),
        is_emptied: drain::find(service.settings())?.is_some(),
    })
}

/// Reads the file, and does what is to be done about its document. None where it was written to since its stamp was taken: the next look waits until it stays.
async fn attempt(service: &Arc<Service>, file: &DocumentFile, seen: Option<Stamp>) -> Option<Known> {
    let path = file.path.clone();
    let looked = blocking(service, move |service| Ok((look(service, &path), stamp(&path)))).await;
    let found = match looked {
        Ok((_, now)) if now != seen => return None,
        Ok((Ok(found), _)) => found,
        Ok((Err(why), _)) => return Some(refused(service, why)),
        Err(error) => return Some(refused(service, machine(&error))),
    };
    Some(decided(service, file, found).await)
}

/// Does what is to be done about a document of the file.
async fn decided(service: &Arc<Service>, file: &DocumentFile, found: Found) -> Known {
    let (document, taken) = (Some(found.digest), found.mark.map(|mark| mark.generation));
    let known = |state, generation, why| Known { state, document, generation, why };
    match decide(found.digest, found.mark, found.present.as_ref()) {
        Decision::Taken => known(DeclaredState::Taken, taken, None),
        Decision::Differs => known(DeclaredState::Differs, taken, found.present.map(|present| differs(&present, file))),
        Decision::Touched => known(DeclaredState::Refused, taken, found.present.map(|present| touched(&present, file))),
        Decision::Note => {
            let number = found.present.as_ref().map_or(0, |present| present.number);
            match note(service, found.digest, number).await {
                Ok(()) => known(DeclaredState::Taken, Some(number), None),
                Err(error) => known(DeclaredState::Refused, taken, Some(machine(&error))),
            }
        }
        Decision::Take => match take(service, file, &found).await {
            Ok(number) => known(DeclaredState::Taken, Some(number), None),
            Err(why) => known(DeclaredState::Refused, taken, Some(why)),
        },
    }
}

/// The document of the file beside what the machine has.
fn look(service: &Service, path: &Path) -> Result<Found, Why> {
    let document = read(path)?;
    let digest = document.hash();
    let rest = || {
        let mark: Option<Mark> = marks::find(&mark_file(service))?;
        let present = present(service, mark)?;
        Ok::<_, AgentError>((mark, present, drain::find(service.settings())?.is_some()))
    };
    let (mark, present, is_emptied) = rest().map_err(|error| machine(&error))?;
    Ok(Found { document, digest, mark, present, is_emptied })
}

/// The wanted generation; none before the first.
fn present(service: &Service, mark: Option<Mark>) -> Result<Option<Present>, AgentError> {
    let number = service.wanted()?;
    if number == 0 {
        return Ok(None);
    }
    let generation = marks::generation(&service.agent().machine().paths, number)?;
    let document = service.document(number)?.hash();
    let is_untouched = mark.is_some_and(|mark| is_untouched(service, &generation, mark.generation));
    Ok(Some(Present { number, by: generation.cause.by, document, is_untouched }))
}

/// Returns true where the agent alone has made the generations after one: each brings back by itself what the one before has changed.
fn is_untouched(service: &Service, wanted: &Generation, taken: u64) -> bool {
    let (paths, state) = (&service.agent().machine().paths, &service.settings().state);
    let mut generation = wanted.clone();
    while generation.number > taken {
        let parent = generation.parent;
        let outcome = outcomes::find(state, parent);
        let before = marks::generation(paths, parent);
        match (outcome, before) {
            (Some(outcome), Ok(before)) if outcome.is_followed_by(parent, &generation) => generation = before,
            _ => return false,
        }
    }
    generation.number == taken
}

/// Lets the document be a generation: planned first, since data that would be lost are a person's to give up.
async fn take(service: &Arc<Service>, file: &DocumentFile, found: &Found) -> Result<u64, Why> {
    let path = file.path.display();
    if found.is_emptied {
        let cause = "this machine is emptied, and takes nothing new".into();
        return Err(Why { cause, remedy: "`openmesh xnode drain --off` undoes it".into() });
    }
    let asked = Asked {
        by: file.by.clone(),
        reason: format!("{path} has this document"),
        expected: Some(found.present.as_ref().map_or(0, |present| present.number)),
    };
    let failed = |error: AgentError| Why {
        cause: one_line(&error.to_string()),
        remedy: format!("`openmesh app plan {path}` says it again; what is put right is tried again by itself"),
    };
    let plan = service.deploy(&found.document, &asked, false).await.map_err(failed)?;
    if plan.loses_data {
        let cause = format!("this would be lost by it: {}", plan.destroys.join("; "));
        return Err(Why { cause, remedy: format!("`openmesh app deploy {path} --yes` does it") });
    }
    let taken = service.deploy(&found.document, &asked, true).await.map_err(failed)?;
    if let Err(error) = note(service, found.digest, taken.generation).await {
        tracing::warn!(%error, "the document of a file is taken, and that is noted by the next look");
    }
    Ok(taken.generation)
}

/// Notes that a document of the file was taken.
async fn note(service: &Arc<Service>, document: Digest, generation: u64) -> Result<(), AgentError> {
    let write = move |service: &Service| {
        let path = mark_file(service);
        let bytes = serde_json::to_vec(&Mark { document, generation }).unwrap_or_default();
        marks::replace(&path, &bytes).map_err(AgentError::file("writing", &path))
    };
    blocking(service, write).await
}

fn mark_file(service: &Service) -> PathBuf {
    service.settings().state.join("declared.json")
}

fn refused(service: &Service, why: Why) -> Known {
    let generation = service.given().known().generation;
    Known { state: DeclaredState::Refused, document: None, generation, why: Some(why) }
}

/// Words for a fault of the machine.
fn machine(error: &AgentError) -> Why {
    Why { cause: one_line(&error.to_string()), remedy: "`openmesh xnode status` tells more".into() }
}

/// Words for a file that never stays as it is.
fn restless() -> Why {
    let cause = format!("it is written to again and again, and never stays as it is for {} s", SETTLES.as_secs());
    Why { cause, remedy: "let it stay: half of a document may be a document too".into() }
}

fn differs(present: &Present, file: &DocumentFile) -> Why {
    let (number, by, path) = (present.number, &present.by, file.path.display());
    match present.is_untouched {
        true => Why {
            cause: format!("it has failed, and generation {number} brought back what it changed"),
            remedy: "`openmesh app history` tells why; the next document of the file is taken by itself".into(),
        },
        false => Why {
            cause: format!("generation {number}, wanted by {by}, has another document, which stays"),
            remedy: format!("bring the change into the file; `openmesh app deploy {path}` brings the file's back"),
        },
    }
}

fn touched(present: &Present, file: &DocumentFile) -> Why {
    let (number, by, path) = (present.number, &present.by, file.path.display());
    Why {
        cause: format!("it would undo generation {number}, which {by} wanted, and which the file never had"),
        remedy: format!("bring that change into the file; `openmesh app deploy {path}` takes the file's over it"),
    }
}

/// Keeps what is known, and notes in the history what has changed.
fn tell(service: &Service, file: &DocumentFile, known: Known) {
    let before = service.given().know(known.clone());
    if (before.state, &before.why) == (known.state, &known.why) {
        return;
    }
    let path = file.path.display();
    let said = known.why.map(|Why { cause, remedy }| format!("{cause}; {remedy}")).unwrap_or_default();
    let (kind, text) = match (before.state, known.state) {
        (_, DeclaredState::Refused) => (EventKind::Found, format!("the document of {path} is not taken: {said}")),
        (_, DeclaredState::Differs) => (EventKind::Found, format!("the machine differs from {path}: {said}")),
        (DeclaredState::Begins, _) | (_, DeclaredState::Begins) => return,
        (_, DeclaredState::Taken) => (EventKind::Over, format!("the machine has the document of {path}")),
    };
    let wanted = service.wanted().unwrap_or(0);
    service.history().note(kind, wanted, None, text);
}

/// Pause after so many attempts, from 1.
fn pause_after(attempts: u32) -> Duration {
    PAUSE.saturating_mul(1 << attempts.saturating_sub(1).min(16)).min(PAUSE_MAX)
}

fn one_line(text: &str) -> String {
    text.lines().collect::<Vec<_>>().join("; ")
}
