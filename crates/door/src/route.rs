//! A route at work: its rule, whoever waits, and the instances behind it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, oneshot, watch};

use crate::crowd::Share;
use crate::document::{self, Page, Traffic};
use crate::pool::{Ends, Upstream};
use crate::report::{InstanceReport, RouteReport};
use crate::switch::{Arrival, Class, InstanceName, Outcome, Refusal, Switch};
use crate::visits::{Stay, Visit};

/// A route.
#[derive(Debug)]
pub struct Route {
    inner: Mutex<Inner>,
    /// A deadline came that is before the one for which the task sleeps.
    changed: Notify,
    began: Instant,
    /// Counts up whenever something is worth a report.
    news: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Inner {
    switch: Switch,
    waiting: HashMap<u64, oneshot::Sender<Result<InstanceName, Refusal>>>,
    upstreams: HashMap<InstanceName, Arc<Upstream>>,
    page: Option<Page>,
    next: u64,
    /// Moment until which the task sleeps that sees to the deadlines; none where there is no such task.
    sleeps_until: Option<u64>,
}

impl Route {
    /// A closed route. `news` counts up with everything worth a report.
    pub fn new(news: watch::Sender<u64>) -> Arc<Route> {
        Arc::new(Route { inner: Mutex::default(), changed: Notify::new(), began: Instant::now(), news })
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Takes the route of a new document, in one moment.
    pub fn apply(self: &Arc<Self>, route: &document::Route) {
        let mut inner = self.lock();
        inner.page = route.page.clone();
        for instance in &route.instances {
            let name: InstanceName = instance.name.as_str().into();
            let known = inner.upstreams.get(&name);
            let same = known.is_some_and(|known| known.address == instance.address && known.protocol == route.protocol);
            match known {
                Some(known) if same && instance.traffic == Traffic::Admit => known.renew(),
                Some(_) if same => {}
                known => {
                    // Whatever is open at the place that had this name is at a wrong place.
                    if let Some(known) = known {
                        known.cut();
                    }
                    inner.upstreams.insert(name, Arc::new(Upstream::new(instance.address, route.protocol)));
                }
            }
        }
        let outcomes = inner.switch.apply(route, self.now());
        self.take(&mut inner, outcomes);
        self.watch(&mut inner);
        let kept: Vec<InstanceName> = inner.switch.counts().map(|(name, ..)| name.clone()).collect();
        inner.upstreams.retain(|name, _| kept.contains(name));
        drop(inner);
        self.tell();
    }

    fn tell(&self) {
        self.news.send_modify(|count| *count += 1);
    }

    fn take(self: &Arc<Self>, inner: &mut Inner, outcomes: Vec<Outcome>) {
        for outcome in outcomes {
            match outcome {
                Outcome::Released(id, name) => {
                    let sent = inner.waiting.remove(&id).is_some_and(|waiter| waiter.send(Ok(name.clone())).is_ok());
                    if !sent {
                        // Its client left in this moment.
                        let outcomes = inner.switch.end(&name, false);
                        self.take(inner, outcomes);
                    }
                }
                Outcome::Refused(id, refusal) => {
                    // Nobody hears it where the client left.
                    let _ = inner.waiting.remove(&id).map(|waiter| waiter.send(Err(refusal)));
                }
                Outcome::Ask(name, within) => {
                    if let Some(upstream) = inner.upstreams.get(&name) {
                        upstream.ask(within);
                    }
                }
                Outcome::Cut(name) => {
                    if let Some(upstream) = inner.upstreams.get(&name) {
                        upstream.cut();
                    }
                }
                Outcome::Drained(name) => {
                    // A connection that is about to rest does not.
                    if let Some(upstream) = inner.upstreams.get(&name) {
                        upstream.ask(0);
                    }
                    self.tell();
                }
            }
        }
    }

    /// Sees to the deadlines, with a task that lives as long as there are some. It is woken for an earlier one alone: one that is woken by its own
    /// work never sleeps.
    fn watch(self: &Arc<Self>, inner: &mut Inner) {
        let Some(next) = inner.switch.next_deadline() else { return };
        match inner.sleeps_until {
            Some(until) if next < until => self.changed.notify_one(),
            Some(_) => {}
            None => {
                inner.sleeps_until = Some(next);
                let route = self.clone();
                tokio::spawn(async move { route.keep_time().await });
            }
        }
    }

    async fn keep_time(self: Arc<Self>) {
        loop {
            let next = {
                let mut inner = self.lock();
                let outcomes = inner.switch.tick(self.now());
                self.take(&mut inner, outcomes);
                inner.sleeps_until = inner.switch.next_deadline();
                match inner.sleeps_until {
                    Some(next) => next,
                    None => return,
                }
            };
            let wait = Duration::from_millis(next.saturating_sub(self.now()));
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = self.changed.notified() => {}
            }
        }
    }

    /// Waits until a new request or connection may go to an instance.
    ///
    /// # Errors
    /// The reason why it may not.
    pub async fn admit(self: &Arc<Self>, class: Class) -> Result<Ticket, Refusal> {
        let (id, receiver) = {
            let mut inner = self.lock();
            inner.next += 1;
            let id = inner.next;
            let now = self.now();
            match inner.switch.arrive(id, class, now) {
                Arrival::Go(name) => return self.ticket(&mut inner, id, name),
                Arrival::Refuse(refusal) => return Err(refusal),
                Arrival::Wait => {
                    let (sender, receiver) = oneshot::channel();
                    inner.waiting.insert(id, sender);
                    self.watch(&mut inner);
                    (id, receiver)
                }
            }
        };
        let mut place = Place { route: self, id, receiver, over: false };
        let name = (&mut place.receiver).await.unwrap_or(Err(Refusal::Closed));
        place.over = true;
        let name = name?;
        self.ticket(&mut self.lock(), id, name)
    }

    fn ticket(self: &Arc<Self>, inner: &mut Inner, id: u64, name: InstanceName) -> Result<Ticket, Refusal> {
        let Some(upstream) = inner.upstreams.get(&name).cloned() else {
            let outcomes = inner.switch.end(&name, false);
            self.take(inner, outcomes);
            return Err(Refusal::Nobody);
        };
        let ends = upstream.ends();
        Ok(Ticket { route: self.clone(), name, upstream, ends, id, cut: false, share: None, visit: None })
    }

    /// The page of its document.
    pub fn page(&self) -> Option<Page> {
        self.lock().page.clone()
    }

    /// Ends all waiting and cuts all that is open: the document does not have it any more.
    pub fn remove(self: &Arc<Self>) {
        let gone = document::Route {
            protocol: document::Protocol::Http1,
            admission: document::Admission::Closed,
            hold_ms: 0,
            instances: Vec::new(),
            page: None,
        };
        self.apply(&gone);
    }

    /// Asks all that is open to end within a time: the door itself is leaving.
    pub fn ask_all(&self, within_ms: u64) {
        for upstream in self.lock().upstreams.values() {
            upstream.ask(within_ms);
        }
    }

    /// Its state in numbers.
    pub fn report(&self) -> RouteReport {
        let inner = self.lock();
        let (held, refused, longest_hold_ms) = inner.switch.totals();
        let instances =
            inner.switch.counts().map(|(name, traffic, counts)| (name.to_string(), InstanceReport { traffic, counts }));
        RouteReport {
            admission: inner.switch.admission(),
            waiting: inner.switch.waiting() as u64,
            held,
            refused,
            longest_hold_ms,
            given: inner.switch.given(),
            instances: instances.collect(),
        }
    }

    /// Number of requests and connections that are open or wait.
    pub fn open(&self) -> u64 {
        let inner = self.lock();
        let open: u64 = inner.switch.counts().map(|(_, _, counts)| counts.open).sum();
        open + inner.switch.waiting() as u64
    }
}

/// A place in the queue. A client that leaves takes it along, also in the moment of its release.
struct Place<'a> {
    route: &'a Arc<Route>,
    id: u64,
    receiver: oneshot::Receiver<Result<InstanceName, Refusal>>,
    over: bool,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if self.over {
            return;
        }
        let mut inner = self.route.lock();
        inner.switch.leave(self.id);
        inner.waiting.remove(&self.id);
        if let Ok(Ok(name)) = self.receiver.try_recv() {
            let outcomes = inner.switch.end(&name, false);
            self.route.take(&mut inner, outcomes);
        }
    }
}

/// A request or connection that was given to an instance. It ends when this is dropped.
#[derive(Debug)]
pub struct Ticket {
    route: Arc<Route>,
    name: InstanceName,
    /// The instance.
    pub upstream: Arc<Upstream>,
    /// Signals to it.
    pub ends: Ends,
    /// Its number in the route.
    pub id: u64,
    cut: bool,
    share: Option<Share>,
    visit: Option<Arc<Visit>>,
}

impl Ticket {
    /// Keeps the client's share until its end.
    pub fn keep(&mut self, share: Share) {
        self.share = Some(share);
    }

    /// Lets it end with the visit that it belongs to.
    pub fn belong(&mut self, visit: Visit) {
        self.ends.cut = self.ends.cut.child_token();
        visit.cuts(self.ends.cut.clone());
        self.visit = Some(Arc::new(visit));
    }

    /// Bounds of what may outlast it.
    pub fn stay(&self) -> Stay {
        Stay { cut: self.ends.cut.clone(), visit: self.visit.clone() }
    }

    /// Returns true where its visitor may not come in any more.
    pub fn is_unwelcome(&self) -> bool {
        self.visit.as_ref().is_some_and(|visit| visit.is_over())
    }

    /// Notes that it did not end by itself. One whose visitor may not come in any more is no loss of a switch.
    pub fn was_cut(&mut self) {
        self.cut = !self.is_unwelcome();
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut inner = self.route.lock();
        let outcomes = inner.switch.end(&self.name, self.cut);
        if !outcomes.is_empty() {
            self.route.take(&mut inner, outcomes);
        }
    }
}
