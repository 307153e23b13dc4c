//! The policies compared, one file each, in the order in which they are compared.
//!
//! A new policy is a new file here, a `mod` line and a line in `policies!`, below.

mod contract;

mod never;

mod broadcast;
mod gather;
mod mask;
mod property;

mod rcu;

mod pending;
mod targeted;

pub use contract::{Policy, Unlinked, release, sync, unlink};
pub(crate) use contract::{owe, settle};

/// What can be done with every policy.
pub trait ForPolicy {
    /// The result.
    type Output;

    /// Does it with `P`.
    fn run<P: Policy>(self) -> Self::Output;
}

macro_rules! policies {
    ($($module:ident :: $policy:ident),+ $(,)?) => {
        /// The names of all policies, in the order in which they are compared.
        pub const NAMES: &[&str] = &[$($module::$policy::NAME),+];

        /// The names of those that keep the promise.
        pub fn safe_names() -> impl Iterator<Item = &'static str> {
            [$(($module::$policy::NAME, $module::$policy::SAFE)),+].into_iter().filter_map(|(name, safe)| safe.then_some(name))
        }

        /// Does `what` with the policy of that name, if there is one.
        pub fn with<W: ForPolicy>(name: &str, what: W) -> Option<W::Output> {
            match name {
                $($module::$policy::NAME => Some(what.run::<$module::$policy>()),)+
                _ => None,
            }
        }

        $(pub use $module::$policy;)+
    };
}

policies! {
    never::Never,
    gather::GatherPosted,
    targeted::TargetedPosted,
    broadcast::Broadcast,
    broadcast::BroadcastPerTable,
    property::Property,
    gather::Gather,
    rcu::Rcu,
    targeted::Targeted,
    mask::Mask,
    mask::GatherMask,
    pending::Pending,
    targeted::PendingTargeted,
}
