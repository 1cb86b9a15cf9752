//! Rates that hold, told by the ratio of what two instances get in the same time.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::lab::{Lab, Space};
use crate::sample::{address, network, shop};

/// Bytes after which the slower one is done: many times its burst.
const BYTES: usize = 1 << 20;

/// Longest time for them: at the lowest rate here they take two seconds, on a machine that is busy with other work many times as long.
const STALL: std::time::Duration = std::time::Duration::from_secs(120);

/// A stream from one namespace to another, of which the received bytes are counted until it is stopped.
struct Flow {
    received: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
}

impl Flow {
    fn new(from: &Space, to: &Space, at: std::net::Ipv4Addr) -> Flow {
        let listener = to.run(|| TcpListener::bind("0.0.0.0:0").unwrap());
        let port = listener.local_addr().unwrap().port();
        let mut sender = from.run(move || TcpStream::connect((at, port)).unwrap());
        let (mut receiver, _) = listener.accept().unwrap();
        let flow = Flow { received: Arc::new(AtomicUsize::new(0)), stop: Arc::new(AtomicBool::new(false)) };
        let stop = flow.stop.clone();
        std::thread::spawn(move || while !stop.load(Ordering::SeqCst) && sender.write_all(&[7; 16 << 10]).is_ok() {});
        let (received, stop) = (flow.received.clone(), flow.stop.clone());
        std::thread::spawn(move || {
            let mut buffer = vec![0; 64 << 10];
            while let Ok(count @ 1..) = receiver.read(&mut buffer) {
                received.fetch_add(count, Ordering::SeqCst);
                if stop.load(Ordering::SeqCst) {
                    break;
                }
            }
        });
        flow
    }

    fn bytes(&self) -> usize {
        self.received.load(Ordering::SeqCst)
    }
}

impl Drop for Flow {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
    }
}

/// Ratio of what flows of two addresses get while the slower one gets [`BYTES`] after it has begun.
fn ratio(slow: &Flow, fast: &Flow) -> f64 {
    let wait = |bytes: usize| {
        let begun = std::time::Instant::now();
        while slow.bytes() < bytes {
            assert!(begun.elapsed() < STALL, "{} of {bytes} bytes after {STALL:?}", slow.bytes());
            std::thread::yield_now();
            std::thread::park_timeout(std::time::Duration::from_millis(5));
        }
    };
    // Not with the burst at the beginning.
    wait(BYTES / 4);
    let (slow_before, fast_before) = (slow.bytes(), fast.bytes());
    wait(slow_before + BYTES);
    (fast.bytes() - fast_before) as f64 / (slow.bytes() - slow_before) as f64
}

#[test]
fn rates_hold_in_both_directions() {
    let mut shop = shop("rates");
    shop.instances.get_mut(&address(2)).unwrap().rate_bits = Some(4_000_000);
    shop.instances.get_mut(&address(3)).unwrap().rate_bits = Some(16_000_000);
    let Some(lab) = Lab::with(&network(&shop)) else { return };
    let [slow, fast, free] = [2, 3, 6].map(|last| &lab.instances[&address(last)]);
    for upload in [false, true] {
        let flow = |space: &Space, last: u8| {
            if upload {
                Flow::new(space, &lab.outside, crate::lab::OUTSIDE)
            } else {
                Flow::new(&lab.host, space, address(last))
            }
        };
        let found = ratio(&flow(slow, 2), &flow(fast, 3));
        assert!((3.2..4.8).contains(&found), "upload {upload}: four times the rate gave {found} times the bytes");
        let unlimited = ratio(&flow(slow, 2), &flow(free, 6));
        assert!(unlimited > 8.0, "upload {upload}: no limit gave only {unlimited} times the bytes");
        println!("upload {upload}: 4 to 1 gave {found:.2}, no limit {unlimited:.0}");
    }
}
