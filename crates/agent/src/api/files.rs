//! Files of applications: volumes are read and changed, roots are read.
//!
//! A path is a query (`?path=data/notes.txt`), with `\xNN` for what is no plain text in it. A file has a tag (`ETag`); whoever replaces or removes one names it with
//! `If-Match`. What is read is given out as bytes that no browser runs: as an attachment, of no type, in a sandbox.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Json, Router};
use openmesh_access::Principal;
use openmesh_blueprint::document::Name;
use openmesh_image::files::{Act, Answer, Entry, Expect, Fault, Kind, Range};
use openmesh_primitives::Timestamp;
use openmesh_xnode::files::Files;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::common::{Shared, blocking, name};
use crate::files::{self, Begun, FilesError};
use crate::moves::Writing;
use crate::service::{Service, names};
use crate::views::{EventKind, Failure};

/// Places with an application's files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FilePlaces {
    /// Volumes, by name.
    pub volumes: Vec<FileVolume>,
    /// Instance whose root is read; none where no instance is there.
    pub root: Option<String>,
    /// Nothing can be changed now: another generation is on its way.
    pub is_switching: bool,
}

/// A volume with files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FileVolume {
    /// Name.
    pub name: String,
    /// Line in use.
    pub line: u32,
    /// Reason for which it cannot be looked at; none where it can.
    pub cause: Option<String>,
    /// Bytes that it has; none where that is not known.
    pub bytes: Option<u64>,
    /// Bytes of them that are free.
    pub bytes_free: Option<u64>,
}

/// A folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FileFolder {
    /// First entries, sorted by name.
    pub entries: Vec<FileEntry>,
    /// There are more than fit into an answer.
    pub more: bool,
}

/// Kind of an entry: see [`FileEntry`].
pub type FileKind = Kind;

/// An entry of a folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FileEntry {
    /// Name; what is no plain text in it as `\xNN`.
    pub name: String,
    /// `file`, `folder`, `link` or `other`.
    #[schema(value_type = String, pattern = "^(file|folder|link|other)$")]
    pub kind: FileKind,
    /// Bytes of a file; 0 of everything else.
    pub bytes: u64,
    /// Permission bits.
    pub mode: u32,
    /// Owner as inside; none where it is none of the application's.
    pub user: Option<u32>,
    /// Group as inside; none where it is none of the application's.
    pub group: Option<u32>,
    /// Last change of the content.
    #[schema(value_type = String, format = "seconds")]
    pub modified: Timestamp,
    /// Target of a link, which is not followed.
    pub target: Option<String>,
    /// Tag of a file, for `If-Match`.
    pub tag: Option<String>,
}

impl From<Entry> for FileEntry {
    fn from(entry: Entry) -> FileEntry {
        FileEntry {
            name: entry.name,
            kind: entry.kind,
            bytes: entry.bytes,
            mode: entry.mode,
            user: entry.user,
            group: entry.group,
            modified: Timestamp(entry.modified_ns),
            target: entry.target,
            tag: entry.tag,
        }
    }
}

/// Another name of a file or folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FileRename {
    /// Present path.
    pub from: String,
    /// New path in the same volume, which is free.
    pub to: String,
}

/// Query with a path.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct At {
    /// Path below the volume or the root.
    #[serde(default)]
    path: String,
    /// A folder goes with everything in it.
    #[serde(default)]
    all: bool,
}

impl IntoResponse for FilesError {
    fn into_response(self) -> Response {
        let (code, status) = match self {
            FilesError::Agent(error) => return error.into_response(),
            ref other => other.code().unwrap_or(("machine", 500)),
        };
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let failure = Json(Failure { code: code.into(), message: self.to_string() });
        match self {
            FilesError::Fault(Fault::Range { bytes }) => {
                (status, [(header::CONTENT_RANGE, format!("bytes */{bytes}"))], failure).into_response()
            }
            _ => (status, failure).into_response(),
        }
    }
}

/// Routes of this area.
pub(super) fn routes() -> Router<Arc<Service>> {
    Router::new()
        .route("/v1/xnode/applications/{name}/files", get(places))
        .route("/v1/xnode/applications/{name}/files/root", get(list_root))
        .route("/v1/xnode/applications/{name}/files/root/content", get(read_root))
        .route(
            "/v1/xnode/applications/{name}/files/volumes/{volume}",
            get(list).put(make_folder).post(rename).delete(remove),
        )
        .route("/v1/xnode/applications/{name}/files/volumes/{volume}/content", get(read).put(write))
}

async fn found(service: &Arc<Service>, text: &str) -> Result<(Name, Files), FilesError> {
    let name = name(text)?;
    let asked = name.clone();
    let files = blocking(service, move |service| files::of(service, &asked)).await?;
    Ok((name, files))
}

async fn places(State(service): Shared, Path(text): Path<String>) -> Result<Json<FilePlaces>, FilesError> {
    let (_, files) = found(&service, &text).await?;
    let volumes = files.volumes.into_iter().map(|(name, volume)| FileVolume {
        name: name.to_string(),
        line: volume.line,
        cause: volume.folder.err(),
        bytes: volume.room.map(|(bytes, _)| bytes),
        bytes_free: volume.room.map(|(_, free)| free),
    });
    Ok(Json(FilePlaces {
        volumes: volumes.collect(),
        root: files.root.map(|(instance, _)| instance.to_string()),
        is_switching: files.is_switching,
    }))
}

/// An act in the root of an instance.
async fn in_root(service: &Arc<Service>, text: &str, act: Act) -> Result<Begun, FilesError> {
    let (name, files) = found(service, text).await?;
    let ids = files::ids(&files);
    let (_, root) = files.root.ok_or(FilesError::NoRoot(name))?;
    Begun::new(service, &root, (act, ids), None)
}

/// An act in a volume.
async fn in_volume(service: &Arc<Service>, text: &str, volume: &str, act: Act) -> Result<Begun, FilesError> {
    let (application, mut files) = found(service, text).await?;
    let ids = files::ids(&files);
    let volume = name(volume)?;
    let Some(place) = files.volumes.remove(&volume) else {
        let known = names(files.volumes.keys());
        return Err(FilesError::NoVolume { application, volume: volume.to_string(), known });
    };
    let mut writing = None;
    if !act.only_reads() {
        if files.is_switching {
            return Err(FilesError::Switching { generation: files.generation });
        }
        writing = Some(stays(service, &application).await?);
    }
    let folder = place.folder.map_err(|words| FilesError::Volume { volume, words })?;
    Begun::new(service, &folder, (act, ids), writing)
}

/// Refuses a change of files of an application that moves: it would be in no copy. One that is begun is waited for by a last copy.
async fn stays(service: &Arc<Service>, application: &Name) -> Result<Writing, FilesError> {
    let name = application.clone();
    Ok(blocking(service, move |service| service.moves().begin_writing(&name)).await?)
}

async fn folder(mut begun: Begun) -> Result<Json<FileFolder>, FilesError> {
    match begun.answer().await? {
        Answer::Folder { entries, more } => {
            Ok(Json(FileFolder { entries: entries.into_iter().map(FileEntry::from).collect(), more }))
        }
        other => Err(odd(&other)),
    }
}

/// The error of an answer to another question.
fn odd(answer: &Answer) -> FilesError {
    let kind = match answer {
        Answer::Folder { .. } => "a folder",
        Answer::Content { .. } => "a file",
        Answer::Entry(_) => "an entry",
        Answer::Removed { .. } => "a removal",
    };
    FilesError::Silent(format!("it answered with {kind}, which was not asked for"))
}

async fn list_root(
    State(service): Shared,
    Path(text): Path<String>,
    Query(at): Query<At>,
) -> Result<Json<FileFolder>, FilesError> {
    folder(in_root(&service, &text, Act::List { path: at.path }).await?).await
}

async fn list(
    State(service): Shared,
    Path((text, volume)): Path<(String, String)>,
    Query(at): Query<At>,
) -> Result<Json<FileFolder>, FilesError> {
    folder(in_volume(&service, &text, &volume, Act::List { path: at.path }).await?).await
}

async fn read_root(
    State(service): Shared,
    Path(text): Path<String>,
    Query(at): Query<At>,
    headers: HeaderMap,
) -> Result<Response, FilesError> {
    content(in_root(&service, &text, reading(at.path, &headers)).await?, &headers).await
}

async fn read(
    State(service): Shared,
    Path((text, volume)): Path<(String, String)>,
    Query(at): Query<At>,
    headers: HeaderMap,
) -> Result<Response, FilesError> {
    content(in_volume(&service, &text, &volume, reading(at.path, &headers)).await?, &headers).await
}

fn value<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim)
}

/// Reading with the part that the request names.
fn reading(path: String, headers: &HeaderMap) -> Act {
    let range = value(headers, &header::RANGE).and_then(part);
    let of = value(headers, &header::IF_RANGE).map(|tag| tag.trim_matches('"').to_string());
    Act::Read { path, range, of }
}

/// The one part that a header names; none where it names several or none, and then all of the file is given. Source: RFC 9110, 14.2.
fn part(text: &str) -> Option<Range> {
    let (first, last) = text.strip_prefix("bytes=")?.split_once('-')?;
    let number = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten();
    match (first, last) {
        ("", last) => Some(Range::Last(number(last)?)),
        (first, "") => Some(Range::From(number(first)?, None)),
        (first, last) => {
            let (first, last) = (number(first)?, number(last)?);
            (first <= last).then_some(Range::From(first, Some(last)))
        }
    }
}

/// Returns true where one of the tags of a header is this one. Source: RFC 9110, 13.1.2: weak ones count here.
fn names_tag(text: &str, tag: &str) -> bool {
    text.split(',').map(|one| one.trim().trim_start_matches("W/").trim_matches('"')).any(|one| one == tag || one == "*")
}

/// The answer with a file's bytes.
async fn content(mut begun: Begun, headers: &HeaderMap) -> Result<Response, FilesError> {
    let (entry, first, bytes) = match begun.answer().await? {
        Answer::Content { entry, first, bytes } => (entry, first, bytes),
        other => return Err(odd(&other)),
    };
    let tag = entry.tag.clone().unwrap_or_default();
    let quoted = format!("\"{tag}\"");
    if value(headers, &header::IF_NONE_MATCH).is_some_and(|text| names_tag(text, &tag)) {
        return Ok((StatusCode::NOT_MODIFIED, [(header::ETAG, quoted)]).into_response());
    }
    let fields = [
        (header::CONTENT_TYPE, "application/octet-stream".to_string()),
        (header::CONTENT_DISPOSITION, disposition(&entry.name)),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff".into()),
        // What an application has written is no page of the agent.
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'; sandbox".into()),
        (header::CACHE_CONTROL, "private, no-cache".into()),
        (header::ACCEPT_RANGES, "bytes".into()),
        (header::ETAG, quoted),
        (header::CONTENT_LENGTH, bytes.to_string()),
    ];
    let body = Body::from_stream(begun.content(bytes));
    let is_part = bytes < entry.bytes;
    if !is_part {
        return Ok((StatusCode::OK, fields, body).into_response());
    }
    let last = first.saturating_add(bytes).saturating_sub(1);
    let range = [(header::CONTENT_RANGE, format!("bytes {first}-{last}/{}", entry.bytes))];
    Ok((StatusCode::PARTIAL_CONTENT, fields, range, body).into_response())
}

/// A name for whoever saves the file. Source: RFC 6266, 5, and RFC 8187, 3.2.
fn disposition(name: &str) -> String {
    let mut text = String::from("attachment; filename*=UTF-8''");
    for byte in name.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' => text.push(char::from(byte)),
            byte => text.push_str(&format!("%{byte:02X}")),
        }
    }
    text
}

/// The file that whoever writes expects in its place.
fn expected(headers: &HeaderMap) -> Result<Expect, FilesError> {
    match (value(headers, &header::IF_MATCH), value(headers, &header::IF_NONE_MATCH)) {
        (None, Some("*")) => Ok(Expect::New),
        (Some("*"), None) => Ok(Expect::Any),
        (Some(tag), None) if !tag.contains(',') => Ok(Expect::Tag(tag.trim_matches('"').to_string())),
        _ => Err(FilesError::Unseen),
    }
}

/// Notes a change of files in the history.
fn note(service: &Service, application: &str, principal: &Principal, words: &str) {
    let wanted = service.wanted().unwrap_or_default();
    let text = format!("{principal} {words}");
    service.history().note(EventKind::Done, wanted, Some(application.to_string()), text);
}

async fn entry(begun: &mut Begun) -> Result<FileEntry, FilesError> {
    match begun.answer().await? {
        Answer::Entry(entry) => Ok(entry.into()),
        other => Err(odd(&other)),
    }
}

async fn write(
    State(service): Shared,
    Extension(principal): Extension<Principal>,
    Path((text, volume)): Path<(String, String)>,
    Query(at): Query<At>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<FileEntry>, FilesError> {
    let expect = expected(&headers)?;
    let act = Act::Write { path: at.path.clone(), expect };
    let mut begun = in_volume(&service, &text, &volume, act).await?;
    begun.feed(body).await?;
    let written = entry(&mut begun).await?;
    note(&service, &text, &principal, &format!("wrote the file `{}` of {text}/{volume}", at.path));
    Ok(Json(written))
}

async fn make_folder(
    State(service): Shared,
    Extension(principal): Extension<Principal>,
    Path((text, volume)): Path<(String, String)>,
    Query(at): Query<At>,
) -> Result<Json<FileEntry>, FilesError> {
    let mut begun = in_volume(&service, &text, &volume, Act::MakeFolder { path: at.path.clone() }).await?;
    let made = entry(&mut begun).await?;
    note(&service, &text, &principal, &format!("made the folder `{}` of {text}/{volume}", at.path));
    Ok(Json(made))
}

async fn rename(
    State(service): Shared,
    Extension(principal): Extension<Principal>,
    Path((text, volume)): Path<(String, String)>,
    Json(asked): Json<FileRename>,
) -> Result<Json<FileEntry>, FilesError> {
    let FileRename { from, to } = asked;
    let words = format!("renamed `{from}` of {text}/{volume} to `{to}`");
    let mut begun = in_volume(&service, &text, &volume, Act::Rename { from, to }).await?;
    let renamed = entry(&mut begun).await?;
    note(&service, &text, &principal, &words);
    Ok(Json(renamed))
}

async fn remove(
    State(service): Shared,
    Extension(principal): Extension<Principal>,
    Path((text, volume)): Path<(String, String)>,
    Query(at): Query<At>,
    headers: HeaderMap,
) -> Result<Json<u64>, FilesError> {
    let tag = value(&headers, &header::IF_MATCH).filter(|tag| *tag != "*");
    let expect = tag.map(|tag| tag.trim_matches('"').to_string());
    let act = Act::Remove { path: at.path.clone(), all: at.all, expect };
    let mut begun = in_volume(&service, &text, &volume, act).await?;
    let entries = match begun.answer().await? {
        Answer::Removed { entries } => entries,
        other => return Err(odd(&other)),
    };
    note(&service, &text, &principal, &format!("removed `{}` of {text}/{volume}, {entries} in all", at.path));
    Ok(Json(entries))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_read_from_headers() {
        for (text, found) in [
            ("bytes=0-0", Some(Range::From(0, Some(0)))),
            ("bytes=5-", Some(Range::From(5, None))),
            ("bytes=-7", Some(Range::Last(7))),
            ("bytes=5-4", None),
            ("bytes=-", None),
            ("bytes=0-1,3-4", None),
            ("bytes=+1-2", None),
            ("bytes= 1-2", None),
            ("lines=1-2", None),
            ("bytes=99999999999999999999-", None),
        ] {
            assert_eq!(part(text), found, "{text}");
        }
    }

    #[test]
    fn nothing_is_written_unseen() {
        let given = |pairs: &[(HeaderName, &str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in pairs {
                headers.insert(name.clone(), value.parse().unwrap());
            }
            expected(&headers)
        };
        assert!(matches!(given(&[]), Err(FilesError::Unseen)));
        assert!(matches!(given(&[(header::IF_NONE_MATCH, "*")]), Ok(Expect::New)));
        assert!(matches!(given(&[(header::IF_MATCH, "*")]), Ok(Expect::Any)));
        assert!(matches!(given(&[(header::IF_MATCH, "\"a-b-c\"")]), Ok(Expect::Tag(tag)) if tag == "a-b-c"));
        assert!(matches!(given(&[(header::IF_MATCH, "\"a\", \"b\"")]), Err(FilesError::Unseen)));
        assert!(matches!(given(&[(header::IF_NONE_MATCH, "\"a\"")]), Err(FilesError::Unseen)));
        let both = [(header::IF_MATCH, "*"), (header::IF_NONE_MATCH, "*")];
        assert!(matches!(given(&both), Err(FilesError::Unseen)));
    }

    #[test]
    fn tags_and_names_are_those_of_the_standard() {
        assert!(names_tag("\"x\", W/\"a-b\"", "a-b") && names_tag("*", "a") && !names_tag("\"a\"", "a-b"));
        assert_eq!(disposition("a b\"\r\n\u{fc}.txt"), "attachment; filename*=UTF-8''a%20b%22%0D%0A%C3%BC.txt");
    }

    #[test]
    fn every_fault_has_a_status_that_tells_whose_it_is() {
        let code = |fault: Fault| FilesError::Fault(fault).code().unwrap().1;
        assert_eq!(code(Fault::Changed("a".into())), 412);
        assert_eq!(code(Fault::Missing("a".into())), 404);
        assert_eq!(code(Fault::Full("a".into())), 507);
        assert_eq!(FilesError::Unseen.code(), Some(("unseen", 428)));
    }
}
