//! Notices for a release: whose work is in it, under which licence, with the texts that go with it.
//!
//! One text that many packages have stands once, with their names. Everything is sorted, so that the same packages make the same file.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Result;
use std::path::{Path, PathBuf};

use cargo_metadata::Metadata;
use serde_json::Value;

/// Beginnings of the names of files that a package's licence wants to be passed on.
const NAMES: [&str; 6] = ["licen", "copying", "notice", "unlicense", "copyright", "authors"];
/// Longest of such files, bytes: licences have some tens of thousands.
const TEXT_BYTES_MAX: u64 = 256 << 10;

/// A package of others.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Package {
    /// Name.
    pub name: String,
    /// Version.
    pub version: String,
    /// Licence, as SPDX writes it.
    pub licence: String,
    /// Folder that holds it.
    pub folder: PathBuf,
}

/// Packages of crates.io that are linked.
pub fn crates(metadata: &Metadata, linked: &BTreeSet<(String, String)>) -> Vec<Package> {
    let of_others = metadata.packages.iter().filter(|package| package.source.is_some());
    let here = of_others.filter(|package| linked.contains(&(package.name.to_string(), package.version.to_string())));
    here.map(|package| Package {
        name: package.name.to_string(),
        version: package.version.to_string(),
        licence: package.license.clone().unwrap_or_else(|| "see its text".into()),
        folder: package.manifest_path.parent().map_or_else(PathBuf::new, |folder| folder.as_std_path().to_path_buf()),
    })
    .collect()
}

/// Packages of npm that a web application is made of, by its lock file; those that only build and test it are left out.
pub fn npm(folder: &Path) -> Result<Vec<Package>> {
    let lock: Value = serde_json::from_slice(&std::fs::read(folder.join("package-lock.json"))?)?;
    let packages = lock["packages"].as_object().into_iter().flatten();
    let shipped = packages.filter(|(path, package)| {
        path.contains("node_modules/")
            && package["dev"] != true
            && package["optional"] != true
            && package["peer"] != true
    });
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let found = shipped.map(|(path, package)| Package {
        name: path.rsplit("node_modules/").next().unwrap_or(path).to_owned(),
        version: word(&package["version"]),
        licence: word(&package["license"]),
        folder: folder.join(path),
    });
    Ok(found.collect())
}

/// Texts in a package's folder, by the names of their files.
fn texts(folder: &Path) -> Result<Vec<String>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().to_lowercase();
        let meta = entry.metadata()?;
        let is_code = [".rs", ".js", ".ts", ".json"].iter().any(|end| name.ends_with(end));
        if meta.is_file()
            && meta.len() <= TEXT_BYTES_MAX
            && !is_code
            && NAMES.iter().any(|begin| name.starts_with(begin))
        {
            let text = String::from_utf8_lossy(&std::fs::read(entry.path())?).replace("\r\n", "\n");
            found.insert(name, text.trim().to_owned());
        }
    }
    Ok(found.into_values().filter(|text| !text.is_empty()).collect())
}

/// The file.
///
/// # Errors
/// Where a package's folder cannot be read: notices that lack one are none.
pub fn notices(mut packages: Vec<Package>) -> Result<String> {
    packages.sort();
    packages.dedup_by(|one, other| (&one.name, &one.version) == (&other.name, &other.version));
    let mut text = String::from(
        "Openmesh is under the Apache License, version 2.0 (LICENSE). It carries work of others, under the licences below. Their texts follow,\n\
         each with the packages that have it.\n\n",
    );
    let mut shared: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for package in &packages {
        let Package { name, version, licence, folder } = package;
        let own = texts(folder).map_err(|error| std::io::Error::other(format!("{}: {error}", folder.display())))?;
        let note = if own.is_empty() { "; the package holds no text" } else { "" };
        text += &format!("{name} {version}: {licence}{note}\n");
        own.into_iter().for_each(|own| shared.entry(own).or_default().push(format!("{name} {version}")));
    }
    // By the first package, so that a reader finds a text where its name stands.
    let mut ordered: Vec<(Vec<String>, String)> = shared.into_iter().map(|(own, names)| (names, own)).collect();
    ordered.sort();
    for (names, own) in ordered {
        text += &format!("\n{}\n{}\n\n{own}\n", "=".repeat(100), names.join(", "));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(root: &Path, name: &str, files: &[(&str, &str)]) -> Package {
        let folder = root.join(name);
        std::fs::create_dir_all(&folder).expect("folder");
        for (file, text) in files {
            std::fs::write(folder.join(file), text).expect("file");
        }
        Package { name: name.into(), version: "1.0.0".into(), licence: "MIT".into(), folder }
    }

    #[test]
    fn a_text_stands_once_with_all_who_have_it() {
        let root = std::env::temp_dir().join(format!("notices-{}", std::process::id()));
        let all = vec![
            package(&root, "b", &[("LICENSE-MIT", "the same\r\n"), ("license.rs", "code")]),
            package(&root, "a", &[("LICENSE", "the same"), ("NOTICE", "a's own")]),
            package(&root, "c", &[("README.md", "nothing")]),
        ];
        let text = notices(all.clone()).expect("notices");
        let mut turned = all;
        turned.reverse();
        assert_eq!(notices(turned).expect("notices"), text, "whatever their order");
        assert!(text.contains("\na 1.0.0, b 1.0.0\n\nthe same\n"), "{text}");
        assert!(
            text.contains("\na 1.0.0\n\na's own\n") && !text.contains("code") && !text.contains("nothing"),
            "{text}"
        );
        assert!(text.contains("c 1.0.0: MIT; the package holds no text"), "{text}");
        let away = Package { folder: root.join("nowhere"), ..package(&root, "d", &[]) };
        assert!(notices(vec![away]).is_err());
        std::fs::remove_dir_all(&root).expect("removed");
    }
}
