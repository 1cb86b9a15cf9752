//! `docs/guide/operate.md` as it is written, on five machines that are network namespaces; and the archive of a release.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::Command;

use crate::network::binary;

/// Blocks for which a machine is away here; `make operate` takes a thousand.
const HEIGHTS: &str = "25";

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts").join(name)
}

/// True where this user may make network namespaces by name.
async fn may_make_namespaces() -> bool {
    let name = format!("om-probe-{}", std::process::id());
    let mut add = Command::new("ip");
    add.args(["netns", "add", &name]).stdout(Stdio::null()).stderr(Stdio::null());
    let made = rustix::process::geteuid().is_root() && succeeds(&mut add).await;
    made && succeeds(Command::new("ip").args(["netns", "delete", &name])).await
}

async fn succeeds(command: &mut Command) -> bool {
    command.status().await.is_ok_and(|status| status.success())
}

#[tokio::test(flavor = "multi_thread")]
async fn five_machines_by_the_guide() {
    if !may_make_namespaces().await {
        println!("skipped: network namespaces need root and ip (iproute2)");
        return;
    }
    let mut command = Command::new(script("operate.sh"));
    command.arg(env!("CARGO_BIN_EXE_openmesh")).arg(HEIGHTS).stdin(Stdio::null());
    // What is started ends with this process, however that ends.
    command.env("OPENMESH_STOP_WITH", std::process::id().to_string()).env("OPENMESH_LOG", "info");
    let output = command.output().await.expect("scripts/operate.sh");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success() && out.ends_with("the guide is true\n"), "{out}\n{err}");
}

#[tokio::test]
async fn an_archive_is_the_same_whenever_it_is_packed() {
    let folder = tempfile::tempdir().unwrap();
    let (binary_file, notices) = (folder.path().join("program"), folder.path().join("NOTICES"));
    std::fs::copy("/bin/sh", &binary_file).unwrap();
    std::fs::write(&notices, "whose work is in it\n").unwrap();
    if Command::new("zstd").arg("--version").stdout(Stdio::null()).status().await.is_err() {
        println!("skipped: zstd is not here");
        return;
    }
    let pack = |out: PathBuf, umask: &'static str| {
        let mut command = Command::new("sh");
        command.args(["-c", "umask \"$1\" && shift && exec \"$@\"", "sh", umask]).arg(script("release.sh"));
        command.arg(&binary_file).arg(&notices).arg(&out).env("SOURCE_DATE_EPOCH", "1700000000");
        async move {
            let output = command.output().await.unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            std::fs::read_to_string(out.join("SHA256SUMS")).unwrap()
        }
    };
    let first = pack(folder.path().join("one"), "022").await;
    // Another time on the same files.
    std::fs::copy("/bin/sh", &binary_file).unwrap();
    let second = pack(folder.path().join("two"), "077").await;
    assert_eq!(first, second);
    assert_eq!(first.lines().count(), 2, "{first}");
    let name = first.split_whitespace().find(|word| word.ends_with(".tar.gz")).unwrap();
    let list = Command::new("tar").arg("-tzf").arg(folder.path().join("one").join(name)).output().await.unwrap();
    let list = String::from_utf8(list.stdout).unwrap();
    for part in [
        "openmesh",
        "LICENSE",
        "NOTICES",
        "SHA256SUMS",
        "openmesh-node.service",
        "Containerfile",
        "docs/guide/operate.md",
    ] {
        assert!(list.lines().any(|line| line.ends_with(&format!("-linux/{part}"))), "{part} is not in\n{list}");
    }
    // The sums within are those of the files.
    let unpacked = folder.path().join("unpacked");
    std::fs::create_dir(&unpacked).unwrap();
    let archive = folder.path().join("one").join(name);
    let mut untar = Command::new("tar");
    assert!(succeeds(untar.arg("-xzf").arg(archive).arg("-C").arg(&unpacked).arg("--strip-components=1")).await);
    let mut check = Command::new("sha256sum");
    assert!(succeeds(check.args(["--check", "--quiet", "SHA256SUMS"]).current_dir(&unpacked)).await);
}

/// Commands that the unit, the container and the document of an Xnode run are commands of this program.
#[tokio::test]
async fn packaged_commands_are_understood() {
    let file = |name: &str| {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packaging").join(name);
        std::fs::read_to_string(path).unwrap()
    };
    let unit = file("openmesh-node.service");
    let start = unit.lines().find_map(|line| line.strip_prefix("ExecStart=/usr/local/bin/openmesh ")).unwrap();
    // The home is not there: what fails is that and no argument.
    let output = binary().args(start.split(' ')).output().await.unwrap();
    let err = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(err.contains("/var/lib/openmesh-node/home/node.toml is missing"), "{err}");
    let document = file("openmesh-node.yaml");
    let init = document.lines().find_map(|line| line.trim().strip_prefix("/usr/bin/openmesh init ")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let line = init
        .replace("\"$NETWORK\"", "new")
        .replace("\"$PEERS\"", "203.0.113.1,203.0.113.2")
        .replace("\"$ROLE\"", "full")
        .replace("\"$REACH\"", "203.0.113.7");
    let home = folder.path().join("home");
    let output = binary().arg("init").args(line.split(' ')).env("OPENMESH_NODE_HOME", &home).output().await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let container = file("Containerfile");
    assert!(container.contains("ENTRYPOINT [\"openmesh\"]\nCMD [\"node\"]"), "{container}");
    assert!(container.contains("CMD [\"openmesh\", \"validator\", \"status\"]"), "{container}");
}
