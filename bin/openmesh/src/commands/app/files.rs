//! `openmesh app files`.

use std::path::Path;

use futures::{StreamExt as _, stream};
use openmesh_agent::Name;
use openmesh_agent::client::{Client, ClientError};
use openmesh_agent::views::{FileEntry, FileFolder, FileKind, FilePlaces, FileRename};
use reqwest::{Method, RequestBuilder};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::super::agent::{ask, client, columns, failure, get, json, moment, print};
use super::change::with_query;
use crate::cli::files::{FilePlace, FilesArgs, FilesCommand};
use crate::failure::Failure;

/// Bytes of a file that are sent at once.
const PART_BYTES: usize = 64 << 10;

/// Runs one of the files commands.
pub(super) async fn run(asked: FilesArgs) -> Result<(), Failure> {
    let name = asked.name;
    let Some(command) = asked.command else {
        let places: FilePlaces = get(&client(&asked.agent)?, &format!("/applications/{name}/files")).await?;
        return if asked.output.json { json(&places) } else { print(&places_text(&places)) };
    };
    match command {
        FilesCommand::List { place, agent, output } => {
            let client = client(&agent)?;
            let folder: FileFolder = ask(&client, request(&client, Method::GET, &name, &place, "")?).await?;
            if output.json { json(&folder) } else { print(&folder_text(&folder)) }
        }
        FilesCommand::Get { place, to, agent } => fetch(&client(&agent)?, &name, &place, &to).await,
        FilesCommand::Put { from, place, replace, force, agent, output } => {
            let client = client(&agent)?;
            let put = request(&client, Method::PUT, &name, in_volume(&place)?, "/content")?;
            let put = match (replace, force) {
                (Some(tag), _) => put.header("if-match", format!("\"{tag}\"")),
                (None, true) => put.header("if-match", "*"),
                (None, false) => put.header("if-none-match", "*"),
            };
            let entry: FileEntry = client.ask(put.body(content(&from).await?)).await.map_err(not_put)?;
            if output.json {
                json(&entry)
            } else {
                print(&format!("{} bytes are there as {}\n", entry.bytes, entry.name))
            }
        }
        FilesCommand::Mkdir { place, agent } => {
            let client = client(&agent)?;
            let made = request(&client, Method::PUT, &name, in_volume(&place)?, "")?;
            let entry: FileEntry = ask(&client, made).await?;
            print(&format!("the folder {} is there\n", entry.name))
        }
        FilesCommand::Move { place, to, agent } => {
            let client = client(&agent)?;
            let here = FilePlace { path: String::new(), ..in_volume(&place)?.clone() };
            let rename = FileRename { from: place.path, to };
            let moved = request(&client, Method::POST, &name, &here, "")?.json(&rename);
            let _: FileEntry = ask(&client, moved).await?;
            print(&format!("{} is {} now\n", rename.from, rename.to))
        }
        FilesCommand::Remove { place, all, agent } => {
            let client = client(&agent)?;
            let removal = request(&client, Method::DELETE, &name, in_volume(&place)?, "")?;
            let removed: u64 = ask(&client, with_query(removal, &[("all", all.to_string())])?).await?;
            print(&format!("{removed} files and folders are gone\n"))
        }
    }
}

/// A file that was not put, with what takes the place of one that is there.
fn not_put(error: ClientError) -> Failure {
    let is_taken = matches!(&error, ClientError::Refused(refusal) if refusal.code == "taken");
    let failure = failure(error);
    match is_taken {
        true => failure.hint("--force replaces it; --replace TAG only while it is the one that the list shows"),
        false => failure,
    }
}

/// A request about a place.
fn request(
    client: &Client,
    method: Method,
    name: &Name,
    place: &FilePlace,
    what: &str,
) -> Result<RequestBuilder, Failure> {
    let below = match &place.volume {
        Some(volume) => format!("volumes/{volume}"),
        None => "root".into(),
    };
    let request = client.request(method, &format!("/applications/{name}/files/{below}{what}"));
    if place.path.is_empty() { Ok(request) } else { with_query(request, &[("path", place.path.clone())]) }
}

/// Refuses a change of the root, which is only read.
fn in_volume(place: &FilePlace) -> Result<&FilePlace, Failure> {
    match place.volume {
        Some(_) => Ok(place),
        None => Err(Failure::usage("the root of an application is only read; name a volume: VOLUME:PATH")),
    }
}

/// Copies a file to this machine. What is there is not written over, and a copy that breaks off is removed.
async fn fetch(client: &Client, name: &Name, place: &FilePlace, to: &Path) -> Result<(), Failure> {
    let request = request(client, Method::GET, name, place, "/content")?;
    let mut parts = Box::pin(client.response(request).await.map_err(failure)?.bytes_stream());
    let is_output = to == Path::new("-");
    let wrong = |error: std::io::Error| Failure::from_display(to.display(), &error);
    let mut output: Box<dyn tokio::io::AsyncWrite + Unpin + Send> = if is_output {
        Box::new(tokio::io::stdout())
    } else {
        let file = tokio::fs::OpenOptions::new().write(true).create_new(true).open(to).await;
        Box::new(file.map_err(wrong)?)
    };
    let copied = async {
        while let Some(part) = parts.next().await {
            let part = part.map_err(|error| Failure::from_error("the file broke off", &error))?;
            output.write_all(&part).await.map_err(wrong)?;
        }
        output.flush().await.map_err(wrong)
    };
    let copied = copied.await;
    if copied.is_err() && !is_output {
        let _ = tokio::fs::remove_file(to).await;
    }
    copied
}

/// The content of a file of this machine, as it is read.
async fn content(from: &Path) -> Result<reqwest::Body, Failure> {
    let file = tokio::fs::File::open(from).await;
    let file = file.map_err(|error| Failure::from_display(from.display(), &error))?;
    let parts = stream::try_unfold(file, |mut file| async move {
        let mut part = vec![0; PART_BYTES];
        let count = file.read(&mut part).await?;
        part.truncate(count);
        Ok::<_, std::io::Error>((count > 0).then_some((part, file)))
    });
    Ok(reqwest::Body::wrap_stream(parts))
}

fn places_text(places: &FilePlaces) -> String {
    let rows: Vec<Vec<String>> = places
        .volumes
        .iter()
        .map(|volume| {
            let room = match (volume.bytes, volume.bytes_free) {
                (Some(bytes), Some(free)) => format!("{} of {} MiB free", free >> 20, bytes >> 20),
                _ => String::new(),
            };
            vec![format!("{}:", volume.name), volume.line.to_string(), room, volume.cause.clone().unwrap_or_default()]
        })
        .collect();
    let mut text = columns(&["PLACE", "LINE", "ROOM", "TROUBLE"], &rows);
    match &places.root {
        Some(instance) => text += &format!("\n: is the root of instance {instance}, which is only read\n"),
        None => text += "\nno instance is there, so that its root cannot be read\n",
    }
    if places.is_switching {
        text += "another generation is on its way: nothing can be changed until it is done\n";
    }
    text
}

fn folder_text(folder: &FileFolder) -> String {
    let rows: Vec<Vec<String>> = folder.entries.iter().map(row).collect();
    let mut text = columns(&["MODE", "OWNER", "BYTES", "CHANGED", "NAME", "TAG"], &rows);
    if folder.more {
        text += "there are more than these\n";
    }
    text
}

fn row(entry: &FileEntry) -> Vec<String> {
    let mark = match entry.kind {
        FileKind::File => '-',
        FileKind::Folder => 'd',
        FileKind::Link => 'l',
        FileKind::Other => '?',
    };
    let id = |id: Option<u32>| id.map_or("-".into(), |id| id.to_string());
    let target = entry.target.as_ref().map(|target| format!(" -> {target}")).unwrap_or_default();
    vec![
        format!("{mark}{:04o}", entry.mode),
        format!("{}:{}", id(entry.user), id(entry.group)),
        entry.bytes.to_string(),
        moment(entry.modified),
        format!("{}{target}", entry.name),
        entry.tag.clone().unwrap_or_default(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_person_sees_kinds_owners_and_targets() {
        let entry = |name: &str, kind, target: Option<&str>| FileEntry {
            name: name.into(),
            kind,
            bytes: 12,
            mode: 0o640,
            user: Some(999),
            group: None,
            modified: openmesh_primitives::Timestamp(0),
            target: target.map(Into::into),
            tag: None,
        };
        let file = row(&entry("a\\xff", FileKind::File, None));
        assert_eq!(file[..5], ["-0640", "999:-", "12", "1970-01-01 00:00:00", "a\\xff"].map(String::from));
        let link = row(&entry("out", FileKind::Link, Some("/etc")));
        assert_eq!((link[0].as_str(), link[4].as_str()), ("l0640", "out -> /etc"));
    }
}
