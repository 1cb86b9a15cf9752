//! Arrivals: orders of the machine that an application leaves, and the task that does what follows from them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use openmesh_access::Principal;
use openmesh_backup::{NodeKey, NodePublicKey, Recipient, RepositoryId};
use openmesh_blueprint::document::Name;
use openmesh_blueprint::moving::{Arrival, Done, Work};
use openmesh_primitives::{Digest, Timestamp};
use tokio::sync::watch;

use super::begin::note;
use super::change::{check_kept, wanted};
use super::error::MovesError;
use super::loan::{self, OWN};
use super::records::Arriving;
use super::retry::{Retry, ended_of, is_passing};
use super::silence::{self, Silence};
use super::standstill::{STILL, Watch};
use super::view;
use super::views::{ArrivalOrder, ArrivalWish, MoveArrival, MoveOutcome, order};
use super::works;
use crate::api::blocking;
use crate::backups::Job;
use crate::backups::views::Ended;
use crate::drain;
use crate::error::AgentError;
use crate::service::Service;
use crate::views::EventKind;

/// Pause between two looks at an arrival, beside those that an order asks for.
const LOOK: Duration = Duration::from_secs(2);
/// Attempts at a copy or a gate before it is refused: clients may wait for it.
const ATTEMPTS: u32 = 4;
/// Longest pause before clients are let in once more, where the generation that does it fails.
const ADMITS_MAX: Duration = Duration::from_secs(3_600);
/// Signs of the other machine's name that are kept.
const NODE_SIGNS: usize = 64;

/// Lets an application come, by the wish of the machine that it leaves. Wished already: nothing changes.
///
/// # Errors
/// Something of its name is here, this machine takes nothing or lends nothing, or the wish cannot be read.
pub(crate) fn open(
    service: &Service,
    id: &str,
    wish: &ArrivalWish,
    (by, principal): (&str, &Principal),
) -> Result<MoveArrival, AgentError> {
    let moves = service.moves();
    match moves.arriving(id) {
        Ok(there) if there.application == wish.application && there.guest == wish.guest => {
            if !there.mark.is_over() {
                loan::give(service, &there)?;
                hear_anything(service, id);
            }
            return view::word(service, &there);
        }
        Ok(_) => return Err(MovesError::Value(format!("the move {id} brings another application already")).into()),
        Err(AgentError::Moves(MovesError::NoArrival { .. })) => {}
        Err(error) => return Err(error),
    }
    drain::refuse(service.settings())?;
    let name = crate::api::name(&wish.application)?;
    check_free(service, &name)?;
    wish.guest.parse::<NodePublicKey>().map_err(|cause| MovesError::Value(format!("`guest` is {cause}")))?;
    wish.recipient.parse::<Recipient>()?;
    // Parts of the mark come from another machine: each has the form, and so the size, of what it is.
    if wish.image.as_ref().is_some_and(|image| !is_image(image)) {
        return Err(MovesError::Value("`image` is no digest such as sha256:0123...".into()).into());
    }
    check_size(service, wish)?;
    let own = NodeKey::generate()?;
    let node: String = wish.node.chars().filter(|sign| !sign.is_control()).take(NODE_SIGNS).collect();
    let arriving = Arriving {
        id: id.to_string(),
        application: name.to_string(),
        node,
        by: by.to_string(),
        role: principal.role.to_string(),
        begun: Timestamp::now(),
        guest: wish.guest.clone(),
        own: moves.seal(id, OWN, &own.secret_text())?,
        recipient: wish.recipient.clone(),
        size_bytes: wish.size_bytes,
        image: wish.image.clone(),
        repository: None,
        document: None,
        secrets: Vec::new(),
        is_planted: false,
        is_admitted: false,
        is_cleared: false,
        since: Timestamp::now(),
        silent_ms: 0,
        mark: Arrival::Arrives { tried: None },
    };
    let arriving = moves.begin_arriving(&arriving)?;
    if let Err(error) = loan::give(service, &arriving) {
        // Nothing of it was begun.
        moves.forget_arriving(id)?;
        return Err(error);
    }
    hear_anything(service, id);
    note(service, EventKind::Begins, &arriving.application, format!("{by} brings {name} from {}", arriving.node));
    moves.look_now();
    view::word(service, &arriving)
}

/// Returns true for the digest of an image.
fn is_image(text: &str) -> bool {
    text.strip_prefix("sha256:").is_some_and(|digits| digits.parse::<Digest>().is_ok())
}

/// Refuses an application whose volumes have no room on the disk: no plan would take it, and room for its copies is given before there is one. That its document
/// declares them so is looked at once that is here.
fn check_size(service: &Service, wish: &ArrivalWish) -> Result<(), AgentError> {
    let root = service.agent().machine().volumes.root();
    let disk = rustix::fs::statvfs(root).map_err(|errno| AgentError::file("reading", root)(errno.into()))?;
    let free_bytes = disk.f_bavail.saturating_mul(disk.f_frsize);
    if wish.size_bytes <= free_bytes {
        return Ok(());
    }
    let (asked, free) = (wish.size_bytes.div_ceil(1 << 20), free_bytes >> 20);
    let why = format!(
        "its volumes have {asked} MiB, and {free} MiB of the disk of that machine are free; make room there, or take a machine with a larger one"
    );
    Err(MovesError::TooMuch { application: wish.application.clone(), why }.into())
}

/// Refuses an application whose name is taken here, or has data here.
fn check_free(service: &Service, name: &Name) -> Result<(), AgentError> {
    let refused = |why: String| AgentError::from(MovesError::NotMovable { application: name.to_string(), why });
    let (_, document) = wanted(service)?;
    if document.applications.contains_key(name) {
        return Err(refused(format!("an application `{name}` is on that machine already; take it away there first")));
    }
    let moves = service.moves();
    let comes = |one: &Arriving| one.application == name.as_str() && !one.is_cleared;
    if moves.leaving(name.as_str())?.is_some() || moves.all_arriving()?.iter().any(comes) {
        return Err(refused(format!("another move of `{name}` goes on at that machine")));
    }
    check_kept(service, name)
}

/// Notes that the other machine was heard.
fn hear_anything(service: &Service, id: &str) {
    service.moves().live.change(id, |one| one.heard_at = Some(Instant::now()));
}

/// The word of this machine about an arrival.
///
/// # Errors
/// There is none of this id.
pub(crate) fn look(service: &Service, id: &str) -> Result<MoveArrival, AgentError> {
    let arriving = service.moves().arriving(id)?;
    if !arriving.is_cleared {
        hear_anything(service, id);
    }
    view::word(service, &arriving)
}

/// Hears an order of the machine that is left, and answers with what follows from it at once.
///
/// # Errors
/// There is no arrival of this id, the order lacks its copy or names no repository; or the mark cannot be written: then it is not heard.
pub(crate) fn hear(service: &Service, id: &str, told: ArrivalOrder) -> Result<MoveArrival, AgentError> {
    let moves = service.moves();
    let lacks = || MovesError::Value("an order to take a copy names the copy".into());
    let heard = order(&told).ok_or_else(lacks)?;
    let before = moves.arriving(id)?;
    let repository = told.repository.clone();
    if repository.as_ref().is_some_and(|text| text.parse::<RepositoryId>().is_err()) {
        return Err(MovesError::Value("`repository` is no id of a repository".into()).into());
    }
    let after = moves.change_arriving(id, |arriving| {
        arriving.mark = arriving.mark.clone().hear(&heard);
        // The first one counts: another one would be somebody else's.
        if arriving.repository.is_none() {
            arriving.repository = repository;
        }
    })?;
    moves.live.change(id, |one| (one.heard, one.heard_at) = (Some(told), Some(Instant::now())));
    if after.mark != before.mark {
        let ends = matches!(after.mark, Arrival::Refused { .. } | Arrival::GivesBack | Arrival::Dropped);
        if let Some(job) = moves.live.one(id).job.filter(|_| ends) {
            job.cancel();
        }
        tell(service, &after);
    }
    moves.look_now();
    view::word(service, &after)
}

/// Notes what became of a mark.
fn tell(service: &Service, arriving: &Arriving) {
    let (name, node) = (&arriving.application, &arriving.node);
    let (kind, text) = match &arriving.mark {
        Arrival::Arrives { tried: None } => return,
        Arrival::Arrives { tried: Some(_) } => (EventKind::Done, format!("a first copy of {name} from {node} is good")),
        Arrival::Ready { .. } => (EventKind::Done, format!("the last copy of {name} from {node} is here")),
        Arrival::Told => (EventKind::Begins, format!("{node} lets {name} serve here")),
        Arrival::Serves => (EventKind::Done, format!("{name} from {node} has passed its gate, and serves here")),
        Arrival::Kept => (EventKind::Done, format!("{name} from {node} is this machine's")),
        Arrival::Refused { cause } => (EventKind::Failed, format!("{name} from {node} does not come: {cause}")),
        Arrival::GivesBack => (EventKind::Begins, format!("{node} takes {name} back")),
        Arrival::Given { .. } => (EventKind::Done, format!("the data of {name} are given back to {node}")),
        Arrival::Dropped => (EventKind::Begins, format!("{name} from {node} is let go of")),
    };
    note(service, kind, name, text);
}

/// An arrival that is looked after.
struct Coming {
    service: Arc<Service>,
    name: Name,
    id: String,
    /// The work that is under way.
    doing: Option<(Work, Arc<Job>)>,
    /// Watch over it.
    watch: Watch,
    retry: Retry,
    /// The mark that attempts are about.
    seen: Arrival,
    silence: Silence,
    /// Nobody fetches what was given back, and people are told so.
    is_left_lying: bool,
}

/// Looks after an arrival until it is over, or the agent leaves.
pub(super) async fn follow(service: Arc<Service>, arriving: Arriving, name: Name, mut stays: watch::Receiver<()>) {
    let mut news = service.moves().follow();
    let mut one = Coming {
        service: service.clone(),
        name,
        seen: arriving.mark,
        id: arriving.id,
        doing: None,
        watch: Watch::new(Instant::now()),
        retry: Retry::default(),
        silence: Silence::new(arriving.silent_ms, Instant::now()),
        is_left_lying: false,
    };
    loop {
        let turn = tokio::select! {
            turn = one.turn() => turn,
            _ = stays.changed() => return,
        };
        match turn {
            Ok(true) => {}
            Ok(false) => break,
            Err(error) => service.moves().live.note_trouble(&one.id, Some(error.to_string())),
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            _ = news.changed() => {}
            () = ended_of(one.doing.as_ref().map(|(_, job)| job)) => {}
            _ = stays.changed() => return,
        }
    }
    service.moves().live.unfollow(&one.id, true);
}

impl Coming {
    /// One look and what follows from it; false where nothing is left to do.
    async fn turn(&mut self) -> Result<bool, AgentError> {
        let arriving = match self.change(|_| ()).await {
            Err(AgentError::Moves(MovesError::NoArrival { .. })) => return Ok(false),
            arriving => arriving?,
        };
        if let Some(ended) = self.doing.as_ref().and_then(|(work, job)| Some((work.clone(), job.view().ended?))) {
            self.doing = None;
            return self.reap(&arriving, &ended.0, ended.1).await;
        }
        if arriving.mark != self.seen {
            self.seen = arriving.mark.clone();
            self.retry.succeed();
        }
        if arriving.mark.is_over() && arriving.is_cleared {
            return Ok(false);
        }
        if self.is_changed_by_silence(&arriving).await? || self.has_stood_still(&arriving).await? {
            return Ok(true);
        }
        let heard = self.service.moves().live.one(&self.id).heard.as_ref().and_then(order);
        let work = arriving.mark.work(heard.as_ref(), arriving.is_admitted);
        if work == Work::Rest || self.doing.is_some() || self.retry.waits() {
            return Ok(true);
        }
        match works::begin(&self.service, &arriving, &self.name, work.clone()) {
            Ok(job) => {
                self.service.moves().live.change(&self.id, |one| one.job = Some(job.clone()));
                self.doing = Some((work, job));
                self.watch = Watch::new(Instant::now());
            }
            // A backup by a schedule comes to its end.
            Err(AgentError::Backups(error)) if is_passing(error.code().0) => self.retry.pause(LOOK),
            Err(error) => return Err(error),
        }
        Ok(true)
    }

    /// Counts the time for which nothing was heard, and does what follows from it; true where the mark is another one by it.
    async fn is_changed_by_silence(&mut self, arriving: &Arriving) -> Result<bool, AgentError> {
        self.silence.hear(self.service.moves().live.one(&self.id).heard_at);
        let lasts = self.silence.lasts(Instant::now());
        if silence::after(&arriving.mark, lasts) != arriving.mark {
            let after = self.change(move |arriving| arriving.mark = silence::after(&arriving.mark, lasts)).await?;
            tell(&self.service, &after);
            return Ok(true);
        }
        if let Some(noted_ms) = silence::to_note(lasts, arriving.silent_ms) {
            self.change(move |arriving| arriving.silent_ms = noted_ms).await?;
        }
        let is_left_lying = silence::is_left_lying(&arriving.mark, lasts);
        if is_left_lying != self.is_left_lying {
            self.is_left_lying = is_left_lying;
            let (name, node) = (&arriving.application, &arriving.node);
            let words = format!(
                "{node} was not heard for a day, and does not fetch what was given back; `openmesh app move {name} --forget` here keeps it, stopped"
            );
            self.service.moves().live.note_trouble(&self.id, is_left_lying.then_some(words));
        }
        Ok(false)
    }

    /// Refuses an application whose last copy stands still, since nobody is served meanwhile; true where it does. Its thread may hang for longer: what it still
    /// comes to changes nothing.
    async fn has_stood_still(&mut self, arriving: &Arriving) -> Result<bool, AgentError> {
        let Some((Work::Take { is_last: true, .. }, job)) = &self.doing else { return Ok(false) };
        let (job, view) = (job.clone(), job.view());
        let is_waited_for = matches!(arriving.mark, Arrival::Arrives { .. } | Arrival::Ready { .. });
        if !is_waited_for || !self.watch.stands(job.meter.steps(), &view.phase, Instant::now()) {
            return Ok(false);
        }
        job.cancel();
        let minutes = STILL.as_secs() / 60;
        let cause =
            format!("nothing of the last copy went on for {minutes} min, in which nobody was served: {}", view.phase);
        self.pass(arriving, Done::Failed { cause }).await?;
        Ok(true)
    }

    /// Notes that nothing is left to do. What is remembered of it opens nothing.
    async fn clear(&self) -> Result<Arriving, AgentError> {
        let clear = |arriving: &mut Arriving| {
            (arriving.is_cleared, arriving.own, arriving.document) = (true, String::new(), None);
        };
        self.change(clear).await
    }

    /// Changes the mark, and returns it.
    async fn change(&self, change: impl FnOnce(&mut Arriving) + Send + 'static) -> Result<Arriving, AgentError> {
        let id = self.id.clone();
        blocking(&self.service, move |service| service.moves().change_arriving(&id, change)).await
    }

    /// Hears of the end of a work; false where nothing is left to do.
    async fn reap(&mut self, arriving: &Arriving, work: &Work, ended: Ended) -> Result<bool, AgentError> {
        if !ended.ok {
            self.failed(arriving, work, &ended).await?;
            return Ok(true);
        }
        self.retry.succeed();
        self.service.moves().live.note_trouble(&self.id, None);
        note(&self.service, EventKind::Done, &arriving.application, ended.text);
        let done = match work {
            Work::Take { backup, is_last } => Done::Taken { backup: backup.clone(), is_last: *is_last },
            Work::Gate => Done::Gated,
            Work::GiveBack => Done::Stored { backup: ended.backup.unwrap_or_default() },
            Work::Admit => {
                self.change(|arriving| arriving.is_admitted = true).await?;
                return Ok(true);
            }
            Work::Drop => {
                let after = self.clear().await?;
                let cause = Some("it did not come".to_string());
                let ends = move |service: &Service| service.moves().end_arriving(&after, MoveOutcome::Returned, cause);
                blocking(&self.service, ends).await?;
                return Ok(false);
            }
            Work::Forget => {
                let kept = arriving.clone();
                let ends = move |service: &Service| service.moves().end_arriving(&kept, MoveOutcome::Moved, None);
                blocking(&self.service, ends).await?;
                // The machine that is left may be off, and asks when it is back: that it is this one's is remembered.
                self.clear().await?;
                return Ok(false);
            }
            Work::Rest => return Ok(true),
        };
        self.pass(arriving, done).await?;
        Ok(true)
    }

    /// Lets the mark hear of something that was done.
    async fn pass(&self, before: &Arriving, done: Done) -> Result<(), AgentError> {
        let after = self.change(move |arriving| arriving.mark = arriving.mark.clone().done(&done)).await?;
        if after.mark != before.mark {
            tell(&self.service, &after);
        }
        Ok(())
    }

    /// Hears of a work that has failed: a copy, a check and a gate are refused, since nobody was let in yet; everything else is tried again.
    async fn failed(&mut self, arriving: &Arriving, work: &Work, ended: &Ended) -> Result<(), AgentError> {
        if self.service.is_leaving() {
            return Ok(());
        }
        let code = ended.code.as_deref().unwrap_or_default();
        // One that was stopped because it stood still is refused already.
        if matches!(arriving.mark, Arrival::Refused { .. }) {
            return Ok(());
        }
        let is_try = matches!(work, Work::Take { .. } | Work::Gate);
        if is_try && (!is_passing(code) || self.retry.attempts() >= ATTEMPTS) {
            return self.pass(arriving, Done::Failed { cause: ended.text.clone() }).await;
        }
        if self.retry.fail(code, if *work == Work::Admit { ADMITS_MAX } else { Duration::ZERO }) {
            note(&self.service, EventKind::Failed, &arriving.application, ended.text.clone());
        }
        self.service.moves().live.note_trouble(&self.id, Some(ended.text.clone()));
        Ok(())
    }
}
