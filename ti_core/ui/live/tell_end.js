// How far it is, in the browser's own title; at the end a sound and a message, for who has asked for them.
/* global state, part, put, isOver, stepName, kept, keep */
/* exported drawTitle, tellTrainingEnd, listenToEnd */

function drawTitle(d) {
  const { page } = state.title;
  const runs = d.state === "running" && d.total > 1;
  const told = runs ? `${Math.floor((100 * d.done) / d.total)} % ${d.title} · ${page}` : state.title.ended || page;
  if (document.title !== told) document.title = told;
}

// Only what this page saw running ends for it.
function tellTrainingEnd(d) {
  const { running } = state.title;
  state.title.running = d.trains && d.state === "running" ? d.job : "";
  if (!d.trains || !isOver(d.state) || running !== d.job) return;
  const sentence = `${d.title}: ${d.state}, ${stepName(d.done)} of ${d.total}`;
  if (document.hidden || !document.hasFocus()) state.title.ended = `${sentence} · ${state.title.page}`;
  if (wants("sound")) playSound();
  if (wants("message")) showMessage(sentence, d);
}

function wants(what) {
  return kept(`tell-end-${what}`) === "yes";
}

// Two short tones. A browser that has never been pressed in this page stays silent.
function playSound() {
  const audio = (state.title.audio ||= new AudioContext());
  for (const [i, hertz] of [660, 880].entries()) {
    const [tone, volume] = [audio.createOscillator(), audio.createGain()];
    const start = audio.currentTime + 0.22 * i;
    tone.frequency.value = hertz;
    volume.gain.setValueAtTime(0.15, start);
    volume.gain.exponentialRampToValueAtTime(0.001, start + 0.35);
    tone.connect(volume).connect(audio.destination);
    tone.start(start);
    tone.stop(start + 0.4);
  }
}

function showMessage(sentence, d) {
  if (!("Notification" in window) || Notification.permission !== "granted") return;
  const words = window.translated?.(sentence) ?? sentence;
  const message = new Notification(words, { body: d.text || "", tag: d.job }); // one for all pages of a browser
  message.onclick = () => window.focus();
}

// The browser is asked for its leave once, when the box is ticked.
async function chooseEnd(box) {
  const what = box.dataset.end;
  if (what === "message" && box.checked) {
    const may = "Notification" in window ? await Notification.requestPermission() : "denied";
    if (may !== "granted") {
      box.checked = false;
      put(".answer", "This browser allows no messages from this page. Allow them beside its address, then tick again.");
    }
  }
  if (what === "sound" && box.checked) playSound(); // so that it is known, and allowed from here on
  keep(`tell-end-${what}`, box.checked ? "yes" : "no");
}

function listenToEnd() {
  state.title.page = document.title;
  for (const box of part(".end").querySelectorAll("input")) {
    box.checked = wants(box.dataset.end);
    box.onchange = () => chooseEnd(box);
  }
  window.addEventListener("focus", () => {
    state.title.ended = "";
  });
}
