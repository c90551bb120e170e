// One photo large: its crop is dragged and scaled by mouse, touch and keys; it is turned, and left out.
/* global photos, part, rowOf, boxesOf, putBox, drawRow, pictureAddress, cropOf, movedCrop, shapeBox, findCrop */
/* global server, trigger, turnedSize, drawFoot, refused */
/* exported drawEditor, choosePhoto, listenToEditor, change, undo, leaveOut */

const editor = () => part(".photo-editor");
const chosenRow = () => rowOf(photos.chosen);
const KEY_STEP = 0.01;
const SAVE_AFTER_MS = 400; // a held key is one change

function drawEditor() {
  const row = chosenRow();
  editor().hidden = !row;
  if (!row) return;
  const image = part(".photo-editor img");
  const address = pictureAddress(row, true);
  if (image.getAttribute("src") !== address) image.src = address;
  const size = turnedSize(row);
  image.width = size[0];
  image.height = size[1];
  image.style.aspectRatio = `${size[0]} / ${size[1]}`;
  const frame = part(".photo-editor .frame");
  const [crop, boxes] = [cropOf(row, size), boxesOf(row)];
  const isOne = boxes.length === 1;
  frame.hidden = !photos.mayEdit;
  putBox(frame, row.edit.middle || !isOne ? shapeBox(size, crop.middle, crop.scale) : boxes[0]);
  frame.setAttribute("aria-label", `Crop of ${row.name}: arrow keys move it, plus and minus change its size`);
  drawOthers(row, isOne ? [] : boxes);
  editor().classList.toggle("is-out", Boolean(row.edit.out));
  part(".photo-name").textContent = row.name;
  part(".photo-note").textContent = row.edit.middle ? "Cropped by hand." : (row.plan?.note ?? "");
  part(".photo-size input").value = Math.round(100 * crop.scale);
  part("[data-act=out]").textContent = row.edit.out ? "Put back" : "Leave out";
  part("[data-act=auto]").disabled = !row.edit.middle;
  for (const act of ["left", "right", "out", "auto"]) part(`[data-act=${act}]`).hidden = !photos.mayEdit;
  part(".photo-size").hidden = !photos.mayEdit;
}

// Several pieces of one photo, as Split oversized images makes.
function drawOthers(row, boxes) {
  const holder = part(".photo-editor .frames");
  const frames = boxes.map((box) => {
    const frame = document.createElement("i");
    frame.className = "crop";
    putBox(frame, box);
    return frame;
  });
  holder.replaceChildren(...frames);
}

function choosePhoto(name) {
  const before = rowOf(photos.chosen);
  photos.chosen = name;
  for (const row of [before, rowOf(name)]) if (row) drawRow(row);
  drawEditor();
}

function go(by) {
  const at = photos.rows.indexOf(chosenRow()) + by;
  const row = photos.rows[(at + photos.rows.length) % photos.rows.length];
  choosePhoto(row.name);
  row.item.scrollIntoView({ block: "nearest", inline: "nearest" });
}

// ---- changes: drawn at once, then kept by the server, one after the other

let keeping = Promise.resolve();
let latest = null;
const waiting = new Map();

function change(row, edit, isSoon = false) {
  if (!photos.mayEdit) return;
  row.edit = edit;
  drawRow(row);
  if (photos.chosen === row.name) drawEditor();
  clearTimeout(waiting.get(row.name)?.timer);
  const keep = () => {
    clearTimeout(waiting.get(row.name)?.timer);
    waiting.delete(row.name);
    sendNext("change_photo", { name: row.name, edit });
  };
  part(".photos-box").dataset.keeping = "true";
  if (isSoon) waiting.set(row.name, { keep, timer: setTimeout(keep, SAVE_AFTER_MS) });
  else keep();
}

function sendNext(what, more) {
  part(".photos-box").dataset.keeping = "true";
  const sent = keeping.then(() => send(what, more));
  keeping = sent.finally(() => {
    if (sent === latest && !waiting.size) part(".photos-box").dataset.keeping = "false";
  });
  latest = sent;
}

async function send(what, more) {
  let answer;
  try {
    answer = await server[what]({ ...photos.asked, ...more });
  } catch {
    answer = { error: "The server does not answer, so this was not kept." };
  }
  if (refused(answer)) return;
  photos.undo = answer.undo;
  const row = rowOf(answer.name);
  if (row && answer.row && !waiting.has(row.name)) {
    Object.assign(row, answer.row);
    if (what === "undo_photo") choosePhoto(row.name);
    await findCrop(row);
    drawRow(row);
    if (photos.chosen === row.name) drawEditor();
  }
  drawFoot();
  trigger("edited");
}

// The browser's own Ctrl+Z would take back what was typed last, in a field that nobody looks at.
function undoByKey(event) {
  if (!photos.mayEdit || !(event.ctrlKey || event.metaKey) || event.key !== "z") return;
  event.preventDefault();
  undo();
}

function undo() {
  for (const { keep } of [...waiting.values()]) keep();
  sendNext("undo_photo", {});
}

function leaveOut(row) {
  const edit = { ...row.edit };
  if (edit.out) delete edit.out;
  else edit.out = true;
  change(row, edit);
}

// The crop turns with the photo; the finished shape stays, so it may become smaller.
function turn(row, by) {
  const edit = { ...row.edit, turn: ((row.edit.turn ?? 0) + by + 360) % 360 };
  if (edit.middle) {
    const [x, y] = edit.middle;
    edit.middle = by > 0 ? [1 - y, x] : [y, 1 - x];
  }
  if (!edit.turn) delete edit.turn;
  row.plan = null; // another one is found
  change(row, edit);
}

function moveCrop(row, by, scaledBy, isSoon) {
  const size = turnedSize(row);
  change(row, { ...row.edit, ...movedCrop(size, cropOf(row, size), by, scaledBy) }, isSoon);
}

// ---- mouse and touch

const pointers = new Map();
let drag = null;

function beginDrag(event) {
  const row = chosenRow();
  if (!row || event.button > 0) return;
  event.currentTarget.setPointerCapture(event.pointerId);
  pointers.set(event.pointerId, [event.clientX, event.clientY]);
  const size = turnedSize(row);
  const grip = event.target.closest(".grip");
  drag = { row, size, start: cropOf(row, size), edit: row.edit, from: new Map(pointers), grip, isMoved: false };
}

const distance = ([[x, y], [otherX, otherY]]) => Math.hypot(x - otherX, y - otherY);

function dragged(event) {
  if (!drag || !pointers.has(event.pointerId)) return;
  pointers.set(event.pointerId, [event.clientX, event.clientY]);
  const picture = part(".photo-editor img").getBoundingClientRect();
  const [begin, now] = [drag.from.get(event.pointerId), [event.clientX, event.clientY]];
  const by = [(now[0] - begin[0]) / picture.width, (now[1] - begin[1]) / picture.height];
  let crop;
  if (pointers.size === 2 && drag.from.size === 2) {
    const scale = distance([...pointers.values()]) / Math.max(1, distance([...drag.from.values()]));
    crop = movedCrop(drag.size, drag.start, [0, 0], scale);
  } else if (drag.grip) {
    crop = gripped(by);
  } else {
    crop = movedCrop(drag.size, drag.start, by);
  }
  drag.isMoved = drag.isMoved || Math.hypot(now[0] - begin[0], now[1] - begin[1]) > 2;
  if (!drag.isMoved) return;
  drag.row.edit = { ...drag.edit, ...crop };
  drawRow(drag.row);
  drawEditor();
}

// A corner follows the pointer, the opposite one stays.
function gripped([x, y]) {
  const [left, top, w, h] = shapeBox(drag.size, drag.start.middle, drag.start.scale);
  const isRight = /[ns]e/.test(drag.grip.className);
  const isLower = /s[ew]/.test(drag.grip.className);
  const grown = Math.max((w + (isRight ? x : -x)) / w, (h + (isLower ? y : -y)) / h, 0.01);
  const room = Math.min((isRight ? 1 - left : left + w) / w, (isLower ? 1 - top : top + h) / h);
  const by = Math.min(grown, room);
  const middle = [
    isRight ? left + (by * w) / 2 : left + w - (by * w) / 2,
    isLower ? top + (by * h) / 2 : top + h - (by * h) / 2,
  ];
  return movedCrop(drag.size, { middle, scale: drag.start.scale }, [0, 0], by);
}

function endDrag(event) {
  pointers.delete(event.pointerId);
  if (!drag) return;
  const { row, edit, isMoved } = drag;
  drag = null;
  if (isMoved) change(row, row.edit);
  else row.edit = edit;
}

// ---- keys and buttons

function pressed(event) {
  const row = chosenRow();
  if (!row || !photos.mayEdit) return;
  const step = KEY_STEP * (event.shiftKey ? 5 : 1);
  const moves = { ArrowLeft: [-step, 0], ArrowRight: [step, 0], ArrowUp: [0, -step], ArrowDown: [0, step] };
  const scales = { "+": 1.03, "=": 1.03, "-": 1 / 1.03 };
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  else if (moves[event.key]) moveCrop(row, moves[event.key], 1, true);
  else if (scales[event.key]) moveCrop(row, [0, 0], scales[event.key], true);
  else if (event.key === "Delete") leaveOut(row);
  else if (event.key === "[" || event.key === "]") turn(row, event.key === "]" ? 90 : -90);
  else return;
  event.preventDefault();
}

function listenToEditor() {
  const frame = part(".photo-editor .frame");
  part(".photos-box").addEventListener("keydown", undoByKey);
  frame.addEventListener("pointerdown", beginDrag);
  frame.addEventListener("pointermove", dragged);
  frame.addEventListener("pointerup", endDrag);
  frame.addEventListener("pointercancel", endDrag);
  frame.addEventListener("keydown", pressed);
  frame.addEventListener("wheel", (event) => {
    if (document.activeElement !== frame) return; // the page scrolls on
    event.preventDefault();
    moveCrop(chosenRow(), [0, 0], event.deltaY > 0 ? 1.03 : 1 / 1.03, true);
  });
  part(".photo-size input").addEventListener("input", ({ target }) => {
    const row = chosenRow();
    const { scale } = cropOf(row, turnedSize(row));
    moveCrop(row, [0, 0], target.value / 100 / scale, true);
  });
  const acts = {
    back: () => go(-1),
    on: () => go(1),
    left: (row) => turn(row, -90),
    right: (row) => turn(row, 90),
    out: leaveOut,
    auto: automatic,
    close: () => choosePhoto(""),
  };
  editor().addEventListener("click", ({ target }) => {
    const act = acts[target.closest("[data-act]")?.dataset.act];
    if (act && chosenRow()) act(chosenRow());
  });
}

function automatic(row) {
  const edit = { ...row.edit };
  delete edit.middle;
  delete edit.scale;
  change(row, edit);
}
