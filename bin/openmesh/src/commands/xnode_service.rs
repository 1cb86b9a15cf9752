//! `openmesh xnode service`: the agent as a unit of systemd, so that everything comes back with the machine.

use std::ffi::OsString;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use openmesh_agent::Settings;
use openmesh_storage::files::write_whole;
use serde::Serialize;

use super::agent::{json, print, settings};
use crate::cli::AgentName;
use crate::cli::machine::ServiceCommand;
use crate::failure::Failure;

/// Folder of the units that belong to this machine (systemd.unit(5)).
const UNITS: &str = "/etc/systemd/system";
/// Folder that is there where systemd runs the machine (sd_booted(3)).
const BOOTED: &str = "/run/systemd/system";
/// Folder of everything that NixOS makes.
const STORE: &str = "/nix/store";
/// Instance name whose unit needs no name in its own.
const USUAL: &str = "default";

/// State of the service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct State {
    /// Name of the unit.
    unit: String,
    /// Its file is there.
    installed: bool,
    /// It starts with the machine, in systemd's word.
    enabled: String,
    /// It runs, in systemd's word.
    active: String,
}

/// Runs one of the service commands.
pub fn run(command: ServiceCommand) -> Result<(), Failure> {
    match command {
        ServiceCommand::Install { print: true, agent } => print(&text(&agent)?),
        ServiceCommand::Install { print: false, agent } => install(&agent, true),
        ServiceCommand::Remove { agent } => remove(&settings(&agent)?),
        ServiceCommand::Renew { within: false, agent } => renew(&settings(&agent)?),
        ServiceCommand::Renew { within: true, agent } => take_over(&agent),
        ServiceCommand::Status { agent, output } => {
            let state = state(&settings(&agent)?)?;
            if output.json { json(&state) } else { print(&told(&state)) }
        }
    }
}

fn unit_name(settings: &Settings) -> String {
    match settings.name.as_str() {
        USUAL => "openmesh-xnode.service".to_string(),
        name => format!("openmesh-xnode-{name}.service"),
    }
}

fn unit_file(settings: &Settings) -> PathBuf {
    Path::new(UNITS).join(unit_name(settings))
}

/// Options that name an agent.
fn named(agent: &AgentName) -> Vec<OsString> {
    let mut words = vec!["--agent".into(), agent.agent.to_string().into()];
    for (option, folder) in [("--agent-state", &agent.agent_state), ("--agent-run", &agent.agent_run)] {
        words.extend(folder.iter().flat_map(|folder| [option.into(), folder.clone().into_os_string()]));
    }
    words
}

fn own_program() -> Result<PathBuf, Failure> {
    std::env::current_exe().map_err(|e| Failure::from_display("this program's own path", &e))
}

/// The unit of an agent, run by this program from where it lies.
fn text(agent: &AgentName) -> Result<String, Failure> {
    let program = own_program()?;
    let line = |command: &[&str]| -> Result<String, Failure> {
        let words = [OsString::from(&program)].into_iter().chain(command.iter().map(OsString::from));
        let words: Option<Vec<String>> = words.chain(named(agent)).map(|word| quoted(word.to_str()?)).collect();
        let words = words.ok_or_else(|| {
            Failure::new("systemd takes no path that has a control character or is no UTF-8")
                .hint("make install puts this program into /usr/local/bin")
        })?;
        Ok(words.join(" "))
    };
    let (begins, renews) = (line(&["xnode", "agent"])?, line(&["xnode", "service", "renew", "--within"])?);
    Ok(unit(agent.agent.as_str(), &begins, &renews))
}

/// A word of a command line as systemd reads it (systemd.service(5), "Command lines"); none for a word that cannot be written there.
fn quoted(word: &str) -> Option<String> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@=,".contains(c);
    if word.chars().any(char::is_control) {
        return None;
    }
    if !word.is_empty() && word.chars().all(is_plain) {
        return Some(word.to_string());
    }
    let escaped = word.replace('\\', "\\\\").replace('"', "\\\"").replace('%', "%%").replace('$', "$$");
    Some(format!("\"{escaped}\""))
}

/// The unit's text.
fn unit(name: &str, begins: &str, renews: &str) -> String {
    let text = openmesh_agent::unit::text(name, begins, renews);
    format!("# Written by `openmesh xnode service install`; `openmesh xnode service remove` takes it away.\n{text}")
}

/// Refuses to touch a unit that the configuration of NixOS has made: its file lies in the store, which nobody writes to.
fn check_maker(file: &Path) -> Result<(), Failure> {
    if !std::fs::canonicalize(file).is_ok_and(|real| real.starts_with(STORE)) {
        return Ok(());
    }
    Err(Failure::new(format!("{} is made by the configuration of NixOS", file.display())).hint(
        "change services.openmesh-xnode there (enable = false takes the service away, and no application ends), then nixos-rebuild switch",
    ))
}

/// Installs the unit of an agent and starts it; `says` is false where nothing is to be printed.
///
/// # Errors
/// systemd does not run this machine or refuses, another agent of this name runs, or the unit's file cannot be written.
pub fn install(agent: &AgentName, says: bool) -> Result<(), Failure> {
    let settings = settings(agent)?;
    check_booted()?;
    let (name, file, text) = (unit_name(&settings), unit_file(&settings), text(agent)?);
    check_maker(&file)?;
    let was_active = asked(&["is-active", &name])? == "active";
    if !was_active && std::os::unix::net::UnixStream::connect(settings.socket()).is_ok() {
        return Err(Failure::new(format!("an agent `{}` runs already, and not as this service", settings.name))
            .hint("end it first (Ctrl-C where it runs; no application ends), then install the service"));
    }
    let same = std::fs::read_to_string(&file).is_ok_and(|there| there == text);
    if !same {
        write_whole(&file, text.as_bytes())
            .map_err(|e| Failure::from_display(file.display(), &e).hint("this command needs root"))?;
    }
    done(&["daemon-reload"])?;
    done(&["enable", &name])?;
    // One that runs by another unit than the present one is begun anew; what it runs goes on.
    done(&[if was_active && !same { "restart" } else { "start" }, &name])?;
    if !says {
        return Ok(());
    }
    print(&format!(
        "{} is installed: the agent `{}` runs, and starts with the machine\nits log: journalctl -u {name}\n",
        file.display(),
        settings.name
    ))
}

fn remove(settings: &Settings) -> Result<(), Failure> {
    let file = unit_file(settings);
    if !file.exists() {
        return print(&format!("{} is not there\n", file.display()));
    }
    remove_unit(settings)?;
    print(&format!(
        "{} is removed and the agent has ended; applications go on (openmesh xnode uninstall ends them)\n",
        file.display()
    ))
}

/// Returns true where an agent is a service of this machine.
pub fn is_installed(settings: &Settings) -> bool {
    unit_file(settings).exists()
}

/// Returns true where an agent that is a service runs.
pub fn is_active(settings: &Settings) -> Result<bool, Failure> {
    Ok(is_booted() && is_installed(settings) && asked(&["is-active", &unit_name(settings)])? == "active")
}

/// Takes the unit of an agent away, which ends the agent and no application.
///
/// # Errors
/// systemd refuses, the unit's file cannot be removed, or it is that of a configuration of NixOS.
pub fn remove_unit(settings: &Settings) -> Result<(), Failure> {
    let (name, file) = (unit_name(settings), unit_file(settings));
    check_maker(&file)?;
    if is_booted() {
        done(&["disable", "--now", &name])?;
    }
    std::fs::remove_file(&file)
        .map_err(|e| Failure::from_display(file.display(), &e).hint("this command needs root"))?;
    if is_booted() { done(&["daemon-reload"]) } else { Ok(()) }
}

/// Lets the program on disk take the place of the agent that runs.
fn renew(settings: &Settings) -> Result<(), Failure> {
    check_booted()?;
    let name = unit_name(settings);
    if !is_active(settings)? {
        return Err(Failure::new(format!("the service {name} does not run")).hint(
            "openmesh xnode service install; an agent without a service is renewed by openmesh xnode agent --take-over",
        ));
    }
    let before = asked(&["show", "--property=MainPID", "--value", &name])?;
    done(&["reload", &name])?;
    let after = asked(&["show", "--property=MainPID", "--value", &name])?;
    if before == after {
        return Err(Failure::new("the agent that runs goes on: the one on disk did not get to its place")
            .hint(format!("journalctl -u {name} tells why")));
    }
    print(&format!("the agent `{}` is another one now (process {after}); no application has stopped\n", settings.name))
}

/// Starts an agent that takes over within the service, and returns when it serves.
fn take_over(agent: &AgentName) -> Result<(), Failure> {
    let mut command = Command::new(own_program()?);
    command.args(["xnode", "agent", "--take-over"]).args(named(agent));
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    let mut taking = command.spawn().map_err(|e| Failure::from_display("the agent that takes over", &e))?;
    // Its greeting is said once it serves.
    let mut greeting = String::new();
    let read = taking.stdout.take().map_or(Ok(0), |output| BufReader::new(output).read_line(&mut greeting));
    if read.is_ok_and(|bytes| bytes > 0) {
        return print(&greeting);
    }
    let ended = taking.wait().map_err(|e| Failure::from_display("the agent that takes over", &e))?;
    Err(Failure::new(format!("the agent that was to take over has ended: {ended}")))
}

fn state(settings: &Settings) -> Result<State, Failure> {
    let unit = unit_name(settings);
    let installed = unit_file(settings).exists();
    let (enabled, active) = match is_booted() {
        true => (asked(&["is-enabled", &unit])?, asked(&["is-active", &unit])?),
        false => ("no systemd".into(), "no systemd".into()),
    };
    Ok(State { unit, installed, enabled, active })
}

fn told(state: &State) -> String {
    let word = |text: &str| if text.is_empty() { "unknown".to_string() } else { text.to_string() };
    let installed = if state.installed { "yes" } else { "no; openmesh xnode service install installs it" };
    format!(
        "unit       {}\ninstalled  {installed}\nat boot    {}\nnow        {}\n",
        state.unit,
        word(&state.enabled),
        word(&state.active)
    )
}

/// Returns true where systemd runs this machine.
pub fn is_booted() -> bool {
    Path::new(BOOTED).is_dir()
}

fn check_booted() -> Result<(), Failure> {
    if is_booted() {
        return Ok(());
    }
    Err(Failure::new("systemd does not run this machine, so that there is nobody to keep the service")
        .hint("--print prints the unit; by hand: openmesh xnode agent, started by whatever runs this machine"))
}

/// One word of an answer of systemctl, which tells states by its exit code too.
fn asked(arguments: &[&str]) -> Result<String, Failure> {
    let output = Command::new("systemctl").args(arguments).stdin(Stdio::null()).output();
    let output = output.map_err(|e| Failure::from_display("systemctl", &e))?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_string())
}

/// An act of systemctl; its words where it fails.
fn done(arguments: &[&str]) -> Result<(), Failure> {
    let output = Command::new("systemctl").args(arguments).stdin(Stdio::null()).output();
    let output = output.map_err(|e| Failure::from_display("systemctl", &e))?;
    if output.status.success() {
        return Ok(());
    }
    let words = String::from_utf8_lossy(&output.stderr).trim().to_string();
    Err(Failure::new(format!("systemctl {} has failed: {words}", arguments.join(" "))).hint("this command needs root"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn agent(name: &str, state: Option<&str>) -> AgentName {
        AgentName { agent: name.parse().unwrap(), agent_state: state.map(PathBuf::from), agent_run: None }
    }

    #[test]
    fn words_are_read_back_by_systemd_as_they_are() {
        for (word, expected) in [
            ("/usr/local/bin/openmesh", Some("/usr/local/bin/openmesh")),
            ("/srv/my files/x", Some("\"/srv/my files/x\"")),
            ("50%", Some("\"50%%\"")),
            ("$HOME", Some("\"$$HOME\"")),
            ("a\"b\\c", Some("\"a\\\"b\\\\c\"")),
            ("", Some("\"\"")),
            ("a\nExecStartPre=/bin/evil", None),
        ] {
            assert_eq!(quoted(word).as_deref(), expected, "{word:?}");
        }
    }

    #[test]
    fn the_unit_ends_nothing_but_the_agent_and_hides_no_mount() {
        let text = text(&agent("second", Some("/srv/an xnode"))).unwrap();
        for line in ["KillMode=process", "Restart=always", "StartLimitIntervalSec=0", "WantedBy=multi-user.target"] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
        let named = "--agent second --agent-state \"/srv/an xnode\"\n";
        for command in ["xnode agent", "xnode service renew --within"] {
            assert!(text.contains(&format!(" {command} {named}")), "{command} {named} is not in\n{text}");
        }
        // Each of them unshares the mounts of the service, or takes a right of root's away.
        for option in [
            "Private",
            "Protect",
            "ReadOnlyPaths",
            "MountFlags",
            "CapabilityBoundingSet",
            "NoNewPrivileges",
            "DynamicUser",
        ] {
            assert!(!text.lines().any(|line| line.starts_with(option)), "{option}:\n{text}");
        }
    }

    #[test]
    fn each_agent_has_a_unit_of_its_own() {
        let name = |name: &str| unit_name(&settings(&agent(name, None)).unwrap());
        assert_eq!(name("default"), "openmesh-xnode.service");
        assert_eq!(name("second"), "openmesh-xnode-second.service");
        let state =
            State { unit: name("default"), installed: false, enabled: String::new(), active: "inactive".into() };
        assert!(told(&state).contains("service install") && told(&state).contains("unknown"), "{}", told(&state));
    }
}
