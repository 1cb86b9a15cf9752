//! `openmesh xnode join` and `openmesh xnode machines`.

use std::io::{IsTerminal as _, Read as _};

use openmesh_agent::Client;
use openmesh_agent::views::access::{Invitation, InvitationState};
use openmesh_agent::views::machines::{
    InvitationWish, JoinLine, JoinState, JoinView, JoinedMachine, MachineList, MachineReport, MachineState,
    MadeInvitation,
};
use reqwest::Method;

use super::agent::{ask, client, columns, failure, get, json, moment, part, print, settings};
use super::xnode_backup::{asker, size};
use super::xnode_service;
use crate::cli::Output;
use crate::cli::join::{InviteArgs, JoinArgs, MachinesArgs, MachinesCommand};
use crate::failure::Failure;

/// Longest text that is read for a line, bytes: a line with its breaks, many times over.
const LINE_BYTES_MAX: u64 = 64 << 10;
/// Difference of two clocks that people should know of, milliseconds: certificates and signed messages need right ones.
const CLOCK_MS: i64 = 60_000;

/// Runs `xnode join`.
pub async fn join(arguments: JoinArgs) -> Result<(), Failure> {
    let output = arguments.output;
    if arguments.status {
        let view: JoinView = get(&client(&arguments.agent)?, "/join").await?;
        return shown(&view, output);
    }
    if arguments.leave {
        let client = client(&arguments.agent)?;
        let request = client.request(Method::DELETE, &format!("/join?by={}", asker()));
        let view: JoinView = ask(&client, request).await?;
        return shown(&view, output);
    }
    let line = line(&arguments)?;
    // Nothing is installed for a text that is no line.
    openmesh_agent::check_line(&line).map_err(|error| Failure::new(error.to_string()))?;
    begin_agent(&arguments)?;
    let client = client(&arguments.agent)?;
    let request = client.request(Method::POST, "/join").json(&JoinLine { line });
    let view: JoinView = ask(&client, request).await?;
    shown(&view, output)
}

/// The line, from a file or from standard input, which a person may paste.
fn line(arguments: &JoinArgs) -> Result<String, Failure> {
    let mut text = String::new();
    let read = match &arguments.file {
        Some(file) => {
            let opened = std::fs::File::open(file).and_then(|file| file.take(LINE_BYTES_MAX).read_to_string(&mut text));
            opened.map_err(|error| Failure::from_display(file.display(), &error))
        }
        None if std::io::stdin().is_terminal() => {
            if !arguments.output.json {
                print("paste the invitation and press Enter:\n")?;
            }
            std::io::stdin().read_line(&mut text).map_err(|error| Failure::from_display("standard input", &error))
        }
        None => {
            let input = std::io::stdin().lock().take(LINE_BYTES_MAX).read_to_string(&mut text);
            input.map_err(|error| Failure::from_display("standard input", &error))
        }
    };
    read?;
    if text.trim().is_empty() {
        return Err(Failure::usage("there is no invitation on standard input")
            .hint("an owner of another Xnode makes one: openmesh xnode machines invite, or Studio, Node, Machines"));
    }
    Ok(text)
}

/// Lets systemd begin an agent where none runs: a machine that joins becomes an Xnode by that one line.
fn begin_agent(arguments: &JoinArgs) -> Result<(), Failure> {
    let socket = settings(&arguments.agent)?.socket();
    let answers = std::os::unix::net::UnixStream::connect(&socket).is_ok();
    if answers || arguments.no_service || !xnode_service::is_booted() {
        // Where none answers, the request says so, with what helps.
        return Ok(());
    }
    xnode_service::install(&arguments.agent, !arguments.output.json)
}

fn shown(view: &JoinView, output: Output) -> Result<(), Failure> {
    if output.json { json(view) } else { print(&text(view)) }
}

fn text(view: &JoinView) -> String {
    let at = view.at.as_deref().unwrap_or_default();
    let node = view.node.as_deref().unwrap_or(at);
    let owner = view.owner.map(|owner| owner.to_string()).unwrap_or_default();
    let mut text = match view.state {
        JoinState::Alone => "this machine has joined no other Xnode\n".to_string(),
        JoinState::Asks => format!("this machine has asked {at}, and is not in: give the line once more\n"),
        JoinState::Joined => format!("this machine has joined {node} ({at}) and is {owner}'s\n"),
        JoinState::Removed => format!("{node} ({at}) has removed this machine from its list; it stays {owner}'s\n"),
    };
    if let Some(told) = view.told {
        text += &format!("last report that was heard there: {}\n", moment(told));
    }
    if let Some(clock_ms) = view.clock_ms.filter(|ms| ms.abs() >= CLOCK_MS) {
        text += &format!("its clock and this one's differ by {} s; set the wrong one\n", clock_ms.abs() / 1_000);
    }
    if let Some(trouble) = &view.trouble {
        text += &format!("trouble: {trouble}\n");
    }
    text
}

/// Runs one of the commands about machines.
pub async fn machines(arguments: MachinesArgs) -> Result<(), Failure> {
    match arguments.command {
        None => {
            let all: MachineList = get(&client(&arguments.agent)?, "/machines").await?;
            if arguments.output.json { json(&all) } else { print(&list(&all)) }
        }
        Some(MachinesCommand::Invite(asked)) => invite(asked).await,
        Some(MachinesCommand::Invitations { agent, output }) => {
            let all: Vec<Invitation> = get(&client(&agent)?, "/invitations").await?;
            if output.json { json(&all) } else { print(&invitations(&all)) }
        }
        Some(MachinesCommand::Revoke { id, agent }) => {
            gone(&client(&agent)?, &format!("/invitations/{}", part(&id))).await?;
            print(&format!("nobody joins by the invitation {id} any more\n"))
        }
        Some(MachinesCommand::Remove { id, agent }) => {
            gone(&client(&agent)?, &format!("/machines/{}", part(&id))).await?;
            print(&format!("the machine {id} is not in the list any more; it stays its owner's\n"))
        }
    }
}

async fn gone(client: &Client, path: &str) -> Result<(), Failure> {
    client.text(client.request(Method::DELETE, path)).await.map(drop).map_err(failure)
}

async fn invite(asked: InviteArgs) -> Result<(), Failure> {
    let wish = InvitationWish {
        lasts_ms: asked.lasts.map(|lasts| u64::try_from(lasts.as_millis()).unwrap_or(u64::MAX)),
        owner: asked.owner,
        at: asked.at,
        addresses: Some(asked.addresses).filter(|given| !given.is_empty()),
    };
    let client = client(&asked.agent)?;
    let made: MadeInvitation = ask(&client, client.request(Method::POST, "/invitations").json(&wish)).await?;
    if asked.output.json {
        return json(&made);
    }
    let mut text = format!(
        "On the other machine, with this program installed:\n\n{}\n\nIt is shown once, good for one machine and for {} min, and makes that machine {}'s.\n",
        made.command,
        made.entry.left_ms.div_ceil(60_000),
        made.entry.owner
    );
    if let Some(remark) = &made.remark {
        text += &format!("But: {remark}.\n");
    }
    print(&text)
}

fn invitations(all: &[Invitation]) -> String {
    if all.is_empty() {
        return "there is no invitation; `openmesh xnode machines invite` makes one\n".into();
    }
    let row = |one: &Invitation| {
        let state = match one.state {
            InvitationState::Open => format!("open for {} min", one.left_ms.div_ceil(60_000)),
            InvitationState::Used => format!("used by {}", one.machine.as_deref().unwrap_or_default()),
            InvitationState::Expired => "expired".into(),
            InvitationState::Revoked => "taken back".into(),
        };
        vec![one.id.clone(), state, moment(one.made), one.owner.to_string(), one.by.clone()]
    };
    columns(&["ID", "STATE", "MADE AT", "OWNER", "MADE BY"], &all.iter().map(row).collect::<Vec<_>>())
}

fn list(all: &MachineList) -> String {
    let own = row("this machine", "", "here", &all.own, "");
    let rows: Vec<Vec<String>> = std::iter::once(own).chain(all.machines.iter().map(joined)).collect();
    let heads = ["MACHINE", "ID", "STATE", "APPLICATIONS", "MEMORY", "DISK", "ALERTS", "VERSION", "HEARD"];
    let mut text = columns(&heads, &rows);
    for one in &all.machines {
        if let Some(clock_ms) = one.clock_ms.filter(|ms| ms.abs() >= CLOCK_MS) {
            let way = if clock_ms > 0 { "ahead" } else { "behind" };
            text += &format!("the clock of {} is {} s {way} of this machine's\n", one.name, clock_ms.abs() / 1_000);
        }
    }
    text
}

fn joined(one: &JoinedMachine) -> Vec<String> {
    let state = match one.state {
        MachineState::Arrives => "arrives",
        MachineState::Here => "here",
        MachineState::Silent => "silent",
    };
    let heard = one.heard.map(moment).unwrap_or_default();
    match &one.report {
        Some(report) => row(&one.name, &one.id, state, report, &heard),
        None => vec![one.name.clone(), one.id.clone(), state.into()],
    }
}

fn row(name: &str, id: &str, state: &str, report: &MachineReport, heard: &str) -> Vec<String> {
    let alerts = match (report.critical, report.warnings) {
        (0, 0) => "none".into(),
        (critical, warnings) => format!("{critical} critical, {warnings} warnings"),
    };
    vec![
        name.into(),
        id.into(),
        state.into(),
        format!("{} of {} run", report.running, report.applications),
        format!("{} of {}", size(report.memory_used_bytes), size(report.memory_bytes)),
        format!("{} of {}", size(report.disk_used_bytes), size(report.disk_bytes)),
        alerts,
        report.version.clone(),
        heard.into(),
    ]
}

#[cfg(test)]
mod tests {
    use openmesh_primitives::{Address, Timestamp};

    use super::*;

    #[test]
    fn machines_are_listed_with_what_is_wrong_of_them() {
        let report = MachineReport {
            version: "0.1.0".into(),
            running: 2,
            applications: 3,
            memory_bytes: 4 << 30,
            memory_used_bytes: 1 << 30,
            critical: 1,
            ..MachineReport::default()
        };
        let one = JoinedMachine {
            id: "ab12".into(),
            name: "attic".into(),
            owner: Address([1; 20]),
            joined: Timestamp(0),
            state: MachineState::Silent,
            heard: Some(Timestamp::parse_rfc3339(b"2026-11-30T08:00:00Z").unwrap()),
            from: None,
            clock_ms: Some(-90_000),
            report: Some(report.clone()),
        };
        let arrives = JoinedMachine {
            id: "cd34".into(),
            name: "cellar".into(),
            state: MachineState::Arrives,
            heard: None,
            clock_ms: None,
            report: None,
            ..one.clone()
        };
        let text = list(&MachineList { own: MachineReport::default(), machines: vec![one, arrives] });
        for part in [
            "this machine",
            "attic         ab12  silent   2 of 3 run",
            "1.0 GiB of 4.0 GiB",
            "1 critical, 0 warnings",
            "2026-11-30 08:00:00",
            "cellar        cd34  arrives\n",
            "the clock of attic is 90 s behind of this machine's",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }

    #[test]
    fn a_machine_says_whose_it_is_and_who_hears_it() {
        let view = JoinView {
            state: JoinState::Joined,
            at: Some("https://xnode.lan".into()),
            node: Some("attic".into()),
            id: Some("ab12".into()),
            owner: Some(Address([1; 20])),
            since: None,
            told: None,
            clock_ms: Some(120_000),
            trouble: Some("nobody answers".into()),
        };
        let said = text(&view);
        assert!(said.starts_with("this machine has joined attic (https://xnode.lan) and is 0x0101"), "{said}");
        assert!(said.contains("differ by 120 s") && said.ends_with("trouble: nobody answers\n"), "{said}");
        let asks = text(&JoinView { state: JoinState::Asks, node: None, trouble: None, clock_ms: None, ..view });
        assert_eq!(asks, "this machine has asked https://xnode.lan, and is not in: give the line once more\n");
    }
}
