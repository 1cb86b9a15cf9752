//! Newer versions of the template that an application is made of.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{Path, State};
use axum::routing::get;
use axum::{Json, Router};
use openmesh_blueprint::Document;
use openmesh_blueprint::document::{Application, Name, PackageVersion, TemplateUse};
use openmesh_blueprint::template::Template;
use openmesh_primitives::Timestamp;
use openmesh_templates::{Fault, Library, Upgrade, upgrade, upgrades};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::common::{Change, Shared, blocking, name};
use super::templates::{faults_of_others, present, version};
use crate::error::AgentError;
use crate::service::{Asked, Service, Terms, names, with_lines};
use crate::views;

/// Versions of a template that may take the place of an application's present one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Upgrades {
    /// Template that the application is made of, one of another publisher with its catalogue; none where it is made of none.
    pub template: Option<String>,
    /// Its version; none where the document names none, and so each deployment has the newest.
    pub version: Option<String>,
    /// Newer versions that may take its place, from the oldest.
    pub versions: Vec<String>,
}

/// The routes of newer versions.
pub(super) fn routes() -> Router<Arc<Service>> {
    Router::new().route("/v1/xnode/applications/{name}/upgrade", get(show).post(deploy))
}

async fn show(State(service): Shared, Path(text): Path<String>) -> Result<Json<Upgrades>, AgentError> {
    let asked = name(&text)?;
    Ok(Json(blocking(&service, move |service| offers(service, &asked)).await?))
}

/// Versions to which an application can be brought. Of a copy whose index has ended nothing new is made.
fn offers(service: &Service, name: &Name) -> Result<Upgrades, AgentError> {
    let (_, document) = present(service)?;
    let Some(using) = &find(&document, name)?.template else { return Ok(Upgrades::default()) };
    let library = service.publishers().library(&document.machine.catalogues);
    let is_open = check_copy(service, &document, using).is_ok();
    let newer = upgrades(&library, using).into_iter().filter(|_| is_open);
    Ok(Upgrades {
        template: Some(TemplateUse { version: None, ..using.clone() }.words()),
        version: using.version.as_ref().map(ToString::to_string),
        versions: newer.map(|template| template.version.to_string()).collect(),
    })
}

/// An application of a document.
fn find<'a>(document: &'a Document, name: &Name) -> Result<&'a Application, AgentError> {
    document.applications.get(name).ok_or_else(|| {
        let known = names(document.applications.keys());
        AgentError::NoApplication { name: name.to_string(), known }
    })
}

fn check_copy(service: &Service, document: &Document, using: &TemplateUse) -> Result<(), AgentError> {
    match &using.catalogue {
        Some(catalogue) => service.publishers().check_copy(catalogue, &document.machine.catalogues, Timestamp::now()),
        None => Ok(()),
    }
}

/// The template of which an application is made now, of its kept text where its catalogue is another publisher's.
fn template_of(
    service: &Service,
    library: &Library,
    document: &Document,
    using: &TemplateUse,
) -> Result<Template, AgentError> {
    let missing = || AgentError::NoTemplate { name: using.words() };
    let Some(catalogue) = &using.catalogue else {
        return library.find(&using.name, using.version.as_ref()).cloned().ok_or_else(missing);
    };
    let all = service.publishers().templates_of(document, Timestamp::now())?;
    let versions = all.get(&(catalogue.clone(), using.name.clone())).into_iter().flatten();
    let mut own = versions.filter(|template| Some(&template.version) == using.version.as_ref());
    own.next().cloned().ok_or_else(missing)
}

/// A document with an application at another version of its template, and what it takes to deploy it.
struct Ready {
    number: u64,
    document: Document,
    secrets: BTreeMap<Name, u32>,
    reason: String,
    lines: Vec<String>,
}

fn ready(service: &Service, name: &Name, wanted: Option<&PackageVersion>) -> Result<Ready, AgentError> {
    let (number, mut document) = present(service)?;
    let own = find(&document, name)?.clone();
    let Some(using) = &own.template else {
        return Err(refused(format!("{name} is not made of a template")));
    };
    check_copy(service, &document, using)?;
    let library = service.publishers().library(&document.machine.catalogues);
    let to = choose(name, using, &upgrades(&library, using), wanted)?;
    let from = template_of(service, &library, &document, using)?;
    let made = upgrade(&library, (&from, to), name, &own).map_err(|faults| AgentError::Order { faults })?;
    let Upgrade { composition, left_out } = made;
    let mut faults = faults_of_others(service, using.catalogue.as_ref(), &composition)?;
    let brought = composition.applications.keys().filter(|other| *other != name);
    let taken = brought.filter(|other| document.applications.contains_key(*other)).map(|other| Fault {
        option: None,
        message: format!(
            "it brings the application `{other}`, and there is one of that name: name that one as the answer, in the document"
        ),
    });
    faults.extend(taken);
    if !faults.is_empty() {
        return Err(AgentError::Order { faults });
    }
    let goal = TemplateUse { version: Some(to.version.clone()), ..using.clone() }.words();
    let mut lines = vec![format!("{name} goes from the template {} to {goal}", using.words())];
    let left = left_out.iter().map(|option| format!("its answer `{option}` is left out: {goal} does not ask for it"));
    lines.extend(left);
    document.applications.extend(composition.applications);
    // What it does together with the others is looked at as in any other document.
    let document = Document::parse(&document.to_yaml()).map_err(|problems| AgentError::Document { problems })?;
    let reason = format!("{name} is brought to {goal}");
    Ok(Ready { number, document, secrets: composition.secrets, reason, lines })
}

/// The version that is meant: the newest of those that may take the place of the present one, where none is named.
fn choose<'a>(
    name: &Name,
    using: &TemplateUse,
    newer: &[&'a Template],
    wanted: Option<&PackageVersion>,
) -> Result<&'a Template, AgentError> {
    let found = match wanted {
        Some(wanted) => newer.iter().find(|template| template.version == *wanted),
        None => newer.last(),
    };
    found.copied().ok_or_else(|| {
        let words = using.words();
        let known = names(newer.iter().map(|template| &template.version));
        refused(match (&using.version, wanted) {
            (None, _) => format!("{name} is of {words} without a version, and has the newest with each deployment"),
            (Some(_), Some(wanted)) => format!("{wanted} may not take the place of {words}; these may: {known}"),
            (Some(_), None) => format!("{name} is of {words}, and no newer version that may take its place is here"),
        })
    })
}

fn refused(message: String) -> AgentError {
    AgentError::Order { faults: vec![Fault { option: Some("version".to_string()), message }] }
}

async fn deploy(
    State(service): Shared,
    Path(text): Path<String>,
    change: Change,
) -> Result<Json<views::Deployment>, AgentError> {
    let (asked, wanted) = (name(&text)?, version(change.version.as_deref())?);
    let ready = blocking(&service, move |service| ready(service, &asked, wanted.as_ref())).await?;
    let asked = change.asked(&ready.reason);
    let asked = Asked { expected: Some(asked.expected.unwrap_or(ready.number)), ..asked };
    let terms = Terms { refresh: change.refresh, makes: ready.secrets, ..Terms::default() };
    let taken = service.deploy_on(&ready.document, &terms, &asked, !change.plan).await?;
    Ok(Json(views::Deployment { plan: with_lines(&taken.plan, &ready.lines), ..taken }))
}

#[cfg(test)]
mod tests {
    use openmesh_templates::built_in;

    use super::*;

    #[test]
    fn the_newest_is_meant_where_none_is_named() {
        let (till, redis): (Name, Name) = ("till".parse().unwrap(), "redis".parse().unwrap());
        let using = |version: Option<&str>| TemplateUse {
            name: redis.clone(),
            catalogue: None,
            version: version.map(|version| version.parse().unwrap()),
            answers: BTreeMap::new(),
        };
        let one = using(Some("1"));
        let newer = upgrades(built_in(), &one);
        let chosen = |wanted: Option<&str>, newer: &[&'static Template], using: &TemplateUse| {
            let wanted = wanted.map(|wanted| wanted.parse::<PackageVersion>().unwrap());
            let chosen = choose(&till, using, newer, wanted.as_ref());
            chosen.map(|template| template.version.to_string()).map_err(|error| error.to_string())
        };
        let newest = newer.last().unwrap().version.to_string();
        assert_eq!(chosen(None, &newer, &one), Ok(newest.clone()));
        assert_eq!(chosen(Some(newest.as_str()), &newer, &one), Ok(newest.clone()));
        let wrong = chosen(Some("1"), &newer, &one).unwrap_err();
        assert!(wrong.starts_with("version: 1 may not take the place of redis 1; these may: "), "{wrong}");
        let last = chosen(None, &[], &using(Some(newest.as_str()))).unwrap_err();
        assert!(last.contains("no newer version"), "{last}");
        assert!(chosen(None, &[], &using(None)).unwrap_err().contains("without a version"));
    }
}
