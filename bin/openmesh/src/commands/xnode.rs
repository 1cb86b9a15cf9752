//! `openmesh xnode`.

use std::io::Read as _;
use std::pin::pin;

use futures::StreamExt as _;
use openmesh_agent::views::{Declared, DeclaredState, Drained, Event, InUse, Node, Secret, Trouble, Work, WorkState};
use reqwest::Method;

use super::agent::{ask, client, columns, event_line, failure, get, json, moment, one_line, print, settings, unmarked};
use super::xnode_check;
use crate::cli::{SecretCommand, XnodeCommand};
use crate::failure::Failure;

/// Runs one of the xnode commands.
pub async fn run(command: XnodeCommand) -> Result<(), Failure> {
    match command {
        XnodeCommand::Agent(arguments) => super::xnode_agent::run(*arguments).await,
        XnodeCommand::Service(command) => super::xnode_service::run(command),
        XnodeCommand::Drain(arguments) => super::xnode_drain::run(arguments).await,
        XnodeCommand::Carry { binary, programs, to } => xnode_check::carry(binary, &programs, &to),
        XnodeCommand::Apart { binary, to } => xnode_check::apart(binary, &to),
        XnodeCommand::Export(arguments) => super::xnode_export::run(&arguments).await,
        XnodeCommand::Check { agent, output } => xnode_check::check(&settings(&agent)?, output.json),
        XnodeCommand::Uninstall { wipe, yes, agent, output } => {
            xnode_check::uninstall(&settings(&agent)?, wipe, yes, output.json).await
        }
        XnodeCommand::Status { agent, output } => {
            let node: Node = get(&client(&agent)?, "").await?;
            if output.json { json(&node) } else { print(&status(&node)) }
        }
        XnodeCommand::Events { follow, agent, output } => {
            let client = client(&agent)?;
            let request = client.request(Method::GET, &format!("/events?follow={follow}"));
            let mut events = pin!(client.lines::<Event>(request).await.map_err(failure)?);
            while let Some(event) = events.next().await {
                let event = event.map_err(failure)?;
                print(&if output.json { one_line(&event)? } else { event_line(&event) })?;
            }
            Ok(())
        }
        XnodeCommand::Schema { agent } => {
            let client = client(&agent)?;
            let text = client.text(client.request(Method::GET, "/schema")).await.map_err(failure)?;
            print(&format!("{text}\n"))
        }
        XnodeCommand::Backups { cancel, agent, output } => super::xnode_backup::backups(cancel, &agent, output).await,
        XnodeCommand::BackupKey(command) => super::xnode_backup::key(command).await,
        XnodeCommand::Lend(command) => super::xnode_lend::run(command).await,
        XnodeCommand::Restore(asked) => super::xnode_backup::restore(&asked).await,
        XnodeCommand::Secret(command) => secret(command).await,
        XnodeCommand::Doors(arguments) => super::xnode_doors::run(arguments).await,
        XnodeCommand::Join(arguments) => super::xnode_join::join(arguments).await,
        XnodeCommand::Machines(arguments) => super::xnode_join::machines(arguments).await,
        XnodeCommand::Init(arguments) => super::xnode_access::init(arguments),
        XnodeCommand::Alerts(arguments) => super::xnode_alerts::run(arguments).await,
        XnodeCommand::Access(command) => super::xnode_access::run(command).await,
        XnodeCommand::Catalogue(command) => super::xnode_catalogue::run(&command),
    }
}

fn status(node: &Node) -> String {
    let mut text = String::new();
    let generations = match (node.current, node.wanted) {
        (_, 0) => "none yet; `openmesh app new TEMPLATE` or `openmesh app deploy FILE` makes the first".to_string(),
        (current, wanted) if current == wanted => format!("{current}"),
        (current, wanted) => format!("{wanted} is wanted, {current} serves"),
    };
    let rows = [
        ("agent", format!("{} (version {})", node.agent, node.version)),
        ("machine", node.node.clone()),
        ("generation", generations),
        ("work", work(&node.work)),
        ("memory", memory(node)),
        ("load", node.in_use.as_ref().map(load).unwrap_or_default()),
        ("free disk", format!("{} MiB", node.disk_free_bytes >> 20)),
    ];
    for (name, value) in rows.iter().filter(|(_, value)| !value.is_empty()) {
        text += &format!("{name:<11}{value}\n");
    }
    for gpu in &node.gpus {
        let holder = gpu.held_by.as_ref().map_or("free".into(), |holder| format!("held by {holder}"));
        text += &format!("GPU        {} ({}), {}: {holder}\n", gpu.model, gpu.vendor, gpu.address);
    }
    if let Some(Drained { by, reason, .. }) = &node.drained {
        text += &format!("emptied    by {by}: {reason}; openmesh xnode drain --off undoes it\n");
    }
    if let Some(declared) = &node.declared {
        text += &format!("document   {}\n", given(declared));
    }
    for lack in &node.lacks {
        text += &format!("lacks      {lack}\n");
    }
    for trouble in &node.work.troubles {
        text += &format!("trouble    {}\n", trouble_line(trouble));
    }
    text
}

/// Words on a document that is given by a file.
fn given(declared: &Declared) -> String {
    let Declared { file, by, state, generation, .. } = declared;
    let why = || {
        let words = [&declared.cause, &declared.remedy].into_iter().flatten().map(|words| unmarked(words));
        words.collect::<Vec<_>>().join("; ")
    };
    match (state, generation) {
        (DeclaredState::Begins, _) => format!("{file} ({by}) is looked at"),
        (DeclaredState::Taken, Some(number)) => format!("{file} ({by}), taken as generation {number}"),
        (DeclaredState::Taken, None) => format!("{file} ({by}), taken"),
        (DeclaredState::Differs, _) => format!("{file} ({by}) differs: {}", why()),
        (DeclaredState::Refused, _) => format!("{file} ({by}) is not taken: {}", why()),
    }
}

fn memory(node: &Node) -> String {
    let all = node.memory_bytes >> 20;
    match &node.in_use {
        Some(used) => format!("{} of {all} MiB in use", used.memory_bytes >> 20),
        None => format!("{all} MiB"),
    }
}

/// Load of the last minute beside the processors that share it.
fn load(used: &InUse) -> String {
    let hundredths = used.load_milli / 10;
    let processors = if used.processors == 1 { "processor" } else { "processors" };
    format!("{}.{:02} on {} {processors}", hundredths / 100, hundredths % 100, used.processors)
}

fn work(work: &Work) -> String {
    let bytes = work.bytes.map(|(done, all)| format!(" ({} of {} MiB)", done >> 20, all >> 20)).unwrap_or_default();
    match work.state {
        WorkState::Begins => "begins".into(),
        WorkState::Idle => "nothing is wanted of it".into(),
        WorkState::Works => format!("{}{bytes}", work.step.as_deref().unwrap_or("works")),
        WorkState::Rests => "rests: everything is as it is wanted".into(),
        WorkState::Held => "waits: nothing more can be done now".into(),
    }
}

/// A trouble as a person reads it.
pub fn trouble_line(trouble: &Trouble) -> String {
    let again = match trouble.again_in_ms {
        Some(ms) => format!(" (attempt {}, again in {} s)", trouble.attempts, ms.div_ceil(1_000)),
        None => String::new(),
    };
    format!("{}{again}", trouble.cause)
}

async fn secret(command: SecretCommand) -> Result<(), Failure> {
    match command {
        SecretCommand::Set { name, file, agent } => {
            let value = match &file {
                Some(file) => std::fs::read(file).map_err(|error| Failure::from_display(file.display(), &error))?,
                None => {
                    let mut value = Vec::new();
                    let read = std::io::stdin().lock().read_to_end(&mut value);
                    read.map_err(|error| Failure::from_display("standard input", &error))?;
                    value.pop_if(|last| *last == b'\n');
                    value
                }
            };
            let client = client(&agent)?;
            let request = client.request(Method::PUT, &format!("/secrets/{name}")).body(value);
            let version: u32 = ask(&client, request).await?;
            print(&format!("version {version} of `{name}` is set; applications get it by the next deployment\n"))
        }
        SecretCommand::List { agent, output } => {
            let secrets: Vec<Secret> = get(&client(&agent)?, "/secrets").await?;
            if output.json {
                return json(&secrets);
            }
            let users = |secret: &Secret| {
                let users = secret.used_by.iter().map(|(name, version)| format!("{name} (version {version})"));
                users.collect::<Vec<_>>().join(", ")
            };
            let row = |secret: &Secret| {
                vec![secret.name.clone(), secret.version.to_string(), moment(secret.at), users(secret)]
            };
            print(&columns(&["NAME", "VERSION", "SET AT", "USED BY"], &secrets.iter().map(row).collect::<Vec<_>>()))
        }
        SecretCommand::Remove { name, agent } => {
            let client = client(&agent)?;
            client.text(client.request(Method::DELETE, &format!("/secrets/{name}"))).await.map_err(failure)?;
            print(&format!("`{name}` is removed\n"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_says_what_of_it_is_in_use() {
        let json = serde_json::json!({
            "agent": "default", "version": "1", "node": "attic", "current": 1, "wanted": 1,
            "work": { "state": "rests", "step": null, "bytes": null, "troubles": [], "looked_at": null },
            "memory_bytes": 4_u64 << 30, "disk_free_bytes": 20_u64 << 30, "lacks": [],
        });
        let before: Node = serde_json::from_value(json).unwrap();
        let text = status(&before);
        assert!(text.contains("memory     4096 MiB\n") && !text.contains("load"), "{text}");
        let declared = |state: &str| {
            serde_json::json!({
                "file": "/etc/x.json", "by": "NixOS configuration", "state": state, "document": null, "generation": 3,
                "cause": "it would undo generation 4", "remedy": "`openmesh app deploy /etc/x.json` takes it",
            })
        };
        for (state, words) in [
            ("taken", "document   /etc/x.json (NixOS configuration), taken as generation 3\n"),
            ("refused", "is not taken: it would undo generation 4; openmesh app deploy /etc/x.json takes it\n"),
            ("differs", "(NixOS configuration) differs: it would undo"),
        ] {
            let declared: Declared = serde_json::from_value(declared(state)).unwrap();
            let text = status(&Node { declared: Some(declared), ..before.clone() });
            assert!(text.contains(words), "{text}");
        }
        let used = InUse { memory_bytes: 1 << 30, processors: 2, load_milli: 1_050, disk_bytes: 1, disk_all_bytes: 2 };
        let text = status(&Node { in_use: Some(used), ..before });
        assert!(text.contains("memory     1024 of 4096 MiB in use\nload       1.05 on 2 processors\n"), "{text}");
    }

    #[test]
    fn a_machine_lists_its_gpus() {
        let gpu = |address: &str| serde_json::json!({ "address": address, "vendor": "amd", "model": "Radeon" });
        let mut held = gpu("0000:04:00.0");
        held["held_by"] = "chat".into();
        let json = serde_json::json!({
            "agent": "default", "version": "1", "node": "attic", "current": 1, "wanted": 1,
            "work": { "state": "rests", "step": null, "bytes": null, "troubles": [], "looked_at": null },
            "memory_bytes": 1, "disk_free_bytes": 1, "lacks": [], "gpus": [gpu("0000:03:00.0"), held],
        });
        let text = status(&serde_json::from_value(json).unwrap());
        let lines =
            "GPU        Radeon (amd), 0000:03:00.0: free\nGPU        Radeon (amd), 0000:04:00.0: held by chat\n";
        assert!(text.contains(lines), "{text}");
    }
}
