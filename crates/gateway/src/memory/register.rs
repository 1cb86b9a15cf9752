//! Register of sources as the ledger's state has it: the ones of the genesis and those that transactions brought.

use std::collections::{BTreeMap, BTreeSet};

use openmesh_ledger::{self as ledger, Origin, SourceKind, SourceSpec, StateError, StateRead};

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

    /// True for a source that is a chain.
    pub fn is_chain(&self, source: &str) -> bool {
        self.spec(source).is_some_and(|spec| spec.kind == SourceKind::Chain)
    }

    /// Ids of the sources of an exchange or chain.
    pub fn sources_of(&self, exchange: &str) -> BTreeSet<String> {
        self.0.values().filter(|spec| spec.exchange == exchange).map(|spec| spec.id.clone()).collect()
    }

    /// Sources of an instrument, by id.
    pub fn of_instrument(&self, exchange: &str, symbol: &str) -> impl Iterator<Item = &SourceSpec> {
        self.0
            .values()
            .filter(move |spec| spec.exchange == exchange && spec.symbols.iter().any(|known| known == symbol))
    }
}
