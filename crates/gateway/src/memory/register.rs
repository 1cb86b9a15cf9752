//! Register of sources as the ledger's state has it: the ones of the genesis and those that transactions brought.

use std::collections::{BTreeMap, BTreeSet};

use openmesh_ledger::{self as ledger, Origin, SourceKind, SourceSpec, StateError, StateRead};
use openmesh_market::Exchange;

/// Specifications of all registered sources by id.
#[derive(Debug, Default, Clone)]
pub struct Register(BTreeMap<String, SourceSpec>);

impl Register {
    /// Reads the register from a state. Fails where the state cannot be read.
    pub fn read(state: &impl StateRead) -> Result<Register, StateError> {
        Ok(Register::of(ledger::sources(state)?.into_iter().map(|record| record.spec)))
    }

    /// A register of these sources.
    pub fn of(specs: impl IntoIterator<Item = SourceSpec>) -> Register {
        Register(specs.into_iter().map(|spec| (spec.id.clone(), spec)).collect())
    }

    /// The specification of a source.
    pub fn spec(&self, source: &str) -> Option<&SourceSpec> {
        self.0.get(source)
    }

    /// Provenance of a source's data.
    pub fn origin(&self, source: &str) -> Option<Origin> {
        self.spec(source).map(|spec| spec.origin)
    }

    /// The exchange of a source, where it is one that is spoken here.
    pub fn exchange(&self, source: &str) -> Option<Exchange> {
        self.spec(source)?.exchange.parse().ok()
    }

    /// True for a source that is a chain.
    pub fn is_chain(&self, source: &str) -> bool {
        self.spec(source).is_some_and(|spec| spec.kind == SourceKind::Chain)
    }

    /// Ids of the sources of an exchange or chain.
    pub fn sources_of(&self, exchange: &str) -> BTreeSet<String> {
        self.0.values().filter(|spec| spec.exchange == exchange).map(|spec| spec.id.clone()).collect()
    }

    /// The source that an instrument is collected from; of several the first by id.
    pub fn source_of(&self, exchange: &str, symbol: &str) -> Option<&SourceSpec> {
        self.0.values().find(|spec| spec.exchange == exchange && spec.symbols.iter().any(|known| known == symbol))
    }
}
