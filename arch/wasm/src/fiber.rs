//! Flows of code, each on a stack of its own.

use std::ffi::c_void;
use std::marker::PhantomData;
use std::ptr::{NonNull, null_mut};

/// The bytes of a fiber: its stack in memory; below that what its calls keep in no memory, written down while it pauses.
const STACK: usize = 0x4000;
const CALLS: usize = 0x2000;
/// What stands between the two, to find a stack that has grown out of its place.
const MARK: [u64; 2] = [0x6775_7073_796e_6321; 2];

/// The state of a fiber. `fiber.js` reads and writes what comes before `body`.
#[repr(C, align(16))]
struct State<'r> {
    /// The pointer of its stack, where it begins or where it was left.
    stack_pointer: *mut u8,
    /// Where its calls are written down, and the end of that place: the form that `--asyncify` wants.
    calls_top: *mut u8,
    calls_end: *mut u8,
    /// Not 0 once it has paused.
    has_paused: u32,
    /// What it does, until it begins.
    body: Option<Box<dyn FnOnce() + 'r>>,
    has_ended: bool,
    calls: [u64; CALLS / 8],
    mark: [u64; 2],
    stack: [u64; STACK / 8],
}

#[link(wasm_import_module = "fiber")]
unsafe extern "C" {
    /// Switches to the fiber with this [`State`] until it pauses or ends.
    fn resume(fiber: NonNull<c_void>);
    /// Comes back from [`resume`]; returns when the fiber goes on.
    fn pause();
}

/// Called by `resume` of `fiber.js`, on the stack of `fiber`: once to begin it, and again to go on with it, when nothing is
/// done here but to call what it was in.
#[unsafe(no_mangle)]
extern "C" fn enter_fiber(fiber: NonNull<c_void>) {
    let fiber = fiber.as_ptr().cast::<State<'_>>();
    // SAFETY: `Fiber::resume` has passed it, and refers to nothing of it while this runs.
    let body = unsafe { (*fiber).body.take() };
    body.expect("a fiber begins once")();
    // SAFETY: as above; what `body` did has no reference to this field.
    unsafe { (*fiber).has_ended = true };
}

/// A flow of code on a stack of its own.
///
/// One that is given up before it has ended is not taken down: it keeps its memory, and what it owns is not dropped.
pub struct Fiber<'r> {
    state: NonNull<State<'r>>,
    body: PhantomData<Box<dyn FnOnce() + 'r>>,
}

impl<'r> Fiber<'r> {
    /// A fiber that is to run `body`.
    pub fn new(body: impl FnOnce() + 'r) -> Self {
        let mut state = Box::new(State {
            stack_pointer: null_mut(),
            calls_top: null_mut(),
            calls_end: null_mut(),
            has_paused: 0,
            body: Some(Box::new(body)),
            has_ended: false,
            calls: [0; CALLS / 8],
            mark: MARK,
            stack: [0; STACK / 8],
        });
        // A stack grows downwards, from its end.
        state.stack_pointer = state.stack.as_mut_ptr_range().end.cast();
        let calls = state.calls.as_mut_ptr_range();
        (state.calls_top, state.calls_end) = (calls.start.cast(), calls.end.cast());
        Fiber { state: NonNull::from(Box::leak(state)), body: PhantomData }
    }

    /// Runs it until it pauses or ends; says whether it has ended.
    ///
    /// # Panics
    ///
    /// If it had ended, or has used more stack than it has.
    pub fn resume(&mut self) -> bool {
        let state = self.state.as_ptr();
        assert!(!self.has_ended(), "a fiber that has ended goes on");
        // SAFETY: the state is whole and this one's own; `enter_fiber` alone uses it meanwhile.
        unsafe { resume(self.state.cast()) };
        // SAFETY: it is this one's own, and nothing else uses it now.
        let mark = unsafe { (*state).mark };
        assert_eq!(mark, MARK, "a fiber has used more than the {STACK} bytes of its stack");
        self.has_ended()
    }

    fn has_ended(&self) -> bool {
        // SAFETY: it is this one's own, and nothing else uses it now.
        unsafe { (*self.state.as_ptr()).has_ended }
    }
}

impl Drop for Fiber<'_> {
    fn drop(&mut self) {
        if self.has_ended() {
            // SAFETY: `new` has leaked it from a box, and nothing else refers to it.
            drop(unsafe { Box::from_raw(self.state.as_ptr()) });
        }
    }
}

/// Leaves the fiber that runs until it is resumed.
///
/// # Panics
///
/// In `fiber.js`, if none runs.
pub fn suspend() {
    // SAFETY: all that can be reached of this thread stays as it is until `resume` is called again.
    unsafe { pause() };
}
