//! What is measured to the instruction: pieces of the protocol, on one CPU that counts its own instructions.
//!
//! A kernel whose command line is [`COMMAND`] does every piece of [`PIECES`] and writes a line for each
//! ([`report::COST`](crate::report::COST)): the addresses of the instructions that it has executed. What they are, and
//! which of them a policy adds, the host finds out from the kernel's file.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use serde::{Deserialize, Serialize};

use crate::text::PolicyName;

/// The kernel's command line.
pub const COMMAND: &str = "cost";

/// What kind of piece it is: a table each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// A walk.
    Walk,
    /// A policy is asked for tables.
    Sync,
    /// An operation, from its first step until its table may be reused.
    Operation,
    /// The parts that all policies share.
    Shared,
}

/// The machine that a piece is done on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scene {
    /// How many CPUs it has. One is real; what the others have loaded and how they answer is done by it, and not counted.
    pub cpus: usize,
    /// How many of them have the mm loaded.
    pub mm_cpus: usize,
    /// Whether INVLPGB is used.
    pub invlpgb: bool,
}

macro_rules! pieces {
    ($($(#[doc = $doc:literal])+ $name:ident = $group:ident, $column:literal, $cpus:literal / $mm_cpus:literal, $invlpgb:literal;)+) => {
        /// A piece that is measured.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
        #[allow(non_camel_case_types, reason = "the names are those of JSON")]
        pub enum Piece { $($(#[doc = $doc])+ $name),+ }

        /// All of them, in the order of the tables.
        pub const PIECES: &[Piece] = &[$(Piece::$name),+];

        impl Piece {
            /// Its name in JSON.
            pub fn name(self) -> &'static str {
                match self { $(Piece::$name => stringify!($name)),+ }
            }

            /// Its table.
            pub fn group(self) -> Group {
                match self { $(Piece::$name => Group::$group),+ }
            }

            /// The header of its column, or its name in a table of pieces.
            pub fn column(self) -> &'static str {
                match self { $(Piece::$name => $column),+ }
            }

            /// Where it is done.
            pub fn scene(self) -> Scene {
                match self { $(Piece::$name => Scene { cpus: $cpus, mm_cpus: $mm_cpus, invlpgb: $invlpgb }),+ }
            }

            /// What it is.
            pub fn about(self) -> &'static str {
                match self { $(Piece::$name => concat!($($doc),+)),+ }
            }
        }

        impl fmt::Display for Piece {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.name())
            }
        }
    };
}

pieces! {
    /// GUP-fast of a page that is mapped.
    walk_1 = Walk, "1 page", 8/4, false;
    /// GUP-fast of 8 pages, one after the other.
    walk_8 = Walk, "8 pages", 8/4, false;
    /// GUP-fast of 64 pages, one after the other.
    walk_64 = Walk, "64 pages", 8/4, false;
    /// GUP-fast of a huge page.
    walk_huge = Walk, "huge", 8/4, false;
    /// GUP-fast where nothing is mapped.
    walk_not_mapped = Walk, "nothing", 8/4, false;

    /// A sync whose flush has interrupted all CPUs of the mm.
    sync_covered = Sync, "covered", 8/4, false;
    /// A sync of which no interrupt has come before; the mm on 1 CPU of 8.
    sync_due_1_of_8 = Sync, "1 of 8", 8/1, true;
    /// The same, on 2 of 8.
    sync_due_2_of_8 = Sync, "2 of 8", 8/2, true;
    /// The same, on 4 of 8.
    sync_due_4_of_8 = Sync, "4 of 8", 8/4, true;
    /// The same, on 8 of 8.
    sync_due_8_of_8 = Sync, "8 of 8", 8/8, true;
    /// The same, on 4 of 64.
    sync_due_4_of_64 = Sync, "4 of 64", 64/4, true;
    /// The same, on 64 of 64.
    sync_due_64_of_64 = Sync, "64 of 64", 64/64, true;

    /// A collapse, from its unlink until the table may be reused, on a machine of one CPU.
    collapse_1 = Operation, "c 1 CPU", 1/1, false;
    /// The same, the mm on 4 CPUs of 8, flushed by interrupts.
    collapse_ipi = Operation, "c IPI", 8/4, false;
    /// The same, flushed by INVLPGB.
    collapse_invlpgb = Operation, "c INVLPGB", 8/4, true;
    /// An mm leaves a shared table to another mm, from its unlink until that may reuse it, on a machine of one CPU.
    unshare_1 = Operation, "u 1 CPU", 1/1, false;
    /// The same, the mm on 4 CPUs of 8, flushed by interrupts.
    unshare_ipi = Operation, "u IPI", 8/4, false;
    /// The same, flushed by INVLPGB.
    unshare_invlpgb = Operation, "u INVLPGB", 8/4, true;

    /// An entry that leads to a table is cleared.
    clear = Shared, "clear an entry", 8/4, false;
    /// The same, with F1 and a ticket.
    unlink = Shared, "unlink: clear, F1, ticket", 8/4, false;
    /// A ticket that is covered is redeemed.
    redeem = Shared, "redeem, covered", 8/4, false;
    /// A flush of one page, the mm on this CPU alone.
    flush_own_1 = Shared, "flush 1 page, this CPU", 8/1, false;
    /// A flush of 33 pages, likewise.
    flush_own_33 = Shared, "flush 33 pages, this CPU", 8/1, false;
    /// A flush of all, likewise.
    flush_own_all = Shared, "flush all, this CPU", 8/1, false;
    /// A flush of one page, with 1 other CPU.
    flush_to_1 = Shared, "flush 1 page, 1 other CPU", 8/2, false;
    /// A flush of one page, with 3 other CPUs.
    flush_to_3 = Shared, "flush 1 page, 3 other CPUs", 8/4, false;
    /// A flush of one page, with 7 other CPUs.
    flush_to_7 = Shared, "flush 1 page, 7 other CPUs", 8/8, false;
    /// A flush of one page by INVLPGB.
    flush_invlpgb_1 = Shared, "flush 1 page, INVLPGB", 8/4, true;
    /// A flush of all by INVLPGB.
    flush_invlpgb_all = Shared, "flush all, INVLPGB", 8/4, true;
    /// A target carries out a sync request and answers; without the entry to the handler.
    answer_sync = Shared, "answer a sync", 8/4, false;
    /// A CPU loads an mm that it has not loaded before.
    switch_first = Shared, "switch to an mm, first", 8/1, false;
    /// A CPU loads an mm that it has loaded before: its bit is set, its ASID kept.
    switch_again = Shared, "switch to an mm, again", 8/1, false;
    /// A CPU loads the kernel's tables in place of an mm's.
    switch_to_kernel = Shared, "switch to the kernel", 8/1, false;
    /// A CPU goes on with a kernel thread, lazily.
    lazy_enter = Shared, "go lazy", 8/1, false;
    /// A CPU comes back from that, and no flush has come meanwhile.
    lazy_exit = Shared, "come back", 8/1, false;
    /// A CPU comes back from that, and one flush has come meanwhile.
    lazy_exit_behind = Shared, "come back, behind", 8/1, false;
    /// A function that does nothing: its instructions are taken away from all others.
    empty = Shared, "(an empty function)", 8/1, false;
}

impl Piece {
    /// Whether it is done under each policy. If not, no policy is part of it.
    pub fn has_policy(self) -> bool {
        self.group() != Group::Shared
    }

    /// The policies under which it is done, in order; one that is `None` where none is part of it.
    pub fn policies(self) -> impl Iterator<Item = Option<PolicyName>> {
        let all = PolicyName::all();
        let count = if self.has_policy() { all.len() } else { 1 };
        (0..count).map(move |index| self.has_policy().then(|| all[index]))
    }
}

/// How often each piece is done. Every time the same number of instructions has to be executed.
pub const RUNS: usize = 3;

/// A piece that was measured: a line of the kernel's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Measured {
    /// Which.
    pub piece: Piece,
    /// Under which policy, if one is part of it.
    pub policy: Option<PolicyName>,
    /// How far the address of each instruction that was executed lies behind that of the one before; the first behind
    /// [`BASE`].
    pub steps: Vec<i32>,
}

/// Where the kernel begins.
pub const BASE: u64 = 0xffff_ffff_8000_0000;

impl Measured {
    /// The addresses of the instructions, in the order in which they were executed.
    pub fn addresses(&self) -> impl Iterator<Item = u64> {
        self.steps.iter().scan(BASE, |at, step| {
            *at = at.wrapping_add_signed(i64::from(*step));
            Some(*at)
        })
    }

    /// From those.
    pub fn new(piece: Piece, policy: Option<PolicyName>, addresses: &[u64]) -> Self {
        let before = [BASE].into_iter().chain(addresses.iter().copied());
        let steps = before.zip(addresses).map(|(before, at)| at.wrapping_sub(before) as i64 as i32);
        Measured { piece, policy, steps: steps.collect() }
    }
}

/// What the kernel says besides: what the state of an mm takes, in bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sizes {
    /// [`gupsync::mm::Mm`], without what it points to.
    pub mm: usize,
    /// [`gupsync::pending_gup_sync::PendingGupSync`].
    pub pending: usize,
    /// The APIC's mode, of which the instructions of a send depend.
    pub apic: String,
}
