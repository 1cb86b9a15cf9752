//! Dependencies that the workspace declares and no member uses.

use std::collections::BTreeSet;

/// Keys of `[workspace.dependencies]` that no member's manifest names, in ascending order.
pub fn workspace_dependencies(root: &toml::Table, members: &[toml::Table]) -> Vec<String> {
    let declared = root.get("workspace").and_then(|w| w.get("dependencies")).and_then(toml::Value::as_table);
    let declared: BTreeSet<&str> = declared.into_iter().flatten().map(|(name, _)| name.as_str()).collect();
    let used: BTreeSet<&str> = members.iter().flat_map(|member| named(member)).collect();
    declared.difference(&used).map(ToString::to_string).collect()
}

/// Names under every table of dependencies of a manifest, those of targets too.
fn named(manifest: &toml::Table) -> Vec<&str> {
    const TABLES: [&str; 3] = ["dependencies", "dev-dependencies", "build-dependencies"];
    let mut found: Vec<&str> = Vec::new();
    for (key, value) in manifest {
        let Some(table) = value.as_table() else { continue };
        if TABLES.contains(&key.as_str()) {
            found.extend(table.keys().map(String::as_str));
        } else if key == "target" {
            found.extend(table.values().filter_map(toml::Value::as_table).flat_map(named));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dependency_that_no_member_names_is_found() {
        let root = "[workspace.dependencies]\na = \"1\"\nb = \"1\"\nc = \"1\"\nd = \"1\"".parse().expect("root");
        let one = "[dependencies]\na = { workspace = true }".parse().expect("one");
        let two = "[dev-dependencies]\nb = \"1\"\n[target.'cfg(unix)'.dependencies]\nc = \"1\"".parse().expect("two");
        assert_eq!(workspace_dependencies(&root, &[one, two]), ["d"]);
    }
}
