// What can be done with the chosen step, and with the training that runs.
/* global server, trigger, state, part, put, stepName, pictureOf, chosenStep, keepBeside, tick */
/* exported drawActions, listenToActions */

function drawActions() {
  const picture = pictureOf(chosenStep());
  const hasFiles = state.trains && picture !== null;
  const known = hasFiles ? filesOfChosen(picture.step) : { files: {} };
  drawLink(part("#download-step"), known.files.copy, downloadText(picture, known));
  for (const at of part(".small-acts").querySelectorAll("[data-kind]")) drawLink(at, known.files[at.dataset.kind]);
  // of what is no training, and of another prompt than the first, the page itself knows the picture
  const own = picture && picture.url && (!state.trains || picture.number > 1 || !known.files.picture);
  if (own) drawLink(part('[data-kind="picture"]'), [fileName(picture.url), picture.url]);
  for (const query of [".two", '[data-kind="safetensors"]', '[data-kind="card"]']) part(query).hidden = !state.trains;
  for (const query of ["#use-step", ".try"]) {
    part(query).hidden = !state.mayTrain || !state.trains;
    part(query).setAttribute("aria-disabled", !known.files.copy);
  }
  part("#use-step").classList.toggle("is-used", hasFiles && picture.step === state.inUse);
  put("#use-step", hasFiles && picture.step > 0 && picture.step === state.inUse ? "In use" : "Use this step");
  part(".keep").setAttribute("aria-disabled", !picture);
  put(".in-use", inUseText());
  for (const button of part(".run-acts").querySelectorAll("button")) {
    button.hidden = !(state.trains && state.state === "running" && state.mayTrain);
  }
}

function inUseText() {
  if (!state.trains) return "";
  if (state.inUse) return `In use: ${stepName(state.inUse)}.`;
  return state.over ? "None of these is in use." : "";
}

function downloadText(picture, { files, nearest }) {
  if (files.copy) return `Download ${files.copy[0]}`;
  if (!picture || !state.trains || nearest === undefined) return "Download";
  return nearest ? `No file here; step ${nearest} has one` : "No file of this step yet";
}

function fileName(url) {
  return decodeURIComponent(url.split("?")[0].split("/").pop());
}

// A link that leads nowhere keeps its place and is told as such.
function drawLink(at, file, text) {
  if (text !== undefined && at.textContent !== text) at.textContent = text;
  if (!file) {
    at.setAttribute("aria-disabled", "true");
    at.removeAttribute("href");
    return at.removeAttribute("title");
  }
  const [name, url] = file;
  at.removeAttribute("aria-disabled");
  if (at.getAttribute("href") !== url) at.href = url;
  at.download = name;
  at.title = `Download ${name}`;
}

// ---- the files of the chosen step, asked for when it has been chosen for a moment

// What is known of them, and asks for the rest: { files: kind -> [name, address], nearest }.
function filesOfChosen(step) {
  const { known } = state.stepFiles;
  const mark = state.steps.now;
  const found = known.step === step && known.job === state.cursor.job ? known : { files: {} };
  const server = mark.split(".")[0]; // another one gives other addresses
  const isFresh = found.mark === mark || (found.files.copy && found.mark.split(".")[0] === server);
  if (!isFresh) {
    clearTimeout(state.stepFiles.timer);
    state.stepFiles.timer = setTimeout(() => fetchFiles(state.cursor.job, step, mark), 120);
  }
  return found;
}

async function fetchFiles(job, step, mark) {
  try {
    const answer = await fetch("live/step?" + new URLSearchParams({ job, step }));
    if (!answer.ok || job !== state.cursor.job) return;
    const { files, nearest } = await answer.json();
    const byKind = Object.fromEntries(files.map(([kind, name, url]) => [kind, [name, url]]));
    state.stepFiles.known = { job, step, mark, files: byKind, nearest };
    drawActions();
  } catch {
    // the next poll asks again, and tells that the server does not answer
  }
}

// ---- the buttons

async function ask(call) {
  put(".answer", "…");
  try {
    put(".answer", await call());
  } catch {
    put(".answer", "The server does not answer. Try again.");
  }
  state.hurryUntil = Date.now() + 3000;
  tick();
}

function listenToActions() {
  const isOff = (query) => part(query).getAttribute("aria-disabled") === "true";
  const noFile = () => put(".answer", `${stepName(chosenStep())} has no file. Choose a step that was saved.`);
  part("#use-step").onclick = () => {
    if (isOff("#use-step")) return noFile();
    ask(() => server.use_step({ job: state.cursor.job, step: chosenStep() }));
  };
  part(".try").onclick = () => {
    if (isOff(".try")) return noFile();
    const { step, prompt } = pictureOf(chosenStep());
    trigger("try_step", { job: state.cursor.job, step, prompt });
  };
  part(".keep").onclick = () => {
    if (!isOff(".keep")) keepBeside();
  };
  part(".run-acts").addEventListener("click", ({ target }) => {
    const action = target.dataset.ask;
    if (action) ask(() => server.change_job({ job: state.cursor.job, action }));
  });
  part(".interrupt").onclick = () => ask(() => server.change_job({ job: state.cursor.job, action: "cancel" }));
}
