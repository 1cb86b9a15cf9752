//! Compose files of the shapes that people have: each gives a document and findings that are compared with files, and the facts that matter are
//! said here as well.

use std::collections::BTreeSet;

use openmesh_blueprint::Document;
use openmesh_blueprint::compose::{Context, FindingKind, Import, files_named, import, is_compose};
use openmesh_blueprint::document::{Application, Content, Restart};

use crate::golden::golden;

fn context(variables: &[(&str, &str)], files: &[(&str, &str)]) -> Context {
    let owned =
        |pairs: &[(&str, &str)]| pairs.iter().map(|(key, value)| ((*key).to_string(), (*value).to_string())).collect();
    Context { variables: owned(variables), files: owned(files), ..Context::default() }
}

/// Reads a file of a shape and compares document and findings.
fn shape(name: &str, text: &str, context: &Context) -> Import {
    assert!(is_compose(text));
    let imported = import(text, context).unwrap_or_else(|problems| panic!("{name}: {problems:#?}"));
    let findings: String = imported.findings().iter().map(|finding| format!("{finding}\n")).collect();
    golden(&format!("compose/{name}.findings.txt"), &findings);
    golden(&format!("compose/{name}.document.yaml"), &imported.document().to_yaml());
    assert_eq!(&Document::parse(&imported.document().to_yaml()).unwrap(), imported.document());
    imported
}

fn application<'a>(imported: &'a Import, name: &str) -> &'a Application {
    &imported.document().applications[&name.parse().unwrap()]
}

fn links(imported: &Import, name: &str) -> String {
    let links: Vec<String> = application(imported, name).links.iter().map(ToString::to_string).collect();
    links.join(" ")
}

/// Content of a variable: its text, or `secret NAME`.
fn variable(imported: &Import, name: &str, variable: &str) -> String {
    match &application(imported, name).variables[&variable.parse().unwrap()] {
        Content::Text(text) => text.clone(),
        Content::Secret(secret) => format!("secret {secret}"),
    }
}

/// Keys of the unsupported parts.
fn unsupported(imported: &Import) -> String {
    let all = imported.findings().iter().filter(|finding| finding.kind == FindingKind::Unsupported);
    let keys: BTreeSet<&str> = all.map(|finding| finding.path.trim_start_matches("services.")).collect();
    keys.into_iter().collect::<Vec<_>>().join(" ")
}

#[test]
fn wordpress_with_mariadb() {
    let context = context(&[("MYSQL_PASSWORD", "hunter2")], &[]);
    let imported = shape("wordpress", include_str!("../golden/compose/wordpress.compose.yaml"), &context);
    assert_eq!(unsupported(&imported), "");
    assert_eq!(links(&imported, "wordpress"), "db");
    // One password of two services is one secret.
    assert_eq!(variable(&imported, "db", "MYSQL_PASSWORD"), "secret mysql-password");
    assert_eq!(variable(&imported, "wordpress", "WORDPRESS_DB_PASSWORD"), "secret mysql-password");
    assert!(!imported.document().to_yaml().contains("hunter2"));
    assert!(imported.accept(&BTreeSet::new()).is_ok());
}

#[test]
fn nextcloud_with_redis_and_postgresql() {
    let env = "POSTGRES_PASSWORD=hunter2\nPOSTGRES_DB=nextcloud\nPOSTGRES_USER=nextcloud\n";
    let context = context(&[("REDIS_PASSWORD", "swordfish")], &[("db.env", env)]);
    let text = include_str!("../golden/compose/nextcloud.compose.yaml");
    assert_eq!(files_named(text, &context.variables), BTreeSet::from(["db.env".to_string()]));
    let imported = shape("nextcloud", text, &context);
    assert_eq!(unsupported(&imported), "cron.volumes");
    assert_eq!(links(&imported, "app"), "cron db redis");
    assert_eq!(links(&imported, "cron"), "db redis");
    assert_eq!(variable(&imported, "app", "POSTGRES_PASSWORD"), "secret postgres-password");
    assert_eq!(variable(&imported, "db", "POSTGRES_PASSWORD"), "secret postgres-password");
    assert_eq!(variable(&imported, "app", "POSTGRES_DB"), "nextcloud");
    // A password in a command cannot be a secret, and that is said.
    let said = imported.findings().iter().any(|finding| finding.path == "services.redis.command");
    assert!(said, "{:#?}", imported.findings());
}

#[test]
fn gitea() {
    let text = include_str!("../golden/compose/gitea.compose.yaml");
    let imported = shape("gitea", text, &Context::default());
    assert_eq!(unsupported(&imported), "db.volumes server.volumes");
    assert_eq!(links(&imported, "server"), "db");
    assert_eq!(application(&imported, "server").ports.len(), 2);
    let keys = BTreeSet::from(["services.db.volumes".to_string(), "services.server.volumes".to_string()]);
    assert!(imported.accept(&keys).is_ok());
}

#[test]
fn grafana_with_prometheus() {
    let scrape = "scrape_configs:\n  - job_name: node\n    static_configs:\n      - targets: ['node-exporter:9100']\n";
    let context = context(&[], &[("prometheus.yml", scrape)]);
    let imported = shape("grafana", include_str!("../golden/compose/grafana.compose.yaml"), &context);
    assert_eq!(unsupported(&imported), "node-exporter.pid node-exporter.volumes");
    // A mounted file names the exporter.
    assert_eq!(links(&imported, "prometheus"), "node-exporter");
    assert_eq!(links(&imported, "grafana"), "node-exporter prometheus");
    assert_eq!(application(&imported, "prometheus").files.len(), 1);
    assert_eq!(variable(&imported, "grafana", "GF_SECURITY_ADMIN_PASSWORD"), "secret grafana-password");
}

#[test]
fn ghost() {
    let imported = shape("ghost", include_str!("../golden/compose/ghost.compose.yaml"), &Context::default());
    assert_eq!(unsupported(&imported), "db.cap_add");
    assert_eq!(links(&imported, "ghost"), "db");
    assert_eq!(variable(&imported, "db", "MYSQL_ROOT_PASSWORD"), "example");
}

#[test]
fn umami() {
    let imported = shape("umami", include_str!("../golden/compose/umami.compose.yaml"), &Context::default());
    assert_eq!(unsupported(&imported), "");
    assert_eq!(variable(&imported, "umami", "DATABASE_URL"), "secret umami-database-url");
    assert_eq!(variable(&imported, "umami", "APP_SECRET"), "secret app-secret");
    assert_eq!(variable(&imported, "db", "POSTGRES_PASSWORD"), "secret umami-db-password");
    let health = application(&imported, "db").health.as_ref().unwrap();
    assert_eq!(health.command[2], "pg_isready -U ${POSTGRES_USER} -d ${POSTGRES_DB}");
    assert_eq!(links(&imported, "umami"), "db");
}

#[test]
fn photos_with_machine_learning() {
    let env = "UPLOAD_LOCATION=./library\nDB_DATA_LOCATION=./postgres\nDB_PASSWORD=postgres\nDB_USERNAME=postgres\nDB_DATABASE_NAME=photos\n";
    let variables: Vec<(&str, &str)> = env.lines().filter_map(|line| line.split_once('=')).collect();
    let context = context(&variables, &[(".env", env)]);
    let imported = shape("photos", include_str!("../golden/compose/photos.compose.yaml"), &context);
    assert_eq!(
        unsupported(&imported),
        "database.shm_size database.volumes photos-machine-learning.devices photos-server.healthcheck photos-server.volumes"
    );
    assert_eq!(links(&imported, "photos-server"), "database photos-machine-learning redis");
    assert_eq!(variable(&imported, "photos-server", "DB_PASSWORD"), "secret db-password");
    assert_eq!(variable(&imported, "database", "POSTGRES_PASSWORD"), "secret db-password");
}

#[test]
fn matrix() {
    let imported = shape("matrix", include_str!("../golden/compose/matrix.compose.yaml"), &Context::default());
    assert_eq!(unsupported(&imported), "networks synapse.ulimits");
    assert_eq!(links(&imported, "proxy"), "element synapse");
    assert_eq!(links(&imported, "synapse"), "postgres");
    let key = &application(&imported, "synapse").files[&"/data/signing.key".parse().unwrap()];
    assert_eq!((key.mode.0, key.owner.unwrap().uid), (0o400, 991));
    assert_eq!(variable(&imported, "postgres", "POSTGRES_PASSWORD_FILE"), "/run/secrets/pg_password");
    let said = imported.findings().iter().any(|finding| finding.why.contains("printenv PG_PASSWORD | openmesh"));
    assert!(said);
}

#[test]
fn traefik_with_labels() {
    let imported = shape("traefik", include_str!("../golden/compose/traefik.compose.yaml"), &Context::default());
    assert_eq!(unsupported(&imported), "api.labels traefik.volumes");
    let domains: Vec<String> = application(&imported, "whoami").domains.keys().map(ToString::to_string).collect();
    assert_eq!(domains, ["whoami.example.org"]);
    assert!(application(&imported, "api").domains.is_empty());
    assert_eq!(links(&imported, "traefik"), "api whoami");
}

#[test]
fn a_node_app_that_is_built() {
    let text = include_str!("../golden/compose/node.compose.yaml");
    let problems = import(text, &Context::default()).unwrap_err();
    let said: Vec<String> = problems.iter().map(ToString::to_string).collect();
    assert!(said.len() == 1 && said[0].contains("`--image web=IMAGE`"), "{said:#?}");
    let images = [("web".to_string(), "ghcr.io/me/app:1".to_string())].into();
    let imported = shape("node", text, &Context { images, ..Context::default() });
    assert_eq!(unsupported(&imported), "web.depends_on web.tmpfs web.user");
    assert_eq!(links(&imported, "web"), "cache migrate mongo");
    assert_eq!(links(&imported, "migrate"), "mongo");
    assert_eq!(variable(&imported, "web", "SESSION_SECRET"), "secret session-secret");
    assert_eq!(application(&imported, "cache").restart, Restart::OnFailure);
    assert!(!imported.document().applications.contains_key(&"mail".parse().unwrap()));
}
