//! Interrupts on their way, the earliest first.
//!
//! Most come in the order in which they are sent: a ring holds these. One that is to come before the last of the ring, sent by a
//! CPU whose clock is behind, goes into a heap.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Mutex;

use gupsync::types::CpuId;

use crate::core::{Vector, Word};

/// When, to which CPU, and for what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Interrupt {
    pub(crate) time: u64,
    pub(crate) to: CpuId,
    pub(crate) vector: Vector,
}

/// The interrupts on their way: at most one of each vector to each CPU.
pub(crate) struct Events {
    /// Pairs of words: the time, and who.
    ring: Box<[[Word; 2]]>,
    head: Word,
    tail: Word,
    /// The time of the last in the ring.
    last: Word,
    heap: Mutex<BinaryHeap<Reverse<(u64, u64)>>>,
    in_heap: Word,
}

fn pack(to: CpuId, vector: Vector) -> u64 {
    (to.0 as u64) << 2 | vector as u64
}

fn unpack(time: u64, who: u64) -> Interrupt {
    Interrupt { time, to: CpuId(who as usize >> 2), vector: Vector::ALL[who as usize & 3] }
}

const UNPOISONED: &str = "nothing panics while holding it";

impl Events {
    pub(crate) fn new(cpus: usize) -> Self {
        let places = (cpus * Vector::ALL.len()).next_power_of_two();
        Events {
            ring: (0..places).map(|_| Default::default()).collect(),
            head: Word::default(),
            tail: Word::default(),
            last: Word::default(),
            heap: Mutex::default(),
            in_heap: Word::default(),
        }
    }

    fn place(&self, index: u64) -> &[Word; 2] {
        &self.ring[index as usize & (self.ring.len() - 1)]
    }

    /// One more. There is none of this vector to this CPU yet.
    pub(crate) fn push(&self, Interrupt { time, to, vector }: Interrupt) {
        let who = pack(to, vector);
        if time < self.last.get() && self.head.get() != self.tail.get() {
            self.heap.lock().expect(UNPOISONED).push(Reverse((time, who)));
            self.in_heap.add(1);
            return;
        }
        let tail = self.tail.get();
        let [time_word, who_word] = self.place(tail);
        time_word.set(time);
        who_word.set(who);
        self.last.set(time);
        self.tail.set(tail + 1);
    }

    /// The time of the first, if there is one.
    pub(crate) fn first(&self) -> Option<u64> {
        let head = self.head.get();
        let in_ring = (head != self.tail.get()).then(|| self.place(head)[0].get());
        if self.in_heap.get() == 0 {
            return in_ring;
        }
        let heap = self.heap.lock().expect(UNPOISONED);
        let in_heap = heap.peek().map(|Reverse((time, _))| *time);
        in_ring.into_iter().chain(in_heap).min()
    }

    /// Takes the first, which is there.
    pub(crate) fn pop(&self) -> Interrupt {
        let head = self.head.get();
        let [time, who] = self.place(head);
        if self.in_heap.get() != 0 {
            let mut heap = self.heap.lock().expect(UNPOISONED);
            let is_first =
                |Reverse((in_heap, _)): &Reverse<(u64, u64)>| head == self.tail.get() || *in_heap < time.get();
            if heap.peek().is_some_and(is_first) {
                let Reverse((time, who)) = heap.pop().expect("it was looked at");
                self.in_heap.set(self.in_heap.get() - 1);
                return unpack(time, who);
            }
        }
        self.head.set(head + 1);
        unpack(time.get(), who.get())
    }
}
