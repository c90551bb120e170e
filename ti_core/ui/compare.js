// The grid is replaced whole by the server; its buttons and pictures are listened to here, once.
const part = query => element.querySelector(query);

function enlarge(picture) {
  const box = part("dialog");
  box.querySelector("img").src = picture.src; box.querySelector("img").alt = picture.alt; box.querySelector("p").textContent = picture.alt;
  box.showModal();
}

element.addEventListener("click", async event => {
  const target = event.target;
  if (target.matches("td img")) enlarge(target);
  if (target.matches("dialog, .close")) part("dialog").close();
  if (!target.matches("button[data-step]")) return;
  part(".used").textContent = "…";
  const asked = { run: JSON.parse(part(".comparison").dataset.run), step: +target.dataset.step };
  try { part(".used").textContent = await server.use_step_of_run(asked); } catch (problem) { part(".used").textContent = "The server does not answer."; }
});
element.addEventListener("keydown", event => {
  if (!["Enter", " "].includes(event.key) || !event.target.matches("td img")) return;
  event.preventDefault();  // Space would also scroll the page
  enlarge(event.target);
});
