// The curves of a training: loss and learning rate, the evaluations, and the norm of the vectors.
/* global state, part, put, short */
/* exported drawChart */

const MOST_POINTS = 600; // the width of the drawing: more cannot be told apart

// "x,y x,y ..." of a polyline, from `bottom` up to `top` in the units of its svg.
function points(rows, value, lowest, highest, steps, bottom = 140, top = 10) {
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

function drawChart() {
  part(".chart").hidden = !state.curve.length;
  if (!state.curve.length) return;
  let smooth = state.curve[0][1];
  const all = state.curve.map(([step, loss, rate]) => [step, loss, rate, (smooth += 0.15 * (loss - smooth))]);
  const every = Math.ceil(all.length / MOST_POINTS);
  const rows = all.filter((row, i) => i % every === 0 || i === all.length - 1);
  const newest = all[all.length - 1];
  const steps = { first: all[0][0], last: newest[0] };

  const measured = state.evaluations.map((row) => row[1]);
  const losses = rows.map((row) => row[1]);
  const rates = rows.map((row) => row[2]);
  const [low, high] = [Math.min(...losses, ...measured), Math.max(...losses, ...measured)];
  const [slow, fast] = [Math.min(...rates), Math.max(...rates)];
  const draw = (query, kept, column, from, to) =>
    part(query).setAttribute(
      "points",
      points(kept, (row) => row[column], from, to, steps),
    );
  draw(".evaluation", state.evaluations, 1, low, high);
  draw(".raw", rows, 1, low, high);
  draw(".loss", rows, 3, low, high);
  draw(".rate", stairs(rows), 2, slow, fast);
  drawNorms(steps);

  put(".loss-name", `loss ${short(newest[1])}, smoothed ${short(newest[3])}`);
  put(".rate-name", `learning rate ${short(newest[2])}`);
  put(".hi-loss", short(high));
  put(".lo-loss", short(low));
  put(".hi-rate", short(fast));
  put(".lo-rate", slow < fast ? short(slow) : "");
  put(".from", `step ${steps.first}`);
  put(".to", `step ${steps.last}`);
  const told =
    `Loss and learning rate, step ${steps.first} to ${steps.last}. ` +
    `Loss now ${short(newest[1])}, between ${short(low)} and ${short(high)}.`;
  part(".plot svg").setAttribute("aria-label", told);
}

function drawNorms(steps) {
  const { evaluations } = state;
  part(".norms").hidden = !evaluations.length;
  if (!evaluations.length) return put(".eval-name", "");
  const [step, loss, norm] = evaluations[evaluations.length - 1];
  const [smallest, largest] = state.usualNorms;
  const top = 1.05 * Math.max(largest, ...evaluations.map((row) => row[2]));
  put(".eval-name", `evaluation ${short(loss)} at step ${step}, best step ${state.bestStep}`);
  put(
    ".norm-name",
    `Strength of the word (norm) ${short(norm)}; ordinary words have ${short(smallest)} to ` +
      `${short(largest)} (band). Far above, the prompt is obeyed less.`,
  );
  const band = part(".words-range");
  band.setAttribute("y", 60 * (1 - largest / top));
  band.setAttribute("height", (60 * (largest - smallest)) / top);
  part(".norm").setAttribute(
    "points",
    points(evaluations, (row) => row[2], 0, top, steps, 60, 0),
  );
}
