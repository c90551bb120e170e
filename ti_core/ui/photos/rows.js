// The thumbnails of the photos, with the crops drawn on them.
/* global element, server, props, shapeBox, drawEditor */
/* exported photos, part, rowOf, loadPhotos, drawRow, drawFoot, tellError, putBox, boxesOf, pictureAddress, findCrop */

const photos = { asked: {}, rows: [], total: 0, next: 0, undo: 0, mayEdit: false, chosen: "", round: 0 };
const part = (selector) => element.querySelector(selector);
const rowOf = (name) => photos.rows.find((row) => row.name === name);

function tellError(text) {
  part(".photos-error").textContent = text || "";
}

// Of an answer of the server; what it refuses is a sentence.
function refused(answer) {
  tellError(answer?.error);
  return Boolean(answer?.error);
}

function pictureAddress(row, isLarge) {
  const asked = { folder: photos.asked.folder, name: row.name, turn: row.edit.turn || 0, at: row.at };
  if (isLarge) asked.large = 1;
  return `photos/small?${new URLSearchParams(asked)}`;
}

const turnedSize = ({ size, edit }) => ((edit.turn || 0) % 180 ? [size[1], size[0]] : size);

// What is drawn on a photo: what a person has put there, else what the program will do, as shares of the sides.
function boxesOf(row) {
  const { edit, plan } = row;
  return edit.middle ? [shapeBox(turnedSize(row), edit.middle, edit.scale ?? 1)] : (plan?.boxes ?? []);
}

function putBox(frame, [left, top, width, height]) {
  const sides = { left, top, width, height };
  for (const [side, share] of Object.entries(sides)) frame.style[side] = `${(100 * share).toFixed(3)}%`;
}

function drawFrames(holder, row) {
  const boxes = boxesOf(row);
  for (const old of holder.querySelectorAll(".crop")) old.remove();
  for (const box of boxes) {
    const frame = document.createElement("i");
    frame.className = `crop${boxes.length === 1 ? " only" : ""}${row.edit.middle ? " hand" : ""}`;
    putBox(frame, box);
    holder.append(frame);
  }
}

function makeItem(row) {
  const [item, pick, out, image] = ["div", "button", "button", "img"].map((name) => document.createElement(name));
  item.className = "photo";
  item.dataset.name = row.name;
  item.setAttribute("role", "listitem");
  pick.className = "pick";
  out.className = "out";
  pick.type = out.type = "button";
  pick.dataset.told = "left out";
  image.loading = "lazy";
  image.alt = "";
  pick.append(image);
  item.append(pick, out);
  row.item = item;
  return item;
}

function drawRow(row) {
  const { item, edit } = row;
  const [pick, out, image] = [".pick", ".out", "img"].map((selector) => item.querySelector(selector));
  const address = pictureAddress(row);
  if (image.getAttribute("src") !== address) image.src = address;
  const [width, height] = turnedSize(row);
  image.style.aspectRatio = `${width} / ${height}`;
  item.classList.toggle("is-out", Boolean(edit.out));
  item.classList.toggle("chosen", photos.chosen === row.name);
  pick.setAttribute("aria-label", `Change ${row.name}`);
  pick.title = row.name;
  out.textContent = edit.out ? "+" : "\u00d7";
  out.setAttribute("aria-label", `${edit.out ? "Put back" : "Leave out"} ${row.name}`);
  out.hidden = !photos.mayEdit;
  drawFrames(pick, row);
}

function drawFoot() {
  const left = photos.total - photos.next;
  part("[data-act=undo]").disabled = !photos.undo;
  part("[data-act=undo]").hidden = !photos.mayEdit;
  part("[data-act=more]").hidden = left < 1;
  part(".photos-count").textContent = left > 0 ? `The first ${photos.next} of ${photos.total} photos.` : "";
  part(".photos-box").hidden = !photos.rows.length;
}

// A crop that depends on what the photo shows is looked for on the server, one photo after the other.
async function findCrop(row) {
  if (row.plan || row.edit.middle) return;
  const { folder, settings } = photos.asked;
  const asked = { folder, name: row.name, turn: row.edit.turn || 0, settings: JSON.stringify(settings) };
  try {
    const answer = await fetch(`photos/crop?${new URLSearchParams(asked)}`);
    if (answer.ok && !row.plan) row.plan = await answer.json();
  } catch {
    return; // the run panel says that the server does not answer
  }
}

async function findCrops(round) {
  for (const row of photos.rows) {
    if (round !== photos.round) return; // the form has changed meanwhile
    const isKnown = Boolean(row.plan || row.edit.middle);
    await findCrop(row);
    if (round !== photos.round) return;
    if (!isKnown) drawRow(row);
    if (!isKnown && photos.chosen === row.name) drawEditor();
  }
}

// The photos of the folder that the form names; `isMore` adds the next ones.
async function loadPhotos(isMore = false) {
  const round = (photos.round += 1);
  if (!isMore) photos.asked = props.asked ?? {};
  if (!photos.asked.folder) {
    Object.assign(photos, { rows: [], total: 0, next: 0, chosen: "" });
    part(".photos").replaceChildren();
    drawFoot();
    drawEditor();
    return tellError("");
  }
  let answer;
  try {
    answer = await server.list_photos({ ...photos.asked, first: isMore ? photos.next : 0 });
  } catch {
    return; // the run panel says that the server does not answer
  }
  if (round !== photos.round) return;
  if (answer.error) Object.assign(answer, { rows: [], total: 0, next: 0, undo: 0, may_edit: false });
  refused(answer);
  photos.rows = isMore ? [...photos.rows, ...answer.rows] : answer.rows;
  Object.assign(photos, { total: answer.total, next: answer.next, undo: answer.undo, mayEdit: answer.may_edit });
  if (!rowOf(photos.chosen)) photos.chosen = "";
  const items = answer.rows.map(makeItem);
  if (isMore) part(".photos").append(...items);
  else part(".photos").replaceChildren(...items);
  answer.rows.forEach(drawRow);
  drawFoot();
  drawEditor();
  findCrops(round);
}
