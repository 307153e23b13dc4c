// What a reader moves is counted by the simulator, in a worker; a count that is no longer asked for is given up.
{
  const get = (id) => document.getElementById(id);
  const [form, table, command] = [get("tried"), get("tried-table"), get("tried-command").firstElementChild];
  const [status, progress] = [form.querySelector("[role=status]"), form.querySelector("progress")];
  const lines = [...form.querySelectorAll("[type=range]")];
  const body = table.tBodies[0];
  // Where the first figures come from; those of other settings, from the command above.
  const source = table.parentElement.previousElementSibling.querySelector(".from");
  const [first, firstCommand] = [[...body.rows], command.textContent];
  const [low, high] = table.dataset.handler.split(" ").map(Number);
  const count = (value) => (value === null ? "-" : value.toLocaleString("en"));

  const value = (line) => Number(line.dataset.values.split(" ")[line.value]);
  const named = (line) => {
    const kilobytes = 4 << value(line);
    if (line.name === "order") return kilobytes < 1024 ? `${kilobytes} KiB` : `${kilobytes / 1024} MiB`;
    return count(value(line));
  };
  // Every setting, as the command line and the module know it.
  const settings = () => ({
    ...Object.fromEntries(lines.map((line) => [line.name, value(line)])),
    workload: form.elements.workload.value,
    invlpgb: form.elements.invlpgb.checked ? "on" : "off",
  });
  const policies = () => [...form.querySelectorAll("[name=policy]:checked")].map((box) => box.value);
  const label = () => {
    for (const line of lines) {
      line.previousElementSibling.textContent = named(line);
      line.setAttribute("aria-valuetext", named(line));
    }
    const flags = Object.entries({ ...settings(), policy: policies().join(",") });
    const words = flags.map(([key, value]) => `--${key.replaceAll("_", "-")} ${value}`);
    command.textContent = `tools/gupsync compare --accel sim ${words.join(" ")}`;
  };

  const cells = (row) => {
    const each = row.sync_ipis / row.ops;
    const targets = (row.flush_ipis + row.sync_ipis + row.other_ipis) / row.ops;
    const time = targets === 0 ? "0" : [low, high].map((handler) => ((targets * handler) / 1000).toFixed(1)).join(" to ");
    const shown = Number.isInteger(each) ? count(each) : each.toFixed(3);
    const isCounted = row.ops > 0;
    return [count(row.sync_ipis), isCounted ? shown : "-", count(row.flush_ipis), count(row.syncs_skipped), isCounted ? time : "-"];
  };
  // The rows that have come, and the names of those that are to come.
  const draw = (rows, coming) => {
    const most = Math.max(1, ...rows.map((row) => row.sync_ipis ?? 0));
    const one = (row) => {
      const made = document.createElement("tr");
      const cell = (kind, text, name = "") => {
        const cell = document.createElement(kind);
        cell.className = name;
        cell.textContent = text;
        made.append(cell);
        return cell;
      };
      cell("th", row.policy).scope = "row";
      cells(row).forEach((text) => cell("td", text, "num"));
      cell("td", row.status).title = row.detail ?? "";
      const bar = cell("td", "", "bar");
      if (row.sync_ipis) bar.append(document.createElement("i"));
      if (row.sync_ipis) bar.firstChild.style.width = `${((100 * row.sync_ipis) / most).toFixed(1)}%`;
      made.classList.toggle("bad", row.status !== "ok");
      return made;
    };
    const empty = (policy) => {
      const made = one({ policy, sync_ipis: null, flush_ipis: null, syncs_skipped: null, status: "ok" });
      made.className = "later";
      [...made.cells].slice(1).forEach((cell) => (cell.textContent = "\u2026"));
      return made;
    };
    body.replaceChildren(...rows.map(one), ...coming.map(empty));
  };

  const say = (text, isBad) => {
    status.textContent = text;
    status.className = isBad ? "bad" : "";
  };
  // Unpacked when it is first needed.
  let packed;
  const unpack = async () => {
    const bytes = Uint8Array.from(atob(get("tried-module").textContent), (letter) => letter.charCodeAt(0));
    const whole = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
    return WebAssembly.compile(await new Response(whole).arrayBuffer());
  };
  let worker, number = 0;
  const start = async () => {
    const own = ++number;
    worker?.terminate();
    const [asked, chosen] = [settings(), policies()];
    if (chosen.length === 0) return say("--policy: name at least one", true);
    table.classList.add("stale");
    source.hidden = true;
    progress.value = 0;
    say("counting");
    try {
      const module = await (packed ??= unpack());
      if (own !== number) return;
      const source = URL.createObjectURL(new Blob([get("tried-run").textContent], { type: "text/javascript" }));
      worker = new Worker(source);
      URL.revokeObjectURL(source);
      const rows = [];
      const fail = (text) => {
        worker.terminate();
        say(text, true);
        progress.value = 0;
      };
      worker.onerror = (event) => fail(event.message);
      worker.onmessage = ({ data: { answer, done, ended } }) => {
        if (own !== number) return;
        progress.value = done;
        if (answer?.error) return fail(answer.error);
        if (answer) {
          rows.push(...answer.rows);
          draw(rows, chosen.slice(rows.length));
          table.classList.remove("stale");
        }
        if (ended) say("counted in this page");
      };
      const { cpus, ...others } = asked;
      const words = Object.entries(others).map(([key, value]) => `${key}=${value}`).join(" ");
      const requests = chosen.map((policy) => `cpus=${cpus} policy=${policy} ${words}`);
      worker.postMessage({ module, requests, ops: asked.ops });
    } catch (error) {
      if (own === number) say(`this browser cannot run it: ${error.message}`, true);
    }
  };

  let timer;
  form.addEventListener("input", () => {
    label();
    clearTimeout(timer);
    timer = setTimeout(start, 150);
  });
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () =>
    setTimeout(() => {
      clearTimeout(timer);
      number++;
      worker?.terminate();
      label();
      command.textContent = firstCommand;
      body.replaceChildren(...first);
      table.classList.remove("stale");
      source.hidden = false;
      progress.value = 1;
      say("counted beforehand");
    }),
  );
  if (typeof WebAssembly === "object" && typeof Worker === "function" && typeof DecompressionStream === "function") {
    // A browser may have kept what was chosen before.
    form.reset();
    form.hidden = false;
    get("tried-without").remove();
  }
}
