//! Parameters of a network, in words.

use openmesh_api as api;
use openmesh_ledger::Params;
use serde_json::Value;

/// Names with what they rule. What is not here is shown without words: a module that is new brings its own.
const MEANINGS: &[(&str, &str)] = &[
    ("blocks.block_bytes_max", "Transactions of a block, together."),
    ("blocks.attestation_bytes_reserved", "Of these, room that transactions of accounts may not take."),
    ("blocks.block_transactions_max", "Number of transactions of a block, each counted with its weight."),
    ("blocks.transaction_bytes_max", "One transaction."),
    ("accounts.fee_min", "Least base fee of a unit of weight: what a transfer costs at least."),
    ("sources.assigned_per_source", "Validators that collect a source in an epoch; all, if there are fewer."),
    ("sources.source_deposit", "Deposit for a source, which comes back when it leaves the register."),
    ("sources.sources_max", "Registered sources."),
    (
        "windows.window_close_blocks",
        "Blocks at whose end a window closes, after more than a third of the power had committed; without commitments, after its first \
         attestation.",
    ),
    ("windows.open_windows_max", "Windows that one validator opened and that nobody else joined in this epoch."),
    ("windows.windows_back_max", "Windows by which one may lie before the source's last one."),
    ("windows.commitments", "Validators commit to a window before they attest it."),
    (
        "windows.commit_grace_ms",
        "Time for which commitments are still taken after more than two thirds of the power has committed.",
    ),
    ("epochs.epoch_ms", "Length of an epoch, of block time."),
    (
        "epochs.mix_blocks",
        "Blocks from an epoch's beginning whose proposers' outputs go into the draw of the next one.",
    ),
    ("epochs.details_kept_epochs", "Epochs for which windows, chunks and incidents stay in the state."),
    ("epochs.pruned_keys_per_block_max", "Most keys of details that leave the state with one block."),
    ("fees.target_percent", "Load of a block at which the base fee stays as it is, per cent of its room."),
    (
        "fees.change_denominator",
        "An empty block lowers the base fee by one part in so many; a full one raises it by that times (100 - target) / target.",
    ),
    ("stamps.stamp_deposit", "Deposit for a stamp, which comes back when it leaves the state."),
    ("stamps.account_stamps_max", "Stamps of one account in an epoch."),
    ("stamps.stamps_kept_epochs", "Epochs for which stamps stay in the state."),
];

/// The parameters by subject and name. One that does not serialise would be a bug of its type: the list is then empty.
pub fn list(params: &Params) -> Vec<api::ParameterInfo> {
    let value = serde_json::to_value(params).unwrap_or_default();
    let mut found = Vec::new();
    for (subject, of_subject) in value.as_object().into_iter().flatten() {
        for (name, value) in of_subject.as_object().into_iter().flatten() {
            found.push(info(format!("{subject}.{name}"), value));
        }
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    found
}

fn info(name: String, value: &Value) -> api::ParameterInfo {
    let value = value.as_str().map_or_else(|| value.to_string(), String::from);
    let meaning = MEANINGS.iter().find(|(known, _)| *known == name).map_or("", |(_, meaning)| *meaning);
    api::ParameterInfo { unit: unit(&name).map(String::from), value, meaning: meaning.to_string(), name }
}

/// The unit that a name says.
fn unit(name: &str) -> Option<&'static str> {
    let units = [
        ("fee_min", "10^-18 OPEN"),
        ("_deposit", "10^-18 OPEN"),
        ("_percent", "%"),
        ("_ms", "ms"),
        ("_epochs", "epochs"),
        ("_blocks", "blocks"),
    ];
    let last = units.into_iter().find(|(end, _)| name.ends_with(end)).map(|(_, unit)| unit);
    last.or_else(|| name.contains("_bytes").then_some("bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_parameter_has_words_and_amounts_have_their_unit() {
        let all = list(&Params::default());
        for parameter in &all {
            assert!(!parameter.meaning.is_empty(), "{} needs a line in MEANINGS", parameter.name);
            assert!(!parameter.value.contains(['{', '[', '"']), "{parameter:?}");
        }
        let of = |name: &str| all.iter().find(|parameter| parameter.name == name).unwrap();
        for amount in ["accounts.fee_min", "sources.source_deposit", "stamps.stamp_deposit"] {
            assert_eq!(of(amount).unit.as_deref(), Some("10^-18 OPEN"), "{amount}");
        }
        let length = of("epochs.epoch_ms");
        assert_eq!((length.value.as_str(), length.unit.as_deref()), ("3600000", Some("ms")));
        assert_eq!(of("blocks.block_bytes_max").unit.as_deref(), Some("bytes"));
        assert_eq!(of("sources.sources_max").unit, None);
    }
}
