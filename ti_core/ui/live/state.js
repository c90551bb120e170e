// What this page knows of the run it shows, and the small tools that all parts of the panel use.
// The files of this folder are joined in the order that run_panel.py names: gradio runs them as one function.
/* global element, drawChart, drawNotices, drawSteps, forgetPictures, drawChoice */
/* exported NAMES, state, part, isOver, stepName, short, clock, put, putChildren, startJob, kept, keep */

const NAMES = {
  idle: "ready",
  waiting: "waiting",
  running: "running",
  finished: "finished",
  interrupted: "interrupted",
  failed: "failed",
  foreign: "of another version",
  lost: "no connection",
  stopping: "stopping",
};

// How many of each the server has told already; what it is asked for comes after these.
const NOTHING_SEEN = { curve: 0, previews: 0, notices: 0, evaluations: 0 };

const state = {
  // the shown job
  cursor: { job: "", ...NOTHING_SEEN },
  state: "idle",
  run: "", // its folder, if the server tells
  mayTrain: true, // whether who looks may change anything
  trains: false, // whether it works on a run, whose steps can be used
  numbers: "step", // what its previews are numbered by
  over: false,
  curve: [], // [step, loss, rate]
  evaluations: [], // [step, loss, norm]
  usualNorms: [0, 0], // from the smallest to the largest of the vocabulary's ordinary words
  bestStep: 0,
  previews: [], // { step, url, prompt, number } as they came
  steps: { now: "", seen: "", items: [] }, // state of the list on the server, the state that was fetched, its rows
  // the pictures, and which is looked at
  pictures: { steps: [], of: new Map(), prompts: 1 }, // rising; step -> number of the prompt -> { url, prompt }
  chosen: { step: null, prompt: 1, follows: true }, // `follows` shows the newest, whatever `step` is
  beside: { kind: "", step: null }, // photo, start or step; empty until somebody chooses
  photo: { address: "", missing: false },
  inUse: 0, // the step that stands in embeddings/
  stepFiles: { known: { step: null, files: {} }, timer: 0 }, // the files of the chosen step
  title: { page: "", running: "", ended: "", audio: null }, // the browser's title, and the job that was seen running
  lanes: [], // the devices, each with its job
  // the list of jobs
  queueVersion: "",
  rows: new Map(), // id -> { item, what, buttons, state }
  asked: new Set(), // "action id" of what was pressed and not answered yet
  show: "", // the job that somebody wants to look at again; empty for the newest
  drawnShow: "", // what `show` was when the answer that is drawn was asked for
  // asking the server
  ended: null, // id of the job that had ended last by the answer before
  timer: 0,
  busy: false,
  again: false, // asked for while another answer was under way
  hurryUntil: 0,
  heldSince: 0, // when a finger or a mouse button went down
};

function part(query) {
  return element.querySelector(query);
}

function isOver(name) {
  return ["finished", "interrupted", "failed"].includes(name);
}

function stepName(step) {
  return `${state.numbers} ${step}`;
}

function short(value) {
  return Math.abs(value) >= 0.000001 || value === 0 ? String(+value.toPrecision(3)) : value.toExponential(1);
}

function clock(seconds) {
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
  return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
}

// Foreign text goes in by textContent only. A text that stays is not touched: screen readers would read it again.
function put(query, text) {
  const at = part(query);
  if (at.textContent !== text) at.textContent = text;
}

// What is in its place already is not touched, and keeps its focus.
function putChildren(parent, items) {
  for (const child of [...parent.children]) if (!items.includes(child)) child.remove();
  items.forEach((item, i) => {
    if (parent.children[i] !== item) parent.insertBefore(item, parent.children[i] || null);
  });
}

function startJob(job, run) {
  state.cursor = { job, ...NOTHING_SEEN };
  forgetPictures(Boolean(run) && run === state.run);
  state.run = run;
  state.curve = [];
  state.evaluations = [];
  state.bestStep = 0;
  for (const query of [".notices", ".result", ".files"]) part(query).replaceChildren();
  drawNotices([]);
  delete part(".files").dataset.key;
  part(".saved").hidden = true;
  drawChart();
  put(".answer", "");
  drawChoice();
  // what a press was told stays while the press itself, of Rename or Delete, leads to another run
  if (state.show === state.drawnShow) put(".queue-note", "");
  state.steps.seen = "";
  state.steps.items = [];
  drawSteps();
}

// What this browser keeps. In a frame of another site it may refuse that: then nothing is kept, and the page works.
function kept(key) {
  try {
    return localStorage.getItem(key);
  } catch {
    return null;
  }
}

function keep(key, value) {
  try {
    localStorage.setItem(key, value);
  } catch {
    // until the page is left it stays as it is chosen
  }
}
