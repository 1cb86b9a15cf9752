//! The network between validators: what becomes of a message.

use crate::random::Random;

/// A millisecond of virtual time.
pub const MS: u64 = 1_000_000;

/// Quality of the network.
#[derive(Clone, Debug)]
pub struct Network {
    loss_permille: u64,
    double_permille: u64,
    /// Share of messages that are late by up to a second.
    late_permille: u64,
    delay_ms_max: u64,
    /// Side of each validator; messages do not cross.
    sides: Vec<u8>,
}

impl Network {
    /// As bad as the seed says.
    pub fn new(random: &mut Random, validators: usize) -> Network {
        let pick = |random: &mut Random, choices: [u64; 4]| choices[random.below(4) as usize];
        Network {
            loss_permille: pick(random, [0, 10, 50, 150]),
            double_permille: pick(random, [0, 0, 20, 200]),
            late_permille: pick(random, [0, 10, 50, 100]),
            delay_ms_max: pick(random, [5, 20, 80, 200]),
            sides: vec![0; validators],
        }
    }

    /// Nothing is lost any more.
    pub fn heal(&mut self) {
        *self = Network {
            loss_permille: 0,
            double_permille: 0,
            late_permille: 0,
            delay_ms_max: 20,
            sides: vec![0; self.sides.len()],
        };
    }

    /// Parts the network at random, or joins it again.
    pub fn part(&mut self, random: &mut Random) {
        let whole = random.permille(400);
        self.sides.iter_mut().for_each(|side| *side = if whole { 0 } else { random.below(2) as u8 });
    }

    /// Returns true if there are two sides.
    pub fn is_parted(&self) -> bool {
        self.sides.iter().any(|side| *side != self.sides[0])
    }

    /// Joins the network.
    pub fn join(&mut self) {
        self.sides.fill(0);
    }

    /// Returns true if messages can cross between two validators.
    pub fn joins(&self, a: usize, b: usize) -> bool {
        self.sides[a] == self.sides[b]
    }

    /// Delays of the copies of a message that arrive, nanoseconds.
    pub fn deliveries(&self, random: &mut Random, from: usize, to: usize) -> Vec<u64> {
        if self.sides[from] != self.sides[to] || random.permille(self.loss_permille) {
            return Vec::new();
        }
        let copies = 1 + usize::from(random.permille(self.double_permille));
        let delay = |random: &mut Random| {
            let late = if random.permille(self.late_permille) { random.below(1_000 * MS) } else { 0 };
            MS / 2 + random.below(self.delay_ms_max * MS) + late
        };
        (0..copies).map(|_| delay(random)).collect()
    }
}
