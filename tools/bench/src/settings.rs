//! The settings of an experiment, each written once: a line of [the table](SETTINGS) at the end of this file.
//!
//! From a line come the field of [`Spec`], the word `key=value` of the kernel's command line, the field of
//! [`Row`] and of its JSON, the words in the title of a table, the flag of `compare` with its help, and the
//! values that `stress` draws. A new setting is a new line, and the code that uses it.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use gupsync::ops::mthp::PMD_ORDER;
use gupsync::ops::unmap::Room;

use crate::choice::*;
use crate::counts::Counts;
use crate::draw::{Draws, among, beside, one_of, sometimes};
use crate::text::*;
use crate::value::{About, Value};

/// The most tables that one unmap unlinks.
pub const MAX_TABLES: u64 = 1024;
/// The most tables that one unshare unlinks, and the most ranges of one collapse.
pub const MAX_RANGES: u64 = 4;
/// The most pages that a protect is about.
pub const MAX_PAGES: u64 = 64;
/// The most mms that share a table.
pub const MAX_SHARERS: usize = 6;

/// What a row was counted on that does not say so.
fn kernel() -> MachineName {
    MachineName::Kernel
}

/// What else is known of a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// It says what is run, not how: a command line always names it, and `stress` never puts it back to its default.
    What,
    /// The title of a table names it where it differs from its default.
    Title,
    /// It is a number of CPUs with a role of this name. They are not among the CPUs that run the mm.
    Role,
    /// In the workloads or under the accelerator of this name, `compare` has this default.
    Usual(&'static str, &'static str),
    /// For tests of failures: help does not mention it, and `stress` does not draw it.
    Hidden,
}

/// A line of the table.
#[derive(Debug)]
pub struct Setting {
    /// Its name on the kernel's command line and in JSON.
    pub key: &'static str,
    /// What it means: one sentence.
    pub doc: &'static str,
    /// What else is known of it.
    pub marks: &'static [Mark],
    /// What stands between its name and its value in a title.
    pub join: &'static str,
    /// The form of its values, for help.
    pub form: fn() -> String,
    /// The names that a value has or lists; none if it is a number.
    pub names: fn() -> Vec<&'static str>,
    /// Its value.
    pub get: fn(&Spec) -> String,
    /// Gives it the value that a text says, or says in one line why not.
    pub set: fn(&mut Spec, &str) -> Result<(), String>,
}

impl Setting {
    /// Whether `mark` is one of its marks.
    pub fn is(&self, mark: Mark) -> bool {
        self.marks.contains(&mark)
    }

    /// Its value as a number, if it is one.
    pub fn number(&self, spec: &Spec) -> Option<usize> {
        (self.get)(spec).parse().ok()
    }

    /// The defaults that `compare` has for it: the name of workloads or of an accelerator, and the value.
    pub fn usual(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        self.marks.iter().filter_map(|mark| match mark {
            Mark::Usual(place, value) => Some((*place, *value)),
            _ => None,
        })
    }
}

macro_rules! settings {
    (
        $({ $(#[doc = $doc:literal] $key:ident: $type:ty = $default:expr, $rule:expr, [$($mark:expr),*];)+ }
          $(#[doc = $row_doc:literal] $row_key:ident: $row_type:ty;)?)+
        not in rows {
            $(#[doc = $apart_doc:literal] $apart:ident: $apart_type:ty = $apart_default:expr, $apart_rule:expr,
              [$($apart_mark:expr),*];)+
        }
    ) => {
        settings!(@spec $($([$doc] $key: $type = $default, $rule, [$($mark),*];)+)+
            $([$apart_doc] $apart: $apart_type = $apart_default, $apart_rule, [$($apart_mark),*];)+);

        /// The result of one policy at one workload. A count that was not taken, because the machine died, is `None`:
        /// never zero.
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
        pub struct Row {
            $($(#[doc = $doc] pub $key: <$type as Value>::InRow,)+ $(#[doc = $row_doc] pub $row_key: $row_type,)?)+
            /// What it was counted on. Where a row does not say, it was the kernel.
            #[serde(default = "kernel")]
            pub machine: MachineName,
            /// What was counted.
            #[serde(flatten)]
            pub counts: Counts,
            /// How it ended.
            pub status: Status,
            /// What a detector saw, or why there is no result.
            pub detail: Option<String>,
        }

        impl Row {
            /// [`Row::new`], for a row about what `about` says.
            pub(crate) fn of(spec: &Spec, about: &About<'_>, $($($row_key: $row_type,)?)+ status: Status) -> Self {
                Row {
                    $($($key: spec.$key.in_row(about),)+ $($row_key,)?)+
                    machine: kernel(),
                    counts: Counts::default(),
                    status,
                    detail: None,
                }
            }

            /// The settings that it keeps, by key.
            pub fn settings(&self) -> Vec<(&'static str, String)> {
                Vec::from([$($((stringify!($key), self.$key.to_string()),)+)+])
            }
        }
    };

    (@spec $([$doc:literal] $key:ident: $type:ty = $default:expr, $rule:expr, [$($mark:expr),*];)+) => {
        /// A comparison: one workload under some policies.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct Spec { $(#[doc = $doc] pub $key: $type),+ }

        impl Default for Spec {
            fn default() -> Self {
                Spec { $($key: $default),+ }
            }
        }

        impl Spec {
            /// What `draws` makes of each setting's rule.
            pub fn drawn(draws: &mut impl Draws) -> Self {
                let usual = Spec::default();
                Spec { $($key: draws.draw($rule, usual.$key)),+ }
            }
        }

        /// Every setting, in the order of JSON and of help.
        pub static SETTINGS: &[Setting] = {
            use Mark::*;
            &[$(Setting {
                key: stringify!($key),
                doc: $doc,
                marks: &[$($mark),*],
                join: <$type as Value>::JOIN,
                form: <$type as Value>::form,
                names: <$type as Value>::names,
                get: |spec| spec.$key.to_string(),
                set: |spec, text| <$type as Value>::read(text).map(|value| spec.$key = value),
            }),+]
        };
    };
}

settings! {
    {
        /// What is done.
        workload: Workload = Workload::Collapse, one_of(Workload::ALL), [What];
        /// The policies, in order, separated by commas.
        policy: List<PolicyName> = PolicyName::safe(), beside(), [What];
    }
    /// The mm that was counted: one of the mms of `mixed`, or all.
    mm: MmName;
    {
        /// Whether INVLPGB is used.
        invlpgb: Toggle = Toggle::Off, one_of(Toggle::ALL), [];
        /// What carries INVLPGB out: the CPU, or the emulator behind #UD.
        backend: Backend = Backend::Auto, beside(), [];
        /// How an mm without a global ASID is flushed.
        flush: Flush = Flush::Ipi, one_of([Flush::Ipi, Flush::Hypercall, Flush::HypercallAll]), [Usual("piggyback", "hypercall")];
        /// How many CPUs must run an mm before it is given a global ASID.
        threshold: usize = 4, among(1..=4), [Usual("mixed", "3")];
        /// Whether the mutator has the mm loaded itself, or not (like khugepaged).
        mutator: Mutator = Mutator::Inside, one_of(Mutator::ALL), [];
        /// Draws which walkers are held inside a walk, which CPU goes first, and where walkers walk.
        seed: u64 = 1, among(1..=999), [What];
    }
    /// How many CPUs the machine has.
    cpus: usize;
    {
        /// How many CPUs run the mm.
        mm_cpus: usize = 4, among(1..=6), [];
        /// Of how many mms a CPU keeps translations, each under a local ASID: 6 in Linux. With 0 or 1 every switch drops all.
        pcids: usize = 6, sometimes([0, 1, 2, 3, 6]), [Title];
        /// How many global ASIDs there are; Linux has 4096 PCIDs, less the few that its local ASIDs take.
        asids: usize = 4080, sometimes([0, 1, 2, 4080]), [Title];
        /// After how many flushes it is considered whether an mm gets one. Linux: in about one of 32, by the time.
        asid_every: u64 = 1, sometimes([2, 5, 32]), [Title];
        /// The most pages that one INVLPGB takes; 0 is what the CPU says, or 8 where INVLPGB is emulated.
        invlpgb_max: u64 = 0, sometimes([0, 1, 3, 8]), [Title];
        /// Whether the flush of an unshare leaves lazy CPUs alone, as mainline does, or wakes them, as the series does.
        unshare_flush: UnshareFlush = UnshareFlush::Mainline, one_of(UnshareFlush::ALL), [Title];
        /// Whether a CPU that comes back from lazy mode under a global ASID passes a fence; if not, syncs go to lazy CPUs too.
        unlazy_fence: UnlazyFence = UnlazyFence::Added, one_of(UnlazyFence::ALL), [Title];
        /// How often a plain flush goes to CPUs that have another mm loaded, to trim the cpumask.
        trim: Maybe<Every> = Maybe(None), sometimes([1, 2, 3, 8].map(|n| Maybe(Some(Every(n))))), [Title];
        /// How many walkers go offline before each operation and come back after it; with `eager` in between, while it is done.
        hotplug: usize = 0, sometimes([1, 2]), [Title];
        /// How many CPUs have the mm loaded lazily when counting begins.
        lazy: usize = 0, beside(), [Title, Role];
        /// How many CPUs have run the mm and have another one loaded when counting begins.
        stale: usize = 0, beside(), [Title, Role];
        /// How many of the CPUs that run the mm are vCPUs that are preempted when they are held inside a walk.
        preempted: usize = 0, beside(), [Title, Usual("piggyback", "1")];
        /// How many CPUs run nothing and record what interrupts them.
        isolated: usize = 0, beside(), [Title, Role];
        /// How many of the CPUs that run the (first) mm record likewise: each runs a thread that never enters the kernel.
        isolated_members: usize = 0, sometimes([1, 2]), [Title];
        /// How many CPUs go from mm to mm, walking and being lazy.
        switchers: usize = 0, beside(), [Title, Role];
        /// How many CPUs flush an mm while its mutator works.
        flushers: usize = 0, beside(), [Title, Role];
        /// How many CPUs run nothing between the first and the others: these have higher numbers then.
        bystanders: usize = 0, beside(), [Title, Role];
        /// How many walkers are held inside a walk in one operation of four.
        hold: usize = 1, among(0..=3), [Title];
        /// Where an NMI whose handler walks comes to walkers to be held: having loaded another mm, or gone lazy, or in a walk.
        sample: Maybe<Sample> = Maybe(None), sometimes([Sample::Switch, Sample::Lazy, Sample::Walk].map(|at| Maybe(Some(at)))), [Title];
        /// Whether that handler gives up unless the mm is loaded, and not lazily. Linux 7.3 does not look.
        nmi_guard: Toggle = Toggle::On, beside(), [Title];
        /// Whether walkers go on walking while the operation is done, to race with it; else only those that are held inside.
        eager: Toggle = Toggle::Off, sometimes(Toggle::ALL), [Usual("tcg-multi", "on"), Usual("kvm", "on")];
        /// Whether walkers go lazy between two turns.
        naps: Toggle = Toggle::Off, sometimes(Toggle::ALL), [Title];
        /// Whether walkers visit another mm in each turn, and have it loaded between two turns, unless they nap.
        visits: Toggle = Toggle::Off, sometimes(Toggle::ALL), [Title];
        /// Whether one worker of each mm, by turns, goes on touching while an operation is done. It keeps interrupts off.
        touch: Toggle = Toggle::Off, sometimes(Toggle::ALL), [Title];
        /// Whether a kernel mapping is changed, and the kernel's range flushed, before each operation of the first mm.
        remap: Toggle = Toggle::Off, sometimes(Toggle::ALL), [Title];
        /// In one collapse of so many, a worker holds a pin on a page of the range, so that the table is put back.
        pins: Maybe<Every> = Maybe(None), sometimes([1, 2, 3, 8].map(|n| Maybe(Some(Every(n))))), [Title];
        /// How many tables an unmap unlinks: up to 1024; or an unshare: up to 4.
        tables: u64 = 1, sometimes([2, 3, 4, 40]), [Title];
        /// Whether every page is mapped that the tables of an unmap have room for; else eight of each.
        populate: Toggle = Toggle::Off, sometimes(Toggle::ALL), [Title];
        /// How many pages a protect is about. Linux flushes up to 33 one by one.
        pages: u64 = 8, sometimes([1, 2, 8, 32, 33, 34]), [Title];
        /// Whether these pages are of 2 MiB.
        huge: Toggle = Toggle::Off, sometimes(Toggle::ALL), [Title];
        /// How many ranges a collapse takes under one lock: each is unlinked and flushed, then one sync is for all.
        ranges: u64 = 1, sometimes(Vec::from_iter(2..=MAX_RANGES)), [Title];
        /// The order of the folios that a collapse makes: below 9 they are mTHPs, every one of a range in turn.
        order: u64 = PMD_ORDER, sometimes([2, 4, 7, 8]), [Title];
        /// How many mTHPs are made while their table is out.
        batch: u64 = 1, beside(), [Title];
        /// How many pages a gather holds before it flushes; 0 is one for which there was no memory.
        gather: usize = Room::LINUX.pages, sometimes([0, 2, 5, 510]), [Title];
        /// How many tables a gather holds, apart from pages.
        gather_tables: usize = Room::LINUX.tables, sometimes([1, 2]), [Title];
        /// How many mms share the tables that are unshared, or have pages reclaimed in one batch.
        sharers: usize = 3, sometimes(Vec::from_iter(2..=MAX_SHARERS)), [Title];
        /// What another thread does on the range of a reclaim, when its pages are unmapped and not flushed yet.
        between: Maybe<Between> = Maybe(None), sometimes([Between::Protect, Between::Unmap].map(|kind| Maybe(Some(kind)))), [Title];
        /// Whether the steps of the mms that leave and join shared tables are interleaved.
        interleave: Toggle = Toggle::Off, sometimes(Toggle::ALL), [Title];
        /// Whether an mm that has left shared tables exits: gives up its upper tables, too, with one more flush.
        exit: Toggle = Toggle::Off, beside(), [Title];
        /// Whether the mutator's task may go to another CPU between the snapshot of a round and its look, and before it waits.
        sender: Sender = Sender::Pinned, sometimes(Sender::ALL), [Title];
        /// Whether the steps of an operation run on different CPUs.
        migrate: Toggle = Toggle::Off, sometimes(Toggle::ALL), [Title];
        /// Which operations `mixed` does, in turn, separated by commas.
        operations: List<Kind> = List(Kind::OF_ONE_MM.to_vec()), beside(), [Title];
    }
    not in rows {
        /// How many operations are counted.
        ops: u64 = 1000, among(20..=80), [What];
        /// A way to fail on purpose: what the tests of failures use.
        fail: Maybe<Fail> = Maybe(None), beside(), [Hidden];
    }
}
