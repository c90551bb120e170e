// The files that a job has made, and those of every step of a training.
/* global state, part, put, putChildren */
/* exported drawFiles, drawSteps, fetchNewSteps, listenToSteps */

function link(name, url, text) {
  const at = document.createElement("a");
  at.href = url;
  at.download = name;
  at.textContent = text;
  const label = `Download ${name}`;
  at.setAttribute("aria-label", label.includes(text) ? label : `${label}, ${text}`); // a voice says what stands there
  return at;
}

function pictureLink(name, url) {
  const at = link(name, url, "");
  const image = document.createElement("img");
  at.className = "picture";
  at.title = image.alt = name;
  image.src = url;
  image.loading = "lazy";
  at.append(image);
  return at;
}

function fileItem(showsPictures, name, url) {
  const item = document.createElement("li");
  const isPicture = /\.(png|webp|jpg)$/.test(name);
  const isShown = showsPictures && isPicture;
  item.dataset.url = url;
  item.append(isShown ? pictureLink(name, url) : link(name, url, isPicture ? `${name} (with embedding)` : name));
  return item;
}

// The trained embedding gets a button of its own, above the others.
function takeResult(d, files) {
  const ended = d.state === "finished" || d.state === "interrupted";
  const isEmbedding = files.length && /\.(pt|safetensors)$/.test(files[0][0]);
  return ended && d.kind !== "download" && isEmbedding ? files.shift() : null;
}

function drawFiles(d) {
  const isPreview = (url) => state.previews.some((preview) => preview.url === url);
  const files = d.files.filter(([, url]) => !isPreview(url));
  const key = JSON.stringify([files, d.state, state.run]);
  const list = part(".files");
  if (list.dataset.key === key) return;
  list.dataset.key = key;
  const result = takeResult(d, files);
  part(".result").hidden = !result;
  part(".result").replaceChildren(...(result ? [link(...result, `Download ${result[0]}`)] : []));
  part(".saved").hidden = !files.length || Boolean(state.run); // those of a run stand by their steps
  const before = new Map([...list.children].map((item) => [item.dataset.url, item]));
  putChildren(
    list,
    files.map(([name, url]) => before.get(url) || fileItem(d.shows_pictures, name, url)),
  );
}

// ---- the files of every step, asked for only while somebody looks at them

function drawSteps() {
  const { now, items } = state.steps;
  part(".every-step").hidden = !now;
  putChildren(part(".step-files"), items);
  put(".how-many", items.length ? `(${items.length})` : "");
}

function stepItem([step, files]) {
  const item = document.createElement("li");
  const label = document.createElement("span");
  label.textContent = `step ${step}`;
  item.append(label, ...files.map(([kind, name, url]) => link(name, url, kind === "copy" ? name : kind)));
  return item;
}

// Goes on with the last step that is there, whose picture may have come since.
async function fetchSteps() {
  const { job } = state.cursor;
  const { now, items } = state.steps;
  const first = Math.max(0, items.length - 1);
  try {
    const answer = await fetch("live/steps?" + new URLSearchParams({ job, first }));
    if (!answer.ok || job !== state.cursor.job) return;
    const { steps, more } = await answer.json();
    state.steps.items = [...state.steps.items.slice(0, first), ...steps.map(stepItem)];
    state.steps.seen = now;
    part(".more").hidden = !more;
    drawSteps();
  } catch {
    put(".queue-note", "The server does not answer. Try again.");
  }
}

function fetchNewSteps() {
  const { now, seen } = state.steps;
  if (part(".every-step").open && now && now !== seen) fetchSteps();
}

function listenToSteps() {
  part(".every-step").addEventListener("toggle", fetchNewSteps);
  part(".more").onclick = fetchSteps;
}
