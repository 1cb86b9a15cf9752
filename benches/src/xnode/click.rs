//! Time from a click in Studio until an application answers: the templates of `deploy` in Chromium, beside `podman run` of the same images.
//!
//! A program of Studio's folder drives the browser: it fills in the form and has the plan shown before the clock runs, presses the button, and says when the page was
//! pressed. The port is asked from here, from before that moment on.

use std::cell::RefCell;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use anyhow::{Context as _, bail, ensure};
use serde_json::{Map, Value, json};

use super::agent::{Agent, PATIENCE};
use super::deploy::{self, CASES, Case, IT, InPodman, MORE_S, PAUSE, ROUNDS, TRIAL_ROUNDS, answers};
use super::lab::Lab;
use super::machine::{self, Side, alternate};
use super::table::{Bar, Row, SECONDS};

/// Program that drives the browser, from this crate's folder.
const PROGRAM: &str = "../studio/bench/click.mjs";
/// Title of the published port in each template's form.
const PORT_TITLE: &str = "Port on this machine";
/// Last bytes of the program's complaints that are shown where it fails.
const COMPLAINTS_BYTES: usize = 4_000;

/// Studio in a browser, as a program that takes wishes and answers them.
struct Studio {
    child: Child,
    /// None once it is told to end.
    wishes: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    /// File of what it complains about.
    log: PathBuf,
}

impl Studio {
    /// Opens Studio of an agent with a key of its own.
    fn open(agent: &Agent, folder: &Path) -> anyhow::Result<Studio> {
        machine::program("chromium", "chromium")?;
        let (node, log) = (machine::program("node", "nodejs")?, folder.join("studio.log"));
        let mut command = Command::new(node);
        command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join(PROGRAM));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(File::create(&log)?);
        // In a group of its own: an interrupt of the measurement ends it in order.
        let mut child = command.process_group(0).spawn()?;
        let wishes = child.stdin.take();
        let answers = BufReader::new(child.stdout.take().context("a piped output")?);
        let mut studio = Studio { child, wishes, answers, log };
        let made = agent.value(&["xnode", "access", "keys", "make", "bench", "--role", "operator"])?;
        let url = format!("http://{}", agent.face()?);
        studio.ask(&json!({ "open": { "url": url, "token": made["key"] } }))?;
        Ok(studio)
    }

    /// Tells a wish, and returns its answer.
    fn ask(&mut self, wish: &Value) -> anyhow::Result<Value> {
        let wishes = self.wishes.as_mut().context("Studio in Chromium has ended")?;
        let told = writeln!(wishes, "{wish}").and_then(|()| wishes.flush());
        let mut line = String::new();
        let asked = told.and_then(|()| self.answers.read_line(&mut line)).map_err(anyhow::Error::from);
        asked.and_then(|_| answer(&line)).with_context(|| format!("Studio in Chromium: {}", self.complaints()))
    }

    /// The last of what it complained about.
    fn complaints(&self) -> String {
        let text = std::fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(&text[text.len().saturating_sub(COMPLAINTS_BYTES)..]).trim().to_string()
    }

    /// Fills in the form of a template, has its plan shown, and returns the seconds from that click to the plan.
    fn plan(&mut self, case: &Case, port: u16, is_trial: bool) -> anyhow::Result<f64> {
        let mut answers = Map::from_iter([(PORT_TITLE.to_string(), json!(format!("127.0.0.1:{port}")))]);
        if is_trial {
            answers.insert(case.size_title.to_string(), json!(case.trial_size));
        }
        let said = self.ask(&json!({ "plan": { "template": case.template, "name": IT, "answers": answers } }))?;
        Ok(figure(&said, "planned_ms")? / 1e3)
    }

    /// Presses the button below the plan, and returns the seconds from the click to the first right answer.
    fn press(&mut self, case: &Case, port: u16) -> anyhow::Result<f64> {
        let gives_up = AtomicBool::new(false);
        let (pressed, answered) = std::thread::scope(|scope| {
            let asking = scope.spawn(|| answered(case, port, &gives_up));
            let pressed = self.ask(&json!({ "press": {} })).and_then(|said| figure(&said, "pressed_ms"));
            gives_up.store(pressed.is_err(), Ordering::Relaxed);
            (pressed, asking.join())
        });
        let pressed = pressed?;
        let answered = answered.unwrap_or_else(|_| bail!("a thread has panicked"))?;
        ensure!(answered >= pressed, "the clock was set back while the application started");
        Ok((answered - pressed) / 1e3)
    }

    /// Lets it end.
    fn end(mut self) -> anyhow::Result<()> {
        self.leave()
    }

    fn leave(&mut self) -> anyhow::Result<()> {
        if self.wishes.take().is_none() {
            return Ok(());
        }
        let ended = machine::wait_for("the end of Chromium", PATIENCE, || Ok(self.child.try_wait()?.is_some()));
        if ended.is_err() {
            self.child.kill()?;
            self.child.wait()?;
        }
        ended
    }
}

impl Drop for Studio {
    fn drop(&mut self) {
        if let Err(error) = self.leave() {
            eprintln!("Chromium of the measurement has not ended by itself: {error:#}");
        }
    }
}

/// Reads an answer of the program.
fn answer(line: &str) -> anyhow::Result<Value> {
    ensure!(!line.is_empty(), "it has ended");
    let said: Value = serde_json::from_str(line).with_context(|| format!("it says {line}"))?;
    match said["failed"].as_str() {
        Some(words) => bail!("{words}"),
        None => Ok(said),
    }
}

/// A figure of an answer.
fn figure(said: &Value, name: &str) -> anyhow::Result<f64> {
    said[name].as_f64().with_context(|| format!("no {name} in {said}"))
}

/// Asks until the application answers, and returns that moment, milliseconds since 1970 by the machine's clock as the page has it.
fn answered(case: &Case, port: u16, gives_up: &AtomicBool) -> anyhow::Result<f64> {
    machine::until(&format!("the answer of {}", case.template), PATIENCE, || {
        ensure!(!gives_up.load(Ordering::Relaxed), "nobody has pressed the button");
        let is_right = answers(case, port);
        if !is_right {
            std::thread::sleep(PAUSE);
        }
        Ok(is_right)
    })?;
    Ok(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_secs_f64() * 1e3)
}

/// Measures one template: until it answers, and until its plan is shown.
fn measured(lab: &mut Lab, studio: &mut Studio, case: &Case) -> anyhow::Result<[Row; 2]> {
    let (is_trial, rounds) = (lab.is_trial, lab.rounds(ROUNDS, TRIAL_ROUNDS));
    let (agent, podman) = lab.both()?;
    let agent = &*agent;
    let theirs = InPodman::of(agent, podman, case, is_trial)?;
    let planned = RefCell::new(Vec::new());
    let ours = || {
        let port = deploy::free_port()?;
        planned.borrow_mut().push(studio.plan(case, port, is_trial)?);
        let took = studio.press(case, port)?;
        // Its page asks the agent nothing while podman has its turn.
        studio.ask(&json!({ "leave": {} }))?;
        deploy::remove(agent)?;
        Ok(took)
    };
    let mut sides: [Side<'_>; 2] = [Box::new(ours), Box::new(|| theirs.run())];
    let figures = alternate(rounds, &mut sides)?;
    drop(sides);
    let [ours, theirs] = <[Vec<f64>; 2]>::try_from(figures).ok().context("two sides")?;
    let name = format!("click in Studio until {} answers", case.template);
    let whole = Row::new(name, SECONDS, ours).beside(&podman.name, theirs).bar(Bar::MoreThanPeer(MORE_S));
    let name = format!("click in Studio until the plan of {} is shown", case.template);
    Ok([whole, Row::new(name, SECONDS, planned.into_inner())])
}

/// Measures the templates.
pub fn rows(lab: &mut Lab) -> anyhow::Result<Vec<Row>> {
    let folder = lab.folder().to_path_buf();
    let mut studio = Studio::open(lab.agent()?, &folder)?;
    let mut rows = Vec::new();
    for case in &CASES {
        rows.extend(measured(lab, &mut studio, case)?);
    }
    studio.end()?;
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read_and_failures_are_told() {
        let said = answer("{\"pressed_ms\": 1500.25}\n").expect("an answer");
        assert_eq!(figure(&said, "pressed_ms").ok(), Some(1500.25));
        let lacking = figure(&said, "planned_ms").map_err(|error| error.to_string());
        assert_eq!(lacking.err().as_deref(), Some(r#"no planned_ms in {"pressed_ms":1500.25}"#));
        let words = |line: &str| answer(line).map_err(|error| error.to_string()).expect_err("a failure");
        assert_eq!(words("{\"failed\": \"no such page\"}\n"), "no such page");
        assert_eq!(words(""), "it has ended");
        assert!(words("Error: Cannot find module\n").contains("Cannot find module"));
    }
}
