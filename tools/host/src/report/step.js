// Goes from step to step; without it all steps are listed.
for (const stepper of document.querySelectorAll(".stepper")) {
  const rows = [...stepper.querySelectorAll("tbody tr")];
  const stops = rows.flatMap((row, at) => (row.classList.contains("remark") ? [] : [at]));
  const names = [...stepper.querySelectorAll("thead th")].slice(1).map((th) => th.textContent);
  const bar = document.createElement("div");
  bar.className = "controls";
  const button = (text, go) => {
    const made = document.createElement("button");
    made.type = "button";
    made.textContent = text;
    made.addEventListener("click", go);
    bar.append(made);
    return made;
  };
  let now = -1;
  const back = button("previous", () => show(now - 1));
  const next = button("next", () => show(now + 1));
  const all = button("all steps", () => show(-1));
  const count = document.createElement("span");
  count.setAttribute("role", "status");
  const state = document.createElement("dl");
  state.className = "state";
  bar.append(count, state);
  const show = (to) => {
    if (to < -1 || to >= stops.length) return;
    now = to;
    const last = now < 0 ? rows.length - 1 : (stops[now + 1] ?? rows.length) - 1;
    rows.forEach((row, at) => {
      row.classList.toggle("now", now >= 0 && at >= stops[now] && at <= last);
      row.classList.toggle("later", at > last);
    });
    back.disabled = now < 0;
    next.disabled = now === stops.length - 1;
    all.disabled = now < 0;
    count.textContent = now < 0 ? `${stops.length} steps` : `step ${now + 1} of ${stops.length}`;
    state.replaceChildren(
      ...names.flatMap((name, cpu) => {
        const acts = rows.slice(0, last + 1).map((row) => row.cells[cpu + 1]).filter((cell) => cell.classList.contains("act"));
        const buffer = acts.at(-1)?.querySelector(".buffer");
        const [dt, dd] = [document.createElement("dt"), document.createElement("dd")];
        dt.textContent = name;
        dd.textContent = buffer ? buffer.textContent : "buffer: empty";
        return now < 0 ? [] : [dt, dd];
      }),
    );
  };
  stepper.querySelector(".scroll").before(bar);
  stepper.addEventListener("keydown", (event) => {
    const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (by === undefined || event.altKey || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    show(now + by);
  });
  show(-1);
}
// A link to a mistake opens it.
const open = () => {
  const there = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (there instanceof HTMLDetailsElement) there.open = true;
};
addEventListener("hashchange", open);
open();
