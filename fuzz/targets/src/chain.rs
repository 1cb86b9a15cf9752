//! Ethereum blocks from a node that need not be believed, their canonical bytes, and the node that replays them.

use std::sync::OnceLock;

use openmesh_evm::replay::ReplayChain;
use openmesh_evm::{canonical_block, decode, decode_block, decode_canonical, write_json_lines};

use crate::input::Input;

/// Stands between the block and its receipts.
const BETWEEN: &[u8] = b"\n---\n";

/// The first block of Ethereum's main network: the only one that is short enough to be written down here and whose roots
/// hold.
const FIRST_BLOCK: &str = r#"{"jsonrpc":"2.0","id":1,"result":{"number":"0x0","hash":"0xd4e56740f876aef8c010b86a40d5f56745a118d0906a34e69aec8c0db1cb8fa3","parentHash":"0x0000000000000000000000000000000000000000000000000000000000000000","nonce":"0x0000000000000042","sha3Uncles":"0x1dcc4de8dec75d7aab85b567b6ccd41ad312451b948a7413f0a142fd40d49347","logsBloom":"0xBLOOM","transactionsRoot":"0x56e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421","stateRoot":"0xd7f8974fb5ac78d9ac099b9ad5018bedc2ce0a72dad1827a1709da30580f0544","receiptsRoot":"0x56e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421","miner":"0x0000000000000000000000000000000000000000","difficulty":"0x400000000","extraData":"0x11bbe8db4e347b4e8c937c1c8370e4b5ed33adb3db69cbdb7a38e1e50b1b82fa","gasLimit":"0x1388","gasUsed":"0x0","timestamp":"0x0","mixHash":"0x0000000000000000000000000000000000000000000000000000000000000000","transactions":[],"uncles":[]}}"#;

/// A block of today's shape whose roots do not hold, with a transaction of a type (`KIND`), so that everything up to the
/// comparison of roots is reached.
const LATE_BLOCK: &str = r#"{"number":"0x1312d00","hash":"0xHASH1","parentHash":"0xHASH2","nonce":"0x0000000000000000","sha3Uncles":"0x1dcc4de8dec75d7aab85b567b6ccd41ad312451b948a7413f0a142fd40d49347","logsBloom":"0xBLOOM","transactionsRoot":"0xHASH1","stateRoot":"0xHASH1","receiptsRoot":"0xHASH1","miner":"0xADDRESS","difficulty":"0x0","extraData":"0x6265","gasLimit":"0x1c9c380","gasUsed":"0x5208","timestamp":"0x665ba27f","mixHash":"0xHASH1","baseFeePerGas":"0x12a05f200","withdrawalsRoot":"0xHASH1","withdrawals":[{"index":"0x1","validatorIndex":"0x2","address":"0xADDRESS","amount":"0x3"}],"blobGasUsed":"0x20000","excessBlobGas":"0x100000","parentBeaconBlockRoot":"0xHASH1","transactions":[{"type":"0xKIND","hash":"0xHASH1","nonce":"0x1","from":"0xADDRESS","to":"0xADDRESS","value":"0x1","gas":"0x5208","gasPrice":"0x12a05f201","maxFeePerGas":"0x22a05f200","maxPriorityFeePerGas":"0x1","maxFeePerBlobGas":"0x1","blobVersionedHashes":["0xHASH1"],"chainId":"0x1","accessList":[{"address":"0xADDRESS","storageKeys":["0xHASH1"]}],"authorizationList":[{"chainId":"0x1","address":"0xADDRESS","nonce":"0x0","yParity":"0x1","r":"0x1","s":"0x1"}],"input":"0xa9059cbb","v":"0x1","yParity":"0x1","r":"0xHASH1","s":"0x1","blockHash":"0xHASH1","blockNumber":"0x1312d00","transactionIndex":"0x0"}]}"#;

const LATE_RECEIPTS: &str = r#"[{"type":"0xKIND","transactionHash":"0xHASH1","transactionIndex":"0x0","blockHash":"0xHASH1","blockNumber":"0x1312d00","cumulativeGasUsed":"0x5208","gasUsed":"0x5208","effectiveGasPrice":"0x12a05f201","blobGasUsed":"0x20000","blobGasPrice":"0x1","from":"0xADDRESS","to":"0xADDRESS","contractAddress":null,"status":"0x1","logsBloom":"0xBLOOM","logs":[{"address":"0xADDRESS","topics":["0xddf252ad1be2c89b69c2b068fc378daa952ba7f163c4a11628f55a4df523b3ef","0xHASH1","0xHASH2"],"data":"0xHASH1","blockHash":"0xHASH1","blockNumber":"0x1312d00","transactionHash":"0xHASH1","transactionIndex":"0x0","logIndex":"0x0","removed":false}]}]"#;

/// Puts values where the texts above have words.
fn filled(text: &str, kind: u8) -> String {
    text.replace("BLOOM", &"00".repeat(256))
        .replace("HASH1", &"1a".repeat(32))
        .replace("HASH2", &"2b".repeat(32))
        .replace("ADDRESS", &"3c".repeat(20))
        .replace("KIND", &kind.to_string())
}

/// A block's JSON and its receipts', as a node answers. What is believed has canonical bytes that lead back to it, and
/// lines of JSON; what is refused says why.
pub fn json(data: &[u8]) {
    let at = data.windows(BETWEEN.len()).position(|w| w == BETWEEN);
    let (block, receipts) = at.map_or((data, None), |at| (&data[..at], Some(&data[at + BETWEEN.len()..])));
    let decoded = match receipts {
        Some(receipts) => decode(block, receipts),
        None => decode_block(block),
    };
    match decoded {
        Ok(decoded) => {
            let bytes = canonical_block(&decoded);
            let again = decode_canonical(&bytes).expect("a believed block has canonical bytes that are believed");
            assert_eq!(again.rows, decoded.rows);
            let mut lines = Vec::new();
            write_json_lines(&decoded, &mut lines).expect("memory takes everything");
            let objects = |line: &[u8]| serde_json::from_slice::<serde_json::Value>(line).is_ok_and(|v| v.is_object());
            assert!(lines.split(|b| *b == b'\n').filter(|l| !l.is_empty()).all(objects), "a line that is no object");
        }
        Err(error) => {
            assert!(!error.to_string().is_empty());
            assert!(error.checks().is_empty() || error.checks().iter().any(|check| !check.ok), "refused for no reason");
        }
    }
}

fn first_block() -> &'static [u8] {
    static BYTES: OnceLock<Vec<u8>> = OnceLock::new();
    BYTES.get_or_init(|| {
        let decoded = decode(filled(FIRST_BLOCK, 0).as_bytes(), b"[]").expect("the first block's roots hold");
        canonical_block(&decoded)
    })
}

/// Canonical bytes. `d`: bytes; `m`: those of the first block, altered. What is believed is the only form of its block, and
/// nothing else goes under the first block's hash.
pub fn canonical(data: &[u8]) {
    match data.split_first() {
        Some((b'd', bytes)) => believed(bytes),
        Some((b'm', bytes)) => {
            let mut input = Input::new(bytes);
            let mut altered = first_block().to_vec();
            for _ in 0..=input.below(3) {
                let at = input.number() as usize % altered.len();
                altered[at] ^= input.byte();
            }
            believed(&altered);
        }
        _ => {}
    }
}

fn believed(bytes: &[u8]) {
    let Ok(decoded) = decode_canonical(bytes) else { return };
    assert!(canonical_block(&decoded) == bytes, "two encodings of one block");
    let first = decode_canonical(first_block()).expect("the first block");
    if decoded.block().hash == first.block().hash && decoded.is_complete() {
        assert_eq!(decoded.rows, first.rows, "another block under the same hash");
    }
}

/// Requests to the node that replays recorded blocks: every answer is JSON-RPC, or nothing for notifications.
pub fn replay(data: &[u8]) {
    static CHAIN: OnceLock<ReplayChain> = OnceLock::new();
    let chain = CHAIN.get_or_init(|| {
        let first = ("first".to_owned(), filled(FIRST_BLOCK, 0).into_bytes(), b"[]".to_vec());
        let late = ("late".to_owned(), filled(LATE_BLOCK, 2).into_bytes(), filled(LATE_RECEIPTS, 2).into_bytes());
        let chain = ReplayChain::new([first, late]).expect("two blocks");
        chain.advance();
        chain
    });
    let answer = chain.answer(data);
    if answer.is_empty() {
        let asked = serde_json::from_slice::<serde_json::Value>(data);
        return assert!(asked.is_ok(), "no answer to what is no request");
    }
    let answer: serde_json::Value = serde_json::from_slice(&answer).expect("an answer is JSON");
    let sound =
        |a: &serde_json::Value| a["jsonrpc"] == "2.0" && (a.get("result").is_some() != a.get("error").is_some());
    match &answer {
        serde_json::Value::Array(all) => assert!(!all.is_empty() && all.iter().all(sound), "{answer}"),
        one => assert!(sound(one), "{answer}"),
    }
}

/// Seeds of [`json`].
pub fn json_seeds() -> Vec<Vec<u8>> {
    let pair = |block: String, receipts: String| [block.as_bytes(), BETWEEN, receipts.as_bytes()].concat();
    let mut seeds = vec![filled(FIRST_BLOCK, 0).into_bytes(), pair(filled(FIRST_BLOCK, 0), "[]".to_owned())];
    for kind in 0..5 {
        seeds.push(pair(filled(LATE_BLOCK, kind), filled(LATE_RECEIPTS, kind)));
    }
    seeds
        .push(pair(r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32000,"message":"no"}}"#.to_owned(), "null".to_owned()));
    seeds
}

/// Seeds of [`canonical`].
pub fn canonical_seeds() -> Vec<Vec<u8>> {
    vec![[b"d", first_block()].concat(), b"m".to_vec(), [&b"m"[..], &[2, 40, 0, 0, 0, 0, 0, 0, 0, 1]].concat()]
}

/// Seeds of [`replay`].
pub fn replay_seeds() -> Vec<Vec<u8>> {
    let call = |method: &str, params: &str| {
        format!(r#"{{"jsonrpc":"2.0","id":1,"method":"{method}","params":{params}}}"#).into_bytes()
    };
    vec![
        call("eth_blockNumber", "[]"),
        call("eth_chainId", "[]"),
        call("eth_getBlockByNumber", r#"["0x0",true]"#),
        call("eth_getBlockByNumber", r#"["latest",false]"#),
        call("eth_getBlockByHash", &format!(r#"["0x{}",true]"#, "1a".repeat(32))),
        call("eth_getBlockReceipts", r#"[{"blockNumber":"0x1312d00"}]"#),
        call("eth_getLogs", r#"[{"fromBlock":"earliest","toBlock":"latest","address":[],"topics":[null,["0x1a"]]}]"#),
        call("openmesh_nextBlockNumber", r#"["0x1"]"#),
        br#"[{"jsonrpc":"2.0","id":null,"method":"net_version"},{"jsonrpc":"2.0","method":"eth_syncing"},1]"#.to_vec(),
    ]
}
