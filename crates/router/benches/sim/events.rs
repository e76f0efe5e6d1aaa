//! What happens when: events in the order of their time. Knows nothing of what they mean.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

/// Events of any kind; those of one moment come in the order in which they were planned.
pub(super) struct Events<E> {
    heap: BinaryHeap<Planned<E>>,
    planned: u64,
}

struct Planned<E> {
    at: f64,
    number: u64,
    event: E,
}

impl<E> Events<E> {
    pub(super) fn new() -> Self {
        Self {
            heap: BinaryHeap::new(),
            planned: 0,
        }
    }

    /// `at`: seconds.
    pub(super) fn plan(&mut self, at: f64, event: E) {
        self.planned += 1;
        self.heap.push(Planned {
            at,
            number: self.planned,
            event,
        });
    }

    pub(super) fn next(&mut self) -> Option<(f64, E)> {
        self.heap.pop().map(|planned| (planned.at, planned.event))
    }
}

impl<E> Ord for Planned<E> {
    /// The heap gives the greatest first, which is to be the earliest.
    fn cmp(&self, other: &Self) -> Ordering {
        let time = other.at.total_cmp(&self.at);
        time.then(other.number.cmp(&self.number))
    }
}

impl<E> PartialOrd for Planned<E> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<E> PartialEq for Planned<E> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl<E> Eq for Planned<E> {}
