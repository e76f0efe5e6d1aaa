//! What a decision is made from, besides the rule and the memory.

use jiff::Timestamp;

use crate::sample::Sample;

/// Seconds of samples and readings that a decision may look at; older ones need not be kept.
pub const HISTORY: u64 = 300;

/// What was measured of one process type, in no particular order. What is of seconds from now on does not count.
#[derive(Debug, Clone, Copy, Default)]
pub struct Signals<'a> {
    /// Requests, by the second. For targets that look at them.
    pub traffic: &'a [Sample],
    /// Everything else, whenever it was looked at.
    pub readings: &'a [Reading<'a>],
}

/// A number that was read once.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reading<'a> {
    pub second: u64,
    pub of: Measure<'a>,
    /// One that is no number, or below nothing, is as good as none.
    pub value: f64,
}

/// What was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Measure<'a> {
    /// Mean of the ready dynos, in percent of the CPU that they may use.
    Cpu,
    /// Mean of the ready dynos, in percent of the memory that they may use.
    Memory,
    /// A number of the app's own, by its name: the sum of what all its dynos say.
    Own(&'a str),
}

/// The dynos of the process type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dynos {
    /// What is asked for, as `ps:scale` shows it.
    pub wanted: u32,
    /// How many of them are up.
    pub ready: u32,
    pub hold: Hold,
}

/// What keeps a process type from being scaled.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Hold {
    #[default]
    Free,
    /// It may get more, but none goes: a release is on its way.
    NoFewer,
    /// It is left as it is: maintenance, or nothing to judge by.
    Still,
}

/// When it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// Of the clock by which samples are numbered. This second is not over.
    pub second: u64,
    /// The time of day, for schedules.
    pub wall: Timestamp,
}

impl Dynos {
    /// All are up and free.
    pub fn ready(wanted: u32) -> Self {
        Self {
            wanted,
            ready: wanted,
            hold: Hold::Free,
        }
    }
}
