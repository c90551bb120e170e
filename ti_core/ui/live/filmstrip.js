// All steps as small pictures, oldest first, a row for each prompt. Of a long run only those in view are in the page.
/* global state, part, stepName, pictureOf, chosenStep, choose, follow */
/* exported drawStrip, listenToStrip, chooseByKey, focusChosen */

// Sizes in pixels; live.css keeps the strip as high as two rows or one large one, so that nothing moves when it fills.
function stripSizes() {
  const { prompts } = state.pictures;
  const size = prompts > 1 ? 54 : 112;
  const mostPictures = 52; // with the two large ones, and what else the page shows, 60 at most
  return { size, pitch: size + 4, mostColumns: Math.floor(mostPictures / prompts) };
}

function indexesInView() {
  const strip = part("#filmstrip");
  const { steps } = state.pictures;
  const { pitch, mostColumns } = stripSizes();
  if (steps.length <= mostColumns) return steps.map((_, i) => i);
  const seen = Math.min(mostColumns - 1, Math.ceil(strip.clientWidth / pitch) + 1);
  const first = Math.max(0, Math.min(steps.length - seen, Math.floor(strip.scrollLeft / pitch)));
  const indexes = Array.from({ length: seen }, (_, i) => first + i);
  const chosen = steps.indexOf(chosenStep()); // the keyboard's place is always there
  if (chosen < first) indexes.unshift(chosen);
  else if (chosen >= first + seen) indexes.push(chosen);
  return indexes;
}

function drawStrip() {
  const strip = part("#filmstrip");
  const track = part("#filmstrip .track");
  const { steps, prompts } = state.pictures;
  const { size, pitch } = stripSizes();
  const wasAtEnd = strip.scrollLeft + strip.clientWidth >= strip.scrollWidth - 4;
  strip.style.setProperty("--cell", `${size}px`);
  strip.style.setProperty("--rows", prompts);
  track.style.width = `${steps.length * pitch}px`;
  if (state.chosen.follows && wasAtEnd) strip.scrollLeft = strip.scrollWidth;
  drawColumns();
  const slider = part(".slider");
  slider.max = Math.max(0, steps.length - 1);
  slider.value = Math.max(0, steps.indexOf(chosenStep()));
  slider.disabled = steps.length < 2;
  slider.setAttribute("aria-valuetext", steps.length ? stepName(chosenStep()) : "no step");
  part(".follow").checked = state.chosen.follows;
}

// A column stays the same element as long as it is in view, so that what is pressed is still there when it is let go.
function drawColumns() {
  const track = part("#filmstrip .track");
  const { steps } = state.pictures;
  const before = new Map([...track.children].map((column) => [+column.dataset.step, column]));
  const columns = indexesInView().map((index) => {
    const column = before.get(steps[index]) || makeColumn(steps[index]);
    drawColumn(column, index);
    return column;
  });
  for (const column of before.values()) if (!columns.includes(column)) column.remove();
  columns.forEach((column, i) => {
    if (track.children[i] !== column) track.insertBefore(column, track.children[i] || null);
  });
}

function makeColumn(step) {
  const [column, name] = ["div", "span"].map((kind) => document.createElement(kind));
  column.className = "step-column";
  column.dataset.step = step;
  column.append(name);
  return column;
}

function makeCell(number) {
  const [button, image] = ["button", "img"].map((kind) => document.createElement(kind));
  button.type = "button";
  button.dataset.prompt = number;
  image.loading = "lazy";
  image.decoding = "async";
  image.alt = "";
  button.append(image);
  return button;
}

function drawColumn(column, index) {
  const step = state.pictures.steps[index];
  const shown = pictureOf(chosenStep());
  const marks = [step === state.bestStep ? "best" : "", step === state.inUse ? "in use" : ""].filter(() => step > 0);
  const told = marks.filter(Boolean).join(", ");
  column.style.left = `${index * stripSizes().pitch}px`;
  column.classList.toggle("best", Boolean(marks[0]));
  column.classList.toggle("used", Boolean(marks[1]));
  const text = `${marks[0] ? "★" : ""}${marks[1] ? "✓" : ""} ${step}`.trim();
  const name = column.lastChild;
  if (name.textContent !== text) name.textContent = text;
  column.title = told ? `${stepName(step)}: ${told}` : stepName(step);
  for (const [number, { url }] of state.pictures.of.get(step)) {
    let cell = column.querySelector(`[data-prompt="${number}"]`);
    if (!cell) column.insertBefore((cell = makeCell(number)), name);
    const address = url ? `${url}&small=1` : "";
    if (cell.firstChild.getAttribute("src") !== address) cell.firstChild.src = address;
    const isChosen = Boolean(shown) && step === shown.step && number === shown.number;
    cell.style.order = number;
    cell.tabIndex = isChosen ? 0 : -1;
    cell.setAttribute("aria-pressed", isChosen);
    const which = state.pictures.prompts > 1 ? `, prompt ${number}` : "";
    cell.setAttribute("aria-label", `Show ${stepName(step)}${which}${told ? `, ${told}` : ""}`);
  }
}

// ---- choosing

function scrollToChosen() {
  const strip = part("#filmstrip");
  const { pitch } = stripSizes();
  const left = state.pictures.steps.indexOf(chosenStep()) * pitch;
  if (left < strip.scrollLeft) strip.scrollLeft = left;
  else if (left + pitch > strip.scrollLeft + strip.clientWidth) strip.scrollLeft = left + pitch - strip.clientWidth;
  drawColumns();
}

function focusChosen() {
  const cell = part('#filmstrip [aria-pressed="true"]');
  if (cell) cell.focus({ preventScroll: true });
}

// Left and right go from step to step, Home and End to the first and last, up and down from prompt to prompt.
function chooseByKey(event) {
  const { steps, prompts } = state.pictures;
  if (event.altKey || event.ctrlKey || event.metaKey || !steps.length) return;
  const now = steps.indexOf(chosenStep());
  const to = { ArrowLeft: now - 1, ArrowRight: now + 1, Home: 0, End: steps.length - 1 }[event.key];
  const turn = { ArrowUp: -1, ArrowDown: 1 }[event.key];
  if (to === undefined && (turn === undefined || prompts < 2)) return;
  event.preventDefault();
  if (to === undefined) choose(chosenStep(), state.chosen.prompt + turn);
  else choose(steps[Math.max(0, Math.min(steps.length - 1, to))]);
  scrollToChosen();
  if (part("#filmstrip").contains(event.target)) focusChosen();
}

function listenToStrip() {
  const strip = part("#filmstrip");
  strip.addEventListener("click", ({ target }) => {
    const column = target.closest("[data-step]");
    if (!column) return;
    const cell = target.closest("[data-prompt]");
    choose(+column.dataset.step, cell ? +cell.dataset.prompt : undefined);
    focusChosen();
  });
  strip.addEventListener("scroll", () => requestAnimationFrame(drawColumns), { passive: true });
  part(".slider").addEventListener("input", ({ target }) => {
    choose(state.pictures.steps[+target.value]);
    scrollToChosen();
  });
  part(".follow").addEventListener("change", ({ target }) => {
    follow(target.checked);
    if (target.checked) scrollToChosen();
  });
  for (const query of ["#hero", "#filmstrip", ".slider"]) part(query).addEventListener("keydown", chooseByKey);
}
