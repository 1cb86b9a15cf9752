//! Certificates of public names and patterns by ACME (X-76, X-77; RFC 8555, RFC 8737, RFC 9773).
//!
//! # Shape
//! [`kept`] is everything that is known of accounts, certificates and orders; [`plan`] says from that, what is wanted and the clock what is done next, and is
//! pure. [`issuer`] keeps it on disk with its secrets sealed, and holds the proofs that the door shows. [`order`] speaks with the authority through [`wire`], and
//! with the DNS through [`dns`]; [`trouble`] has the words of what fails. One task does one act after another, but for orders, of which each is a task of its own: one
//! that waits long holds up no other. Names for which the door has no host are nothing to it.
//!
//! # Limits
//! At most [`plan::ORDERS_AT_ONCE`] orders beside one another; of a name at most [`plan::ORDERS_A_DAY`] a day; pauses after failures up to a day.
//!
//! # On failure
//! The certificate that is there is served on. An order that was open when the agent died goes on with its key, or is let go and another one is made. Proofs
//! at the door are in no file: they are gone with the process that waited for them. Those in the DNS are noted before they are set, and taken out by the next one.

mod dns;
mod issuer;
mod kept;
mod order;
mod plan;
mod trouble;
mod wire;
mod wishes;

#[cfg(test)]
mod pebble;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use openmesh_blueprint::document::{Certificates, Content, Name, Webhook};
use openmesh_door::document::{Challenge, Document, Listener};
use tokio::sync::watch;
use tokio::task::{Id, JoinHandle, JoinSet};

pub use issuer::{Issuer, machine_clock};
pub use plan::renew_at;
pub use wishes::Wishes;

use self::dns::Dns;
use self::order::{Authority, Front};
use self::plan::{Act, Wanted};
use self::trouble::{Loss, Trouble, Way};
use self::wire::Wire;
use crate::alerts::receivers::receiver;
use crate::api::blocking;
use crate::doors::is_public;
use crate::error::AgentError;
use crate::service::Service;
use crate::views::EventKind;

/// Longest rest between two looks: a document, a certificate that a person gave, or the clock may have changed what is to be done.
const LOOK: Duration = Duration::from_secs(15);

impl Wishes {
    /// Wishes of the wanted generation; none where nobody has named an authority and agreed to its terms.
    fn of(&self, service: &Service) -> Result<Option<Certificates>, AgentError> {
        let number = service.wanted()?;
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, wishes)) = kept.as_ref().filter(|(of, _)| *of == number) {
            return Ok(wishes.clone());
        }
        let wishes = if number == 0 { None } else { service.document(number)?.machine.certificates };
        let wishes = wishes.filter(|wishes| wishes.agree);
        *kept = Some((number, wishes.clone()));
        Ok(wishes)
    }

    /// Secrets of the wanted generation's hook for the DNS, each with the place that names it.
    ///
    /// # Errors
    /// The generation or its document cannot be read.
    pub fn secrets(&self, service: &Service) -> Result<Vec<(String, Name)>, AgentError> {
        let hook = self.of(service)?.and_then(|wishes| wishes.dns);
        let contents = hook.into_iter().flat_map(|hook| [("url", hook.url), ("secret", hook.secret)]);
        let named = contents.filter_map(|(key, content)| match content {
            Content::Secret(name) => Some((format!("machine.certificates.dns.{key}"), name)),
            Content::Text(_) => None,
        });
        Ok(named.collect())
    }
}

/// Orders under way, each with the name that it is for.
#[derive(Default)]
struct Orders {
    tasks: JoinSet<Result<(), AgentError>>,
    names: BTreeMap<Id, String>,
}

impl Orders {
    /// Begins an order, or goes on with an open one.
    fn begin(&mut self, service: &Arc<Service>, issuer: &Arc<Issuer>, authority: Authority, act: Act, name: String) {
        let (service, issuer) = (service.clone(), issuer.clone());
        let order = async move { done(&service, &issuer, Some(&authority), &act).await.map(drop) };
        self.names.insert(self.tasks.spawn(order).id(), name);
    }

    /// Waits for the end of one; for ever where there is none.
    async fn end(&mut self) -> Result<(), AgentError> {
        match self.tasks.join_next_with_id().await {
            Some(Ok((id, done))) => {
                self.names.remove(&id);
                done
            }
            Some(Err(error)) => {
                self.names.remove(&error.id());
                Err(AgentError::Worker)
            }
            None => std::future::pending().await,
        }
    }
}

/// Starts the task of certificates; one that ends at once where there is no door. It ends once the sender of `stays` is gone.
pub(crate) fn start(service: Arc<Service>, mut stays: watch::Receiver<()>) -> JoinHandle<()> {
    tokio::spawn(async move {
        let Some(issuer) = service.doors().map(|keeper| keeper.cabinet().issuer().clone()) else { return };
        let (mut said, mut orders) = (String::new(), Orders::default());
        loop {
            let turn = tokio::select! {
                turn = turn(&service, &issuer, &mut orders) => turn,
                () = ended(&mut stays) => break,
            };
            let rest = turn.unwrap_or_else(|error| tell(&error, &mut said));
            let done = tokio::select! {
                () = tokio::time::sleep(rest) => Ok(()),
                () = issuer.changed().notified() => Ok(()),
                done = orders.end() => done,
                () = ended(&mut stays) => break,
            };
            let Err(error) = done else { continue };
            // Its order would fail again at once.
            tokio::select! {
                () = tokio::time::sleep(tell(&error, &mut said)) => {}
                () = ended(&mut stays) => break,
            }
        }
        // Each takes its proof away from the door.
        orders.tasks.shutdown().await;
    })
}

/// Says an error once as long as it lasts. Returns the pause after it.
fn tell(error: &AgentError, said: &mut String) -> Duration {
    let words = error.to_string();
    if words != *said {
        tracing::warn!(%error, "certificates cannot be looked at");
    }
    *said = words;
    LOOK
}

/// Waits until the agent leaves.
async fn ended(stays: &mut watch::Receiver<()>) {
    while stays.changed().await.is_ok() {}
}

/// Wishes, and the authority that they name. Orders for some names are under way.
fn wanted(
    service: &Service,
    issuer: &Issuer,
    busy: BTreeSet<String>,
) -> Result<(Wanted, Option<Authority>), AgentError> {
    let wishes = service.wishes().of(service)?;
    let served = issuer.served();
    let ordered = match (service.doors(), &served, &wishes) {
        (Some(keeper), Some(names), Some(wishes)) => {
            let mut public = keeper.cabinet().public(names, wishes.dns.is_some())?;
            public.retain(|name| !wishes.except.iter().any(|domain| domain.as_str() == name));
            public
        }
        _ => Default::default(),
    };
    let machine = machine(service);
    let directory = wishes.as_ref().map(|wishes| wishes.directory.clone());
    let authority =
        wishes.map(|wishes| Authority { directory: wishes.directory, contact: wishes.contact, root: wishes.root });
    Ok((Wanted { directory, served, ordered, busy, machine }, authority))
}

/// Name of this agent among others: each renews at moments of its own.
pub(crate) fn machine(service: &Service) -> String {
    format!("{} {}", service.settings().name, crate::doors::node())
}

/// One act, or the begin of an order. Returns the time until the next one.
async fn turn(service: &Arc<Service>, issuer: &Arc<Issuer>, orders: &mut Orders) -> Result<Duration, AgentError> {
    let (asked, busy): (_, BTreeSet<String>) = (issuer.clone(), orders.names.values().cloned().collect());
    let (wanted, authority) = blocking(service, move |service| wanted(service, &asked, busy)).await?;
    let act = plan::next(&issuer.book(), &wanted, issuer.now());
    if let Act::Rest(until) = act {
        let left = until.map_or(LOOK, |until| Duration::from_secs(until.saturating_sub(issuer.now())));
        return Ok(left.min(LOOK));
    }
    let name = match &act {
        Act::Order(name) | Act::GoOn(name) => Some(name.clone()),
        _ => None,
    };
    match (name, authority) {
        (Some(name), Some(authority)) => {
            orders.begin(service, issuer, authority, act, name);
            Ok(Duration::ZERO)
        }
        (_, authority) => done(service, issuer, authority.as_ref(), &act).await,
    }
}

/// Does an act, and notes what came of it. Returns the time until the next one.
async fn done(
    service: &Arc<Service>,
    issuer: &Arc<Issuer>,
    authority: Option<&Authority>,
    act: &Act,
) -> Result<Duration, AgentError> {
    let doors = service.agent().machine().doors.get();
    let shown = |name: &str, challenge: &Challenge| {
        let look = doors.map(openmesh_xnode::door::Carrier::look);
        look.is_some_and(|look| {
            let serves = look.report.zip(look.document);
            serves.is_some_and(|(report, document)| shows(&document, report.serial, name, challenge))
        })
    };
    let shows = |name: &str, challenge: &Challenge| tokio::task::block_in_place(|| shown(name, challenge));
    let wake = || service.wake().notify_one();
    let (ways, dns) = blocking(service, |service| Ok((ways(service), into_dns(service)?))).await?;
    let front = Front { wake: &wake, shows: &shows, ways, dns };
    let outcome = act_on(issuer, authority, act, &front).await?;
    let word = match (act, outcome) {
        (Act::Order(name) | Act::GoOn(name), Ok(())) => format!("a certificate for {name} was issued"),
        (Act::Order(name) | Act::GoOn(name), Err(trouble)) => format!("no certificate for {name}: {}", trouble.cause),
        (Act::Forget(name), _) => {
            format!("the certificate for {name} is forgotten: the door does not serve it any more")
        }
        (Act::Tidy(name), Ok(())) => format!("no proof for {name} is left in the DNS"),
        (Act::Tidy(name), Err(trouble)) => format!("a proof for {name} stays in the DNS: {}", trouble.cause),
        // Nothing of it could be written.
        (_, Err(_)) => return Ok(LOOK),
        (_, Ok(())) => return Ok(Duration::ZERO),
    };
    let noted = blocking(service, move |service| {
        if let Some(keeper) = service.doors() {
            keeper.cabinet().look_again();
        }
        service.history().note(EventKind::Agent, service.wanted()?, None, word);
        Ok(())
    });
    noted.await?;
    service.wake().notify_one();
    Ok(Duration::ZERO)
}

/// Returns true where a door's kept document is the served one, and shows exactly this proof.
fn shows(document: &Document, serial: u64, name: &str, challenge: &Challenge) -> bool {
    document.serial == serial && document.challenges.get(name) == Some(challenge)
}

/// Ways of a proof for which the door listens, or would.
fn ways(service: &Service) -> Vec<Way> {
    let Some(carrier) = service.agent().machine().doors.get() else { return Vec::new() };
    let document = carrier.kept();
    let listeners: Vec<Listener> = document.map(|document| document.listeners).unwrap_or_default();
    let at = |port: u16| listeners.iter().any(|listener| listener.address.port() == port);
    let places = carrier.places();
    let free =
        |places: &[std::net::SocketAddr]| places.iter().any(|place| at(place.port()) || carrier.lost(*place).is_none());
    let ways = [(Way::Http, free(&places.http)), (Way::Tls, free(&places.https))];
    ways.into_iter().filter(|(_, free)| *free).map(|(way, _)| way).collect()
}

/// The way into the DNS that the wanted generation names, or words for one that cannot be used; none where it names none.
fn into_dns(service: &Service) -> Result<Option<Result<Dns, String>>, AgentError> {
    let Some(hook) = service.wishes().of(service)?.and_then(|wishes| wishes.dns) else { return Ok(None) };
    let webhook = Webhook { url: hook.url.clone(), secret: hook.secret.clone(), private: hook.private };
    // Without the file it is the machine itself, as for every other program.
    let resolv_conf = std::fs::read_to_string(&service.agent().machine().resolv_conf).unwrap_or_default();
    Ok(Some(receiver(service, &webhook).map(|receiver| Dns::new(&hook, receiver, &resolv_conf))))
}

/// Does an act. The outer error is one of this machine's files, the inner one of an order, which is noted.
async fn act_on(
    issuer: &Issuer,
    authority: Option<&Authority>,
    act: &Act,
    front: &Front<'_>,
) -> Result<Result<(), Trouble>, AgentError> {
    let now = issuer.now();
    let entry = |name: &String, change: &dyn Fn(&mut kept::Entry)| {
        issuer.change(|book| {
            if let Some(entry) = book.names.get_mut(name) {
                change(entry);
            }
        })
    };
    match (act, authority) {
        (Act::Serve { name, serves }, _) => entry(name, &|entry| entry.unserved_since_s = (!serves).then_some(now))?,
        (Act::Forget(name), _) => issuer.change(|book| drop(book.names.remove(name)))?,
        (Act::Drop(name), _) => entry(name, &|entry| entry.open = None)?,
        (Act::Tidy(name), _) => return order::tidy(issuer, name, front).await,
        (Act::Ask(name), Some(authority)) => {
            let wire = Wire::new(authority.root.as_deref());
            return Ok(order::ask(issuer, authority, wire.as_ref().ok(), name).await);
        }
        (Act::GoOn(name) | Act::Order(name), Some(authority)) => return order(issuer, authority, name, front).await,
        (Act::Ask(_) | Act::GoOn(_) | Act::Order(_), None) | (Act::Rest(_), _) => {}
    }
    Ok(Ok(()))
}

/// Orders a certificate, and notes what fails.
async fn order(
    issuer: &Issuer,
    authority: &Authority,
    name: &str,
    front: &Front<'_>,
) -> Result<Result<(), Trouble>, AgentError> {
    let (begun, account) = (issuer.now(), issuer.book().accounts.get(&authority.directory).cloned());
    let wire = Wire::new(authority.root.as_deref());
    let (done, asked_s) = match &wire {
        Ok(wire) => (order::run(issuer, authority, wire, name, front).await, wire.asked_s()),
        Err(words) => (Err(Trouble::own(words.clone())), None),
    };
    if let Err(trouble) = &done {
        let now = issuer.now();
        issuer.change(|book| {
            // One that another order has made anew meanwhile stays.
            let is_same = account.is_none() || book.accounts.get(&authority.directory) == account.as_ref();
            if trouble.loss == Loss::Account && is_same {
                book.accounts.remove(&authority.directory);
            }
            if trouble.is_of_authority {
                plan::paused(book, &authority.directory, asked_s, begun, now);
            }
            let entry = book.names.entry(name.to_string()).or_default();
            if matches!(trouble.loss, Loss::Order | Loss::Account) {
                entry.open = None;
            }
            plan::failed(entry, trouble.cause.clone(), trouble.remedy.clone(), asked_s, now);
        })?;
    }
    Ok(done)
}

/// Reason for which nothing is ordered for a name without a certificate; none where something is.
pub(crate) fn why_not(service: &Service, name: &str) -> Result<Option<String>, AgentError> {
    let wishes = service.wishes().of(service)?;
    let give = format!("`openmesh xnode doors certificate {name}` gives one");
    Ok(match wishes {
        _ if name.starts_with('*') && !is_public(name) => {
            Some(format!("no authority of the world speaks for such a pattern; {give}"))
        }
        _ if !is_public(name) => None,
        None => Some(format!("`machine.certificates` names no authority; {give}")),
        Some(wishes) if wishes.except.iter().any(|domain| domain.as_str() == name) => {
            Some(format!("it is in `machine.certificates.except`; {give}"))
        }
        Some(wishes) if name.starts_with('*') && wishes.dns.is_none() => {
            Some(format!("a pattern is proved in the DNS, for which `machine.certificates.dns` names no hook; {give}"))
        }
        Some(_) => None,
    })
}
