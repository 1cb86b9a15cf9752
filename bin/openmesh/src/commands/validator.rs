//! `openmesh validator`: a node for its operator: what it signs and misses, its key, its alerts.
//! `docs/spec/operators.md`, clauses O-14 to O-17.

use std::path::Path;

use openmesh_alerts::{AlertEvent, body};
use openmesh_api::{NodeAlertSeverity, NodeSigning, NodeState, NodeWebhook};
use openmesh_ledger::UpgradeVote;
use openmesh_primitives::Timestamp;
use serde_json::json;

use super::agent::{json as print_json, print};
use super::client::Client;
use super::upgrade;
use crate::cli::ValidatorCommand;
use crate::failure::Failure;
use crate::node::card::Card;
use crate::node::config::{Files, NodeConfig};
use crate::node::health::{self, webhooks};

/// Exit codes of `validator status`, for monitoring: 1 and 2 are those of every command.
const WARNING: u8 = 3;
/// See [`WARNING`].
const CRITICAL: u8 = 4;
/// See [`WARNING`].
const SILENT: u8 = 5;

/// Time for which nobody shouts that a node does not sign, seconds.
const BEGINS_SECONDS: u64 = 30;

/// Runs one of the validator commands.
pub async fn run(command: ValidatorCommand) -> Result<(), Failure> {
    match command {
        ValidatorCommand::Status { node, signs, output } => {
            let client = Client::new(&node.api)?;
            let state: NodeState =
                client.get(openmesh_api::path::NODE).await.map_err(|failure| failure.with_code(SILENT))?;
            if output.json {
                print_json(&state)?;
            } else {
                print(&told(&state))?;
            }
            verdict(&state)?;
            match signs && !is_signing(&state) {
                true => Err(Failure::new("no alert is open, and it does not sign yet").with_code(WARNING)),
                false => Ok(()),
            }
        }
        ValidatorCommand::Show { home, output } => {
            let files = Files::of(&home);
            let key = files.read_key()?.public();
            let card = files.card().exists().then(|| Card::read(&files.card())).transpose()?;
            let card = card.filter(|card| card.public_key == key);
            if output.json {
                return print_json(&json!({ "public_key": key, "address": key.address(), "card": card }));
            }
            let mut text = format!("public key  {key}\naddress     {}\n", key.address());
            if let Some(card) = card {
                text += &format!("name        {}\npeer        {}\n", card.name, card.peer);
            }
            print(&text)
        }
        ValidatorCommand::Payout { account, home, node } => {
            let client = Client::new(&node.api)?;
            let (name, height) = upgrade::cast(&client, &home, UpgradeVote::Payout { account }).await?;
            print(&format!("the tips of blocks of {name} go to {account}, from block {height} on\n"))
        }
        ValidatorCommand::TestAlert { home } => test_alert(&home).await,
    }
}

/// True for a validator that is in step and has signed since it began.
fn is_signing(state: &NodeState) -> bool {
    !state.syncing && state.signing.as_ref().is_some_and(|signing| signing.signs)
}

/// Success where no alert is open; else a failure with the exit code of the worst one.
fn verdict(state: &NodeState) -> Result<(), Failure> {
    let Some(worst) = state.alerts.iter().map(|alert| alert.severity).max() else { return Ok(()) };
    let count = state.alerts.len();
    let (code, word) = match worst {
        NodeAlertSeverity::Critical => (CRITICAL, "critical"),
        NodeAlertSeverity::Warning => (WARNING, "a warning"),
    };
    let are = if count == 1 { "alert is open" } else { "alerts are open" };
    Err(Failure::new(format!("{count} {are}, the worst is {word}")).with_code(code))
}

/// The state in words.
fn told(state: &NodeState) -> String {
    let mut lines = vec![
        ("node", format!("{} of {} (chain id {})", state.role.as_str(), state.network.name, state.network.chain_id)),
        ("address", state.address.clone()),
        ("version", format!("{}, up for {}", state.version, duration(state.uptime_seconds))),
        ("height", height(state)),
        ("signs", signs(state)),
        ("peers", format!("{} of consensus, {} of the network", state.consensus_peers, state.network_peers)),
        ("clock", clock(state)),
    ];
    if let Some(signing) = &state.signing {
        lines.push(("payout", payout(signing)));
    }
    for disk in &state.disks {
        lines.push(("disk", format!("{} MiB free at {}", disk.free_bytes >> 20, disk.folder)));
    }
    for NodeWebhook { name, waiting, trouble } in &state.webhooks {
        let trouble = trouble.as_ref().map(|trouble| format!("; {trouble}")).unwrap_or_default();
        lines.push(("webhook", format!("{name}, {waiting} messages wait{trouble}")));
    }
    let mut text: String = lines.iter().map(|(word, rest)| format!("{word:<9} {rest}\n")).collect();
    for alert in &state.alerts {
        let word = if alert.severity == NodeAlertSeverity::Critical { "CRITICAL" } else { "warning" };
        text += &format!(
            "{word:<9} {}, since {}: {}\n          -> {}\n",
            alert.kind.as_str(),
            alert.begin,
            alert.cause,
            alert.remedy
        );
    }
    if state.alerts.is_empty() {
        text += "all is well\n";
    }
    text
}

fn height(state: &NodeState) -> String {
    let behind = if state.syncing { ", behind its peers" } else { "" };
    let oldest = match state.oldest_block {
        0 => String::new(),
        oldest => format!(", blocks from {oldest} on"),
    };
    format!("{}, {}.{} s old{behind}{oldest}", state.height, state.lag_ms / 1_000, state.lag_ms % 1_000 / 100)
}

fn signs(state: &NodeState) -> String {
    let Some(signing) = &state.signing else {
        return match state.meant_to_validate {
            true => "no: the validator set does not have its key".into(),
            false => "no: it follows".into(),
        };
    };
    let NodeSigning { power, total_power, recent, missed, last_signed_height, signs, .. } = signing;
    let word = match (recent, signs) {
        (0, _) => "not known yet",
        (_, true) => "yes",
        // Its first signature of this run comes with the second block of it.
        (_, false) if state.uptime_seconds < BEGINS_SECONDS => "not yet",
        (_, false) => "NO",
    };
    let last = last_signed_height.map(|height| format!(", last {height}")).unwrap_or_default();
    format!("{word}: {missed} of the last {recent} missed{last}; power {power} of {total_power}")
}

fn payout(signing: &NodeSigning) -> String {
    let none = || "none: nobody can spend the tips of its blocks; openmesh validator payout ADDRESS names an account";
    signing.payout.clone().unwrap_or_else(|| none().into())
}

fn clock(state: &NodeState) -> String {
    match state.clock.offset_ms {
        None => "no peer has told its time yet".into(),
        Some(0) => format!("as those of {} peers", state.clock.peers),
        Some(ms) => {
            let way = if ms > 0 { "behind" } else { "ahead of" };
            format!("{} ms {way} the middle of {} peers", ms.unsigned_abs(), state.clock.peers)
        }
    }
}

fn duration(seconds: u64) -> String {
    humantime::format_duration(std::time::Duration::from_secs(seconds)).to_string()
}

/// Sends a test to each webhook of a home, once and at once.
async fn test_alert(home: &Path) -> Result<(), Failure> {
    let files = Files::of(home);
    let (config, key) = (NodeConfig::read(&files)?, files.read_key()?.public());
    if config.alerts.webhooks.is_empty() {
        return Err(Failure::usage(format!("{} names no webhook", files.config().display()))
            .hint("[alerts.webhooks.NAME] with url and secret_file"));
    }
    // Without a genesis nobody else has a name for it.
    let genesis = files.genesis().exists().then(|| files.read_genesis()).transpose()?;
    let (network, own) = match &genesis {
        Some(genesis) => (genesis.name.clone(), health::name_of(genesis, &key)),
        None => (String::new(), key.address().to_string()),
    };
    let mut failed = 0;
    for (name, webhook) in &config.alerts.webhooks {
        let now = Timestamp::now();
        let sent = match webhooks::receiver(home, webhook) {
            Ok(receiver) => {
                let data = health::data(&network, &own, &key, None);
                let id = format!("{}-test-{}", key.address(), now.nanos());
                receiver.post(&id, body(AlertEvent::Test, now, &data)).await
            }
            Err(cause) => Err(cause),
        };
        failed += u32::from(sent.is_err());
        let word = sent.map_or_else(|cause| format!("not taken: {cause}"), |()| "taken".to_owned());
        print(&format!("{name:<12} {word}\n"))?;
    }
    match failed {
        0 => Ok(()),
        failed => Err(Failure::new(format!("{failed} webhooks did not take the test"))
            .hint("alerts that nobody takes are tried for a day, and named in the state then")),
    }
}

#[cfg(test)]
mod tests {
    use openmesh_api::{NodeAlert, NodeAlertKind, NodeClock, NodeDisk, NodeNetwork, NodeRole};

    use super::*;

    fn state() -> NodeState {
        NodeState {
            version: "1.2.3".into(),
            network: NodeNetwork { name: "five".into(), chain_id: 7, genesis: "ab".into() },
            role: NodeRole::Validator,
            meant_to_validate: true,
            address: "0x01".into(),
            public_key: "cd".into(),
            time: "2026-12-01T00:00:00Z".into(),
            uptime_seconds: 61,
            height: 12,
            lag_ms: 1_250,
            idle_block_ms: 1_000,
            syncing: false,
            oldest_block: 1,
            signing: Some(NodeSigning {
                payout: Some("0x05".into()),
                power: 100,
                total_power: 400,
                recent: 11,
                missed: 1,
                last_signed_height: Some(11),
                signs: true,
            }),
            consensus_peers: 3,
            network_peers: 4,
            clock: NodeClock { offset_ms: Some(-12), peers: 4 },
            disks: vec![NodeDisk { folder: "/data".into(), free_bytes: 5 << 30 }],
            alerts: Vec::new(),
            webhooks: Vec::new(),
        }
    }

    fn alert(severity: NodeAlertSeverity) -> NodeAlert {
        NodeAlert {
            id: 1,
            kind: NodeAlertKind::Disk,
            subject: None,
            severity,
            cause: "7 MiB are free".into(),
            remedy: "free space".into(),
            begin: "2026-12-01T00:00:00Z".into(),
        }
    }

    #[test]
    fn the_exit_code_is_that_of_the_worst_alert() {
        let with = |alerts: Vec<NodeAlert>| verdict(&NodeState { alerts, ..state() });
        assert!(with(Vec::new()).is_ok());
        let warning = alert(NodeAlertSeverity::Warning);
        assert_eq!(with(vec![warning.clone()]).unwrap_err().code(), WARNING);
        assert_eq!(with(vec![warning, alert(NodeAlertSeverity::Critical)]).unwrap_err().code(), CRITICAL);
    }

    #[test]
    fn everything_that_an_operator_asks_stands_there() {
        let text = told(&state());
        for words in [
            "validator of five (chain id 7)",
            "1.2.3, up for 1m 1s",
            "12, 1.2 s old, blocks from 1 on",
            "yes: 1 of the last 11 missed, last 11; power 100 of 400",
            "3 of consensus, 4 of the network",
            "payout    0x05\n",
            "12 ms ahead of the middle of 4 peers",
            "5120 MiB free at /data",
            "all is well",
        ] {
            assert!(text.contains(words), "{words:?} is not in\n{text}");
        }
        let unpaid = state().signing.map(|signing| NodeSigning { payout: None, ..signing });
        assert!(told(&NodeState { signing: unpaid, ..state() }).contains("payout    none: nobody can spend"));
        let off = |uptime_seconds| {
            let signing = state().signing.map(|signing| NodeSigning { signs: false, ..signing });
            NodeState { signing, uptime_seconds, ..state() }
        };
        assert!(told(&off(61)).contains("NO: 1 of the last 11") && told(&off(5)).contains("not yet: 1 of"));
        assert!(is_signing(&state()) && !is_signing(&off(61)) && !is_signing(&NodeState { syncing: true, ..state() }));
        let follows = NodeState { signing: None, meant_to_validate: false, role: NodeRole::Full, ..state() };
        assert!(told(&follows).contains("no: it follows"));
        let full = NodeState { alerts: vec![alert(NodeAlertSeverity::Critical)], ..state() };
        let text = told(&full);
        assert!(text.contains("CRITICAL  disk, since") && text.contains("-> free space"), "{text}");
        assert!(!text.contains("all is well"), "{text}");
    }
}
