// The pictures of the shown run by step and prompt, and which of them is chosen.
/* global state, put, drawHero, drawStrip, drawActions, drawLarge */
/* exported takePictures, forgetPictures, pictureOf, chosenStep, choose, follow, drawChoice */

// Rows of the server: [step, address, prompt, number of the prompt], of which the last may be missing.
function takePictures(rows) {
  const { pictures } = state;
  for (const [step, url, prompt, number = 1] of rows) {
    state.previews.push({ step, url, prompt, number });
    if (!pictures.of.has(step)) {
      pictures.of.set(step, new Map());
      let at = pictures.steps.length;
      while (at && pictures.steps[at - 1] > step) at--;
      pictures.steps.splice(at, 0, step);
    }
    pictures.of.get(step).set(number, { url, prompt });
    pictures.prompts = Math.max(pictures.prompts, number);
  }
  state.cursor.previews += rows.length;
}

// Of a run that goes on in another job the choice stays.
function forgetPictures(isSameRun) {
  state.previews = [];
  state.pictures = { steps: [], of: new Map(), prompts: 1 };
  if (!isSameRun) {
    state.chosen = { step: null, prompt: 1, follows: true };
    state.beside = { kind: "", step: null };
  }
}

function chosenStep() {
  const { steps, of } = state.pictures;
  const { step, follows } = state.chosen;
  return !follows && of.has(step) ? step : steps.length ? steps[steps.length - 1] : null;
}

// The picture of a step with the chosen prompt; while that one is still being painted, another of the same step.
function pictureOf(step) {
  const found = state.pictures.of.get(step);
  if (!found) return null;
  const number = found.has(state.chosen.prompt) ? state.chosen.prompt : Math.min(...found.keys());
  return { step, number, ...found.get(number) };
}

function drawChoice() {
  drawHero();
  drawStrip();
  drawActions();
  drawLarge();
}

function choose(step, prompt = state.chosen.prompt) {
  const { steps, prompts } = state.pictures;
  if (!steps.length) return;
  state.chosen = { step, prompt: Math.max(1, Math.min(prompts, prompt)), follows: false };
  put(".answer", "");
  drawChoice();
}

function follow(follows) {
  state.chosen = { ...state.chosen, step: chosenStep(), follows };
  drawChoice();
}
