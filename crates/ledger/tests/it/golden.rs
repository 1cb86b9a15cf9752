//! Bytes that must never change: other programs and stored data depend on them.

use openmesh_ledger::{
    AccountTransaction, AccountsAction, Action, Attestation, ChunkClaim, EpochRecord, Origin, SourceKind, SourceSpec,
    SourcesAction, Transaction, TypedMessage, Validator, ValidatorSet, assign, keys, verify_stateless,
};
use openmesh_primitives::{AccountKey, Address, Amount, ContentId, Digest, ValidatorKey, canonical, sha256};

/// The first account of the well-known test mnemonic ("test test ... junk").
const KEY: &str = "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80";

/// Typed data as another implementation hashes and signs it: `encode_typed_data(full_message=...)` and
/// `Account.sign_message` of the Python package eth-account 0.14.0, with the types as in `docs/spec/transactions.md` and
/// [`KEY`]. Columns: chain, nonce, fee, hash, signature.
fn vectors() -> Vec<(u64, u64, Amount, Action, &'static str, &'static str)> {
    let list = |texts: &[&str]| texts.iter().map(|t| (*t).to_string()).collect::<Vec<_>>();
    let spec = |id: &str, kind, symbols: &[&str], feeds: &[&str], window_ms, origin| SourceSpec {
        id: id.to_string(),
        exchange: id.to_string(),
        kind,
        symbols: list(symbols),
        feeds: list(feeds),
        window_ms,
        origin,
    };
    let kraken = spec("kraken", SourceKind::Market, &["BTC.USD", "ETH.USD"], &["book", "trades"], 10_000, Origin::Live);
    let ethereum = spec("ethereum", SourceKind::Chain, &[], &["blocks"], 12_000, Origin::Replay);
    let to: Address = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8".parse().unwrap();
    vec![
        (
            7117,
            0,
            Amount(1_000_000_000_000),
            Action::Accounts(AccountsAction::Transfer { to, amount: Amount(1_500_000_000_000_000_000) }),
            "3a3f4918987dc19ce7f15a4e365a5dab5a00bdc5ae489c0cf51bbe20454984dc",
            "405f06e06c3e1aa49cef6a4e871e6d800a3b66f20491c8050d5d39a0f7da406c2959c4d521999d2aa471361931f89d57d38ea69882662fb4da8814ea0e46fc7c1c",
        ),
        (
            1,
            u64::MAX,
            Amount::ZERO,
            Action::Accounts(AccountsAction::Transfer { to: Address([0; 20]), amount: Amount(u128::MAX) }),
            "1f301f3d6a5778bcd8ab355c0f11bc3e5134dce79b423f53c1a25ab8085e2114",
            "a6e9bf04b49baa5b8d6585de94c30fc251e1ac59cccebfe3b23d078c2221a6067f27f6a805fd00a97bbfa6bca9bee8602d9e6287cd5d7cededaedb61898c4a8e1b",
        ),
        (
            7117,
            3,
            Amount::open(1),
            Action::Sources(SourcesAction::Register(kraken)),
            "aebbbe438f8fca95a7b422aece659a45873de3b8cfbf6a764439ff7e40cac2ed",
            "4558f66c0045a8e1af39c05c2d034abb5cef8ad223be02b6655ddc43df46bf384848debb7684c66bab3e73c10c5a5b54c545a2d8368b4bab5212dc97a6d85e301b",
        ),
        (
            7117,
            4,
            Amount::open(1),
            Action::Sources(SourcesAction::Register(ethereum)),
            "a2ef975d16ff457c5c1e28de8ed9932df02c032e70a4b2b335e19f91cdfce38e",
            "3b2d9a746cbf84e1f843e6e0228d2057b377f0bd83ed5327322463d73b01ceb97546b2788544808150877bb77ea23b3558d1332942f5a1d6ec0f1a22429cc2f21b",
        ),
    ]
}

#[test]
fn typed_data_as_wallets_sign_it() {
    let secret: Digest = KEY.parse().unwrap();
    let key = AccountKey::from_bytes(secret.0).unwrap();
    for (chain_id, nonce, fee, action, hash, signature) in vectors() {
        assert_eq!(action.signing_hash(chain_id, nonce, fee).to_string(), hash, "{action:?}");
        let signed = AccountTransaction::sign(&key, chain_id, nonce, fee, action.clone()).unwrap();
        assert_eq!(signed.signature.to_string(), signature);
        let from_wallet = AccountTransaction::with_signature(chain_id, nonce, fee, action, signature.parse().unwrap());
        let verified = verify_stateless(&Transaction::Account(from_wallet).encode()).unwrap();
        assert_eq!(verified.sender(), key.address());
    }
}

#[test]
fn type_texts() {
    let texts: Vec<String> = vectors().iter().map(|v| v.3.typed_message(v.1, v.2).type_text()).collect();
    assert_eq!(texts[0], "Transfer(address to,uint256 amount,uint256 nonce,uint256 fee)");
    assert_eq!(
        texts[2],
        "RegisterSource(string id,string exchange,string kind,string[] symbols,string[] feeds,uint256 windowMs,\
         string origin,uint256 nonce,uint256 fee)"
    );
    assert_eq!(TypedMessage::domain(), ("Openmesh", "1"));
}

fn shown(key: &[u8]) -> String {
    key.escape_ascii().to_string()
}

#[test]
fn state_keys() {
    let address = Address([0xab; 20]);
    let ab = r"\xab".repeat(20);
    let number = r"\x00\x00\x00\x00\x00\x00\x01\x02";
    let golden = [
        (keys::account(&address), format!("account/{ab}")),
        (keys::validator(&address), format!("validator/{ab}")),
        (keys::source("kraken"), "source/kraken".to_string()),
        (keys::progress("kraken"), "progress/kraken".to_string()),
        (keys::epoch(258), format!("epoch/{number}")),
        (keys::window("kraken", 258), format!("window/kraken/{number}")),
        (keys::chunk("kraken", 258, "BTC.USD/book"), format!("chunk/kraken/{number}/BTC.USD/book")),
        (keys::attestation("kraken", 258, &address), format!("attestation/kraken/{number}/{ab}")),
        (keys::closing(258, "kraken", 258), format!("closing/{number}/kraken/{number}")),
        (keys::incident(258, 1), format!(r"incident/{number}/\x00\x00\x00\x01")),
        (keys::PARAMS.to_vec(), "params".to_string()),
        (keys::CHAIN_ID.to_vec(), "chain-id".to_string()),
        (keys::BLOCK.to_vec(), "block".to_string()),
        (keys::SUPPLY.to_vec(), "supply".to_string()),
        (keys::SOURCE_COUNT.to_vec(), "source-count".to_string()),
        (keys::VALIDATORS_CURRENT.to_vec(), "validators/current".to_string()),
        (keys::VALIDATORS_NEXT.to_vec(), "validators/next".to_string()),
        (keys::VALIDATORS_LAST.to_vec(), "validators/last".to_string()),
        (keys::evidence(&address, 258), format!("evidence/{number}/{ab}")),
        (keys::closed(258, "kraken", 258), format!("closed/{number}/kraken/{number}")),
        (keys::closed_epoch(258), format!("closed-epoch/{number}")),
        (keys::retired_source("kraken"), "retired-source/kraken".to_string()),
        (keys::CURRENT_EPOCH.to_vec(), "current-epoch".to_string()),
        (keys::FACTS.to_vec(), "facts".to_string()),
        (keys::PRESENCE.to_vec(), "presence".to_string()),
        (keys::PASSED_OVER.to_vec(), "passed-over".to_string()),
    ];
    for (key, text) in golden {
        assert_eq!(shown(&key), text);
    }
    assert_eq!(keys::window_number(&keys::window("kraken", 258)), Some(258));
}

/// The names were computed by another program too: forty lines of Python with hashlib and PyNaCl, written from clause E
/// of `docs/spec/transactions.md`.
#[test]
fn assignment() {
    let validator = |n: u8| Validator::new(ValidatorKey::from_seed([n; 32]).public(), u64::from(n), &format!("v{n}"));
    let validators = ValidatorSet::new((1..=10).map(validator).collect()).unwrap();
    let record = EpochRecord { seed: sha256(&[b"seed"]), drawn_height: 1, validators };
    let drawn = |source: &str, k| {
        let mut names: Vec<String> = assign(&record, source, k).into_iter().map(|v| v.name).collect();
        names.sort();
        names.join(" ")
    };
    assert_eq!(drawn("kraken", 4), "v2 v4 v7 v8");
    assert_eq!(drawn("binance", 4), "v1 v10 v3 v6");
    assert_eq!(drawn("kraken", 1), "v4");
}

/// Computed by the same Python program, which packs the bytes by hand as clause F says.
#[test]
fn hashes_of_canonical_forms() {
    let key = ValidatorKey::from_seed([1; 32]);
    let chunk = ChunkClaim { stream: "BTC.USD/trades".to_string(), cid: ContentId::of(b"x"), bytes: 1, events: 2 };
    let attestation = Attestation::sign(&key, 7117, "kraken", 258, 3, vec![chunk], vec!["ETH.USD/trades".into()]);
    assert_eq!(attestation.verify(), Ok(()));
    let golden = [
        (
            "sign bytes",
            sha256(&[&attestation.sign_bytes()]),
            "0127184fdac9aa4949228a117868e60065ec215d1bb23e28541f707645b38200",
        ),
        (
            "attestation",
            Transaction::Attestation(attestation).hash(),
            "bce76a56f74464214086e86f7b97bc97ac8409861f375d48ab783d4e72aff19b",
        ),
        (
            "params",
            sha256(&[&canonical::encode(&openmesh_ledger::Params::default())]),
            "00193cc4b11fe3865defe2f7f8b214b097562fccb98b28ac6360389cddc0bc40",
        ),
    ];
    let found: Vec<_> = golden.iter().map(|(name, hash, _)| (*name, hash.to_string())).collect();
    let expected: Vec<_> = golden.iter().map(|(name, _, expected)| (*name, (*expected).to_string())).collect();
    assert_eq!(found, expected);
}
