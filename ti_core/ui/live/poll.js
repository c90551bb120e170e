// Asks the server again and again for what is new since this page's cursor, and has it drawn.
/* global element, props, trigger, state, NAMES, part, put, isOver, startJob, drawHead, drawNotices, drawChart */
/* global takePictures, drawChoice, drawTitle, tellTrainingEnd, drawFiles, fetchNewSteps, drawQueue */
/* global listenToHead, listenToHero, listenToStrip, listenToLarge, listenToActions, listenToEnd */
/* global listenToSteps, listenToQueue, drawBelow, listenBelow, drawLanes, listenToLanes, hasLanes */
/* exported tick */

const HELD_MS = 10000; // at most: that a button was let go may never be told
const FORMS_MS = 15000; // at most, until the page has put back what was typed

// While a finger or a mouse button is down nothing moves, so that what was pressed is still there when it is let go.
function isHeld() {
  return Date.now() - state.heldSince < HELD_MS;
}

function draw(d) {
  drawLanes(d);
  drawQueue(d);
  if (d.job !== state.cursor.job) startJob(d.job, d.run || "");
  if (state.state !== d.state) state.photo.missing = false; // the job before this one may have made the dataset
  state.state = d.state;
  state.trains = Boolean(d.trains);
  state.numbers = d.numbers || "step";
  state.over = isOver(d.state);
  state.mayTrain = !d.you || d.you.may_train;
  state.inUse = d.in_use || 0;
  if (state.photo.address !== (d.photo || "")) state.photo = { address: d.photo || "", missing: false };
  drawBelow(d);
  drawHead(d);
  drawTitle(d);
  state.steps.now = d.steps || "";
  part(".every-step").hidden = !state.steps.now;
  fetchNewSteps();
  if (d.job) drawNews(d);
  drawChoice();
}

// What came after the cursor; an answer to an older cursor is left out, because the next one brings the rest.
function drawNews(d) {
  const { cursor } = state;
  if (d.evaluations_from === cursor.evaluations && d.evaluations.length) {
    state.evaluations.push(...d.evaluations);
    cursor.evaluations += d.evaluations.length;
    state.bestStep = d.best;
    state.usualNorms = d.usual_norms;
    drawChart();
  }
  if (d.curve_from === cursor.curve && d.curve.length) {
    state.curve.push(...d.curve);
    cursor.curve = d.curve_next;
    drawChart();
  }
  if (d.previews_from === cursor.previews) takePictures(d.previews);
  if (d.notices_from === cursor.notices) drawNotices(d.notices);
  drawFiles(d);
}

// Once for each job that ended, also when it was too quick to be seen running, or is not the one that is shown.
function tellEnd(d) {
  if (d.ended && d.ended !== state.ended) trigger("finished");
  state.ended = d.ended;
}

function drawNoAnswer() {
  part(".state").dataset.state = part(".text").dataset.state = "lost";
  put(".state", NAMES.lost);
  put(
    ".text",
    "The server does not answer. It was stopped, or it wants a new login: then reload this page. Trying again.",
  );
}

function pauseAfter(d) {
  if (Date.now() < state.hurryUntil) return props.poll_ms / 3;
  return d.state === "running" || d.state === "waiting" ? props.poll_ms : 2 * props.poll_ms;
}

async function tick() {
  clearTimeout(state.timer);
  if (state.busy) {
    state.again = true;
    return;
  }
  state.busy = true;
  state.again = false;
  let pause = 3000;
  try {
    const asked = { ...state.cursor, version: state.queueVersion, show: state.show };
    Object.assign(asked, { runs: state.runs.mark, most: state.runs.most });
    const answer = await fetch("live?" + new URLSearchParams(asked));
    if (!answer.ok) throw new Error(answer.statusText);
    const d = await answer.json();
    if (!isHeld()) {
      draw(d); // else the cursor stays where it is, so the next answer brings it again
      state.drawnShow = asked.show;
      tellEnd(d);
      tellTrainingEnd(d);
    }
    pause = pauseAfter(d);
  } catch {
    drawNoAnswer();
  }
  state.busy = false;
  state.timer = setTimeout(tick, state.again ? 0 : document.hidden ? 10000 : pause);
}

function showNewJob() {
  state.hurryUntil = Date.now() + 5000;
  const isBig = /^(train|resume|compare|txt2img)-/.test(window.newestJob); // the others answer in their own tab
  if (isBig) state.show = hasLanes() ? window.newestJob : "";
  tick();
  // a quick job may have been over before this page knew that it is its own
  if (state.ended) trigger("finished");
}

function listen() {
  element.addEventListener("pointerdown", () => (state.heldSince = Date.now()));
  for (const end of ["pointerup", "pointercancel", "blur"]) {
    window.addEventListener(end, () => (state.heldSince = 0));
  }
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) tick();
  });
  window.addEventListener("job-stopping", tick);
  window.addEventListener("job-submitted", showNewJob);
  listenToHead();
  listenToHero();
  listenToStrip();
  listenToLarge();
  listenToActions();
  listenToEnd();
  listenToSteps();
  listenToQueue();
  listenToLanes();
  listenBelow();
}

// What the page puts back must not undo what somebody chooses meanwhile.
if (!window.formsAreBack) {
  document.body.inert = true;
  setTimeout(() => (document.body.inert = false), FORMS_MS);
}
listen();
tick();
