//! Import circles inside a crate: files that cannot be understood one after the other, because each needs the other.
//!
//! A path that begins at the crate, at the module itself, at a parent or at a child is followed to the file that defines the name. Handing a
//! name on (`pub use`) is no import: the arrow goes to where the name stands. Methods are not followed, since a path does not name them.

use std::collections::{BTreeMap, BTreeSet};

use syn::visit::{self, Visit};
use syn::{Item, ItemUse, UseTree, Visibility};

use crate::source::{Crate, ModulePath, only_tests};

/// Files that import each other in a loop, as sentences that name the ties; empty where there are none.
pub fn circles(source: &Crate) -> Vec<String> {
    let names: BTreeMap<&ModulePath, Names> =
        source.files.iter().map(|(module, file)| (module, Names::of(module, &file.tree.items))).collect();
    let mut arrows: BTreeMap<&ModulePath, BTreeMap<&ModulePath, BTreeSet<String>>> = BTreeMap::new();
    for (module, file) in &source.files {
        let mut paths = Paths::default();
        file.tree.items.iter().for_each(|item| paths.visit_item(item));
        for path in paths.found {
            let Some((target, name)) = resolve(&names, module, &path, 0) else { continue };
            if target != module {
                arrows.entry(module).or_default().entry(target).or_default().insert(name);
            }
        }
    }
    let loops = components(&arrows);
    let path = |module: &ModulePath| source.files[module].path.display().to_string();
    let sentences = loops.into_iter().map(|circle| {
        let ties = circle.iter().flat_map(|from| {
            let inside = arrows.get(from).into_iter().flatten().filter(|(to, _)| circle.contains(*to));
            inside.map(move |(to, names)| {
                let names: Vec<&str> = names.iter().map(String::as_str).collect();
                format!("  {} -> {}: {}", path(from), path(to), names.join(", "))
            })
        });
        let ties: Vec<String> = ties.collect();
        format!("{}: {} files import each other in a circle\n{}", source.package, circle.len(), ties.join("\n"))
    });
    sentences.collect()
}

/// Names that a file defines, its modules, and the names that it hands on.
#[derive(Default)]
struct Names {
    defined: BTreeSet<String>,
    /// Modules written inside the file: their names lead back to the file.
    inside: BTreeSet<String>,
    /// Name here -> path elsewhere.
    imported: BTreeMap<String, Vec<String>>,
    /// Paths of `use x::*`.
    globs: Vec<Vec<String>>,
}

impl Names {
    fn of(_module: &ModulePath, items: &[Item]) -> Names {
        let mut names = Names::default();
        items.iter().for_each(|item| names.add(item));
        names
    }

    fn add(&mut self, item: &Item) {
        let name = match item {
            Item::Const(i) => &i.ident,
            Item::Enum(i) => &i.ident,
            Item::Fn(i) => &i.sig.ident,
            Item::Static(i) => &i.ident,
            Item::Struct(i) => &i.ident,
            Item::Trait(i) => &i.ident,
            Item::Type(i) => &i.ident,
            Item::Union(i) => &i.ident,
            Item::Macro(i) => match &i.ident {
                Some(ident) => ident,
                None => return,
            },
            Item::Mod(module) => {
                if module.content.is_some() {
                    self.inside.insert(module.ident.to_string());
                }
                return;
            }
            Item::Use(item) => return self.add_use(item),
            _ => return,
        };
        self.defined.insert(name.to_string());
    }

    fn add_use(&mut self, item: &ItemUse) {
        for (path, alias) in flat(&item.tree) {
            match alias {
                Some(alias) => drop(self.imported.insert(alias, path)),
                None => self.globs.push(path),
            }
        }
    }
}

/// Every path of a `use`, with the name it gets here; `None` for a glob.
fn flat(tree: &UseTree) -> Vec<(Vec<String>, Option<String>)> {
    fn walk(tree: &UseTree, before: &[String], found: &mut Vec<(Vec<String>, Option<String>)>) {
        let with = |name: String| before.iter().cloned().chain([name]).collect::<Vec<_>>();
        match tree {
            UseTree::Path(path) => walk(&path.tree, &with(path.ident.to_string()), found),
            UseTree::Name(name) if name.ident == "self" => found.push((before.to_vec(), before.last().cloned())),
            UseTree::Name(name) => found.push((with(name.ident.to_string()), Some(name.ident.to_string()))),
            UseTree::Rename(name) => found.push((with(name.ident.to_string()), Some(name.rename.to_string()))),
            UseTree::Glob(_) => found.push((before.to_vec(), None)),
            UseTree::Group(group) => group.items.iter().for_each(|tree| walk(tree, before, found)),
        }
    }
    let mut found = Vec::new();
    walk(tree, &[], &mut found);
    found
}

/// Follows a path from a module to the file that defines the name it leads to, with that name. `None`: it leads out of the crate.
fn resolve<'a>(
    names: &BTreeMap<&'a ModulePath, Names>,
    from: &ModulePath,
    path: &[String],
    depth: usize,
) -> Option<(&'a ModulePath, String)> {
    // Re-exports of re-exports are short; a longer chain is a loop of globs.
    if depth > 16 {
        return None;
    }
    let (first, rest) = path.split_first()?;
    let (mut at, rest) = match first.as_str() {
        "crate" => (Vec::new(), rest),
        "self" => (from.clone(), rest),
        "super" => {
            let supers = path.iter().take_while(|part| *part == "super").count();
            (from.get(..from.len().checked_sub(supers)?)?.to_vec(), &path[supers..])
        }
        _ => (from.clone(), path),
    };
    for (index, part) in rest.iter().enumerate() {
        let child: ModulePath = at.iter().cloned().chain([part.clone()]).collect();
        if names.contains_key(&child) {
            at = child;
            continue;
        }
        let (module, here) = names.get_key_value(&at)?;
        if here.defined.contains(part) || here.inside.contains(part) {
            return Some((module, part.clone()));
        }
        let beyond = &rest[index + 1..];
        if let Some(elsewhere) = here.imported.get(part) {
            // `use x::x` at the path's own beginning would lead to itself.
            if depth > 0 || elsewhere != path {
                let whole: Vec<String> = elsewhere.iter().chain(beyond).cloned().collect();
                return resolve(names, &at, &whole, depth + 1);
            }
            return None;
        }
        let through = here.globs.iter().find_map(|glob| {
            let whole: Vec<String> = glob.iter().chain(&rest[index..]).cloned().collect();
            resolve(names, &at, &whole, depth + 1)
        });
        return through;
    }
    let (module, _) = names.get_key_value(&at)?;
    Some((module, rest.last()?.clone()))
}

/// Paths that a file names, apart from those it hands on and those of tests.
#[derive(Default)]
struct Paths {
    found: Vec<Vec<String>>,
    /// Modules of the same file above the place: `super` in there leads back to the file.
    inside: usize,
}

impl Paths {
    fn push(&mut self, mut path: Vec<String>) {
        let supers = path.iter().take_while(|part| *part == "super").count();
        if supers > 0 && self.inside > 0 {
            let (left, gone) = (supers.saturating_sub(self.inside), supers.min(self.inside));
            path.drain(..gone);
            if left == 0 {
                path.insert(0, "self".to_string());
            }
        }
        self.found.push(path);
    }
}

impl<'ast> Visit<'ast> for Paths {
    fn visit_item(&mut self, item: &'ast Item) {
        let attributes = match item {
            Item::Fn(i) => &i.attrs,
            Item::Impl(i) => &i.attrs,
            Item::Mod(i) => &i.attrs,
            Item::Use(i) => &i.attrs,
            Item::Struct(i) => &i.attrs,
            Item::Const(i) => &i.attrs,
            _ => return visit::visit_item(self, item),
        };
        if !only_tests(attributes) {
            visit::visit_item(self, item);
        }
    }

    fn visit_item_mod(&mut self, module: &'ast syn::ItemMod) {
        self.inside += 1;
        visit::visit_item_mod(self, module);
        self.inside -= 1;
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        if matches!(item.vis, Visibility::Inherited) {
            for (path, alias) in flat(&item.tree) {
                if alias.is_some() {
                    self.push(path);
                }
            }
        }
    }

    /// Saying who may see an item is no import.
    fn visit_visibility(&mut self, _: &'ast Visibility) {}

    fn visit_path(&mut self, path: &'ast syn::Path) {
        if path.leading_colon.is_none() && path.segments.len() > 1 {
            self.push(path.segments.iter().map(|s| s.ident.to_string()).collect());
        }
        visit::visit_path(self, path);
    }
}

/// Strongly connected components of more than one file. By reachability, which is quick enough for a hundred files.
fn components<'a>(
    arrows: &BTreeMap<&'a ModulePath, BTreeMap<&'a ModulePath, BTreeSet<String>>>,
) -> Vec<BTreeSet<&'a ModulePath>> {
    let reach = |from: &'a ModulePath| {
        let (mut seen, mut next) = (BTreeSet::new(), vec![from]);
        while let Some(at) = next.pop() {
            for to in arrows.get(at).into_iter().flat_map(BTreeMap::keys) {
                if seen.insert(*to) {
                    next.push(to);
                }
            }
        }
        seen
    };
    let reached: BTreeMap<&'a ModulePath, BTreeSet<&'a ModulePath>> =
        arrows.keys().map(|from| (*from, reach(from))).collect();
    let mut found: BTreeSet<BTreeSet<&'a ModulePath>> = BTreeSet::new();
    for (from, there) in &reached {
        if there.contains(from) {
            let back = |to: &&'a ModulePath| reached.get(to).is_some_and(|back| back.contains(from));
            found.insert(there.iter().copied().filter(back).collect());
        }
    }
    found.into_iter().filter(|circle| circle.len() > 1).collect()
}
