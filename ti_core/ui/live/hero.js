// The large picture, and beside it what it is compared with. Their places keep their size, with or without a picture.
/* global state, part, put, stepName, pictureOf, chosenStep, choose, focusChosen */
/* exported drawHero, listenToHero, keepBeside */

function drawHero() {
  const picture = pictureOf(chosenStep());
  const hasUse = !state.cursor.job || state.trains || Boolean(picture); // Create and Preprocess show nothing here
  for (const query of [".viewer", ".step-acts"]) part(query).hidden = !hasUse;
  const button = part("#hero .enlarge");
  button.hidden = !picture;
  if (picture) showPicture(button.firstChild, picture);
  part("#hero .nothing").hidden = Boolean(picture);
  put("#hero .nothing", nothingYet());
  put(".which", picture ? stepName(picture.step) : "");
  put(
    ".marks",
    picture
      ? marksOf(picture)
          .map((mark) => ` · ${mark}`)
          .join("")
      : "",
  );
  put(".words", picture ? picture.prompt : "");
  part(".words").title = picture ? picture.prompt : "";
  drawPromptSwitch();
  drawBeside();
}

function showPicture(image, { step, number, url, prompt }) {
  if (image.getAttribute("src") !== url) image.src = url;
  const which = state.pictures.prompts > 1 ? `, prompt ${number}` : "";
  image.alt = `Preview of ${stepName(step)}${which}: ${prompt}`;
}

function nothingYet() {
  if (!state.trains) return "The pictures of a training appear here.";
  return state.over ? "No pictures." : "The first picture is on its way.";
}

function marksOf({ step, number }) {
  const marks = [];
  if (step === state.bestStep && step > 0) marks.push("best by the test");
  if (step === state.inUse && step > 0) marks.push("in use");
  if (step === 0 && state.trains) marks.push("the start");
  if (state.pictures.prompts > 1) marks.push(`prompt ${number} of ${state.pictures.prompts}`);
  return marks;
}

function drawPromptSwitch() {
  const { prompts } = state.pictures;
  const parent = part("#prompt-switch");
  parent.hidden = prompts < 2;
  while (parent.children.length > prompts) parent.lastChild.remove();
  while (parent.children.length < prompts) {
    const button = document.createElement("button");
    const number = parent.children.length + 1;
    button.type = "button";
    button.dataset.prompt = button.textContent = number;
    button.setAttribute("aria-label", `Prompt ${number}`);
    parent.append(button);
  }
  for (const button of parent.children) {
    button.setAttribute("aria-pressed", +button.dataset.prompt === state.chosen.prompt);
  }
}

// ---- beside it

// Which of the three is shown: the chosen one if it is there, else the photo, else the start.
function besideKind() {
  const { kind, step } = state.beside;
  const is = {
    photo: state.photo.address && !state.photo.missing,
    start: state.pictures.of.has(0),
    step: state.pictures.of.has(step),
  };
  return { is, shown: is[kind] ? kind : is.photo ? "photo" : is.start ? "start" : "" };
}

function drawBeside() {
  const { is, shown } = besideKind();
  const image = part(".beside img");
  image.hidden = !shown;
  part(".beside .nothing").hidden = Boolean(shown);
  if (shown === "photo") {
    if (image.getAttribute("src") !== state.photo.address) image.src = state.photo.address;
    image.alt = "A training photo";
  } else if (shown) {
    showPicture(image, pictureOf(shown === "start" ? 0 : state.beside.step));
  }
  const name = { photo: "training photo", start: "the start", step: stepName(state.beside.step) };
  put(".beside figcaption", shown ? name[shown] : "");
  for (const button of part(".beside-switch").children) {
    const { beside } = button.dataset;
    button.setAttribute("aria-pressed", beside === shown);
    button.setAttribute("aria-disabled", beside === "step" ? !state.pictures.steps.length : !is[beside]);
  }
  const other = is.step ? name.step[0].toUpperCase() + name.step.slice(1) : "Another step";
  put('.beside-switch [data-beside="step"]', other);
  part(".end").hidden = !state.trains;
}

// The chosen step goes to the side, so that another one can be looked at.
function keepBeside() {
  const step = chosenStep();
  if (step === null) return;
  state.beside = { kind: "step", step };
  drawHero();
  focusChosen(); // for the arrow keys
  put(".answer", `Now at the side: ${stepName(step)}. Choose another one.`);
}

function listenToHero() {
  part("#prompt-switch").addEventListener("click", ({ target }) => {
    if (target.dataset.prompt) choose(chosenStep(), +target.dataset.prompt);
  });
  part(".beside-switch").addEventListener("click", ({ target }) => {
    const kind = target.dataset.beside;
    if (!kind || target.getAttribute("aria-disabled") === "true") return;
    if (kind === "step" && !besideKind().is.step) return keepBeside();
    state.beside.kind = kind;
    drawHero();
  });
  part(".beside img").addEventListener("error", ({ target }) => {
    if (target.getAttribute("src") !== state.photo.address) return;
    target.removeAttribute("src");
    state.photo.missing = true;
    drawBeside();
  });
}
