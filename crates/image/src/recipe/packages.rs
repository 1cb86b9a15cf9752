//! Packages of Debian, npm and PyPI as layers.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use openmesh_blueprint::document::{PackageName, PackageVersion};

use super::layer::{Change, Layer};
use super::program::Program;
use super::{Kitchen, Mirror, RecipeError};
use crate::oci::Platform;
use crate::tar::{Entry, Kind};

const MMDEBSTRAP: Program = Program { name: "mmdebstrap", package: "mmdebstrap" };
const NPM: Program = Program { name: "npm", package: "npm" };
const PYTHON: Program = Program { name: "python3", package: "python3-pip" };

/// The same for every npm that npm starts: one that prepares a dependency from a repository reads the settings in there, and these come before them.
/// Versions before 11 do not know `allow-git`; without git they have only such a preparation left, and it runs no script.
const NPM_VARIABLES: &[(&str, &str)] = &[
    ("npm_config_git", "/bin/false"),
    ("npm_config_allow_git", "none"),
    ("npm_config_allow_remote", "none"),
    ("npm_config_ignore_scripts", "true"),
];

/// Version that stands for the registry's choice of the day.
const NEWEST: &str = "newest";

/// Folder of Python packages in an image.
pub(super) const PYTHON_FOLDER: &str = "/usr/local/lib/python-packages";

/// Paths of a Debian root of which only the folder stays: other on each run, on each machine, or none of an image's business.
const EMPTIED: &[&str] = &[
    "dev",
    "proc",
    "sys",
    "run",
    "tmp",
    "var/cache/apt",
    "var/lib/apt/lists",
    "var/log",
    "var/tmp",
    "etc/apt/sources.list.d",
    // Keys and databases that maintainers' scripts make: other on each run, and nobody's to share.
    "etc/ssl/private",
    "var/lib/mysql",
    "var/lib/postgresql",
];
/// Files of a Debian root that are left out for the same reason.
const LEFT_OUT: &[&str] = &[
    "etc/apt/sources.list",
    "etc/hostname",
    "etc/machine-id",
    "etc/resolv.conf",
    "etc/ssl/certs/ssl-cert-snakeoil.pem",
    "etc/.pwd.lock",
    "var/cache/ldconfig/aux-cache",
    "var/lib/dpkg/lock",
    "var/lib/dpkg/lock-frontend",
    "var/lib/dbus/machine-id",
];
/// Documentation that nobody reads in a container: a third of a slim root.
const NOT_INSTALLED: &[&str] = &["/usr/share/man/*", "/usr/share/locale/*", "/usr/share/info/*", "/usr/share/doc/*"];
/// Documentation that is installed all the same, because licences ask for it.
const INSTALLED: &str = "/usr/share/doc/*/copyright";

pub(super) struct Packages<'a> {
    pub kitchen: &'a Kitchen,
    pub scratch: &'a Path,
    pub platform: &'a Platform,
}

type Versions = BTreeMap<PackageName, PackageVersion>;

impl Packages<'_> {
    /// A Debian root with packages, and the version of its Python.
    pub fn debian(&self, packages: &Versions) -> Result<(Layer, Option<String>), RecipeError> {
        let archive = self.scratch.join("root.tar");
        let mut arguments: Vec<String> =
            ["--mode=root", "--variant=essential", "--format=tar"].map(str::to_string).into();
        arguments.extend(NOT_INSTALLED.iter().map(|path| format!("--dpkgopt=path-exclude={path}")));
        arguments.push(format!("--dpkgopt=path-include={INSTALLED}"));
        arguments.push(format!("--architectures={}", debian_architecture(self.platform)));
        arguments.extend(packages.iter().map(|(name, version)| format!("--include={}", named(name, version, "="))));
        arguments.push(self.kitchen.suite.clone());
        arguments.push(archive.display().to_string());
        arguments.push(match &self.kitchen.mirror {
            Mirror::Address(address) => address.clone(),
            Mirror::Sources(file) => file.display().to_string(),
        });
        MMDEBSTRAP.run(&arguments, &[], self.scratch).map_err(|error| without_version(error, packages))?;
        let mut layer = Layer::new(&self.scratch.join("debian.spool"))?;
        let file = File::open(&archive).map_err(|cause| RecipeError::Disk { path: archive.clone(), cause })?;
        let python = std::cell::RefCell::new(None);
        let wanted = |entry: &Entry| {
            if let Some(version) = python_version(entry) {
                *python.borrow_mut() = Some(version);
            }
            belongs(entry)
        };
        let wrong =
            |cause: crate::tar::TarError| RecipeError::Archive { program: MMDEBSTRAP.name, text: cause.to_string() };
        layer.archive(BufReader::new(file), wanted).map_err(wrong)?;
        let _ = std::fs::remove_file(&archive);
        Ok((layer, python.into_inner()))
    }

    /// Packages of npm below `/usr/local`.
    pub fn npm(&self, packages: &Versions) -> Result<Layer, RecipeError> {
        let stage = self.scratch.join("npm");
        let mut arguments = self.npm_arguments(&stage);
        arguments.extend(packages.iter().map(|(name, version)| named(name, version, "@")));
        NPM.run(&arguments, NPM_VARIABLES, self.scratch)?;
        let mut layer = Layer::new(&self.scratch.join("npm.spool"))?;
        // The lock file names the registry, and times are in none of the others.
        let change = |name: &str| if name.ends_with("/.package-lock.json") { Change::LeftOut } else { Change::AsIs };
        layer.tree(&stage, "usr/local", &change)?;
        Ok(layer)
    }

    fn npm_arguments(&self, stage: &Path) -> Vec<String> {
        let cpu = match self.platform.architecture.as_str() {
            "amd64" => "x64",
            "386" => "ia32",
            other => other,
        };
        let mut arguments: Vec<String> = [
            "install",
            "--global",
            "--ignore-scripts",
            "--no-audit",
            "--no-fund",
            "--omit=dev",
            "--no-update-notifier",
            "--loglevel=error",
            "--os=linux",
            "--git=/bin/false",
            "--allow-git=none",
            "--allow-remote=none",
        ]
        .map(str::to_string)
        .into();
        arguments.push(format!("--cpu={cpu}"));
        arguments.push(format!("--prefix={}", stage.display()));
        arguments.push(format!("--cache={}", self.scratch.join("npm-cache").display()));
        arguments
    }

    /// Packages of PyPI below [`PYTHON_FOLDER`], for a version of Python.
    pub fn pypi(&self, packages: &Versions, python: &str) -> Result<Layer, RecipeError> {
        let stage = self.scratch.join("pypi");
        let mut arguments: Vec<String> = [
            "-m",
            "pip",
            "install",
            "--no-compile",
            "--only-binary=:all:",
            "--no-cache-dir",
            "--disable-pip-version-check",
            "--no-input",
            "--implementation=cp",
        ]
        .map(str::to_string)
        .into();
        let machine = match self.platform.architecture.as_str() {
            "amd64" => "x86_64",
            "arm64" => "aarch64",
            other => other,
        };
        // Every C library up to Debian 12's.
        let kinds = [
            "manylinux2014",
            "manylinux_2_17",
            "manylinux_2_24",
            "manylinux_2_27",
            "manylinux_2_28",
            "manylinux_2_31",
            "manylinux_2_34",
        ];
        arguments.extend(kinds.map(|kind| format!("--platform={kind}_{machine}")));
        arguments.push(format!("--python-version={python}"));
        arguments.push(format!("--target={}", stage.display()));
        arguments.extend(packages.iter().map(|(name, version)| named(name, version, "==")));
        PYTHON.run(&arguments, &[], self.scratch)?;
        let mut layer = Layer::new(&self.scratch.join("pypi.spool"))?;
        layer.tree(&stage, PYTHON_FOLDER.trim_start_matches('/'), &unhosted)?;
        Ok(layer)
    }
}

/// A package as its program is asked for it: without a version where the registry's choice of the day is wanted.
fn named(name: &PackageName, version: &PackageVersion, joint: &str) -> String {
    match is_newest(version) {
        true => name.as_str().to_string(),
        false => format!("{}{joint}{}", name.as_str(), version.as_str()),
    }
}

/// True for `newest`, and for `newest-` with a label behind it: another label is another recipe, and its image is made anew.
fn is_newest(version: &PackageVersion) -> bool {
    version.as_str().strip_prefix(NEWEST).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
}

/// The error of a package whose version is in no archive any more, where that is what a program says.
fn without_version(error: RecipeError, packages: &Versions) -> RecipeError {
    let RecipeError::Program { text, .. } = &error else { return error };
    let missing = packages.iter().find(|(name, version)| {
        text.contains(&format!("Version '{}' for '{}' was not found", version.as_str(), name.as_str()))
    });
    match missing {
        Some((name, version)) => {
            RecipeError::NoVersion { package: name.as_str().to_string(), version: version.as_str().to_string() }
        }
        None => error,
    }
}

/// Takes this machine's Python out of what pip wrote: the first line of scripts, and their hashes in the lists of files.
fn unhosted(name: &str) -> Change {
    if name.contains("/__pycache__/") || name.ends_with("/direct_url.json") {
        return Change::LeftOut;
    }
    if name.contains("/bin/") {
        return Change::Edited(first_line);
    }
    if name.ends_with(".dist-info/RECORD") {
        return Change::Edited(without_scripts);
    }
    Change::AsIs
}

fn first_line(content: Vec<u8>) -> Vec<u8> {
    let end = content.iter().position(|byte| *byte == b'\n').unwrap_or(content.len());
    let python = content.starts_with(b"#!") && content[..end].windows(6).any(|part| part == b"python");
    if python { [b"#!/usr/bin/python3", &content[end..]].concat() } else { content }
}

fn without_scripts(content: Vec<u8>) -> Vec<u8> {
    let text = String::from_utf8_lossy(&content).into_owned();
    let mut lines: Vec<&str> =
        text.lines().filter(|line| !line.contains("bin/") && !line.contains("__pycache__")).collect();
    lines.sort_unstable();
    (lines.join("\n") + "\n").into_bytes()
}

fn debian_architecture(platform: &Platform) -> &str {
    match (platform.architecture.as_str(), platform.variant.as_deref()) {
        ("386", _) => "i386",
        ("arm", Some("v6")) => "armel",
        ("arm", _) => "armhf",
        (other, _) => other,
    }
}

/// Returns true for what is the same on each run.
fn belongs(entry: &Entry) -> bool {
    let name = String::from_utf8_lossy(&entry.name);
    let emptied = EMPTIED.iter().any(|folder| name.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/')));
    let kind = !matches!(entry.kind, Kind::Character | Kind::Block | Kind::Fifo);
    let compiled = name.split('/').any(|part| part == "__pycache__");
    let backup =
        name.ends_with("-old") && name.starts_with("var/lib/dpkg/") || name.starts_with("etc/") && name.ends_with('-');
    // The name of this link is a hash of the certificate that is left out.
    let dangling = entry.kind == Kind::Symlink && entry.link.ends_with(b"ssl-cert-snakeoil.pem");
    kind && !emptied && !compiled && !backup && !dangling && !LEFT_OUT.contains(&&*name)
}

/// `3.11` of the link `usr/bin/python3 -> python3.11`.
fn python_version(entry: &Entry) -> Option<String> {
    let link = entry.kind == Kind::Symlink && entry.name == b"usr/bin/python3";
    let target = std::str::from_utf8(&entry.link).ok().filter(|_| link)?;
    target.rsplit('/').next()?.strip_prefix("python").map(str::to_string)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_asked_for_as_it_stands_but_for_the_newest() {
        let asked = |version: &str| named(&"nginx".parse().unwrap(), &version.parse().unwrap(), "=");
        assert_eq!(asked("1.22.1-9+deb12u11"), "nginx=1.22.1-9+deb12u11");
        assert_eq!((asked("newest"), asked("newest-december")), ("nginx".to_string(), "nginx".to_string()));
        assert_eq!(asked("newest2"), "nginx=newest2");
        let packages = Versions::from([("nginx".parse().unwrap(), "1.22.1-9".parse().unwrap())]);
        let failed = |text: &str| RecipeError::Program { program: "mmdebstrap", status: "1".into(), text: text.into() };
        let gone = without_version(failed("E: Version '1.22.1-9' for 'nginx' was not found\nE: failed"), &packages);
        assert!(gone.to_string().contains("nginx 1.22.1-9"), "{gone}");
        assert!(matches!(without_version(failed("E: no space left"), &packages), RecipeError::Program { .. }));
    }

    #[test]
    fn pip_leaves_no_trace_of_this_machine() {
        let edited = |name: &str, content: &[u8]| match unhosted(name) {
            Change::LeftOut => None,
            Change::AsIs => Some(content.to_vec()),
            Change::Edited(edit) => Some(edit(content.to_vec())),
        };
        let script = b"#!/home/ann/.local/bin/python3.12\nimport x\n";
        assert_eq!(edited("p/bin/tool", script).unwrap(), b"#!/usr/bin/python3\nimport x\n");
        assert_eq!(edited("p/bin/tool", b"#!/bin/sh\n").unwrap(), b"#!/bin/sh\n");
        let record = b"x.py,sha256=a,1\n../../bin/tool,sha256=b,2\na.py,sha256=c,3\n";
        assert_eq!(edited("p/x.dist-info/RECORD", record).unwrap(), b"a.py,sha256=c,3\nx.py,sha256=a,1\n");
        assert_eq!(edited("p/__pycache__/x.pyc", &[1]), None);
        assert_eq!(edited("p/x.py", b"#!/bin/sh").unwrap(), b"#!/bin/sh");
    }

    /// A package whose dependency is a repository: preparing it would run what lies in there, whatever npm is told about scripts.
    #[test]
    fn a_dependency_from_a_repository_is_refused_and_nothing_of_it_runs() {
        let is_there = |name: &str| std::process::Command::new(name).arg("--version").output().is_ok();
        if let Some(missing) = ["npm", "git", "tar"].into_iter().find(|name| !is_there(name)) {
            println!("skipped: {missing} is not installed (apt-get install {missing})");
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let (mark, repository) = (folder.path().join("ran"), folder.path().join("repository"));
        std::fs::create_dir_all(folder.path().join("package")).unwrap();
        std::fs::create_dir_all(&repository).unwrap();
        let touch = format!("touch {}", mark.display());
        let write = |path: &str, text: String| std::fs::write(folder.path().join(path), text).unwrap();
        write(
            "repository/package.json",
            format!(
                r#"{{"name":"dep","version":"1.0.0","scripts":{{"prepare":"{touch}"}},"devDependencies":{{"x":"git+file:///x"}}}}"#
            ),
        );
        write("repository/.npmrc", "git=./x\n".into());
        write("repository/x", format!("#!/bin/sh\n{touch}\n"));
        let depends = format!("git+file://{}", repository.display());
        write(
            "package/package.json",
            format!(r#"{{"name":"main","version":"1.0.0","dependencies":{{"dep":"{depends}"}}}}"#),
        );
        let script = "chmod +x repository/x && cd repository && git init -q . && git add -A \
            && git -c user.name=t -c user.email=t@localhost commit -q -m t && cd .. && tar czf package.tgz package";
        let made = std::process::Command::new("sh").args(["-c", script]).current_dir(folder.path()).output().unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let scratch = folder.path().join("scratch");
        std::fs::create_dir(&scratch).unwrap();
        let kitchen = Kitchen { suite: String::new(), mirror: Mirror::Address(String::new()) };
        let platform = Platform::here();
        let packages = Packages { kitchen: &kitchen, scratch: &scratch, platform: &platform };
        let archive = folder.path().join("package.tgz").display().to_string();
        // The second time as a version of npm that does not know `allow-git`.
        for further in [&[][..], &["--allow-git=all".to_string()]] {
            let mut arguments = packages.npm_arguments(&scratch.join("npm"));
            arguments.extend_from_slice(further);
            arguments.push(archive.clone());
            let error = NPM.run(&arguments, NPM_VARIABLES, &scratch).unwrap_err();
            assert!(matches!(error, RecipeError::Program { .. }), "{error}");
            assert!(!mark.exists(), "{error}");
            println!("{error}");
        }
    }
}
