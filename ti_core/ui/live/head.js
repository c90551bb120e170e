// The top of the panel: state, progress, sentences.
/* global NAMES, part, put, clock */
/* exported drawHead */

const INVITATION =
  "Nothing is running. New here? Press the button above, then the orange button of each tab. " +
  "What happens is shown here, for everyone who opens this page.";

function drawHead(d) {
  const badge = part(".state");
  badge.dataset.state = part(".text").dataset.state = d.state;
  put(".state", NAMES[d.stopping && d.state === "running" ? "stopping" : d.state] || d.state);
  put(".title", d.title || "");
  drawProgress(d);
  put(".text", d.job ? d.text || "" : INVITATION);
  put(".quiet", silence(d));
  put(".plan", d.plan || "");
  put(".you", d.you && !d.you.may_train ? `You are signed in as ${d.you.name} and may look, not change.` : "");
  part(".prompt").hidden = !d.prompt;
  put(".prompt .words", d.prompt || "");
}

function drawProgress(d) {
  const percent = d.total ? (100 * d.done) / d.total : d.state === "finished" ? 100 : 0;
  const what = d.trains && d.curve_next ? "step " : "";
  part(".fill").style.width = Math.min(100, percent) + "%";
  part(".bar").setAttribute("aria-valuenow", Math.round(percent));
  const parts = [
    d.total > 1 ? `${what}${d.done} / ${d.total}` : "",
    d.pace ? `${+d.pace.toPrecision(2)} it/s` : "",
    d.eta_s != null ? `ETA ${clock(d.eta_s)}` : "",
  ];
  put(".count", parts.filter(Boolean).join("  ·  "));
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
