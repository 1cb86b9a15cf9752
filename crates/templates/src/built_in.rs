//! The files of `catalogue/`, as they were when this program was built.

/// A template's file, with its icon.
#[derive(Clone, Copy, Debug)]
pub(crate) struct File {
    /// Name of the file, without its ending.
    pub(crate) name: &'static str,
    /// Its text.
    pub(crate) text: &'static str,
    /// Icon, as SVG.
    pub(crate) icon: &'static str,
}

/// Files by their names, each with that of its icon; of each template from the oldest version to the newest.
macro_rules! files {
    ($($name:literal: $icon:literal,)+) => {
        &[$(File {
            name: $name,
            text: include_str!(concat!("../catalogue/", $name, ".yaml")),
            icon: include_str!(concat!("../catalogue/", $icon, ".svg")),
        }),+]
    };
}

/// The files. One of an older version keeps the name that it has: what was made of it stays as it was.
pub(crate) const FILES: &[File] = files![
    "ai-chat": "ai-chat",
    "anvil": "anvil",
    "bitcoind": "bitcoind",
    "chainlink": "chainlink",
    "code-server": "code-server",
    "datasette": "datasette",
    "forgejo": "forgejo",
    "geth": "geth",
    "grafana": "grafana",
    "jupyterlab": "jupyterlab",
    "kubo": "kubo",
    "mariadb@1": "mariadb",
    "mariadb": "mariadb",
    "minecraft": "minecraft",
    "mosquitto": "mosquitto",
    "nextcloud": "nextcloud",
    "nextjs": "nextjs",
    "node-exporter": "node-exporter",
    "node-red": "node-red",
    "ollama": "ollama",
    "open-webui": "open-webui",
    "openmesh-collector": "openmesh-collector",
    "openmesh-validator": "openmesh-validator",
    "postgresql@1": "postgresql",
    "postgresql": "postgresql",
    "prometheus": "prometheus",
    "redis@1": "redis",
    "redis": "redis",
    "static-site@1": "static-site",
    "static-site": "static-site",
    "vaultwarden": "vaultwarden",
    "wordpress": "wordpress",
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::FILES;

    #[test]
    fn every_file_of_the_folder_is_here() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("catalogue");
        let names = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let there: BTreeSet<String> = names.collect();
        let icon = |name: &str| format!("{}.svg", name.split('@').next().unwrap_or_default());
        let here = FILES.iter().flat_map(|file| [format!("{}.yaml", file.name), icon(file.name)]);
        assert_eq!(there, here.collect());
    }
}
