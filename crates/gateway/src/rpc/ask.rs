//! Methods with their parameters. Clauses 8, 9, 12, 18 and 19 of `docs/spec/rpc.md`.

use openmesh_api::limits::{RPC_FEE_BLOCKS_MAX, RPC_PERCENTILES_MAX};
use openmesh_primitives::{Address, Digest};
use serde_json::{Map, Value};

use super::fault::{Fault, INVALID_INPUT, INVALID_PARAMS, METHOD_NOT_FOUND, METHOD_NOT_SUPPORTED, quoted};
use super::quantity::{read_quantity, read_wide_quantity};

/// A block as a request names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum At {
    /// The newest one; all of them are final.
    Newest,
    /// The newest one with what waits after it, which only nonces know.
    Pending,
    /// The oldest one that this node holds.
    Oldest,
    /// By its height.
    Height(u64),
    /// By its hash.
    Hash(Digest),
}

/// A subject of a subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// Each new block.
    NewHeads,
}

/// A method with its parameters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ask {
    /// `web3_clientVersion`.
    ClientVersion,
    /// `net_version`.
    NetVersion,
    /// `net_listening`.
    Listening,
    /// `net_peerCount`.
    PeerCount,
    /// `eth_chainId`.
    ChainId,
    /// `eth_syncing`.
    Syncing,
    /// `eth_accounts`.
    Accounts,
    /// `eth_blockNumber`.
    BlockNumber,
    /// `eth_gasPrice`.
    GasPrice,
    /// `eth_maxPriorityFeePerGas`.
    PriorityFee,
    /// `eth_feeHistory`.
    FeeHistory {
        /// Number of blocks, at most [`RPC_FEE_BLOCKS_MAX`].
        count: u64,
        /// The last of them.
        newest: At,
        /// In thousandths of a percent, ascending.
        percentiles: Vec<u32>,
    },
    /// `eth_getBalance`.
    Balance {
        /// Account.
        address: Address,
        /// Block after which.
        at: At,
    },
    /// `eth_getTransactionCount`.
    Nonce {
        /// Account.
        address: Address,
        /// Block after which.
        at: At,
    },
    /// `eth_getCode`: the same for every account and block.
    Code,
    /// `eth_getBlockByNumber`, `eth_getBlockByHash`.
    Block {
        /// Block.
        at: At,
        /// With its transactions and not their hashes alone.
        whole: bool,
    },
    /// `eth_getTransactionByHash`.
    Transaction(Digest),
    /// `eth_getTransactionReceipt`.
    Receipt(Digest),
    /// `eth_estimateGas` of a transfer.
    EstimateGas,
    /// `eth_subscribe`.
    Subscribe(Subject),
    /// `eth_unsubscribe`, by the subscription's number.
    Unsubscribe(u64),
}

impl Ask {
    /// Reads a method with its parameters. Fails where there is no such method here, or where a parameter is not of its form.
    pub fn of(method: &str, params: &[Value]) -> Result<Ask, Fault> {
        let mut params = Params { values: params, read: 0 };
        let ask = match method {
            "web3_clientVersion" => Ask::ClientVersion,
            "net_version" => Ask::NetVersion,
            "net_listening" => Ask::Listening,
            "net_peerCount" => Ask::PeerCount,
            "eth_chainId" => Ask::ChainId,
            "eth_syncing" => Ask::Syncing,
            "eth_accounts" => Ask::Accounts,
            "eth_blockNumber" => Ask::BlockNumber,
            "eth_gasPrice" => Ask::GasPrice,
            "eth_maxPriorityFeePerGas" => Ask::PriorityFee,
            "eth_feeHistory" => Ask::FeeHistory {
                count: params.quantity("block count")?.min(RPC_FEE_BLOCKS_MAX),
                newest: params.height("newest block")?,
                percentiles: params.percentiles("reward percentiles")?,
            },
            "eth_getBalance" => Ask::Balance { address: params.address("address")?, at: params.state("block")? },
            "eth_getTransactionCount" => Ask::Nonce { address: params.address("address")?, at: params.state("block")? },
            "eth_getCode" => {
                params.address("address")?;
                params.state("block")?;
                Ask::Code
            }
            "eth_getBlockByNumber" => {
                Ask::Block { at: params.height("block")?, whole: params.flag("whole transactions")? }
            }
            "eth_getBlockByHash" => {
                Ask::Block { at: At::Hash(params.digest("hash")?), whole: params.flag("whole transactions")? }
            }
            "eth_getTransactionByHash" => Ask::Transaction(params.digest("hash")?),
            "eth_getTransactionReceipt" => Ask::Receipt(params.digest("hash")?),
            "eth_estimateGas" => {
                params.transfer("transaction")?;
                params.state("block")?;
                Ask::EstimateGas
            }
            "eth_subscribe" => Ask::Subscribe(params.subject("subject")?),
            "eth_unsubscribe" => Ask::Unsubscribe(params.quantity("subscription")?),
            other => return Err(unsupported(other)),
        };
        params.end()?;
        Ok(ask)
    }
}

/// Refusal of a method that there is elsewhere and never here, or nowhere.
fn unsupported(method: &str) -> Fault {
    let refuse = |why: &str, hint: &str| Fault::new(METHOD_NOT_SUPPORTED, format!("{method}: {why}"), hint);
    match method {
        "eth_call" => refuse(
            "the ledger of this network runs no contracts, so there is nothing to call; use eth_getBalance for balances, and the API for everything else",
            "GET /openapi.json describes the API, POST /v1/sql asks all tables",
        ),
        "eth_sendRawTransaction" | "eth_sendTransaction" => refuse(
            "transactions of this network are signed as typed data (EIP-712), not as Ethereum's; use POST /v1/transactions/typed-data, eth_signTypedData_v4 and POST /v1/transactions",
            "Studio does all three: its page of actions, with the wallet",
        ),
        "eth_sign"
        | "eth_signTransaction"
        | "eth_signTypedData"
        | "eth_signTypedData_v3"
        | "eth_signTypedData_v4"
        | "personal_sign" => refuse(
            "a node holds no keys; use the wallet's own method of this name",
            "in a page: the provider that the wallet announces (EIP-6963)",
        ),
        _ => Fault::new(
            METHOD_NOT_FOUND,
            format!("there is no method {} here", quoted(method)),
            "the methods are in clause 12 of docs/spec/rpc.md; the ledger's own words are in the API, GET /openapi.json",
        ),
    }
}

const ADDRESS_HINT: &str = "an address is 0x and 40 hexadecimal digits";
const BLOCK_HINT: &str = "a block is latest, earliest, safe, finalized, pending or a quantity, such as 0x10";
const HASH_HINT: &str = "a hash is 0x and 64 hexadecimal digits";
const QUANTITY_HINT: &str = "a quantity is 0x and hexadecimal digits without leading zeros; zero is 0x0";
const PERCENTILES_HINT: &str = "percentiles are numbers from 0 to 100, none below the one before";

/// Parameters by position.
struct Params<'a> {
    values: &'a [Value],
    read: usize,
}

impl<'a> Params<'a> {
    /// The next parameter; `None` where it is left out or null.
    fn next(&mut self) -> Option<&'a Value> {
        let value = self.values.get(self.read);
        self.read += 1;
        value.filter(|value| !value.is_null())
    }

    /// Fails for the parameter that was read last.
    fn fault(&self, name: &str, message: impl std::fmt::Display, hint: &str) -> Fault {
        Fault::param(self.read, name, message, hint)
    }

    fn text(&mut self, name: &str, hint: &str) -> Result<&'a str, Fault> {
        match self.next() {
            Some(Value::String(text)) => Ok(text),
            Some(other) => Err(self.fault(name, format_args!("text is expected, {} came", kind(other)), hint)),
            None => Err(self.fault(name, "it is missing", hint)),
        }
    }

    fn quantity(&mut self, name: &str) -> Result<u64, Fault> {
        let text = self.text(name, QUANTITY_HINT)?;
        let message = || format!("{} is no quantity of at most 64 bits", quoted(text));
        read_quantity(text).ok_or_else(|| self.fault(name, message(), QUANTITY_HINT))
    }

    fn address(&mut self, name: &str) -> Result<Address, Fault> {
        let text = self.text(name, ADDRESS_HINT)?;
        text.parse().map_err(|error| self.fault(name, error, ADDRESS_HINT))
    }

    fn digest(&mut self, name: &str) -> Result<Digest, Fault> {
        let text = self.text(name, HASH_HINT)?;
        digest(text).ok_or_else(|| self.fault(name, format!("{} is no hash", quoted(text)), HASH_HINT))
    }

    /// True or false; false where it is left out.
    fn flag(&mut self, name: &str) -> Result<bool, Fault> {
        match self.next() {
            None => Ok(false),
            Some(Value::Bool(flag)) => Ok(*flag),
            Some(other) => {
                let message = format!("true or false is expected, {} came", kind(other));
                Err(self.fault(name, message, "true gives whole transactions, false their hashes"))
            }
        }
    }

    /// A block by its tag or height.
    fn height(&mut self, name: &str) -> Result<At, Fault> {
        let text = self.text(name, BLOCK_HINT)?;
        tagged(text).ok_or_else(|| self.fault(name, format!("{} is no block", quoted(text)), BLOCK_HINT))
    }

    /// A block whose state is meant: by tag or height, or an object of EIP-1898; the newest where it is left out.
    fn state(&mut self, name: &str) -> Result<At, Fault> {
        let found = match self.next() {
            None => return Ok(At::Newest),
            Some(Value::String(text)) => tagged(text),
            Some(Value::Object(members)) => named(members),
            Some(_) => None,
        };
        found.ok_or_else(|| self.fault(name, "it names no block", BLOCK_HINT))
    }

    fn percentiles(&mut self, name: &str) -> Result<Vec<u32>, Fault> {
        let items = match self.next() {
            None => return Ok(Vec::new()),
            Some(Value::Array(items)) if items.len() <= RPC_PERCENTILES_MAX => items,
            Some(Value::Array(items)) => {
                let message = format!("{} of them, at most {RPC_PERCENTILES_MAX} are taken", items.len());
                return Err(self.fault(name, message, PERCENTILES_HINT));
            }
            Some(other) => {
                let message = format!("a list is expected, {} came", kind(other));
                return Err(self.fault(name, message, PERCENTILES_HINT));
            }
        };
        let read: Option<Vec<u32>> = items.iter().map(percentile).collect();
        let message = "not all of them are percentiles";
        read.filter(|all| all.is_sorted()).ok_or_else(|| self.fault(name, message, PERCENTILES_HINT))
    }

    /// A transaction that is a transfer, in what wallets say of one.
    fn transfer(&mut self, name: &str) -> Result<(), Fault> {
        const HINT: &str =
            "a transaction is an object of from, to and value, such as {\"to\":\"0x…\",\"value\":\"0x1\"}";
        let members = match self.next() {
            Some(Value::Object(members)) => members,
            Some(other) => {
                let message = format!("an object is expected, {} came", kind(other));
                return Err(self.fault(name, message, HINT));
            }
            None => return Err(self.fault(name, "it is missing", HINT)),
        };
        for (member, value) in members.iter().filter(|(_, value)| !value.is_null()) {
            let (fits, hint) = match member.as_str() {
                "from" | "to" => (value.as_str().is_some_and(|text| text.parse::<Address>().is_ok()), ADDRESS_HINT),
                "data" | "input" => (value.as_str().is_some_and(is_data), "data are 0x and two digits for each byte"),
                "gas"
                | "gasPrice"
                | "maxFeePerGas"
                | "maxPriorityFeePerGas"
                | "value"
                | "nonce"
                | "type"
                | "chainId" => (value.as_str().is_some_and(read_wide_quantity), QUANTITY_HINT),
                _ => continue,
            };
            if !fits {
                return Err(self.fault(name, format_args!("its member {member} is not of its form"), hint));
            }
        }
        let given = |member: &str| members.get(member).and_then(Value::as_str);
        let runs = ["data", "input"].into_iter().find(|member| given(member).is_some_and(|data| data != "0x"));
        match (runs, given("to")) {
            (None, Some(_)) => Ok(()),
            (Some(member), _) => Err(no_code(format!("a transaction with {member} runs code"))),
            (None, None) => Err(no_code("a transaction without to makes a contract".into())),
        }
    }

    fn subject(&mut self, name: &str) -> Result<Subject, Fault> {
        const HINT: &str = "newHeads is the one subject here; everything else is on the WebSocket /v1/stream";
        match self.text(name, HINT)? {
            "newHeads" => Ok(Subject::NewHeads),
            other => Err(self.fault(name, format!("{} cannot be subscribed to", quoted(other)), HINT)),
        }
    }

    /// Fails where there are more than the method takes.
    fn end(self) -> Result<(), Fault> {
        let (came, taken) = (self.values.len(), self.read);
        if came <= taken {
            return Ok(());
        }
        let message = format!("{came} parameters came, at most {taken} are taken");
        Err(Fault::new(INVALID_PARAMS, message, "the parameters are in clause 12 of docs/spec/rpc.md"))
    }
}

fn no_code(why: String) -> Fault {
    let message = format!("{why}, which the ledger of this network does not have");
    Fault::new(INVALID_INPUT, message, "GET /v1/actions lists the actions of accounts, each with its base fee")
}

/// The kind of a value of JSON, for people.
fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

fn tagged(text: &str) -> Option<At> {
    match text {
        "latest" | "safe" | "finalized" => Some(At::Newest),
        "pending" => Some(At::Pending),
        "earliest" => Some(At::Oldest),
        number => read_quantity(number).map(At::Height),
    }
}

/// A block as EIP-1898 has it. All blocks are canonical here, so that `requireCanonical` asks for nothing.
fn named(members: &Map<String, Value>) -> Option<At> {
    let is_known = |member: &String| ["blockNumber", "blockHash", "requireCanonical"].contains(&member.as_str());
    let canonical = members.get("requireCanonical").is_none_or(Value::is_boolean);
    if !members.keys().all(is_known) || !canonical {
        return None;
    }
    match (members.get("blockNumber"), members.get("blockHash")) {
        (Some(Value::String(text)), None) => tagged(text),
        (None, Some(Value::String(text))) => digest(text).map(At::Hash),
        _ => None,
    }
}

/// A hash with its `0x`.
fn digest(text: &str) -> Option<Digest> {
    text.strip_prefix("0x").filter(|digits| !digits.starts_with("0x"))?.parse().ok()
}

fn is_data(text: &str) -> bool {
    let digits = text.strip_prefix("0x");
    digits.is_some_and(|all| all.len() % 2 == 0 && all.bytes().all(|digit| digit.is_ascii_hexdigit()))
}

/// Thousandths of a percent.
fn percentile(value: &Value) -> Option<u32> {
    let number = value.as_f64().filter(|number| (0.0..=100.0).contains(number))?;
    // Within 0 and 100,000, so that nothing is cut off.
    Some((number * 1_000.0).round() as u32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const ADDRESS: &str = "0x5aaeb6053f3e94c9b9a09f33669435e7ef1beaed";

    fn ask(method: &str, params: Value) -> Result<Ask, i32> {
        Ask::of(method, params.as_array().unwrap()).map_err(|fault| {
            assert!(!fault.message.is_empty() && !fault.hint.is_empty());
            fault.code
        })
    }

    #[test]
    fn each_method_is_read_with_its_parameters() {
        let hash = format!("0x{}", "0A".repeat(32));
        let (digest, address) = (Digest([10; 32]), ADDRESS.parse().unwrap());
        for (method, params, expected) in [
            ("web3_clientVersion", json!([]), Ask::ClientVersion),
            ("net_version", json!([]), Ask::NetVersion),
            ("net_listening", json!([]), Ask::Listening),
            ("net_peerCount", json!([]), Ask::PeerCount),
            ("eth_chainId", json!([]), Ask::ChainId),
            ("eth_syncing", json!([]), Ask::Syncing),
            ("eth_accounts", json!([]), Ask::Accounts),
            ("eth_blockNumber", json!([]), Ask::BlockNumber),
            ("eth_gasPrice", json!([]), Ask::GasPrice),
            ("eth_maxPriorityFeePerGas", json!([]), Ask::PriorityFee),
            ("eth_getBalance", json!([ADDRESS]), Ask::Balance { address, at: At::Newest }),
            ("eth_getBalance", json!([ADDRESS, "0x1b4"]), Ask::Balance { address, at: At::Height(0x1b4) }),
            ("eth_getBalance", json!([ADDRESS, { "blockHash": hash }]), Ask::Balance { address, at: At::Hash(digest) }),
            ("eth_getTransactionCount", json!([ADDRESS, "pending"]), Ask::Nonce { address, at: At::Pending }),
            (
                "eth_getTransactionCount",
                json!([ADDRESS, { "blockNumber": "0x2" }]),
                Ask::Nonce { address, at: At::Height(2) },
            ),
            ("eth_getCode", json!([ADDRESS, "latest"]), Ask::Code),
            ("eth_getBlockByNumber", json!(["earliest", true]), Ask::Block { at: At::Oldest, whole: true }),
            ("eth_getBlockByNumber", json!(["safe", false]), Ask::Block { at: At::Newest, whole: false }),
            ("eth_getBlockByNumber", json!(["finalized"]), Ask::Block { at: At::Newest, whole: false }),
            ("eth_getBlockByHash", json!([hash, false]), Ask::Block { at: At::Hash(digest), whole: false }),
            ("eth_getTransactionByHash", json!([hash]), Ask::Transaction(digest)),
            ("eth_getTransactionReceipt", json!([hash]), Ask::Receipt(digest)),
            (
                "eth_estimateGas",
                json!([{ "to": ADDRESS, "from": ADDRESS, "value": "0x1", "data": "0x" }]),
                Ask::EstimateGas,
            ),
            ("eth_subscribe", json!(["newHeads"]), Ask::Subscribe(Subject::NewHeads)),
            ("eth_unsubscribe", json!(["0x3"]), Ask::Unsubscribe(3)),
        ] {
            assert_eq!(ask(method, params.clone()), Ok(expected), "{method} {params}");
        }
        let history = |newest, percentiles: Vec<u32>, count| Ask::FeeHistory { count, newest, percentiles };
        let asked = |params| ask("eth_feeHistory", params);
        let three = vec![10_000, 20_500, 100_000];
        assert_eq!(asked(json!(["0x5", "latest", [10, 20.5, 100]])), Ok(history(At::Newest, three, 5)));
        assert_eq!(asked(json!(["0xffff", "latest"])), Ok(history(At::Newest, Vec::new(), RPC_FEE_BLOCKS_MAX)));
        assert_eq!(asked(json!(["0x0", "pending", null])), Ok(history(At::Pending, Vec::new(), 0)));
    }

    #[test]
    fn what_is_not_of_its_form_is_refused() {
        let too_many = vec![1; RPC_PERCENTILES_MAX + 1];
        for (method, params) in [
            ("eth_chainId", json!([1])),
            ("eth_getBalance", json!([])),
            ("eth_getBalance", json!([null])),
            ("eth_getBalance", json!([7])),
            ("eth_getBalance", json!(["0x12"])),
            // A wrong letter, by its checksum.
            ("eth_getBalance", json!(["0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAeD"])),
            ("eth_getBalance", json!([ADDRESS, "newest"])),
            ("eth_getBalance", json!([ADDRESS, 5])),
            ("eth_getBalance", json!([ADDRESS, "0x05"])),
            ("eth_getBalance", json!([ADDRESS, {}])),
            ("eth_getBalance", json!([ADDRESS, { "blockNumber": "0x1", "blockHash": "0x2" }])),
            ("eth_getBalance", json!([ADDRESS, { "blockNumber": "0x1", "more": 1 }])),
            ("eth_getBalance", json!([ADDRESS, { "blockHash": "0x2" }])),
            ("eth_getBalance", json!([ADDRESS, "latest", "latest"])),
            ("eth_getBlockByNumber", json!([])),
            ("eth_getBlockByNumber", json!(["latest", "true"])),
            ("eth_getBlockByNumber", json!([{ "blockNumber": "0x1" }, true])),
            ("eth_getBlockByHash", json!(["latest", true])),
            ("eth_getTransactionByHash", json!(["0x0x"])),
            ("eth_getTransactionByHash", json!(["00".repeat(32)])),
            ("eth_getTransactionByHash", json!([format!("0x{}", "0".repeat(63))])),
            ("eth_feeHistory", json!([5, "latest", []])),
            ("eth_feeHistory", json!(["0x5", "latest", [50, 10]])),
            ("eth_feeHistory", json!(["0x5", "latest", [-1]])),
            ("eth_feeHistory", json!(["0x5", "latest", [100.5]])),
            ("eth_feeHistory", json!(["0x5", "latest", ["10"]])),
            ("eth_feeHistory", json!(["0x5", "latest", too_many])),
            ("eth_estimateGas", json!([])),
            ("eth_estimateGas", json!(["0x"])),
            ("eth_estimateGas", json!([{ "to": "me" }])),
            ("eth_estimateGas", json!([{ "to": ADDRESS, "value": 1 }])),
            ("eth_estimateGas", json!([{ "to": ADDRESS, "data": "0x0" }])),
            ("eth_subscribe", json!(["logs"])),
            ("eth_subscribe", json!([])),
            ("eth_unsubscribe", json!([3])),
        ] {
            assert_eq!(ask(method, params.clone()), Err(INVALID_PARAMS), "{method} {params}");
        }
    }

    #[test]
    fn code_and_methods_of_elsewhere_are_refused_with_what_takes_their_place() {
        for params in [json!([{ "to": ADDRESS, "data": "0x70a08231" }]), json!([{ "input": "0x60" }]), json!([{}])] {
            assert_eq!(ask("eth_estimateGas", params.clone()), Err(INVALID_INPUT), "{params}");
        }
        let words = |method: &str| Ask::of(method, &[]).unwrap_err();
        let call = words("eth_call");
        assert_eq!(call.code, METHOD_NOT_SUPPORTED);
        assert!(call.message.contains("eth_getBalance"), "{call:?}");
        let send = words("eth_sendRawTransaction");
        assert_eq!(send.code, METHOD_NOT_SUPPORTED);
        assert!(send.message.contains("POST /v1/transactions/typed-data"), "{send:?}");
        assert_eq!(words("eth_signTypedData_v4").code, METHOD_NOT_SUPPORTED);
        let long = "x".repeat(10_000);
        for method in ["", "eth_chainid", "eth_getLogs", "eth_mine", "wallet_addEthereumChain", long.as_str()] {
            let fault = words(method);
            assert_eq!(fault.code, METHOD_NOT_FOUND, "{method}");
            assert!(fault.message.len() < 200, "a long name is not repeated whole");
        }
    }
}
