//! A change of the machine: shown, done and followed.

use std::io::Write as _;
use std::pin::pin;
use std::time::Duration;

use futures::StreamExt as _;
use openmesh_agent::Client;
use openmesh_agent::views::{Deployment, Event, EventKind, Node};
use reqwest::{Method, RequestBuilder};

use super::super::agent::{ask, client, event_line, failure, get, one_line, print};
use crate::cli::ChangeArgs;
use crate::failure::Failure;

/// Time after which a person is told why nothing is said, in seconds: long enough for everything that is there already.
const SILENCE_SECONDS_MAX: u64 = 3;

/// Waits for the answer to a plan. The agent looks up the images of a document first and makes those of recipes, and says nothing meanwhile.
pub async fn patiently<T>(answer: impl Future<Output = T>) -> T {
    let mut answer = pin!(answer);
    if let Ok(answer) = tokio::time::timeout(Duration::from_secs(SILENCE_SECONDS_MAX), &mut answer).await {
        return answer;
    }
    // Whoever closed it wants to read nothing.
    let _ = writeln!(
        std::io::stderr(),
        "images are looked up, and those of recipes made out of packages: the first time this may take minutes"
    );
    answer.await
}

/// A request with more in its query.
pub fn with_query(request: RequestBuilder, query: &[(&str, String)]) -> Result<RequestBuilder, Failure> {
    let (client, request) = request.build_split();
    let mut request = request.map_err(|error| Failure::from_display("the request", &error))?;
    request.url_mut().query_pairs_mut().extend_pairs(query);
    Ok(RequestBuilder::from_parts(client, request))
}

/// Whoever uses the command line, as the history names them.
pub fn asker() -> String {
    std::env::var("SUDO_USER").or_else(|_| std::env::var("USER")).unwrap_or_else(|_| "root".into())
}

/// Shows the plan, does it, and follows it to its end.
pub async fn change(change: &ChangeArgs, request: impl Fn(&Client) -> RequestBuilder) -> Result<(), Failure> {
    let client = client(&change.agent)?;
    let mut query = vec![("by", asker())];
    query.extend(change.reason.clone().map(|reason| ("reason", reason)));
    query.extend(change.expect.map(|expected| ("expected", expected.to_string())));
    let plan = with_query(request(&client), &[query.as_slice(), &[("plan", "true".into())]].concat())?;
    let plan: Deployment = patiently(ask(&client, plan)).await?;
    if !change.output.json {
        print(&format!("{}\n", plan.plan.trim_end()))?;
    }
    if !plan.destroys.is_empty() && !change.yes {
        let lost = plan.destroys.join("\n  ");
        return Err(Failure::new(format!("nothing was changed, since this would be lost:\n  {lost}"))
            .hint("say --yes to do it"));
    }
    // The deed is the one that was shown: somebody else's change in between is told, and nothing is done.
    query.retain(|(key, _)| *key != "expected");
    query.push(("expected", plan.after.to_string()));
    let taken: Deployment = ask(&client, with_query(request(&client), &query)?).await?;
    if change.output.json {
        print(&one_line(&taken)?)?;
    }
    if change.no_wait {
        return Ok(());
    }
    let taken = Followed {
        generation: taken.generation,
        events: taken.events,
        applications: Some(&taken.applications),
        committed: change.committed,
        json: change.output.json,
    };
    follow(&client, &taken).await
}

/// A generation that is followed.
pub struct Followed<'a> {
    /// Its number.
    pub generation: u64,
    /// Sequence of the history from which its events come.
    pub events: u64,
    /// Applications that it changes; all where that is not known.
    pub applications: Option<&'a [String]>,
    /// It is followed until it is committed, and not only until it serves.
    pub committed: bool,
    /// Events are printed as JSON.
    pub json: bool,
}

/// The version that serves at this moment, in words.
async fn serves(client: &Client) -> String {
    match get::<Node>(client, "").await {
        Ok(Node { current: 0, .. }) => "no generation serves yet".into(),
        Ok(node) => format!("generation {} serves", node.current),
        Err(_) => "openmesh app history lists what serves".into(),
    }
}

/// Prints what is done until everything serves, or is committed where that is asked for.
pub async fn follow(client: &Client, taken: &Followed<'_>) -> Result<(), Failure> {
    let path = format!("/events?follow=true&from={}", taken.events);
    let mut events = pin!(client.lines::<Event>(client.request(Method::GET, &path)).await.map_err(failure)?);
    while let Some(event) = events.next().await {
        let event = event.map_err(failure)?;
        print(&if taken.json { one_line(&event)? } else { event_line(&event) })?;
        let is_ours = event.generation == taken.generation;
        // Trouble of an application that was not changed is none of this change.
        let changes = |name: &String| taken.applications.is_none_or(|all| all.contains(name));
        let is_about = event.application.as_ref().is_none_or(changes);
        match event.kind {
            EventKind::Rest if is_ours => return Ok(()),
            EventKind::Serves if is_ours && !taken.committed => {
                if !taken.json {
                    print("what comes of it is told by: openmesh xnode events --follow\n")?;
                }
                return Ok(());
            }
            EventKind::Returned if is_ours => {
                let serves = serves(client).await;
                return Err(Failure::new(event.text).hint(format!(
                    "{serves}; openmesh app why NAME tells it again, openmesh app logs NAME has all words"
                )));
            }
            EventKind::Held if is_ours && is_about => {
                let serves = serves(client).await;
                return Err(Failure::new(format!("generation {} is held: {}", taken.generation, event.text)).hint(
                    format!("{serves}; openmesh app why NAME tells more, openmesh app rollback GENERATION goes back"),
                ));
            }
            EventKind::Wanted if event.generation > taken.generation => {
                return Err(Failure::new(format!(
                    "generation {} took the place of {}",
                    event.generation, taken.generation
                )));
            }
            _ => {}
        }
    }
    Err(Failure::new("the agent left before it was done").hint("started again it goes on: openmesh xnode events"))
}
