/* Photos before they are preprocessed: a click leaves one out or takes it back, a drag moves the frame of its crop.
   What is done by hand is written into a field of the form, as the server reads it. */
/* global element */
const field = () => document.querySelector("#preprocess_by_hand textarea, #preprocess_by_hand input");

function byHand() {
  try {
    return JSON.parse(field()?.value || "{}");
  } catch {
    return {};
  }
}

function keep(name, value) {
  const box = field();
  if (!box) return;
  const all = byHand();
  if (value === undefined) delete all[name];
  else all[name] = value;
  box.value = Object.keys(all).length ? JSON.stringify(all) : "";
  box.dispatchEvent(new Event("input", { bubbles: true }));
}

const share = (text) => parseFloat(text) / 100;
const middleOf = (frame) =>
  [share(frame.style.left) + share(frame.style.width) / 2, share(frame.style.top) + share(frame.style.height) / 2].map(
    (each) => Math.round(each * 1000) / 1000,
  );

function moveFrame(frame, left, top) {
  frame.style.left = `${100 * Math.min(Math.max(0, left), 1 - share(frame.style.width))}%`;
  frame.style.top = `${100 * Math.min(Math.max(0, top), 1 - share(frame.style.height))}%`;
}

let drag = null;
let wasMoved = false;
element.addEventListener("pointerdown", (event) => {
  const photo = event.target.closest(".photo");
  const frame = photo?.querySelector(".frame");
  if (!frame || frame.hidden || photo.getAttribute("aria-pressed") === "true" || event.button > 0) return;
  const begin = { x: event.clientX, y: event.clientY };
  drag = { photo, frame, begin, left: share(frame.style.left), top: share(frame.style.top), isMoved: false };
  photo.setPointerCapture(event.pointerId);
});
element.addEventListener("pointermove", (event) => {
  if (!drag) return;
  const box = drag.photo.getBoundingClientRect();
  const x = (event.clientX - drag.begin.x) / box.width;
  const y = (event.clientY - drag.begin.y) / box.height;
  if (!drag.isMoved && Math.hypot(x * box.width, y * box.height) < 4) return;
  drag.isMoved = true;
  moveFrame(drag.frame, drag.left + x, drag.top + y);
});
const endDrag = () => {
  if (drag?.isMoved) keep(drag.photo.dataset.name, middleOf(drag.frame));
  wasMoved = Boolean(drag?.isMoved);
  drag = null;
};
element.addEventListener("pointerup", endDrag);
element.addEventListener("pointercancel", endDrag);
element.addEventListener("click", (event) => {
  const photo = event.target.closest(".photo");
  if (!photo || wasMoved) {
    wasMoved = false; // a drag ends with a click
    return;
  }
  const isOut = photo.getAttribute("aria-pressed") !== "true";
  photo.setAttribute("aria-pressed", String(isOut));
  keep(photo.dataset.name, isOut ? null : undefined);
});
element.addEventListener("keydown", (event) => {
  const frame = event.target.closest(".photo")?.querySelector(".frame");
  const [x, y] = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key] ?? [0, 0];
  if (!frame || frame.hidden || (!x && !y)) return;
  event.preventDefault();
  moveFrame(frame, share(frame.style.left) + x * 0.02, share(frame.style.top) + y * 0.02);
  keep(event.target.closest(".photo").dataset.name, middleOf(frame));
});
