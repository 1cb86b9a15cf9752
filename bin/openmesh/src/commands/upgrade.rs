//! `openmesh upgrade`: the state of upgrades, and validators' ballots about them.

use std::path::Path;
use std::time::{Duration, Instant};

use openmesh_api::{
    ErrorCode, Status, TransactionAccepted, TransactionRequest, UpgradeInfo, UpgradePlanInfo, UpgradeValidator, path,
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
/// Longest wait for the block of a ballot that has the number: as long as for one's own.
const OTHER_BALLOT_TIME: Duration = Duration::from_secs(30);
/// Pause between two looks whether it is there.
const OTHER_BALLOT_PAUSE: Duration = Duration::from_millis(250);

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
pub(super) async fn cast(client: &Client, home: &Path, vote: UpgradeVote) -> Result<(String, Height), Failure> {
    let key = Files::of(home).read_key()?;
    let status: Status = client.get(path::STATUS).await?;
    let (name, hash) = send(client, &key, status.chain_id, &vote).await?;
    Ok((name, account::committed(client, &hash).await?))
}

/// Signs a ballot and sends it, again with the next number where another one has the number by then. Returns the validator's name and the hash.
async fn send(
    client: &Client,
    key: &ValidatorKey,
    chain_id: u64,
    vote: &UpgradeVote,
) -> Result<(String, String), Failure> {
    let mut validator = voter(client, key).await?;
    for tried in 1.. {
        let ballot = UpgradeBallot::sign(key, chain_id, validator.next_ballot, vote.clone());
        let bytes = hex::encode(Transaction::Upgrade(ballot).encode());
        let sent = client.post(path::TRANSACTIONS, &TransactionRequest::Bytes { bytes }).await;
        let failure = match sent {
            Ok(TransactionAccepted { hash }) => return Ok((validator.name, hash)),
            Err(failure) => failure,
        };
        validator = match renumbered(client, key, &validator, &failure).await? {
            Some(now) if tried < TRIES_MAX => now,
            _ => return Err(failure),
        };
    }
    Err(Failure::new("the ballot was not cast"))
}

/// The validator with its next number, where another ballot of it has taken the number of one that was refused. Its node casts some by itself,
/// and one that waits has the number as well: it is in the next block or so.
async fn renumbered(
    client: &Client,
    key: &ValidatorKey,
    before: &UpgradeValidator,
    failure: &Failure,
) -> Result<Option<UpgradeValidator>, Failure> {
    let begun = Instant::now();
    loop {
        let now = voter(client, key).await?;
        if now.next_ballot != before.next_ballot {
            return Ok(Some(now));
        }
        if failure.refusal() != Some(ErrorCode::Mempool) || begun.elapsed() >= OTHER_BALLOT_TIME {
            return Ok(None);
        }
        tokio::time::sleep(OTHER_BALLOT_PAUSE).await;
    }
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
    use openmesh_api::{ApiError, ErrorBody, RuleSetInfo, UpgradeApproval};
    use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};

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

    /// A node that gives these answers, one after the other, and then the last of them for ever. Returns a client of it.
    async fn node(mut answers: Vec<(u16, String)>) -> Client {
        // As `main` does; another test of this program may have done it.
        let _ = rustls::crypto::ring::default_provider().install_default();
        answers.reverse();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        tokio::spawn(async move {
            loop {
                let mut line = BufReader::new(listener.accept().await.unwrap().0);
                let (mut head, mut length) = (String::new(), 0);
                while line.read_line(&mut head).await.unwrap() > 2 {
                    let field = head.to_lowercase();
                    length = field.strip_prefix("content-length:").map_or(length, |text| text.trim().parse().unwrap());
                    head.clear();
                }
                line.read_exact(&mut vec![0u8; length]).await.unwrap();
                let (code, body) = answers.last().unwrap().clone();
                if answers.len() > 1 {
                    answers.pop();
                }
                let fields = format!("content-length: {}\r\nconnection: close", body.len());
                line.write_all(format!("HTTP/1.1 {code} -\r\n{fields}\r\n\r\n{body}").as_bytes()).await.unwrap();
            }
        });
        Client::new(&at).unwrap()
    }

    /// The node's own ballot has the number for the first second after a start, and a person's comes after it.
    #[tokio::test]
    async fn a_ballot_waits_for_the_one_that_has_its_number() {
        let key = ValidatorKey::from_seed([1; 32]);
        let next = |next_ballot| {
            let voter = UpgradeValidator { next_ballot, ..info(&[]).validators[0].clone() };
            let validators = vec![UpgradeValidator { address: key.public().address().to_string(), ..voter }];
            (200, serde_json::to_string(&UpgradeInfo { validators, ..info(&[]) }).unwrap())
        };
        let refused = |code: ErrorCode| {
            let error = ApiError { code, message: "no".into(), hint: None, ledger_code: None };
            (409, serde_json::to_string(&ErrorBody { error }).unwrap())
        };
        let taken = || (200, serde_json::to_string(&TransactionAccepted { hash: "ab".into() }).unwrap());
        let vote = UpgradeVote::Ready { version: 2 };
        // Asked for the number, refused, twice the same number, the next one, taken.
        let answers = vec![next(4), refused(ErrorCode::Mempool), next(4), next(4), next(5), taken()];
        let sent = send(&node(answers).await, &key, 7, &vote).await.unwrap();
        assert_eq!(sent, ("v1".to_owned(), "ab".to_owned()));
        // In a block already when it is refused.
        let answers = vec![next(4), refused(ErrorCode::TransactionRefused), next(5), taken()];
        assert_eq!(send(&node(answers).await, &key, 7, &vote).await.unwrap().1, "ab");
        // Refused for another reason, which no block changes: at once.
        let answers = vec![next(4), refused(ErrorCode::TransactionRefused), next(4)];
        let failure = send(&node(answers).await, &key, 7, &vote).await.unwrap_err();
        assert_eq!(failure.message(), "no (transaction_refused)");
    }
}
