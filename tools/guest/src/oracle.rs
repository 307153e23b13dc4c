//! What the oracle's host and its program on Linux agree on. The program comes to a [`Mark`], at which the host's debugger
//! stops it, reads what it has to say, and gives it an answer.

/// The file, at the root of the initramfs, with the name of a test, or [`SYMBOLS`].
pub const FILE: &str = "/oracle";
/// No test: `/proc/kallsyms` is handed over.
pub const SYMBOLS: &str = "symbols";
/// The symbol of the function that is called at each mark: with the mark's number and two values.
pub const MARK: &str = "gupsync_mark";
/// The CPU that the operations are done on.
pub const MUTATOR: usize = 0;
/// The CPU that walks.
pub const WALKER: usize = 1;
/// On so many CPUs a process runs while it settles: Linux gives a global ASID to one that is on more than three at once.
pub const MEMBERS: usize = 4;
/// What the shared page holds while processes share it.
pub const KEPT: u8 = b'o';
/// What the page that takes its place holds, which belongs to the process that remains.
pub const NEW: u8 = b'S';

macro_rules! marks {
    ($($(#[doc = $text:literal])* $name:ident,)*) => {
        /// Where the program has come to.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u64)]
        pub enum Mark {
            $($(#[doc = $text])* $name,)*
        }

        impl Mark {
            /// All of them, by their numbers.
            pub const ALL: &'static [Mark] = &[$(Mark::$name),*];
        }
    };
}

marks! {
    /// Text of `/proc/kallsyms`: address and length.
    Symbols,
    /// A process is about to do operations, and has flushed so many times with a thread on each of [`MEMBERS`] CPUs. The answer is whether its
    /// flushes are of the kind that is tested; if not, it flushes again.
    Settles,
    /// The process that keeps the shared table has it: an address in it.
    Shares,
    /// The walker is about to walk at an address; the second value is the address of a word to be set once it is held. The
    /// answer is whether it will be.
    Walk,
    /// It has come through, and the word was not set.
    Escaped,
    /// The first of two processes has left the table: the result.
    Left,
    /// The second is about to leave: an address in the table.
    Next,
    /// The operation is over: the result, 0 or an error's number.
    Done,
    /// Another page has taken the place of the one that the walker looks for.
    Reused,
    /// The round is over: what the walker has read. The answer is whether another one is due.
    Round,
    /// It cannot be done: address and length of the reason.
    Fault,
}

impl Mark {
    /// That of a number.
    #[must_use]
    pub fn of(number: u64) -> Option<Self> {
        Self::ALL.get(usize::try_from(number).ok()?).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_found_by_its_number() {
        for mark in Mark::ALL {
            assert_eq!(Mark::of(*mark as u64), Some(*mark));
        }
        assert_eq!(Mark::of(Mark::ALL.len() as u64), None);
    }
}
