// The pictures of a run: the grid, and the dialog that shows one large.
/* global server, state, part, put, stepName */
/* exported drawPreviews, markBest, listenToPreviews */

function drawPreviews(news) {
  const { previews } = state;
  for (const [step, url, prompt] of news) {
    const index = previews.push({ step, url, prompt }) - 1;
    part(".grid").prepend(previewButton(index));
  }
  state.cursor.previews += news.length;
  part(".previews").hidden = !previews.length;
  put(".many", previews.length ? `(${previews.length}, newest first)` : "");
}

function previewButton(index) {
  const { step, url, prompt } = state.previews[index];
  const [button, image, label] = ["button", "img", "span"].map((name) => document.createElement(name));
  button.type = "button";
  button.dataset.step = step;
  button.title = prompt;
  button.setAttribute("aria-label", `Open the preview of ${stepName(step)}`);
  button.onclick = () => openPreview(index);
  image.src = url;
  image.loading = "lazy";
  image.decoding = "async";
  image.alt = `Preview of ${stepName(step)}`;
  label.textContent = stepName(step);
  button.append(image, label);
  return button;
}

function markBest() {
  for (const button of part(".grid").children) {
    const isBest = +button.dataset.step === state.bestStep && state.bestStep > 0;
    button.classList.toggle("best", isBest);
    button.lastChild.textContent = stepName(button.dataset.step) + (isBest ? " · best" : "");
  }
}

function openPreview(index) {
  state.openedPreview = Math.max(0, Math.min(state.previews.length - 1, index));
  const { step, url, prompt } = state.previews[state.openedPreview];
  const box = part(".large");
  const image = box.querySelector("img");
  image.src = box.querySelector(".get").href = url;
  image.alt = `Preview of ${stepName(step)}`;
  box.querySelector("figcaption").textContent = `${stepName(step)}: ${prompt}`;
  part(".use").hidden = !state.trains || !state.over;
  put(".used", "");
  if (!box.open) box.showModal();
}

async function useOpenedStep() {
  put(".used", "…");
  const asked = { job: state.cursor.job, step: state.previews[state.openedPreview].step };
  try {
    put(".used", await server.use_step(asked));
  } catch {
    put(".used", "The server does not answer.");
  }
}

function listenToPreviews() {
  const box = part(".large");
  const older = () => openPreview(state.openedPreview - 1);
  const newer = () => openPreview(state.openedPreview + 1);
  part(".use").onclick = useOpenedStep;
  part(".older").onclick = older;
  part(".newer").onclick = newer;
  part(".close").onclick = () => box.close();
  box.onclick = (event) => {
    if (event.target === box) box.close();
  };
  box.onkeydown = (event) => {
    if (event.key === "ArrowLeft") older();
    if (event.key === "ArrowRight") newer();
  };
}
