//! Alerts: what somebody should know of a machine, kept until it is over, and told to webhooks.
//!
//! # Shape
//! [`rules`] says from what the agent knows what is not as it should be; the book of `openmesh_alerts` opens an alert for what lasts, closes it when it has been gone
//! for a while, and queues a message of each for every webhook; that room signs messages and brings them to their receivers too. Rules and book are pure. One task
//! looks, writes the book, and sends.
//!
//! # Limits
//! Open alerts, closed ones, messages and those that were given up have bounds (`openmesh_alerts::book`); what a bound drops is named in the list of alerts.
//!
//! # On failure
//! The book is one file that is replaced as a whole, so an alert and its messages are there together or not at all. A message may come twice (the agent dies after
//! it was taken and before that is written): its `webhook-id` is the same then. A book that cannot be read is set aside under another name, and a new one
//! begins. An agent that is not there tells nothing: that it is, others have to watch.

mod facts;
pub(crate) mod receivers;
mod rules;
mod state;
pub mod views;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use futures::future::join_all;
use openmesh_alerts::{Receiver, body};
use openmesh_blueprint::document::{Content, Name};
use openmesh_primitives::Timestamp;
use openmesh_xnode::marks;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;

pub use state::Alerts;

use crate::alerts::receivers::receiver;
use crate::alerts::state::{Message, Wished};
use crate::alerts::views::{Alert, AlertEvent, WebhookState, WebhookTest};
use crate::api::blocking;
use crate::error::AgentError;
use crate::outcomes;
use crate::service::Service;

/// Time between two looks: half of the shortest time for which something has to last.
const LOOK: Duration = Duration::from_secs(15);
/// Messages that are sent at once: a receiver that does not answer holds up few others.
const SENDS_MAX: usize = 16;
impl Alerts {
    /// Secrets of the wanted generation's webhooks, each with the place that names it.
    ///
    /// # Errors
    /// The generation or its document cannot be read.
    pub fn secrets(&self, service: &Service) -> Result<Vec<(String, Name)>, AgentError> {
        let wished = self.wished(service)?;
        let mut all = Vec::new();
        for (name, webhook) in &wished.webhooks {
            for (key, content) in [("url", &webhook.url), ("secret", &webhook.secret)] {
                if let Content::Secret(secret) = content {
                    all.push((format!("machine.alerts.webhooks.{name}.{key}"), secret.clone()));
                }
            }
        }
        Ok(all)
    }

    fn wished(&self, service: &Service) -> Result<Arc<Wished>, AgentError> {
        let number = service.wanted()?;
        let mut kept = self.wished.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(wished) = kept.as_ref().filter(|wished| wished.number == number) {
            return Ok(wished.clone());
        }
        let wished = Arc::new(if number == 0 { Wished::default() } else { read(service, number)? });
        *kept = Some(wished.clone());
        Ok(wished)
    }
}

fn read(service: &Service, number: u64) -> Result<Wished, AgentError> {
    let generation = marks::generation(&service.agent().machine().paths, number)?;
    let outcome = outcomes::find(&service.settings().state, generation.parent);
    let returned = outcome.filter(|outcome| outcome.is_followed_by(generation.parent, &generation));
    Ok(Wished {
        number,
        node: generation.placement.node.to_string(),
        webhooks: service.document(number)?.machine.alerts.webhooks,
        returned: returned.map(|outcome| (generation.parent, outcome.cause)),
    })
}

/// Starts the task of alerts. It ends once the sender of `stays` is gone; a message that is under way then is sent again by the next start.
pub(crate) fn start(service: Arc<Service>, mut stays: watch::Receiver<()>) -> JoinHandle<()> {
    tokio::spawn(async move {
        let mut looks = tokio::time::interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut told = false;
        loop {
            tokio::select! {
                _ = looks.tick() => {}
                left = stays.changed() => if left.is_err() { return },
            }
            let turn = async {
                let looked = blocking(&service, look).await;
                // What cannot be written (on a full disk) is sent all the same.
                deliver(&service).await.and(looked)
            };
            let done = tokio::select! {
                done = turn => done,
                () = ended(&mut stays) => return,
            };
            if let Err(error) = &done
                && !told
            {
                tracing::warn!(%error, "alerts cannot be looked at");
            }
            told = done.is_err();
        }
    })
}

/// Waits until the agent leaves.
async fn ended(stays: &mut watch::Receiver<()>) {
    while stays.changed().await.is_ok() {}
}

/// One look.
fn look(service: &Service) -> Result<(), AgentError> {
    let alerts = service.alerts();
    let wished = alerts.wished(service)?;
    let facts = facts::of(service, &wished);
    let findings = rules::findings(&facts);
    let webhooks: BTreeSet<String> = wished.webhooks.keys().map(ToString::to_string).collect();
    alerts.change(|book, watch, now| {
        watch.is_blind = !facts.unread.is_empty();
        ((), book.step(watch, &findings, &webhooks, now))
    })
}

/// Sends what is due.
async fn deliver(service: &Arc<Service>) -> Result<(), AgentError> {
    let prepared = blocking(service, |service| {
        let (wished, due) = (service.alerts().wished(service)?, service.alerts().due(SENDS_MAX));
        let mut receivers = BTreeMap::new();
        for message in &due {
            if let Some((name, webhook)) =
                wished.webhooks.iter().find(|(name, _)| name.as_str() == message.webhook.as_str())
            {
                receivers.entry(name.to_string()).or_insert_with(|| receiver(service, webhook));
            }
        }
        Ok((wished.node.clone(), receivers, due))
    });
    let (node, receivers, due) = prepared.await?;
    if due.is_empty() {
        return Ok(());
    }
    let agent = service.settings().name.to_string();
    let sends = due.into_iter().map(|message| {
        let receiver = receivers.get(&message.webhook).cloned();
        let body = body(message.event, message.at, &data(&agent, &node, Some(&Alert::from(&message.alert))));
        let id = format!("{agent}-{node}-{}-{}", message.at.nanos(), message.id);
        async move {
            let sent = match receiver {
                Some(Ok(receiver)) => receiver.post(&id, body).await,
                Some(Err(cause)) => Err(cause),
                None => Err("the webhook is not in the document any more".into()),
            };
            (message.id, sent)
        }
    });
    let done = join_all(sends).await;
    blocking(service, move |service| {
        service.alerts().change(|book, _, now| {
            for (id, sent) in done {
                book.settle(id, sent, now);
            }
            ((), true)
        })
    })
    .await
}

/// Words of a message: the one who sends it, and the alert.
fn data(agent: &str, node: &str, alert: Option<&Alert>) -> Value {
    json!({ "agent": agent, "node": node, "alert": alert })
}

/// Alerts and webhooks as they are now.
///
/// # Errors
/// The wanted generation or its document cannot be read.
pub(crate) fn list(service: &Service) -> Result<views::Alerts, AgentError> {
    let alerts = service.alerts();
    let wished = alerts.wished(service)?;
    let checked: Vec<(String, Result<Receiver, String>)> =
        wished.webhooks.iter().map(|(name, webhook)| (name.to_string(), receiver(service, webhook))).collect();
    let kept = alerts.kept.lock().unwrap_or_else(PoisonError::into_inner);
    let (book, watch) = &*kept;
    let states = checked.into_iter().map(|(name, receiver)| {
        let waiting: Vec<&Message> = book.waiting.iter().filter(|message| message.webhook == name).collect();
        WebhookState {
            waiting: waiting.len() as u64,
            last_failure: waiting.iter().rev().find_map(|message| message.cause.clone()),
            host: receiver.as_ref().ok().map(Receiver::host),
            cause: receiver.err(),
            name,
        }
    });
    let mut open: Vec<Alert> = book.open.iter().map(Alert::from).collect();
    open.sort_by_key(|alert| (std::cmp::Reverse(alert.severity), std::cmp::Reverse(alert.id)));
    Ok(views::Alerts {
        open,
        closed: book.closed.iter().rev().map(Alert::from).collect(),
        webhooks: states.collect(),
        dropped: book.dropped.iter().rev().cloned().collect(),
        dropped_count: book.dropped_count,
        suppressed: watch.suppressed,
    })
}

/// Notes that somebody knows of an alert. None where no such alert is open.
///
/// # Errors
/// It cannot be written.
pub(crate) fn acknowledge(service: &Service, id: u64, by: &str) -> Result<Option<Alert>, AgentError> {
    service.alerts().change(|book, _, now| {
        let alert = book.acknowledge(id, by, now.wall).as_ref().map(Alert::from);
        let is_new = alert.is_some();
        (alert, is_new)
    })
}

/// Sends a message to a webhook, once and at once. None where the document has no such webhook.
///
/// # Errors
/// The wanted generation or its document cannot be read.
pub(crate) async fn test(service: &Arc<Service>, name: &Name) -> Result<Option<WebhookTest>, AgentError> {
    let asked = name.clone();
    let found = blocking(service, move |service| {
        let wished = service.alerts().wished(service)?;
        let receiver = wished.webhooks.get(&asked).map(|webhook| receiver(service, webhook));
        Ok(receiver.map(|receiver| (wished.node.clone(), receiver)))
    });
    let Some((node, receiver)) = found.await? else { return Ok(None) };
    let (agent, now) = (service.settings().name.to_string(), Timestamp::now());
    let sent = match receiver {
        Ok(receiver) => {
            let body = body(AlertEvent::Test, now, &data(&agent, &node, None));
            receiver.post(&format!("{agent}-{node}-test-{}", now.nanos()), body).await
        }
        Err(cause) => Err(cause),
    };
    Ok(Some(WebhookTest { webhook: name.to_string(), taken: sent.is_ok(), cause: sent.err() }))
}
