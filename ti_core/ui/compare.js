// The grid is replaced whole by the server; its buttons and pictures are listened to here, once.
/* global element, server */

const part = (query) => element.querySelector(query);
let large = null; // the picture of the grid that the large view shows

function enlarge(picture) {
  const box = part("dialog");
  const image = box.querySelector("img");
  large = picture;
  image.src = picture.src;
  image.alt = box.querySelector("p").textContent = picture.alt;
  if (!box.open) box.showModal();
}

// Rows of pictures: those of one row lie side by side.
function rows() {
  return [...element.querySelectorAll("tbody tr")]
    .map((row) => [...row.querySelectorAll("img")])
    .filter((r) => r.length);
}

function go(across, down) {
  const all = rows();
  const y = all.findIndex((row) => row.includes(large));
  if (y < 0) return;
  const x = all[y].indexOf(large);
  const row = all[Math.max(0, Math.min(all.length - 1, y + down))];
  enlarge(row[Math.max(0, Math.min(row.length - 1, x + across))]);
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

// ---- the whole width of the page, while there is a grid to look at; the run panel is below it then

let wanted = true; // by the button
let isPainting = false; // until the new grid is there, the run panel tells how far it is
let wasShown = false;
let atPress = null; // the grid that was there when a new one was ordered

function widen() {
  const isShown = element.offsetParent !== null;
  if (isShown && !wasShown) isPainting = false;
  wasShown = isShown;
  const isWide = isShown && wanted && !isPainting && part(".comparison") !== null;
  document.getElementById("body")?.classList.toggle("compare-wide", isWide);
  part(".width")?.setAttribute("aria-pressed", String(wanted));
}

new ResizeObserver(widen).observe(element);
new MutationObserver((changes) => {
  if (!changes.some(({ addedNodes }) => [...addedNodes].some((node) => node.matches?.(".comparison")))) return;
  isPainting = false;
  widen();
}).observe(element, { childList: true, subtree: true });
document.addEventListener(
  "click",
  ({ target }) => {
    if (target.closest?.("#compare_run_button")) atPress = part(".comparison");
  },
  true,
);
window.addEventListener("job-submitted", () => {
  // a quick grid may be there before the page hears that it was ordered
  isPainting = wasShown && part(".comparison") === atPress;
  widen();
});

// ---- clicks and keys

element.addEventListener("click", ({ target }) => {
  if (target.matches("td img")) enlarge(target);
  if (target.matches("dialog, .close")) part("dialog").close();
  if (target.matches(".before")) go(-1, 0);
  if (target.matches(".after")) go(1, 0);
  if (target.matches("button[data-step]")) useStep(+target.dataset.step);
  if (target.matches(".width")) {
    wanted = !wanted;
    widen();
  }
});
element.addEventListener(
  "close",
  () => large?.focus(), // the picture that was seen last
  true, // it does not bubble
);
element.addEventListener("keydown", (event) => {
  const { key, target } = event;
  if (part("dialog")?.open) {
    const steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], Home: [-Infinity, 0], End: [Infinity, 0] };
    const [across, down] = { ...steps, ArrowUp: [0, -1], ArrowDown: [0, 1] }[key] ?? [0, 0];
    if (!across && !down) return;
    event.preventDefault();
    go(across, down);
  } else if (["Enter", " "].includes(key) && target.matches("td img")) {
    event.preventDefault(); // Space would also scroll the page
    enlarge(target);
  }
});
