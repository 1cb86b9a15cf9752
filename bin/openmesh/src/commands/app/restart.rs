//! `openmesh app restart`: instances started anew, and followed until they run.

use std::pin::pin;

use futures::StreamExt as _;
use openmesh_agent::Client;
use openmesh_agent::views::{Event, EventKind, Restarting};
use reqwest::Method;

use super::super::agent::{ask, client, event_line, failure, one_line, print};
use super::change::{asker, with_query};
use crate::cli::beside::RestartArgs;
use crate::failure::Failure;

/// Asks for a restart, and follows it to its end.
pub async fn run(asked: &RestartArgs) -> Result<(), Failure> {
    let client = client(&asked.agent)?;
    let mut query = vec![("by", asker())];
    query.extend(asked.reason.clone().map(|reason| ("reason", reason)));
    query.extend(asked.instance.clone().map(|instance| ("instance", instance)));
    let request = client.request(Method::POST, &format!("/applications/{}/restart", asked.name));
    let taken: Restarting = ask(&client, with_query(request, &query)?).await?;
    if asked.output.json {
        print(&one_line(&taken)?)?;
    }
    if asked.no_wait { Ok(()) } else { follow(&client, &taken, asked.output.json).await }
}

/// Prints what is done until every instance runs anew.
async fn follow(client: &Client, taken: &Restarting, json: bool) -> Result<(), Failure> {
    let path = format!("/events?follow=true&from={}", taken.events);
    let mut events = pin!(client.lines::<Event>(client.request(Method::GET, &path)).await.map_err(failure)?);
    while let Some(event) = events.next().await {
        let event = event.map_err(failure)?;
        // What becomes of other applications is none of this restart.
        if event.application.as_ref().is_some_and(|name| *name != taken.application) {
            continue;
        }
        print(&if json { one_line(&event)? } else { event_line(&event) })?;
        let is_about = event.application.is_some();
        match event.kind {
            EventKind::Restarted if is_about => return Ok(()),
            EventKind::Held if is_about => {
                let hint = format!(
                    "it goes on by itself when that is over; openmesh app why {0} tells more, openmesh app logs {0} its last words",
                    taken.application
                );
                return Err(Failure::new(event.text).hint(hint));
            }
            _ => {}
        }
    }
    Err(Failure::new("the agent left before it was done").hint("started again it goes on: openmesh xnode events"))
}
