//! Which code uses a word, and so where CPUs have to stop.

/// Where code of a CPU runs, from the bottom up.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Level {
    InterruptsOn,
    InterruptsOff,
    Handler,
    NmiHandler,
}

/// An interrupt's kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interrupt {
    /// Taken where interrupts are on.
    Maskable,
    /// Taken anywhere but inside its like.
    Nmi,
}

/// A word, and which code has used it in any execution so far: bits by CPU and level.
#[derive(Clone, Copy, Default)]
pub(super) struct Users {
    readers: u64,
    writers: u64,
    /// Whether CPUs stop before they use it.
    pub(super) shared: bool,
    /// Whether they stop before a store too: a handler of the same CPU may see whether it has been made.
    pub(super) interruptible: bool,
}

const LEVELS: u32 = 4;

/// The most CPUs.
pub(super) const MAX_CPUS: usize = 64 / LEVELS as usize;

impl Users {
    fn bit(cpu: usize, level: Level) -> u64 {
        1 << (cpu as u32 * LEVELS + level as u32)
    }

    /// Adds one; says whether the word turns out to be shared by more than was known.
    pub(super) fn add(&mut self, cpu: usize, level: Level, writes: bool) -> bool {
        let bit = Users::bit(cpu, level);
        if writes {
            self.writers |= bit
        } else {
            self.readers |= bit
        }
        let known = (self.shared, self.interruptible);
        let all = self.readers | self.writers;
        let cpus = |bits: u64| (0..MAX_CPUS).filter(move |cpu| bits >> (*cpu as u32 * LEVELS) & 0xf != 0);
        if cpus(self.writers).any(|writer| cpus(all).any(|other| other != writer)) {
            self.shared = true;
        }
        for cpu in cpus(self.writers) {
            let used = |level| all & Users::bit(cpu, level) != 0;
            let below_handler = used(Level::InterruptsOn);
            let below_nmi = below_handler || used(Level::InterruptsOff) || used(Level::Handler);
            if used(Level::Handler) && below_handler || used(Level::NmiHandler) && below_nmi {
                self.shared = true;
                self.interruptible = true;
            }
        }
        known != (self.shared, self.interruptible)
    }
}
