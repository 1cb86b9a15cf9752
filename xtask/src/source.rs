//! The workspace's own source code as syntax trees: crates, their modules, one file each.
//!
//! Code behind `#[cfg(test)]` is left out, and so are `tests/`, `examples/` and build scripts: the rules that read this are about what is
//! shipped. A file is one module; modules written inside a file belong to it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use cargo_metadata::{Metadata, TargetKind};
use syn::{Attribute, File, Item, Meta, Token, punctuated::Punctuated};

/// Path of a module inside its crate; empty for the root.
pub type ModulePath = Vec<String>;

/// One source file.
pub struct SourceFile {
    /// Path from the workspace's root.
    pub path: PathBuf,
    /// Its text.
    pub text: String,
    /// Its syntax tree.
    pub tree: File,
}

/// One library or program with its modules.
pub struct Crate {
    /// Name of the package.
    pub package: String,
    /// Files by module; modules inside a file are not listed.
    pub files: BTreeMap<ModulePath, SourceFile>,
}

/// Error of reading the workspace's source code.
#[derive(Debug)]
pub enum SourceError {
    /// A file cannot be read.
    Read(PathBuf, std::io::Error),
    /// A file is not Rust.
    Parse(PathBuf, syn::Error),
    /// A module without a file.
    Missing(PathBuf, String),
}

impl std::fmt::Display for SourceError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            SourceError::Read(path, error) => write!(f, "{} cannot be read: {error}", path.display()),
            SourceError::Parse(path, error) => write!(f, "{} is not Rust: {error}", path.display()),
            SourceError::Missing(path, module) => write!(f, "{}: no file for mod {module}", path.display()),
        }
    }
}

impl std::error::Error for SourceError {}

/// Reads every library and program of the workspace.
pub fn crates(root: &Path, metadata: &Metadata) -> Result<Vec<Crate>, SourceError> {
    let mut found = Vec::new();
    for package in metadata.workspace_packages() {
        for target in &package.targets {
            if !target.kind.iter().any(|kind| matches!(kind, TargetKind::Lib | TargetKind::Bin)) {
                continue;
            }
            let mut files = BTreeMap::new();
            read(root, target.src_path.as_std_path(), Vec::new(), &mut files)?;
            found.push(Crate { package: package.name.to_string(), files });
        }
    }
    Ok(found)
}

fn read(
    root: &Path,
    path: &Path,
    module: ModulePath,
    files: &mut BTreeMap<ModulePath, SourceFile>,
) -> Result<(), SourceError> {
    let text = std::fs::read_to_string(path).map_err(|e| SourceError::Read(path.into(), e))?;
    let tree = syn::parse_file(&text).map_err(|e| SourceError::Parse(path.into(), e))?;
    let folder = path.parent().unwrap_or(root);
    let is_root = module.is_empty() || path.file_name().is_some_and(|name| name == "mod.rs");
    let folder = if is_root { folder.to_path_buf() } else { path.with_extension("") };
    for (name, attributes) in declared(&tree.items) {
        let given = attributes.iter().find_map(path_attribute);
        let candidates = match given {
            Some(given) => vec![path.parent().unwrap_or(root).join(given)],
            None => vec![folder.join(format!("{name}.rs")), folder.join(&name).join("mod.rs")],
        };
        let file = candidates.into_iter().find(|c| c.exists());
        let file = file.ok_or_else(|| SourceError::Missing(path.into(), name.clone()))?;
        let mut child = module.clone();
        child.push(name);
        read(root, &file, child, files)?;
    }
    let path = path.strip_prefix(root).unwrap_or(path).to_path_buf();
    files.insert(module, SourceFile { path, text, tree });
    Ok(())
}

/// Modules of a file that have files of their own, apart from those of tests.
fn declared(items: &[Item]) -> Vec<(String, &[Attribute])> {
    let files = items.iter().filter_map(|item| match item {
        Item::Mod(module) if module.content.is_none() && !only_tests(&module.attrs) => {
            Some((module.ident.to_string(), module.attrs.as_slice()))
        }
        _ => None,
    });
    files.collect()
}

fn path_attribute(attribute: &Attribute) -> Option<String> {
    let Meta::NameValue(pair) = &attribute.meta else { return None };
    let syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(text), .. }) = &pair.value else { return None };
    pair.path.is_ident("path").then(|| text.value())
}

/// Returns true for an item that exists in tests only: `#[test]`, `#[cfg(test)]` or `#[cfg(all(test, ...))]`.
pub fn only_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        if attribute.path().segments.last().is_some_and(|s| s.ident == "test") {
            return true;
        }
        let Meta::List(list) = &attribute.meta else { return false };
        list.path.is_ident("cfg") && list.parse_args::<Meta>().is_ok_and(|condition| implies_test(&condition))
    })
}

fn implies_test(condition: &Meta) -> bool {
    match condition {
        Meta::Path(path) => path.is_ident("test"),
        Meta::List(list) if list.path.is_ident("all") => list
            .parse_args_with(Punctuated::<Meta, Token![,]>::parse_terminated)
            .is_ok_and(|all| all.iter().any(implies_test)),
        _ => false,
    }
}
