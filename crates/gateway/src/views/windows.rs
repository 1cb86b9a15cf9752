//! Windows of sources.

use openmesh_api as api;
use openmesh_ledger::{SourceKind, SourceSpec, WindowRecord};
use openmesh_primitives::Address;

use super::chunks::window_time;

/// A window with how each assigned validator stood to it. `abstentions` are known from the record once it has closed, and from the
/// statements before; `None` in them is every stream.
pub fn info(
    spec: &SourceSpec,
    window: u64,
    record: &WindowRecord,
    abstentions: &[(Address, Option<Vec<String>>)],
) -> api::WindowInfo {
    let time = |window: u64| window_time(spec.kind, spec.window_ms, window);
    let validator = |(address, power): &(Address, u64)| {
        let of_it = abstentions.iter().filter(|(who, _)| who == address);
        let abstained = of_it.flat_map(|(_, streams)| streams.clone().unwrap_or_else(|| all_streams(spec)));
        let differing = record.differing.iter().filter(|differing| differing.validator == *address);
        api::WindowValidator {
            validator: address.to_string(),
            power: *power,
            committed: record.seal_of(address).is_some() || record.unopened.contains(address),
            attested: record.attested.contains(address),
            abstained: abstained.collect(),
            differing: differing.map(|differing| differing.stream.clone()).collect(),
        }
    };
    api::WindowInfo {
        source: spec.id.clone(),
        window,
        window_start: time(window),
        window_end: time(window.saturating_add(1)),
        epoch: record.epoch,
        opened_by: record.opened_by.to_string(),
        opened_height: record.opened_height,
        closes_at: record.closes_at,
        closed: record.closed,
        accepted: record.accepted,
        absent: record.absent.clone(),
        disputed: record.disputed.clone(),
        uncovered: record.uncovered.clone(),
        validators: record.assigned.iter().map(validator).collect(),
    }
}

/// Every stream that a source may have.
fn all_streams(spec: &SourceSpec) -> Vec<String> {
    let of_symbol = |symbol: &String| spec.feeds.iter().map(|feed| format!("{symbol}/{feed}")).collect::<Vec<_>>();
    let of_symbols = spec.symbols.iter().flat_map(of_symbol);
    match spec.kind {
        SourceKind::Market => of_symbols.collect(),
        SourceKind::Chain => spec.feeds.iter().cloned().chain(of_symbols).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use openmesh_ledger::{Differing, Origin};

    #[test]
    fn each_assigned_validator_stands_to_a_window_in_its_own_way() {
        let [agrees, differs, abstains, silent] = [1, 2, 3, 4].map(|n| Address([n; 20]));
        let record = WindowRecord {
            epoch: 1,
            assigned: [agrees, differs, abstains, silent].map(|address| (address, 5)).to_vec(),
            opened_by: agrees,
            opened_height: 7,
            closes_at: 37,
            closed: true,
            attested: vec![agrees, differs, abstains],
            accepted: 1,
            absent: Vec::new(),
            differing: vec![Differing { stream: "BTC.USD/trades".into(), validator: differs }],
            disputed: Vec::new(),
            uncovered: Vec::new(),
            abstained: Vec::new(),
            committed: Vec::new(),
            commits_until: 0,
            quorum: None,
            unopened: vec![silent],
        };
        let spec = SourceSpec {
            id: "kraken".into(),
            exchange: "kraken".into(),
            kind: SourceKind::Market,
            symbols: vec!["BTC.USD".into()],
            feeds: vec!["book".into(), "trades".into()],
            window_ms: 10_000,
            origin: Origin::Live,
        };
        let info = info(&spec, 3, &record, &[(abstains, Some(vec!["BTC.USD/trades".into()])), (silent, None)]);
        let times = (info.window_start.as_str(), info.window_end.as_str());
        assert_eq!(times, ("1970-01-01T00:00:30Z", "1970-01-01T00:00:40Z"));
        let stood: Vec<(bool, bool, usize, usize)> =
            info.validators.iter().map(|v| (v.committed, v.attested, v.abstained.len(), v.differing.len())).collect();
        assert_eq!(stood, [(false, true, 0, 0), (false, true, 0, 1), (false, true, 1, 0), (true, false, 2, 0)]);
    }
}
