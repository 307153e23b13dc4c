//! Every piece: what is prepared, what is measured, and what must have come of it.

use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use gupsync::config::FreedTables;
use gupsync::flush::Reached;
use gupsync::gup_fast::Walked;
use gupsync::mm::page_table::Entry;
use gupsync::mm::shared_table::SharedTable;
use gupsync::ops::unshare::{self, Leave};
use gupsync::policy::{self, ForPolicy, Policy};
use gupsync::sync_round;
use gupsync::types::{CpuId, Frame, FrameSize, Range, VirtAddr};
use gupsync_bench::cost::{Measured, Piece, RUNS};
use gupsync_bench::spec::PolicyName;

use super::stage::{HUGE, NOTHING, PAGES, SHARED, SMALL, Stage};
use super::{count, measured};

/// After so many times a piece finds the heap as it was.
const SETTLING: usize = 8;

/// Measures `piece`.
///
/// # Errors
///
/// If its runs differ.
pub fn measure(piece: Piece, policy: Option<PolicyName>) -> Result<Measured, String> {
    let bench = Bench { piece, policy };
    match policy {
        Some(policy) => policy::with(&policy, bench).expect("it is the name of a policy"),
        None => bench.shared(),
    }
}

#[derive(Clone, Copy)]
struct Bench {
    piece: Piece,
    policy: Option<PolicyName>,
}

impl ForPolicy for Bench {
    type Output = Result<Measured, String>;

    fn run<P: Policy>(self) -> Self::Output {
        match self.piece {
            Piece::walk_1 => self.walk::<P>(SMALL, 1, small),
            Piece::walk_8 => self.walk::<P>(SMALL, 8, small),
            Piece::walk_64 => self.walk::<P>(SMALL, PAGES, small),
            Piece::walk_huge => self.walk::<P>(HUGE, 1, huge),
            Piece::walk_not_mapped => self.walk::<P>(NOTHING, 1, |walked| walked == Walked::NotMapped),
            Piece::sync_covered => self.sync::<P>(|stage| {
                let (ticket, reached) = stage.unlink_and_flush();
                assert!(reached.is_mm() && stage.mm.pending.covers(&ticket), "the flush has reached all");
                (ticket, reached)
            }),
            Piece::sync_due_1_of_8
            | Piece::sync_due_2_of_8
            | Piece::sync_due_4_of_8
            | Piece::sync_due_8_of_8
            | Piece::sync_due_4_of_64
            | Piece::sync_due_64_of_64 => self.sync::<P>(|stage| (stage.unlink(), Reached::Short)),
            Piece::collapse_1 | Piece::collapse_ipi | Piece::collapse_invlpgb => self.collapse::<P>(),
            Piece::unshare_1 | Piece::unshare_ipi | Piece::unshare_invlpgb => self.unshare::<P>(),
            other => unreachable!("no policy is part of {other}"),
        }
    }
}

fn small(walked: Walked) -> bool {
    matches!(walked, Walked::Pinned { size: FrameSize::Small, .. })
}

fn huge(walked: Walked) -> bool {
    matches!(walked, Walked::Pinned { size: FrameSize::Huge, .. })
}

impl Bench {
    /// Does the piece in so many runs, and once step by step.
    fn run<A, B>(
        self,
        stage: &mut Stage,
        mut prepare: impl FnMut(&mut Stage) -> A,
        body: impl Fn(&mut Stage, A) -> B,
        mut finish: impl FnMut(&mut Stage, B),
    ) -> Result<Measured, String> {
        let mut once = |stage: &mut Stage, how: &mut dyn FnMut(&mut dyn FnMut())| {
            let (mut given, mut result) = (Some(prepare(stage)), None);
            how(&mut || {
                if let Some(given) = given.take() {
                    result = Some(body(stage, given));
                }
            });
            finish(stage, result.expect("the piece was done"));
        };
        // Beforehand, for what is made once and kept, as sets are, and until the heap is each time as it was the time before.
        for _ in 0..SETTLING {
            once(stage, &mut |piece| piece());
        }
        // No heap here: a piece may use it.
        let mut counts = [0; RUNS];
        for counted in &mut counts {
            once(stage, &mut |mut piece| *counted = count::count(&mut piece));
        }
        let (mut addresses, mut steps) = (Vec::new(), 0);
        once(stage, &mut |mut piece| (addresses, steps) = count::trace(&mut piece));
        if counts.iter().any(|count| *count != steps) {
            return Err(format!("{counts:?} instructions in {RUNS} runs, and {steps} single steps"));
        }
        Ok(Measured::new(self.piece, self.policy, &addresses))
    }

    fn walk<P: Policy>(
        self,
        va: VirtAddr,
        pages: usize,
        is_right: impl Fn(Walked) -> bool,
    ) -> Result<Measured, String> {
        let stage = &mut Stage::new(self.piece.scene());
        stage.map_pages();
        stage.map_huge();
        self.run(
            stage,
            |_| alloc::vec![Walked::Caught; pages],
            |stage, mut walked| {
                measured::walk::<P>(&mut stage.cpu, stage.mm, va, &mut walked);
                walked
            },
            |stage, walked| {
                for walked in walked {
                    assert!(is_right(walked), "{walked:?}");
                    if let Walked::Pinned { page, .. } = walked {
                        stage.world.put_page(page);
                    }
                }
            },
        )
    }

    fn sync<P: Policy>(
        self,
        unlink: impl Fn(&mut Stage) -> (gupsync::pending_gup_sync::Ticket<Frame>, Reached),
    ) -> Result<Measured, String> {
        let stage = &mut Stage::new(self.piece.scene());
        stage.map_pages();
        self.run(
            stage,
            unlink,
            |stage, (ticket, reached)| measured::sync::<P>(&mut stage.cpu, stage.mm, ticket, reached),
            |stage, table| stage.put_back(table),
        )
    }

    fn collapse<P: Policy>(self) -> Result<Measured, String> {
        let stage = &mut Stage::new(self.piece.scene());
        stage.map_pages();
        let huge = stage.alloc(FrameSize::Huge);
        self.run(
            stage,
            |_| (),
            |stage, ()| measured::collapse::<P>(&mut stage.cpu, stage.mm, SMALL, huge),
            |stage, table| stage.put_back(table),
        )
    }

    fn unshare<P: Policy>(self) -> Result<Measured, String> {
        let stage = &mut Stage::new(self.piece.scene());
        let frame = stage.alloc(FrameSize::Small);
        gupsync::mm::page_table::fill(&stage.world.machine, frame, Entry(0));
        self.run(
            stage,
            |stage| {
                let machine = &stage.world.machine;
                let table = SharedTable::new(frame, SHARED, machine.cpus, stage.other.id);
                let _ = table.join(stage.mm.id);
                [stage.mm, stage.other].iter().for_each(|mm| unshare::link(machine, mm, &table));
                Leave::new([Arc::new(table)].into())
            },
            |stage, leave| measured::unshare::<P>(&mut stage.cpu, stage.mm, leave),
            |_, left| assert!(left.is_none(), "another mm has the table"),
        )
    }

    /// Those of which no policy is part.
    fn shared(self) -> Result<Measured, String> {
        let stage = &mut Stage::new(self.piece.scene());
        stage.map_pages();
        let (mm, other) = (stage.mm, stage.other);
        let one = Range::small(SMALL, 1);
        let table = Entry(stage.table().load(gupsync::atomic::Ordering::Relaxed)).frame();
        let slot = stage.table();
        match self.piece {
            Piece::empty => self.run(stage, |_| (), |_, ()| measured::empty(), |_, ()| ()),
            Piece::clear => self.run(
                stage,
                |_| (),
                |_, ()| measured::clear(slot),
                |stage, was| {
                    assert_eq!(Entry(was).frame(), table);
                    stage.put_back(table);
                },
            ),
            Piece::unlink => self.run(
                stage,
                |_| (),
                |stage, ()| measured::unlink(&mut stage.cpu, mm, table, slot),
                |stage, number| {
                    assert_eq!(number, stage.mm.pending.counts().0);
                    stage.put_back(table);
                },
            ),
            Piece::redeem => self.run(
                stage,
                |stage| stage.unlink_and_flush().0,
                |_, ticket| measured::redeem(mm, ticket),
                |stage, table| stage.put_back(table.expect("it is covered")),
            ),
            Piece::flush_own_1 | Piece::flush_to_1 | Piece::flush_to_3 | Piece::flush_to_7 => {
                self.flush(stage, one, true)
            }
            Piece::flush_own_33 => self.flush(stage, Range::small(SMALL, 33), true),
            Piece::flush_own_all => self.flush(stage, Range::All, true),
            Piece::flush_invlpgb_1 => self.flush(stage, one, false),
            Piece::flush_invlpgb_all => self.flush(stage, Range::All, false),
            Piece::answer_sync => self.run(
                stage,
                |stage| sync_round::start(&mut stage.cpu, mm),
                |stage, in_flight| {
                    measured::answer(stage.world, CpuId(1));
                    in_flight
                },
                |stage, in_flight| {
                    let _ = in_flight.wait(&mut stage.cpu);
                },
            ),
            Piece::switch_first => self.run(
                stage,
                |stage| {
                    stage.cpu.switch_mm(Some(other));
                    // It is found elsewhere, and leaves the cpumask.
                    stage.flush_elsewhere(Range::All, FreedTables::Yes);
                },
                |stage, ()| measured::switch(&mut stage.cpu, Some(mm)),
                |_, ()| (),
            ),
            Piece::switch_again => self.run(
                stage,
                |stage| stage.cpu.switch_mm(Some(other)),
                |stage, ()| measured::switch(&mut stage.cpu, Some(mm)),
                |_, ()| (),
            ),
            Piece::switch_to_kernel => self.run(
                stage,
                |stage| stage.cpu.switch_mm(Some(mm)),
                |stage, ()| measured::switch(&mut stage.cpu, None),
                |_, ()| (),
            ),
            Piece::lazy_enter => self.run(
                stage,
                |_| (),
                |stage, ()| measured::enter_lazy(&mut stage.cpu),
                |stage, ()| stage.cpu.exit_lazy_tlb(mm),
            ),
            Piece::lazy_exit => self.run(
                stage,
                |stage| stage.cpu.enter_lazy_tlb(),
                |stage, ()| measured::exit_lazy(&mut stage.cpu, mm),
                |_, ()| (),
            ),
            Piece::lazy_exit_behind => self.run(
                stage,
                |stage| {
                    stage.cpu.enter_lazy_tlb();
                    stage.flush_elsewhere(one, FreedTables::No);
                },
                |stage, ()| measured::exit_lazy(&mut stage.cpu, mm),
                |_, ()| (),
            ),
            other => unreachable!("a policy is part of {other}"),
        }
    }

    fn flush(self, stage: &mut Stage, range: Range, reaches: bool) -> Result<Measured, String> {
        let mm = stage.mm;
        self.run(
            stage,
            |_| (),
            |stage, ()| measured::flush(&mut stage.cpu, mm, range),
            |_, reached| assert_eq!(reached.is_mm(), reaches, "whom the flush has reached"),
        )
    }
}
