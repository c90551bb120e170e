// The grid is replaced whole by the server; its buttons and pictures are listened to here, once.
/* global element, server */

const part = (query) => element.querySelector(query);

function enlarge(picture) {
  const box = part("dialog");
  const image = box.querySelector("img");
  image.src = picture.src;
  image.alt = box.querySelector("p").textContent = picture.alt;
  box.showModal();
}

async function useStep(step) {
  part(".used").textContent = "…";
  const asked = { run: JSON.parse(part(".comparison").dataset.run), step };
  try {
    part(".used").textContent = await server.use_step_of_run(asked);
  } catch {
    part(".used").textContent = "The server does not answer.";
  }
}

element.addEventListener("click", ({ target }) => {
  if (target.matches("td img")) enlarge(target);
  if (target.matches("dialog, .close")) part("dialog").close();
  if (target.matches("button[data-step]")) useStep(+target.dataset.step);
});
element.addEventListener("keydown", (event) => {
  if (!["Enter", " "].includes(event.key) || !event.target.matches("td img")) return;
  event.preventDefault(); // Space would also scroll the page
  enlarge(event.target);
});
