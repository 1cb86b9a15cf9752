//! The task that looks after an application which leaves: it asks the other machine, hears its mark, and does the next act.
//!
//! Nothing is replayed: the mark and what is found give the next act. What this task knows besides dies with the agent, and is found out or made again.

use std::sync::Arc;
use std::time::{Duration, Instant};

use openmesh_blueprint::document::Name;
use openmesh_blueprint::moving::{Act, Arrival, Departure, Here};
use openmesh_primitives::Timestamp;
use reqwest::Method;
use tokio::sync::watch;

use super::acts;
use super::asks::Asks;
use super::begin::{asked, note, open};
use super::change::is_quiet;
use super::page;
use super::records::Leaving;
use super::retry::{Retry, ended_of, is_passing};
use super::returns::{self, Standing};
use super::view::undo_left_ms;
use super::views::{MoveArrival, MoveOutcome, arrival, flat_order};
use super::wire::{Other, Trouble, plain};
use crate::api::blocking;
use crate::backups::Job;
use crate::backups::views::Ended;
use crate::error::AgentError;
use crate::service::Service;
use crate::views::EventKind;

/// Pause between two looks at a move that goes on: a person sees its bytes run, and clients wait for it.
const LOOK: Duration = Duration::from_millis(500);
/// Pause between two looks at one that can only be undone.
const REST: Duration = Duration::from_secs(5);
/// Pause between two looks at one whose other machine is away for long, where nobody waits for it.
const SELDOM: Duration = Duration::from_secs(60);
/// Time after which it is away for long.
const LONG: Duration = Duration::from_secs(600);
/// Attempts at an act before the move is given up, where it may be: a machine that starts anew is back within them.
const ATTEMPTS: u32 = 6;
/// Longest pause before the next start of an application that serves here again, whose starts fail. People are told meanwhile, and start it by a deployment.
const STARTS_MAX: Duration = Duration::from_secs(86_400);
/// Time for which nobody is let in here while the other machine cannot be asked, or lends nothing: a machine that starts anew is back within it. It was not told to
/// serve, so this one serves again.
const QUIETS_MAX: Duration = Duration::from_secs(120);
/// Time for which a machine that is away is told that the application serves here again: what never served there it has let go of by then, and of what it gave
/// back its people are told.
const RETURNED_TOLD: Duration = Duration::from_secs(86_400);
/// Time for which it is told that the application is its: what serves there is that by itself long before, in three days in which it runs.
const OVER_TOLD: Duration = Duration::from_secs(30 * 86_400);
/// Time for which the other machine may serve without letting clients in before that is a trouble: a generation does it.
const SHUT_MAX: Duration = Duration::from_secs(30);
/// Time in which the machine ran that is written down at once, milliseconds: so much longer can a move be undone after a death.
const COUNT_MS: u64 = 10_000;

/// A departure that is looked after.
struct Departing {
    service: Arc<Service>,
    name: Name,
    id: String,
    /// Copies of this run of the agent.
    first: Option<String>,
    last: Option<String>,
    /// The act that is under way.
    doing: Option<(Act, Arc<Job>)>,
    retry: Retry,
    /// Asks the other machine.
    asks: Asks,
    /// The mark that attempts are about: those at another one's acts mean nothing for it.
    seen: Departure,
    /// The other machine was told of the move by this run of the agent.
    is_told: bool,
    /// The other machine has let go, or has forgotten.
    is_let_go: bool,
    /// It serves here again, or a person has said that it is not to.
    is_back: bool,
    /// Moment since which the other machine cannot be asked, or lends nothing.
    away: Option<Instant>,
    /// Moment since which it serves by its word, and lets no client in.
    shut: Option<Instant>,
    /// Moment up to which the time that the machine ran is counted.
    counted: Instant,
    uncounted_ms: u64,
}

/// Looks after a departure until it is over, or the agent leaves.
pub(super) async fn follow(service: Arc<Service>, leaving: Leaving, name: Name, mut stays: watch::Receiver<()>) {
    let mut news = service.moves().follow();
    let mut one = Departing {
        name,
        seen: leaving.mark,
        id: leaving.id,
        first: None,
        last: None,
        doing: None,
        retry: Retry::default(),
        asks: Asks::default(),
        is_told: false,
        is_let_go: false,
        is_back: false,
        away: None,
        shut: None,
        counted: Instant::now(),
        uncounted_ms: 0,
        service: service.clone(),
    };
    loop {
        let turn = tokio::select! {
            turn = one.turn() => turn,
            _ = stays.changed() => return,
        };
        let pause = match turn {
            Ok(Some(pause)) => pause,
            Ok(None) => break,
            Err(error) => {
                service.moves().live.note_trouble(&one.id, Some(error.to_string()));
                REST
            }
        };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            _ = news.changed() => {}
            () = ended_of(one.doing.as_ref().map(|(_, job)| job)) => {}
            _ = stays.changed() => return,
        }
    }
    service.moves().live.unfollow(&one.id, true);
}

impl Departing {
    /// One look and what follows from it. Returns the time until the next one; none where nothing is left to do.
    async fn turn(&mut self) -> Result<Option<Duration>, AgentError> {
        let Some(leaving) = self.mark(|_| ()).await? else { return Ok(None) };
        let leaving = self.count(leaving).await?;
        let leaving = self.reap(leaving).await?;
        if leaving.mark != self.seen {
            self.seen = leaving.mark.clone();
            self.retry.succeed();
            self.stop_leaving();
        }
        let here = self.facts(&leaving).await?;
        if self.exchange(leaving, &here).await?.is_none() {
            return Ok(None);
        }
        // Words take their time: a person may have let this machine forget the move meanwhile, or undone it.
        let Some(leaving) = self.mark(|_| ()).await? else { return Ok(None) };
        let leaving = self.give_up(leaving).await?;
        let (own, name) = (leaving.clone(), self.name.clone());
        if let Err(error) = blocking(&self.service, move |service| page::keep(service, &own, &name)).await {
            // What it says is not as important as what is done.
            tracing::warn!(application = %self.name, %error, "the maintenance page of a move is not as it should be");
        }
        if self.is_over(&leaving) {
            return self.end(leaving).await.map(|()| None);
        }
        self.act(&leaving, &here)?;
        Ok(Some(self.pause(&leaving)))
    }

    /// Ends an act that was to let it leave where it serves here again: a lender that does not answer would keep its start waiting.
    fn stop_leaving(&self) {
        if let Departure::Returns { .. } = self.seen
            && let Some((Act::BackUp | Act::Quiet | Act::BackUpLast, job)) = &self.doing
        {
            job.cancel();
        }
    }

    /// Time until the next look.
    fn pause(&self, leaving: &Leaving) -> Duration {
        match leaving.mark {
            Departure::Gone | Departure::Over if self.away.is_some_and(|since| since.elapsed() > LONG) => SELDOM,
            // Clients wait for it.
            Departure::Gone if !leaving.is_open_there => LOOK,
            Departure::Gone | Departure::Over => REST,
            Departure::Returns { .. } if self.is_let_go => REST,
            _ => LOOK,
        }
    }

    /// Changes the mark, and returns it; none where a person has let this machine forget it.
    async fn mark(&self, change: impl FnOnce(&mut Leaving) + Send + 'static) -> Result<Option<Leaving>, AgentError> {
        let (name, id) = (self.name.clone(), self.id.clone());
        blocking(&self.service, move |service| service.moves().change_leaving((name.as_str(), &id), change)).await
    }

    /// Changes the mark, and tells what became of it.
    async fn pass(
        &self,
        before: &Leaving,
        change: impl FnOnce(Departure) -> Departure + Send + 'static,
    ) -> Result<Option<Leaving>, AgentError> {
        let changed = self.mark(move |leaving| {
            let before = leaving.mark.clone();
            leaving.mark = change(before);
            if leaving.mark == Departure::Gone && leaving.gone.is_none() {
                leaving.gone = Some(Timestamp::now());
            }
        });
        let after = changed.await?;
        if let Some(after) = after.as_ref().filter(|after| after.mark != before.mark) {
            if after.mark.may_serve() && !before.mark.may_serve() {
                // Nobody is told that it serves before this machine has looked.
                self.service.moves().live.change(&self.id, |one| one.is_awaited = true);
            }
            if let Some((kind, text)) = told(after) {
                note(&self.service, kind, &after.application, text);
            }
        }
        Ok(after)
    }

    /// Gives the move up where nobody is let in here for a machine that cannot take the application now.
    async fn give_up(&self, leaving: Leaving) -> Result<Leaving, AgentError> {
        let is_long = self.away.is_some_and(|since| since.elapsed() > QUIETS_MAX);
        if leaving.mark != Departure::Quiets || !is_long {
            return Ok(leaving);
        }
        let (node, seconds) = (&leaving.node, QUIETS_MAX.as_secs());
        let cause = format!("{node} could not be asked, or lent nothing, for {seconds} s in which nobody was served");
        Ok(self.pass(&leaving, move |mark| mark.cancel(&cause)).await?.unwrap_or(leaving))
    }

    /// Counts the hour in which the move can be undone, by both clocks.
    async fn count(&mut self, leaving: Leaving) -> Result<Leaving, AgentError> {
        let now = Instant::now();
        let passed = now.saturating_duration_since(std::mem::replace(&mut self.counted, now));
        if leaving.mark != Departure::Gone {
            return Ok(leaving);
        }
        self.uncounted_ms += u64::try_from(passed.as_millis()).unwrap_or(0);
        let ran_ms = leaving.ran_ms.saturating_add(self.uncounted_ms);
        let is_over = undo_left_ms(&Leaving { ran_ms, ..leaving.clone() }) == 0;
        if !is_over && self.uncounted_ms < COUNT_MS {
            return Ok(leaving);
        }
        self.uncounted_ms = 0;
        self.mark(move |leaving| leaving.ran_ms = ran_ms).await?;
        let settle = move |mark: Departure| if is_over { mark.settle() } else { mark };
        Ok(self.pass(&leaving, settle).await?.unwrap_or(leaving))
    }

    /// Hears of the end of the act that was under way.
    async fn reap(&mut self, leaving: Leaving) -> Result<Leaving, AgentError> {
        let Some((act, ended)) = self.doing.as_ref().and_then(|(act, job)| Some((act.clone(), job.view().ended?)))
        else {
            return Ok(leaving);
        };
        self.doing = None;
        if !ended.ok {
            return self.failed(leaving, &act, &ended).await;
        }
        self.retry.succeed();
        note(&self.service, EventKind::Done, &leaving.application, ended.text);
        let after = match act {
            Act::BackUp => {
                self.first = ended.backup;
                None
            }
            Act::BackUpLast => {
                self.last = ended.backup;
                None
            }
            Act::Restore(_) => self.pass(&leaving, Departure::restored).await?,
            Act::Quiet | Act::Serve | Act::Rest => None,
        };
        Ok(after.unwrap_or(leaving))
    }

    /// Hears of an act that has failed: the move is given up where it may be, or else the act is tried again.
    async fn failed(&mut self, leaving: Leaving, act: &Act, ended: &Ended) -> Result<Leaving, AgentError> {
        if self.service.is_leaving() {
            return Ok(leaving);
        }
        let code = ended.code.as_deref().unwrap_or_default();
        let may_end = matches!(leaving.mark, Departure::Tries | Departure::Quiets);
        // Another mark has stopped it, which has acts of its own.
        if code == "cancelled" && !may_end {
            return Ok(leaving);
        }
        if may_end && (!is_passing(code) || self.retry.attempts() >= ATTEMPTS) {
            let cause = ended.text.clone();
            return Ok(self.pass(&leaving, move |mark| mark.cancel(&cause)).await?.unwrap_or(leaving));
        }
        let is_start = *act == Act::Serve;
        if self.retry.fail(code, if is_start { STARTS_MAX } else { Duration::ZERO }) {
            note(&self.service, EventKind::Failed, &leaving.application, ended.text.clone());
        }
        let words = match is_start {
            true => format!(
                "its start here has failed: {}; it is tried again, ever more seldom. A deployment with what helps and the wish `running` starts it at once, one with the wish `stopped` leaves it as it is",
                ended.text
            ),
            false => ended.text.clone(),
        };
        self.service.moves().live.note_trouble(&self.id, Some(words));
        Ok(leaving)
    }

    /// The facts by which the next act is chosen.
    async fn facts(&mut self, leaving: &Leaving) -> Result<Here, AgentError> {
        // Copies are of one attempt, and the last one of a time in which nothing runs.
        if !matches!(leaving.mark, Departure::Tries | Departure::Quiets) {
            (self.first, self.last) = (None, None);
        }
        let (name, own) = (self.name.clone(), leaving.clone());
        let stands = |is_due| Standing { is_due, is_back: false };
        let found = blocking(&self.service, move |service| match own.mark {
            // It serves until the first copy was tried.
            Departure::Tries => Ok(stands(false)),
            // Whoever returns is to run, unless a person says otherwise; the machine brings it there.
            Departure::Returns { data: None, .. } => returns::standing(service, &own, &name),
            Departure::Over => Ok(stands(true)),
            _ => is_quiet(service, &name).map(stands),
        });
        let Standing { is_due, is_back } = found.await?;
        self.is_back = is_back;
        let is_awaited = matches!(leaving.mark, Departure::Returns { data: None, .. }) && !is_back;
        self.service.moves().live.change(&self.id, |one| one.is_awaited = is_awaited);
        if is_back && self.retry.attempts() > 0 {
            // What its move has failed to do, somebody has done.
            self.retry.succeed();
            self.service.moves().live.note_trouble(&self.id, None);
        }
        Ok(Here { is_quiet: is_due, first: self.first.clone(), last: self.last.clone() })
    }

    /// Asks the other machine, sends what it has not heard, and hears its mark. None where a person has let this machine forget the move.
    async fn exchange(&mut self, leaving: Leaving, here: &Here) -> Result<Option<Leaving>, AgentError> {
        let asks = match &leaving.mark {
            Departure::Returns { data: Some(_), .. } => false,
            // In its hour too: its people may keep it there, and it counts from the last word whether this machine is away.
            _ => !self.is_let_go,
        };
        if !asks {
            return Ok(Some(leaving));
        }
        let other = match self.asks.kept(&leaving) {
            Some(other) => Ok(other),
            None => {
                let own = leaving.clone();
                let made = blocking(&self.service, move |service| acts::other(service, &own)).await;
                made.map(|other| self.asks.keep(&leaving, other))
            }
        };
        let word = match other {
            Ok(other) => self.talk(&other, &leaving, here).await?,
            // A key that cannot be opened any more asks nobody; what is done here does not wait for that.
            Err(error) => Err(Trouble::Key(error.to_string())),
        };
        match word {
            Ok(word) => self.heard(leaving, word).await,
            Err(trouble) => self.unheard(leaving, trouble).await,
        }
    }

    /// The other machine's word, after it has heard the present order.
    async fn talk(
        &mut self,
        other: &Other,
        leaving: &Leaving,
        here: &Here,
    ) -> Result<Result<MoveArrival, Trouble>, AgentError> {
        let path = format!("/arrivals/{}", leaving.id);
        let word = if leaving.mark == Departure::Tries && !self.is_told {
            let wish = asked(&self.service, leaving, &self.name).await?;
            open(other, leaving, &wish).await
        } else {
            other.get(&path).await
        };
        let word: MoveArrival = match word {
            Ok(word) => word,
            Err(trouble) => return Ok(Err(trouble)),
        };
        self.is_told = true;
        let Some(order) = leaving.mark.order(here) else { return Ok(Ok(word)) };
        let told = flat_order(&order, leaving.repository.clone());
        // What it has heard is not said again: each order is in its audit log.
        if word.heard.as_ref() == Some(&told) {
            return Ok(Ok(word));
        }
        Ok(other.send(Method::POST, &format!("{path}/orders"), &told).await)
    }

    /// Hears a word of the other machine.
    async fn heard(&mut self, leaving: Leaving, word: MoveArrival) -> Result<Option<Leaving>, AgentError> {
        let words = |text: Option<String>| text.map(|text| plain(&text));
        let (cause, trouble, step) = (words(word.cause), words(word.trouble), plain(&word.step));
        let word = MoveArrival { cause, trouble, step, backup: words(word.backup), ..word };
        let live = &self.service.moves().live;
        let mark = arrival(word.state, word.backup.clone(), word.cause.clone());
        live.change(&self.id, |one| one.word = Some(word.clone()));
        let Some(mark) = mark else {
            live.note_trouble(
                &self.id,
                Some(format!("{} says of its state what this program does not know", leaving.node)),
            );
            return Ok(Some(leaving));
        };
        let lends = !word.lender.listens.is_empty();
        self.away = if lends { None } else { self.away.or_else(|| Some(Instant::now())) };
        // A trouble of its own stays told: it is what this machine waits for.
        let is_stuck = self.retry.attempts() > 0;
        let is_shut = matches!(mark, Arrival::Serves | Arrival::Kept) && !word.is_open;
        self.shut = if is_shut { self.shut.or_else(|| Some(Instant::now())) } else { None };
        if !is_stuck || word.trouble.is_some() {
            live.note_trouble(&self.id, waits_for(&leaving, &word, self.shut.map(|since| since.elapsed())));
        }
        self.is_let_go = matches!(mark, Arrival::Dropped | Arrival::Kept)
            && matches!(leaving.mark, Departure::Returns { data: None, .. } | Departure::Over);
        let said = (Some(word.recipient), Some(word.lender), word.is_open);
        if (&leaving.recipient, &leaving.lender, leaving.is_open_there) != (&said.0, &said.1, said.2) {
            self.mark(move |leaving| (leaving.recipient, leaving.lender, leaving.is_open_there) = said).await?;
        }
        let after = self.pass(&leaving, move |own| own.hear(&mark)).await?;
        if word.is_open && !leaving.is_open_there {
            let text = format!("{} serves at {}, which lets clients in", self.name, leaving.node);
            note(&self.service, EventKind::Done, &leaving.application, text);
        }
        Ok(after)
    }

    /// Hears that there is no good answer.
    async fn unheard(&mut self, leaving: Leaving, trouble: Trouble) -> Result<Option<Leaving>, AgentError> {
        let live = &self.service.moves().live;
        let (node, name) = (&leaving.node, &self.name);
        if trouble.is_unknown() {
            self.is_let_go = matches!(leaving.mark, Departure::Returns { .. } | Departure::Over);
            let words = format!(
                "{node} knows nothing of this move any more, and may be serving {name} all the same; where you know that it does not, `openmesh app move {name} --forget` lets you start it here"
            );
            let waits = matches!(leaving.mark, Departure::Hands | Departure::Gone | Departure::Recalls);
            live.note_trouble(&self.id, waits.then_some(words));
            return self.pass(&leaving, Departure::forgotten).await;
        }
        // One that was never taken is refused with its cause; later its word counts, and is waited for.
        if let Trouble::Refused(failure) = &trouble
            && leaving.mark == Departure::Tries
            && !self.is_told
        {
            let cause = format!("{node} refuses: {}", failure.message);
            return self.pass(&leaving, move |mark| mark.cancel(&cause)).await;
        }
        self.away = self.away.or_else(|| Some(Instant::now()));
        live.note_trouble(&self.id, Some(format!("{node} cannot be asked: {}", trouble.words())));
        let is_away_for = |time: Duration| self.away.is_some_and(|since| since.elapsed() > time);
        self.is_let_go = match &leaving.mark {
            Departure::Returns { data: None, .. } => is_away_for(RETURNED_TOLD),
            Departure::Over => is_away_for(OVER_TOLD),
            _ => false,
        };
        Ok(Some(leaving))
    }

    /// Returns true where nothing is left to do: the other machine has let go, and the application is where it belongs.
    fn is_over(&self, leaving: &Leaving) -> bool {
        match &leaving.mark {
            Departure::Over => self.is_let_go,
            Departure::Returns { data: None, .. } => self.is_let_go && self.is_back && self.doing.is_none(),
            _ => false,
        }
    }

    /// Ends the move here: its key is forgotten, and how it ended is remembered.
    async fn end(&mut self, leaving: Leaving) -> Result<(), AgentError> {
        let name = self.name.clone();
        blocking(&self.service, move |service| {
            // An application that is the other machine's stays as it is, paused behind its page, and its mark with it.
            if leaving.mark == Departure::Over {
                service.moves().settle(&leaving)?;
                return page::keep(service, &Leaving { is_settled: true, ..leaving }, &name);
            }
            let cause = match &leaving.mark {
                Departure::Returns { cause, .. } => Some(cause.clone()),
                _ => None,
            };
            page::clear(service, &name)?;
            service.moves().end_leaving(&leaving, MoveOutcome::Returned, cause)
        })
        .await
    }

    /// Begins the next act, unless one is under way.
    fn act(&mut self, leaving: &Leaving, here: &Here) -> Result<(), AgentError> {
        let act = leaving.mark.act(here);
        if act == Act::Rest || self.doing.is_some() || self.retry.waits() {
            return Ok(());
        }
        // There is no loan to store to yet.
        let lends = leaving.lender.as_ref().is_some_and(|lender| !lender.listens.is_empty());
        if matches!(act, Act::BackUp | Act::BackUpLast) && !lends {
            return Ok(());
        }
        match acts::begin(&self.service, leaving, &self.name, act.clone()) {
            Ok(job) => {
                self.service.moves().live.change(&self.id, |one| one.job = Some(job.clone()));
                self.doing = Some((act, job));
                Ok(())
            }
            // Something else is being done with it, as a backup by its schedule: that comes to its end.
            Err(AgentError::Backups(error)) if is_passing(error.code().0) => {
                self.service.moves().live.note_trouble(&self.id, Some(error.to_string()));
                self.retry.pause(REST);
                Ok(())
            }
            Err(error) => Err(error),
        }
    }
}

/// Words for what the other machine lets this move wait for, by its word; none where it gets further. It serves without letting clients in for so long.
fn waits_for(leaving: &Leaving, word: &MoveArrival, shut: Option<Duration>) -> Option<String> {
    let (node, lends) = (&leaving.node, !word.lender.listens.is_empty());
    if let Some(words) = &word.trouble {
        return Some(format!("{node}: {words}"));
    }
    match leaving.mark {
        Departure::Tries | Departure::Quiets if !lends => {
            Some(format!("the lender of {node} does not listen; there, `openmesh xnode lend list` tells why"))
        }
        Departure::Gone | Departure::Over if shut.is_some_and(|time| time > SHUT_MAX) => {
            Some(format!("{node} may serve it, and lets no client in yet; there, `openmesh app moves` tells why"))
        }
        _ => None,
    }
}

/// Words about a changed mark, for the history.
fn told(leaving: &Leaving) -> Option<(EventKind, String)> {
    let (name, node) = (&leaving.application, &leaving.node);
    Some(match &leaving.mark {
        Departure::Tries => return None,
        Departure::Quiets => (
            EventKind::Done,
            format!("{node} has tried a first copy of {name}; it stops here, and the last one is made"),
        ),
        Departure::Hands => (EventKind::Done, format!("the last copy of {name} is at {node}, which is told to serve")),
        Departure::Gone => {
            (EventKind::Done, format!("{name} has passed its gate at {node}; the move can be undone for an hour"))
        }
        Departure::Recalls => (EventKind::Begins, format!("{node} is told to give {name} back")),
        Departure::Returns { cause, data: Some(_) } => {
            (EventKind::Begins, format!("{node} has given back the data of {name}: {cause}"))
        }
        Departure::Returns { cause, data: None } => {
            (EventKind::Failed, format!("{name} stays on this machine, and does not move to {node}: {cause}"))
        }
        Departure::Over => (EventKind::Done, format!("{name} is {node}'s; nothing undoes its move but a move back")),
    })
}

#[cfg(test)]
mod tests {
    use super::super::records::tests::{leaving, word};
    use super::super::views::MoveLender;
    use super::*;

    #[test]
    fn people_hear_of_what_the_other_machine_does_not_do() {
        let lends = |listens: &[&str]| MoveLender {
            key: "ab".repeat(32),
            listens: listens.iter().map(ToString::to_string).collect(),
        };
        let listens = MoveArrival { lender: lends(&["10.0.0.7:7790"]), ..word("") };
        let says = |mark: Departure, word: &MoveArrival, seconds: u64| {
            waits_for(&leaving(mark), word, Some(Duration::from_secs(seconds))).unwrap_or_default()
        };
        assert_eq!(waits_for(&leaving(Departure::Quiets), &listens, None), None);
        assert!(says(Departure::Quiets, &word(""), 0).contains("the lender of b does not listen"));
        assert_eq!(says(Departure::Recalls, &word(""), 0), "", "it gives back by its own lender, and says so itself");
        // It serves by its mark, and nobody is let in.
        assert_eq!(says(Departure::Gone, &listens, 30), "");
        assert!(says(Departure::Gone, &listens, 31).contains("lets no client in"));
        assert!(says(Departure::Over, &listens, 31).contains("lets no client in"));
        let troubled = MoveArrival { trouble: Some("a domain is taken".into()), ..listens };
        assert_eq!(says(Departure::Gone, &troubled, 0), "b: a domain is taken");
    }
}
