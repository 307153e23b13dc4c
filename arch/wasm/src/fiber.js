// The half of fiber.rs that no program in WebAssembly can do itself: it sets the pointer of the stack, and tells the pass
// `--asyncify` when to write down what a pausing fiber was in, and when to call that again.
//
// `imports` is the module `fiber` of an instance, which `bind` is given once it is there.
function fibers() {
  const UNWINDING = 1, REWINDING = 2;
  let program, current;
  // The fields of `State` that fiber.rs keeps for this file.
  const state = (fiber) => {
    const [STACK_POINTER, CALLS, HAS_PAUSED] = [0, 1, 3];
    const words = new Uint32Array(program.memory.buffer, fiber);
    return { words, STACK_POINTER, HAS_PAUSED, calls: fiber + 4 * CALLS };
  };
  const resume = (fiber) => {
    const own = program.__stack_pointer.value;
    const { words, STACK_POINTER, HAS_PAUSED, calls } = state(fiber);
    current = fiber;
    program.__stack_pointer.value = words[STACK_POINTER];
    if (words[HAS_PAUSED]) program.asyncify_start_rewind(calls);
    program.enter_fiber(fiber);
    if (program.asyncify_get_state() === UNWINDING) program.asyncify_stop_unwind();
    program.__stack_pointer.value = own;
    current = undefined;
  };
  const pause = () => {
    if (current === undefined) throw new Error("what pauses is no fiber");
    if (program.asyncify_get_state() === REWINDING) return program.asyncify_stop_rewind();
    const { words, STACK_POINTER, HAS_PAUSED, calls } = state(current);
    words[STACK_POINTER] = program.__stack_pointer.value;
    words[HAS_PAUSED] = 1;
    program.asyncify_start_unwind(calls);
  };
  return { imports: { resume, pause }, bind: (instance) => (program = instance.exports) };
}
