//! Room for the backups of other machines: given, shown, ended, brought back.

use openmesh_agent::Client;
use openmesh_agent::views::lending::{BringBackWish, Lending, Loan, LoanStanding, LoanWish};
use reqwest::Method;
use serde::Serialize;

use super::agent::{ask, client, columns, get, json, moment, print};
use super::xnode_backup::{asker, size};
use crate::cli::Output;
use crate::cli::lend::{GiveArgs, LendCommand};
use crate::failure::Failure;

/// Digits of a key that a list shows.
const KEY_DIGITS: usize = 16;

/// Runs one of the commands about loans.
pub async fn run(command: LendCommand) -> Result<(), Failure> {
    match command {
        LendCommand::List { agent, output } => {
            let lending: Lending = get(&client(&agent)?, "/loans").await?;
            shown(&lending, output)
        }
        LendCommand::Give(asked) => give(&asked).await,
        LendCommand::End { name, agent, output } => {
            let lending = change(&client(&agent)?, Method::POST, &format!("{name}/end"), None::<()>).await?;
            shown(&lending, output)
        }
        LendCommand::BringBack { name, days, agent, output } => {
            let wish = Some(BringBackWish { days });
            let lending = change(&client(&agent)?, Method::POST, &format!("{name}/bring-back"), wish).await?;
            shown(&lending, output)
        }
        LendCommand::Forget { name, yes, agent, output } => {
            let client = client(&agent)?;
            if !yes {
                let lending: Lending = get(&client, "/loans").await?;
                let found = lending.loans.iter().find(|loan| loan.name == name.as_str());
                let used = found.map_or(0, |loan| loan.used_bytes + loan.held_bytes);
                let text = format!("nothing was removed: {name} has {} of backups here", size(used));
                return Err(Failure::new(text).hint("say --yes to remove them; nobody can bring them back then"));
            }
            let lending = change(&client, Method::DELETE, name.as_str(), None::<()>).await?;
            shown(&lending, output)
        }
    }
}

async fn give(asked: &GiveArgs) -> Result<(), Failure> {
    let (room_bytes, until, held_days) = (asked.room.0, asked.until, asked.hold);
    let (keys, readers) = (asked.keys.clone(), asked.readers.clone());
    let wish = LoanWish { keys, readers, room_bytes, until, held_days };
    let lending = change(&client(&asked.agent)?, Method::PUT, asked.name.as_str(), Some(wish)).await?;
    shown(&lending, asked.output)
}

async fn change(client: &Client, method: Method, path: &str, wish: Option<impl Serialize>) -> Result<Lending, Failure> {
    let request = client.request(method, &format!("/loans/{path}?by={}", asker()));
    let request = match wish {
        Some(wish) => request.body(serde_json::to_vec(&wish).map_err(|e| Failure::from_display("the request", &e))?),
        None => request,
    };
    ask(client, request).await
}

fn shown(lending: &Lending, output: Output) -> Result<(), Failure> {
    if output.json { json(lending) } else { print(&text(lending)) }
}

fn text(lending: &Lending) -> String {
    let mut text = format!("key        {}\n", lending.key);
    for address in &lending.listens {
        text += &format!("listens    {address}\n");
    }
    for trouble in &lending.troubles {
        text += &format!("trouble    {trouble}\n");
    }
    if lending.shut == Some(false) {
        text += "trouble    the kernel lacks landlock, so that the lender is kept in its folders by its user alone\n";
    }
    if let Some(free) = lending.disk_free_bytes {
        text += &format!("free disk  {}\n", size(free));
    }
    if lending.loans.is_empty() {
        return text + "nothing is lent; `openmesh xnode lend give NAME --to KEY --room SIZE` lends room\n";
    }
    let rows: Vec<Vec<String>> = lending.loans.iter().map(row).collect();
    let heads = ["LOAN", "STANDING", "ROOM", "USED", "WITHHELD", "DAYS", "UNTIL", "SEEN", "KEYS", "READERS", "TROUBLE"];
    text += &columns(&heads, &rows);
    let port = lending.listens.first().and_then(|address| address.rsplit_once(':')).map_or("7790", |(_, port)| port);
    let place = format!("{{kind: peer, address: \"THIS-MACHINE:{port}\", node: {}}}", lending.key);
    text + &format!("in the guest's document: machine: {{backups: {{NAME: {place}}}}}\n")
}

fn row(loan: &Loan) -> Vec<String> {
    let short = |keys: &[String]| {
        let keys = keys.iter().map(|key| key.get(..KEY_DIGITS).unwrap_or(key));
        keys.collect::<Vec<_>>().join(", ")
    };
    let trouble = loan.trouble.clone().or_else(|| loan.brings_back.then(|| "removed objects come back".to_owned()));
    vec![
        loan.name.clone(),
        standing(loan.standing).to_owned(),
        size(loan.room_bytes),
        size(loan.used_bytes),
        size(loan.held_bytes),
        loan.held_days.to_string(),
        loan.until.map(moment).unwrap_or_default(),
        loan.seen.map(moment).unwrap_or_default(),
        short(&loan.keys),
        short(&loan.readers),
        trouble.unwrap_or_default(),
    ]
}

fn standing(standing: LoanStanding) -> &'static str {
    match standing {
        LoanStanding::Lent => "lent",
        LoanStanding::Over => "over",
        LoanStanding::Ended => "ended",
        LoanStanding::Going => "going",
    }
}

#[cfg(test)]
mod tests {
    use openmesh_primitives::Timestamp;

    use super::*;

    #[test]
    fn loans_are_shown_with_what_a_guest_writes() {
        let key = "ab".repeat(32);
        let none = Lending {
            key: key.clone(),
            listens: vec![],
            troubles: vec![],
            shut: None,
            disk_free_bytes: Some(1 << 30),
            loans: vec![],
        };
        assert!(text(&none).contains("nothing is lent"));
        let loan = Loan {
            name: "ann".into(),
            keys: vec!["cd".repeat(32)],
            readers: vec!["ef".repeat(32)],
            room_bytes: 2 << 30,
            used_bytes: 5 << 20,
            held_bytes: 0,
            objects: 9,
            until: Some(Timestamp::parse_rfc3339(b"2027-06-30T00:00:00Z").unwrap()),
            held_days: 14,
            standing: LoanStanding::Lent,
            connections: 0,
            seen: None,
            trouble: None,
            brings_back: false,
            by: "root".into(),
            at: Timestamp(0),
        };
        let shown = text(&Lending { listens: vec!["[::]:7791".into()], loans: vec![loan], ..none });
        for part in [
            "ann",
            "2.0 GiB",
            "5 MiB",
            "2027-06-30 00:00:00",
            "cdcdcdcdcdcdcdcd ",
            "  efefefefefefefef\n",
            "THIS-MACHINE:7791",
            &key,
        ] {
            assert!(shown.contains(part), "{part}: {shown}");
        }
    }
}
