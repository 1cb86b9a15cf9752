//! Backups of the machine: states, keys, the restore of all of it; and the progress of acts that take long.

use std::fs::OpenOptions;
use std::io::{IsTerminal as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::pin::pin;

use futures::StreamExt as _;
use openmesh_agent::views::backups::{
    Application, Backup, Ended, Job, Keys, MachinePlan, MachineRequest, Overview, Place, Room, State,
};
use openmesh_agent::{BackupError, Client, Identity, NodeKey};
use reqwest::Method;
use serde::Serialize;

use super::agent::{ask, client, columns, failure, get, json, moment, one_line, print};
use crate::cli::backup::{ActArgs, BackupKeyCommand, MachineArgs};
use crate::cli::{AgentName, Output};
use crate::failure::Failure;

/// Whoever sits at the keyboard.
pub fn asker() -> String {
    std::env::var("SUDO_USER").or_else(|_| std::env::var("USER")).unwrap_or_else(|_| "root".into())
}

/// Bytes for people.
pub fn size(bytes: u64) -> String {
    const STEP: u64 = 1 << 10;
    match bytes {
        0..STEP => format!("{bytes} B"),
        _ if bytes < STEP << 10 => format!("{} KiB", bytes.div_ceil(STEP)),
        _ if bytes < STEP << 20 => format!("{} MiB", bytes.div_ceil(STEP << 10)),
        _ => format!("{}.{} GiB", bytes >> 30, (bytes >> 20) % 1024 * 10 / 1024),
    }
}

/// Follows an act to its end, with its progress, and returns the end; none where it is not waited for.
pub async fn follow(client: &Client, job: &Job, act: &ActArgs) -> Result<Option<Ended>, Failure> {
    if act.no_wait {
        let text = format!("number {} has begun; `openmesh xnode backups` tells what came of it\n", job.number);
        return if act.output.json { json(job) } else { print(&text) }.map(|()| None);
    }
    let request = client.request(Method::GET, &format!("/backups/jobs/{}?follow=true", job.number));
    let mut told = pin!(client.lines::<Job>(request).await.map_err(failure)?);
    let mut shown = Shown::default();
    while let Some(job) = told.next().await {
        let job = job.map_err(failure)?;
        if act.output.json {
            print(&one_line(&job)?)?;
        } else {
            shown.show(&job.phase, (job.bytes, job.all_bytes));
        }
        let Some(ended) = job.ended else { continue };
        shown.clear();
        if !ended.ok {
            return Err(Failure::new(ended.text).hint("openmesh xnode backups tells the state of all backups"));
        }
        if !act.output.json {
            print(&format!("{}\n", ended.text))?;
        }
        return Ok(Some(ended));
    }
    Err(Failure::new("the agent left before it was done").hint("begin it again when the agent is back"))
}

/// Progress as it stands on the screen: one line that is written anew on a terminal, and elsewhere a line for each new phase.
#[derive(Default)]
pub struct Shown {
    last: String,
}

impl Shown {
    /// Shows a phase, with the bytes of it that are done and all of them; 0 where it has none.
    pub fn show(&mut self, phase: &str, bytes: (u64, u64)) {
        let mut error = std::io::stderr().lock();
        // A log of what was shown is worth nothing: where it cannot be written, nothing is lost.
        if error.is_terminal() {
            let _ = write!(error, "\r\x1b[K{}", progress(phase, bytes)).and_then(|()| error.flush());
        } else if self.last != phase {
            let _ = writeln!(error, "{phase}");
        }
        self.last = phase.to_owned();
    }

    /// Takes the line away from a terminal.
    pub fn clear(&self) {
        let mut error = std::io::stderr().lock();
        if error.is_terminal() && !self.last.is_empty() {
            let _ = write!(error, "\r\x1b[K").and_then(|()| error.flush());
        }
    }
}

/// Progress in one line: a phase, the bytes of it that are done and all of them.
pub fn progress(phase: &str, (bytes, all): (u64, u64)) -> String {
    match all {
        0 => phase.to_owned(),
        all => {
            let percent = bytes.min(all).saturating_mul(100) / all;
            format!("{phase}: {} of {} ({percent} %)", size(bytes), size(all.max(bytes)))
        }
    }
}

/// Prints the states of all backups, or stops an act.
pub async fn backups(cancel: Option<u64>, agent: &AgentName, output: Output) -> Result<(), Failure> {
    let client = client(agent)?;
    if let Some(number) = cancel {
        let job: Job = ask(&client, client.request(Method::DELETE, &format!("/backups/jobs/{number}"))).await?;
        let text = format!("number {number} ({}) ends at its next piece\n", job.phase);
        return if output.json { json(&job) } else { print(&text) };
    }
    let all: Overview = get(&client, "/backups").await?;
    if output.json { json(&all) } else { print(&overview(&all)) }
}

fn overview(all: &Overview) -> String {
    let mut text = match &all.keys.owner {
        Some(owner) => format!("owner      {owner}\n"),
        None => "owner      no key is set; `openmesh xnode backup-key make FILE` makes one\n".to_owned(),
    };
    for target in &all.targets {
        let id = target.repository.as_deref().map(|id| format!(", repository {id}")).unwrap_or_default();
        let cause = target.cause.as_deref().map(|cause| format!("\n           {cause}")).unwrap_or_default();
        let room = target.room.map(|room| format!(", {}", room_text(&room))).unwrap_or_default();
        text += &format!("place      {} is {}: {}{room}{id}{cause}\n", target.name, word(target.state), target.place);
    }
    for job in all.jobs.iter().filter(|job| job.ended.is_none()) {
        let name = job.application.as_deref().unwrap_or("the machine");
        text += &format!(
            "under way  number {} for {name}: {}\n",
            job.number,
            progress(&job.phase, (job.bytes, job.all_bytes))
        );
    }
    if all.applications.is_empty() {
        return text + "no application has backups in its document\n";
    }
    let rows: Vec<Vec<String>> = all.applications.iter().map(row).collect();
    text + &columns(&["APPLICATION", "BACKUPS", "LAST", "SIZE", "NEXT", "DRILL", "CAUSE"], &rows)
}

/// Room of a place in words.
fn room_text(room: &Room) -> String {
    let until = room.until.map(|until| format!(" until {}", moment(until))).unwrap_or_default();
    format!("{} of {} are used{until}", size(room.used_bytes), size(room.all_bytes))
}

fn row(one: &Application) -> Vec<String> {
    let when = |at: Option<openmesh_primitives::Timestamp>| at.map(moment).unwrap_or_default();
    let drill = match (&one.drill, one.drill_state) {
        (Some(drill), _) if drill.fault.is_none() => format!("passed {}", moment(drill.at)),
        (Some(drill), _) => format!("failed {}", moment(drill.at)),
        (None, Some(state)) => word(state).to_owned(),
        (None, None) => String::new(),
    };
    let causes = [&one.cause, &one.drill_cause];
    let causes: Vec<String> = causes.into_iter().flatten().map(|cause| cause.replace('\n', "; ")).collect();
    vec![
        one.name.clone(),
        if one.awaits_last { "last one awaited".to_owned() } else { word(one.state).to_owned() },
        when(one.last.as_ref().map(|last| last.at)),
        one.last.as_ref().map(|last: &Backup| size(last.bytes)).unwrap_or_default(),
        when(one.next),
        drill,
        causes.join("; "),
    ]
}

fn word(state: State) -> &'static str {
    match state {
        State::Ok => "ok",
        State::Waiting => "waiting",
        State::Running => "running",
        State::Late => "late",
        State::Failed => "failed",
    }
}

/// Runs one of the commands about keys.
pub async fn key(command: BackupKeyCommand) -> Result<(), Failure> {
    match command {
        BackupKeyCommand::Show { agent, output } => {
            let keys: Keys = get(&client(&agent)?, "/backups/key").await?;
            if output.json { json(&keys) } else { print(&keys_text(&keys)) }
        }
        BackupKeyCommand::Make { file, replace, agent } => {
            let client = client(&agent)?;
            let keys: Keys = get(&client, "/backups/key").await?;
            if let (Some(owner), false) = (&keys.owner, replace) {
                let text = format!("the owner's key is {owner} already, and no other one was made");
                return Err(Failure::new(text).hint("--replace takes its place; earlier backups stay open to both"));
            }
            let identity = Identity::generate().map_err(|error| Failure::new(error.to_string()))?;
            write_identity(&file, &identity)?;
            let reading = NodeKey::of_owner(&identity).public().to_string();
            let keys = set(&client, &identity.recipient().to_string(), Some(&reading), replace).await?;
            let text = "keep it away from this machine: whoever has it can open every backup, and without it nobody can when the machine is lost";
            print(&format!("{}{} holds the owner's key; {text}\n", keys_text(&keys), file.display()))
        }
        BackupKeyCommand::Reading { identity, output } => {
            let owner =
                owner_keys(&read(&identity)?).map_err(|cause| Failure::from_display(identity.display(), &cause))?;
            if output.json { json(&owner) } else { print(&owner.text()) }
        }
        BackupKeyCommand::Set { recipient, reading, replace, agent } => {
            let keys = set(&client(&agent)?, &recipient, reading.as_deref(), replace).await?;
            print(&keys_text(&keys))
        }
        BackupKeyCommand::Join { target, identity, agent } => {
            let client = client(&agent)?;
            let path = format!("/backups/targets/{target}/join?by={}", asker());
            let request = client.request(Method::POST, &path).body(read(&identity)?);
            let id: String = ask(&client, request).await?;
            print(&format!("this machine writes to repository {id} from now on\n"))
        }
    }
}

/// Public halves of an owner's key.
#[derive(Debug, Serialize)]
struct OwnerKeys {
    owner: String,
    reading: String,
}

impl OwnerKeys {
    fn text(&self) -> String {
        let OwnerKeys { owner, reading } = self;
        format!("owner      {owner}\nreading    {reading}\n")
    }
}

/// Public halves of the identity in a text.
fn owner_keys(text: &str) -> Result<OwnerKeys, BackupError> {
    let identity: Identity = text.parse()?;
    let (owner, reading) = (identity.recipient().to_string(), NodeKey::of_owner(&identity).public().to_string());
    Ok(OwnerKeys { owner, reading })
}

async fn set(client: &Client, recipient: &str, reading: Option<&str>, replace: bool) -> Result<Keys, Failure> {
    let reading = reading.map(|reading| format!("&reading={reading}")).unwrap_or_default();
    let path = format!("/backups/key?replace={replace}&by={}{reading}", asker());
    ask(client, client.request(Method::PUT, &path).body(recipient.to_owned())).await
}

fn keys_text(keys: &Keys) -> String {
    let owner = keys.owner.as_deref().unwrap_or("none yet; `openmesh xnode backup-key make FILE` makes one");
    let guest = match keys.guest.as_str() {
        "" => String::new(),
        key => format!("guest      {key}\n"),
    };
    let reading = keys.reading.as_ref().map(|key| format!("reading    {key}\n")).unwrap_or_default();
    format!("owner      {owner}\nmachine    {}\n{guest}{reading}", keys.node)
}

fn read(path: &Path) -> Result<String, Failure> {
    std::fs::read_to_string(path).map_err(|error| Failure::from_display(path.display(), &error))
}

/// Writes an identity to a new file that its owner alone can read, as `age-keygen` does.
fn write_identity(path: &Path, identity: &Identity) -> Result<(), Failure> {
    let text = format!("# public key: {}\n{}\n", identity.recipient(), identity.secret_text());
    let file = OpenOptions::new().create_new(true).write(true).mode(0o600).open(path);
    let written = file.and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()));
    written.map_err(|error| Failure::from_display(path.display(), &error))
}

/// Shows what a whole machine would be restored from, and restores it.
pub async fn restore(asked: &MachineArgs) -> Result<(), Failure> {
    let client = client(&asked.act.agent)?;
    let request = request(asked)?;
    let body = serde_json::to_vec(&request).map_err(|error| Failure::from_display("the request", &error))?;
    if !asked.yes {
        let plan: MachinePlan = ask(&client, client.request(Method::POST, "/backups/machine/plan").body(body)).await?;
        return if asked.act.output.json { json(&plan) } else { print(&plan_text(&plan)) };
    }
    let path = format!("/backups/machine?by={}", asker());
    let job: Job = ask(&client, client.request(Method::POST, &path).body(body)).await?;
    let ended = follow(&client, &job, &asked.act).await?;
    if ended.is_some_and(|ended| ended.generation.is_some()) && !asked.act.output.json {
        print("what comes of the generation is told by: openmesh xnode events --follow\n")?;
    }
    Ok(())
}

fn request(asked: &MachineArgs) -> Result<MachineRequest, Failure> {
    if let Some((address, node)) = asked.peer.as_ref().zip(asked.peer_key.as_ref()) {
        let place = Place::Peer { address: address.clone(), node: node.clone() };
        return request_for(asked, place);
    }
    let place = match (&asked.folder, &asked.s3, &asked.secret_key_file) {
        (Some(folder), _, _) => {
            let folder =
                std::path::absolute(folder).map_err(|error| Failure::from_display(folder.display(), &error))?;
            Place::Folder { path: folder.display().to_string() }
        }
        (None, Some(address), Some(secret)) => Place::S3 {
            address: address.clone(),
            bucket: asked.bucket.clone().unwrap_or_default(),
            region: asked.region.clone(),
            key: asked.access_key.clone().unwrap_or_default(),
            secret: read(secret)?.trim().to_owned(),
        },
        _ => return Err(Failure::usage("say where the repository is: --folder DIR, --s3 URL, or --peer ADDRESS")),
    };
    request_for(asked, place)
}

fn request_for(asked: &MachineArgs, place: Place) -> Result<MachineRequest, Failure> {
    Ok(MachineRequest {
        place,
        identity: read(&asked.identity)?,
        repository: asked.repository.clone(),
        node: asked.node.clone(),
    })
}

fn plan_text(plan: &MachinePlan) -> String {
    let mut text = format!(
        "repository {} has the machine {}\ndocument   of generation {}, {}\n",
        plan.repository,
        plan.node,
        plan.generation,
        moment(plan.at)
    );
    if !plan.secrets.is_empty() {
        text += &format!("secrets    {}\n", plan.secrets.join(", "));
    }
    for backup in &plan.backups {
        text += &format!("data       {} of {}, {}\n", backup.application, moment(backup.at), size(backup.bytes));
    }
    if !plan.runs.is_empty() {
        let (all, at) = (plan.runs.join(", "), moment(plan.at));
        text += &format!("runs       {all}, as at {at}; what has moved to another machine since runs here beside it\n");
    }
    text + "nothing was changed; --yes restores it, after you have compared the id of the repository with the one that you noted\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_names_what_runs_again() {
        let plan = |runs: &[&str]| MachinePlan {
            repository: "ab".repeat(32),
            node: "attic".into(),
            generation: 7,
            at: openmesh_primitives::Timestamp(0),
            backups: Vec::new(),
            secrets: Vec::new(),
            runs: runs.iter().map(ToString::to_string).collect(),
        };
        let shown = plan_text(&plan(&["db", "web"]));
        assert!(shown.contains("runs       db, web, as at ") && shown.contains("moved to another machine"), "{shown}");
        assert!(!plan_text(&plan(&[])).contains("moved"));
    }

    #[test]
    fn sizes_are_short() {
        let sizes = [0, 1023, 1024, 5 << 20, (3 << 30) + (512 << 20)].map(size);
        assert_eq!(sizes, ["0 B", "1023 B", "1 KiB", "5 MiB", "3.5 GiB"]);
    }

    /// Made by Debian's age-keygen; the reading key by other programs from RFC 5869 and RFC 8032.
    #[test]
    fn public_halves_of_an_owners_key_are_told_without_an_agent() {
        let text = "# a comment\nAGE-SECRET-KEY-1SVAHTJM63C7XUGMK2RSCNC7CNQE8C3HCU9CWG2JRW3AT28RG7KEQD6KV4Y\n";
        let told = owner_keys(text).unwrap().text();
        let want = "owner      age1aa635u53k7l77y7lpchkdsvhdumdnzq745gycsygvpyj5pqvaauqhssn0k\nreading    e902f5200af6a94f07d4c1a5eb0a2064b49e4d4b40a24888cd2849b49c81f035\n";
        assert_eq!(told, want);
        let refused = owner_keys("AGE-SECRET-KEY-1WRONG").unwrap_err().to_string();
        assert!(refused.contains("not one identity") && !refused.contains("WRONG"), "{refused}");
    }

    #[test]
    fn an_identity_is_written_once_and_for_its_owner() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        let identity = Identity::generate().unwrap();
        write_identity(&path, &identity).unwrap();
        let read: Identity = read(&path).unwrap().parse().unwrap();
        assert_eq!(read.recipient(), identity.recipient());
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(write_identity(&path, &identity).is_err());
    }
}
