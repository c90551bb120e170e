// The devices on which jobs run side by side: a lane for each, which leads to its job. One alone has no lane, only a
// line that says what it keeps for the next job.
/* global state, part, put, putChildren, tick, askForAction */
/* exported drawLanes, listenToLanes, hasLanes */

function hasLanes() {
  return state.lanes.length > 1;
}

function laneText(lane) {
  if (lane.title) return lane.title;
  return lane.holds ? `keeps ${lane.holds}` : "free";
}

function freeText(lane) {
  return lane.is_card ? "Free the card's memory" : "Free the memory";
}

function makeLane() {
  const [item, show, name, what, percent] = ["li", "button", "strong", "span", "em"].map((tag) =>
    document.createElement(tag),
  );
  const [bar, fill, free] = ["i", "b", "button"].map((tag) => document.createElement(tag));
  show.type = free.type = "button";
  show.className = "lane";
  free.className = "free";
  bar.append(fill);
  show.append(name, what, percent, bar);
  item.append(show, free);
  return item;
}

function fillText(at, text) {
  if (at.textContent !== text) at.textContent = text;
}

function drawLane(item, lane, shown) {
  const [show, free] = item.children;
  const [name, what, percent, bar] = show.children;
  const done = lane.total > 1 ? Math.floor((100 * lane.done) / lane.total) : 0;
  fillText(name, lane.name);
  name.title = lane.called;
  fillText(what, laneText(lane));
  what.title = what.textContent;
  fillText(percent, lane.total > 1 ? `${done} %` : "");
  bar.firstChild.style.width = `${Math.min(100, done)}%`;
  item.dataset.state = lane.job ? "running" : "idle";
  show.dataset.job = lane.small ? "" : lane.job;
  show.setAttribute("aria-pressed", Boolean(lane.job) && lane.job === shown);
  show.setAttribute("aria-disabled", !show.dataset.job);
  drawFree(free, lane, "Free memory");
}

function drawFree(button, lane, text) {
  button.hidden = !lane.holds || !state.mayTrain;
  button.dataset.place = lane.name;
  fillText(button, text);
  button.title = freeText(lane);
  button.setAttribute("aria-label", `${freeText(lane)}: ${lane.name}`);
}

function drawLanes(d) {
  state.lanes = d.lanes || [];
  const list = part(".lanes");
  list.hidden = !hasLanes();
  const items = hasLanes() ? state.lanes.map((_, i) => list.children[i] || makeLane()) : [];
  putChildren(list, items);
  items.forEach((item, i) => drawLane(item, state.lanes[i], d.job));
  const [only] = state.lanes;
  part(".kept-model").hidden = hasLanes() || !only || !only.holds;
  if (part(".kept-model").hidden) return;
  put(".kept-model span", `${only.holds} is kept in memory for the next job.`);
  drawFree(part(".kept-model .free"), only, freeText(only));
}

// Unlike a row of the list it stands above what it shows, so nothing is scrolled.
function chooseLane(job) {
  state.show = job;
  state.queueVersion = ""; // the buttons of the list depend on it
  tick();
}

function listenToLanes() {
  part(".lanes").addEventListener("click", ({ target }) => {
    const lane = target.closest(".lane");
    if (lane && lane.dataset.job) chooseLane(lane.dataset.job);
  });
  for (const query of [".lanes", ".kept-model"]) {
    part(query).addEventListener("click", ({ target }) => {
      const free = target.closest(".free");
      if (free) askForAction(free.dataset.place, "free");
    });
  }
}
