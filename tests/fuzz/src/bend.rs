//! Inputs bent a little, by chances that are the same for the same seed.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// Numbers on which lengths and counts turn.
const TURNS: [u8; 8] = [0, 1, 0x7f, 0x80, 0xfe, 0xff, b'0', b'9'];

/// Bent copies of some inputs, without end.
#[derive(Debug)]
pub struct Bent<'a> {
    inputs: &'a [Vec<u8>],
    chance: StdRng,
}

impl<'a> Bent<'a> {
    /// Of `inputs`; with none, of nothing.
    pub fn of(inputs: &'a [Vec<u8>], seed: u64) -> Bent<'a> {
        Bent {
            inputs,
            chance: StdRng::seed_from_u64(seed),
        }
    }

    fn pick(&mut self) -> Vec<u8> {
        match self.inputs.len() {
            0 => Vec::new(),
            count => self.inputs[self.chance.random_range(0..count)].clone(),
        }
    }

    fn bend(&mut self, bytes: &mut Vec<u8>) {
        let at = self.chance.random_range(0..=bytes.len());
        let end = (at + self.chance.random_range(1..=16)).min(bytes.len());
        match self.chance.random_range(0..7) {
            0 => bytes.insert(at, self.chance.random()),
            1 => drop(bytes.drain(at..end)),
            2 => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << self.chance.random_range(0..8);
                }
            }
            3 => {
                let turn = TURNS[self.chance.random_range(0..TURNS.len())];
                match bytes.get_mut(at) {
                    Some(byte) => *byte = turn,
                    None => bytes.push(turn),
                }
            }
            // A part once more.
            4 => {
                let part = bytes[at..end].to_vec();
                bytes.splice(at..at, part);
            }
            // The end of another.
            5 => {
                let other = self.pick();
                let from = self.chance.random_range(0..=other.len());
                bytes.truncate(at);
                bytes.extend_from_slice(&other[from..]);
            }
            _ => bytes.truncate(at),
        }
    }
}

impl Iterator for Bent<'_> {
    type Item = Vec<u8>;

    fn next(&mut self) -> Option<Vec<u8>> {
        let mut bytes = self.pick();
        for _ in 0..self.chance.random_range(1..=4) {
            self.bend(&mut bytes);
        }
        Some(bytes)
    }
}
