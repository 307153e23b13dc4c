//! The flows of code that run on the CPUs, each on a stack of its own: all of this crate that depends on what it is built for.
//!
//! # Guarantee
//!
//! A fiber runs until it pauses, and says why; resumed, it goes on from there. One that is dropped in between never goes on.

use crate::pause::Pause;

pub(crate) use stacks::{Fiber, suspend};

#[cfg(not(target_family = "wasm"))]
mod stacks {
    use generator::{Generator, Gn};

    use super::Pause;

    /// The stack of a fiber, in words.
    const STACK: usize = 0x2000;

    pub(crate) struct Fiber<'r>(Generator<'r, (), Pause>);

    impl<'r> Fiber<'r> {
        pub(crate) fn new(body: impl FnOnce() + Send + 'r) -> Self {
            Fiber(Gn::new_opt(STACK, || {
                body();
                Pause::Ended
            }))
        }

        /// Runs it until it pauses. It has not ended.
        pub(crate) fn resume(&mut self) -> Pause {
            self.0.resume().expect("it has not ended")
        }
    }

    /// Pauses the fiber that runs.
    #[expect(deprecated, reason = "a scope cannot be handed to code that knows nothing of this crate")]
    pub(crate) fn suspend(pause: Pause) {
        generator::yield_with(pause);
    }
}

#[cfg(target_family = "wasm")]
mod stacks {
    use std::sync::Mutex;

    use gupsync_wasm::fiber;

    use super::Pause;

    /// Why the fiber that has paused last did. There is one thread.
    static WHY: Mutex<Pause> = Mutex::new(Pause::Ended);

    const UNPOISONED: &str = "nothing panics while holding it";

    pub(crate) struct Fiber<'r>(fiber::Fiber<'r>);

    impl<'r> Fiber<'r> {
        pub(crate) fn new(body: impl FnOnce() + Send + 'r) -> Self {
            Fiber(fiber::Fiber::new(body))
        }

        /// Runs it until it pauses. It has not ended.
        pub(crate) fn resume(&mut self) -> Pause {
            if self.0.resume() { Pause::Ended } else { *WHY.lock().expect(UNPOISONED) }
        }
    }

    /// Pauses the fiber that runs.
    pub(crate) fn suspend(pause: Pause) {
        *WHY.lock().expect(UNPOISONED) = pause;
        fiber::suspend();
    }
}
