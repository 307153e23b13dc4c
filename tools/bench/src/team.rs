//! A team works on one mm: a mutator, and workers on every other CPU that runs the mm. They keep step by [`Turns`],
//! some are held by [`Hold`], and one may be sent on an [`Errand`].

use gupsync::mm::Mm;
use gupsync::types::CpuId;
use gupsync::world::Cpu;

use crate::errand::{Errand, Errands};
use crate::hold::Hold;
use crate::hotplug::Hotplug;
use crate::machine::Bench;
use crate::turns::{Turn, Turns};

/// How often a held worker that was called looks whether the table is reused before it goes on.
const LINGER: usize = 24;

/// The shared state of a team.
pub(crate) struct Team {
    pub(crate) turns: Turns,
    pub(crate) hold: Hold,
    pub(crate) hotplug: Hotplug,
    pub(crate) errands: Errands,
}

/// What a worker has loaded while it sleeps.
pub(crate) enum Asleep<'m> {
    /// What it has.
    AsItIs,
    /// This mm, which is loaded, lazily.
    Lazily(&'m Mm),
    /// The second, in place of the first, which is loaded.
    Elsewhere(&'m Mm, &'m Mm),
}

/// What a worker does next.
pub(crate) enum Next {
    Turn(Turn),
    Errand(Errand),
    Over,
}

impl Team {
    pub(crate) fn new(cpus: usize, workers: usize) -> Self {
        Team {
            turns: Turns::new(workers),
            hold: Hold::new(cpus, LINGER),
            hotplug: Hotplug::new(cpus),
            errands: Errands::new(),
        }
    }

    /// Mutator: opens a turn, and comes back when each worker has done what it does before the operation, the walkers
    /// `held` are inside their walks, and those that go `offline` are, unless they race. `kick` wakes the workers. The
    /// one that touches goes on meanwhile. So do the others if they are `racing`; if not, they sleep, lazily where they
    /// nap, elsewhere where they go away.
    pub(crate) fn open<M: Bench>(
        &self,
        cpu: &mut Cpu<'_, M>,
        turn: Turn,
        held: &[CpuId],
        offline: &[CpuId],
        racing: bool,
        kick: impl FnOnce(&mut Cpu<'_, M>),
    ) {
        self.hold.arm(held);
        self.hotplug.name(offline);
        self.turns.open(turn);
        kick(cpu);
        // First: a held walker that another CPU's flush lets go comes back, and is counted as having entered twice.
        self.turns.await_ready(cpu);
        self.hold.await_entered(cpu, held.len());
        if !racing {
            self.turns.await_through(cpu, held.len() + offline.len() + usize::from(turn.toucher.is_some()));
            self.hotplug.await_offline(cpu, offline.len());
        }
    }

    /// Worker: sleeps until there is an errand, or a turn after number `last`. With `through`, it is through with its
    /// turn once it has nothing to do but sleep.
    pub(crate) fn next<M: Bench>(
        &self,
        cpu: &mut Cpu<'_, M>,
        last: u64,
        asleep: Asleep<'_>,
        through: Option<&Turns>,
    ) -> Next {
        let (me, mut number, mut sent) = (cpu.id(), last, false);
        match asleep {
            Asleep::AsItIs => {}
            Asleep::Lazily(_) => cpu.enter_lazy_tlb(),
            Asleep::Elsewhere(_, elsewhere) => cpu.switch_mm(Some(elsewhere)),
        }
        if let Some(turns) = through {
            turns.through();
        }
        cpu.idle(|machine| {
            machine.park(me, || {
                sent = self.errands.is_for(me);
                number = self.turns.latest();
                number != last || sent
            });
        });
        match asleep {
            Asleep::AsItIs => {}
            Asleep::Lazily(mm) => cpu.exit_lazy_tlb(mm),
            Asleep::Elsewhere(mm, _) => cpu.switch_mm(Some(mm)),
        }
        if sent {
            return Next::Errand(self.errands.take());
        }
        if number == Turns::OVER {
            return Next::Over;
        }
        Next::Turn(self.turns.read(number))
    }
}
