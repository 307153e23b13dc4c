//! A worker: in each turn it uses its TLB, then walks the range by GUP-fast while the mutator works on it.

use alloc::boxed::Box;

use rand_xoshiro::SplitMix64;
use rand_xoshiro::rand_core::Rng;

use crate::choice::{Flush, Kind, Sample, Workload};
use crate::errand::Errand;
use crate::hold::At;
use crate::layout::{self, PAGES};
use crate::machine::Bench;
use crate::phases::Phase;
use crate::run::Run;
use crate::team::{Asleep, Next, Team};
use crate::turns::{Activity, Expect, Turn};
use gupsync::atomic::Ordering;
use gupsync::detect::{Caught, Violation};
use gupsync::gup_fast::{self, Walked};
use gupsync::mm::Mm;
use gupsync::mm::page_table::Entry;
use gupsync::ops::collapse::COPIED_AWAY;
use gupsync::ops::protect::Protect;
use gupsync::ops::{Any, Job, Stepped};
use gupsync::policy::{ForPolicy, Policy};
use gupsync::sync_round;
use gupsync::types::{CpuId, Frame, FrameSize, MmId, Range, VirtAddr};
use gupsync::world::Cpu;

/// Up to so many further walks in a turn.
const WALKS: u64 = 2;
/// A worker that goes offline while an operation is done looks so many times at the most before it comes back.
const LOOKS: u64 = 2000;

/// [`Run::follow`] for a worker, for a policy.
pub(crate) struct Work<'r, M: Bench> {
    pub(crate) run: &'r Run<M>,
    pub(crate) cpu: CpuId,
    pub(crate) team: usize,
}

impl<M: Bench> ForPolicy for Work<'_, M> {
    type Output = ();

    fn run<P: Policy>(self) {
        let run = self.run;
        let mut cpu = run.world.enter(self.cpu);
        let cast = &run.cast.teams[self.team];
        let worker = Worker {
            run,
            team: &run.teams[self.team],
            mm: run.world.mm(cast.mms[0]),
            victim: cast.mms[1],
            random: run.random(self.cpu),
            is_preempted: cast.is_preempted(self.cpu),
            touched: VirtAddr(0),
            pinned: None,
        };
        worker.work::<P>(&mut cpu);
    }
}

pub(crate) struct Worker<'r, M: Bench> {
    pub(crate) run: &'r Run<M>,
    team: &'r Team,
    pub(crate) mm: &'r Mm,
    /// The second mm of a batch.
    pub(crate) victim: MmId,
    random: SplitMix64,
    is_preempted: bool,
    /// The page whose translation it has used in this turn.
    pub(crate) touched: VirtAddr,
    /// The page that it holds until the operation of this turn is over, and where that is mapped.
    pinned: Option<(Turn, VirtAddr, Frame)>,
}

impl<M: Bench> Worker<'_, M> {
    fn work<P: Policy>(mut self, cpu: &mut Cpu<'_, M>) {
        cpu.switch_mm(Some(self.mm));
        let (mut last, mut is_away, mut is_through) = (None, false, true);
        loop {
            let asleep = if is_away { Asleep::AsItIs } else { self.asleep() };
            let number = last.map_or(0, |turn: Turn| turn.number);
            let through = (!core::mem::replace(&mut is_through, true)).then_some(&self.team.turns);
            match self.team.next(cpu, number, asleep, through) {
                Next::Over => break,
                Next::Errand(errand) => {
                    let answer = self.run_errand::<P>(cpu, errand);
                    self.team.errands.answer(answer);
                }
                Next::Turn(turn) => {
                    if let Some(last) = last.filter(|last: &Turn| last.activity == Activity::Walk) {
                        self.check::<P>(cpu, last);
                    }
                    match turn.activity {
                        Activity::Walk => self.take_turn::<P>(cpu, turn),
                        Activity::Leave => cpu.switch_mm(None),
                        Activity::Return => cpu.switch_mm(Some(self.mm)),
                    }
                    is_away = turn.activity == Activity::Leave;
                    if turn.activity != Activity::Walk {
                        self.team.turns.ready();
                    }
                    last = Some(turn);
                    is_through = false;
                }
            }
        }
        cpu.switch_mm(None);
    }

    /// Uses its translations while the operation is done. Interrupts are off until another CPU waits for this one, and
    /// it looks once more then: whatever the other waits for has not happened yet.
    fn touch_meanwhile(&self, cpu: &mut Cpu<'_, M>, turn: Turn) {
        let (team, mut is_ready) = (self.team, false);
        let is_over =
            || team.turns.has_operated(turn.number) || team.errands.is_for(turn.toucher.expect("this worker"));
        while !is_ready || !is_over() {
            cpu.irqs_off(|off| {
                let world = off.world();
                world.machine.spin(|| {
                    let is_last = is_ready && (is_over() || world.is_waited_for(off.id()));
                    self.look(off.id());
                    self.run.window.looked();
                    if !core::mem::replace(&mut is_ready, true) {
                        team.turns.ready();
                    }
                    is_last
                });
            });
            Self::pause(cpu);
        }
    }

    /// Idle for a moment. Where one thread executes all CPUs, a CPU that never pauses keeps the others waiting for
    /// long: between two looks that end at once, since another CPU waits, there is no other pause.
    fn pause(cpu: &mut Cpu<'_, M>) {
        let mut has_paused = false;
        cpu.rest(|| core::mem::replace(&mut has_paused, true));
    }

    /// Uses the translations of this turn once more, whatever they are by now.
    fn look(&self, cpu: CpuId) {
        let found = self.run.world.machine.touch(cpu, self.touched);
        // One finding is enough: this worker looks as often as it can.
        if found.is_some_and(is_mark) && !self.run.world.findings.has_caught() {
            self.caught(cpu, Caught::UsedAfterFree, self.touched, Frame(0));
        }
        self.run.window.look(&self.run.world, cpu);
    }

    /// Walks before the operation, at least once to a page, if there is one to be reached; then, with luck, during it.
    fn take_turn<P: Policy>(&mut self, cpu: &mut Cpu<'_, M>, turn: Turn) {
        if layout::addresses_return(turn.number) || self.run.spec.flush == Flush::None {
            cpu.irqs_off(|off| off.world().machine.flush_local(off.id(), Range::All));
        }
        // Whatever it finds: the range may be changing already. What counts is that the TLB has it now.
        self.touched = self.draw_page(turn);
        let _ = self.run.world.machine.touch(cpu.id(), self.touched);
        self.visit(cpu, turn);
        let walked = self.walk::<P>(cpu, turn, &mut false);
        if walked.has_reached() && self.run.phases.is_open(Phase::Count) {
            // Relaxed: published by `through`.
            self.run.deeds[cpu.id().0].fetch_add(1, Ordering::Relaxed);
        }
        if turn.pinner == Some(cpu.id()) {
            self.pin::<P>(cpu, turn);
        }
        if turn.toucher == Some(cpu.id()) {
            self.touch_meanwhile(cpu, turn);
            return;
        }
        self.team.turns.ready();
        if self.team.hotplug.is_named(cpu.id()) {
            self.go_offline(cpu, turn);
        }
        // A worker that is called before the table is unlinked comes back, idle in between, until it cannot be inside
        // any more, or is released.
        let team = self.team;
        let is_held = team.hold.is_armed_for(cpu.id());
        let is_let_go = || team.turns.has_operated(turn.number) || team.hold.is_released(turn.number);
        while is_held && self.is_held::<P>(cpu, turn) && !is_let_go() {
            Self::pause(cpu);
        }
        for _ in 0..self.random.next_u64() % (WALKS + 1) {
            self.walk::<P>(cpu, turn, &mut false);
        }
    }

    /// Goes offline, lazily or not, until the operation is over; or for a while of it, if it is to race.
    fn go_offline(&mut self, cpu: &mut Cpu<'_, M>, turn: Turn) {
        if self.run.spec.naps.is_on() {
            cpu.enter_lazy_tlb();
        }
        let is_to_race = self.run.spec.eager.is_on();
        let mut looks = 0..self.random.next_u64() % LOOKS;
        let turns = &self.team.turns;
        let may_come = || turns.has_operated(turn.number) || is_to_race && looks.next().is_none();
        if self.team.hotplug.go(cpu, may_come) {
            self.caught(cpu.id(), Caught::CalledOffline, VirtAddr(0), Frame(0));
        }
        cpu.switch_mm(Some(self.mm));
    }

    fn draw_page(&mut self, turn: Turn) -> VirtAddr {
        self.run.spec.layout().page_of(turn.kind, turn.number, self.random.next_u64())
    }

    /// Uses the translation of the last turn once more. Its operation is over, so its flush has completed.
    fn check<P: Policy>(&mut self, cpu: &mut Cpu<'_, M>, last: Turn) {
        let expect = self.team.turns.expected(last.number);
        if expect == Expect::AsBefore {
            let at = self.draw_page(last);
            self.find_put_back::<P>(cpu, last, at, None);
        }
        let (machine, at) = (&self.run.world.machine, self.touched);
        let (kept, found) = self.look_at(cpu.id(), at);
        let is_right = match expect {
            Expect::Anything => true,
            Expect::Mapped | Expect::AsBefore => found == Some(at.0),
            Expect::ReadOnly => found == Some(at.0) && !machine.write(at, at.0),
            Expect::Nothing => found.is_none(),
        };
        // The worker that goes on touching may have looked it up again since.
        let is_flushed = expect.is_flushed(last.kind) && last.toucher != Some(cpu.id());
        if !is_right || is_flushed && kept.is_some() {
            let is_freed = found.is_some_and(is_mark);
            let kind = if is_freed { Caught::UsedAfterFree } else { Caught::StaleTranslation };
            self.caught(cpu.id(), kind, at, Frame(0));
        }
        self.visit_victim(cpu, last);
        if last.kind == Kind::Unshare {
            self.walk::<P>(cpu, last, &mut false);
        }
    }

    /// Is held, if it comes to where it is to be: at a table inside a walk, or sampled between two tasks.
    fn is_held<P: Policy>(&mut self, cpu: &mut Cpu<'_, M>, turn: Turn) -> bool {
        let run = self.run;
        match run.spec.sample.0 {
            None | Some(Sample::Walk) => return self.is_held_in_a_walk::<P>(cpu, turn),
            Some(Sample::Switch) => {
                cpu.switch_mm_and(Some(self.elsewhere()), |off| run.sample(off, true));
                cpu.switch_mm(Some(self.mm));
            }
            Some(Sample::Lazy) => {
                cpu.enter_lazy_tlb_and(|off| run.sample(off, true));
                cpu.exit_lazy_tlb(self.mm);
            }
        }
        true
    }

    /// Walks, and says whether it came to the table where it is to be held.
    fn is_held_in_a_walk<P: Policy>(&mut self, cpu: &mut Cpu<'_, M>, turn: Turn) -> bool {
        let mut hold = true;
        self.walk::<P>(cpu, turn, &mut hold);
        !hold
    }

    /// Walks to some page of the range; with `hold`, is held on the way, once.
    fn walk<P: Policy>(&mut self, cpu: &mut Cpu<'_, M>, turn: Turn, hold: &mut bool) -> Walked {
        let at = self.draw_page(turn);
        let walked = self.walk_to::<P>(cpu, turn, at, hold);
        if let Walked::Pinned { page, .. } = walked {
            self.run.world.put_page(page);
        }
        walked
    }

    /// Pins a page of the range, as a device needs it: until the operation is over.
    fn pin<P: Policy>(&mut self, cpu: &mut Cpu<'_, M>, turn: Turn) {
        let at = self.draw_page(turn);
        if let Walked::Pinned { page, .. } = self.walk_to::<P>(cpu, turn, at, &mut false) {
            self.pinned = Some((turn, at, page));
        }
    }

    /// Gives back the page that was pinned, which must be mapped where it was.
    fn unpin<P: Policy>(&mut self, cpu: &mut Cpu<'_, M>) {
        if let Some((turn, at, page)) = self.pinned.take() {
            self.find_put_back::<P>(cpu, turn, at, Some(page));
            self.run.world.put_page(page);
        }
    }

    /// Walks to a page of 4 KiB at `at`: `page`, if it is known. The operation was taken back.
    fn find_put_back<P: Policy>(&self, cpu: &mut Cpu<'_, M>, turn: Turn, at: VirtAddr, page: Option<Frame>) {
        let is_put_back = match self.walk_to::<P>(cpu, turn, at, &mut false) {
            Walked::Pinned { page: found, size, .. } => {
                self.run.world.put_page(found);
                size == FrameSize::Small && page.is_none_or(|page| page == found)
            }
            // Found by a detector already.
            Walked::Caught => true,
            Walked::NotMapped | Walked::BackedOff => false,
        };
        if !is_put_back {
            self.caught(cpu.id(), Caught::NotPutBack, at, page.unwrap_or(Frame(0)));
        }
    }

    /// Walks to the page at `at`, and keeps it; with `hold`, is held on the way, once.
    fn walk_to<P: Policy>(&self, cpu: &mut Cpu<'_, M>, turn: Turn, at: VirtAddr, hold: &mut bool) -> Walked {
        let world = &self.run.world;
        let held_level = self.run.spec.layout().held_level(turn.kind, turn.number);
        let (team, mut is_to_pin) = (self.team, false);
        let is_sampled = self.run.spec.sample.0 == Some(Sample::Walk);
        let is_over = || team.turns.has_operated(turn.number);
        let inside = |off: &_, level, table| {
            if level == held_level && core::mem::take(hold) {
                if is_sampled {
                    self.run.sample(off, false);
                }
                let held = Some(At { mm: self.mm, va: at, table });
                is_to_pin = team.hold.stay(off, held, turn.number, self.is_preempted, is_over);
            }
            if level == 0 && is_to_pin {
                team.hold.stay_pinned(off, is_over);
            }
        };
        let walked = gup_fast::gup_fast::<P, M>(cpu, self.mm, at, inside);
        if is_to_pin {
            team.hold.leave();
        }
        if let Walked::Pinned { page, contents, .. } = walked {
            // Relaxed: the reference keeps the contents as they were when it was taken.
            if world.machine.words(contents)[0].load(Ordering::Relaxed) != at.0 {
                self.caught(cpu.id(), Caught::PinnedAfterCopy, at, page);
            }
        }
        walked
    }

    fn run_errand<P: Policy>(&mut self, cpu: &mut Cpu<'_, M>, errand: Errand) -> Option<Box<Stepped>> {
        match errand {
            Errand::Step(job) => return Some(Box::new(job.step::<P, M>(cpu))),
            Errand::Sibling(Workload::PiggybackKernel) => self.run.window.remap(cpu),
            Errand::Sibling(Workload::PiggybackEveryone) => sync_round::call_everyone(cpu),
            Errand::Sibling(_) => self.protect_elsewhere::<P>(cpu),
            Errand::FindGone => self.find_gone(cpu, self.mm),
            Errand::Unpin => self.unpin::<P>(cpu),
        }
        None
    }

    /// What any thread of the process may do at any time: protect pages of its own.
    fn protect_elsewhere<P: Policy>(&self, cpu: &mut Cpu<'_, M>) {
        let start = layout::SIBLING;
        let protect = Protect::Ready { start, pages: PAGES, size: FrameSize::Small };
        let mut job = Job { mm: self.mm.id, op: Any::Protect(protect) };
        while let Stepped::Next(next) = job.step::<P, M>(cpu) {
            job = next;
        }
    }

    fn caught(&self, cpu: CpuId, kind: Caught, va: VirtAddr, table: Frame) {
        self.run.world.caught(Violation { kind, cpu, mm: self.mm.id, va, table, ticket: 0 });
    }
}

/// Whether a page that holds `word` has been freed, or copied away to be freed.
fn is_mark(word: u64) -> bool {
    word == Entry::POISON.0 || word == COPIED_AWAY
}
