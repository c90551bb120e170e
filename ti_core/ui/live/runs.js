// Every run on disk, newest first. A row and its buttons stay the same elements as long as their run is in the list.
/* global server, state, part, put, putChildren, isOver, tick, trigger, drawOverlayChoices, watchThumbnail, showRun */
/* exported askForRun, drawRuns, listenToRuns */

const RUN_ACTIONS = [
  ["open", "Open", "Open the run"],
  ["hide", "Hide", "Hide this run, and show the newest job:"],
  ["resume", "Resume", "Resume the run"],
  ["train-on", "Train on", "Fill in the form to train on the run"],
  ["settings", "Settings into the form", "Put the settings into the form of the run"],
  ["rename", "Rename", "Rename the run"],
  ["delete", "Delete", "Delete, into the bin, the run"],
];

function makeRun(run) {
  const item = document.createElement("li");
  const [thumb, what, buttons, zip] = ["span", "span", "span", "a"].map((name) => document.createElement(name));
  const [more, summary] = [document.createElement("details"), document.createElement("summary")];
  item.dataset.run = run;
  thumb.className = "thumb";
  what.className = "what";
  buttons.className = "acts";
  zip.href = `live/zip?${new URLSearchParams({ run })}`;
  zip.download = "";
  zip.textContent = "Download zip";
  const by = Object.fromEntries(RUN_ACTIONS.map(([action, text]) => [action, runButton(action, text)]));
  more.className = "run-more";
  summary.textContent = "More";
  more.append(summary, by["train-on"], by.settings, by.rename, by.delete, zip);
  buttons.append(by.open, by.hide, by.resume, more);
  item.append(thumb, what, buttons);
  watchThumbnail(item);
  return { item, what, summary, zip, by, row: null };
}

function runButton(action, text) {
  const button = document.createElement("button");
  button.type = "button";
  button.dataset.action = action;
  button.textContent = text;
  return button;
}

function runText({ name, step, total, day, resume }) {
  const at = total ? `${step} of ${total} steps` : `${step} steps`;
  return `${name} · ${at}${resume ? ", stopped" : ""} · ${day}`;
}

function drawRun(drawn) {
  const { row, item, what, summary, zip, by } = drawn;
  const isShown = state.run === row.run;
  const called = `${row.name} of ${row.day}`;
  if (what.textContent !== runText(row)) what.textContent = runText(row);
  if (item.dataset.picture !== row.picture) {
    item.dataset.picture = row.picture;
    watchThumbnail(item);
  }
  isShown ? item.setAttribute("aria-current", "true") : item.removeAttribute("aria-current");
  summary.setAttribute("aria-label", `More for the run ${called}`);
  zip.setAttribute("aria-label", `Download zip of all files of the run ${called}`);
  const hidden = { hide: !isShown || !state.show, resume: !row.resume || state.runsInUse.has(row.run) };
  for (const [action, , label] of RUN_ACTIONS) {
    by[action].setAttribute("aria-label", `${label} ${called}`);
    const isForTrainers = !["open", "hide"].includes(action);
    by[action].hidden = Boolean(hidden[action]) || (isForTrainers && !state.mayTrain);
  }
}

// The rows that have changed come; who looks for the first time gets all.
function takeRuns({ mark, rows, gone, whole, more }) {
  const { runs } = state;
  if (!rows) return;
  runs.mark = mark;
  const stays = new Set(rows.map((row) => row.run));
  const leaving = whole ? [...runs.rows.keys()].filter((run) => !stays.has(run)) : gone;
  for (const run of leaving) runs.rows.delete(run);
  for (const row of rows) {
    const drawn = runs.rows.get(row.run) || makeRun(row.run);
    drawn.row = row;
    runs.rows.set(row.run, drawn);
  }
  const newest = [...runs.rows.values()].sort((a, b) => b.row.at - a.row.at || (a.row.run < b.row.run ? -1 : 1));
  const focused = document.activeElement;
  putChildren(
    part("#runs"),
    newest.map((drawn) => drawn.item),
  );
  if (part("#runs").contains(focused) && document.activeElement !== focused) focused.focus(); // its row has moved
  const button = part(".more-runs");
  button.hidden = !more;
  button.textContent = `Show older runs (${more})`;
  put(".run-count", newest.length ? `(${newest.length + more})` : "");
  drawOverlayChoices(newest.map((drawn) => drawn.row));
}

function drawRuns(d) {
  if (d.line) state.runsInUse = new Set(d.line.filter((row) => !isOver(row.state)).map((row) => row.run));
  takeRuns(d.runs);
  for (const drawn of state.runs.rows.values()) drawRun(drawn);
  part(".runs").hidden = !state.runs.rows.size && !state.mayTrain;
  part(".bin").hidden = !state.mayTrain;
}

// ---- what its buttons do

async function askForRun(what, run) {
  try {
    const answer = await fetch(`live/${what}?${new URLSearchParams({ run })}`);
    if (answer.ok) return answer.json();
    put(".queue-note", await answer.text());
  } catch {
    put(".queue-note", "The server does not answer. Try again.");
  }
  return null;
}

async function changeRun(run, action, name = "") {
  const key = `${action} ${run}`;
  if (state.asked.has(key)) return; // two quick presses are one wish
  state.asked.add(key);
  try {
    const answer = await server.change_run({ run, action, name });
    put(".queue-note", answer.message);
    if (state.show === run && answer.run !== run) state.show = answer.run;
    if (action === "resume") state.show = "";
  } catch {
    put(".queue-note", "The server does not answer. Try again.");
  }
  state.asked.delete(key);
  state.hurryUntil = Date.now() + 3000;
  if (part(".bin").open) fetchBin();
  tick();
}

function askForName({ item, row, by }) {
  if (item.querySelector("form")) return;
  const [form, box, save] = ["form", "input", "button"].map((name) => document.createElement(name));
  box.value = row.name;
  box.maxLength = 100;
  box.setAttribute("aria-label", `New name of the run ${row.name}`);
  save.textContent = "Save";
  form.append(box, save);
  const close = () => {
    form.remove();
    by.rename.focus();
  };
  form.onsubmit = (event) => {
    event.preventDefault();
    changeRun(row.run, "rename", box.value);
    close();
  };
  form.onkeydown = (event) => {
    if (event.key === "Escape") close();
  };
  item.append(form);
  box.select();
}

function actOnRun(event) {
  const { action } = event.target.closest("button")?.dataset || {};
  const drawn = state.runs.rows.get(event.target.closest("[data-run]")?.dataset.run);
  if (!drawn) return;
  const { run } = drawn.row;
  if (event.target.closest(".thumb") || action === "open") return showRun(run);
  if (action === "hide") return showRun("");
  if (action === "rename") return askForName(drawn);
  if (action === "train-on") return trigger("take_run", { run, go_on: true });
  if (action === "settings") return trigger("take_run", { run, go_on: false });
  if (action) changeRun(run, action);
}

// ---- the bin, asked for only while somebody looks into it

async function fetchBin() {
  const answer = await askForRun("bin", "");
  if (!answer) return;
  const items = answer.runs.map((run) => {
    const item = document.createElement("li");
    const [what, button] = [document.createElement("span"), runButton("restore", "Restore")];
    what.textContent = run;
    button.setAttribute("aria-label", `Restore the run ${run}`);
    button.onclick = () => changeRun(run, "restore");
    item.append(what, button);
    return item;
  });
  part(".binned").replaceChildren(...items);
  part(".bin-empty").hidden = items.length > 0;
  part(".empty-bin").hidden = !items.length;
  if (items.length !== part(".empty-bin").count) offerToEmpty(items.length);
}

// Asked once more, because nothing brings back what was deleted from the bin.
function offerToEmpty(count, isSure = false) {
  const place = part(".empty-bin");
  place.count = count;
  const what = count === 1 ? "this run" : `these ${count} runs`;
  const [first, keep] = isSure
    ? [runButton("empty", `Delete ${what} for ever`), runButton("keep", "Keep")]
    : [runButton("ask", "Empty the bin")];
  first.onclick = () => (isSure ? changeRun("", "empty") : offerToEmpty(count, true));
  if (keep) keep.onclick = () => offerToEmpty(count);
  const hadFocus = place.contains(document.activeElement);
  place.replaceChildren(...[first, keep].filter(Boolean));
  if (hadFocus) (keep || first).focus();
}

function listenToRuns() {
  part("#runs").addEventListener("click", actOnRun);
  part(".bin").addEventListener("toggle", () => part(".bin").open && fetchBin());
  part(".repair").onclick = () => changeRun(state.run, "repair");
  part(".more-runs").onclick = () => {
    state.runs.most += 200;
    state.runs.mark = "";
    tick();
  };
}
