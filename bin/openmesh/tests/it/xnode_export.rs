//! `openmesh xnode export` where no agent runs: a document of a file becomes a flake of NixOS.

use serde_json::Value;

use crate::network::binary;

const DOCUMENT: &str = "version: 1\napplications:\n  web:\n    image: docker.io/library/nginx:1.27\n    variables: {WORDS: '${not} nix', TOKEN: {secret: token}}\n";

async fn run(arguments: &[&str]) -> (i32, String, String) {
    let output = binary().args(arguments).output().await.unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap_or(-1), text(&output.stdout), text(&output.stderr))
}

#[tokio::test]
async fn a_document_becomes_a_flake() {
    let folder = tempfile::tempdir().unwrap();
    let (file, out) = (folder.path().join("site.yaml"), folder.path().join("flake"));
    std::fs::write(&file, DOCUMENT).unwrap();
    let (file, out) = (file.to_str().unwrap(), out.to_str().unwrap());
    let (code, told, err) = run(&["xnode", "export", "--nixos", file, "--out", out, "--json"]).await;
    assert_eq!(code, 0, "{err}");
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!((&told["secrets"], &told["generation"]), (&serde_json::json!(["token"]), &Value::Null));
    for name in ["flake.nix", "module.nix", "package.nix", "document.nix"] {
        let written = std::fs::read_to_string(std::path::Path::new(out).join(name)).unwrap();
        assert_eq!(told["files"][name].as_str(), Some(written.as_str()), "{name}");
    }
    let document = told["files"]["document.nix"].as_str().unwrap();
    assert!(document.contains("WORDS = \"\\${not} nix\";") && document.contains("secret = \"token\";"), "{document}");
    // The program is this one, by its hash; a flake of another one is told from it by nothing else.
    let hash = told["program"].as_str().unwrap();
    assert!(told["files"]["package.nix"].as_str().unwrap().contains(&format!("sha256 = \"{hash}\";")));
    let other = run(&["xnode", "export", "--nixos", file, "--binary", file, "--json"]).await;
    let other: Value = serde_json::from_str(&other.1).unwrap();
    assert_ne!(other["program"], told["program"]);
    assert_eq!(other["document"], told["document"]);
    // Again there is nothing to write; another document is not written over this one.
    let (code, printed, err) = run(&["xnode", "export", "--nixos", file, "--out", out]).await;
    assert!(code == 0 && printed.is_empty() && err.contains("written"), "{printed}{err}");
    std::fs::write(file, DOCUMENT.replace("1.27", "1.28")).unwrap();
    let (code, _, err) = run(&["xnode", "export", "--nixos", file, "--out", out]).await;
    assert!(code == 1 && err.contains("document.nix is there already") && err.contains("hint:"), "{err}");
}

#[tokio::test]
async fn what_is_no_document_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("x.yaml");
    for (text, code, words) in [
        ("version: 1\napplicatoins: {}\n", 1, "did you mean `applications`?"),
        ("services: {web: {image: web}}\n", 2, "openmesh app import"),
        (
            "version: 1\napplications: {a: {image: a, variables: {outPath: x}}}\n",
            1,
            "applications.a.variables: has the key",
        ),
    ] {
        std::fs::write(&file, text).unwrap();
        let (found, out, err) = run(&["xnode", "export", "--nixos", file.to_str().unwrap()]).await;
        assert!(found == code && out.is_empty() && err.contains(words), "{found}: {err}");
    }
    let (code, _, err) = run(&["xnode", "export", file.to_str().unwrap()]).await;
    assert!(code == 2 && err.contains("--nixos"), "{err}");
    let run_folder = folder.path().to_str().unwrap();
    let (code, _, err) = run(&["xnode", "export", "--nixos", "--agent", "test", "--agent-run", run_folder]).await;
    assert!(code == 1 && err.contains("no agent answers") && err.contains("hint:"), "{err}");
    let (code, _, err) = run(&["xnode", "apart", "--to", run_folder]).await;
    assert!(code == 1 && err.contains("make install"), "{err}");
}
