//! The agent that `openmesh up` starts: a process of its own, taken over, ended with the network, gone without a trace where nobody used it.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command as Program;
use std::time::Duration;

use serde_json::Value;
use tokio::process::Command;

use crate::network::{Network, PATIENCE, binary, is_alive, program_at};
use crate::path::SIMULATED;

/// A folder with the binary and the programs of an agent beside it, built where they are not there; none where this machine can hold no agent.
fn programs() -> Option<tempfile::TempDir> {
    if !rustix::process::geteuid().is_root() {
        println!("skipped: an agent needs root");
        return None;
    }
    if !["/usr/sbin/nft", "/sbin/nft"].iter().any(|path| Path::new(path).exists()) {
        println!("skipped: an agent needs nft (Debian package nftables)");
        return None;
    }
    let own = Path::new(env!("CARGO_BIN_EXE_openmesh"));
    let debug = own.parent().unwrap();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap();
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let build = |arguments: &[&str]| {
        let built =
            Program::new(&cargo).args(["build", "--quiet", "--locked"]).args(arguments).current_dir(root).output();
        let built = built.unwrap();
        assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    };
    let others = ["openmesh-shim", "openmesh-unpack", "openmesh-door", "openmesh-lender"];
    if others.iter().any(|name| !debug.join(name).exists()) {
        build(&["--workspace", "--bin", others[0], "--bin", others[1], "--bin", others[2], "--bin", others[3]]);
    }
    // By `openmesh-tests`, for everybody.
    if std::env::var_os("OPENMESH_PROGRAMS_ARE_BUILT").is_none() {
        let target = debug.parent().unwrap().to_str().unwrap();
        build(&["--manifest-path", "crates/cage/helper/Cargo.toml", "--target-dir", target]);
    }
    // On the same file system, so that nothing large is copied.
    let folder = tempfile::tempdir_in(debug).unwrap();
    for name in ["openmesh", others[0], others[1], others[2], others[3], "openmesh-cage-helper"] {
        std::fs::hard_link(debug.join(name), folder.path().join(name)).unwrap();
    }
    Some(folder)
}

/// The binary, with an agent.
fn with_agent(programs: &Path) -> Command {
    let mut command = program_at(&programs.join("openmesh"));
    command.env_remove("OPENMESH_NO_XNODE");
    command
}

/// The record of the agent; none where there is none.
fn record(home: &Path) -> Option<Value> {
    let text = std::fs::read(home.join("simulated/xnode/running.json")).ok()?;
    serde_json::from_slice(&text).ok()
}

fn pid(record: &Value) -> u32 {
    record["process"]["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn it_outlives_the_supervisor_and_goes_with_the_network() {
    let Some(programs) = programs() else { return };
    let home = tempfile::tempdir().unwrap();
    // In a closed folder the agent would keep nothing.
    std::fs::set_permissions(home.path(), std::fs::Permissions::from_mode(0o711)).unwrap();
    let network = Network::start_as(&mut with_agent(programs.path()), home.path(), &SIMULATED).await;
    let before = record(home.path()).expect("an agent");
    let ready = &before["ready"];
    // Nothing of it is that of the machine's own agent.
    let name = ready["agent"].as_str().unwrap().to_string();
    assert!(name.starts_with("up-"), "{before}");
    let state = PathBuf::from(ready["state"].as_str().unwrap());
    assert!(state.starts_with(home.path().canonicalize().unwrap()) && state.is_dir(), "{before}");
    let noted: Value = serde_json::from_slice(&std::fs::read(home.path().join("xnode.json")).unwrap()).unwrap();
    assert_ne!(noted["subnet"], "10.89.0.0/16");
    assert_eq!(ready["face"], format!("127.0.0.1:{}", noted["face_port"]));

    // Every node passes on what is for it, and the agent asks for a way in.
    for node in 0..network.apis.len() {
        let (status, body) = network.try_get(node, "/v1/xnode").await.unwrap();
        assert_eq!((status, body["code"].as_str()), (401, Some("not_signed_in")), "{body}");
    }

    let adrift = network.lose().await;
    let mut network = Network::start_as(&mut with_agent(programs.path()), home.path(), &SIMULATED).await;
    let again = record(home.path()).expect("it goes on");
    assert_eq!(again, before, "the same process");
    assert!(is_alive(pid(&again)));

    let down = binary().arg("down").arg("--home").arg(home.path()).output().await.unwrap();
    let said = String::from_utf8_lossy(&down.stdout).into_owned();
    assert!(down.status.success(), "{said}");
    assert_eq!(network.ended().await, 0);
    assert!(!is_alive(pid(&before)), "{said}");
    // Nobody has used it: its ids are free again, and its folders are gone.
    assert!(!state.exists() && !Path::new("/run/openmesh/xnodes").join(&name).exists());
    let ids = std::fs::read_to_string("/var/lib/openmesh/xnodes/ids.json").unwrap_or_default();
    assert!(!ids.contains(state.to_str().unwrap()), "{ids}");
    drop(adrift);
}

/// `kill -9`: the agent comes back, as whatever else of the network does.
#[tokio::test(flavor = "multi_thread")]
async fn one_that_is_killed_comes_back() {
    let Some(programs) = programs() else { return };
    let home = tempfile::tempdir().unwrap();
    let one = ["--simulate", "--validators", "1"];
    let network = Network::start_as(&mut with_agent(programs.path()), home.path(), &one).await;
    let before = pid(&record(home.path()).expect("an agent"));
    crate::network::signal(before, rustix::process::Signal::KILL);
    let back = async {
        loop {
            let answers = record(home.path()).filter(|record| pid(record) != before && !record["ready"].is_null());
            if let Some(record) = answers {
                return pid(&record);
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let back = tokio::time::timeout(PATIENCE, back).await.expect("it was started again");
    assert_eq!(network.stop().await, 0);
    assert!(!is_alive(back), "it ends with the network");
}

#[tokio::test]
async fn without_root_it_is_said_in_one_line_and_everything_else_runs() {
    let home = tempfile::tempdir_in(Path::new(env!("CARGO_BIN_EXE_openmesh")).parent().unwrap()).unwrap();
    // A folder without the programs of an agent does as well as a person without root: whichever lacks is told.
    let program = home.path().join("alone/openmesh");
    std::fs::create_dir(program.parent().unwrap()).unwrap();
    std::fs::hard_link(env!("CARGO_BIN_EXE_openmesh"), &program).unwrap();
    let networks = home.path().join("home");
    let mut up = program_at(&program);
    up.env_remove("OPENMESH_NO_XNODE");
    let network = Network::start_as(&mut up, &networks, &["--simulate", "--validators", "1"]).await;
    network.until(0, "/v1/status", "a block", |status| status["height"].as_u64() > Some(0)).await;
    assert!(record(&networks).is_none(), "no agent was started");
    assert_eq!(network.stop().await, 0);
}
