//! `openmesh genesis`: the beginning of a network, and the allocation of its supply.

use std::path::Path;

use openmesh_ledger::{Allocation, GROUPS, Genesis, PoolSpec};
use openmesh_primitives::Amount;
use openmesh_storage::files::write_whole;

use super::ceremony;
use super::supply::{grouped, line};
use crate::cli::GenesisCommand;
use crate::failure::{Failure, OrFail as _};

/// Runs one of the genesis commands.
pub fn run(command: &GenesisCommand) -> Result<(), Failure> {
    match command {
        GenesisCommand::Template => print!("{}", Allocation::default().to_file()),
        GenesisCommand::Allocate { file, into } => {
            let allocation = read(file)?;
            print!("{}", picture(&allocation));
            if let Some(genesis) = into {
                put(allocation, genesis)?;
            }
        }
        GenesisCommand::Together(command) => ceremony::run(command)?,
    }
    Ok(())
}

fn read(file: &Path) -> Result<Allocation, Failure> {
    let text = std::fs::read_to_string(file).map_err(|e| {
        Failure::usage(format!("{}: {e}", file.display())).hint("openmesh genesis template prints a file to begin with")
    })?;
    Allocation::from_file(&text).map_err(|error| {
        Failure::usage(format!("{}: {error}", file.display())).hint(
            "every group and pool of the tree stands once, and all sums agree: see docs/spec/supply.md, clause SU-4",
        )
    })
}

/// The allocation as bars: what is left in each pool after the grants, and what was granted in pale.
fn picture(allocation: &Allocation) -> String {
    let mut text = String::new();
    for group in &GROUPS {
        text += &format!("{}\n", group.title);
        let of_group = |name: &str| PoolSpec::of(name).is_some_and(|spec| spec.group == group.name);
        for pool in allocation.pools.iter().filter(|pool| of_group(&pool.pool)) {
            let granted = allocation.grants.iter().filter(|grant| grant.pool == pool.pool);
            let granted = granted.fold(0u128, |sum, grant| sum.saturating_add(grant.amount.0));
            text += &line(&pool.pool, Amount(pool.amount.0.saturating_sub(granted)), pool.amount);
        }
    }
    let granted = allocation.grants.iter().fold(0u128, |sum, grant| sum.saturating_add(grant.amount.0));
    text += &format!("{} grants of {} OPEN\n", allocation.grants.len(), grouped(Amount(granted)));
    text
}

/// Puts an allocation into a genesis, which stays as it was where the two do not go together, and where it is that of a home whose ledger has begun:
/// nothing else may have it any more.
fn put(allocation: Allocation, path: &Path) -> Result<(), Failure> {
    let ledger = path.parent().unwrap_or(Path::new("")).join("data/ledger");
    if ledger.exists() {
        return Err(Failure::usage(format!(
            "{} is the genesis of a network that has begun: {} is there",
            path.display(),
            ledger.display()
        ))
        .hint("allocate into the file that the operators check, before any of them takes it: openmesh genesis collect makes it"));
    }
    let bytes = std::fs::read(path).map_err(|e| Failure::usage(format!("{}: {e}", path.display())))?;
    let mut genesis: Genesis =
        serde_json::from_slice(&bytes).map_err(|e| Failure::usage(format!("{}: {e}", path.display())))?;
    let accounts_from = genesis.allocation.accounts_from;
    genesis.allocation = Allocation { accounts_from, ..allocation };
    genesis.validate().or_fail(path.display())?;
    let text = serde_json::to_vec_pretty(&genesis).map_err(|e| Failure::from_display(path.display(), &e))?;
    write_whole(path, &text).map_err(|e| Failure::from_display(path.display(), &e))?;
    println!("{} is the network {} from now on: every node needs this file", path.display(), genesis.hash());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_genesis_of_a_home_whose_ledger_has_begun_stays() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("genesis.json");
        std::fs::write(&file, "{}").unwrap();
        let before = put(Allocation::default(), &file).unwrap_err();
        assert!(before.message().contains("missing field"), "{before:?}");
        std::fs::create_dir_all(dir.path().join("data/ledger")).unwrap();
        let failure = put(Allocation::default(), &file).unwrap_err();
        assert!(failure.message().contains("has begun") && failure.what_to_do().is_some(), "{failure:?}");
        assert_eq!(std::fs::read(&file).unwrap(), b"{}");
    }
}
