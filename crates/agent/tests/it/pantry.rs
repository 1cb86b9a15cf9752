//! Images of this machine's programs, and a server to run in them.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use openmesh_image::oci::Platform;
use openmesh_image::store::Store;
use openmesh_image::tar::{Entry, Kind, Writer};
use openmesh_primitives::Digest;

/// Programs of the images: what the servers of the tests need.
const PROGRAMS: [&str; 3] = ["/bin/sh", "/bin/cat", "/usr/bin/perl"];

/// Puts an image into a store: the programs of this machine and a script of Perl.
pub fn image(store: &Store, script: &str) -> Digest {
    let pass = |_: &str| Ok(());
    let layer = layer(script);
    let diff_id = store.put(&layer, &pass).unwrap();
    let platform = Platform::here();
    let config = serde_json::json!({
        "os": platform.os, "architecture": platform.architecture,
        "config": { "Env": ["PATH=/usr/bin:/bin"], "Entrypoint": ["/usr/bin/perl", "/server.pl"], "User": "1000:1000" },
        "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{diff_id}")] },
    });
    let config = serde_json::to_vec(&config).unwrap();
    let config_digest = store.put(&config, &pass).unwrap();
    let manifest = serde_json::json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": { "mediaType": "application/vnd.oci.image.config.v1+json", "digest": format!("sha256:{config_digest}"), "size": config.len() },
        "layers": [{ "mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": format!("sha256:{diff_id}"), "size": layer.len() }],
    });
    let digest = store.put(&serde_json::to_vec(&manifest).unwrap(), &pass).unwrap();
    store.lease_also("test", digest, &pass).unwrap();
    digest
}

/// Files of the images by their paths: programs, their libraries, the modules of Perl. Found and read once.
fn files() -> &'static BTreeMap<PathBuf, Vec<u8>> {
    static FILES: OnceLock<BTreeMap<PathBuf, Vec<u8>>> = OnceLock::new();
    FILES.get_or_init(|| {
        let said = |program: &str, arguments: &[&str]| {
            let output = Command::new(program).args(arguments).output().unwrap();
            String::from_utf8_lossy(&output.stdout).into_owned()
        };
        let mut found: BTreeSet<PathBuf> = PROGRAMS.iter().map(PathBuf::from).collect();
        for program in PROGRAMS {
            let text = said("ldd", &[program]);
            found.extend(text.split_whitespace().filter(|word| word.starts_with('/')).map(PathBuf::from));
        }
        let modules = said("/usr/bin/perl", &["-MSocket", "-e", "print map { qq($_\\n) } values %INC"]);
        let base = |file: &str| Some(format!("{}/perl-base", file.split_once("/perl-base/")?.0));
        for folder in modules.lines().filter_map(base).collect::<BTreeSet<String>>() {
            found.extend(said("find", &[folder.as_str(), "-type", "f"]).lines().map(PathBuf::from));
        }
        let with_content = |file: PathBuf| {
            let content = std::fs::read(&file).unwrap();
            (file, content)
        };
        found.into_iter().map(with_content).collect()
    })
}

/// An archive with the programs, their libraries and a script.
fn layer(script: &str) -> Vec<u8> {
    let files = files();
    let mut folders: BTreeSet<PathBuf> =
        ["proc", "sys", "dev", "tmp", "run", "data", "etc"].iter().map(PathBuf::from).collect();
    let mut writer = Writer::new(Vec::new());
    for file in files.keys() {
        folders.extend(
            file.strip_prefix("/")
                .unwrap()
                .ancestors()
                .skip(1)
                .filter(|path| path.parent().is_some())
                .map(Path::to_path_buf),
        );
    }
    let entry = |name: &Path, kind, mode, size| Entry {
        name: name.as_os_str().as_encoded_bytes().to_vec(),
        kind,
        mode,
        uid: 0,
        gid: 0,
        mtime: 0,
        size,
        link: Vec::new(),
        xattrs: Vec::new(),
    };
    for folder in &folders {
        let mode = if folder == Path::new("tmp") { 0o1777 } else { 0o755 };
        writer.append(&entry(folder, Kind::Directory, mode, 0), &mut std::io::empty()).unwrap();
    }
    for (file, bytes) in files {
        let name = file.strip_prefix("/").unwrap();
        writer.append(&entry(name, Kind::File, 0o755, bytes.len() as u64), &mut bytes.as_slice()).unwrap();
    }
    let text = [("server.pl", script), ("etc/passwd", "root:x:0:0::/:/bin/sh\napp:x:1000:1000::/:/bin/sh\n")];
    for (name, content) in text {
        writer
            .append(&entry(Path::new(name), Kind::File, 0o644, content.len() as u64), &mut content.as_bytes())
            .unwrap();
    }
    writer.finish().unwrap()
}

/// A server that answers every request with a word and what it finds in a file that it appends to.
pub fn server(word: &str) -> String {
    format!(
        r#"$| = 1; use Socket;
socket(S, PF_INET, SOCK_STREAM, 6); setsockopt(S, SOL_SOCKET, SO_REUSEADDR, 1); bind(S, sockaddr_in(8080, INADDR_ANY)) or die "bind: $!"; listen(S, 64);
print "{word} listens\n"; $SIG{{TERM}} = sub {{ print "{word} ends\n"; exit 0 }};
while (1) {{ accept(C, S) or next; my $head = ''; while (<C>) {{ $head .= $_; last if /^\r?$/ }}
  if ($head =~ m{{^POST /(\S*)}}) {{ open(F, '>>', '/data/words') or die "data: $!"; print F "$1\n"; close F; }}
  my $body = "{word}\n"; if (open(F, '<', '/data/words')) {{ $body .= join('', <F>); close F; }}
  print C "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: " . length($body) . "\r\n\r\n$body"; close C; }}
"#
    )
}

/// The body of an answer; none where nobody answers.
pub fn ask(method: &str, address: (&str, u16), path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(address).ok()?;
    // Nobody who is asked by these tests lets an answer wait on purpose.
    stream.set_read_timeout(Some(Duration::from_secs(30))).ok()?;
    write!(stream, "{method} {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    answer.split_once("\r\n\r\n").map(|(_, body)| body.to_string())
}
