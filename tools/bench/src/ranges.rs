//! The ranges that operations work on, and their memory.
//!
//! Each turn has addresses of its own, next to those of the turn before, as khugepaged would go through an mm. A few
//! turns later they are unmapped without any flush: translations may stay in a TLB, but no CPU uses those addresses
//! again until every worker has dropped its TLB; the memory waits for a grace period. So nothing but the operations
//! interrupts a CPU.

use alloc::sync::Arc;
use alloc::vec::Vec;

use crate::choice::Kind;
use crate::layout::{LIVE, Layout, PAGES, SHARED_PAGES, place};
use crate::machine::Bench;
use gupsync::atomic::{AtomicU64, Ordering};
use gupsync::detect::{Caught, Violation};
use gupsync::mm::Mm;
use gupsync::mm::page_table::{self, Entry};
use gupsync::mm::shared_table::{Attempt, SharedTable};
use gupsync::ops::deferred::Deferred;
use gupsync::ops::exit::Exited;
use gupsync::ops::unshare::{self, SharedTables, TABLE_SIZE};
use gupsync::policy::Policy;
use gupsync::rcu::GracePeriod;
use gupsync::types::{ENTRIES, Frame, FrameSize, HUGE_SIZE, MmId, PAGE_SIZE, VirtAddr};
use gupsync::world::Cpu;

/// The memory of the machine does not suffice.
#[derive(Debug)]
pub(crate) struct NoMemory;

/// What is mapped in the range of a turn once its operation is over.
pub(crate) enum Place {
    /// A PTE table and its pages.
    Small(VirtAddr),
    /// A PTE table in each of these mms.
    SmallIn(Vec<MmId>, VirtAddr),
    /// A huge page.
    Huge(VirtAddr, Frame),
    /// Huge pages, all of them the one that stands for all.
    HugePages(Vec<VirtAddr>),
    /// Shared tables, each with the mms that have a share in it.
    Shared(Vec<(MmId, SharedTables)>),
}

/// What so many turns at the most have left may wait for grace periods when the next begins.
const AHEAD: usize = 16;

/// What waits for a grace period.
enum Trash {
    Table(Frame),
    Page(Frame),
    Huge(Frame),
}

/// The ranges of one team.
pub(crate) struct Ranges {
    /// By turn, modulo [`LIVE`].
    live: [Vec<Place>; LIVE as usize],
    trash: Vec<(GracePeriod, Vec<Trash>)>,
    /// Shared tables that operations have left to be freed later.
    pub(crate) deferred: Vec<Deferred<Vec<Frame>>>,
    /// Upper tables, likewise.
    pub(crate) exited: Vec<Exited>,
    /// SharedTables that are free: the next range to be mapped reuses them.
    tables: Vec<Frame>,
    /// Upper tables that are free. They stay as they are until the turn is over: what is walked still is caught.
    upper: Vec<Frame>,
    /// Huge frames that map nothing.
    spare: Vec<Frame>,
    /// What shared tables map, and the huge pages that are protected.
    shared_page: Option<Frame>,
}

impl Ranges {
    /// None mapped yet.
    pub(crate) fn new() -> Self {
        Ranges {
            live: [const { Vec::new() }; LIVE as usize],
            trash: Vec::new(),
            deferred: Vec::new(),
            exited: Vec::new(),
            tables: Vec::new(),
            upper: Vec::new(),
            spare: Vec::new(),
            shared_page: None,
        }
    }

    /// What the range of `turn` holds from now on.
    pub(crate) fn record(&mut self, turn: u64, place: Place) {
        self.live[(turn % LIVE) as usize].push(place);
    }

    /// Waits if too much waits for grace periods. On one thread of TCG, a mutator that no worker keeps is not stopped for many
    /// turns, and meanwhile no other CPU is idle that was not: the memory would go.
    pub(crate) fn await_grace<M: Bench>(&self, cpu: &mut Cpu<'_, M>) {
        let (world, me) = (cpu.world(), cpu.id());
        if let Some((oldest, _)) = self.trash.first().filter(|_| self.trash.len() > AHEAD) {
            cpu.rest(|| world.has_elapsed(me, oldest));
        }
    }

    /// Makes room for turn `turn`: takes the range away that had its place, and what may be reused out of the trash.
    pub(crate) fn make_room<P: Policy, M: Bench>(&mut self, cpu: &Cpu<'_, M>, mm: &Mm, turn: u64) {
        self.give_upper_tables_back(&cpu.world().machine);
        let places = self.live[(turn % LIVE) as usize].drain(..);
        let trash: Vec<_> = places.flat_map(|place| take_away(cpu, mm, place)).collect();
        if !trash.is_empty() {
            self.trash.push((cpu.world().begin_grace_period(), trash));
        }
        let mut kept = Vec::new();
        for (period, trash) in self.trash.drain(..) {
            if !cpu.world().has_elapsed(cpu.id(), &period) {
                kept.push((period, trash));
                continue;
            }
            for thing in trash {
                match thing {
                    Trash::Table(table) => self.tables.push(table),
                    Trash::Huge(huge) => self.spare.push(huge),
                    Trash::Page(page) => cpu.world().put_page(page),
                }
            }
        }
        self.trash = kept;
        self.look_after_deferred::<P, M>(cpu);
    }

    /// Takes out of use what operations have left, if it may be.
    pub(crate) fn look_after_deferred<P: Policy, M: Bench>(&mut self, cpu: &Cpu<'_, M>) {
        take_out_of_use::<P, M>(cpu, &mut self.deferred, &mut self.tables);
        take_out_of_use::<P, M>(cpu, &mut self.exited, &mut self.upper);
    }

    /// Gives upper tables back that no walker of this turn can be inside. An mm makes its own.
    fn give_upper_tables_back<M: Bench>(&mut self, machine: &M) {
        self.upper.drain(..).for_each(|table| machine.free(table, FrameSize::Small));
    }

    /// A table that an operation has set free: the next range uses it.
    pub(crate) fn give_table<M: Bench>(&mut self, machine: &M, table: Frame) {
        page_table::fill(machine, table, Entry::POISON);
        self.tables.push(table);
    }

    /// A huge frame that maps nothing.
    pub(crate) fn give_huge(&mut self, huge: Frame) {
        self.spare.push(huge);
    }

    fn take_table<M: Bench>(&mut self, machine: &M) -> Result<Frame, NoMemory> {
        let table = match self.tables.pop() {
            Some(table) => table,
            None => machine.alloc(FrameSize::Small).ok_or(NoMemory)?,
        };
        page_table::fill(machine, table, Entry(0));
        Ok(table)
    }

    /// A huge frame, zeroed when it is new.
    pub(crate) fn take_huge<M: Bench>(&mut self, machine: &M) -> Result<Frame, NoMemory> {
        if let Some(huge) = self.spare.pop() {
            return Ok(huge);
        }
        let huge = machine.alloc(FrameSize::Huge).ok_or(NoMemory)?;
        for page in 0..ENTRIES as u64 {
            page_table::fill(machine, Frame(huge.0 + page * PAGE_SIZE), Entry(0));
        }
        Ok(huge)
    }

    /// A page for each that a range maps.
    pub(crate) fn take_pages<M: Bench>(&self, machine: &M) -> Result<Vec<Frame>, NoMemory> {
        (0..PAGES).map(|_| machine.alloc(FrameSize::Small).ok_or(NoMemory)).collect()
    }

    /// Maps a table that covers `va`, and in it the small pages at those places of a range at `va`, each holding its
    /// own address.
    pub(crate) fn map_small<M: Bench>(
        &mut self,
        machine: &M,
        mm: &Mm,
        va: VirtAddr,
        places: impl Iterator<Item = u64>,
    ) -> Result<(), NoMemory> {
        let table = self.take_table(machine)?;
        for index in places {
            let slot = &machine.words(table)[page_table::index(va, 1) + index as usize];
            // Relaxed, all: published with the table, by `link`.
            if Entry(slot.load(Ordering::Relaxed)).is_present() {
                continue;
            }
            let page = machine.alloc(FrameSize::Small).ok_or(NoMemory)?;
            machine.words(page)[0].store(va.0 + index * PAGE_SIZE, Ordering::Relaxed);
            machine.page(page).map();
            slot.store(Entry::to(page, va).0, Ordering::Relaxed);
        }
        page_table::link(mm.entry(machine, va, 2).ok_or(NoMemory)?, Entry::to(table, va));
        Ok(())
    }

    /// Maps the huge pages that are protected in turn `turn`.
    pub(crate) fn map_huge<M: Bench>(
        &mut self,
        machine: &M,
        mm: &Mm,
        turn: u64,
        layout: Layout,
    ) -> Result<(), NoMemory> {
        let huge = self.shared_page(machine)?;
        for at in huge_pages(turn, layout) {
            // Relaxed: published by `link`.
            machine.words(Frame(huge.0 + at.0 % HUGE_SIZE))[0].store(at.0, Ordering::Relaxed);
            page_table::link(mm.entry(machine, at, 2).ok_or(NoMemory)?, Entry::huge(huge, at));
        }
        Ok(())
    }

    /// The huge page that stands for all.
    fn shared_page<M: Bench>(&mut self, machine: &M) -> Result<Frame, NoMemory> {
        if let Some(huge) = self.shared_page {
            return Ok(huge);
        }
        let huge = self.take_huge(machine)?;
        machine.page(huge).map();
        Ok(*self.shared_page.insert(huge))
    }

    /// Makes the shared tables of turn `turn`, `owner` the only sharer, linked nowhere.
    pub(crate) fn make_shared<M: Bench>(
        &mut self,
        machine: &M,
        owner: MmId,
        turn: u64,
        layout: Layout,
        read_only: bool,
    ) -> Result<SharedTables, NoMemory> {
        let huge = self.shared_page(machine)?;
        let (mut made, count) = (Vec::new(), layout.tables);
        for index in 0..count {
            let va = VirtAddr(layout.address(Kind::Unshare, turn).0 + index * TABLE_SIZE);
            let table = self.take_table(machine)?;
            for page in 0..SHARED_PAGES {
                let at = layout.page_of(Kind::Unshare, turn, index + page * count);
                let contents = Frame(huge.0 + (at.0 % HUGE_SIZE));
                // Relaxed, both: published with the table, by `link`.
                machine.words(contents)[0].store(at.0, Ordering::Relaxed);
                let entry = Entry::huge(huge, VirtAddr(va.0 + page * HUGE_SIZE));
                let entry = if read_only { entry.read_only() } else { entry };
                machine.words(table)[page as usize].store(entry.0, Ordering::Relaxed);
            }
            made.push(Arc::new(SharedTable::new(table, va, machine.cpus(), owner)));
        }
        Ok(made)
    }

    /// Links `tables` in `mm`, the upper tables made if need be; joins them unless `mm` is their owner.
    pub(crate) fn share<M: Bench>(
        machine: &M,
        mm: &Mm,
        tables: &SharedTables,
        is_owner: bool,
    ) -> Result<(), NoMemory> {
        for table in tables {
            mm.entry(machine, table.va, 3).ok_or(NoMemory)?;
            assert!(is_owner || table.join(mm.id) == Attempt::Done, "a new table can be joined");
            unshare::link(machine, mm, table);
        }
        Ok(())
    }

    /// Makes the upper tables that `mm` needs to join at turn `turn` later.
    pub(crate) fn reserve<M: Bench>(machine: &M, mm: &Mm, tables: &SharedTables) -> Result<(), NoMemory> {
        tables.iter().try_for_each(|table| mm.entry(machine, table.va, 3).map(|_| ()).ok_or(NoMemory))
    }

    /// Gives back what maps nothing; the rest goes with the mms. No walker is left.
    pub(crate) fn give_back<P: Policy, M: Bench>(mut self, cpu: &mut Cpu<'_, M>, mm: &Mm) {
        for turn in 0..LIVE {
            self.make_room::<P, M>(cpu, mm, turn);
        }
        cpu.synchronize_rcu();
        self.make_room::<P, M>(cpu, mm, 0);
        let machine = &cpu.world().machine;
        self.give_upper_tables_back(machine);
        if !cpu.world().findings.has_caught() {
            // After a violation it is not known which mm has a table.
            self.tables.into_iter().for_each(|table| machine.free(table, FrameSize::Small));
        }
        self.spare.into_iter().chain(self.shared_page).for_each(|huge| machine.free(huge, FrameSize::Huge));
    }
}

/// Moves to `free` what of `deferred` may be taken out of use.
fn take_out_of_use<P: Policy, M: Bench>(
    cpu: &Cpu<'_, M>,
    deferred: &mut Vec<Deferred<Vec<Frame>>>,
    free: &mut Vec<Frame>,
) {
    for waiting in core::mem::take(deferred) {
        match waiting.poll::<P, M>(cpu) {
            Ok(tables) => tables.into_iter().for_each(|table| {
                page_table::fill(&cpu.world().machine, table, Entry::POISON);
                free.push(table);
            }),
            Err(waiting) => deferred.push(waiting),
        }
    }
}

/// The huge pages that are protected in turn `turn`.
pub(crate) fn huge_pages(turn: u64, layout: Layout) -> Vec<VirtAddr> {
    (0..PAGES).map(|index| layout.page_of(Kind::Protect, turn, index)).collect()
}

/// Unmaps a range, and says what may be reused after a grace period.
fn take_away<M: Bench>(cpu: &Cpu<'_, M>, mm: &Mm, place: Place) -> Vec<Trash> {
    let world = cpu.world();
    let machine = &world.machine;
    let pmd = |va| mm.entry(machine, va, 2).expect("it was mapped");
    match place {
        Place::Small(va) => take_table_away(cpu, mm, va),
        Place::SmallIn(mms, va) => {
            mms.into_iter().flat_map(|mm| take_table_away(cpu, world.mm(mm), va)).collect()
        }
        Place::Huge(va, huge) => {
            page_table::link(pmd(va), Entry(0));
            check_copies(machine, huge, va);
            [Trash::Huge(huge)].into()
        }
        Place::HugePages(pages) => {
            pages.into_iter().for_each(|at| page_table::link(pmd(at), Entry(0)));
            Vec::new()
        }
        Place::Shared(holders) => {
            let mut frames: Vec<Frame> = Vec::new();
            for (holder, held) in holders {
                for table in held {
                    let slot = world.mm(holder).entry(machine, table.va, 3).expect("it was linked");
                    page_table::link(slot, Entry(0));
                    if is_still_shared(cpu, holder, &table) && !frames.contains(&table.frame) {
                        frames.push(table.frame);
                    }
                }
            }
            frames.into_iter().map(Trash::Table).collect()
        }
    }
}

/// Unlinks the PTE table of a range.
fn take_table_away<M: Bench>(cpu: &Cpu<'_, M>, mm: &Mm, va: VirtAddr) -> Vec<Trash> {
    let machine = &cpu.world().machine;
    let slot = mm.entry(machine, va, 2).expect("it was mapped");
    // Relaxed, here and below: written by this mutator.
    let entry = Entry(slot.load(Ordering::Relaxed));
    if !entry.is_present() {
        // A collapse has not put it back, and was caught.
        return Vec::new();
    }
    let table = entry.frame();
    page_table::link(slot, Entry(0));
    let page = |slot: &AtomicU64| Entry(slot.load(Ordering::Relaxed));
    let pages = machine.words(table).iter().map(page).filter(|entry| entry.is_present());
    pages.map(|entry| Trash::Page(entry.frame())).chain([Trash::Table(table)]).collect()
}

/// Looks, as the next page fault of `mm` would, whether a table that it has a share in is still what it shares. If not,
/// it has been reused.
pub(crate) fn is_still_shared<M: Bench>(cpu: &Cpu<'_, M>, mm: MmId, table: &SharedTable) -> bool {
    // Relaxed: written by this mutator.
    let entry = Entry(cpu.world().machine.words(table.frame)[0].load(Ordering::Relaxed));
    let is_own = entry.is_of(table.va, mm);
    if !is_own {
        let (kind, cpu_id, table, va) = (Caught::InsideReusedTable, cpu.id(), table.frame, table.va);
        cpu.world().caught(Violation { kind, cpu: cpu_id, mm, va, table, ticket: 0 });
    }
    is_own
}

/// Every page of the range must have arrived in the huge frame.
fn check_copies<M: Bench>(machine: &M, huge: Frame, va: VirtAddr) {
    for index in (0..PAGES).map(|index| place(ENTRIES as u64, index)) {
        let copy = Frame(huge.0 + index * PAGE_SIZE);
        // Relaxed: written by this mutator.
        let found = machine.words(copy)[0].load(Ordering::Relaxed);
        assert_eq!(found, va.0 + index * PAGE_SIZE, "collapse lost page {index} of {va:?}");
    }
}
