//! Flushes of ranges, and what TLBs hold after them.
//!
//! After a flush has returned, no CPU that uses the mm can use a translation of the range that is older than the flush: the
//! TLBs of the machine forget no more than they are told. Many CPUs, so that masks have several words; the few that do
//! something are spread over them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};

use gupsync::config::{FlushConfig, FreedTables, MmConfig};
use gupsync::event::Event;
use gupsync::flush;
use gupsync::mm::Mm;
use gupsync::types::{CpuId, FrameSize, MmId, VirtAddr};
use gupsync::world::World;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use crate::machine::{self, Sequential};
use crate::range_steps::{self, ACTORS, Flush, MMS, Setting, Step};
use crate::tlb::{Extent, Flushed, Page};

const CPUS: usize = 130;
/// A page of the kernel's range, which is used with any mm loaded.
const KERNEL: VirtAddr = VirtAddr(0xffff_9000_0000_0000);

fn kernel_page() -> Page {
    Page::holding(KERNEL, FrameSize::Small)
}

/// An entry of the tables: the step in which it was last changed, and the change that no TLB may be behind.
#[derive(Clone, Copy, Debug, Default)]
struct Entry {
    changed: u64,
    flushed: u64,
}

/// What is so at the moment.
#[derive(Default)]
struct State {
    /// Steps begun.
    begun: usize,
    /// What each actor uses.
    uses: [Option<usize>; ACTORS],
    /// Actors in the midst of a flush, and the mms that they flush.
    flushing: Vec<(usize, usize)>,
    /// The pages that are looked at, by mm.
    entries: [BTreeMap<Page, Entry>; MMS],
    /// The kernel's page.
    kernel: Entry,
    failed: Option<String>,
}

struct History {
    setting: Setting,
    steps: Vec<Step>,
    world: Arc<World<Sequential>>,
    state: Mutex<State>,
}

impl History {
    fn new(setting: Setting, steps: Vec<Step>) -> Self {
        let config = FlushConfig {
            invlpgb: setting.invlpgb,
            threshold: setting.threshold,
            pcids: setting.pcids,
            asids: setting.asids,
            methods_interrupt: setting.flush.interrupts(),
            unshare_flush: FreedTables::No,
            unlazy_fence: true,
        };
        let mm_config =
            MmConfig { flush: setting.flush, trim_every: setting.trim_every, ..MmConfig::default() };
        let world = machine::world(CPUS, MMS, config, mm_config, setting.invlpgb_max);
        let pages: BTreeSet<_> = setting.spans.iter().flat_map(|span| span.edges()).collect();
        let entries = || pages.iter().map(|page| (*page, Entry::default())).collect();
        let state = State { entries: std::array::from_fn(|_| entries()), ..State::default() };
        History { setting, steps, world, state: Mutex::new(state) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nothing panics while holding it")
    }

    fn cpu(&self, actor: usize) -> CpuId {
        CpuId(self.setting.places[actor])
    }

    fn mm(&self, mm: usize) -> &Mm {
        self.world.mm(MmId::new(mm + 1))
    }

    /// Takes so many steps, if there are as many left, and looks at all TLBs after each.
    fn go_on(self: &Arc<Self>, steps: usize) {
        for _ in 0..steps {
            let mut state = self.state();
            let at = state.begun;
            let Some(step) = self.steps.get(at).filter(|_| state.failed.is_none()) else { return };
            state.begun += 1;
            drop(state);
            self.world.machine.begin_step(at as u64 + 1);
            self.take(*step, at as u64 + 1);
            self.look(*step);
        }
    }

    fn take(self: &Arc<Self>, step: Step, now: u64) {
        let (world, machine) = (&self.world, &self.world.machine);
        machine.let_migrate([]);
        let is_free = |actor| !self.state().flushing.iter().any(|(flusher, _)| *flusher == actor);
        match step {
            Step::Switch(actor, mm) if is_free(actor) => {
                world.enter(self.cpu(actor)).switch_mm(mm.map(|mm| self.mm(mm)));
                self.state().uses[actor] = mm;
            }
            Step::EnterLazy(actor) if is_free(actor) => {
                // A CPU that uses an mm has it loaded.
                let used = self.state().uses[actor].take();
                if used.is_some() {
                    world.enter(self.cpu(actor)).enter_lazy_tlb();
                }
            }
            Step::ExitLazy(actor, mm) if is_free(actor) => {
                world.enter(self.cpu(actor)).exit_lazy_tlb(self.mm(mm));
                self.state().uses[actor] = Some(mm);
            }
            Step::Reload(actor) if is_free(actor) => {
                let used = self.state().uses[actor];
                if let Some(mm) = used {
                    let mut cpu = world.enter(self.cpu(actor));
                    cpu.switch_mm(None);
                    cpu.switch_mm(Some(self.mm(mm)));
                }
                self.touch(actor);
            }
            Step::Touch(actor) if is_free(actor) => self.touch(actor),
            Step::Change(mm, span) => {
                self.change(mm, span, now);
            }
            Step::Flush(flush) if is_free(flush.actor) => self.flush(flush, now),
            Step::KernelRange(actor) if is_free(actor) => {
                self.state().kernel.changed = now;
                flush::kernel_range(&mut world.enter(self.cpu(actor)));
                self.state().kernel.flushed = now;
            }
            Step::Renew(actor, mm) if is_free(actor) => self.renew(actor, mm, now),
            Step::Deliver(actor) => machine.deliver(self.cpu(actor)),
            _ => {}
        }
    }

    fn touch(&self, actor: usize) {
        let state = self.state();
        let entries = state.uses[actor].into_iter().flat_map(|mm| &state.entries[mm]);
        entries.for_each(|(page, entry)| self.world.machine.touch(self.cpu(actor), *page, entry.changed));
        self.world.machine.touch(self.cpu(actor), kernel_page(), state.kernel.changed);
    }

    /// Unless a CPU that has the mm, or flushes it, is in the midst of a flush.
    fn renew(&self, actor: usize, mm: usize, now: u64) {
        let (world, root) = (&self.world, self.mm(mm).root);
        let has_it = |actor: &usize| world.machine.root(self.cpu(*actor)) == root;
        let is_busy = |(flusher, flushed): &(usize, usize)| *flushed == mm || has_it(flusher);
        if self.state().flushing.iter().any(is_busy) {
            return;
        }
        for leaver in (0..ACTORS).filter(has_it) {
            world.enter(self.cpu(leaver)).switch_mm(None);
            self.state().uses[leaver] = None;
        }
        world.enter(self.cpu(actor)).renew(self.mm(mm));
        world.machine.end_of(root);
        let anew = Entry { changed: now, flushed: now };
        self.state().entries[mm].values_mut().for_each(|entry| *entry = anew);
    }

    fn change(&self, mm: usize, span: usize, now: u64) {
        let span = self.setting.spans[span];
        let mut state = self.state();
        let entries = state.entries[mm].iter_mut().filter(|(page, _)| span.holds(**page));
        entries.for_each(|(_, entry)| entry.changed = now);
    }

    fn flush(self: &Arc<Self>, flush: Flush, now: u64) {
        let Flush { actor, there, mm, span, freed, meanwhile } = flush;
        self.change(mm, span, now);
        self.state().flushing.push((actor, mm));
        let history = Arc::clone(self);
        self.world.machine.meanwhile((meanwhile > 0).then(|| Box::new(move || history.go_on(meanwhile)) as _));
        let (range, tables) =
            (self.setting.spans[span].range(), if freed { FreedTables::Yes } else { FreedTables::No });
        let mut cpu = self.world.enter(self.cpu(actor));
        self.world.machine.let_migrate([self.cpu(there); 2]);
        let _ = flush::flush(&mut cpu, self.mm(mm), range, tables, None);
        self.world.machine.let_migrate([self.cpu(actor)]);
        cpu.may_migrate();
        drop(cpu);
        self.world.machine.meanwhile(None);
        let mut state = self.state();
        state.flushing.retain(|(flusher, _)| *flusher != actor);
        let span = self.setting.spans[span];
        // What was changed before the flush began is flushed; what was changed since, perhaps.
        let entries = state.entries[mm].iter_mut().filter(|(page, _)| span.holds(**page));
        entries.for_each(|(_, entry)| entry.flushed = entry.flushed.max(now));
    }

    /// No CPU can use what has been flushed, nor what belongs to another mm.
    fn look(&self, step: Step) {
        let mut state = self.state();
        for (actor, mm) in (0..).zip(state.uses) {
            let Some(mm) = mm else { continue };
            let (cpu, root) = (self.cpu(actor), self.mm(mm).root);
            let has_it = self.world.machine.root(cpu) == root;
            let usable = self.world.machine.usable(cpu);
            let stale = usable.into_iter().find(|(page, translation)| match state.entries[mm].get(page) {
                Some(entry) => translation.root != root || translation.changed < entry.flushed,
                None => translation.changed < state.kernel.flushed,
            });
            if !has_it || stale.is_some() {
                let what = format!("step {}, {step:?}: {cpu} has {root:?}: {has_it}; {stale:?}", state.begun);
                state.failed.get_or_insert(what);
            }
        }
    }
}

/// Ways to flush, all of which some history has to come to.
const WAYS: &[Flushed] = &[
    Flushed::Locally(Extent::All),
    Flushed::Locally(Extent::Small),
    Flushed::Locally(Extent::Huge),
    Flushed::LocallyEverything,
    Flushed::ByHypercall,
    Flushed::Broadcast(Extent::All),
    Flushed::Broadcast(Extent::Small),
    Flushed::Broadcast(Extent::Huge),
    Flushed::Everything,
];

#[test]
fn no_cpu_can_use_what_was_flushed() {
    let config = ProptestConfig { cases: 10_000, failure_persistence: None, ..ProptestConfig::default() };
    let seen = Mutex::new(BTreeMap::new());
    let loads = Mutex::new([0; 2]);
    let histories = (range_steps::setting(), prop::collection::vec(range_steps::step(), 1..200));
    let held = TestRunner::new(config).run(&histories, |(setting, steps)| {
        let history = Arc::new(History::new(setting, steps));
        history.go_on(usize::MAX);
        let mut seen = seen.lock().expect("nothing panics while holding it");
        history.world.machine.flushes().into_iter().for_each(|(way, n)| *seen.entry(way).or_insert(0) += n);
        let counted =
            |event| (0..MMS).map(|mm| history.world.machine.counted(MmId::new(mm + 1), event)).sum::<u64>();
        let mut loads = loads.lock().expect("as above");
        let [kept, behind] = &mut *loads;
        *kept += counted(Event::AsidKept);
        *behind += counted(Event::AsidBehind);
        let failed = history.state().failed.take();
        failed.map_or(Ok(()), |failed| Err(TestCaseError::fail(failed)))
    });
    held.unwrap_or_else(|error| panic!("{error}"));
    let loads = loads.into_inner().expect("as above");
    assert!(loads.iter().all(|n| *n > 1_000), "ASIDs were hardly kept, or hardly behind: {loads:?}");
    let seen = seen.into_inner().expect("as above");
    WAYS.iter().for_each(|way| assert!(seen.get(way) > Some(&1_000), "{way:?} hardly happened: {seen:?}"));
}
