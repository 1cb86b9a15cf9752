//! A stage for tests: a lender in this process, and guests with keys of their own.

use std::collections::BTreeMap;
use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use openmesh_backup::peer::line::{Guest, Lender, Line, Patience};
use openmesh_backup::{NodeKey, NodePublicKey, Peer, PeerSettings};
use openmesh_lender::effects::{Effects, free};
use openmesh_lender::house::House;
use openmesh_lender::loans::{Loan, Loans};
use openmesh_lender::talk::serve;

/// Longest wait for anything in a test.
pub const PATIENCE: Duration = Duration::from_secs(60);
/// Room of a loan where a test names none.
pub const ROOM: u64 = 64 << 20;

/// The key of a guest, or of the lender, by a number.
pub fn key(number: u8) -> NodeKey {
    NodeKey::from_seed([number; 32])
}

/// Number of the lender's key.
const LENDER: u8 = 200;

/// A loan to the keys of these numbers.
pub fn loan(numbers: &[u8]) -> Loan {
    let keys = numbers.iter().map(|number| key(*number).public().to_string()).collect();
    Loan { keys, room_bytes: ROOM, held_days: 14, ..Loan::default() }
}

/// A lender that listens.
pub struct Stage {
    pub house: Arc<House>,
    pub address: SocketAddr,
    listens: Option<JoinHandle<()>>,
}

impl Stage {
    /// A lender with the folder of its guests below this one, which lends to the first key.
    pub fn at(folder: &Path, effects: Effects) -> Stage {
        let patience = Patience { greeting: Duration::from_secs(10), stall: Duration::from_secs(20) };
        Stage::patient(folder, effects, patience)
    }

    /// One with another patience.
    pub fn patient(folder: &Path, effects: Effects, patience: Patience) -> Stage {
        let guests = folder.join("guests");
        fs::create_dir_all(&guests).unwrap();
        let tls = Lender::new(&key(LENDER)).unwrap().with(patience);
        let house = Arc::new(House::open(&guests, tls, &folder.join("days.json"), effects).unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let own = house.clone();
        let listens = Some(std::thread::spawn(move || serve(&own, &listener)));
        let stage = Stage { house, address, listens };
        stage.lend(&[("ann", loan(&[1]))]);
        stage
    }

    /// One whose effects all pass.
    pub fn free(folder: &Path) -> Stage {
        Stage::at(folder, free())
    }

    /// Lends in other ways from here on.
    pub fn lend(&self, all: &[(&str, Loan)]) {
        let loans: BTreeMap<String, Loan> = all.iter().map(|(name, loan)| (name.to_string(), loan.clone())).collect();
        let loans = Loans { run: "test".into(), reserve_bytes: 0, loans };
        assert_eq!(loans.fault(), None);
        self.house.configure(loans);
    }

    /// The store of the guest of a number, which tries once.
    pub fn peer(&self, number: u8) -> Peer {
        peer_at(self.address, number, key(LENDER).public())
    }

    /// A line of the guest of a number.
    pub fn line(&self, number: u8) -> Line {
        let guest = Guest::new(&key(number), key(LENDER).public()).unwrap();
        let mut line = guest.greet(TcpStream::connect(self.address).unwrap()).unwrap();
        line.allow(PATIENCE, 0);
        line
    }

    /// Room that a loan takes: of what is there, and of what is withheld.
    pub fn taken(&self, loan: &str) -> (u64, u64) {
        let reports = self.house.reports();
        (reports[loan].used_bytes, reports[loan].held_bytes)
    }
}

/// The store of a guest at a lender.
pub fn peer_at(address: SocketAddr, number: u8, lender: NodePublicKey) -> Peer {
    Peer::open(PeerSettings { address: address.to_string(), lender, own: key(number), tries: 1 }).unwrap()
}

/// The store of a guest at the lender of these tests.
pub fn guest_at(address: SocketAddr, number: u8) -> Peer {
    peer_at(address, number, key(LENDER).public())
}

/// Waits until something is so that nobody tells of.
pub fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = std::time::Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < PATIENCE, "{what}: nothing within {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Files of a folder and everything below it.
pub fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut waiting = vec![folder.to_path_buf()];
    while let Some(folder) = waiting.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { waiting.push(path) } else { found.push(path) }
        }
    }
    found
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.house.leave();
        // It sees that it leaves with the next connection.
        let _ = TcpStream::connect(self.address);
        if let Some(listens) = self.listens.take() {
            let _ = listens.join();
        }
    }
}
