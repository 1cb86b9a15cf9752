//! Rules of Compose one by one: what a service becomes, and what is said of it.

use std::collections::BTreeMap;

use openmesh_blueprint::compose::{Context, FindingKind, import};

/// A compose file, and what must be so.
struct Case {
    /// The file; a line without `services:` is the body of the one service `a`, as a flow map.
    text: &'static str,
    /// Parts of the document.
    has: &'static [&'static str],
    /// Parts of findings, each of one finding.
    says: &'static [&'static str],
    /// Number of findings that are unsupported.
    unsupported: usize,
}

const fn case(
    text: &'static str,
    has: &'static [&'static str],
    says: &'static [&'static str],
    unsupported: usize,
) -> Case {
    Case { text, has, says, unsupported }
}

fn context() -> Context {
    let pairs = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).to_string(), (*value).to_string())).collect()
    };
    Context {
        variables: pairs(&[
            ("SET", "yes"),
            ("EMPTY", ""),
            ("DB_PASSWORD", "hunter2"),
            ("TAG", "7"),
            ("DATABASE_URL", "postgres://u:hunter2@h/x"),
        ]),
        files: pairs(&[
            ("app.env", "# of the app\nMODE=fast\nAPI_TOKEN=hunter2\nexport URL=\"http://$MODE/\"\n"),
            ("url.env", "DB_URL=postgres://u:hunter2@db/x\nPLAIN=http://h/\n"),
            ("dsn.conf", "dsn = postgres://u:swordfish@h/x\n"),
            (".pgpass", "h:5432:x:u:hunter2\n"),
            ("nginx.conf", "proxy_pass http://b:3000;\n"),
            ("run.sh", "#!/bin/sh\nexec app\n"),
            ("tls/site.pem", "-----BEGIN PRIVATE KEY-----\nhunter2\n"),
        ]),
        profiles: ["asked".to_string()].into(),
        images: pairs(&[("built", "ghcr.io/me/built:1")]),
    }
}

fn check(case: &Case) {
    let text = match case.text.contains("services:") {
        true => case.text.to_string(),
        false => format!("services:\n  a: {{image: a, {}}}\n", case.text),
    };
    let imported = import(&text, &context()).unwrap_or_else(|problems| panic!("{text}\n{problems:#?}"));
    let document = imported.document().to_yaml();
    for part in case.has {
        match part.strip_prefix('!') {
            Some(part) => assert!(!document.contains(part), "{text}\nhas {part:?}:\n{document}"),
            None => assert!(document.contains(part), "{text}\nhas no {part:?}:\n{document}"),
        }
    }
    let said: Vec<String> = imported.findings().iter().map(ToString::to_string).collect();
    for part in case.says {
        match part.strip_prefix('!') {
            Some(part) => assert!(!said.iter().any(|line| line.contains(part)), "{text}\nsays {part:?}: {said:#?}"),
            None => assert!(said.iter().any(|line| line.contains(part)), "{text}\ndoes not say {part:?}: {said:#?}"),
        }
    }
    let unsupported: Vec<String> = imported
        .findings()
        .iter()
        .filter(|finding| finding.kind == FindingKind::Unsupported)
        .map(ToString::to_string)
        .collect();
    assert_eq!(unsupported.len(), case.unsupported, "{text}\n{unsupported:#?}");
}

fn check_all(cases: &[Case]) {
    cases.iter().for_each(check);
}

#[test]
fn commands_and_users() {
    check_all(&[
        case("command: run --x 'a b'", &["arguments:\n      - run\n      - \"--x\"\n      - \"a b\""], &[], 0),
        case("command: [run, x]", &["arguments:\n      - run\n      - x"], &[], 0),
        case("entrypoint: /go, command: [x]", &["command:\n      - /go\n    arguments:\n      - x"], &[], 0),
        case("entrypoint: /go", &["command:\n      - /go", "!arguments"], &[], 0),
        case("entrypoint: [], command: [/run, x]", &["    command:\n      - /run\n      - x", "!arguments"], &[], 0),
        case("entrypoint: '', command: /run x", &["    command:\n      - /run\n      - x", "!arguments"], &[], 0),
        case("entrypoint: []", &["!command"], &["a.entrypoint: unsupported: takes the image's entry point away"], 1),
        case("command: []", &["!arguments"], &["a.command: unsupported: an empty command"], 1),
        case("entrypoint: [/go], command: []", &["command:\n      - /go", "!arguments"], &[], 0),
        case("command: ", &["!arguments"], &[], 0),
        case("command: \"a 'b\"", &["!arguments"], &["has a quote that is not closed"], 1),
        case("user: '1000:100'", &["user: \"1000:100\""], &["!a.user"], 0),
        case("user: '1000'", &["user: \"1000:1000\""], &["a.user: changed: its group is 1000; in Docker"], 0),
        case("user: node", &["!user"], &["a.user: unsupported: must be numbers"], 1),
        case("working_dir: /srv", &["workdir: /srv"], &[], 0),
        case("working_dir: srv", &["!workdir"], &["a.working_dir: unsupported: is not a path"], 1),
        case("stop_signal: SIGINT, stop_grace_period: 1m30s", &["stop_signal: INT", "stop_after: 90s"], &[], 0),
        case("stop_signal: 3", &["stop_signal: QUIT"], &[], 0),
        case("stop_signal: SIGUSR1", &["!stop_signal"], &["is not among TERM, INT, QUIT, HUP"], 1),
    ]);
}

#[test]
fn rights_and_roots() {
    check_all(&[
        case("labels: {}", &["capabilities:\n      - CHOWN\n      - DAC_OVERRIDE", "root: writable"], &["NET_RAW"], 0),
        case("cap_drop: [all]", &["!capabilities"], &["!NET_RAW"], 0),
        case("cap_drop: [ALL], cap_add: [cap_chown]", &["capabilities:\n      - CHOWN\n"], &[], 0),
        case("cap_drop: [chown, CAP_KILL]", &["!- CHOWN", "!- KILL", "- SETUID"], &[], 0),
        case("cap_drop: [NET_RAW]", &["- CHOWN"], &["a.cap_drop: ignored: `NET_RAW`"], 0),
        case("cap_drop: [CHWON]", &["- CHOWN"], &["a.cap_drop: unsupported: `CHWON` is no capability"], 1),
        case("cap_add: [NET_ADMIN]", &["- CHOWN"], &["a.cap_add: unsupported: `NET_ADMIN` is not given"], 1),
        case("cap_add: [ALL], cap_drop: [KILL]", &["!- KILL", "- CHOWN"], &["a.cap_add: unsupported: only CHOWN"], 1),
        case("cap_add: [KILL], cap_drop: [KILL]", &["- KILL"], &[], 0),
        case("read_only: true", &["!root:"], &["!disk"], 0),
        case("read_only: false", &["root: writable"], &["disk 1 GiB"], 0),
        case("privileged: true", &[], &["a.privileged: unsupported"], 1),
        case("privileged: false", &[], &["!privileged"], 0),
        case("security_opt: ['no-new-privileges:true']", &[], &["a.security_opt: ignored: so it is for all"], 0),
        case("security_opt: ['seccomp:unconfined']", &[], &["a.security_opt: unsupported"], 1),
        case("devices: ['/dev/dri:/dev/dri']", &[], &["a.devices: unsupported"], 1),
        case("gpus: all", &[], &["a.gpus: unsupported"], 1),
        case("platform: linux/amd64", &[], &["a.platform: changed"], 0),
        case("network_mode: host", &[], &["a.network_mode: unsupported"], 1),
        case("init: true, tty: true, logging: {}", &[], &["a.init: ignored", "a.tty: ignored"], 0),
        case("enviroment: {A: b}", &["!variables"], &["a.enviroment: unsupported: is not known here"], 1),
        case("x-mine: 1", &[], &["a.x-mine: ignored"], 0),
    ]);
}

#[test]
fn limits_and_restarts() {
    check_all(&[
        case(
            "mem_limit: 512m, cpus: 0.5, pids_limit: 50",
            &["memory: 512 MiB", "processors: 0.5", "processes: 50"],
            &["!memory 512 MiB", "disk 1 GiB, where Docker has none"],
            0,
        ),
        case("pids_limit: -1", &["!processes"], &["memory 512 MiB, processors 1, processes 512, disk 1 GiB"], 0),
        case("deploy: {resources: {limits: {memory: 1g, cpus: '2'}}}", &["memory: 1 GiB", "processors: 2"], &[], 0),
        case("deploy: {resources: {reservations: {memory: 1g}}}", &["!memory: 1"], &["a.memory: ignored"], 0),
        case(
            "deploy: {resources: {reservations: {devices: [{driver: nvidia, count: 1, capabilities: [gpu]}]}}}",
            &[],
            &["a.devices: unsupported: gpu: devices of the host are not given"],
            1,
        ),
        case("deploy: {replicas: 3}", &["instances: 3"], &[], 0),
        case("scale: 0", &["wish: stopped", "!instances"], &["a.scale: changed: no instance"], 0),
        case("restart: unless-stopped", &["!restart"], &[], 0),
        case("labels: []", &["restart: never"], &[], 0),
        case("restart: 'on-failure:3'", &["restart: on-failure"], &["a.restart: changed: it is tried again"], 0),
        case("restart: sometimes", &["restart: never"], &["`sometimes` is not a policy"], 1),
        case(
            "deploy: {restart_policy: {condition: on-failure, max_attempts: 3}}",
            &["restart: on-failure"],
            &["a.restart_policy: changed: max_attempts"],
            0,
        ),
        case(
            "restart: always, deploy: {restart_policy: {condition: none}}",
            &["!restart"],
            &["a.restart_policy: ignored: `restart` says it already"],
            0,
        ),
        case("deploy: {mode: global}", &[], &["a.mode: ignored"], 0),
        case("deploy: {mode: replicated-job}", &[], &["a.mode: unsupported"], 1),
    ]);
}

#[test]
fn health() {
    check_all(&[
        case(
            "healthcheck: {test: [CMD, x, y]}",
            &[
                "command:\n        - x\n        - \"y\"\n      interval: 30s\n      timeout: 30s",
                "gate: 3m",
                "!failures",
            ],
            &["!HEALTHCHECK"],
            0,
        ),
        case(
            "healthcheck: {test: curl -f http://x, interval: 10s, timeout: 5s, retries: 5, start_period: 2m}",
            &[
                "- /bin/sh\n        - \"-c\"\n        - \"curl -f http://x\"",
                "interval: 10s",
                "failures: 5",
                "gate: 195s",
            ],
            &[],
            0,
        ),
        case("healthcheck: {test: [CMD-SHELL, 'exit 0'], interval: 1s, timeout: 1s}", &["!gate:"], &[], 0),
        case("healthcheck: {test: [NONE]}", &["!health"], &[], 0),
        case("healthcheck: {disable: true, test: x}", &["!health"], &[], 0),
        case("healthcheck: {test: [x, y]}", &["!health"], &["a.healthcheck: unsupported: test must be"], 1),
        case("healthcheck: {interval: 5s}", &["!health"], &["the image's own HEALTHCHECK is not read"], 1),
        case("healthcheck: {test: x, interval: soon}", &["interval: 30s"], &["interval is not a duration"], 1),
        case("healthcheck: {test: x, start_interval: 1s}", &["health"], &["changed: start_interval"], 0),
        case(
            "healthcheck: {test: x, start_period: 2h}",
            &["gate: 1h"],
            &["changed: it is called unhealthy after 1h"],
            0,
        ),
        case("labels: []", &["!health"], &["services: changed: the image's own HEALTHCHECK is not run for `a`"], 0),
    ]);
}

#[test]
fn ports() {
    check_all(&[
        case("ports: ['8080:80']", &["tcp-80:\n        port: 80\n        publish:\n          port: 8080"], &[], 0),
        case("ports: ['80']", &["tcp-80:\n        port: 80\n        publish: {}"], &[], 0),
        case("ports: ['127.0.0.1:53:53/udp']", &["protocol: udp", "address: \"127.0.0.1\""], &[], 0),
        case("ports: ['[::1]:80:80']", &["port: 80", "!publish"], &["a.ports: unsupported: port 80: instances"], 1),
        case(
            "ports: [{target: 80, published: 8080, app_protocol: http, name: web}]",
            &["web:\n", "protocol: http"],
            &[],
            0,
        ),
        case("ports: [{target: 80, published: '8000-8010'}]", &["publish: {}"], &["changed: any free port"], 0),
        case("ports: ['80:80', '81:80']", &["port: 80"], &["port 80 is published a second time"], 1),
        case("ports: [{target: 80, odd: 1}]", &["port: 80"], &["odd is not known here"], 1),
        case("ports: [nonsense]", &["!ports"], &["is not a port as 8080:80"], 1),
        case("expose: ['3306', 80/udp]", &["tcp-3306", "udp-80", "!publish"], &[], 0),
    ]);
}

#[test]
fn variables() {
    check_all(&[
        case(
            "environment: {A: 1, B: null, C: ''}",
            &["A: \"1\"", "C: \"\"", "!B:"],
            &["B takes its value from the shell"],
            0,
        ),
        case("environment: [A=1=2, SET, EMPTY]", &["A: \"1=2\"", "SET: \"yes\"", "EMPTY: \"\""], &[], 0),
        case(
            "environment: {A: '${EMPTY:-}', B: '${NONE-x}', C: '${SET:+y}'}",
            &["A: \"\"", "B: x", "C: \"y\""],
            &[],
            0,
        ),
        case("environment: {A: '$$SET ${NONE:-${SET}}'}", &["A: \"$SET yes\""], &[], 0),
        case(
            "environment: {DB_PASSWORD: '${DB_PASSWORD}'}",
            &["DB_PASSWORD:\n        secret: db-password", "!hunter2"],
            &["changed: DB_PASSWORD comes from ${DB_PASSWORD} and becomes the secret `db-password`"],
            0,
        ),
        case(
            "environment: ['DB_PASSWORD=${OTHER_PASSWORD:?give it}']",
            &["secret: other-password"],
            &["openmesh xnode secret set other-password"],
            0,
        ),
        case(
            "environment: {URL: 'postgres://u:${DB_PASSWORD}@h/x'}",
            &["URL:\n        secret: a-url", "!hunter2"],
            &["set it with `openmesh xnode secret set a-url` to the whole value"],
            0,
        ),
        case("environment: {API_KEY: abc}", &["API_KEY: abc"], &["changed: API_KEY stands in the clear"], 0),
        case("environment: {ALLOW_EMPTY_PASSWORD: 'yes'}", &["ALLOW_EMPTY_PASSWORD: \"yes\""], &["!in the clear"], 0),
        case(
            "environment: {DB_URL: 'postgres://u:p@db/x'}",
            &["DB_URL: postgres://u:p@db/x"],
            &["changed: DB_URL stands in the clear"],
            0,
        ),
        case(
            "environment: [DATABASE_URL]",
            &["DATABASE_URL:\n        secret: database-url", "!hunter2"],
            &["changed: DATABASE_URL becomes the secret `database-url`"],
            0,
        ),
        case(
            "environment: {X: '${DATABASE_URL}'}",
            &["X:\n        secret: database-url", "!hunter2"],
            &["changed: X comes from ${DATABASE_URL} and becomes the secret `database-url`"],
            0,
        ),
        case(
            "command: 'run ${DATABASE_URL}'",
            &["- run\n"],
            &["a.command: changed: ${DATABASE_URL} stands in the clear"],
            0,
        ),
        case(
            "env_file: url.env",
            &["DB_URL:\n        secret: db-url", "PLAIN: http://h/", "!hunter2"],
            &["a.env_file: changed: DB_URL becomes the secret `db-url`"],
            0,
        ),
        case("environment: [DB_PASSWORD]", &["secret: db-password", "!hunter2"], &["becomes the secret"], 0),
        case(
            "env_file: ./app.env, environment: {MODE: slow}",
            &["MODE: slow", "URL: http://fast/", "API_TOKEN:\n        secret: api-token", "!hunter2"],
            &["a.env_file: changed: API_TOKEN becomes the secret `api-token`"],
            0,
        ),
        case(
            "env_file: app.env, environment: [MODE]",
            &["!MODE", "URL: http://fast/"],
            &["MODE takes its value from the shell, which has none: it is not set"],
            0,
        ),
        case("env_file: [none.env]", &[], &["a.env_file: unsupported: `none.env` is not here"], 1),
        case("env_file: [{path: none.env, required: false}]", &[], &["a.env_file: ignored"], 0),
        case("env_file: [/etc/passwd]", &[], &["`/etc/passwd` is not here"], 1),
    ]);
}

#[test]
fn storage() {
    check_all(&[
        case(
            "services:\n  a:\n    image: a\n    volumes: ['d:/data']\nvolumes: {d: {}}\n",
            &["d:\n        path: /data\n        size: 10 GiB"],
            &["changed: d begins empty; Docker fills", "changed: each volume gets a limit of 10 GiB"],
            0,
        ),
        case(
            "services:\n  a:\n    image: a\n    volumes: ['d:/data:ro,nocopy']\nvolumes: {d: }\n",
            &["read_only: true"],
            &["!begins empty"],
            0,
        ),
        case(
            "services:\n  a:\n    image: a\n    volumes:\n      - {type: volume, source: d, target: /x, volume: {subpath: s, nocopy: true}}\nvolumes: {d: {}}\n",
            &["path: /x"],
            &["line 5: services.a.volumes: unsupported: subpath", "!begins empty"],
            1,
        ),
        case("volumes: [/scratch]", &["scratch:\n        path: /scratch"], &[], 0),
        case("volumes: ['d:/data']", &["path: /data"], &["`d` is not among the `volumes` of this file"], 1),
        case("volumes: ['d:/data:odd']", &[], &["the option `odd` is not known", "not among the `volumes`"], 2),
        case("volumes: ['./data:/data']", &["!volumes"], &["`./data` is of the host"], 1),
        case("volumes: ['/var/run/docker.sock:/var/run/docker.sock:ro']", &["!files"], &["the socket of Docker"], 1),
        case("volumes: ['/etc/localtime:/etc/localtime:ro']", &["!files"], &["changed: `/etc/localtime`"], 0),
        case(
            "volumes: ['./nginx.conf:/etc/nginx.conf:ro', './run.sh:/run.sh:ro']",
            &["content: \"proxy_pass http://b:3000;\\n\"", "mode: \"0755\""],
            &[],
            0,
        ),
        case(
            "volumes: ['./tls/site.pem:/site.pem:ro', './app.env:/app/.env:ro']",
            &["/site.pem:\n        content:\n          secret: tls-site-pem", "secret: app-env", "!hunter2"],
            &["openmesh xnode secret set tls-site-pem --file ./tls/site.pem"],
            0,
        ),
        case(
            "volumes: ['./.pgpass:/root/.pgpass:ro', './dsn.conf:/dsn.conf:ro']",
            &["secret: pgpass", "swordfish", "!hunter2"],
            &["changed: `./dsn.conf` holds an address with a password"],
            0,
        ),
        case("volumes: ['./nginx.conf:/etc/nginx.conf']", &["files:"], &["what is written to it is not kept"], 0),
        case(
            "services:\n  a: {image: a, volumes: ['d:/data']}\n  b: {image: b, volumes: ['d:/data']}\nvolumes: {d: {}}\n",
            &[],
            &["services.b.volumes: unsupported: the volume belongs to a"],
            1,
        ),
        case(
            "services:\n  a: {image: a}\nvolumes: {d: {driver: nfs}, e: {external: true}, f: {driver: local, driver_opts: {}}}\n",
            &[],
            &["d.driver: volumes are made here", "e.external: a volume that is there already"],
            2,
        ),
        case("tmpfs: /tmp", &[], &["!a.tmpfs"], 0),
        case("tmpfs: ['/run:size=64m']", &[], &["a.tmpfs: changed: /run: its memory"], 0),
        case("tmpfs: [/cache]", &[], &["a.tmpfs: changed: /cache lies in the writable root"], 0),
        case("tmpfs: [/cache], read_only: true", &[], &["a.tmpfs: unsupported: /cache: only /tmp"], 1),
        case(
            "volumes: [{type: tmpfs, target: /tmp, tmpfs: {size: 1000000}}]",
            &["!volumes"],
            &["changed: /tmp: its"],
            0,
        ),
        case("volumes: [{type: npipe, source: x, target: /y}]", &[], &["mounts of the type npipe"], 1),
    ]);
}

#[test]
fn secrets_and_configs() {
    check_all(&[
        case(
            "services:\n  a: {image: a, secrets: [db_root]}\nsecrets: {db_root: {file: ./root.txt}}\n",
            &["/run/secrets/db_root:\n        content:\n          secret: db-root\n        mode: \"0444\""],
            &[
                "line 3: services.a.secrets: changed: `db_root` becomes the secret `db-root`: set it with `openmesh xnode secret set db-root --file ./root.txt`",
            ],
            0,
        ),
        case(
            "services:\n  a: {image: a, secrets: [{source: s, target: key.pem, uid: '103', gid: '104', mode: 0440}]}\nsecrets: {s: {environment: KEY}}\n",
            &["/run/secrets/key.pem:", "mode: \"0440\"", "owner: \"103:104\""],
            &["printenv KEY | openmesh xnode secret set s"],
            0,
        ),
        case(
            "services:\n  a: {image: a, secrets: [{source: s, target: /k, uid: '103', mode: 256}]}\nsecrets: {s: {external: true}}\n",
            &["/k:", "mode: \"0400\"", "owner: \"103:0\""],
            &[],
            0,
        ),
        case("secrets: [none]", &["!files"], &["`none` is not among the `secrets`"], 1),
        case(
            "services:\n  a: {image: a, configs: [my_cnf, {source: my_cnf, target: my.cnf}, {source: my_cnf, target: /etc/my.cnf, mode: '0755'}]}\nconfigs: {my_cnf: {content: \"x\\n\"}}\n",
            &["/my_cnf:", "/my.cnf:", "/etc/my.cnf:", "mode: \"0555\""],
            &[],
            0,
        ),
        case(
            "services:\n  a: {image: a, configs: [c, d]}\nconfigs: {c: {file: ./nginx.conf}, d: {environment: SET}}\n",
            &["content: \"proxy_pass http://b:3000;\\n\"", "content: \"yes\""],
            &[],
            0,
        ),
        // A config with a password in it is one.
        case(
            "services:\n  a: {image: a, configs: [c, k, p]}\nconfigs: {c: {content: 'x=${DB_PASSWORD}'}, k: {environment: API_KEY}, p: {file: tls/site.pem}}\n",
            &["/c:\n        content:\n          secret: c\n", "secret: k\n", "secret: p\n", "!hunter2"],
            &["line 3: configs: changed: `c` holds a password", "openmesh xnode secret set c` to the whole text"],
            0,
        ),
        case(
            "services:\n  a: {image: a, secrets: [s]}\nsecrets: {s: {file: 'a; rm -rf ~'}}\n",
            &["secret: s"],
            &["secret set s --file 'a; rm -rf ~'`"],
            0,
        ),
        case(
            "services:\n  a: {image: a, configs: [c]}\nconfigs: {c: {file: ./none.conf}}\n",
            &["!files"],
            &["`c`: `./none.conf` is not here; write its text under `content`"],
            1,
        ),
        case(
            "services:\n  a: {image: a, configs: [{source: c, mode: 99999}]}\nconfigs: {c: {content: x}}\n",
            &["mode: \"0444\""],
            &["mode `99999` is not one as 0440"],
            1,
        ),
    ]);
}

#[test]
fn reach() {
    check_all(&[
        case(
            "services:\n  web: {image: w, environment: {DB_HOST: db}}\n  db: {image: d}\n",
            &["web:\n    image: docker.io/library/w:latest\n    variables:\n      DB_HOST: db\n    links:\n      - db"],
            &["a link lets one application reach another and not the other way round"],
            0,
        ),
        case(
            "services:\n  web: {image: w, depends_on: [db], networks: [x]}\n  db: {image: d, networks: [y]}\nnetworks: {x: , y: }\n",
            &["after:\n      - db", "!links"],
            &[],
            0,
        ),
        case(
            "services:\n  a: {image: a, environment: {B_URL: 'http://b:80'}}\n  b: {image: b, environment: {A_URL: 'http://a:80'}}\n",
            &["links:\n      - b", "!- a\n"],
            &["line 3: services.b.environment: unsupported: names `a`, which starts after it"],
            1,
        ),
        case(
            "services:\n  prom: {image: p, ports: ['9090:9090']}\n  node-exporter: {image: n}\n  grafana: {image: g, ports: ['3000:3000']}\n",
            &["grafana:\n    image: docker.io/library/g:latest\n    ports:", "- node-exporter\n      - prom"],
            &["services.prom.networks: changed: Docker lets all", "linked to `node-exporter`"],
            0,
        ),
        case(
            "services:\n  x: {image: x}\n  y: {image: y}\n",
            &["!links"],
            &["services.x.networks: changed", "not linked to `y`, which nothing here names"],
            0,
        ),
        case(
            "services:\n  web: {image: w, command: 'serve --db-host blog_db'}\n  db: {image: d, container_name: blog_db}\n",
            &["links:\n      - db"],
            &["services.web.command: unsupported: names `blog_db`, which is reached as `db` alone"],
            1,
        ),
        case(
            "services:\n  web_app: {image: w, links: ['db:database']}\n  db: {image: d}\n",
            &["web-app:", "links:\n      - db"],
            &["services.web_app.name: changed: is called `web-app`", "a second name, `database`, is not given"],
            1,
        ),
        case(
            "services:\n  web: {image: w, depends_on: {init: {condition: service_completed_successfully}, gone: {required: false}}}\n  init: {image: i}\n",
            &["links:\n      - init"],
            &["make it a job", "`gone` is not here and not required"],
            1,
        ),
        case("services:\n  a: {image: a, depends_on: [none]}\n", &["!links"], &["there is no service `none`"], 1),
        case(
            "services:\n  a: {image: a, volumes: ['./nginx.conf:/etc/nginx.conf:ro']}\n  b: {image: b}\n",
            &["links:\n      - b"],
            &[],
            0,
        ),
        case(
            "services:\n  a: {image: a, networks: {n: {ipv4_address: 10.0.0.2, aliases: [x]}}}\nnetworks: {n: {internal: true, driver: overlay}}\n",
            &[],
            &["n.ipv4_address", "n.aliases", "n.internal: applications reach the outside", "n.driver"],
            3,
        ),
        case(
            "services:\n  db: {image: d, environment: {MYSQL_DATABASE: wordpress}}\n  wordpress: {image: w, depends_on: [db]}\n",
            &["wordpress:\n    image: docker.io/library/w:latest\n    links:\n      - db"],
            &[],
            0,
        ),
    ]);
}

#[test]
fn whole_files() {
    check_all(&[
        case(
            "services:\n  a: {image: 'a:${TAG}'}\n  b: {image: b, profiles: [debug], environment: {X: '${NONE}'}}\n  c: {image: c, profiles: [asked]}\n",
            &["image: docker.io/library/a:7", "  c:\n", "!  b:\n"],
            &["services.b: ignored: left out, as in Docker: its profile (debug)"],
            0,
        ),
        case(
            "x-base: &base {image: a, restart: always}\nservices:\n  a: {<<: *base, command: x}\n",
            &["arguments:\n      - x", "!restart"],
            &["x-base: ignored"],
            0,
        ),
        case(
            "services:\n  base: {image: b, command: [x], ports: ['80:80'], environment: [A=1, B=2], volumes: ['/x', '/y']}\n  a:\n    extends: {service: base}\n    command: [y]\n    ports: !reset []\n    environment: {B: 3}\n    volumes: !override ['/z']\n",
            &[
                "  a:\n    image: docker.io/library/b:latest\n    arguments:\n      - \"y\"\n    variables:\n      A: \"1\"\n      B: \"3\"\n    volumes:\n      z:",
            ],
            &[],
            0,
        ),
        case(
            "services:\n  a: {image: a, extends: {file: other.yml, service: b}}\n",
            &["image: docker.io/library/a"],
            &["services.a.extends: unsupported: `other.yml` is not read; `docker compose config`"],
            1,
        ),
        case("include: [other.yml]\nservices: {a: {image: a}}\n", &[], &["include: unsupported: other files"], 1),
        case(
            "name: shop\nversion: '3'\nservices: {a: {image: 'a:${COMPOSE_PROJECT_NAME}'}}\n",
            &["a:shop"],
            &["name: ignored"],
            0,
        ),
        case(
            "services:\n  a: {image: a, ports: !reset ['80:80'], deploy: {replicas: !reset 3}}\n",
            &["!ports", "!instances"],
            &[],
            0,
        ),
        case(
            "services: {built: {build: ./app}}\n",
            &["image: ghcr.io/me/built:1"],
            &["built.build: ignored: the image ghcr.io"],
            0,
        ),
        case("build: .", &["image: docker.io/library/a:latest"], &["a.build: unsupported: images are not built"], 1),
        case("odd: {}\nservices: {a: {image: a}}\n", &[], &["line 1: odd: unsupported: is not known here"], 1),
        case(
            "services:\n  a:\n    image: a\n    labels:\n      traefik.http.routers.a.rule: 'Host(`a.example.org`)'\n      traefik.http.routers.a.tls: 'true'\n      traefik.http.services.a.loadbalancer.server.port: '8080'\n",
            &["tcp-8080:\n        port: 8080\n        protocol: http", "a.example.org:\n        port: tcp-8080"],
            &["line 5: services.a.labels: changed: the machine's door leads a.example.org", "routers.a.tls`: the door"],
            0,
        ),
        case(
            "services:\n  a:\n    image: a\n    labels: ['traefik.http.routers.a.rule=PathPrefix(`/x`)', 'traefik.http.middlewares.b.basicauth.users=u']\n",
            &["!domains"],
            &["asks for more than hosts", "is for Traefik, and not done"],
            2,
        ),
        case("labels: {com.example: x}", &[], &["a.labels: ignored: nothing reads them"], 0),
    ]);
}
