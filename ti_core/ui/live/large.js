// The chosen picture as large as the window allows.
/* global state, part, stepName, pictureOf, chosenStep, chooseByKey, choose */
/* exported drawLarge, listenToLarge */

function drawLarge() {
  const box = part(".large");
  const picture = pictureOf(chosenStep());
  if (!box.open) return;
  if (!picture) return box.close(); // another run is shown
  const { step, url, prompt } = picture;
  const image = box.querySelector("img");
  if (image.getAttribute("src") !== url) image.src = url;
  box.querySelector(".get").href = url;
  image.alt = `Preview of ${stepName(step)}`;
  box.querySelector("figcaption").textContent = `${stepName(step)}: ${prompt}`;
}

function listenToLarge() {
  const box = part(".large");
  const go = (by) => {
    const { steps } = state.pictures;
    choose(steps[Math.max(0, Math.min(steps.length - 1, steps.indexOf(chosenStep()) + by))]);
  };
  part("#hero .enlarge").onclick = () => {
    box.showModal();
    drawLarge();
  };
  part(".older").onclick = () => go(-1);
  part(".newer").onclick = () => go(1);
  part(".close").onclick = () => box.close();
  box.onclick = (event) => {
    if (event.target === box) box.close();
  };
  box.onkeydown = chooseByKey;
}
