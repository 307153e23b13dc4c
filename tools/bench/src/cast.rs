//! The role of every CPU, and the mms there are.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::ops::Range;

use gupsync::config::MmConfig;
use gupsync::types::{CpuId, MmId};

use crate::spec::{Flush, MmName, Mutator, Spec, Workload};

/// What a CPU does in a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Works on the mm of a team. The first team's leads the run.
    Mutator(usize),
    /// Walks the mm of a team and uses its translations.
    Worker(usize),
    /// Has the mm of a team loaded lazily.
    Lazy(usize),
    /// Has run the mm of a team, and has another one loaded.
    Stale(usize),
    /// Goes from mm to mm, walks them, is lazy in them.
    Switcher,
    /// Flushes the mm of a team, over and over.
    Flusher(usize),
    /// Runs nothing, or a thread of the mm of a team that never enters the kernel, and records what interrupts it.
    Isolated(Option<usize>),
    /// Halts; its interrupt handler works.
    Bystander,
}

/// The CPUs that work on one mm.
#[derive(Clone, Debug)]
pub struct TeamCast {
    /// Its mm's name in rows.
    pub name: MmName,
    /// The mm, and the mms that share tables with it.
    pub mms: Vec<MmId>,
    /// The CPU that works on it.
    pub mutator: CpuId,
    /// Whether the mutator has it loaded.
    pub inside: bool,
    /// The CPUs that walk it.
    pub workers: Range<usize>,
    /// How many CPUs besides have it loaded and are isolated.
    pub isolated: usize,
    /// How many of the workers are preempted when they are held.
    pub preempted: usize,
    /// Whether the mm ends and begins anew every few operations, its ASID given up.
    pub renews: bool,
    /// Whether switchers and flushers may load it. Not if it ends, nor if it is to stay below the threshold.
    pub has_guests: bool,
}

impl TeamCast {
    /// Whether `worker` is a vCPU that is preempted when it is held.
    pub(crate) fn is_preempted(&self, worker: CpuId) -> bool {
        worker.0 - self.workers.start < self.preempted
    }

    /// How many CPUs run the mm.
    pub fn mm_cpus(&self) -> usize {
        self.workers.len() + self.isolated + usize::from(self.inside)
    }
}

/// The roles of all CPUs.
#[derive(Clone, Debug)]
pub struct Cast {
    /// The teams.
    pub teams: Vec<TeamCast>,
    /// What each mm is given, by number.
    pub mms: Vec<MmConfig>,
    roles: Vec<Role>,
}

/// A team to be: its name, how many CPUs run its mm, how many of them are preempted, and the rest.
struct Wanted {
    name: MmName,
    size: usize,
    preempted: usize,
    config: MmConfig,
    renews: bool,
    has_guests: bool,
}

/// The teams that a spec asks for.
fn wanted(spec: &Spec) -> Vec<Wanted> {
    let config = MmConfig {
        trim_every: spec.trim.0.map(|every| every.0),
        asid_every: spec.asid_every,
        ..MmConfig::default()
    };
    let team = |name, size| Wanted { name, size, preempted: 0, config, renews: false, has_guests: true };
    if spec.workload != Workload::Mixed {
        let config = MmConfig { flush: spec.flush, ..config };
        return [Wanted { preempted: spec.preempted, config, ..team(MmName::Total, spec.mm_cpus) }].into();
    }
    let no_asid = MmConfig { wants_asid: false, ..config };
    let preempted = spec.preempted.max(1);
    let by_hypercall = MmConfig { flush: Flush::Hypercall, ..no_asid };
    [
        team(MmName::Global, spec.threshold),
        Wanted { has_guests: false, ..team(MmName::Ipi, (spec.threshold - 1).max(1)) },
        Wanted { renews: true, has_guests: false, ..team(MmName::Transition, spec.threshold) },
        Wanted { config: no_asid, ..team(MmName::Exhausted, spec.threshold) },
        Wanted { preempted, config: by_hypercall, ..team(MmName::Hypercall, preempted + 1) },
    ]
    .into()
}

impl Cast {
    /// How many CPUs a spec takes.
    pub fn need(spec: &Spec) -> usize {
        let outside = usize::from(spec.mutator == Mutator::Outside);
        let teams = wanted(spec).into_iter().flat_map(|team| [team.size, outside]);
        teams.chain(spec.roles().map(|(_, cpus)| cpus)).fold(0, usize::saturating_add)
    }

    /// Whether the mm of each team runs on some CPU besides its mutator's.
    pub(crate) fn has_workers(spec: &Spec) -> bool {
        let inside = usize::from(spec.mutator == Mutator::Inside);
        wanted(spec).into_iter().all(|team| team.size > inside)
    }

    /// That it takes too many, in words.
    pub(crate) fn say_need(spec: &Spec, need: usize, cpus: usize) -> String {
        let mutator = spec.mutator;
        let mut said = match spec.workload {
            Workload::Mixed => format!("workload=mixed threshold={} mutator={mutator}", spec.threshold),
            _ => format!("mm_cpus={} mutator={mutator}", spec.mm_cpus),
        };
        for (name, count) in spec.roles().filter(|(_, count)| *count > 0) {
            said += &format!(" {name}={count}");
        }
        format!("{said} need {need} CPUs, there are {cpus}")
    }

    /// The cast of `spec` on `cpus` CPUs, which suffice.
    pub fn new(spec: &Spec, cpus: usize) -> Self {
        let inside = spec.mutator == Mutator::Inside;
        let mut roles = Vec::new();
        let (mut teams, mut mms) = (Vec::new(), Vec::new());
        for (index, team) in wanted(spec).into_iter().enumerate() {
            let mutator = CpuId(roles.len());
            roles.push(Role::Mutator(index));
            if index == 0 {
                roles.resize(1 + spec.bystanders, Role::Bystander);
            }
            let first = roles.len();
            let isolated = if index == 0 { spec.isolated_members } else { 0 };
            let workers = first..first + team.size - isolated - usize::from(inside);
            roles.resize(workers.end, Role::Worker(index));
            roles.resize(workers.end + isolated, Role::Isolated(Some(index)));
            let first = mms.len() + 1;
            mms.resize(mms.len() + spec.sharers, team.config);
            teams.push(TeamCast {
                name: team.name,
                mms: (first..=mms.len()).map(MmId::new).collect(),
                mutator,
                inside,
                workers,
                isolated,
                preempted: team.preempted,
                renews: team.renews,
                has_guests: team.has_guests,
            });
        }
        // For CPUs that are to have an mm loaded that no team works on.
        mms.push(MmConfig::default());
        let has_guests = |team: &usize| teams[*team].has_guests;
        let hosts: Vec<_> = (0..teams.len()).filter(has_guests).collect();
        let flushers = (0..spec.flushers)
            .map(|flusher| Role::Flusher(hosts[(flusher + spec.seed as usize) % hosts.len()]));
        roles.extend((0..spec.lazy).map(|_| Role::Lazy(0)));
        roles.extend((0..spec.stale).map(|_| Role::Stale(0)));
        roles.extend((0..spec.switchers).map(|_| Role::Switcher));
        roles.extend(flushers);
        roles.resize(cpus - spec.isolated, Role::Bystander);
        roles.resize(cpus, Role::Isolated(None));
        Cast { teams, mms, roles }
    }

    /// What `cpu` has to do.
    pub fn role(&self, cpu: CpuId) -> Role {
        self.roles[cpu.0]
    }

    /// The team that `worker` works for, and its number.
    pub(crate) fn team_of(&self, worker: CpuId) -> Option<(usize, &TeamCast)> {
        self.teams.iter().enumerate().find(|(_, team)| team.workers.contains(&worker.0))
    }

    /// The CPUs whose role `which` accepts.
    pub fn in_role(&self, which: impl Fn(Role) -> bool) -> impl Iterator<Item = CpuId> {
        self.roles.iter().enumerate().filter(move |(_, role)| which(**role)).map(|(cpu, _)| CpuId(cpu))
    }

    /// An mm that no team works on.
    pub(crate) fn elsewhere(&self) -> MmId {
        MmId::new(self.mms.len())
    }
}
