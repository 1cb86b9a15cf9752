//! Compose files as documents: a text in, a document and findings out. Nothing is deployed, and nothing of the machine is read.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use axum::body::Bytes;
use axum::http::{HeaderMap, header};
use axum::routing::post;
use axum::{Json, Router};
use openmesh_blueprint::compose::{Context, Finding, import};
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;
use utoipa::ToSchema;

use crate::error::AgentError;
use crate::service::Service;

/// Imports at one time: each takes a processor for its time, and a hostile one some hundred megabytes.
const IMPORTS_MAX: usize = 2;
/// Turns of imports; further ones wait.
static TURNS: Semaphore = Semaphore::const_new(IMPORTS_MAX);

/// A compose file with what it takes from outside of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ImportBody {
    /// Text of the compose file.
    pub text: String,
    /// Values of its variables.
    pub variables: BTreeMap<String, String>,
    /// Texts of the files beside it that it names, by their path without a leading `./`.
    pub files: BTreeMap<String, String>,
    /// Profiles that are asked for.
    pub profiles: BTreeSet<String>,
    /// Images by the service that would be built from a folder.
    pub images: BTreeMap<String, String>,
    /// Unsupported parts that can be done without, by their key or their path.
    pub without: BTreeSet<String>,
}

/// A document that was made of a compose file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Imported {
    /// The document in YAML.
    pub document: String,
    /// Returns true where nothing unsupported is left: the document does what the compose file says.
    pub is_complete: bool,
    /// Names of the secrets that it needs.
    pub secrets: Vec<String>,
    /// Parts that are not done as Docker does them, in the order of the file.
    pub findings: Vec<ImportFinding>,
}

/// A part of a compose file that is not done as Docker does it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ImportFinding {
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
    /// Path, as `services.web.build`.
    pub path: String,
    /// Key, as `build`.
    pub key: String,
    /// `ignored` (nothing changes), `changed` (something near is done), `unsupported` (it would behave otherwise).
    pub kind: String,
    /// The reason, or what is there instead.
    pub why: String,
    /// True where it is unsupported and nobody said that it can be done without.
    pub is_left: bool,
}

/// The routes of imports.
pub(super) fn routes() -> Router<Arc<Service>> {
    Router::new().route("/v1/xnode/import", post(read))
}

/// Takes a compose file as it is, or with what belongs to it as JSON.
async fn read(headers: HeaderMap, bytes: Bytes) -> Result<Json<Imported>, AgentError> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let is_json = kind.starts_with("application/json");
    let turn = TURNS.acquire().await.map_err(|_| AgentError::Worker)?;
    let work = move || {
        // Given back by the work, which goes on where nobody waits for it any more.
        let _turn = turn;
        imported(&body(&bytes, is_json)?)
    };
    tokio::task::spawn_blocking(work).await.map_err(|_| AgentError::Worker)?.map(Json)
}

fn body(bytes: &[u8], is_json: bool) -> Result<ImportBody, AgentError> {
    if is_json {
        return serde_json::from_slice(bytes)
            .map_err(|error| AgentError::Name(format!("the body is no compose file with its parts: {error}")));
    }
    let text = std::str::from_utf8(bytes).map_err(|_| AgentError::Name("the compose file is no UTF-8".into()))?;
    Ok(ImportBody { text: text.to_string(), ..ImportBody::default() })
}

/// The document of a compose file. Takes its time from the length of the text, so a thread for such work should do it.
///
/// # Errors
/// The text is no compose file, or makes no document; all problems are told.
pub fn imported(body: &ImportBody) -> Result<Imported, AgentError> {
    let context = Context {
        variables: body.variables.clone(),
        files: body.files.clone(),
        profiles: body.profiles.clone(),
        images: body.images.clone(),
    };
    let import = import(&body.text, &context).map_err(|problems| AgentError::Document { problems })?;
    let left: BTreeSet<&Finding> = import.accept(&body.without).err().unwrap_or_default().into_iter().collect();
    let view = |finding: &Finding| ImportFinding {
        line: finding.place.line,
        column: finding.place.column,
        path: finding.path.clone(),
        key: finding.key.clone(),
        kind: finding.kind.word().into(),
        why: finding.why.clone(),
        is_left: left.contains(finding),
    };
    let applications = import.document().applications.values();
    let secrets: BTreeSet<String> =
        applications.flat_map(|application| application.secrets()).map(ToString::to_string).collect();
    Ok(Imported {
        document: import.document().to_yaml(),
        is_complete: left.is_empty(),
        secrets: secrets.into_iter().collect(),
        findings: import.findings().iter().map(view).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "services:\n  web:\n    image: web:1\n    privileged: true\n    environment: [DB_PASSWORD]\n";

    #[test]
    fn a_text_gives_a_document_and_findings() {
        let plain = body(FILE.as_bytes(), false).unwrap();
        let imported = imported(&plain).unwrap();
        assert!(!imported.is_complete && imported.document.contains("docker.io/library/web:1"));
        assert_eq!(imported.secrets, ["db-password"]);
        let left: Vec<&ImportFinding> = imported.findings.iter().filter(|finding| finding.is_left).collect();
        assert_eq!((left.len(), left[0].line, left[0].path.as_str()), (1, 4, "services.web.privileged"));
        let without = BTreeSet::from(["privileged".to_string()]);
        assert!(super::imported(&ImportBody { without, ..plain }).unwrap().is_complete);
    }

    #[test]
    fn json_carries_what_belongs_to_it() {
        let json = serde_json::json!({ "text": FILE, "profiles": ["x"], "images": { "web": "ghcr.io/me/web:2" } });
        let body = body(json.to_string().as_bytes(), true).unwrap();
        assert!(imported(&body).unwrap().document.contains("ghcr.io/me/web:2"));
        for wrong in ["{\"texts\": \"x\"}", "[1]", "1", "{"] {
            assert!(matches!(super::body(wrong.as_bytes(), true), Err(AgentError::Name(_))), "{wrong}");
        }
        assert!(super::body(b"\xff", false).is_err());
    }

    #[test]
    fn problems_are_told_with_their_lines() {
        let error = imported(&ImportBody { text: "services:\n  a: {}\n".into(), ..ImportBody::default() }).unwrap_err();
        assert_eq!(error.code(), ("document", 422));
        assert!(error.to_string().starts_with("2:6: services.a: has no image"), "{error}");
    }
}
