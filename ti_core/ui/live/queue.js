// The list of jobs. A row and its buttons stay the same elements as long as their job is in the list, so that a button
// is still there when the finger that pressed it is lifted, and the keyboard keeps its place.
/* global server, state, NAMES, part, put, putChildren, isOver, tick, showRun, hasLanes */
/* exported drawQueue, listenToQueue, askForAction */

const HURRY_MS = 3000; // after a button was pressed, to show soon what came of it

function makeRow(id) {
  const [item, what, buttons] = ["li", "span", "span"].map((name) => document.createElement(name));
  item.dataset.job = id;
  buttons.className = "acts";
  item.append(what, buttons);
  const made = { item, what, buttons, state: "" };
  state.rows.set(id, made);
  return made;
}

// [action, text, label] of each button of a row.
function actionsOf(row, place, d) {
  const actions = [];
  const { title } = row;
  const waits = row.state === "waiting";
  if (row.shows && row.id !== d.job) actions.push(["show", "Open", `Open its pictures: ${title}`]);
  if (state.show && row.id === d.job)
    actions.push(["close", "Hide", `Hide its pictures, and show the newest job: ${title}`]);
  if (d.you && !d.you.may_train) return actions;
  if (waits && place > 1) actions.push(["up", "Up", `Move up: ${title}`]);
  if (waits) actions.push(["cancel", "Cancel", `Cancel: ${title}`]);
  if (row.state === "running") actions.push(["cancel", "Stop", `Stop: ${title}`]);
  if (row.resume !== null) actions.push(["resume", "Resume", `Resume from step ${row.resume}: ${title}`]);
  if (row.again) actions.push(["again", "Run again", `Run again, with the same settings: ${title}`]);
  if (isOver(row.state) || row.state === "cancelled") {
    actions.push(["put_away", "Put away", `Put away from this list: ${title}`]);
  }
  return actions;
}

function drawButtons(parent, actions) {
  const before = new Map([...parent.children].map((button) => [button.dataset.action, button]));
  const buttons = actions.map(([action, text, label]) => {
    const button = before.get(action) || document.createElement("button");
    button.type = "button";
    button.dataset.action = action;
    button.setAttribute("aria-label", label);
    if (button.textContent !== text) button.textContent = text;
    return button;
  });
  putChildren(parent, buttons);
}

function rowText(row, place) {
  const owner = row.owner && row.owner !== "local" ? ` (${row.owner})` : "";
  const stopped = row.total > 1 && ["interrupted", "failed"].includes(row.state);
  const step = stopped ? ` at ${Math.max(row.done, row.resume || 0)} / ${row.total}` : "";
  const after = row.behind ? `, after '${row.behind}'` : "";
  const at = row.place ? ` on ${row.place}` : "";
  const state =
    row.state === "waiting" ? `waiting, number ${place}${after}` : (NAMES[row.state] || row.state) + at + step;
  return `${row.title}${owner}: ${state}`;
}

function drawRow(row, place) {
  const drawn = state.rows.get(row.id) || makeRow(row.id);
  const text = rowText(row, place);
  if (drawn.what.textContent !== text) {
    drawn.what.textContent = text;
    // what was asked for is seen before its answer arrives
    for (const key of state.asked) if (key.endsWith(` ${row.id}`)) state.asked.delete(key);
  }
  // There is a new result to look at; but what was asked for since the last answer is newer still
  const isNew = isOver(row.state) && ["waiting", "running"].includes(drawn.state) && !row.small;
  if (isNew && state.show === state.drawnShow && !hasLanes()) state.show = "";
  drawn.item.dataset.state = drawn.state = row.state;
  return drawn;
}

function moreText(count) {
  if (!count) return "";
  return count === 1 ? "1 more is waiting" : `${count} more are waiting`;
}

function drawQueue(d) {
  if (!d.line) return; // it comes only when something changed
  state.queueVersion = d.version;
  const list = part(".jobs");
  const focused = document.activeElement;
  let place = 0;
  const places = d.line.map((row) => (place += row.state === "waiting"));
  const drawn = d.line.map((row, i) => drawRow(row, places[i]));
  d.line.forEach((row, i) => drawButtons(drawn[i].buttons, actionsOf(row, places[i], d)));
  const ids = new Set(d.line.map((row) => row.id));
  for (const id of [...state.rows.keys()]) if (!ids.has(id)) state.rows.delete(id);
  part(".queue").hidden = !d.line.length;
  put(".queue-more", moreText(d.more_waiting));
  putChildren(
    list,
    drawn.map((row) => row.item),
  );
  if (list.contains(focused) && document.activeElement !== focused) focused.focus(); // its row has moved
}

async function askForAction(job, action) {
  const key = `${action} ${job}`;
  if (state.asked.has(key)) return; // two quick presses are one wish; not by `disabled`, which takes the focus away
  state.asked.add(key);
  try {
    put(".queue-note", await server.change_job({ job, action }));
  } catch {
    put(".queue-note", "The server does not answer. Try again.");
  }
  state.asked.delete(key);
  state.hurryUntil = Date.now() + HURRY_MS;
  tick();
}

function listenToQueue() {
  part(".jobs").addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    const { action } = button.dataset;
    const { job } = button.closest("li").dataset;
    if (action !== "show" && action !== "close") return askForAction(job, action);
    showRun(action === "show" ? job : "");
  });
}
