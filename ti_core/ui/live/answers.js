// Small jobs (create, rename, convert, preprocess, download) answer in their own tab, below its button.
/* global state, NAMES, isOver */
/* exported drawAnswers */

function drawAnswers(answers) {
  for (const answer of answers) {
    const before = state.answers.get(answer.tab);
    const isSeen = before?.id === answer.id || answer.id === window.newestJob;
    // what ended before somebody came is old news
    if (!isOver(answer.state) || isSeen) state.answers.set(answer.tab, answer);
  }
  // a place is there only once its tab was opened, and may be made anew by gradio
  for (const place of document.querySelectorAll(".job-answer")) fillAnswer(place, state.answers.get(place.dataset.tab));
}

function answerText({ title, state: now, text, done, total }) {
  const parts = now === "running" && total > 1 ? [`${done} of ${total}`] : [];
  if (text) parts.push(text);
  return `${title}: ${[NAMES[now] || now, ...parts].join(" · ")}`;
}

function fillAnswer(place, answer) {
  const key = answer ? JSON.stringify(answer) : "";
  if ((place.dataset.key || "") === key && Boolean(place.firstChild) === Boolean(answer)) return;
  place.dataset.key = key;
  if (!answer) return place.replaceChildren();
  const words = place.querySelector("p") || document.createElement("p");
  words.setAttribute("role", "status");
  words.textContent = answerText(answer);
  const links = answer.files.map(([name, url]) => {
    const at = document.createElement("a");
    at.href = url;
    at.download = name;
    at.textContent = `Download ${name}`;
    return at;
  });
  place.replaceChildren(words, ...bar(answer), ...links);
}

function bar({ state: now, done, total }) {
  if (now !== "running" || total < 2) return [];
  const drawn = document.createElement("progress");
  drawn.max = total;
  drawn.value = done;
  drawn.setAttribute("aria-label", "Progress");
  return [drawn];
}
