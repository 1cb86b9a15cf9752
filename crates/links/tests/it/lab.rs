//! Network namespaces of a test: the host, the outside and instances, each a thread.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use nix::sched::{CloneFlags, unshare};
use openmesh_links::{Context, Fault, LinksError, Listings, Namespace, Namespaces, Network, converge};
use tempfile::TempDir;

/// Patience with something that must come, on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(30);
/// Patience with something that must not come: longer than any answer here takes.
pub const SILENCE: Duration = Duration::from_millis(400);

/// Address of the outside, and of the host towards it.
pub const OUTSIDE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
pub const HOST: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);
/// Port on which each instance serves.
pub const PORT: u16 = 7000;

type Task = Box<dyn FnOnce() + Send>;

/// A thread in a network namespace of its own; both end when this value does.
pub struct Space {
    tasks: Sender<Task>,
    path: PathBuf,
    servers: Mutex<Vec<(SocketAddr, Arc<AtomicBool>)>>,
}

/// Servers are woken for their end: a socket of theirs would hold the namespace.
impl Drop for Space {
    fn drop(&mut self) {
        for (at, stop) in std::mem::take(&mut *self.servers.lock().unwrap()) {
            stop.store(true, Ordering::SeqCst);
            self.run(move || {
                let _ = TcpStream::connect_timeout(&at, SILENCE);
                let _ = UdpSocket::bind("0.0.0.0:0").and_then(|socket| socket.send_to(b"!", at));
            });
        }
    }
}

impl Space {
    pub fn new() -> io::Result<Space> {
        let (tasks, queue) = channel::<Task>();
        let (ready, made) = channel();
        std::thread::spawn(move || {
            // A new namespace takes the forwarding of the machine's own.
            let off = || std::fs::write("/proc/sys/net/ipv4/conf/all/forwarding", "0");
            let path = unshare(CloneFlags::CLONE_NEWNET)
                .map_err(io::Error::from)
                .and_then(|()| off())
                .and_then(|()| Ok(Path::new("/proc").join(std::fs::read_link("/proc/thread-self")?).join("ns/net")));
            ready.send(path).unwrap();
            queue.into_iter().for_each(|task| task());
        });
        Ok(Space { tasks, path: made.recv().unwrap()?, servers: Mutex::default() })
    }

    /// Runs a function in the namespace; a panic there is one here.
    pub fn run<T: Send + 'static>(&self, act: impl FnOnce() -> T + Send + 'static) -> T {
        let (answer, result) = channel();
        let task = move || {
            let _ = answer.send(std::panic::catch_unwind(std::panic::AssertUnwindSafe(act)));
        };
        self.tasks.send(Box::new(task)).unwrap();
        result.recv().unwrap().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    pub fn namespace(&self) -> Namespace {
        Namespace::at(&self.path).unwrap()
    }

    /// Runs a shell script; it must succeed.
    pub fn shell(&self, script: &str) -> String {
        let script = script.to_string();
        self.run(move || shell(&script))
    }
}

pub fn shell(script: &str) -> String {
    let output =
        Command::new("/bin/sh").args(["-ec", script]).env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").output().unwrap();
    assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// A host with an outside, and instances by address.
pub struct Lab {
    pub host: Arc<Space>,
    pub outside: Space,
    pub instances: BTreeMap<Ipv4Addr, Space>,
    pub marks: Arc<TempDir>,
    pub listings: Arc<Listings>,
}

impl Lab {
    /// A lab; `None`, with the reason in the output, where the machine does not let us have one.
    pub fn new() -> Option<Lab> {
        for (program, package) in [("nft", "nftables"), ("ip", "iproute2")] {
            let found = ["/usr/sbin", "/usr/bin", "/sbin", "/bin"]
                .iter()
                .any(|folder| Path::new(folder).join(program).exists());
            if !found {
                println!("skipped: the program {program} is missing (Debian package {package})");
                return None;
            }
        }
        let spaces = Space::new().and_then(|host| Ok((host, Space::new()?)));
        let (host, outside) = match spaces {
            Ok(spaces) => spaces,
            Err(error) => {
                println!("skipped: no network namespace can be made ({error}); root is needed");
                return None;
            }
        };
        let peer = outside.path.display().to_string();
        host.shell(&format!(
            "ip link set lo up; ip link add up0 address 02:00:00:00:00:02 type veth peer name eth0 netns {peer}; ip address add {HOST}/24 dev up0; \
             ip link set up0 up; ip route add default via {OUTSIDE}"
        ));
        outside.shell(&format!(
            "ip link set lo up; ip address add {OUTSIDE}/24 dev eth0; ip link set eth0 up; ip route add 10.0.0.0/8 via {HOST}"
        ));
        outside.serve("outside");
        let marks = Arc::new(TempDir::new().unwrap());
        let listings = Arc::default();
        Some(Lab { host: Arc::new(host), outside, instances: BTreeMap::new(), marks, listings })
    }

    /// A lab with a network whose instances serve their own address, converged.
    pub fn with(network: &Network) -> Option<Lab> {
        let mut lab = Lab::new()?;
        lab.instances(network);
        lab.converge(network).unwrap();
        Some(lab)
    }

    /// Makes the namespaces of all instances of a network that have none.
    pub fn instances(&mut self, network: &Network) {
        for address in network.instances().keys() {
            self.instances.entry(*address).or_insert_with(|| {
                let space = Space::new().unwrap();
                space.serve(&address.to_string());
                space
            });
        }
    }

    pub fn namespaces(&self, network: &Network) -> Namespaces {
        let wanted = self.instances.iter().filter(|(address, _)| network.instances().contains_key(address));
        wanted.map(|(address, space)| (*address, space.namespace())).collect()
    }

    /// Converges in the host with a door of effects.
    pub fn converge_through(
        &self,
        network: &Network,
        effect: impl Fn(&str) -> io::Result<()> + Send + Sync + 'static,
    ) -> Result<Vec<Fault>, LinksError> {
        let (network, namespaces, marks) = (network.clone(), self.namespaces(network), self.marks.clone());
        let listings = self.listings.clone();
        self.host.run(move || {
            let context = Context { marks: marks.path(), listings: &listings, effect: &effect };
            converge(&network, &namespaces, context)
        })
    }

    pub fn converge(&self, network: &Network) -> Result<Vec<Fault>, LinksError> {
        self.converge_through(network, |_| Ok(()))
    }

    /// Everything of the host's network as text, without counters, handles and states that come with time.
    pub fn dump(&self) -> String {
        self.host.shell(
            "ip -o link | sed 's/^[0-9]*: //; s/state [A-Z]* //; s/NO-CARRIER,//; s/@if[0-9]*//; s/link-netnsid [0-9]*//' | sort; \
             ip -o -4 address | sed 's/^[0-9]*: //' | sort; ip route | sed 's/ linkdown//' | sort; \
             tc qdisc show | sed 's/qdisc tbf [0-9a-f]*:/qdisc tbf/' | sort; \
             nft list ruleset | sed '/set counted {/,/^\t}/d' | tr ',{}' '\\n\\n\\n' | sed 's/^[[:space:]]*//; s/[[:space:]]*$//' | grep . | sort; \
             cat /proc/sys/net/ipv4/ip_forward",
        )
    }
}

impl Space {
    /// Answers TCP and UDP on [`PORT`] with a label and the address of the asker, for as long as the namespace lives.
    pub fn serve(&self, label: &str) {
        self.serve_on(SocketAddr::from(([0, 0, 0, 0], PORT)), label);
    }

    pub fn serve_on(&self, at: SocketAddr, label: &str) {
        let (tcp, udp) = self.run(move || (TcpListener::bind(at).unwrap(), UdpSocket::bind(at).unwrap()));
        let stop = Arc::new(AtomicBool::new(false));
        self.servers.lock().unwrap().push((at, stop.clone()));
        let (text, stopped) = (label.to_string(), stop.clone());
        std::thread::spawn(move || {
            for stream in tcp.incoming().flatten().take_while(|_| !stopped.load(Ordering::SeqCst)) {
                let text = text.clone();
                // It greets, then echoes until the other side has enough.
                std::thread::spawn(move || {
                    let mut stream = stream;
                    let from = stream.peer_addr().map(|from| from.ip().to_string()).unwrap_or_default();
                    let _ = stream.write_all(format!("{text} {from}\n").as_bytes());
                    let mut byte = [0];
                    while stream.read(&mut byte).is_ok_and(|count| count > 0) && stream.write_all(&byte).is_ok() {}
                });
            }
        });
        let text = label.to_string();
        std::thread::spawn(move || {
            let mut buffer = [0; 16];
            while let Ok((_, from)) = udp.recv_from(&mut buffer)
                && !stop.load(Ordering::SeqCst)
            {
                let _ = udp.send_to(format!("{text} {}\n", from.ip()).as_bytes(), from);
            }
        });
    }

    /// Asks by TCP; the label that answered and the address that it saw, or `None` where nobody does.
    pub fn ask(&self, at: impl Into<SocketAddr>, patience: Duration) -> Option<(String, String)> {
        let at = at.into();
        self.run(move || answer(&mut open(at, patience).ok()?))
    }

    /// Asks by UDP.
    pub fn ask_udp(&self, at: impl Into<SocketAddr>, patience: Duration) -> Option<(String, String)> {
        let at = at.into();
        self.run(move || {
            let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
            socket.connect(at).ok()?;
            ask_by(&socket, patience)
        })
    }

    /// Opens a connection and reads its greeting.
    pub fn connect(&self, at: impl Into<SocketAddr>) -> TcpStream {
        let at = at.into();
        self.run(move || {
            let mut stream = open(at, PATIENCE).unwrap();
            answer(&mut stream).unwrap();
            stream
        })
    }
}

/// One question by a connected socket of UDP, asked once.
pub fn ask_by(socket: &UdpSocket, patience: Duration) -> Option<(String, String)> {
    socket.set_read_timeout(Some(patience)).ok()?;
    socket.send(b"?").ok()?;
    let mut buffer = [0; 64];
    let length = socket.recv(&mut buffer).ok()?;
    words(&buffer[..length])
}

fn open(at: SocketAddr, patience: Duration) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&at, patience)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// The greeting of a connection.
fn answer(stream: &mut TcpStream) -> Option<(String, String)> {
    let mut line = Vec::new();
    let mut byte = [0];
    while byte != *b"\n" {
        stream.read_exact(&mut byte).ok()?;
        line.push(byte[0]);
    }
    words(&line)
}

fn words(line: &[u8]) -> Option<(String, String)> {
    let line = String::from_utf8(line.to_vec()).ok()?;
    let (label, from) = line.trim().split_once(' ')?;
    Some((label.to_string(), from.to_string()))
}

/// Returns true when an open connection still echoes.
pub fn echoes(stream: &mut TcpStream, patience: Duration) -> bool {
    let mut byte = [0];
    stream.set_read_timeout(Some(patience)).unwrap();
    stream.write_all(b"!").is_ok() && stream.read_exact(&mut byte).is_ok()
}
