//! `openmesh xnode init` and `openmesh xnode access` without an agent.

use serde_json::Value;

use crate::network::binary;

const OWNER: &str = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266";
const OTHER: &str = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8";

async fn run(arguments: &[&str]) -> (i32, String, String) {
    let output = binary().args(arguments).output().await.unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap_or(-1), text(&output.stdout), text(&output.stderr))
}

#[tokio::test]
async fn the_owner_is_named_once() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    let place = ["--agent", "test", "--agent-state", state.to_str().unwrap()];
    let init = async |more: &[&str]| run(&[&["xnode", "init"][..], more, &place].concat()).await;
    let whole = ["--owner", OWNER, "--host", "xnode.example.org", "--face", "127.0.0.1:7999"];
    let (code, out, err) = init(&whole).await;
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("xnode.toml") && out.contains(OWNER), "{out}");
    let text = std::fs::read_to_string(state.join("xnode.toml")).unwrap();
    assert!(text.contains(&format!("owner = \"{OWNER}\"")) && text.contains("xnode.example.org"), "{text}");
    // The same again is no change; another owner is refused, and nothing is written over.
    let (code, out, _) = init(&[&whole[..], &["--json"]].concat()).await;
    assert_eq!((code, serde_json::from_str::<Value>(&out).unwrap()["written"].as_bool()), (0, Some(false)));
    let (code, _, err) = init(&["--owner", OTHER]).await;
    assert_eq!(code, 1);
    assert!(err.contains(OWNER) && err.contains("is not written over") && err.contains("hint:"), "{err}");
    assert_eq!(std::fs::read_to_string(state.join("xnode.toml")).unwrap(), text);
}

#[tokio::test]
async fn wrong_arguments_say_what_would_be_right() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().to_str().unwrap();
    for (arguments, code, words) in [
        (&["init", "--owner", "0x12"][..], 2, "40 hexadecimal digits"),
        (&["init", "--owner", &OWNER.replace("f39F", "F39f")][..], 2, "EIP-55"),
        (&["init", "--owner", OWNER, "--face", "0.0.0.0:7780"][..], 1, "not on loopback"),
        (&["init", "--owner", OWNER, "--host", "https://a.b"][..], 1, "no name of a host"),
        (&["init", "--owner", OWNER, "--chain-id", "1"][..], 2, "--chain-rpc"),
        (&["access", "members", "set", OWNER, "king"][..], 2, "owner, admin, operator and viewer"),
        (&["access", "keys", "make", "bot", "--role", "viewer", "--lasts", "long"][..], 2, "12h or 90d"),
        (&["access", "audit", "--since", "yesterday"][..], 2, "2h or 2026-05-01T12:00:00Z"),
        (&["access", "audit", "verify", "--noted", "5"][..], 2, "NUMBER:HASH"),
        (&["access", "members"][..], 1, "no agent answers"),
        (&["access", "audit", "verify", "--offline"][..], 1, "audit"),
    ] {
        let place = ["--agent", "test", "--agent-state", state, "--agent-run", state];
        let (got, _, err) = run(&[&["xnode"][..], arguments, &place].concat()).await;
        assert_eq!(got, code, "{arguments:?}: {err}");
        assert!(err.contains(words), "{arguments:?}: {words:?} is not in\n{err}");
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}
