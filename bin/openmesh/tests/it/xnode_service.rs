//! `openmesh xnode service` and `openmesh xnode drain` where nothing is installed and no agent runs.

use serde_json::Value;

use crate::network::binary;

async fn run(arguments: &[&str]) -> (i32, String, String) {
    let output = binary().args(arguments).output().await.unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap_or(-1), text(&output.stdout), text(&output.stderr))
}

#[tokio::test]
async fn the_unit_is_printed_and_nothing_is_changed() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    let place = ["--agent", "printed", "--agent-state", state.to_str().unwrap()];
    let (code, out, err) = run(&[&["xnode", "service", "install", "--print"][..], &place].concat()).await;
    assert_eq!(code, 0, "{err}");
    let start = format!("ExecStart={} xnode agent --agent printed", env!("CARGO_BIN_EXE_openmesh"));
    for word in [start.as_str(), "\nKillMode=process\n", "\nRestart=always\n", state.to_str().unwrap()] {
        assert!(out.contains(word), "{word:?} is not in\n{out}");
    }
    assert!(!state.exists());
    let (code, out, err) = run(&["xnode", "service", "status", "--json", "--agent", "printed"]).await;
    assert_eq!(code, 0, "{err}");
    let state: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(state["unit"], "openmesh-xnode-printed.service");
    assert_eq!(state["installed"], false);
    let (code, out, err) = run(&["xnode", "service", "remove", "--agent", "printed"]).await;
    assert!(code == 0 && out.contains("is not there"), "{out}{err}");
}

#[tokio::test]
async fn a_machine_without_systemd_is_told_what_to_do() {
    if std::path::Path::new("/run/systemd/system").is_dir() {
        println!("skipped: systemd runs this machine, and this test installs nothing");
        return;
    }
    let (code, _, err) = run(&["xnode", "service", "install", "--agent", "never"]).await;
    assert_eq!(code, 1, "{err}");
    assert!(err.contains("systemd") && err.contains("hint:") && err.contains("--print"), "{err}");
    assert!(!std::path::Path::new("/etc/systemd/system/openmesh-xnode-never.service").exists());
}

#[tokio::test]
async fn a_drain_needs_an_agent() {
    let folder = tempfile::tempdir().unwrap();
    let run_folder = folder.path().to_str().unwrap();
    let cases: [&[&str]; 3] = [&[], &["--off"], &["--reason", "a new disk", "--json"]];
    for more in cases {
        let place = ["xnode", "drain", "--agent", "test", "--agent-run", run_folder];
        let (code, _, err) = run(&[&place[..], more].concat()).await;
        assert!(code == 1 && err.contains("no agent answers") && err.contains("hint:"), "{more:?}: {err}");
    }
    let (code, _, err) = run(&["xnode", "drain", "--off", "--reason", "x"]).await;
    assert!(code == 2 && err.contains("--reason"), "{err}");
}
