//! The cost model: how long each thing takes.
//!
//! Nothing here was measured, and no count depends on it. Each cost is a band that is to hold what machines take, with where it is
//! from, if only an assumption that a reader can replace. What is not listed is free: walks, INVLPGB and TLBSYNC (of which no
//! figure was found), switches. A modelled time compares what policies add, and nothing else.

/// A cost, in nanoseconds: what a fast machine, a common one and a slow one take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cost {
    /// Its name.
    pub name: &'static str,
    /// What it is the cost of.
    pub of: &'static str,
    /// Where it is from.
    pub source: &'static str,
    /// The three.
    pub values: [u64; 3],
}

/// Which of the three is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Band {
    /// The least.
    Low,
    /// The middle one.
    Mid,
    /// The most.
    High,
}

impl Band {
    /// All of them.
    pub const ALL: [Band; 3] = [Band::Low, Band::Mid, Band::High];
}

macro_rules! costs {
    ($($name:ident: [$low:literal, $mid:literal, $high:literal], $of:literal, $source:literal;)+) => {
        /// Every cost, in nanoseconds.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct Costs { $(#[doc = $of] pub $name: u64),+ }

        /// Every cost, as a band.
        pub const COSTS: &[Cost] = &[$(Cost {
            name: stringify!($name),
            of: $of,
            source: $source,
            values: [$low, $mid, $high],
        }),+];

        impl Costs {
            /// Those of a machine of this kind.
            #[must_use]
            pub fn of(band: Band) -> Self {
                Costs { $($name: [$low, $mid, $high][band as usize]),+ }
            }
        }
    };
}

costs! {
    send: [40, 100, 300], "The sender writes the APIC's command register for one target.",
        "an assumption: in x2APIC mode one WRMSR, which does not serialise (Intel SDM 3A, x2APIC)";
    deliver: [300, 700, 2000], "From there to the first instruction of the target's handler.",
        "an assumption: with the two others a round trip of 0.5 to 4 us, where 1 to 3 us are commonly reported";
    handle: [200, 500, 1500], "The handler on the target: entry, one request that asks nothing, exit.",
        "an assumption, as above";
    flush_all: [100, 200, 500], "A CPU flushes all of what it has loaded: one load of CR3, which serialises.",
        "an assumption; what is looked up again later is free";
    flush_page: [50, 100, 150], "A CPU flushes one page by INVLPG.",
        "about 100 ns (Linux commit a5102476a24b, which set the ceiling of 33 pages)";
}
