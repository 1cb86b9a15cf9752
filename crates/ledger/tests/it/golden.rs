//! Bytes that must never change: other programs and stored data depend on them.

use openmesh_ledger::{
    AccountTransaction, AccountsAction, Action, Attestation, ChunkClaim, Commitment, EpochRecord, Fact, FeeOffer,
    Origin, SourceKind, SourceSpec, SourcesAction, StampRecord, StampsAction, Transaction, TypedMessage, Validator,
    ValidatorSet, assign, keys, verify_stateless,
};
use openmesh_primitives::{AccountKey, Address, Amount, ContentId, Digest, Timestamp, ValidatorKey, canonical, sha256};

/// The first account of the well-known test mnemonic ("test test ... junk").
const KEY: &str = "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80";

/// Typed data as another implementation hashes and signs it: ninety lines of Python (Keccak, EIP-712, secp256k1 with the nonces of
/// RFC 6979), which gave for the types before this one the same as the package eth-account 0.14.0, with the types as in
/// `docs/spec/actions.md` and [`KEY`]. Columns: chain, nonce, fees, hash, signature.
fn vectors() -> Vec<(u64, u64, FeeOffer, Action, &'static str, &'static str)> {
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
            FeeOffer::new(Amount(2_000_000_000_000), Amount(100_000_000_000)),
            Action::Accounts(AccountsAction::Transfer { to, amount: Amount(1_500_000_000_000_000_000) }),
            "23bb3f953e28d5a9ca2d7fa6495e0e52ed9f42b0a70143e3cb90bb6f96d797f0",
            "484de4be3275a8a1a90449119ff9b26089558b4f33c571f692be33e2f17d4ddb63ed010b815c89527312b50d82566fd6619be7ff9a5e4cae70009062e1741f9c1b",
        ),
        (
            1,
            u64::MAX,
            FeeOffer::new(Amount(u128::MAX), Amount::ZERO),
            Action::Accounts(AccountsAction::Transfer { to: Address([0; 20]), amount: Amount(u128::MAX) }),
            "db26c2acf0e9da9c8d4ae750b17fcb890eba27d69323a0f11c08c7b7744944c1",
            "c82439deb4d60977f6b2269c96c872c0dddb73a95951acf4b77887530ac878f02f36854293be8a696433dde28e663df7bfe553f8814bf288d11530d441dc4b501c",
        ),
        (
            7117,
            3,
            FeeOffer::new(Amount::open(1), Amount(1_000_000_000_000_000)),
            Action::Sources(SourcesAction::Register(kraken)),
            "6cc77780b0d5bd20713ceab5d1fd4a3457732717a8e209072a91ff4ede8bc7cb",
            "d8332c235bfa55e60e3fa837707febafc8bd07b60d111f53d864e0c30be6eb0b07a115a760d96783f3e1729302ee92603e997c8d7114e808b8ca99231da884641b",
        ),
        (
            7117,
            4,
            Amount::open(1).into(),
            Action::Sources(SourcesAction::Register(ethereum)),
            "283c6a745f4327bad1cfd72ba970a955ab53f6316838c1721740fc248d63c467",
            "c270ba45536bc91cfe8947171c9d4d43569c33ea9c8c90bfe0ac43d9539e78a82c63e2d55a631206cc2cb8bae16e681560a66e3c1c6c1880b7796fb89ddcd9b11b",
        ),
        (
            7117,
            5,
            FeeOffer::new(Amount(1_000_000_000_000_000), Amount(100_000_000_000_000)),
            Action::Stamps(StampsAction::Stamp {
                hash: sha256(&[b"abc"]),
                topic: "xnode.drill".to_string(),
                note: "Wiederherstellung geprüft".to_string(),
            }),
            "525fdfb5c37014a90a18498ded4777a799e4831f696265714e767a19981cf7d0",
            "e9a653a0c7f8131497b200f4159325bc77321c4a50b076a2de3594de6c5ce82071674e87fdec63c0a6fab850cee06bf78de233539ddb666ca5a6bcede9d402651b",
        ),
    ]
}

#[test]
fn typed_data_as_wallets_sign_it() {
    let secret: Digest = KEY.parse().unwrap();
    let key = AccountKey::from_bytes(secret.0).unwrap();
    for (chain_id, nonce, offer, action, hash, signature) in vectors() {
        assert_eq!(action.signing_hash(chain_id, nonce, offer).to_string(), hash, "{action:?}");
        let signed = AccountTransaction::sign(&key, chain_id, nonce, offer, action.clone()).unwrap();
        assert_eq!(signed.signature.to_string(), signature);
        let from_wallet =
            AccountTransaction::with_signature(chain_id, nonce, offer, action, signature.parse().unwrap());
        let verified = verify_stateless(&Transaction::Account(from_wallet).encode()).unwrap();
        assert_eq!(verified.sender(), key.address());
    }
}

#[test]
fn type_texts() {
    let texts: Vec<String> = vectors().iter().map(|v| v.3.typed_message(v.1, v.2).type_text()).collect();
    assert_eq!(texts[0], "Transfer(address to,uint256 amount,uint256 nonce,uint256 maxFee,uint256 tip)");
    assert_eq!(
        texts[2],
        "RegisterSource(string id,string exchange,string kind,string[] symbols,string[] feeds,uint256 windowMs,\
         string origin,uint256 nonce,uint256 maxFee,uint256 tip)"
    );
    assert_eq!(texts[4], "Stamp(bytes32 hash,string topic,string note,uint256 nonce,uint256 maxFee,uint256 tip)");
    assert_eq!(TypedMessage::domain(), ("Openmesh", "1"));
}

fn shown(key: &[u8]) -> String {
    key.escape_ascii().to_string()
}

#[test]
fn state_keys() {
    let address = Address([0xab; 20]);
    let (ab, cd) = (r"\xab".repeat(20), r"\xcd".repeat(32));
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
        (keys::pool("node-operators"), "pool/node-operators".to_string()),
        (keys::deposit(&keys::source("kraken")), "deposit/source/kraken".to_string()),
        (keys::BASE_FEE.to_vec(), "base-fee".to_string()),
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
        (keys::EPOCH_KEYS.to_vec(), "epoch-keys".to_string()),
        (keys::PRESENCE.to_vec(), "presence".to_string()),
        (keys::stamp(&Digest([0xcd; 32]), "xnode.drill", &address), format!("stamp/{cd}/xnode.drill/{ab}")),
        (keys::stamp_place(258, 1), format!(r"stamp-place/{number}/\x00\x00\x00\x01")),
        (keys::stamp_of_topic("xnode.drill", 258, 1), format!(r"stamp-topic/xnode.drill/{number}/\x00\x00\x00\x01")),
        (keys::stamp_of_account(&address, 258, 1), format!(r"stamp-account/{ab}/{number}/\x00\x00\x00\x01")),
        (keys::stamp_count(&address), format!("stamp-count/{ab}")),
        (keys::RULES.to_vec(), "rules".to_string()),
        (keys::upgrade(258), r"upgrade/\x00\x00\x01\x02".to_string()),
        (keys::upgrade_plan(258, &Digest([0xab; 32])), format!("upgrade-plan/{number}/{}", r"\xab".repeat(32))),
        (keys::upgrade_ballots(&address), format!("upgrade-ballots/{ab}")),
        (keys::UPGRADE_LAPSED.to_vec(), "upgrade-lapsed".to_string()),
        (keys::BEACON.to_vec(), "beacon".to_string()),
        (keys::EPOCH_VALIDATORS.to_vec(), "validators/epoch".to_string()),
        (keys::TURNS.to_vec(), "turns".to_string()),
    ];
    for (key, text) in golden {
        assert_eq!(shown(&key), text);
    }
    assert_eq!(keys::window_number(&keys::window("kraken", 258)), Some(258));
    for key in [
        keys::stamp_place(258, 1),
        keys::stamp_of_topic("xnode.drill", 258, 1),
        keys::stamp_of_account(&address, 258, 1),
    ] {
        assert_eq!(keys::stamp_place_of(&key), Some((258, 1)));
    }
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
    let (salt, seal, commitment) = (attestation.salt, attestation.seal(), Commitment::to(&key, &attestation));
    assert_eq!(commitment.verify(), Ok(()));
    let stamp = StampRecord {
        hash: sha256(&[b"abc"]),
        topic: "xnode.drill".to_string(),
        account: Address([0xab; 20]),
        note: String::new(),
        height: 258,
        number: 1,
        time: Timestamp(1_800_000_000_000_000_000),
        transaction: Digest([0xcd; 32]),
    };
    let golden = [
        (
            "sign bytes",
            sha256(&[&attestation.sign_bytes()]),
            "d6602eec3542e2c23df196c2bf6d24e2e2bf37dabc343442cdd3078910e19fbe",
        ),
        (
            "attestation",
            Transaction::Attestation(attestation).hash(),
            "0e7339727282d6a21a7f495965294334cd8e4caa487a658526cca358e92a1a05",
        ),
        ("salt", salt, "fab9f6a9305aaccd7537bfc4853fcebdf709cc609325f42868abee654535c0c3"),
        ("seal", seal, "6b80d8b46e1ed153f2c8b29e052fc5ff2775f8c186522c2f4bbcb0ad9bdc1b0b"),
        (
            "commitment",
            Transaction::Commitment(commitment).hash(),
            "3bb3ca067c015132e789d4cab726b9058fda0b358824d96fcef0fa7d8b8be785",
        ),
        (
            "params",
            sha256(&[&canonical::encode(&openmesh_ledger::Params::default())]),
            "85455ce285dcb00b99d9ba4cbc5e9550226896482e760c19efec7d2419c9de47",
        ),
        (
            "leaf of a stamp",
            Fact::Stamp(stamp).leaf(),
            "d2a18328e0fb7c1e60f62a2185f0a96701e7ef2b26a69a7a33c10d909fe14f24",
        ),
    ];
    let found: Vec<_> = golden.iter().map(|(name, hash, _)| (*name, hash.to_string())).collect();
    let expected: Vec<_> = golden.iter().map(|(name, _, expected)| (*name, (*expected).to_string())).collect();
    assert_eq!(found, expected);
}
