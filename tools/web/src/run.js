// Runs a request in an instance of its own, and gives the answer. `tell` is called with how many operations are done.
function run(module, request, tell) {
  const stacks = fibers();
  const asked = new TextEncoder().encode(request);
  let program, answer, reason;
  const bytes = (from, length) => new Uint8Array(program.memory.buffer, from, length);
  const text = (from, length) => new TextDecoder().decode(bytes(from, length));
  const host = {
    read(to, most) {
      if (asked.length <= most) bytes(to, asked.length).set(asked);
      return asked.length;
    },
    write(from, length) { answer = text(from, length); },
    died(from, length) { reason = text(from, length); },
    progress: tell,
  };
  const instance = new WebAssembly.Instance(module, { fiber: stacks.imports, host });
  program = instance.exports;
  stacks.bind(instance);
  try {
    program.main(0, 0);
  } catch (error) {
    throw reason === undefined ? error : new Error(reason.replaceAll("\n", " "));
  }
  return answer;
}
