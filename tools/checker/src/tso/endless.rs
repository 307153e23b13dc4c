//! Whether executions end: the states from which none comes to its end, whatever is decided.
//!
//! That is a deadlock (no CPU can go on) or a livelock (CPUs go on for ever, however fair the scheduler is). A state from which
//! one execution ends is none of these: a CPU that is never scheduled is the scheduler's fault.

/// The steps between states, and which states are ends: no CPU has anything more to do there.
#[derive(Default)]
pub(super) struct Steps {
    /// Where each leads, and where it comes from.
    to_from: Vec<(u32, u32)>,
    ends: Vec<u32>,
}

impl Steps {
    pub(super) fn step(&mut self, from: u32, to: u32) {
        self.to_from.push((to, from));
    }

    pub(super) fn end(&mut self, state: u32) {
        self.ends.push(state);
    }

    /// Of `states` states, all of them looked at, the first from which no end is reached.
    pub(super) fn nearest_endless(mut self, states: usize) -> Option<usize> {
        self.to_from.sort_unstable();
        let mut reached = vec![false; states];
        let mut todo = std::mem::take(&mut self.ends);
        while let Some(state) = todo.pop() {
            if std::mem::replace(&mut reached[state as usize], true) {
                continue;
            }
            let first = self.to_from.partition_point(|(to, _)| *to < state);
            todo.extend(self.to_from[first..].iter().take_while(|(to, _)| *to == state).map(|(_, from)| *from));
        }
        reached.iter().position(|reached| !reached)
    }
}
