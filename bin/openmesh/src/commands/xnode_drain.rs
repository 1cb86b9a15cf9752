//! `openmesh xnode drain`: a machine is emptied, and takes applications again.

use openmesh_agent::Client;
use openmesh_agent::views::DrainView;
use reqwest::Method;

use super::agent::{ask, client, one_line, print};
use super::app::change::{Followed, follow, with_query};
use crate::cli::machine::DrainArgs;
use crate::failure::Failure;

/// Empties the machine, or ends that.
pub async fn run(arguments: DrainArgs) -> Result<(), Failure> {
    let client = client(&arguments.agent)?;
    let by = std::env::var("SUDO_USER").or_else(|_| std::env::var("USER")).unwrap_or_else(|_| "root".into());
    let mut query = vec![("by", by)];
    query.extend(arguments.reason.clone().map(|reason| ("reason", reason)));
    let method = if arguments.off { Method::DELETE } else { Method::PUT };
    let request = with_query(client.request(method, "/drain"), &query)?;
    let view: DrainView = ask(&client, request).await?;
    let json = arguments.output.json;
    print(&if json { one_line(&view)? } else { told(&view) })?;
    match arguments.no_wait {
        true => Ok(()),
        false => wait(&client, &view, json).await,
    }
}

async fn wait(client: &Client, view: &DrainView, json: bool) -> Result<(), Failure> {
    let Some(deployment) = &view.deployment else { return Ok(()) };
    let followed = Followed {
        generation: deployment.generation,
        events: deployment.events,
        applications: Some(&deployment.applications),
        committed: false,
        json,
    };
    follow(client, &followed).await
}

/// The state, for a person.
fn told(view: &DrainView) -> String {
    let changes = view.deployment.as_ref().map(|deployment| deployment.applications.join(", "));
    match (&view.drained, changes) {
        (Some(_), Some(names)) => format!("nothing new is deployed from here on; these stop: {names}\n"),
        (Some(_), None) => "nothing new is deployed from here on; no application runs\n".into(),
        (None, Some(names)) => format!("deployments are taken again; these start: {names}\n"),
        (None, None) => "deployments are taken; nothing was stopped\n".into(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use openmesh_agent::views::{Deployment, Drained};
    use openmesh_primitives::Timestamp;

    use super::*;

    #[test]
    fn a_person_reads_what_stops_and_what_starts() {
        let drained =
            Drained { by: "me".into(), reason: "disk".into(), at: Timestamp(0), applications: BTreeSet::new() };
        let deployment = Deployment {
            generation: 2,
            after: 1,
            applications: vec!["shop".into(), "web".into()],
            plan: String::new(),
            steps: 2,
            destroys: Vec::new(),
            loses_data: false,
            events: 0,
            cost: None,
        };
        let view = |drained: Option<&Drained>, deployment: Option<&Deployment>| DrainView {
            drained: drained.cloned(),
            deployment: deployment.cloned(),
        };
        assert!(told(&view(Some(&drained), Some(&deployment))).contains("these stop: shop, web"));
        assert!(told(&view(Some(&drained), None)).contains("no application runs"));
        assert!(told(&view(None, Some(&deployment))).contains("these start: shop, web"));
        assert!(told(&view(None, None)).contains("deployments are taken"));
    }
}
