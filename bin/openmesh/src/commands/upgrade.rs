//! `openmesh upgrade`: the state of upgrades, and validators' ballots about them.

use std::path::Path;

use openmesh_api::{
    Status, TransactionAccepted, TransactionRequest, UpgradeInfo, UpgradePlanInfo, UpgradeValidator, path,
};
use openmesh_ledger::{RuleSets, Transaction, UpgradeBallot, UpgradePlan, UpgradeVote};
use openmesh_primitives::{Digest, Height, ValidatorKey};

use super::client::Client;
use super::{account, rehearse};
use crate::cli::{BallotArgs, PlanArgs, UpgradeCommand, Voters};
use crate::failure::Failure;
use crate::node::config::Files;

/// Tries to cast a ballot whose number another ballot of the same validator took meanwhile: its node casts some by itself.
const TRIES_MAX: u32 = 3;

/// Runs one of the upgrade commands.
pub async fn run(command: UpgradeCommand, rule_sets: &RuleSets) -> Result<(), Failure> {
    match command {
        UpgradeCommand::Status { node, output } => {
            let info: UpgradeInfo = Client::new(&node.api)?.get(path::UPGRADE).await?;
            if output.json {
                println!("{}", serde_json::to_string_pretty(&info).map_err(|e| Failure::from_display("JSON", &e))?);
            } else {
                print!("{}", shown(&info));
            }
            Ok(())
        }
        UpgradeCommand::Plan(arguments) => plan(arguments).await,
        UpgradeCommand::Approve(arguments) => {
            let (client, plan) = (Client::new(&arguments.voters.node.api)?, arguments.plan.as_deref());
            let plan = chosen(&client.get::<UpgradeInfo>(path::UPGRADE).await?, plan)?;
            approve(&client, &arguments.voters, &plan).await
        }
        UpgradeCommand::Withdraw(arguments) => withdraw(arguments).await,
        UpgradeCommand::Rehearse(arguments) => rehearse::run(arguments, rule_sets).await,
    }
}

async fn plan(arguments: PlanArgs) -> Result<(), Failure> {
    let PlanArgs { rules: version, height, release, digest, voters } = arguments;
    let plan = UpgradePlan { version, height, release, digest };
    plan.validate().map_err(|fault| Failure::usage(format!("the plan is refused: {fault}")))?;
    approve(&Client::new(&voters.node.api)?, &voters, &plan).await
}

async fn approve(client: &Client, voters: &Voters, plan: &UpgradePlan) -> Result<(), Failure> {
    for home in &voters.homes {
        let (name, height) = cast(client, home, UpgradeVote::Approve(plan.clone())).await?;
        println!("{name} approves plan {} in block {height}", plan.id());
    }
    let info: UpgradeInfo = client.get(path::UPGRADE).await?;
    if let Some(shown) = info.plans.iter().find(|shown| shown.id == plan.id().to_string()) {
        println!("{}", approval(shown));
    }
    Ok(())
}

async fn withdraw(arguments: BallotArgs) -> Result<(), Failure> {
    let client = Client::new(&arguments.voters.node.api)?;
    let plan = chosen(&client.get::<UpgradeInfo>(path::UPGRADE).await?, arguments.plan.as_deref())?;
    for home in &arguments.voters.homes {
        let vote = UpgradeVote::Withdraw { height: plan.height, plan: plan.id() };
        let (name, height) = cast(&client, home, vote).await?;
        println!("{name} withdraws its approval of plan {} in block {height}", plan.id());
    }
    Ok(())
}

/// Signs a ballot with the key in a home, sends it and waits for its block. Returns the validator's name and the height.
async fn cast(client: &Client, home: &Path, vote: UpgradeVote) -> Result<(String, Height), Failure> {
    let key = Files::of(home).read_key()?;
    let status: Status = client.get(path::STATUS).await?;
    let mut validator = voter(client, &key).await?;
    for tried in 1.. {
        let ballot = UpgradeBallot::sign(&key, status.chain_id, validator.next_ballot, vote.clone());
        let bytes = hex::encode(Transaction::Upgrade(ballot).encode());
        let sent = client.post(path::TRANSACTIONS, &TransactionRequest::Bytes { bytes }).await;
        let failure = match sent {
            Ok(TransactionAccepted { hash }) => return Ok((validator.name, account::committed(client, &hash).await?)),
            Err(failure) => failure,
        };
        let now = voter(client, &key).await?;
        if now.next_ballot == validator.next_ballot || tried == TRIES_MAX {
            return Err(failure);
        }
        validator = now;
    }
    Err(Failure::new("the ballot was not cast"))
}

/// The validator of a key, as the network has it.
async fn voter(client: &Client, key: &ValidatorKey) -> Result<UpgradeValidator, Failure> {
    let (address, info) = (key.public().address().to_string(), client.get::<UpgradeInfo>(path::UPGRADE).await?);
    info.validators.into_iter().find(|validator| validator.address == address).ok_or_else(|| {
        Failure::new(format!("{address} is not among the validators in force, whose ballots alone count"))
            .hint("the key of --home DIR is that of another network, or of a node that is no validator")
    })
}

/// The plan that a person means.
fn chosen(info: &UpgradeInfo, text: Option<&str>) -> Result<UpgradePlan, Failure> {
    let of = |plan: &&UpgradePlanInfo| text.is_none_or(|text| plan.id.starts_with(&text.to_lowercase()));
    let mut found = info.plans.iter().filter(of);
    let hint = "openmesh upgrade status lists the plans";
    let plan = match (found.next(), found.next(), text) {
        (Some(plan), None, _) => plan,
        (Some(_), Some(_), Some(text)) => {
            return Err(Failure::usage(format!("several plans begin with {text}: give more of its digits")).hint(hint));
        }
        (Some(_), Some(_), None) => return Err(Failure::usage("there are several plans: name one").hint(hint)),
        (None, _, Some(text)) => return Err(Failure::usage(format!("there is no plan {text}")).hint(hint)),
        (None, _, None) => {
            return Err(Failure::usage("there is no plan").hint("openmesh upgrade plan makes one"));
        }
    };
    let digest: Digest = plan.digest.parse().map_err(|e| Failure::from_display("the node's answer", &e))?;
    Ok(UpgradePlan { version: plan.version, height: plan.height, release: plan.release.clone(), digest })
}

/// Progress of a plan, in a sentence.
fn approval(plan: &UpgradePlanInfo) -> String {
    let needed = plan.total_power * 2 / 3 + 1;
    match plan.stands {
        true => format!("the plan stands: {} of {} of the power approve it", plan.power, plan.total_power),
        false => format!("{} of {} of the power approve it, {needed} are needed", plan.power, plan.total_power),
    }
}

/// Time until a height, as far as it can be told.
fn until(info: &UpgradeInfo, height: Height) -> String {
    let left = height.saturating_sub(info.height);
    let Some(block_ms) = info.block_ms else { return format!("in {left} blocks") };
    let seconds = left.saturating_mul(block_ms) / 1_000;
    format!("in {left} blocks, about {}", humantime::format_duration(std::time::Duration::from_secs(seconds)))
}

/// The state of upgrades for a person.
fn shown(info: &UpgradeInfo) -> String {
    let name = |version| info.known.iter().find(|set| set.version == version).map_or("", |set| set.name.as_str());
    let newest = info.known.last().map_or(0, |set| set.version);
    let mut text = format!(
        "height       {}\nrules        {} {} since height {}\nthis node    knows rule sets up to {newest}\n",
        info.height,
        info.version,
        name(info.version),
        info.since
    );
    if info.plans.is_empty() {
        text += "plans        none\n";
    }
    for plan in &info.plans {
        text += &format!(
            "\nplan         {}\n  rules      {} at height {}, {}\n  release    {} (SHA-256 {})\n  approval   {}\n  ready      {} of {} of the power\n",
            plan.id,
            plan.version,
            plan.height,
            until(info, plan.height),
            plan.release,
            plan.digest,
            approval(plan),
            plan.ready_power,
            plan.total_power
        );
        if !plan.known_here {
            text += &format!("  this node  stops before it: install {}\n", plan.release);
        }
        for validator in &info.validators {
            let approves = plan.approvals.iter().any(|approval| approval.validator == validator.address);
            let ready = if validator.knows >= plan.version { "ready" } else { "not ready" };
            let word = if approves { "approves" } else { "-" };
            text += &format!("  {:<10} power {:<8} {word:<9} {ready}\n", validator.name, validator.power);
        }
    }
    if let Some(lapsed) = &info.lapsed {
        text += &format!(
            "\nlapsed       rules {} at height {} ({}): {}, {} of {} of the power\n",
            lapsed.version, lapsed.height, lapsed.release, lapsed.reason, lapsed.power, lapsed.total_power
        );
    }
    for done in &info.history {
        let root = done.migrated_root.as_ref().map(|root| format!(", root after the migration {root}"));
        text += &format!(
            "\nupgraded     from {} to {} at height {} ({}){}\n",
            done.from,
            done.version,
            done.height,
            done.release,
            root.unwrap_or_default()
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use openmesh_api::{RuleSetInfo, UpgradeApproval};

    fn info(plans: &[(&str, u64)]) -> UpgradeInfo {
        let validator = |n: u8| UpgradeValidator {
            address: format!("0x{n}"),
            name: format!("v{n}"),
            power: 1,
            knows: u32::from(n),
            next_ballot: 0,
        };
        let plan = |(id, height): &(&str, u64)| UpgradePlanInfo {
            id: (*id).to_owned(),
            version: 2,
            height: *height,
            release: "openmesh-2".into(),
            digest: Digest::ZERO.to_string(),
            proposer: "0x1".into(),
            proposed_height: 3,
            approvals: vec![UpgradeApproval { validator: "0x1".into(), height: 3 }],
            power: 1,
            total_power: 3,
            stands: false,
            ready_power: 2,
            known_here: false,
        };
        UpgradeInfo {
            height: 10,
            version: 1,
            since: 0,
            known: vec![RuleSetInfo { version: 1, name: "genesis".into(), changes: Vec::new() }],
            block_ms: Some(500),
            plans: plans.iter().map(plan).collect(),
            validators: (1..=3).map(validator).collect(),
            history: Vec::new(),
            lapsed: None,
        }
    }

    #[test]
    fn a_plan_is_named_by_its_first_digits() {
        let two = info(&[("ab12", 100), ("ab34", 200)]);
        assert_eq!(chosen(&two, Some("AB3")).unwrap().height, 200);
        assert!(chosen(&two, Some("ab")).unwrap_err().message().contains("several plans begin with ab"));
        assert!(chosen(&two, Some("cd")).unwrap_err().message().contains("no plan cd"));
        assert!(chosen(&two, None).unwrap_err().message().contains("name one"));
        assert_eq!(chosen(&info(&[("ab12", 100)]), None).unwrap().height, 100);
        assert!(chosen(&info(&[]), None).unwrap_err().message().contains("there is no plan"));
    }

    #[test]
    fn the_status_says_what_is_missing() {
        let text = shown(&info(&[("ab12", 100)]));
        for part in
            ["1 genesis since height 0", "in 90 blocks, about 45s", "1 of 3 of the power approve it, 3 are needed"]
        {
            assert!(text.contains(part), "{part} in\n{text}");
        }
        assert!(text.contains("stops before it: install openmesh-2") && text.contains("not ready"), "{text}");
        assert!(shown(&info(&[])).contains("plans        none"));
    }
}
