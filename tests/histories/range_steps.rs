//! What happens in a history of flushes of ranges, and on which machine: drawn at random.

use gupsync::config::FlushMethod;
use gupsync::types::{FrameSize, LOCAL_ASIDS, Range, VirtAddr};
use proptest::prelude::*;

use crate::tlb::Page;

pub const MMS: usize = 3;
/// CPUs that do something.
pub const ACTORS: usize = 6;
/// Where they may be: around the ends of the words of a mask.
const PLACES: &[usize] = &[0, 1, 62, 63, 64, 65, 126, 127, 128, 129];
/// Where ranges start: some do not at the start of a table, and some end in another table.
const STARTS: &[u64] = &[0x10_0000_0000, 0x10_0020_0000 - 33 * 4096, 0x10_0020_0000 - 4096, 0x10_0800_7000];
/// How long they are: around the most pages that are flushed one by one.
const LENGTHS: &[u64] = &[1, 2, 7, 8, 9, 32, 33, 34, 512];

/// Pages in a row.
#[derive(Clone, Copy, Debug)]
pub struct Span {
    start: VirtAddr,
    pages: u64,
    size: FrameSize,
}

impl Span {
    pub fn range(self) -> Range {
        Range::Pages { start: self.start, pages: self.pages, size: self.size }
    }

    /// The first pages and the last, the 33rd and the 34th, and those around.
    pub fn edges(self) -> impl Iterator<Item = Page> {
        let places = [-1, 0, 1, 32, 33, self.pages as i64 - 1, self.pages as i64];
        let va = move |place| self.start.0.wrapping_add_signed(place * self.size.bytes() as i64);
        places.into_iter().map(move |place| Page::holding(VirtAddr(va(place)), self.size))
    }

    pub fn holds(self, page: Page) -> bool {
        page.is_among(self.start, self.pages, self.size)
    }
}

fn span() -> impl Strategy<Value = Span> {
    let size = prop_oneof![2 => Just(FrameSize::Small), 1 => Just(FrameSize::Huge)];
    (prop::sample::select(STARTS), prop::sample::select(LENGTHS), size).prop_map(|(start, pages, size)| {
        // Huge pages start where such pages can.
        Span { start: VirtAddr(start - start % size.bytes()), pages, size }
    })
}

/// What an actor does next.
#[derive(Clone, Copy, Debug)]
pub enum Step {
    Switch(usize, Option<usize>),
    EnterLazy(usize),
    ExitLazy(usize, usize),
    /// It leaves its mm, comes back, and uses it.
    Reload(usize),
    /// It uses every page that the history looks at.
    Touch(usize),
    /// The entries of a span are changed, and flushed later or never.
    Change(usize, usize),
    Flush(Flush),
    KernelRange(usize),
    /// All leave an mm; it comes to its end, and begins anew.
    Renew(usize, usize),
    /// A CPU takes its interrupts.
    Deliver(usize),
}

/// The entries of a span are changed, and flushed.
#[derive(Clone, Copy, Debug)]
pub struct Flush {
    pub actor: usize,
    /// Where it looks, sends and waits, if it may be preempted before.
    pub there: usize,
    pub mm: usize,
    pub span: usize,
    pub freed: bool,
    /// So many of the steps that follow happen while it waits.
    pub meanwhile: usize,
}

pub fn step() -> impl Strategy<Value = Step> {
    let (actor, mm, span) = (0..ACTORS, 0..MMS, any::<prop::sample::Index>());
    let span = span.prop_map(|index| index.index(SPANS));
    let flush = (actor.clone(), actor.clone(), mm.clone(), span.clone(), prop::bool::weighted(0.3), 0..6usize);
    let flush = flush.prop_map(|(actor, there, mm, span, freed, meanwhile)| Flush {
        actor,
        there,
        mm,
        span,
        freed,
        meanwhile,
    });
    prop_oneof![
        4 => (actor.clone(), prop::option::weighted(0.8, mm.clone())).prop_map(|(cpu, mm)| Step::Switch(cpu, mm)),
        2 => actor.clone().prop_map(Step::EnterLazy),
        2 => (actor.clone(), mm.clone()).prop_map(|(cpu, mm)| Step::ExitLazy(cpu, mm)),
        2 => actor.clone().prop_map(Step::Reload),
        8 => actor.clone().prop_map(Step::Touch),
        1 => (mm.clone(), span).prop_map(|(mm, span)| Step::Change(mm, span)),
        8 => flush.prop_map(Step::Flush),
        1 => actor.clone().prop_map(Step::KernelRange),
        1 => (actor.clone(), mm).prop_map(|(cpu, mm)| Step::Renew(cpu, mm)),
        1 => actor.prop_map(Step::Deliver),
    ]
}

/// The spans of a history.
pub const SPANS: usize = 3;

/// A machine, and where things are on it.
#[derive(Clone, Debug)]
pub struct Setting {
    /// The CPU of each actor.
    pub places: Vec<usize>,
    pub spans: [Span; SPANS],
    pub flush: FlushMethod,
    pub invlpgb: bool,
    pub threshold: usize,
    pub pcids: usize,
    pub asids: usize,
    pub invlpgb_max: u64,
    pub trim_every: Option<u64>,
}

pub fn setting() -> impl Strategy<Value = Setting> {
    let places = prop::sample::subsequence(PLACES, ACTORS).prop_shuffle();
    let spans = prop::array::uniform3(span());
    let trim = prop::option::of(1..4u64);
    let asids = (0..=LOCAL_ASIDS, 0..4usize);
    let flush = prop_oneof![3 => Just(FlushMethod::Ipi), 1 => Just(FlushMethod::HypercallAll)];
    (places, spans, flush, prop::bool::weighted(0.7), 1..4usize, asids, 1..=8u64, trim).prop_map(
        |(places, spans, flush, invlpgb, threshold, (pcids, asids), invlpgb_max, trim_every)| Setting {
            places,
            spans,
            flush,
            invlpgb,
            threshold,
            pcids,
            asids,
            invlpgb_max,
            trim_every,
        },
    )
}
