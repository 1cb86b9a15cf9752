//! Documents as flakes of NixOS: the files as they are, the document that comes out of them again, and what Nix itself says where it is there.

use std::collections::BTreeMap;
use std::process::Command;

use openmesh_blueprint::document::Content;
use openmesh_blueprint::nixos::{Export, Program, secrets};
use openmesh_blueprint::unit::{SETTINGS, Section};
use openmesh_blueprint::{Document, resolve};
use openmesh_primitives::sha256;
use proptest::prelude::*;
use rnix::ast::{Expr, HasEntry as _};
use serde_json::Value;

use crate::document::FULL;
use crate::golden::golden;
use crate::nix::{evaluated, parsed};
use crate::world::{allocations, catalogue, cause, document};

const SHOP: &str = include_str!("shop.yaml");
/// Marks in the files as they are kept.
const MARKS: [&str; 9] = ["version", "sha256", "system", "document", "portable", "log", "top", "unit", "service"];

fn program() -> Program {
    Program { version: "1.2.3".into(), sha256: sha256(&[b"a program"]), architecture: "x86_64".into() }
}

/// Files of a text's document, and the document.
fn exported(text: &str) -> (Document, BTreeMap<&'static str, String>) {
    let document = document(text);
    let files = Export { document: &document, generation: None, program: &program() }.files().unwrap();
    (document, files)
}

/// The JSON that NixOS makes of a file with a document: keys in the order of their bytes, and no blanks.
fn json(file: &str) -> String {
    fn compact(value: &Value) -> String {
        match value {
            Value::Array(items) => format!("[{}]", items.iter().map(compact).collect::<Vec<_>>().join(",")),
            Value::Object(map) => {
                let sorted: BTreeMap<&String, &Value> = map.iter().collect();
                let pair =
                    |(key, value): (&String, &Value)| format!("{}:{}", Value::from(key.as_str()), compact(value));
                format!("{{{}}}", sorted.into_iter().map(pair).collect::<Vec<_>>().join(","))
            }
            leaf => leaf.to_string(),
        }
    }
    compact(&evaluated(&parsed(file)))
}

#[test]
fn flakes_of_two_documents() {
    for (name, text) in [("shop", SHOP), ("full", FULL)] {
        let document = document(text);
        let generation = (name == "shop").then(|| {
            let made = resolve(&document, &catalogue(&document), &allocations(), None, cause(0)).unwrap();
            (7, made.portable.hash())
        });
        let files = Export { document: &document, generation, program: &program() }.files().unwrap();
        let names: Vec<&str> = files.keys().copied().collect();
        assert_eq!(names, ["document.nix", "flake.nix", "module.nix", "package.nix"]);
        for (file, text) in &files {
            parsed(text);
            let mark = MARKS.iter().find(|mark| text.contains(&format!("@{mark}@")));
            assert_eq!(mark, None, "{file}:\n{text}");
            // The service is the same for every document.
            let folder = if ["module.nix", "package.nix"].contains(file) { "all" } else { name };
            golden(&format!("nixos/{folder}.{file}"), text);
        }
    }
}

#[test]
fn what_comes_out_is_the_document_that_went_in() {
    for text in [SHOP, FULL, "version: 1\n", "version: 1\nmachine: {name: attic}\napplications: {}\n"] {
        let (before, files) = exported(text);
        let json = json(&files["document.nix"]);
        let after = Document::parse(&json).unwrap_or_else(|problems| panic!("{problems:#?}\n{json}"));
        assert_eq!(after, before);
        // The hash that the flake holds against it is that of the text as Nix writes it.
        assert_eq!(sha256(&[json.as_bytes()]), before.hash());
        assert!(files["flake.nix"].contains(&format!("exported = \"{}\";", before.hash())), "{}", files["flake.nix"]);
    }
}

#[test]
fn the_portable_part_is_the_same() {
    let (before, files) = exported(SHOP);
    let after = Document::parse(&json(&files["document.nix"])).unwrap();
    let portable = |document: &Document, seconds| {
        resolve(document, &catalogue(document), &allocations(), None, cause(seconds)).unwrap().portable.hash()
    };
    assert_eq!(portable(&before, 0), portable(&after, 99));
    let flake = Export { document: &before, generation: Some((7, portable(&before, 0))), program: &program() };
    let flake = &flake.files().unwrap()["flake.nix"];
    let words = format!("generation 7, of which it is the document: {}\n", portable(&before, 0));
    assert!(flake.contains(&words), "{flake}");
}

#[test]
fn secrets_are_named_and_keys_that_nix_reads_otherwise_are_refused() {
    let (full, files) = exported(FULL);
    let names: Vec<String> = secrets(&full).iter().map(ToString::to_string).collect();
    assert_eq!(names, ["db-password", "ghcr", "redis", "s3", "token"]);
    assert!(files["document.nix"].contains("secret set NAME`: db-password, ghcr, redis, s3, token.\n"));
    let (none, files) = exported("version: 1\n");
    assert!(secrets(&none).is_empty() && !files["document.nix"].contains("NAME`"), "{}", files["document.nix"]);
    for key in ["outPath", "__toString", "_type"] {
        let text = format!("version: 1\napplications: {{web: {{image: web, variables: {{{key}: x}}}}}}\n");
        let refused = Export { document: &document(&text), generation: None, program: &program() }.files().unwrap_err();
        let words = refused.to_string();
        assert!(words.starts_with("applications.web.variables: has the key") && words.contains(key), "{words}");
    }
}

/// An attribute of a set, by its names from the outside to the inside; its text.
fn attribute(expr: &Expr, path: &[&str]) -> Option<String> {
    let Some((first, rest)) = path.split_first() else { return Some(expr.to_string()) };
    let Expr::AttrSet(set) = expr else { return None };
    let pair = set.attrpath_values().find(|pair| pair.attrpath().is_some_and(|path| path.to_string() == *first))?;
    attribute(&pair.value()?, rest)
}

/// The body of a function, or of what is defined before it.
fn body(expr: Expr) -> Expr {
    match expr {
        Expr::Lambda(function) => body(function.body().unwrap()),
        Expr::LetIn(definitions) => body(definitions.body().unwrap()),
        Expr::Apply(call) => body(call.argument().unwrap()),
        other => other,
    }
}

/// The module runs the agent as the unit of `openmesh xnode service` does.
#[test]
fn the_module_has_the_settings_of_the_unit() {
    let (_, files) = exported(SHOP);
    let module = body(parsed(&files["module.nix"]));
    let config = body(parsed(&attribute(&module, &["config"]).unwrap()));
    let service = attribute(&config, &["systemd.services.${unit}"]).unwrap();
    let service = parsed(&service);
    for setting in SETTINGS {
        let words = setting.value.split(' ').map(|word| format!("\"{word}\"")).collect::<Vec<_>>().join(" ");
        let (path, value) = match (setting.section, setting.key) {
            (_, "After") => (vec!["after"], format!("[ {words} ]")),
            (_, "WantedBy") => (vec!["wantedBy"], format!("[ {words} ]")),
            // An option, whose default it is.
            (_, "Environment") => continue,
            (Section::Unit, key) => (vec!["unitConfig", key], words),
            (_, key) => (vec!["serviceConfig", key], words),
        };
        assert_eq!(attribute(&service, &path), Some(value), "{setting:?}");
    }
    let option = parsed(&attribute(&module, &["options.services.openmesh-xnode"]).unwrap());
    let level = body(parsed(&attribute(&option, &["log"]).unwrap()));
    let level = format!("OPENMESH_LOG={}", attribute(&level, &["default"]).unwrap().trim_matches('"'));
    assert!(SETTINGS.iter().any(|setting| setting.key == "Environment" && setting.value == level), "{level}");
    // Each of them unshares mounts, or takes away a right that applications are made with.
    let text = service.to_string();
    for option in ["Private", "Protect", "ReadOnlyPaths", "CapabilityBoundingSet", "NoNewPrivileges", "DynamicUser"] {
        assert!(!text.contains(option), "{option}");
    }
}

proptest! {
    /// Whatever texts a document holds, it comes back from its flake.
    #[test]
    fn documents_come_back(
        value in any::<String>(),
        lines in "[ -~\\n\\t\u{a0}-\u{ff}\u{202e}]{0,60}",
        key in "[A-Za-z_][A-Za-z0-9_.-]{0,8}",
    ) {
        prop_assume!(!value.contains('\0') && !["outPath", "__toString", "_type"].contains(&key.as_str()));
        let mut document = Document::parse("version: 1\napplications: {a: {image: a}}").unwrap();
        let application = document.applications.values_mut().next().unwrap();
        application.variables.insert(key.parse().unwrap(), Content::Text(value));
        application.command = vec!["sh".into(), "-c".into(), lines];
        let files = Export { document: &document, generation: None, program: &program() }.files().unwrap();
        let json = json(&files["document.nix"]);
        prop_assert_eq!(sha256(&[json.as_bytes()]), document.hash());
        // Signs that YAML does not take as they are need their numbers: the agent writes them so.
        let value: Value = serde_json::from_str(&json).unwrap();
        prop_assert_eq!(&value, &serde_json::from_str::<Value>(&document.to_json()).unwrap());
    }
}

/// An answer of Nix itself, in a folder with the files; none where there is no Nix.
fn nix(folder: &std::path::Path, arguments: &[&str]) -> Option<Result<String, String>> {
    let asked = Command::new("nix-instantiate").args(arguments).current_dir(folder).output();
    let output = asked.ok()?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_string();
    Some(if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) })
}

/// A folder with the files of a document.
fn written(name: &str, files: &BTreeMap<&'static str, String>) -> std::path::PathBuf {
    let folder = std::env::temp_dir().join(format!("openmesh-nixos-{}-{name}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    for (file, text) in files {
        std::fs::write(folder.join(file), text).unwrap();
    }
    folder
}

#[test]
fn nix_itself_reads_the_files() {
    if nix(&std::env::temp_dir(), &["--version"]).is_none() {
        println!("skipped: nix-instantiate is missing (https://nixos.org/download)");
        return;
    }
    for (name, text) in [("shop", SHOP), ("full", FULL)] {
        let (document, files) = exported(text);
        let folder = written(name, &files);
        let asked = |arguments: &[&str]| nix(&folder, arguments).unwrap().unwrap_or_else(|error| panic!("{error}"));
        for file in files.keys() {
            asked(&["--parse", *file]);
        }
        let hash = "builtins.hashString \"sha256\" (builtins.toJSON (import ./document.nix))";
        assert_eq!(asked(&["--eval", "--expr", hash]), format!("\"{}\"", document.hash()));
        let json = asked(&["--eval", "--strict", "--json", "document.nix"]);
        assert_eq!(Document::parse(&json).unwrap(), document);
        std::fs::remove_dir_all(&folder).unwrap();
    }
}

/// The module in a machine of the real library of NixOS.
#[test]
fn a_machine_of_nixos_has_the_service() {
    let probe = nix(&std::env::temp_dir(), &["--eval", "--expr", "toString <nixpkgs/nixos/lib/eval-config.nix>"]);
    if !matches!(probe, Some(Ok(_))) {
        println!("skipped: nix-instantiate or nixpkgs (in NIX_PATH) is missing");
        return;
    }
    let (document, files) = exported(SHOP);
    let folder = written("machine", &files);
    let expression = "
      let
        machine = import <nixpkgs/nixos/lib/eval-config.nix> {
          system = \"x86_64-linux\";
          modules = [
            ./module.nix
            {
              boot.loader.grub.enable = false;
              fileSystems.\"/\".device = \"/dev/vda\";
              fileSystems.\"/\".fsType = \"ext4\";
              system.stateVersion = \"26.05\";
              services.openmesh-xnode.enable = true;
              services.openmesh-xnode.openFirewall = true;
              services.openmesh-xnode.package = derivation {
                name = \"openmesh\"; system = \"x86_64-linux\"; builder = \"/bin/sh\";
              };
              services.openmesh-xnode.document = import ./document.nix;
            }
          ];
        };
        service = machine.config.systemd.services.openmesh-xnode;
        json = machine.config.environment.etc.\"openmesh/xnodes/default.json\".text;
      in
      {
        inherit json;
        hash = builtins.hashString \"sha256\" json;
        kill = service.serviceConfig.KillMode;
        start = service.serviceConfig.ExecStart;
        given = service.environment.OPENMESH_XNODE_DOCUMENT;
        ports = machine.config.networking.firewall.allowedTCPPorts;
        bad = builtins.filter (one: !one.assertion) machine.config.assertions;
      }";
    let found = nix(&folder, &["--eval", "--strict", "--json", "--expr", expression]).unwrap();
    let found: Value = serde_json::from_str(&found.unwrap_or_else(|error| panic!("{error}"))).unwrap();
    assert_eq!(found["hash"].as_str(), Some(document.hash().to_string().as_str()));
    assert_eq!(Document::parse(found["json"].as_str().unwrap()).unwrap(), document);
    assert_eq!((found["kill"].as_str(), &found["bad"]), (Some("process"), &Value::Array(Vec::new())));
    assert!(found["start"].as_str().is_some_and(|start| start.contains("/bin/openmesh") && start.contains("agent")));
    assert_eq!(found["given"].as_str(), Some("/etc/openmesh/xnodes/default.json"));
    // A port of the shop is published on loopback alone, and one by a number that the agent chooses.
    let opened = found["ports"].as_array().unwrap();
    assert!(opened.contains(&Value::from(443)) && !opened.contains(&Value::from(5432)), "{found}");
    std::fs::remove_dir_all(&folder).unwrap();
}
