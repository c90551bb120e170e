// The top of the panel: state, progress, sentences.
/* global NAMES, state, part, put, clock */
/* exported drawHead, listenToHead */

const NOTHING_RUNS = {
  new: "Nothing is running. New here? Press the button with the sample photos, then the orange button of each tab.",
  used: "Nothing is running. Open one of your runs below to see its pictures.",
};

function drawHead(d) {
  const badge = part(".state");
  badge.dataset.state = part(".text").dataset.state = d.state;
  put(".state", NAMES[d.stopping && d.state === "running" ? "stopping" : d.state] || d.state);
  put(".title", d.title || "");
  part(".title").title = d.title || "";
  part(".title").hidden = !d.title;
  drawProgress(d);
  put(".text", d.job ? d.text || "" : NOTHING_RUNS[state.runs.rows.size ? "used" : "new"]);
  put(".quiet", silence(d));
  put(".plan", d.plan || "");
  put(".you", state.mayTrain ? "" : `You are signed in as ${d.you.name} and may look, not change.`);
  const prompt = d.job && !d.text && !d.quiet_s && d.prompt ? `Learns from: ${d.prompt}` : "";
  put(".prompt", prompt);
  part(".prompt").title = d.prompt || "";
  part(".prompt").hidden = !prompt;
  part(".interrupt").hidden = d.state !== "running" || !state.mayTrain;
  part(".interrupt").setAttribute("aria-label", `Interrupt: ${d.title || ""}`);
}

// The numbers stand in places of their own, so that nothing moves when they grow.
function drawProgress(d) {
  const percent = d.total ? (100 * d.done) / d.total : d.state === "finished" ? 100 : 0;
  const what = d.trains && d.curve_next ? "step " : "";
  part(".fill").style.width = Math.min(100, percent) + "%";
  part(".bar").setAttribute("aria-valuenow", Math.round(percent));
  const parts = [d.total > 1 ? `${what}${d.done} / ${d.total}` : "", d.total > 1 ? `${Math.floor(percent)} %` : ""];
  put(".count", parts.filter(Boolean).join(" · "));
  put(".left-s", d.eta_s != null ? `${clock(d.eta_s)} left` : "");
  put(".pace", d.pace ? `${+d.pace.toPrecision(2)} it/s` : "");
}

function silence(d) {
  if (!d.quiet_s) return "";
  const begin = `No news for ${clock(d.quiet_s)}`;
  if (d.answers) return `${begin}; it is still at work.`;
  const end = d.stopping
    ? "What does not answer for ten seconds is ended, and what was saved is kept."
    : "Interrupt ends it within ten seconds, and what was saved is kept.";
  return `${begin}: the work does not answer. ${end}`;
}

// On a phone the line is always in view, and leads to the pictures, which stand below the forms.
function listenToHead() {
  part(".title").onclick = (event) => {
    event.preventDefault();
    const behavior = matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth";
    part(".viewer").scrollIntoView({ behavior, block: "start" });
  };
}
