//! Recipes: the same input gives the same digest.

use std::collections::BTreeMap;

use openmesh_blueprint::document::{Content, File, Mode, Recipe, User};
use openmesh_blueprint::inventory::ImageState;
use openmesh_image::effect::open;
use openmesh_image::oci::Config;
use openmesh_image::recipe::{Kitchen, Mirror, RecipeError};
use openmesh_primitives::Digest;

use crate::bench::{Baked, Pack, Room, helper, no_root, room, skipped};

fn kitchen() -> Kitchen {
    let sources = ["/etc/apt/sources.list.d/debian.sources", "/etc/apt/sources.list"];
    let sources = sources.iter().find(|path| std::path::Path::new(path).exists());
    let mirror =
        sources.map_or(Mirror::Address("http://deb.debian.org/debian".into()), |path| Mirror::Sources(path.into()));
    Kitchen { suite: "bookworm".into(), mirror }
}

fn recipe() -> Recipe {
    let none = BTreeMap::new;
    Recipe {
        base: None,
        debian: none(),
        npm: none(),
        pypi: none(),
        files: BTreeMap::new(),
        command: vec!["/bin/run".into(), "--now".into()],
    }
}

fn with_files() -> Recipe {
    let file = |text: &str, mode, owner| File { content: Content::Text(text.into()), mode: Mode(mode), owner };
    let files = [
        ("/etc/b", file("two", 0o600, Some(User { uid: 70, gid: 71 }))),
        ("/bin/run", file("#!/bin/sh\n", 0o755, None)),
        ("/etc/a", file("one", 0o644, None)),
    ];
    Recipe { files: files.into_iter().map(|(path, file)| (path.parse().unwrap(), file)).collect(), ..recipe() }
}

/// A base with a Python's version in its variables, and nothing in it.
fn base(room: &Room) -> String {
    let archive = Pack::new().folder("usr").done();
    let config = Config {
        diff_ids: vec![openmesh_primitives::sha256(&[&archive])],
        env: vec!["PYTHON_VERSION=3.11.2".into()],
        ..Config::default()
    };
    let digest = Baked::with(&config, vec![(openmesh_image::oci::LAYER, archive)]).keep(&room.store);
    format!("example.org/base@sha256:{digest}")
}

fn make(room: &Room, recipe: &Recipe) -> Result<Digest, RecipeError> {
    room.store.make(recipe, &kitchen(), "test", &open).map(|made| made.image)
}

#[test]
fn files_alone_give_one_digest_everywhere() {
    let recipe = with_files();
    let (first, second) = (room(), room());
    let made = first.store.make(&recipe, &kitchen(), "web", &open).unwrap();
    assert!(!made.cached);
    assert_eq!(make(&second, &recipe).unwrap(), made.image);
    // Another process with another time zone, locale, folder and umask.
    let mut child = std::process::Command::new("sh");
    child.args(["-c", "umask 077; exec \"$@\"", "sh"]).arg(std::env::current_exe().unwrap());
    child.args(["recipe::elsewhere", "--exact", "--ignored", "--nocapture"]).current_dir("/");
    child.envs([("TZ", "Pacific/Kiritimati"), ("LC_ALL", "tr_TR.UTF-8"), ("SOURCE_DATE_EPOCH", "1")]);
    let said = String::from_utf8(child.output().unwrap().stdout).unwrap();
    assert!(said.contains(&format!("digest {}\n", made.image)), "{said}");
    // Written down, so that another version of this program is held to it.
    assert_eq!(made.image.to_string(), include_str!("recipe.digest").trim());
    assert!(first.store.make(&recipe, &kitchen(), "other", &open).unwrap().cached);
    assert!(first.store.leases().unwrap()["other"].contains(&made.image));
    assert!(first.store.collection().unwrap().items.is_empty());
    let image = first.store.image(&made.image).unwrap();
    assert_eq!(image.config.command, ["/bin/run", "--now"]);
    let other = Recipe { command: vec!["/bin/other".into()], ..recipe };
    assert_ne!(make(&first, &other).unwrap(), made.image);
    if no_root() {
        return;
    }
    first.store.unpack(&image, &helper(), &open, &|_, _| ()).unwrap();
    assert_eq!(first.store.state(&made.image), Some(ImageState::Unpacked));
    let found = crate::bench::tree(&first.store.layer_root(&image.config.diff_ids[0]));
    assert_eq!(
        found,
        [
            " 40755 0:0",
            "bin 40755 0:0",
            "bin/run 100755 0:0",
            "etc 40755 0:0",
            "etc/a 100644 0:0",
            "etc/b 100600 70:71"
        ]
    );
}

#[test]
#[ignore = "it is started by another test, elsewhere"]
fn elsewhere() {
    println!("digest {}", make(&room(), &with_files()).unwrap());
}

#[test]
fn recipes_that_cannot_be_made() {
    let room = room();
    let version = |name: &str| BTreeMap::from([(name.parse().unwrap(), "1".parse().unwrap())]);
    let secret = File { content: Content::Secret("key".parse().unwrap()), mode: Mode(0o600), owner: None };
    let secret = Recipe { files: BTreeMap::from([("/key".parse().unwrap(), secret)]), ..recipe() };
    assert!(matches!(make(&room, &secret), Err(RecipeError::Secret(path)) if path == "/key"));
    let loose = Recipe { base: Some("example.org/base:1".parse().unwrap()), ..recipe() };
    assert!(matches!(make(&room, &loose), Err(RecipeError::BaseNotPinned(_))));
    let absent = format!("example.org/base@sha256:{}", "ab".repeat(32));
    let absent = Recipe { base: Some(absent.parse().unwrap()), ..recipe() };
    assert!(matches!(make(&room, &absent), Err(RecipeError::Base { .. })));
    let both = Recipe { base: Some(base(&room).parse().unwrap()), debian: version("hello"), ..recipe() };
    assert!(matches!(make(&room, &both), Err(RecipeError::DebianOnBase(_))));
    let archive = Pack::new().folder("usr").done();
    let bare = Baked::of(&[archive]).keep(&room.store);
    let python = Recipe {
        base: Some(format!("example.org/b@sha256:{bare}").parse().unwrap()),
        pypi: version("six"),
        ..recipe()
    };
    assert!(matches!(make(&room, &python), Err(RecipeError::NoPython)));
    assert!(!room.store.root().join("recipes").read_dir().unwrap().any(|_| true));
}

/// Words of programs that reach no registry.
const NO_NETWORK: &[&str] = &[
    "EAI_AGAIN",
    "ECONNREFUSED",
    "ECONNRESET",
    "ENETUNREACH",
    "ENOTFOUND",
    "ETIMEDOUT",
    "Connection refused",
    "Connection timed out",
    "Could not connect",
    "Could not resolve",
    "Failed to establish a new connection",
    "Network is unreachable",
    "Temporary failure in name resolution",
    "Temporary failure resolving",
];

/// Makes a recipe in two stores; `None` where the registry cannot be reached or a program is not installed.
fn twice(recipe: impl Fn(&Room) -> Recipe) -> Option<(Room, Digest)> {
    let (first, second) = (room(), room());
    let made = match make(&first, &recipe(&first)) {
        Err(error @ RecipeError::Missing { .. }) => {
            skipped(&error.to_string());
            return None;
        }
        Err(RecipeError::Program { text, .. }) if NO_NETWORK.iter().any(|words| text.contains(words)) => {
            skipped(&format!("no registry can be reached: {text}"));
            return None;
        }
        made => made.unwrap(),
    };
    assert_eq!(make(&second, &recipe(&second)).unwrap(), made);
    Some((first, made))
}

/// Names of a layer's archive.
fn names(room: &Room, image: &Digest, layer: usize) -> Vec<String> {
    let layer = room.store.image(image).unwrap().manifest.layers[layer].digest;
    let file = std::fs::File::open(room.store.blob_path(&layer)).unwrap();
    let mut archive = openmesh_image::tar::Archive::new(std::io::BufReader::new(file));
    let mut names = Vec::new();
    while let Some(entry) = archive.next().unwrap() {
        assert_eq!(entry.mtime, 0);
        names.push(String::from_utf8(entry.name).unwrap());
    }
    let mut sorted = names.clone();
    sorted.sort();
    assert_eq!(names, sorted);
    names
}

#[test]
fn packages_of_npm_and_pypi() {
    let package = |name: &str, version: &str| BTreeMap::from([(name.parse().unwrap(), version.parse().unwrap())]);
    let made = twice(|room| Recipe {
        base: Some(base(room).parse().unwrap()),
        npm: package("ms", "2.1.3"),
        pypi: package("six", "1.16.0"),
        ..recipe()
    });
    let Some((room, image)) = made else { return };
    let npm = names(&room, &image, 1);
    assert!(npm.contains(&"usr/local/lib/node_modules/ms/index.js".into()), "{npm:?}");
    let pypi = names(&room, &image, 2);
    assert!(pypi.contains(&"usr/local/lib/python-packages/six.py".into()), "{pypi:?}");
    let config = room.store.image(&image).unwrap().config;
    assert!(config.env.contains(&"PYTHONPATH=/usr/local/lib/python-packages".into()), "{config:?}");
}

#[test]
fn packages_of_debian() {
    if no_root() {
        return;
    }
    let version = std::process::Command::new("apt-cache").args(["show", "--no-all-versions", "hello"]).output();
    let text = version.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    let Some(version) = text.lines().find_map(|line| line.strip_prefix("Version: ")) else {
        skipped("apt knows no package hello (apt-get update)");
        return;
    };
    let debian = BTreeMap::from([("hello".parse().unwrap(), version.parse().unwrap())]);
    let Some((room, image)) =
        twice(|_| Recipe { debian: debian.clone(), command: vec!["/usr/bin/hello".into()], ..recipe() })
    else {
        return;
    };
    assert!(names(&room, &image, 0).contains(&"usr/bin/hello".into()));
    let image = room.store.image(&image).unwrap();
    room.store.unpack(&image, &helper(), &open, &|_, _| ()).unwrap();
    let root = room.store.layer_root(&image.config.diff_ids[0]);
    let output = std::process::Command::new("chroot").arg(&root).args(&image.config.command).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "Hello, world!\n");
}
