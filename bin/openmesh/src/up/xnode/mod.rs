//! The agent of the Xnode beside a local network: started where root can be had without a question, taken over, kept running, ended.
//!
//! It is a process of its own that outlives the supervisor, as every other one. It may run as root while the supervisor does not; then it is ended through a
//! socket of the user's own ([`Announced::end`]), since nobody signals what runs as root. An agent that somebody else has started is left alone.

mod place;
pub mod subnet;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use openmesh_agent::PROGRAMS;
use openmesh_agent::carried::Carried;
use openmesh_agent::preflight::{Grade, preflight};
use serde::{Deserialize, Serialize};
use tokio::net::UnixStream;
use tokio::process::{Child, Command};
use tokio_util::sync::CancellationToken;

use super::board::SharedBoard;
use super::home::agent_folder;
use super::process::{LOG_FILTER, log_end};
use super::terminal::{command, say};
use crate::cli::UpArgs;
use crate::failure::Failure;
use crate::presence::{self, Running};
use crate::telemetry;
use place::{Place, Right, USUAL, runs};

/// Name of the agent among the parts of a network.
pub const NAME: &str = "xnode";
/// Longest time until a started agent answers: it looks at the whole machine first, which may be busy with the validators' starts.
const READY_SECONDS_MAX: u64 = 60;
/// Longest time for an agent to end: its present step may stop an application within the application's own grace.
const END_SECONDS_MAX: u64 = 120;
/// Time between two looks at a starting agent's record, in milliseconds: not felt by a person, nothing for a disk.
const READY_POLL_MS: u64 = 50;
/// Wait before an agent that ended is started again, in milliseconds; doubled while it does not start.
const AGAIN_MS_MIN: u64 = 250;
/// Longest such wait.
const AGAIN_MS_MAX: u64 = 30_000;

/// Announcement of an agent that `openmesh up` has started, in its record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Announced {
    /// Instance name.
    pub agent: String,
    /// Folder in which it keeps everything.
    pub state: PathBuf,
    /// That is the usual folder of an agent of this name.
    pub is_usual: bool,
    /// Socket of the home's owner: whoever connects ends it.
    pub end: PathBuf,
    /// Address of its face; none where it has none.
    pub face: Option<SocketAddr>,
}

/// The agent as a start finds or makes it.
pub enum Xnode {
    /// There is none, for this reason; none where nobody wants one.
    Without(Option<String>),
    /// Somebody else's, which is left alone.
    Foreign(Box<Place>),
    /// That of this network.
    Own(Box<Own>),
}

/// An agent of this network.
pub struct Own {
    place: Place,
    right: Option<Right>,
    /// Started by this process, and perhaps not answering yet.
    child: Option<Child>,
    /// It, once it answers.
    answers: Option<(Running, Announced)>,
    /// Length of its log when it was started.
    log_from: u64,
}

/// Finds the agent of a network, or starts it; it may not answer yet. Whatever stands in its way is no failure of the network.
pub async fn begin(arguments: &UpArgs, root: &Path) -> Xnode {
    if arguments.no_xnode {
        return Xnode::Without(None);
    }
    match find_or_start(arguments, root).await {
        Ok(xnode) => xnode,
        Err(failure) => {
            let more = failure.what_to_do().map(|hint| format!("; {hint}")).unwrap_or_default();
            Xnode::Without(Some(format!("{}{more}", failure.message())))
        }
    }
}

async fn find_or_start(arguments: &UpArgs, root: &Path) -> Result<Xnode, Failure> {
    let mut place = Place::of(arguments.home.as_deref(), root)?;
    if let Some(answers) = found(&place.folder) {
        let (right, log_from) = (Right::find().await, length(&place.log));
        return Ok(Xnode::Own(Box::new(Own { place, right, child: None, answers: Some(answers), log_from })));
    }
    if is_running(&place) {
        return Ok(Xnode::Foreign(Box::new(place)));
    }
    let Some(right) = Right::find().await else {
        return Err(Failure::new(
            "neither root nor sudo without a question is there, so that no agent runs applications",
        )
        .hint(format!("sudo {} xnode agent starts one", command())));
    };
    // Whoever is not root cannot look at all of it; the agent does, and says so in its log.
    if right == Right::Root {
        check(&place)?;
    }
    check_programs(&place.settings.programs)?;
    place.choose()?;
    std::fs::create_dir_all(&place.folder).map_err(|e| Failure::from_display(place.folder.display(), &e))?;
    let log_from = length(&place.log);
    let child = spawn(&place, right)?;
    Ok(Xnode::Own(Box::new(Own { place, right: Some(right), child: Some(child), answers: None, log_from })))
}

/// The agent that runs by the record in this folder and answers.
fn found(folder: &Path) -> Option<(Running, Announced)> {
    let (record, running) = presence::find(folder)?;
    Some((running, serde_json::from_value(record.ready?).ok()?))
}

fn is_running(place: &Place) -> bool {
    runs(&std::fs::read_to_string("/proc/net/unix").unwrap_or_default(), &place.settings.name)
}

/// Refuses a machine on which no agent can run, with the first lack and its remedy.
fn check(place: &Place) -> Result<(), Failure> {
    let findings = preflight(&place.settings.name, &place.settings.state, &place.settings.run);
    match findings.into_iter().find(|finding| finding.grade == Grade::Wrong) {
        None => Ok(()),
        Some(lack) => {
            let failure = Failure::new(format!("no agent can run here: {}: {}", lack.thing, lack.found));
            Err(match lack.remedy {
                Some(remedy) => failure.hint(remedy),
                None => failure,
            })
        }
    }
}

/// Refuses where a program of the agent is neither beside this one nor carried by it.
fn check_programs(folder: &Path) -> Result<(), Failure> {
    let own = std::env::current_exe().map_err(|e| Failure::from_display("this program's own path", &e))?;
    let carried = Carried::of(&own).map_err(|e| Failure::from_display(own.display(), &e))?;
    let carried: Vec<&str> = carried.iter().flat_map(Carried::names).collect();
    match PROGRAMS.into_iter().find(|name| !folder.join(name).exists() && !carried.contains(name)) {
        None => Ok(()),
        Some(name) => {
            Err(Failure::new(format!("{} is missing, without which no agent runs", folder.join(name).display()))
                .hint("make programs builds it"))
        }
    }
}

fn length(log: &Path) -> u64 {
    std::fs::metadata(log).map_or(0, |log| log.len())
}

/// A command that runs this program as root.
fn as_root(right: Right) -> Result<Command, Failure> {
    let own = std::env::current_exe().map_err(|e| Failure::from_display("this program's own path", &e))?;
    let command = match right {
        Right::Root => {
            // The program that this process runs, also where a newer one has taken its place on the disk since.
            let mut command = Command::new("/proc/self/exe");
            command.arg0(own);
            command
        }
        Right::Sudo => {
            let mut command = Command::new("sudo");
            command.arg("-n").arg(own);
            command
        }
    };
    Ok(command)
}

/// Starts the agent where neither Ctrl-C nor the end of the terminal reaches it.
fn spawn(place: &Place, right: Right) -> Result<Child, Failure> {
    let log = |error: std::io::Error| Failure::from_display(place.log.display(), &error);
    let open = || std::fs::OpenOptions::new().create(true).append(true).open(&place.log);
    let (output, errors) = (open().map_err(log)?, open().map_err(log)?);
    let filter = std::env::var("OPENMESH_LOG").unwrap_or_else(|_| LOG_FILTER.into());
    let follows = std::env::var(presence::STOP_WITH).ok().map(|pid| format!("{}={pid}", presence::STOP_WITH));
    let mut command = match right {
        Right::Root => as_root(right)?,
        Right::Sudo => {
            // sudo may tie what it runs to the terminal: setsid unties it, and the shell leads its output into the log by itself.
            let own = std::env::current_exe().map_err(|e| Failure::from_display("this program's own path", &e))?;
            let mut command = Command::new("sudo");
            command.args(["-n", "setsid", "--fork", "sh", "-c"]);
            command.arg("log=$1; shift; exec env \"$@\" </dev/null >>\"$log\" 2>&1").arg("sh").arg(&place.log);
            command.args(follows).arg(format!("{}={}", telemetry::LOG_FILE, place.log.display())).arg(own);
            command
        }
    };
    command
        .args(["--log", filter.as_str()])
        .args(place.arguments())
        .env(telemetry::LOG_FILE, &place.log)
        .stdin(Stdio::null())
        .stdout(output)
        .stderr(errors)
        .process_group(0);
    command.spawn().map_err(|e| Failure::from_display("the agent", &e))
}

impl Xnode {
    /// Address to which a node passes what is asked of the Xnode; none for the usual one.
    pub fn face(&self) -> Option<SocketAddr> {
        match self {
            Xnode::Without(_) => None,
            Xnode::Foreign(place) => Some(place.face()),
            Xnode::Own(own) => {
                let announced = own.answers.as_ref().and_then(|(_, announced)| announced.face);
                Some(announced.unwrap_or_else(|| own.place.face()))
            }
        }
    }

    /// Waits until the agent answers. One that does not is told, and tried again by whoever keeps it.
    pub async fn ready(&mut self) {
        let Xnode::Own(own) = self else { return };
        if let Err(why) = own.ready().await {
            say(format_args!("xnode    {why}"));
        }
    }

    /// Tells a person about it, with the address of Studio.
    pub async fn announce(&self, studio: &str) {
        match self {
            Xnode::Without(None) => {}
            Xnode::Without(Some(why)) => say(format_args!("xnode    none: {why}")),
            Xnode::Foreign(place) => say(format_args!(
                "xnode    the agent `{}` runs already, started by somebody else: it is left alone",
                place.settings.name
            )),
            Xnode::Own(own) => own.announce(),
        }
        let place: &Place = match self {
            Xnode::Foreign(place) => place,
            Xnode::Own(own) if own.answers.is_some() => &own.place,
            Xnode::Without(_) | Xnode::Own(_) => return,
        };
        let name = if place.is_own { format!(" --agent {}", place.settings.name) } else { String::new() };
        say(format_args!("apps     {studio}/apps ({}{} app new static-site{name})", Right::word(), command()));
        if let Xnode::Own(own) = self
            && let Some(code) = own.code().await
        {
            say(format_args!("owner    nobody owns this Xnode yet: press Sign in at {studio}/apps and give the code"));
            say(format_args!(
                "         {code}   (good once; later: {}{} xnode access code{name})",
                Right::word(),
                command()
            ));
        }
    }

    /// Ends the agent of a start that came to nothing, unless it ran before.
    pub async fn abandon(self, and_adopted: bool) {
        let Xnode::Own(mut own) = self else { return };
        let is_adopted = own.child.is_none();
        if is_adopted && !and_adopted {
            return say(format_args!("the agent of the Xnode goes on"));
        }
        if own.answers.is_none() {
            let _ = own.ready().await;
        }
        if let Some((running, announced)) = own.answers.take() {
            end(&running, Some(&announced)).await;
            remove_unused(&own, &announced).await;
        }
    }

    /// The agent to keep running, where it is this network's.
    pub fn own(self) -> Option<Own> {
        match self {
            Xnode::Own(own) => Some(*own),
            Xnode::Without(_) | Xnode::Foreign(_) => None,
        }
    }
}

impl Own {
    /// Its number.
    pub fn pid(&self) -> Option<u32> {
        self.answers.as_ref().map(|(running, _)| running.pid())
    }

    /// File of its log.
    pub fn log(&self) -> &Path {
        &self.place.log
    }

    /// Returns true where it has been started and has not ended.
    fn is_starting(&mut self) -> bool {
        let runs = self.child.as_mut().is_some_and(|child| matches!(child.try_wait(), Ok(None)));
        // What sudo has started is known by its record alone.
        runs || presence::find(&self.place.folder).is_some()
    }

    /// Waits until it answers; fails with words for a person.
    async fn ready(&mut self) -> Result<(), String> {
        if self.answers.is_some() {
            return Ok(());
        }
        let limit = Duration::from_secs(READY_SECONDS_MAX);
        let what = tokio::select! {
            answers = announced(&self.place.folder) => match answers {
                Some(answers) => {
                    self.answers = Some(answers);
                    return Ok(());
                }
                None => "has ended while starting".to_string(),
            },
            how = early(&mut self.child, self.right) => format!("has ended while starting ({how})"),
            () = tokio::time::sleep(limit) => format!("does not answer after {READY_SECONDS_MAX} s"),
        };
        let log = &self.place.log;
        Err(format!("the agent {what}; the end of {}:\n{}", log.display(), log_end(log, self.log_from)))
    }

    fn announce(&self) {
        let Some((running, announced)) = &self.answers else { return };
        let (name, pid) = (&announced.agent, running.pid());
        match self.child {
            Some(_) => say(format_args!("xnode    the agent `{name}` is up (process {pid})")),
            None => say(format_args!("xnode    the agent `{name}` goes on (process {pid}, which ran before)")),
        }
        if announced.face.is_none() {
            say(format_args!(
                "         nobody but root reaches it: {} is another program's; name another address as face in {}",
                self.place.face(),
                self.place.settings.file().display()
            ));
        }
    }

    /// A code for the first owner; none where there is an owner, or nobody may ask for one without a question.
    async fn code(&self) -> Option<String> {
        let mut asks = as_root(self.right?).ok()?;
        asks.args(["xnode", "access", "code", "--json"]).args(self.place.named());
        let output = asks.stdin(Stdio::null()).stderr(Stdio::null()).output().await.ok()?;
        let answer: serde_json::Value = serde_json::from_slice(&output.stdout).ok()?;
        Some(answer.get("code")?.as_str()?.to_owned())
    }
}

/// Waits for the announcement in a folder. None where a process was there and has ended.
async fn announced(folder: &Path) -> Option<(Running, Announced)> {
    let mut was_there = false;
    loop {
        if let Some(answers) = found(folder) {
            return Some(answers);
        }
        let is_there = presence::find(folder).is_some();
        if was_there && !is_there {
            return None;
        }
        was_there |= is_there;
        tokio::time::sleep(Duration::from_millis(READY_POLL_MS)).await;
    }
}

/// Waits until a started process ends before it answers. What sudo has started goes on by itself when sudo ends well.
async fn early(child: &mut Option<Child>, right: Option<Right>) -> String {
    let Some(child) = child else { return std::future::pending().await };
    match child.wait().await {
        Ok(status) if status.success() && right == Some(Right::Sudo) => std::future::pending().await,
        Ok(status) => super::process::describe(status),
        Err(error) => error.to_string(),
    }
}

/// Keeps an agent running until it is told to end it. One that somebody else has put into its place is left alone.
pub async fn keep(mut own: Own, stop: CancellationToken, board: SharedBoard) {
    let mut wait_ms = AGAIN_MS_MIN;
    let mut told = String::new();
    loop {
        if let Some((running, announced)) = own.answers.take() {
            tokio::select! {
                () = running.ended() => {}
                () = stop.cancelled() => {
                    end(&running, Some(&announced)).await;
                    return remove_unused(&own, &announced).await;
                }
            }
            say(format_args!("\nthe agent of the Xnode ended; no application did"));
            board.change(NAME, |part| part.end("its exit code is not known: it belongs to no terminal"));
            own.child = None;
        }
        if stop.run_until_cancelled(tokio::time::sleep(Duration::from_millis(wait_ms))).await.is_none() {
            return;
        }
        wait_ms = (wait_ms * 2).min(AGAIN_MS_MAX);
        let again = tokio::select! {
            again = again(&mut own) => again,
            () = stop.cancelled() => {
                if own.is_starting()
                    && let Some((running, announced)) = announced_soon(&own.place.folder).await
                {
                    end(&running, Some(&announced)).await;
                }
                return;
            }
        };
        match again {
            Ok(true) => {
                wait_ms = AGAIN_MS_MIN;
                board.change(NAME, |part| (part.pid, part.trouble) = (own.pid(), None));
            }
            Ok(false) => {
                say(format_args!("another agent `{}` runs by now: it is left alone", own.place.settings.name));
                return board.change(NAME, |part| part.trouble = Some("another agent has its place".into()));
            }
            Err(why) => {
                if told != why {
                    say(format_args!("\nthe agent does not start: {why}"));
                }
                board.change(NAME, |part| part.trouble = Some(why.clone()));
                told = why;
            }
        }
    }
}

/// Starts an agent again. False where another one has its place.
async fn again(own: &mut Own) -> Result<bool, String> {
    // Perhaps it was only slow.
    if own.is_starting() {
        return own.ready().await.map(|()| true);
    }
    if is_running(&own.place) {
        return Ok(false);
    }
    own.right = Right::find().await;
    let right = own.right.ok_or("sudo asks a question by now; run this as root, or start the agent by hand")?;
    own.log_from = length(&own.place.log);
    own.child = Some(spawn(&own.place, right).map_err(|failure| failure.message().to_owned())?);
    own.ready().await.map(|()| true)
}

/// The agent that is just starting in a folder, once it answers.
async fn announced_soon(folder: &Path) -> Option<(Running, Announced)> {
    tokio::time::timeout(Duration::from_secs(READY_SECONDS_MAX), announced(folder)).await.ok().flatten()
}

/// Ends the agent of a network that runs, and returns whether there was one. Applications go on.
pub async fn down(root: &Path) -> bool {
    let folder = agent_folder(root);
    let Some((record, running)) = presence::find(&folder) else { return false };
    let mut announced = record.ready.and_then(|ready| serde_json::from_value::<Announced>(ready).ok());
    if announced.is_none() && !rustix::process::geteuid().is_root() {
        announced = announced_soon(&folder).await.map(|(_, announced)| announced);
    }
    end(&running, announced.as_ref()).await;
    true
}

/// Asks an agent to end, waits for it, and tells what goes on.
async fn end(running: &Running, announced: Option<&Announced>) {
    let pid = running.pid();
    let asked = match running.ask_to_end() {
        Err(error) => match announced {
            Some(announced) => UnixStream::connect(&announced.end).await.map(drop),
            None => Err(error),
        },
        asked => asked,
    };
    if let Err(error) = asked {
        return say(format_args!("xnode    the agent cannot be ended ({error}): sudo kill {pid} does it"));
    }
    if tokio::time::timeout(Duration::from_secs(END_SECONDS_MAX), running.ended()).await.is_err() {
        return say(format_args!(
            "xnode    the agent (process {pid}) has not ended within {END_SECONDS_MAX} s, and goes on"
        ));
    }
    say(format_args!("stopped  the agent of the Xnode (process {pid})"));
    if let Some(announced) = announced.filter(|announced| has_documents(announced)) {
        say(format_args!("         its applications go on; {} ends them", uninstall(announced)));
    }
}

/// Returns true unless it is certain that nothing was ever deployed.
fn has_documents(announced: &Announced) -> bool {
    !matches!(announced.state.join("target").try_exists(), Ok(false))
}

/// Command that ends all applications of an agent.
fn uninstall(announced: &Announced) -> String {
    let name = match announced.agent.as_str() {
        USUAL => String::new(),
        name => format!(" --agent {name}"),
    };
    let state = match announced.is_usual {
        true => String::new(),
        false => format!(" --agent-state {}", announced.state.display()),
    };
    format!("{}{} xnode uninstall --yes{name}{state}", Right::word(), command())
}

/// Takes away what is left on the machine of another home's agent that nobody has ever used: its user ids are few.
async fn remove_unused(own: &Own, announced: &Announced) {
    // Whoever is not root sees nothing there, and takes nothing away.
    if own.right != Some(Right::Root) || !own.place.is_own {
        return;
    }
    let is_unowned = own.place.settings.owners().is_ok_and(|owners| owners.is_empty());
    if !is_unowned || has_documents(announced) {
        return;
    }
    let Ok(mut removes) = as_root(Right::Root) else { return };
    removes.args(["xnode", "uninstall", "--wipe", "--yes"]).args(own.place.named());
    let removed = removes.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status().await;
    if !removed.is_ok_and(|status| status.success()) {
        tracing::debug!("what an unused agent has left stays for the next start");
    }
}
