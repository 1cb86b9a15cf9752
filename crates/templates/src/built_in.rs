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

/// Files by their names, of each template from the oldest version to the newest.
macro_rules! files {
    ($($name:literal,)+) => {
        &[$(File {
            name: $name,
            text: include_str!(concat!("../catalogue/", $name, ".yaml")),
            icon: include_str!(concat!("../catalogue/", $name, ".svg")),
        }),+]
    };
}

/// The files.
pub(crate) const FILES: &[File] = files![
    "ai-chat",
    "anvil",
    "bitcoind",
    "chainlink",
    "code-server",
    "datasette",
    "forgejo",
    "geth",
    "grafana",
    "jupyterlab",
    "kubo",
    "mariadb",
    "minecraft",
    "mosquitto",
    "nextcloud",
    "nextjs",
    "node-exporter",
    "node-red",
    "ollama",
    "open-webui",
    "openmesh-collector",
    "openmesh-validator",
    "postgresql",
    "prometheus",
    "redis",
    "static-site",
    "vaultwarden",
    "wordpress",
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
        let here = FILES.iter().flat_map(|file| [format!("{}.yaml", file.name), format!("{}.svg", file.name)]);
        assert_eq!(there, here.collect());
    }
}
