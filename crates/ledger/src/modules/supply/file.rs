//! Files of an allocation: a line for the cap, one for each group, pool and grant, with sums that have to agree. Clause SU-4 of
//! `docs/spec/supply.md`.
//!
//! ```text
//! supply 1000000000
//! group core 360000000
//!   pool node-operators 200000000
//!     grant 0x00000000000000000000000000000000000000aa 2500.5
//! ```

use std::collections::BTreeSet;
use std::fmt::Write as _;

use openmesh_primitives::{Address, Amount, OPEN_DECIMALS};

use super::allocation::{Allocation, Grant, PoolAmount};
use super::limits::{GRANTS_MAX, SUPPLY_CAP};
use super::tree::{GROUPS, GroupSpec, POOLS, PoolSpec};

/// A refusal of a file, with its line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {fault}")]
pub struct AllocationFileError {
    /// Number of the line, from 1.
    pub line: usize,
    /// The fault.
    pub fault: FileFault,
}

/// A fault of a line of a file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FileFault {
    /// Not a line of this form.
    #[error("{0:?}: supply AMOUNT, group NAME AMOUNT, pool NAME AMOUNT or grant ADDRESS AMOUNT is expected")]
    Form(String),
    /// Not an amount of OPEN.
    #[error("{0:?} is not an amount of OPEN: digits, with at most {OPEN_DECIMALS} after a point")]
    Amount(String),
    /// Not an address.
    #[error("{0:?} is not an address: 0x and 40 hexadecimal digits")]
    Address(String),
    /// The first line is another one, or comes again.
    #[error("the first line is supply AMOUNT, and no other one is")]
    Supply,
    /// Another supply than the cap.
    #[error("the supply is {} OPEN, the cap is {} OPEN", .0.to_open(), SUPPLY_CAP.to_open())]
    Cap(Amount),
    /// Another name than the tree's next.
    #[error("{got:?} stands where the tree has {expected:?}: each of its groups and pools stands once, in its order")]
    Order {
        /// `group core`, or `nothing more`.
        expected: String,
        /// As the file has it, or `nothing more`.
        got: String,
    },
    /// The groups do not sum to the supply.
    #[error("the groups sum to {} OPEN, the supply is {} OPEN: {}", got.to_open(), expected.to_open(), apart(*got, *expected))]
    Groups {
        /// The supply.
        expected: Amount,
        /// Sum of the groups.
        got: Amount,
    },
    /// The pools of a group do not sum to it.
    #[error("the pools of {group} sum to {} OPEN, the group has {} OPEN: {}", got.to_open(), expected.to_open(), apart(*got, *expected))]
    Pools {
        /// Name of the group.
        group: &'static str,
        /// Amount of the group.
        expected: Amount,
        /// Sum of its pools.
        got: Amount,
    },
    /// A grant of nothing.
    #[error("a grant of nothing")]
    Nothing,
    /// Twice the same account of one pool.
    #[error("{0} is granted something of this pool already")]
    Twice(Address),
    /// More granted than the pool has.
    #[error("with this grant {} OPEN of {pool} are granted, it has {} OPEN", granted.to_open(), amount.to_open())]
    Overdrawn {
        /// Name of the pool.
        pool: &'static str,
        /// Granted with this line.
        granted: Amount,
        /// In the pool.
        amount: Amount,
    },
    /// A grant before the first pool.
    #[error("a grant stands under its pool")]
    NoPool,
    /// More grants than a genesis may have.
    #[error("there are more than {GRANTS_MAX} grants")]
    Grants,
}

/// The difference of a sum in words.
fn apart(got: Amount, expected: Amount) -> String {
    match got.checked_sub(expected) {
        Some(more) => format!("{} OPEN too much", more.to_open()),
        None => format!("{} OPEN too little", Amount(expected.0 - got.0).to_open()),
    }
}

/// A file being read.
#[derive(Default)]
struct Reader {
    supply: Option<(usize, Amount)>,
    group: Option<Group>,
    /// Sum of the groups so far; stays at the highest number, which is above every right one.
    groups_sum: Amount,
    groups: usize,
    pools: Vec<PoolAmount>,
    /// Granted of the pool at the end of `pools`.
    granted: Amount,
    granted_to: BTreeSet<Address>,
    grants: Vec<Grant>,
}

/// The group whose pools are being read.
#[derive(Clone, Copy)]
struct Group {
    line: usize,
    spec: &'static GroupSpec,
    amount: Amount,
    pools_sum: Amount,
}

impl Allocation {
    /// Reads a file. Fails with the first line that is not as it must be; a sum that is wrong is told at the line that states
    /// it, what is missing at the end at the last line.
    pub fn from_file(text: &str) -> Result<Allocation, AllocationFileError> {
        let mut reader = Reader::default();
        let mut last = 1;
        for (line, content) in (1..).zip(text.lines()) {
            let content = content.split('#').next().unwrap_or_default();
            let words: Vec<&str> = content.split_whitespace().collect();
            if !words.is_empty() {
                last = line;
                reader.line(line, &words)?;
            }
        }
        reader.end(last)
    }

    /// The allocation as a file that [`Allocation::from_file`] reads.
    pub fn to_file(&self) -> String {
        let mut text = format!("# Allocation of the supply, in OPEN.\nsupply {}\n", SUPPLY_CAP.to_open());
        for group in &GROUPS {
            let is_of_group =
                |pool: &&PoolAmount| PoolSpec::of(&pool.pool).is_some_and(|spec| spec.group == group.name);
            let of_group: Vec<&PoolAmount> = self.pools.iter().filter(is_of_group).collect();
            let sum = of_group.iter().fold(Amount::ZERO, |sum, pool| plus(sum, pool.amount));
            // A text takes every write.
            let _ = writeln!(text, "\n# {}\ngroup {} {}", group.title, group.name, sum.to_open());
            for PoolAmount { pool, amount } in of_group {
                let _ = writeln!(text, "  pool {pool} {}", amount.to_open());
                for Grant { to, amount, .. } in self.grants.iter().filter(|grant| grant.pool == *pool) {
                    let _ = writeln!(text, "    grant {to} {}", amount.to_open());
                }
            }
        }
        text
    }
}

impl Reader {
    fn line(&mut self, line: usize, words: &[&str]) -> Result<(), AllocationFileError> {
        let read = match words {
            ["supply", amount] => self.supply(line, amount),
            _ if self.supply.is_none() => Err(FileFault::Supply),
            ["group", name, amount] => return self.group(line, name, amount),
            ["pool", name, amount] => self.pool(name, amount),
            ["grant", to, amount] => self.grant(to, amount),
            _ => Err(FileFault::Form(words.join(" ").chars().take(80).collect())),
        };
        read.map_err(|fault| AllocationFileError { line, fault })
    }

    fn supply(&mut self, line: usize, amount: &str) -> Result<(), FileFault> {
        if self.supply.is_some() {
            return Err(FileFault::Supply);
        }
        let amount = open(amount)?;
        if amount != SUPPLY_CAP {
            return Err(FileFault::Cap(amount));
        }
        self.supply = Some((line, amount));
        Ok(())
    }

    fn group(&mut self, line: usize, name: &str, amount: &str) -> Result<(), AllocationFileError> {
        self.end_group(line, &format!("group {name}"))?;
        let failed = |fault| AllocationFileError { line, fault };
        let spec = GROUPS.get(self.groups).filter(|spec| spec.name == name);
        let spec = spec.ok_or_else(|| failed(other(self.next_group(), &format!("group {name}"))))?;
        let amount = open(amount).map_err(failed)?;
        self.groups += 1;
        self.groups_sum = plus(self.groups_sum, amount);
        self.group = Some(Group { line, spec, amount, pools_sum: Amount::ZERO });
        Ok(())
    }

    /// Ends the group in progress, if there is one: it has all its pools, and they sum to it.
    fn end_group(&mut self, line: usize, next: &str) -> Result<(), AllocationFileError> {
        let Some(group) = self.group.take() else { return Ok(()) };
        if let Some(spec) = self.next_pool().filter(|spec| spec.group == group.spec.name) {
            return Err(AllocationFileError { line, fault: other(format!("pool {}", spec.name), next) });
        }
        if group.pools_sum == group.amount {
            return Ok(());
        }
        let fault = FileFault::Pools { group: group.spec.name, expected: group.amount, got: group.pools_sum };
        Err(AllocationFileError { line: group.line, fault })
    }

    fn pool(&mut self, name: &str, amount: &str) -> Result<(), FileFault> {
        let got = format!("pool {name}");
        let Some(group) = self.group else { return Err(other(self.next_group(), &got)) };
        let spec = match self.next_pool().filter(|spec| spec.group == group.spec.name) {
            Some(spec) if spec.name == name => spec,
            Some(spec) => return Err(other(format!("pool {}", spec.name), &got)),
            None => return Err(other(self.next_group(), &got)),
        };
        let amount = open(amount)?;
        self.group = Some(Group { pools_sum: plus(group.pools_sum, amount), ..group });
        self.pools.push(PoolAmount { pool: spec.name.to_string(), amount });
        (self.granted, self.granted_to) = (Amount::ZERO, BTreeSet::new());
        Ok(())
    }

    fn grant(&mut self, to: &str, amount: &str) -> Result<(), FileFault> {
        let (Some(whole), Some(spec)) = (self.pools.last(), self.pools.len().checked_sub(1).and_then(|n| POOLS.get(n)))
        else {
            return Err(FileFault::NoPool);
        };
        // Under a group without a pool yet it would stand under the pool before.
        if self.group.is_some_and(|group| group.spec.name != spec.group) {
            return Err(FileFault::NoPool);
        }
        let address: Address = to.parse().map_err(|_| FileFault::Address(to.chars().take(64).collect()))?;
        let amount = open(amount)?;
        if amount == Amount::ZERO {
            return Err(FileFault::Nothing);
        }
        if self.grants.len() >= GRANTS_MAX {
            return Err(FileFault::Grants);
        }
        if !self.granted_to.insert(address) {
            return Err(FileFault::Twice(address));
        }
        self.granted = plus(self.granted, amount);
        if self.granted > whole.amount {
            return Err(FileFault::Overdrawn { pool: spec.name, granted: self.granted, amount: whole.amount });
        }
        self.grants.push(Grant { pool: spec.name.to_string(), to: address, amount });
        Ok(())
    }

    fn end(mut self, last: usize) -> Result<Allocation, AllocationFileError> {
        let Some((line, expected)) = self.supply else {
            return Err(AllocationFileError { line: last, fault: FileFault::Supply });
        };
        self.end_group(last, "nothing more")?;
        if self.groups < GROUPS.len() {
            return Err(AllocationFileError { line: last, fault: other(self.next_group(), "nothing more") });
        }
        if self.groups_sum != expected {
            let fault = FileFault::Groups { expected, got: self.groups_sum };
            return Err(AllocationFileError { line, fault });
        }
        Ok(Allocation { pools: self.pools, grants: self.grants, ..Allocation::default() })
    }

    fn next_pool(&self) -> Option<&'static PoolSpec> {
        POOLS.get(self.pools.len())
    }

    fn next_group(&self) -> String {
        GROUPS.get(self.groups).map_or_else(|| "nothing more".to_string(), |spec| format!("group {}", spec.name))
    }
}

fn other(expected: String, got: &str) -> FileFault {
    FileFault::Order { expected, got: got.chars().take(64).collect() }
}

/// Adds, and stays at the highest number.
fn plus(sum: Amount, amount: Amount) -> Amount {
    Amount(sum.0.saturating_add(amount.0))
}

/// An amount of OPEN as a person writes it: digits, and at most 18 after a point.
fn open(text: &str) -> Result<Amount, FileFault> {
    let wrong = || FileFault::Amount(text.chars().take(64).collect());
    let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || !digits(part) || part.len() > usize::from(OPEN_DECIMALS) {
        return Err(wrong());
    }
    let units = format!("{whole}{part:0<width$}", width = usize::from(OPEN_DECIMALS));
    units.parse().map(Amount).map_err(|_| wrong())
}
