// The curves of a training: loss, smoothed loss and learning rate, the evaluations on a scale of their own, another run
// beside it, and the norm of the vectors. Lines of our own SVG: gradio's plots hold a connection or bring 4.6 MB along.
/* global state, part, put, short, drawReadout */
/* exported drawChart, takeChart */

// "x,y x,y ..." of a polyline, from `bottom` up to `top` in the units of its svg.
function points(rows, value, [lowest, highest], steps, bottom = 140, top = 10) {
  const width = Math.max(1, steps.last - steps.first);
  const at = (row) => {
    const x = (600 * (row[0] - steps.first)) / width;
    const share = highest > lowest ? (value(row) - lowest) / (highest - lowest) : 0.5;
    return `${x.toFixed(1)},${(bottom - (bottom - top) * share).toFixed(1)}`;
  };
  return rows.map(at).join(" ");
}

// The learning rate stays until it changes: a corner is put before each change.
function stairs(rows) {
  return rows.flatMap((row, i) => {
    const before = i ? rows[i - 1][2] : row[2];
    return row[2] === before ? [row] : [[row[0], 0, before], row];
  });
}

// [step, loss, rate, smoothed loss]
function smoothed(curve) {
  const share = 1 - part(".smoothing").value / 100;
  let smooth = curve.length ? curve[0][1] : 0;
  return curve.map(([step, loss, rate]) => [step, loss, rate, (smooth += share * (loss - smooth))]);
}

// No more than the width of the drawing can tell apart, the last among them.
function thinned(rows, most = 600) {
  const every = Math.ceil(rows.length / most);
  return rows.filter((row, i) => i % every === 0 || i === rows.length - 1);
}

// A loss of nought has no logarithm: it is drawn at the smallest one that has.
function scaleOf(values) {
  if (!part(".log-scale").checked) return (value) => value;
  const smallest = Math.min(...values.filter((value) => value > 0), 1);
  return (value) => Math.log(Math.max(value, smallest));
}

function rangeOf(values, scale = (value) => value) {
  return values.length ? [scale(Math.min(...values)), scale(Math.max(...values))] : [0, 1];
}

// How far the run is to go, and whose it is; from each answer of the server.
function takeChart(d) {
  const { chart } = state;
  const total = d.trains ? d.total || 0 : 0;
  const isNew = total !== chart.total;
  chart.total = total;
  if (isNew && state.curve.length) drawChart();
}

function drawLine(query, drawn) {
  part(query).setAttribute("points", drawn);
}

function drawChart() {
  part(".chart").hidden = !state.curve.length;
  if (!state.curve.length) return;
  const { chart } = state;
  chart.rows = smoothed(state.curve);
  const rows = thinned(chart.rows);
  const newest = rows[rows.length - 1];
  const other = chart.other ? thinned(smoothed(chart.other.curve)) : [];
  const lastOfOther = other.length ? other[other.length - 1][0] : 0;
  const steps = { first: Math.min(rows[0][0], 1), last: Math.max(newest[0], chart.total, lastOfOther) };
  chart.steps = steps;

  const losses = [...rows.map((row) => row[1]), ...other.map((row) => row[3])];
  const rates = rows.map((row) => row[2]);
  const scale = scaleOf(losses);
  const range = rangeOf(losses, scale);
  drawLine(
    ".raw",
    points(rows, (row) => scale(row[1]), range, steps),
  );
  drawLine(
    ".loss",
    points(rows, (row) => scale(row[3]), range, steps),
  );
  drawLine(
    ".other",
    points(other, (row) => scale(row[3]), range, steps),
  );
  drawLine(
    ".rate",
    points(stairs(rows), (row) => row[2], rangeOf(rates), steps),
  );
  drawEvaluations(steps);
  drawNorms(steps);
  tellChart(rows, newest, losses, rates);
  drawReadout();
}

function tellChart(rows, newest, losses, rates) {
  const { steps, other } = state.chart;
  const [low, high] = rangeOf(losses);
  const [slow, fast] = rangeOf(rates);
  put(".loss-name", `loss ${short(newest[1])}, smoothed ${short(newest[3])}`);
  put(".rate-name", `learning rate ${short(newest[2])}`);
  put(".other-name", other ? `${other.name}, smoothed` : "");
  part(".of-other").hidden = !other;
  put(".hi-loss", short(high));
  put(".lo-loss", short(low));
  put(".hi-rate", short(fast));
  put(".lo-rate", slow < fast ? short(slow) : "");
  put(".from", `step ${steps.first}`);
  put(".to", `step ${steps.last}`);
  const told =
    `Loss and learning rate, step ${rows[0][0]} to ${newest[0]}. ` +
    `Loss now ${short(newest[1])}, between ${short(low)} and ${short(high)}.`;
  part(".plot svg").setAttribute("aria-label", told);
}

function drawEvaluations(steps) {
  const { evaluations, bestStep } = state;
  const range = rangeOf(evaluations.map((row) => row[1]));
  drawLine(
    ".evaluation",
    points(evaluations, (row) => row[1], range, steps),
  );
  part(".of-evaluation").hidden = !evaluations.length;
  const [step, loss] = evaluations[evaluations.length - 1] || [0, 0];
  const scale = `from ${short(range[0])} to ${short(range[1])} on a scale of its own`;
  const told = `evaluation ${short(loss)} at step ${step}, best step ${bestStep}, ${scale}`;
  put(".eval-name", evaluations.length ? told : "");

  const isBest = evaluations.length > 0 && bestStep > 0;
  const share = (bestStep - steps.first) / Math.max(1, steps.last - steps.first);
  const line = part(".best-line");
  for (const end of ["x1", "x2"]) isBest ? line.setAttribute(end, 600 * share) : line.removeAttribute(end);
  const name = part(".best-name");
  name.hidden = !isBest;
  name.style.left = share > 0.6 ? "auto" : `${100 * share}%`;
  name.style.right = share > 0.6 ? `${100 * (1 - share)}%` : "auto";
  put(".best-name", `best step ${bestStep}`);
}

function drawNorms(steps) {
  const { evaluations } = state;
  part(".norms").hidden = !evaluations.length;
  const norm = evaluations.length ? evaluations[evaluations.length - 1][2] : 0;
  const [smallest, largest] = state.usualNorms;
  part(".strong-word").hidden = !(largest > 0 && norm > largest);
  part(".repair").hidden = !state.over || !state.mayTrain || !state.run;
  if (!evaluations.length) return;
  const top = 1.05 * Math.max(largest, ...evaluations.map((row) => row[2]));
  put(".norm-name", `${short(norm)}; ordinary words have ${short(smallest)} to ${short(largest)} (band)`);
  const band = part(".words-range");
  band.setAttribute("y", 60 * (1 - largest / top));
  band.setAttribute("height", (60 * (largest - smallest)) / top);
  drawLine(
    ".norm",
    points(evaluations, (row) => row[2], [0, top], steps, 60, 0),
  );
}
