//! Log filters of `eth_getLogs`.

use alloy_primitives::{Address, B256};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::report::VerifyError;
use crate::rpc;

/// A log as recorded, with what filters look at.
#[derive(Debug)]
pub(super) struct RecordedLog {
    pub address: Address,
    pub topics: Vec<B256>,
    pub raw: Box<RawValue>,
}

#[derive(Deserialize)]
struct ReceiptLogs {
    logs: Vec<Box<RawValue>>,
}

#[derive(Deserialize)]
struct Filtered {
    address: Address,
    topics: Vec<B256>,
}

/// All logs of a block's receipts.
pub(super) fn recorded_logs(receipts: &[u8]) -> Result<Vec<RecordedLog>, VerifyError> {
    let json = |e: serde_json::Error| VerifyError::Json { what: "receipts".to_owned(), reason: e.to_string() };
    let receipts: Vec<ReceiptLogs> = serde_json::from_str(rpc::result("receipts", receipts)?).map_err(json)?;
    let log = |raw: Box<RawValue>| {
        let Filtered { address, topics } = serde_json::from_str(raw.get()).map_err(json)?;
        Ok(RecordedLog { address, topics, raw })
    };
    receipts.into_iter().flat_map(|receipt| receipt.logs).map(log).collect()
}

/// Filter of wanted logs.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct LogFilter {
    /// Any of these; empty for all.
    addresses: Vec<Address>,
    /// At each place any of these; empty for all.
    topics: Vec<Vec<B256>>,
}

impl LogFilter {
    /// From the parameter's JSON; none where it is no filter.
    pub(super) fn parse(value: &Value) -> Option<LogFilter> {
        let object = value.as_object()?;
        let addresses = object.get("address").map_or(Some(Vec::new()), one_or_many)?;
        let topics = match object.get("topics") {
            None | Some(Value::Null) => Vec::new(),
            Some(Value::Array(places)) => places.iter().map(one_or_many).collect::<Option<Vec<_>>>()?,
            Some(_) => return None,
        };
        // A log has at most four topics, so a filter with more is a mistake.
        (topics.len() <= 4).then_some(LogFilter { addresses, topics })
    }

    /// A log shorter than the filter does not match, even where the filter takes anything at that place.
    pub(super) fn matches(&self, log: &RecordedLog) -> bool {
        (self.addresses.is_empty() || self.addresses.contains(&log.address))
            && self.topics.len() <= log.topics.len()
            && self.topics.iter().zip(&log.topics).all(|(any, topic)| any.is_empty() || any.contains(topic))
    }
}

/// One value, a list of them, or null for all.
fn one_or_many<T: std::str::FromStr>(value: &Value) -> Option<Vec<T>> {
    match value {
        Value::Null => Some(Vec::new()),
        Value::String(text) => Some(vec![text.parse().ok()?]),
        Value::Array(list) => list.iter().map(|item| item.as_str()?.parse().ok()).collect(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn log(address: u8, topics: &[u8]) -> RecordedLog {
        RecordedLog {
            address: Address::repeat_byte(address),
            topics: topics.iter().map(|b| B256::repeat_byte(*b)).collect(),
            raw: RawValue::from_string("{}".to_owned()).unwrap(),
        }
    }

    #[test]
    fn addresses_and_places() {
        let (a, b) = (Address::repeat_byte(1), Address::repeat_byte(2));
        let (t, u) = (B256::repeat_byte(3), B256::repeat_byte(4));
        let matches = |filter: Value, log: &RecordedLog| LogFilter::parse(&filter).unwrap().matches(log);
        let one = log(1, &[3, 4]);
        assert!(matches(json!({}), &one));
        assert!(matches(json!({"address": a}), &one));
        assert!(matches(json!({"address": [b, a], "topics": [null, [t, u]]}), &one));
        assert!(!matches(json!({"address": [b]}), &one));
        assert!(!matches(json!({"topics": [u]}), &one));
        assert!(!matches(json!({"topics": [t, u, null]}), &one), "a third place needs a third topic");
        assert!(matches(json!({"topics": []}), &log(1, &[])));
        for bad in [json!([]), json!({"address": 5}), json!({"topics": "0x"}), json!({"topics": [[1]]})] {
            assert_eq!(LogFilter::parse(&bad), None, "{bad}");
        }
    }

    /// Recorded answers of an Erigon node: every narrower filter over a range must pick the same logs out of the range's
    /// unfiltered answer (file 16).
    #[test]
    fn as_an_erigon_node_filters() {
        let Some(folder) = crate::file::recordings().map(|folder| folder.join("eth-getLogs")) else { return };
        let read = |name: &str| -> Value {
            serde_json::from_slice(&crate::read_maybe_gz(folder.join(name)).unwrap()).unwrap()
        };
        let everything = read("eth_getLogs__test_16.json.gz");
        let universe = everything[0]["response"]["result"].as_array().unwrap();
        let logs: Vec<RecordedLog> = universe
            .iter()
            .map(|log| {
                let Filtered { address, topics } = serde_json::from_value(log.clone()).unwrap();
                RecordedLog { address, topics, raw: RawValue::from_string(log.to_string()).unwrap() }
            })
            .collect();
        let mut compared = 0;
        for name in ["17", "18", "20"] {
            let recorded = read(&format!("eth_getLogs__test_{name}.json.gz"));
            let request = &recorded[0]["request"]["params"][0];
            let place = |log: &Value| (log["blockNumber"].clone(), log["logIndex"].clone());
            let expected: Vec<_> = recorded[0]["response"]["result"].as_array().unwrap().iter().map(place).collect();
            let filter = LogFilter::parse(request).unwrap();
            let bound = |name: &str| request[name].as_str().unwrap().to_lowercase();
            let range = u64::from_str_radix(&bound("fromBlock")[2..], 16).unwrap()
                ..=u64::from_str_radix(&bound("toBlock")[2..], 16).unwrap();
            let in_range = |log: &Value| {
                let number = log["blockNumber"].as_str().unwrap();
                range.contains(&u64::from_str_radix(&number[2..], 16).unwrap())
            };
            let found: Vec<_> = universe
                .iter()
                .zip(&logs)
                .filter(|(value, log)| in_range(value) && filter.matches(log))
                .map(|(value, _)| place(value))
                .collect();
            assert_eq!(found, expected, "file {name}");
            compared += found.len();
        }
        assert!(compared >= 30, "only {compared} logs were compared");
    }
}
