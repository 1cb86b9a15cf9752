//! `openmesh xnode check`, `uninstall`, `carry` and `apart`: a machine before it is an Xnode, and after; its one file.

use std::path::{Path, PathBuf};

use openmesh_agent::preflight::{Finding, Grade, preflight};
use openmesh_agent::{Holdings, Settings};

use super::agent::{json, print};
use super::xnode_service;
use crate::failure::Failure;

/// Tells whether the machine can be an Xnode.
pub fn check(settings: &Settings, as_json: bool) -> Result<(), Failure> {
    let findings = preflight(&settings.name, &settings.state, &settings.run);
    if as_json {
        json(&findings)?
    } else {
        print(&text(&findings))?
    }
    let wrong = findings.iter().filter(|finding| finding.grade == Grade::Wrong).count();
    match wrong {
        0 => Ok(()),
        1 => Err(Failure::new("one thing lacks without which there can be no Xnode")),
        wrong => Err(Failure::new(format!("{wrong} things lack without which there can be no Xnode"))),
    }
}

fn text(findings: &[Finding]) -> String {
    let wide = findings.iter().map(|finding| finding.thing.chars().count()).max().unwrap_or(0);
    let line = |finding: &Finding| {
        let grade = match finding.grade {
            Grade::Good => "ok   ",
            Grade::Odd => "odd  ",
            Grade::Wrong => "WRONG",
        };
        let remedy = finding.remedy.iter().map(|remedy| format!("       -> {remedy}\n"));
        format!("{grade}  {:<wide$}  {}\n{}", finding.thing, finding.found, remedy.collect::<String>())
    };
    findings.iter().map(line).collect()
}

/// Writes a copy of a binary that carries the programs of an agent.
pub fn carry(binary: Option<PathBuf>, programs: &Path, to: &Path) -> Result<(), Failure> {
    let own = || std::env::current_exe().map_err(|error| Failure::from_display("the path of this program", &error));
    let binary = binary.map_or_else(own, Ok)?;
    let named = openmesh_agent::PROGRAMS.map(|name| (name, programs.join(name)));
    let named: Vec<(&str, &Path)> = named.iter().map(|(name, path)| (*name, path.as_path())).collect();
    openmesh_agent::carried::carry(&binary, &named, to).map_err(|error| Failure::from_display(to.display(), &error))
}

/// Takes a binary apart into itself and the programs that it carries.
pub fn apart(binary: Option<PathBuf>, to: &Path) -> Result<(), Failure> {
    let own = || std::env::current_exe().map_err(|error| Failure::from_display("the path of this program", &error));
    let binary = binary.map_or_else(own, Ok)?;
    let names = openmesh_agent::carried::apart(&binary, "openmesh", to);
    let names = names.map_err(|error| Failure::from_display(binary.display(), &error))?;
    print(&format!("{}: {}\n", to.display(), names.join(", ")))
}

/// Shows what would go, or lets it go.
pub async fn uninstall(settings: &Settings, wipe: bool, yes: bool, as_json: bool) -> Result<(), Failure> {
    let failed = |error: openmesh_agent::AgentError| Failure::new(error.to_string());
    let holdings = openmesh_agent::holdings(settings).await.map_err(failed)?;
    if as_json {
        json(&holdings)?
    } else {
        print(&shown(&holdings, wipe, xnode_service::is_installed(settings)))?
    }
    if !yes {
        return Err(Failure::new("nothing was removed").hint("say --yes to remove it"));
    }
    let mut says = |text: &str| {
        let _ = print(&format!("{text}\n"));
    };
    let mut quiet = |_: &str| {};
    let says: &mut dyn FnMut(&str) = if as_json { &mut quiet } else { &mut says };
    // First: systemd starts an agent that ends again.
    if xnode_service::is_installed(settings) {
        xnode_service::remove_unit(settings)?;
        says("the service is gone");
    }
    openmesh_agent::uninstall(settings, wipe, says).await.map_err(failed)
}

fn shown(holdings: &Holdings, wipe: bool, is_service: bool) -> String {
    let mut text = String::from("goes:\n");
    if is_service {
        text += "  service      of systemd\n";
    }
    for (name, instances) in &holdings.applications {
        text += &format!("  application  {name} ({instances} running or stopped)\n");
    }
    text += &format!("  images       {} MiB\n  folder       {}\n", holdings.image_bytes >> 20, holdings.run);
    let data = holdings.volumes.iter().map(|(name, bytes)| format!("  volume       {name}, {} MiB\n", bytes >> 20));
    let data: String = data.chain([format!("  folder       {} (documents, secrets)\n", holdings.state)]).collect();
    match wipe {
        true => text + &data,
        false => format!("{text}stays (--wipe removes it too):\n{data}"),
    }
}
