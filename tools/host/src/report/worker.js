// In a worker: one request after the other, each by a policy. What comes is put together so that the page keeps up.
onmessage = ({ data: { module, requests, ops } }) => {
  let told = 0;
  requests.forEach((request, index) => {
    const tell = (done) => {
      const now = performance.now();
      if (now - told < 80) return;
      told = now;
      postMessage({ done: (index + Math.min(done / ops, 1)) / requests.length });
    };
    try {
      postMessage({ index, answer: JSON.parse(run(module, request, tell)), done: (index + 1) / requests.length });
    } catch (error) {
      postMessage({ index, answer: { error: error.message }, done: 1 });
    }
  });
  postMessage({ done: 1, ended: true });
};
