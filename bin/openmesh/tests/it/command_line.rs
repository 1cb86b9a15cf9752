//! The command line without a network: what a newcomer types first, right and wrong.

use std::io::Write;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::network::binary;

/// SHA-256 of nothing.
const HASH: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
/// A SHA-256 of nothing in particular.
const DIGEST: &str = "7777777777777777777777777777777777777777777777777777777777777777";

async fn run(arguments: &[&str]) -> (i32, String, String) {
    let output = binary().args(arguments).output().await.unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap_or(-1), text(&output.stdout), text(&output.stderr))
}

#[tokio::test]
async fn help_names_every_door() {
    let (code, out, _) = run(&["--help"]).await;
    assert_eq!(code, 0);
    for word in [
        "up", "node", "venues", "sql", "verify", "stamp", "doctor", "market", "chain", "account", "genesis", "supply",
        "upgrade",
    ] {
        assert!(out.contains(word), "{word} is not in\n{out}");
    }
}

#[tokio::test]
async fn errors_say_what_was_wrong_and_what_to_do() {
    for (arguments, code, words) in [
        (
            &["sql", "--api", "http://127.0.0.1:9", "select 1"][..],
            1,
            &["no answer from http://127.0.0.1:9", "hint:"][..],
        ),
        (&["market", "decode", "/nowhere"][..], 1, &["/nowhere", "hint:"][..]),
        (&["verify", "/nowhere", "--trust", "/nowhere"][..], 1, &["/nowhere"][..]),
        (
            &["stamp", "/nowhere", "--topic", "a", "--key", "/nowhere"][..],
            1,
            &["/nowhere", "64 hexadecimal digits"][..],
        ),
        (&["stamp", HASH, "--topic", "a\u{7}b", "--key", "/nowhere"][..], 2, &["topic: a control character"][..]),
        (&["stamp", HASH, "--topic", "A", "--key", "/nowhere"][..], 2, &["a-z, 0-9"][..]),
        (&["stamp", &HASH[2..], "--topic", "a", "--key", "/nowhere"][..], 2, &["62 hexadecimal digits"][..]),
        (&["stamp", HASH, "--key", "/nowhere"][..], 2, &["--topic"][..]),
        (&["stamp", HASH, "--topic", "a", "--key", "/nowhere"][..], 1, &["/nowhere", "openmesh account new"][..]),
        (&["stamp", HASH, "--topic", "a"][..], 2, &["--key"][..]),
        (
            &["stamp", HASH, "--topic", "a", "--estimate", "--api", "127.0.0.1:9"][..],
            1,
            &["no answer from http://127.0.0.1:9"][..],
        ),
        (&["stamp", "check", HASH, "--proof", "/nowhere"][..], 2, &["--trust"][..]),
        (&["stamp", "check", HASH, "--api", "127.0.0.1:9"][..], 1, &["no answer from http://127.0.0.1:9"][..]),
        (&["node", "--home", "/nowhere"][..], 2, &["node.toml", "hint:"][..]),
        (&["up", "--replay", "/nowhere"][..], 2, &["/nowhere", "hint:"][..]),
        (&["up", "--replay", "/", "--speed", "banana"][..], 2, &["banana", "or max"][..]),
        (&["account", "show", "0x12"][..], 2, &["0x12", "40 hexadecimal digits"][..]),
        (&["frobnicate"][..], 2, &["unrecognized"][..]),
        (&["status", "--api", "ftp://here"][..], 2, &["ftp://here", "http://127.0.0.1:8420"][..]),
        (&["sql", "--api", "127.0.0.1:9", "select 1"][..], 1, &["no answer from http://127.0.0.1:9"][..]),
        (&["doctor", "--home", "/nowhere", "--api", "127.0.0.1:9"][..], 1, &["2 things are wrong"][..]),
        (&["upgrade", "status", "--api", "127.0.0.1:9"][..], 1, &["no answer from http://127.0.0.1:9"][..]),
        (&["validator", "payout", "0x12", "--home", "/nowhere"][..], 2, &["0x12", "40 hexadecimal digits"][..]),
        (&["validator", "payout"][..], 2, &["<ADDRESS>", "--home"][..]),
        (&["upgrade", "rehearse", "--home", "/nowhere"][..], 2, &["there is no store", "hint:"][..]),
        (
            &[
                "upgrade",
                "plan",
                "--rules",
                "2",
                "--height",
                "9",
                "--release",
                "a b",
                "--digest",
                DIGEST,
                "--home",
                "/nowhere",
            ][..],
            2,
            &["the name of a release"][..],
        ),
        (&["upgrade", "plan", "--rules", "2", "--height", "9"][..], 2, &["--release", "--digest", "--home"][..]),
        (&["down", "--home", "/nowhere"][..], 2, &["/nowhere is no folder", "hint:"][..]),
        (&["up", "--simulate", "--home", "/proc/nowhere"][..], 1, &["/proc/nowhere", "--home"][..]),
        (&["up", "--simulate", "--window", "1d"][..], 2, &["1d", "100ms to 60m"][..]),
        (&["chain", "decode", "--block", "/nowhere"][..], 1, &["error: /nowhere could not be read", "hint:"][..]),
        (&["genesis", "allocate", "/nowhere"][..], 2, &["/nowhere", "openmesh genesis template"][..]),
        (&["account", "do", "transfer", "to=0x12", "amount=1"][..], 2, &["--key"][..]),
        (
            &["account", "do", "mint", "--estimate", "amount=1"][..],
            2,
            &["there is no action \"mint\"", "openmesh account actions"][..],
        ),
        (&["supply", "--api", "127.0.0.1:9"][..], 1, &["no answer from http://127.0.0.1:9"][..]),
        (
            &["account", "send", "--key", "/nowhere", "0x0000000000000000000000000000000000000001", "1"][..],
            1,
            &["/nowhere", "openmesh account new"][..],
        ),
    ] {
        let (got, _, err) = run(arguments).await;
        assert_eq!(got, code, "{arguments:?}: {err}");
        for word in words {
            assert!(err.contains(word), "{arguments:?}: {word:?} is not in\n{err}");
        }
    }
}

/// Clause SU-4: the tree as a file is taken, a digit that is another one is refused with its line, and a genesis changes whole or
/// not at all.
#[tokio::test]
async fn an_allocation_is_checked_and_put_into_a_genesis() {
    use openmesh_ledger::{Genesis, GenesisValidator};
    use openmesh_primitives::{Address, Amount, Timestamp, ValidatorKey};
    let folder = tempfile::tempdir().unwrap();
    let (file, target) = (folder.path().join("allocation"), folder.path().join("genesis.json"));
    let (code, tree, err) = run(&["genesis", "template"]).await;
    assert_eq!(code, 0, "{err}");
    let to = Address([7; 20]);
    let granted = tree.replacen("pool staking 10000000", &format!("pool staking 10000000\ngrant {to} 12.5"), 1);
    std::fs::write(&file, &granted).unwrap();
    let key = ValidatorKey::from_seed([1; 32]);
    let genesis = Genesis {
        chain_id: 1,
        name: "new".into(),
        time: Timestamp(1),
        validators: vec![GenesisValidator { public_key: key.public(), power: 1, name: "v".into(), payout: None }],
        accounts: Vec::new(),
        sources: Vec::new(),
        source_owners: Default::default(),
        allocation: Default::default(),
        params: Default::default(),
    };
    std::fs::write(&target, serde_json::to_vec(&genesis).unwrap()).unwrap();
    let (file, target) = (file.to_str().unwrap(), target.to_str().unwrap());
    let (code, out, err) = run(&["genesis", "allocate", file, "--into", target]).await;
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("node-operators") && out.contains("1 grants of 12.5 OPEN"), "{out}");
    let made: Genesis = serde_json::from_slice(&std::fs::read(target).unwrap()).unwrap();
    assert!(out.contains(&made.hash().to_string()) && made.hash() != genesis.hash(), "{out}");
    assert_eq!(made.allocation.grants[0].amount, Amount(12_500_000_000_000_000_000));
    // One digit in the pool of the twelfth line or so: its group does not sum any more.
    let wrong = granted.replacen("pool staking 10000000", "pool staking 10000001", 1);
    std::fs::write(file, &wrong).unwrap();
    let line = wrong.lines().position(|line| line.starts_with("group core")).unwrap() + 1;
    let (code, _, err) = run(&["genesis", "allocate", file, "--into", target]).await;
    assert_eq!(code, 2);
    assert!(
        err.contains(&format!("line {line}: ")) && err.contains("1 OPEN too much") && err.contains("hint:"),
        "{err}"
    );
    let same: Genesis = serde_json::from_slice(&std::fs::read(target).unwrap()).unwrap();
    assert_eq!(same.hash(), made.hash(), "what is refused changes nothing");
}

/// A start that fails says what to do, and does not promise that it goes on from here.
#[tokio::test]
async fn a_port_that_is_taken_is_told() {
    let home = tempfile::tempdir().unwrap();
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let folder = home.path().to_str().unwrap();
    let (code, out, err) = run(&["up", "--simulate", "--validators", "1", "--home", folder, "--port", &port]).await;
    assert_eq!(code, 1, "{err}");
    assert!(err.contains(&format!("port {port} is taken")) && err.contains("hint: "), "{err}");
    assert!(!out.contains("started again"), "{out}");
}

/// A recording made here: three frames of Kraken's first protocol, one of them garbage.
#[tokio::test]
async fn a_recording_is_decoded_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let lines = [
        r#"{"t":"header","format":2,"exchange":"KRAKEN","config":{}}"#.to_string(),
        r#"{"t":"connect","conn":"k","ts":1618678132.36,"addr":"wss://ws.kraken.com"}"#.to_string(),
        frame(1, r#"[119930880,[["354.11000000","0.89594024","1618678142.557535","s","m",""]],"trade","XMR/USD"]"#),
        frame(2, "{not json"),
        frame(3, r#"[119930880,[["354.12000000","1.00000000","1618678143.000001","b","l",""]],"trade","XMR/USD"]"#),
    ];
    let file = std::fs::File::create(folder.path().join("frames.jsonl.gz")).unwrap();
    let mut gz = flate2::write::GzEncoder::new(file, flate2::Compression::fast());
    for line in lines {
        writeln!(gz, "{line}").unwrap();
    }
    gz.finish().unwrap();
    let (code, out, err) = run(&["market", "decode", folder.path().to_str().unwrap()]).await;
    assert_eq!(code, 0, "{err}");
    let events: Vec<Value> = out.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    let kinds: Vec<&str> = events.iter().map(|e| e["type"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["trade", "incident", "trade"], "{out}");
    assert_eq!(events[0]["price"], "354.11000000");
    assert_eq!(events[0]["size"], "0.89594024");
    assert_eq!(events[0]["side"], "sell");
    assert_eq!(events[0]["symbol"], "XMR.USD");
    assert_eq!(events[0]["ts_exchange"], "1618678142.557535");
    assert_eq!(events[2]["side"], "buy");
}

fn frame(second: u32, data: &str) -> String {
    serde_json::json!({ "t": "recv", "conn": "k", "ts": 1_618_678_142 + second, "data": data }).to_string()
}

fn recordings() -> Option<PathBuf> {
    let folder = std::env::var_os("OPENMESH_RECORDINGS")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data"), PathBuf::from);
    if folder.is_dir() {
        return Some(folder);
    }
    println!("skipped: no recordings (OPENMESH_RECORDINGS, ../shared/data)");
    None
}

#[tokio::test]
async fn final_books_of_a_recording_are_the_reference() {
    let Some(folder) = recordings() else { return };
    let set = folder.join("cf-KRAKEN-20210417");
    let target = tempfile::tempdir().unwrap();
    let books = target.path().join("books.json");
    let (code, out, err) =
        run(&["market", "decode", set.to_str().unwrap(), "--final-books", books.to_str().unwrap()]).await;
    assert_eq!(code, 0, "{err}");
    assert!(out.lines().count() > 4_000);
    let ours: Value = serde_json::from_slice(&std::fs::read(&books).unwrap()).unwrap();
    let gz = std::fs::File::open(set.join("reference/cryptofeed.final_books.json.gz")).unwrap();
    let theirs: Value = serde_json::from_reader(flate2::read::GzDecoder::new(gz)).unwrap();
    let theirs = theirs.as_object().unwrap();
    assert_eq!(ours.as_object().unwrap().len(), theirs.len());
    for (name, book) in theirs {
        assert_eq!(ours[name.replace('-', ".")], *book, "{name}");
    }
}

fn lines_of(path: &Path) -> Vec<Value> {
    let gz = flate2::read::MultiGzDecoder::new(std::fs::File::open(path).unwrap());
    std::io::BufRead::lines(std::io::BufReader::new(gz)).map(|l| serde_json::from_str(&l.unwrap()).unwrap()).collect()
}

/// Recordings of hftbacktest's collector have neither a header nor addresses; the book they end with was rebuilt by an
/// independent program.
#[tokio::test]
async fn recordings_in_the_forms_of_others_are_decoded() {
    let Some(folder) = recordings() else { return };
    let target = tempfile::tempdir().unwrap();
    let books = target.path().join("books.json");
    for (set, symbol, trades) in [
        ("hft-binance-spot-btcusdt-20240808-09", "BTC.USDT", 19_904),
        ("hft-binance-usdm-btcusdt-20240808", "BTC.USDT-PERP", 21_313),
        ("hft-binance-coinm-btcusd_perp-20240808", "BTC.USD-PERP", 2_286),
    ] {
        let set = folder.join(set);
        let arguments = ["market", "decode", set.to_str().unwrap(), "--final-books", books.to_str().unwrap()];
        let (code, out, err) = run(&arguments).await;
        assert_eq!((code, err.as_str()), (0, ""));
        assert_eq!(out.lines().filter(|l| l.contains(r#""type":"trade""#)).count(), trades);
        assert_eq!(out.lines().filter(|l| l.contains(r#""type":"incident""#)).count(), 0);
        let ours: Value = serde_json::from_slice(&std::fs::read(&books).unwrap()).unwrap();
        let theirs = lines_of(&set.join("reference/book.top20.every-second.jsonl.gz")).pop().unwrap();
        assert_eq!((&ours[symbol]["bid"], &ours[symbol]["ask"]), (&theirs["bids"], &theirs["asks"]), "{symbol}");
    }
    let archive = folder.join("bybit-ob500-xrpusdt-20241201");
    let (code, out, err) = run(&["market", "decode", archive.to_str().unwrap()]).await;
    assert_eq!((code, out.lines().count()), (0, 50), "{err}");
}

/// Never nothing with exit code 0: what cannot be decoded is refused, with what can be.
#[tokio::test]
async fn recordings_that_are_not_spoken_are_refused() {
    let Some(folder) = recordings() else { return };
    for (set, words) in [
        ("cf-BYBIT-20210417", &["wss://stream.bybit.com/realtime_public", "Bybit v5"][..]),
        ("cf-COINBASE-20210417", &["wss://ws-feed.pro.coinbase.com", "Coinbase Advanced Trade"][..]),
        ("cf-DERIBIT-20210722", &["DERIBIT is not spoken here", "hint: spoken: Binance"][..]),
        ("hft-hyperliquid-btc-20250126", &["is not spoken here", "hint: spoken: Binance"][..]),
        ("eth-20000000", &["hint: a recording is a folder"][..]),
        ("eth-blocks-with-tx/README.md", &["hint: a recording is a folder"][..]),
    ] {
        let (code, out, err) = run(&["market", "decode", folder.join(set).to_str().unwrap()]).await;
        assert_eq!((code, out.as_str()), (1, ""), "{set}: {err}");
        for word in words {
            assert!(err.contains(word), "{set}: {word:?} is not in\n{err}");
        }
    }
}

/// A reader that goes away does not take the books with it; a recording without a frame is no success.
#[tokio::test]
async fn books_are_written_though_nobody_reads_the_events() {
    let Some(folder) = recordings() else { return };
    let target = tempfile::tempdir().unwrap();
    let books = target.path().join("books.json");
    let set = folder.join("cf-KRAKEN-20210417");
    let mut child = binary()
        .args(["market", "decode", set.to_str().unwrap(), "--final-books", books.to_str().unwrap()])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    assert!(child.wait().await.unwrap().success());
    let written: Value = serde_json::from_slice(&std::fs::read(&books).unwrap()).unwrap();
    assert_eq!(written.as_object().unwrap().len(), 10);

    let silent = target.path().join("frames.jsonl");
    std::fs::write(&silent, r#"{"t":"header","exchange":"OKX"}"#).unwrap();
    let (code, _, err) = run(&["market", "decode", silent.to_str().unwrap()]).await;
    assert!(code == 1 && err.contains("0 frames"), "{err}");
}

/// A book that lost its way is named, not left out in silence.
#[tokio::test]
async fn books_out_of_step_are_named() {
    let Some(folder) = recordings() else { return };
    let target = tempfile::tempdir().unwrap();
    let (recording, books) = (target.path().join("frames.jsonl"), target.path().join("books.json"));
    let lines = lines_of(&folder.join("cf-BINANCE-20211012/frames.jsonl.gz"));
    let is_change = |l: &&Value| l["data"].as_str().is_some_and(|d| d.contains("\"nknusdt@depth"));
    let lost = lines.iter().filter(is_change).nth(20).unwrap();
    let text: Vec<String> = lines.iter().filter(|l| *l != lost).map(Value::to_string).collect();
    std::fs::write(&recording, text.join("\n")).unwrap();
    let (code, out, err) =
        run(&["market", "decode", recording.to_str().unwrap(), "--final-books", books.to_str().unwrap()]).await;
    assert_eq!(code, 0, "{err}");
    assert!(out.contains(r#""kind":"gap""#), "{out}");
    assert!(err.contains("not in step") && err.contains("NKN.USDT"), "{err}");
    let written: Value = serde_json::from_slice(&std::fs::read(&books).unwrap()).unwrap();
    assert!(written["NKN.USDT"].is_null() && written["LRC.BTC"].is_object());
}

#[tokio::test]
async fn a_block_verifies_and_a_flipped_byte_is_refused() {
    let Some(folder) = recordings() else { return };
    let set = folder.join("eth-20000000");
    let block = set.join("eth_getBlockByNumber.full.json.gz");
    let receipts = set.join("eth_getBlockReceipts.json.gz");
    let decode = async |receipts: &Path| {
        run(&["chain", "decode", "--block", block.to_str().unwrap(), "--receipts", receipts.to_str().unwrap()]).await
    };
    let (code, out, err) = decode(&receipts).await;
    assert_eq!(code, 0, "{err}");
    assert!(out.lines().filter(|l| l.contains("\"verification\"")).all(|l| l.contains("\"ok\":true")), "{out}");
    assert!(out.contains("\"type\":\"swap\"") && out.contains("\"type\":\"token_transfer\""));

    let mut text = String::new();
    std::io::Read::read_to_string(
        &mut flate2::read::GzDecoder::new(std::fs::File::open(&receipts).unwrap()),
        &mut text,
    )
    .unwrap();
    let at = text.find("\"data\":\"0x").unwrap() + 30;
    let other = if text.as_bytes()[at] == b'0' { "1" } else { "0" };
    text.replace_range(at..=at, other);
    let target = tempfile::tempdir().unwrap();
    let altered = target.path().join("receipts.json");
    std::fs::write(&altered, text).unwrap();
    let (code, _, err) = decode(&altered).await;
    assert_eq!(code, 1);
    assert!(err.contains("receipts"), "{err}");
}
