//! A machine that is emptied: nothing new is deployed, and every application has stopped, until that is undone.
//!
//! # What it owns
//! The mark `drained.json` in the agent's folder. As long as it is there, deployments and roll-backs of people are refused; it outlives the agent and the machine's run.
//!
//! # Why so
//! Applications stop and start by generations like any other change: in their order, with a plan, in the history, and after a crash on the way.

mod mark;

use std::collections::BTreeSet;

use openmesh_blueprint::Document;
use openmesh_blueprint::document::{Name, Wish};
use openmesh_primitives::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

pub use mark::{Drained, find, refuse};
use mark::{mark, unmark};

use crate::error::AgentError;
use crate::service::{Asked, Service, Terms};
use crate::views;

/// State of a machine that is emptied, or was until now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct DrainView {
    /// The mark; none where the machine takes deployments.
    pub drained: Option<Drained>,
    /// The change by which applications stop or start; none where nothing was to be changed.
    pub deployment: Option<views::Deployment>,
}

/// Applications of a document that run.
pub fn running(document: &Document) -> BTreeSet<String> {
    let running = document.applications.iter().filter(|(_, application)| application.wish == Wish::Running);
    running.map(|(name, _)| name.to_string()).collect()
}

/// The document with another wish for some of its applications; none where that changes nothing.
pub fn wished(document: &Document, wish: Wish, meant: impl Fn(&Name) -> bool) -> Option<Document> {
    let mut wished = document.clone();
    for (_, application) in wished.applications.iter_mut().filter(|(name, _)| meant(name)) {
        application.wish = wish;
    }
    (wished != *document).then_some(wished)
}

impl Service {
    /// Empties the machine: from here on deployments are refused, and every application stops. Unless it `does`, the plan alone is made.
    ///
    /// # Errors
    /// As [`Service::deploy`]; then the mark is there, and asking again goes on.
    pub async fn drain(&self, asked: &Asked, does: bool) -> Result<DrainView, AgentError> {
        let (drained, stopped) = {
            let _change = self.hold().await;
            let document = self.present()?;
            let applications = document.as_ref().map(running).unwrap_or_default();
            let stopped = document
                .and_then(|document| wished(&document, Wish::Stopped, |name| applications.contains(name.as_str())));
            let Asked { by, reason, .. } = asked.clone();
            let drained = match does {
                true => Some(mark(self.settings(), Drained { by, reason, at: Timestamp::now(), applications })?),
                false => find(self.settings())?,
            };
            (drained, stopped)
        };
        let deployment = self.wish_for(stopped, asked, does).await?;
        Ok(DrainView { drained, deployment })
    }

    /// Lets the machine take deployments again, and starts what ran before. Unless it `does`, the plan alone is made.
    ///
    /// # Errors
    /// As [`Service::deploy`]; then the mark is still there, and asking again goes on.
    pub async fn end_drain(&self, asked: &Asked, does: bool) -> Result<DrainView, AgentError> {
        let Some(drained) = find(self.settings())? else {
            return Ok(DrainView { drained: None, deployment: None });
        };
        let meant = |name: &Name| drained.applications.contains(name.as_str());
        let again = self.present()?.and_then(|document| wished(&document, Wish::Running, meant));
        let deployment = self.wish_for(again, asked, does).await?;
        if !does {
            return Ok(DrainView { drained: Some(drained), deployment });
        }
        let _change = self.hold().await;
        unmark(self.settings())?;
        Ok(DrainView { drained: None, deployment })
    }

    /// Deploys a document although the machine is emptied.
    async fn wish_for(
        &self,
        document: Option<Document>,
        asked: &Asked,
        does: bool,
    ) -> Result<Option<views::Deployment>, AgentError> {
        let Some(document) = document else { return Ok(None) };
        let terms = Terms { although_drained: true, ..Terms::default() };
        self.deploy_on(&document, &terms, asked, does).await.map(Some)
    }

    /// The document of the wanted generation; none before the first.
    fn present(&self) -> Result<Option<Document>, AgentError> {
        match self.wanted()? {
            0 => Ok(None),
            wanted => self.document(wanted).map(Some),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str =
        "version: 1\napplications: {web: {image: \"shop:1\"}, old: {image: \"shop:1\", wish: stopped}}\n";

    #[test]
    fn what_was_stopped_before_stays_so_when_it_is_undone() {
        let before = Document::parse(TEXT).unwrap();
        let ran = running(&before);
        assert_eq!(ran, BTreeSet::from(["web".to_string()]));
        let stopped = wished(&before, Wish::Stopped, |name| ran.contains(name.as_str())).unwrap();
        assert!(running(&stopped).is_empty());
        let again = running(&stopped);
        assert_eq!(
            wished(&stopped, Wish::Stopped, |name| again.contains(name.as_str())),
            None,
            "nothing is deployed twice"
        );
        assert_eq!(wished(&stopped, Wish::Running, |name| ran.contains(name.as_str())), Some(before));
    }
}
