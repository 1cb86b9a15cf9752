//! A block's execution in progress, as the modules see it: the state with the writes of the block so far, the rules, and what
//! the block gives beside its writes.

use std::collections::{BTreeMap, BTreeSet};

use openmesh_primitives::{Address, Amount, Digest, Height};

use crate::event::LedgerEvent;
use crate::fact::Fact;
use crate::modules::accounts::Account;
use crate::modules::fees::Collected;
use crate::modules::supply::Moved;
use crate::rules::Rules;
use crate::state::{Overlay, StateRead};

/// A block's execution in progress.
pub(crate) struct Context<'a> {
    pub state: Overlay<&'a dyn StateRead>,
    pub rules: Rules,
    pub height: Height,
    pub proposer: Address,
    /// Hash of the transaction in progress; zero before the first one.
    pub transaction: Digest,
    pub events: Vec<LedgerEvent>,
    /// Facts of the block so far.
    pub facts: Vec<Fact>,
    /// Heights at which validators were last seen, once the block has touched them; written at its end.
    pub presence: Option<BTreeMap<Address, Height>>,
    /// Seed of the turns of the epoch that begins with this block, if one does.
    pub turns_seed: Option<Digest>,
    /// Validators whose turns of the last height decided nothing.
    pub failed_turns: BTreeSet<Address>,
    /// Incidents of the block so far.
    pub incidents: u32,
    /// Stamps of the block so far.
    pub stamps: u32,
    /// Accounts that the block has read or changed, decoded once, because a busy block touches some of them thousands of
    /// times. They are written at its end.
    pub accounts: BTreeMap<Address, Option<Account>>,
    /// Accounts that the block changed: what was only looked at, perhaps for a refused transaction, is not written.
    pub accounts_changed: BTreeSet<Address>,
    /// Balances, before the block, of the accounts that it has read.
    pub balances_before: BTreeMap<Address, Amount>,
    /// Fees of the block so far.
    pub fees: Collected,
    /// OPEN that the block moves between accounts, deposits and what is burnt.
    pub moved: Moved,
}

impl<'a> Context<'a> {
    /// On a state with the writes of migrations, if there are any.
    pub fn new(state: Overlay<&'a dyn StateRead>, rules: Rules, proposer: Address) -> Context<'a> {
        Context {
            state,
            height: rules.height,
            rules,
            proposer,
            transaction: Digest::ZERO,
            events: Vec::new(),
            facts: Vec::new(),
            presence: None,
            turns_seed: None,
            failed_turns: BTreeSet::new(),
            incidents: 0,
            stamps: 0,
            accounts: BTreeMap::new(),
            accounts_changed: BTreeSet::new(),
            balances_before: BTreeMap::new(),
            fees: Collected::default(),
            moved: Moved::default(),
        }
    }

    /// Adds a fact.
    pub fn fact(&mut self, fact: impl Into<Fact>) {
        self.facts.push(fact.into());
    }

    /// Adds an event.
    pub fn emit(&mut self, event: impl Into<LedgerEvent>) {
        self.events.push(event.into());
    }
}
