//! Models of the shipped code, explored by loom.
//!
//! Each model sets a few CPUs to work on a world, every one in a thread of its own, and lets loom try their
//! interleavings and all that the C++20 memory model allows. The library is compiled as it is; only its atomics are
//! loom's ([`gupsync::atomic`]).
//!
//! The oracle is an `UnsafeCell` on each frame: a walker reads the cell of the table it stands in, the mutator that
//! reuses a table writes it. Loom reports any pair of accesses that nothing orders. An atomic flag would not do: it
//! would order them itself and hide what is missing.

#![cfg(any(loom, tso))]

mod acts;
mod asid;
mod batch;
mod ends;
mod everyone;
mod exit;
mod four;
mod grace;
mod hold;
mod hotplug;
mod hypercall;
mod hypercall_all;
mod kept;
mod lazy;
#[cfg(tso)]
mod linux_form;
#[cfg(tso)]
mod litmus;
mod machine;
mod nmi;
mod pin;
mod policies;
mod ranges;
mod reuse;
mod sender;
mod shared;
mod switching;
mod table;
mod targeted;
mod tlb;
mod unlinkers;
