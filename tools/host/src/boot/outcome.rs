//! What a boot says, and what it gave.

use gupsync_bench::record::Recording;
use gupsync_bench::report::ExitCode;
use gupsync_bench::spec::{PolicyName, Status};
use gupsync_bench::{Row, Spec};

use crate::qemu::End;

/// What the kernel says while it runs.
#[derive(Clone, Copy, Debug)]
pub enum Word<'a> {
    /// A line as it came, before what it means.
    Line(&'a str),
    /// It has begun a policy of a spec.
    Begin(&'a Spec, PolicyName),
    /// It has done so many operations of it.
    Progress(u64),
    /// It has finished a row.
    Row(&'a Row),
}

/// What a boot gave.
#[derive(Debug)]
pub struct Outcome {
    /// The rows that came, each the answer to what was asked or a failure that says what is wrong with it; then a row
    /// without counts for every policy that has none, because the machine ended before.
    pub rows: Vec<Row>,
    /// What was recorded, if it was to be: a recording for each policy that came to its end.
    pub traces: Vec<Traced>,
    /// How many of the rows came.
    pub finished: usize,
    /// Whether the kernel has begun a row.
    pub has_begun: bool,
    /// The bootloader, if it came so far.
    pub loader: Option<String>,
    /// How it ended.
    pub end: End,
}

/// What was recorded of one policy at a spec.
#[derive(Debug)]
pub struct Traced {
    /// What was run.
    pub spec: Spec,
    /// Under which policy.
    pub policy: PolicyName,
    /// On how many CPUs.
    pub cpus: usize,
    /// What happened.
    pub recording: Recording,
}

/// The status of the rows that did not come.
pub(super) fn status(end: End) -> Status {
    match end {
        End::Timeout => Status::Timeout,
        End::Kernel(ExitCode::Memory) => Status::Memory,
        End::Kernel(ExitCode::Panic | ExitCode::Exception) => Status::Panic,
        End::Kernel(ExitCode::Done | ExitCode::Refused) | End::Stopped | End::Cut | End::Qemu(_) => {
            Status::Died
        }
    }
}
