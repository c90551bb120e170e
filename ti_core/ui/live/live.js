// Asks the server for what is new since this page's cursor, and draws it. Foreign text goes in by textContent only.
const find = query => element.querySelector(query), POLL_MS = @POLL_MS@;
const NAMES = {
  idle: "ready", waiting: "waiting", running: "running", finished: "finished", interrupted: "interrupted",
  failed: "failed", foreign: "of another version", lost: "no connection", stopping: "stopping",
};
const NOTHING_SEEN = { curve: 0, previews: 0, notices: 0, evaluations: 0 };
if (!window.formsAreBack) { document.body.inert = true; setTimeout(() => { document.body.inert = false; }, 15000); }  // what the page puts back must not undo what somebody chooses meanwhile
let version = "", cursor = { job: "", ...NOTHING_SEEN }, curve = [], evaluations = [], usual = [0, 0], best = 0, previews = [], kind = "", over = false, ended = null, timer = 0, busy = false, again = false, show = "", hurry = 0, shown = 0;

const isOver = state => ["finished", "interrupted", "failed"].includes(state);
const isTraining = kind => kind === "train" || kind === "resume";
const nth = step => `${kind === "txt2img" ? "picture" : "step"} ${step}`;
const short = value => Math.abs(value) >= 0.000001 || value === 0 ? String(+value.toPrecision(3)) : value.toExponential(1);
const clock = s => s < 60 ? `${s} s` : s < 3600 ? `${Math.floor(s / 60)} min ${s % 60} s` : `${Math.floor(s / 3600)} h ${Math.floor(s % 3600 / 60)} min`;
const put = (query, text) => { const at = find(query); if (at.textContent !== text) at.textContent = text; };

// While a finger or a mouse button is down nothing moves, so that what was pressed is still there when it is let go.
const HELD_MS = 10000;  // at most: its end may never be told
let heldSince = 0;
const isHeld = () => Date.now() - heldSince < HELD_MS;
element.addEventListener("pointerdown", () => { heldSince = Date.now(); });
for (const end of ["pointerup", "pointercancel", "blur"]) window.addEventListener(end, () => { heldSince = 0; });

function putChildren(parent, items) {  // what is in its place already is not touched, and keeps its focus
  for (const child of [...parent.children]) if (!items.includes(child)) child.remove();
  items.forEach((item, i) => { if (parent.children[i] !== item) parent.insertBefore(item, parent.children[i] || null); });
}

function startJob(job) {
  cursor = { job, ...NOTHING_SEEN }; curve = []; evaluations = []; best = 0; previews = [];
  find(".grid").replaceChildren(); find(".notices").replaceChildren(); find(".result").replaceChildren(); find(".files").replaceChildren(); delete find(".files").dataset.key;
  find(".previews").hidden = find(".saved").hidden = true; drawChart();
  find(".large").close();  // its step is one of the former run
  put(".line-note", "");
  stepsSeen = ""; stepItems = []; find(".every-step").open = false; drawSteps();
}

function drawHead(d) {
  const state = find(".state");
  state.dataset.state = find(".text").dataset.state = d.state; put(".state", NAMES[d.stopping && d.state === "running" ? "stopping" : d.state] || d.state); put(".title", d.title || "");
  const share = d.total ? 100 * d.done / d.total : d.state === "finished" ? 100 : 0, what = isTraining(d.kind) && d.curve_next ? "step " : "";
  find(".fill").style.width = Math.min(100, share) + "%"; find(".bar").setAttribute("aria-valuenow", Math.round(share));
  put(".count", [d.total > 1 ? `${what}${d.done} / ${d.total}` : "", d.pace ? `${+d.pace.toPrecision(2)} it/s` : "", d.eta_s != null ? `ETA ${clock(d.eta_s)}` : ""].filter(Boolean).join("  ·  "));
  put(".text", d.job ? d.text || "" : "Nothing is running. New here? Press the button above, then the orange button of each tab. What happens is shown here, for everyone who opens this page.");
  const silent = d.stopping ? "What does not answer for ten seconds is ended, and what was saved is kept." : "Interrupt ends it within ten seconds, and what was saved is kept.";
  put(".quiet", !d.quiet_s ? "" : d.answers ? `No news for ${clock(d.quiet_s)}; it is still at work.` : `No news for ${clock(d.quiet_s)}: the work does not answer. ${silent}`);
  put(".plan", d.plan || ""); put(".you", d.you && !d.you.may_train ? `You are signed in as ${d.you.name} and may look, not change.` : "");
  find(".prompt").hidden = !d.prompt; put(".prompt .words", d.prompt || "");
}

function points(rows, value, lo, hi, first, last) {
  return rows.map(row => `${(600 * (row[0] - first) / Math.max(1, last - first)).toFixed(1)},${(hi > lo ? 140 - 130 * (value(row) - lo) / (hi - lo) : 75).toFixed(1)}`).join(" ");
}

function drawChart() {
  find(".chart").hidden = !curve.length;
  if (!curve.length) return;
  let smooth = curve[0][1];
  const rows = curve.map(([step, loss, rate]) => [step, loss, rate, smooth += 0.15 * (loss - smooth)]);
  const thin = Math.ceil(rows.length / 600), kept = rows.filter((row, i) => i % thin === 0 || i === rows.length - 1);
  const first = rows[0][0], last = rows[rows.length - 1][0], newest = rows[rows.length - 1];
  const low = i => kept.reduce((m, row) => Math.min(m, row[i]), Infinity), high = i => kept.reduce((m, row) => Math.max(m, row[i]), -Infinity);
  const measured = evaluations.map(row => row[1]);
  const [lo, hi, slow, fast] = [Math.min(low(1), ...measured), Math.max(high(1), ...measured), low(2), high(2)];
  find(".evaluation").setAttribute("points", points(evaluations, row => row[1], lo, hi, first, last));
  drawNorms(first, last);
  find(".raw").setAttribute("points", points(kept, row => row[1], lo, hi, first, last));
  find(".loss").setAttribute("points", points(kept, row => row[3], lo, hi, first, last));
  const stairs = kept.flatMap((row, i) => i && row[2] !== kept[i - 1][2] ? [[row[0], 0, kept[i - 1][2]], row] : [row]);
  find(".rate").setAttribute("points", points(stairs, row => row[2], slow, fast, first, last));
  put(".loss-name", `loss ${short(newest[1])}, smoothed ${short(newest[3])}`); put(".rate-name", `learning rate ${short(newest[2])}`);
  put(".hi-loss", short(hi)); put(".lo-loss", short(lo)); put(".hi-rate", short(fast)); put(".lo-rate", slow < fast ? short(slow) : "");
  put(".from", `step ${first}`); put(".to", `step ${last}`);
  find(".plot svg").setAttribute("aria-label", `Loss and learning rate, step ${first} to ${last}. Loss now ${short(newest[1])}, between ${short(lo)} and ${short(hi)}.`);
}

function drawNorms(first, last) {
  find(".norms").hidden = !evaluations.length; put(".eval-name", "");
  if (!evaluations.length) return;
  const [step, loss, norm] = evaluations[evaluations.length - 1], top = 1.05 * Math.max(usual[1], ...evaluations.map(row => row[2])), band = find(".words-range");
  put(".eval-name", `evaluation ${short(loss)} at step ${step}, best step ${best}`);
  put(".norm-name", `Strength of the word (norm) ${short(norm)}; ordinary words have ${short(usual[0])} to ${short(usual[1])} (band). Far above, the prompt is obeyed less.`);
  band.setAttribute("y", 60 * (1 - usual[1] / top)); band.setAttribute("height", 60 * (usual[1] - usual[0]) / top);
  find(".norm").setAttribute("points", evaluations.map(row => `${(600 * (row[0] - first) / Math.max(1, last - first)).toFixed(1)},${(60 * (1 - row[2] / top)).toFixed(1)}`).join(" "));
}

function markBest() {
  for (const button of find(".grid").children) {
    const is = +button.dataset.step === best && best > 0;
    button.classList.toggle("best", is); button.lastChild.textContent = nth(button.dataset.step) + (is ? " · best" : "");
  }
}

function drawPreviews(rows) {
  for (const [step, url, prompt] of rows) {
    const index = previews.push({ step, url, prompt }) - 1, button = document.createElement("button"), image = document.createElement("img"), label = document.createElement("span");
    button.type = "button"; button.dataset.step = step; button.title = prompt; button.setAttribute("aria-label", `Open the preview of ${nth(step)}`); button.onclick = () => open(index);
    image.src = url; image.loading = "lazy"; image.decoding = "async"; image.alt = `Preview of ${nth(step)}`; label.textContent = nth(step);
    button.append(image, label); find(".grid").prepend(button);
  }
  cursor.previews += rows.length; find(".previews").hidden = !previews.length; put(".many", previews.length ? `(${previews.length}, newest first)` : "");
}

function open(index) {
  const at = previews[shown = Math.max(0, Math.min(previews.length - 1, index))], box = find(".large");
  box.querySelector("img").src = box.querySelector(".get").href = at.url; box.querySelector("img").alt = `Preview of ${nth(at.step)}`;
  box.querySelector("figcaption").textContent = `${nth(at.step)}: ${at.prompt}`; find(".use").hidden = !isTraining(kind) || !over; put(".used", ""); if (!box.open) box.showModal();
}
find(".use").onclick = async () => {
  put(".used", "…");
  try { put(".used", await server.use_step({ job: cursor.job, step: previews[shown].step })); } catch (problem) { put(".used", "The server does not answer."); }
};
find(".older").onclick = () => open(shown - 1); find(".newer").onclick = () => open(shown + 1); find(".close").onclick = () => find(".large").close();
find(".large").onclick = event => { if (event.target === find(".large")) find(".large").close(); };
find(".large").onkeydown = event => { if (event.key === "ArrowLeft") open(shown - 1); if (event.key === "ArrowRight") open(shown + 1); };

function link(name, url, text) {
  const at = document.createElement("a");
  at.href = url; at.download = name; at.textContent = text; at.setAttribute("aria-label", `Download ${name}`);
  return at;
}

function picture(name, url) {
  const at = link(name, url, ""), image = document.createElement("img");
  at.className = "picture"; at.title = image.alt = name; image.src = url; image.loading = "lazy"; at.append(image);
  return at;
}

function drawFiles(d) {
  const files = d.files.filter(([name, url]) => !previews.some(preview => preview.url === url)), key = JSON.stringify([files, d.state]), list = find(".files");
  if (list.dataset.key === key) return;
  list.dataset.key = key;
  const ended = d.state === "finished" || d.state === "interrupted", result = ended && d.kind !== "download" && files.length && /\.(pt|safetensors)$/.test(files[0][0]) ? files.shift() : null;
  find(".result").hidden = !result; find(".result").replaceChildren(...(result ? [link(...result, `Download ${result[0]}`)] : []));
  find(".saved").hidden = !files.length;
  const before = new Map([...list.children].map(item => [item.dataset.url, item]));
  putChildren(list, files.map(([name, url]) => before.get(url) || fileItem(d.kind, name, url)));
}

function fileItem(kind, name, url) {
  const item = document.createElement("li"), isPicture = /\.(png|webp|jpg)$/.test(name);
  const isShown = ["preprocess", "txt2img", "compare"].includes(kind) && isPicture;
  item.dataset.url = url;
  item.append(isShown ? picture(name, url) : link(name, url, isPicture ? `${name} (with embedding)` : name));
  return item;
}

// ---- the files of every step, asked for only while somebody looks at them

let stepsNow = "", stepsSeen = "", stepItems = [];  // which state of the list there is, and which was fetched
const everyStep = find(".every-step");

function drawSteps() {
  everyStep.hidden = !stepsNow;
  putChildren(everyStep.querySelector("ul"), stepItems);
  put(".how-many", stepItems.length ? `(${stepItems.length})` : "");
}

function stepItem([step, files]) {
  const item = document.createElement("li"), label = document.createElement("span");
  label.textContent = `step ${step}`;
  item.append(label, ...files.map(([kind, name, url]) => link(name, url, kind === "copy" ? name : kind)));
  return item;
}

async function fetchSteps() {  // goes on with the last one, whose picture may have come since
  const job = cursor.job, wanted = stepsNow, first = Math.max(0, stepItems.length - 1);
  try {
    const answer = await fetch("live/steps?" + new URLSearchParams({ job, first }));
    if (!answer.ok || job !== cursor.job) return;
    const { steps, more } = await answer.json();
    stepItems = [...stepItems.slice(0, first), ...steps.map(stepItem)];
    find(".more").hidden = !more;
    stepsSeen = wanted;
    drawSteps();
  } catch (problem) { put(".line-note", "The server does not answer. Try again."); }
}
const lookAtSteps = () => { if (everyStep.open && stepsNow && stepsNow !== stepsSeen) fetchSteps(); };
everyStep.addEventListener("toggle", lookAtSteps);
find(".more").onclick = fetchSteps;

// ---- the list of jobs: rows and buttons stay as long as their job is in it

const rows = new Map();  // id -> { item, what, acts, state }
const asked = new Set();  // "action id" of what was pressed and not answered yet

function makeRow(id) {
  const [item, what, acts] = ["li", "span", "span"].map(name => document.createElement(name));
  item.dataset.job = id; acts.className = "acts"; item.append(what, acts);
  const made = { item, what, acts, state: "" };
  rows.set(id, made);
  return made;
}

function actsOf(row, place, d) {  // action, text and label of each button
  const acts = [], waits = row.state === "waiting", title = row.title;
  if (row.shows && row.id !== d.job) acts.push(["show", "Show", `Show its pictures again: ${title}`]);
  if (show && row.id === d.job) acts.push(["close", "Close", `Close, and show the newest job: ${title}`]);
  if (d.you && !d.you.may_train) return acts;
  if (waits && place > 1) acts.push(["up", "Up", `Move up: ${title}`]);
  if (waits) acts.push(["cancel", "Cancel", `Cancel: ${title}`]);
  if (row.state === "running") acts.push(["cancel", "Stop", `Stop: ${title}`]);
  if (row.resume !== null) acts.push(["resume", "Resume", `Resume from step ${row.resume}: ${title}`]);
  if (row.again) acts.push(["again", "Again", `Again, with the same settings: ${title}`]);
  return acts;
}

function drawActs(acts, wanted) {
  const before = new Map([...acts.children].map(button => [button.dataset.action, button]));
  putChildren(acts, wanted.map(([action, text, label]) => {
    const button = before.get(action) || document.createElement("button");
    button.type = "button"; button.dataset.action = action; button.setAttribute("aria-label", label);
    if (button.textContent !== text) button.textContent = text;
    return button;
  }));
}

function drawRow(row, place, d) {
  const at = rows.get(row.id) || makeRow(row.id), owner = row.owner && row.owner !== "local" ? ` (${row.owner})` : "";
  const stopped = row.total > 1 && ["interrupted", "failed"].includes(row.state);
  const step = stopped ? ` at ${Math.max(row.done, row.resume || 0)} / ${row.total}` : "";
  const state = row.state === "waiting" ? `waiting, number ${place}` : (NAMES[row.state] || row.state) + step;
  const text = `${row.title}${owner}: ${state}`;
  if (at.what.textContent !== text) {  // what was asked for is seen before its answer arrives
    at.what.textContent = text;
    for (const key of asked) if (key.endsWith(` ${row.id}`)) asked.delete(key);
  }
  if (isOver(row.state) && !isOver(at.state)) show = "";  // there is a new result to look at
  at.item.dataset.state = at.state = row.state;
  return at;
}

function drawLine(d) {  // comes only when something changed
  if (!d.line) return;
  version = d.version;
  const list = find(".jobs"), focused = document.activeElement, ids = new Set(d.line.map(row => row.id));
  let place = 0;
  const places = d.line.map(row => place += row.state === "waiting");
  const drawn = d.line.map((row, i) => drawRow(row, places[i], d));
  d.line.forEach((row, i) => drawActs(drawn[i].acts, actsOf(row, places[i], d)));
  for (const id of [...rows.keys()]) if (!ids.has(id)) rows.delete(id);
  find(".line").hidden = !d.line.length;
  putChildren(list, drawn.map(at => at.item));
  if (list.contains(focused) && document.activeElement !== focused) focused.focus();  // its row has moved
}

async function changeLine(job, action) {
  const key = `${action} ${job}`;
  if (asked.has(key)) return;  // two quick presses are one wish; not by `disabled`, which takes the focus away
  asked.add(key);
  try { put(".line-note", await server.change_line({ job, action })); } catch (problem) {
    put(".line-note", "The server does not answer. Try again.");
  }
  asked.delete(key);
  hurry = Date.now() + 3000; tick();
}

find(".jobs").addEventListener("click", event => {
  const button = event.target.closest("button");
  if (!button) return;
  const { action } = button.dataset, { job } = button.closest("li").dataset;
  if (action !== "show" && action !== "close") return changeLine(job, action);
  show = action === "show" ? job : ""; version = ""; tick();
});

function draw(d) {
  drawLine(d);
  if (d.job !== cursor.job) startJob(d.job);
  kind = d.kind || "";
  over = isOver(d.state);
  drawHead(d);
  stepsNow = d.steps || ""; everyStep.hidden = !stepsNow; lookAtSteps();
  if (!d.job) return;
  if (d.evaluations_from === cursor.evaluations && d.evaluations.length) {
    evaluations.push(...d.evaluations); cursor.evaluations += d.evaluations.length; best = d.best; usual = d.usual_norms; drawChart();
  }
  if (d.curve_from === cursor.curve && d.curve.length) { curve.push(...d.curve); cursor.curve = d.curve_next; drawChart(); }
  if (d.previews_from === cursor.previews) drawPreviews(d.previews);
  markBest();
  if (d.notices_from === cursor.notices) for (const text of d.notices) { const item = document.createElement("li"); item.textContent = text; find(".notices").append(item); cursor.notices += 1; }
  drawFiles(d);
}

function tellEnd(d) {  // once for each job that ended, also when it was too quick to be seen running
  const now = isOver(d.state) ? d.job : "", other = ended !== null && ended.job && ended.job !== d.job;
  if ((now && (ended === null || ended.told !== now)) || other) trigger("finished");
  ended = { job: d.job, told: now };
}

async function tick() {
  clearTimeout(timer);
  if (busy) { again = true; return; }
  busy = true; again = false;
  let wait = 3000;
  try {
    const answer = await fetch("live?" + new URLSearchParams({ ...cursor, version, show }));
    if (!answer.ok) throw new Error(answer.statusText);
    const d = await answer.json();
    if (!isHeld()) { draw(d); tellEnd(d); }  // the cursor stays where it is, so the next answer brings it again
    wait = Date.now() < hurry ? POLL_MS / 3 : d.state === "running" || d.state === "waiting" ? POLL_MS : 2 * POLL_MS;
  } catch (problem) {
    find(".state").dataset.state = find(".text").dataset.state = "lost"; put(".state", NAMES.lost);
    put(".text", "The server does not answer. It was stopped, or it wants a new login: then reload this page. Trying again.");
  }
  busy = false; timer = setTimeout(tick, again ? 0 : document.hidden ? 10000 : wait);
}
document.addEventListener("visibilitychange", () => { if (!document.hidden) tick(); });
window.addEventListener("job-stopping", tick);
window.addEventListener("job-submitted", () => {
  hurry = Date.now() + 5000; show = ""; tick();
  if (ended && (ended.told || ended.job !== window.newestJob)) trigger("finished");  // a quick job may have been over before this page knew that it is its own
  if (innerWidth <= 900) element.scrollIntoView({ behavior: "smooth", block: "start" });  // on a phone the run is far above the button
});
tick();
