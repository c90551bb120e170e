// What the chart tells of the step under the pointer, or under the arrow keys, and the tools above it.
/* global state, part, put, short, drawChart, askForRun */
/* exported drawReadout, drawOverlayChoices, listenToChart */

// The row of the curve that is nearest to the step.
function nearest(rows, step) {
  return rows.reduce((best, row) => (Math.abs(row[0] - step) < Math.abs(best[0] - step) ? row : best), rows[0]);
}

function drawReadout() {
  const { chart, evaluations } = state;
  const line = part(".pointer-line");
  const isThere = chart.pointed !== null && state.curve.length > 0;
  if (!isThere) {
    for (const end of ["x1", "x2"]) line.removeAttribute(end);
    return put(".readout", "");
  }
  const { first, last } = chart.steps;
  const [step, loss, rate, smooth] = nearest(chart.rows, chart.pointed);
  const x = (600 * (step - first)) / Math.max(1, last - first);
  for (const end of ["x1", "x2"]) line.setAttribute(end, x);
  const told = [
    `step ${step}`,
    `loss ${short(loss)}`,
    `smoothed ${short(smooth)}`,
    evaluations.length ? evaluationAt(step) : "",
    chart.other && chart.other.curve.length ? `${chart.other.name} ${short(nearest(chart.other.curve, step)[1])}` : "",
    `learning rate ${short(rate)}`,
  ];
  put(".readout", told.filter(Boolean).join(" · "));
}

function evaluationAt(step) {
  const [at, loss, norm] = nearest(state.evaluations, step);
  return `evaluation ${short(loss)}, norm ${short(norm)}${at === step ? "" : ` (step ${at})`}`;
}

function pointAt(event) {
  const { left, width } = part(".drawing").getBoundingClientRect();
  const { first, last } = state.chart.steps;
  state.chart.pointed = first + ((event.clientX - left) / Math.max(1, width)) * (last - first);
  drawReadout();
}

function pointByKey(event) {
  const { chart } = state;
  if (!chart.rows.length) return;
  const rows = chart.rows;
  const at = chart.pointed === null ? rows.length - 1 : rows.indexOf(nearest(rows, chart.pointed));
  const moved = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: rows.length - 1 }[event.key];
  if (moved === undefined) return;
  event.preventDefault();
  chart.pointed = rows[Math.max(0, Math.min(rows.length - 1, moved))][0];
  drawReadout();
}

function pointNowhere() {
  state.chart.pointed = null;
  drawReadout();
}

// The other runs, to be laid over this one.
function drawOverlayChoices(rows) {
  const choice = part(".overlay");
  const wanted = ["", ...rows.map((row) => row.run).filter((run) => run !== state.run)];
  if (JSON.stringify([...choice.options].map((option) => option.value)) === JSON.stringify(wanted)) return;
  const { value } = choice;
  const options = wanted.map(
    (run) => new Option(run ? run.split("/").slice(-2).reverse().join(", ") : "no other run", run),
  );
  choice.replaceChildren(...options);
  choice.value = wanted.includes(value) ? value : "";
  if (choice.value !== value) chooseOverlay();
}

async function chooseOverlay() {
  const run = part(".overlay").value;
  state.chart.other = null;
  if (run) {
    const answer = await askForRun("curve", run);
    if (answer && part(".overlay").value === run) state.chart.other = answer;
  }
  drawChart();
}

function listenToChart() {
  const drawing = part(".drawing");
  drawing.addEventListener("pointermove", pointAt);
  drawing.addEventListener("pointerdown", pointAt);
  drawing.addEventListener("pointerleave", pointNowhere);
  drawing.addEventListener("keydown", pointByKey);
  drawing.addEventListener("blur", pointNowhere);
  for (const tool of [".smoothing", ".log-scale"]) part(tool).addEventListener("input", drawChart);
  part(".overlay").addEventListener("change", chooseOverlay);
}
