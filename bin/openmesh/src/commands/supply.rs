//! `openmesh supply`, and pictures of pools.

use openmesh_api::SupplyInfo;
use openmesh_ledger::SUPPLY_CAP;
use openmesh_primitives::Amount;

use super::client::Client;
use crate::cli::SupplyArgs;
use crate::failure::Failure;

/// Cells of the longest bar.
const BAR_CELLS: u128 = 40;
/// Share of the cap that fills a bar: the largest pools of the tree have a fifth.
const BAR_WHOLE: u128 = SUPPLY_CAP.0 / 5;

/// Prints the places of the whole of OPEN.
pub async fn run(arguments: SupplyArgs) -> Result<(), Failure> {
    let client = Client::new(&arguments.node.api)?;
    let supply: SupplyInfo = client.get(openmesh_api::path::SUPPLY).await?;
    print!("{}", picture(&supply)?);
    Ok(())
}

fn picture(supply: &SupplyInfo) -> Result<String, Failure> {
    let mut text = format!("after block {}, of {} OPEN\n\n", supply.height, grouped(amount(&supply.cap)?));
    for (place, units) in [
        ("in pools", &supply.pools),
        ("in accounts", &supply.accounts),
        ("deposits", &supply.deposits),
        ("burnt", &supply.burnt),
    ] {
        text += &format!("{place:<12} {:>32} OPEN {:>9}\n", grouped(amount(units)?), share(amount(units)?));
    }
    for group in &supply.groups {
        text += &format!("\n{}\n", group.title);
        for pool in &group.pools {
            text += &line(&pool.name, amount(&pool.balance)?, amount(&pool.allocated)?);
        }
    }
    Ok(text)
}

/// A pool's line: its name, a bar as long as what is in it, with the rest of what it began with in pale, and its share.
pub fn line(name: &str, balance: Amount, allocated: Amount) -> String {
    let cells = |amount: Amount| (amount.0 * BAR_CELLS / BAR_WHOLE).min(BAR_CELLS) as usize;
    // What there is is seen, however little.
    let full = cells(balance).max(usize::from(balance > Amount::ZERO));
    let pale = cells(allocated).saturating_sub(full);
    let bar = "█".repeat(full) + &"░".repeat(pale);
    format!("  {name:<24} {:>14} {:>8}  {bar}\n", grouped(whole(balance)), share(balance))
}

/// Whole OPEN.
fn whole(amount: Amount) -> Amount {
    Amount(amount.0 / Amount::open(1).0 * Amount::open(1).0)
}

/// A share of the cap in per cent, to two digits.
pub fn share(amount: Amount) -> String {
    let parts = amount.0.min(SUPPLY_CAP.0) / (SUPPLY_CAP.0 / 10_000);
    format!("{}.{:02} %", parts / 100, parts % 100)
}

/// An amount of OPEN with commas between the thousands: `1,234.5`.
pub fn grouped(amount: Amount) -> String {
    let text = amount.to_open().to_string();
    let (whole, part) = text.split_once('.').map_or((text.as_str(), None), |(whole, part)| (whole, Some(part)));
    let mut grouped = String::new();
    for (at, digit) in whole.chars().enumerate() {
        if at > 0 && (whole.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    match part {
        Some(part) => format!("{grouped}.{part}"),
        None => grouped,
    }
}

fn amount(text: &str) -> Result<Amount, Failure> {
    text.parse().map_err(|e| Failure::from_display("the node's answer", &e))
}

#[cfg(test)]
mod tests {
    use openmesh_api::{PoolGroup, PoolInfo};

    use super::*;

    #[test]
    fn amounts_and_shares_as_people_read_them() {
        assert_eq!(grouped(Amount(1_234_567 * Amount::open(1).0 + Amount::open(1).0 / 2)), "1,234,567.5");
        assert_eq!((grouped(Amount::open(999)), grouped(Amount::ZERO)), ("999".to_owned(), "0".to_owned()));
        assert_eq!((share(SUPPLY_CAP), share(Amount::open(5_000_000))), ("100.00 %".to_owned(), "0.50 %".to_owned()));
    }

    #[test]
    fn a_bar_is_as_long_as_the_pool_and_shows_the_least_too() {
        let cells = |text: &str, of: char| text.chars().filter(|c| *c == of).count();
        let half = line("node-operators", Amount::open(100_000_000), Amount::open(200_000_000));
        assert_eq!((cells(&half, '█'), cells(&half, '░')), (20, 20), "{half}");
        let least = line("a", Amount(1), Amount(1));
        assert_eq!((cells(&least, '█'), cells(&least, '░')), (1, 0));
        assert_eq!(cells(&line("a", Amount::ZERO, Amount::open(100_000_000)), '░'), 20);
    }

    #[test]
    fn a_picture_names_every_place_and_pool() {
        let pool = |name: &str| PoolInfo {
            name: name.into(),
            title: name.into(),
            allocated: SUPPLY_CAP.to_string(),
            balance: SUPPLY_CAP.to_string(),
        };
        let supply = SupplyInfo {
            height: 7,
            cap: SUPPLY_CAP.to_string(),
            pools: SUPPLY_CAP.to_string(),
            accounts: "0".into(),
            deposits: "0".into(),
            burnt: "0".into(),
            groups: vec![PoolGroup { name: "core".into(), title: "Core".into(), pools: vec![pool("staking")] }],
        };
        let text = picture(&supply).unwrap();
        for word in ["after block 7, of 1,000,000,000 OPEN", "in pools", "burnt", "Core", "staking", "100.00 %"] {
            assert!(text.contains(word), "{word} is not in\n{text}");
        }
        assert!(picture(&SupplyInfo { burnt: "some".into(), ..supply }).is_err());
    }
}
