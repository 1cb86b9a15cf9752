//! `openmesh xnode catalogue`: a publisher's side of a catalogue of templates. Nothing of it asks an agent.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use openmesh_agent::Name;
use openmesh_agent::catalogue_index::{INDEX_FILE, Index, Opened, Part, open, seal};
use openmesh_agent::catalogue_publish::{Wish, entries, next};
use openmesh_primitives::{Timestamp, ValidatorKey, ValidatorPublicKey};
use serde::Serialize;

use super::agent::{json, moment, print};
use crate::cli::templates::CatalogueCommand;
use crate::failure::{Failure, OrFail as _};

/// Largest file that is read, bytes: no template, icon or index has more.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// Most files of a folder.
const FILES_MAX: usize = 2_000;

/// Runs one of the commands of a publisher.
pub fn run(command: &CatalogueCommand) -> Result<(), Failure> {
    match command {
        CatalogueCommand::Key { file } => make_key(file),
        CatalogueCommand::Sign { folder, key, name, publisher, days, output } => {
            let signed = sign(folder, key, (name.as_ref(), publisher.as_deref()), *days)?;
            if output.json { json(&signed) } else { print(&text("signed", &signed)) }
        }
        CatalogueCommand::Verify { folder, key, output } => {
            let found = verify(folder, key)?;
            if output.json { json(&found) } else { print(&text("right", &found)) }
        }
    }
}

/// An index as it is shown.
#[derive(Debug, Serialize)]
struct Shown {
    catalogue: String,
    publisher: String,
    key: String,
    sequence: u64,
    signed: Timestamp,
    expires: Timestamp,
    templates: Vec<String>,
}

impl Shown {
    fn of(index: &Index, key: &ValidatorPublicKey) -> Shown {
        let templates = index.templates.iter().map(|entry| format!("{} {}", entry.name, entry.version));
        Shown {
            catalogue: index.catalogue.clone(),
            publisher: index.publisher.clone(),
            key: key.to_string(),
            sequence: index.sequence,
            signed: index.signed,
            expires: index.expires,
            templates: templates.collect(),
        }
    }
}

fn text(word: &str, shown: &Shown) -> String {
    let Shown { catalogue, publisher, key, sequence, expires, templates, .. } = shown;
    format!(
        "index {sequence} of the catalogue {catalogue} of {publisher} is {word}: {}\nit holds until {} (UTC); machines name the key {key}\n",
        templates.join(", "),
        moment(*expires)
    )
}

/// Makes a key, and prints its public half.
fn make_key(path: &Path) -> Result<(), Failure> {
    let key = ValidatorKey::generate().or_fail("a key")?;
    let text = format!("{}\n", hex::encode(key.seed()));
    let file = OpenOptions::new().create_new(true).write(true).mode(0o600).open(path);
    let written = file.and_then(|mut file| file.write_all(text.as_bytes()).and_then(|()| file.sync_all()));
    written.map_err(|error| Failure::from_display(path.display(), &error))?;
    print(&format!("{}\n", key.public()))
}

fn read_key(path: &Path) -> Result<ValidatorKey, Failure> {
    let bytes = read(path)?;
    let mut seed = [0_u8; 32];
    let text = String::from_utf8_lossy(&bytes);
    let decoded = hex::decode_to_slice(text.trim(), &mut seed);
    let wrong = |_| {
        let words = format!("{} holds no key of a publisher", path.display());
        Failure::usage(words).hint("openmesh xnode catalogue key FILE makes one")
    };
    decoded.map_err(wrong)?;
    Ok(ValidatorKey::from_seed(seed))
}

/// The bytes of a file of a bounded size.
fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let failed = |error: std::io::Error| Failure::from_display(path.display(), &error);
    let mut bytes = Vec::new();
    File::open(path).map_err(failed)?.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(failed)?;
    match bytes.len() as u64 > FILE_BYTES_MAX {
        true => Err(Failure::usage(format!("{} has more than {FILE_BYTES_MAX} bytes", path.display()))),
        false => Ok(bytes),
    }
}

/// Templates and icons of a folder by their names.
fn files(folder: &Path) -> Result<BTreeMap<String, Vec<u8>>, Failure> {
    let failed = |error: std::io::Error| Failure::from_display(folder.display(), &error);
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if name.ends_with(".yaml") || name.ends_with(".svg") {
            found.insert(name.to_string(), read(&path)?);
        }
        if found.len() > FILES_MAX {
            return Err(Failure::usage(format!("{} has more than {FILES_MAX} templates and icons", folder.display())));
        }
    }
    Ok(found)
}

/// The index of a folder; none where there is none yet.
fn index(folder: &Path, key: &ValidatorPublicKey) -> Result<Option<Opened>, Failure> {
    let path = folder.join(INDEX_FILE);
    let bytes = match File::open(&path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        _ => read(&path)?,
    };
    open(&bytes, key).map(Some).map_err(|error| Failure::from_display(path.display(), &error))
}

/// Signs the index of a folder.
fn sign(
    folder: &Path,
    key: &Path,
    (name, publisher): (Option<&Name>, Option<&str>),
    days: u32,
) -> Result<Shown, Failure> {
    let key = read_key(key)?;
    let before = index(folder, &key.public()).map_err(|failure| {
        failure.hint("an index that another key signed is moved away by a person: machines of the old key will not take the new one")
    })?;
    let before = before.map(|opened| opened.index);
    let catalogue = match (name, &before) {
        (Some(name), _) => name.clone(),
        (None, Some(before)) => before.catalogue.parse::<Name>().or_fail(INDEX_FILE)?,
        (None, None) => return Err(Failure::usage("the first index needs --name, the name of the catalogue")),
    };
    let publisher = publisher.map(str::to_string).or_else(|| before.as_ref().map(|before| before.publisher.clone()));
    let publisher = publisher.ok_or_else(|| Failure::usage("the first index needs --publisher, as people read it"))?;
    let found = entries(&files(folder)?).map_err(|faults| Failure::usage(faults.join("\n")))?;
    let wish = Wish { catalogue, publisher, days };
    let made = next(&wish, found, before.as_ref(), Timestamp::now()).or_fail("the index")?;
    let sealed = seal(&made, &key).or_fail("the index")?;
    let path = folder.join(INDEX_FILE);
    replace(&path, sealed.as_bytes()).map_err(|error| Failure::from_display(path.display(), &error))?;
    Ok(Shown::of(&made, &key.public()))
}

/// Puts a file in the place of another one as a whole: whoever fetches meanwhile gets the one or the other.
fn replace(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let beside = path.with_extension("index.new");
    let mut file = File::create(&beside)?;
    file.write_all(bytes).and_then(|()| file.sync_all())?;
    std::fs::rename(&beside, path)
}

/// Looks at a folder as a machine does.
fn verify(folder: &Path, key: &str) -> Result<Shown, Failure> {
    let key: ValidatorPublicKey = key
        .parse()
        .map_err(|_| Failure::usage(format!("`{key}` is no public key, which has 64 hexadecimal digits")))?;
    let missing = || Failure::new(format!("{} has no {INDEX_FILE}", folder.display()));
    let opened = index(folder, &key)?.ok_or_else(missing)?;
    opened.check_time(Timestamp::now()).or_fail(INDEX_FILE)?;
    let there = files(folder)?;
    let mut faults = Vec::new();
    for (file, part) in opened.index.templates.iter().flat_map(|entry| entry.files()) {
        match there.get(&file) {
            None => faults.push(format!("{file} is not there")),
            Some(bytes) if Part::of(bytes) != part => faults.push(format!("{file} is not the one that was signed")),
            Some(_) => {}
        }
    }
    let signed: BTreeMap<String, Vec<u8>> = there
        .into_iter()
        .filter(|(file, _)| opened.index.templates.iter().flat_map(|entry| entry.files()).any(|(own, _)| own == *file))
        .collect();
    faults.extend(entries(&signed).err().unwrap_or_default());
    faults.sort();
    faults.dedup();
    match faults.is_empty() {
        true => Ok(Shown::of(&opened.index, &key)),
        false => Err(Failure::new(faults.join("\n"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A template that keeps every rule.
    const SITE: &str = "name: site\nversion: 1\ncard: {title: Site, category: web, summary: A site., description: A site of pages., homepage: \"https://a.example/\", \
        licence: MIT, needs: {memory: 64 MiB, disk: 1 GiB, image: 200 MiB}}\napplication:\n  image: \"a.example/site@sha256:\
        0000000000000000000000000000000000000000000000000000000000000000\"\n  user: 1000:1000\n  ports: {http: {port: 8080}}\n  health: {tcp: {port: http}}\n  \
        limits: {memory: 64 MiB}\n";

    #[test]
    fn a_folder_is_signed_verified_and_signed_again() {
        let folder = tempfile::tempdir().unwrap();
        let (key, at) = (folder.path().join("publisher.key"), folder.path().join("catalogue"));
        std::fs::create_dir(&at).unwrap();
        make_key(&key).unwrap();
        assert!(make_key(&key).is_err(), "no key is written over");
        let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&key).unwrap().permissions());
        assert_eq!(mode & 0o777, 0o600);
        let public = read_key(&key).unwrap().public().to_string();
        let name: Name = "wares".parse().unwrap();
        let named = (Some(&name), Some("Acme Ltd."));
        let said = |failure: Failure| failure.message().to_string();
        assert!(said(sign(&at, &key, named, 90).unwrap_err()).contains("NAME@VERSION.yaml"));
        std::fs::write(at.join("site@1.yaml"), SITE).unwrap();
        assert!(said(sign(&at, &key, (None, None), 90).unwrap_err()).contains("--name"));
        assert_eq!(sign(&at, &key, named, 90).unwrap().sequence, 1);
        assert_eq!(verify(&at, &public).unwrap().templates, ["site 1"]);
        assert_eq!(sign(&at, &key, (None, None), 90).unwrap().sequence, 2);
        // A text that is changed needs a new version, and one that nobody signed is seen.
        std::fs::write(at.join("site@1.yaml"), SITE.replacen("A site.", "Another site.", 1)).unwrap();
        assert!(said(sign(&at, &key, (None, None), 90).unwrap_err()).contains("needs a new version"));
        assert!(said(verify(&at, &public).unwrap_err()).contains("is not the one that was signed"));
        std::fs::remove_file(at.join("site@1.yaml")).unwrap();
        assert!(said(verify(&at, &public).unwrap_err()).contains("site@1.yaml is not there"));
        let other = folder.path().join("other.key");
        make_key(&other).unwrap();
        let theirs = read_key(&other).unwrap().public().to_string();
        assert!(said(verify(&at, &theirs).unwrap_err()).contains("signed by the key"));
        assert!(said(sign(&at, &other, named, 90).unwrap_err()).contains("signed by the key"));
        assert!(said(verify(&at, "abc").unwrap_err()).contains("no public key"));
        assert!(said(read_key(&at.join("catalogue.index")).err().unwrap()).contains("no key of a publisher"));
    }
}
