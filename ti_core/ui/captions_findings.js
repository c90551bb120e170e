// Points out pictures that are nearly the same, blurred, or of a tiny face: a list, a sign on the picture in the
// gallery, and a sentence on the open picture. The server looks for them meanwhile, so it is asked until all is found.
/* global element, props, server, watch, trigger */
const ASK_MS = 1500;
let answer = { rows: [] };
let due = 0;
let isOpen = false;

const made = (tag, text, className = "") =>
  Object.assign(document.createElement(tag), { textContent: text, className });

function progress() {
  if (answer.error) return answer.error;
  if (answer.looked < answer.total) return `Looking for blur and near duplicates: ${answer.looked} of ${answer.total}.`;
  if (!answer.done) return "Looking for tiny faces.";
  return answer.rows.length ? "" : "No near duplicates, no blur, no tiny faces were found.";
}

function rowOf(row) {
  const item = document.createElement("li");
  const name = made("button", row.name, "found-name");
  name.type = "button";
  name.translate = false;
  name.addEventListener("click", () => trigger("open_found", { name: row.name }));
  item.append(name, ...row.sentences.map((sentence) => made("span", sentence)));
  return item;
}

function list() {
  const fold = document.createElement("details");
  fold.open = isOpen;
  fold.addEventListener("toggle", () => (isOpen = fold.open));
  const mark = made("button", "Mark these pictures", "mark-found");
  mark.type = "button";
  mark.addEventListener("click", () => trigger("mark_found", {}));
  const rows = document.createElement("ul");
  rows.append(...answer.rows.slice(0, answer.listed).map(rowOf));
  fold.append(
    made("summary", `Pictures to look at: ${answer.rows.length}.`),
    made("p", "Nothing is left out by itself: leave out or replace what you find bad."),
    rows,
  );
  if (answer.rows.length > answer.listed) fold.append(made("p", `The first ${answer.listed} are shown.`));
  fold.append(mark);
  return fold;
}

function draw() {
  const box = element.querySelector(".findings");
  if (!box) return;
  const open = answer.rows.find((row) => row.name === props.picture);
  const parts = [];
  if (props.folder && answer.folder === props.folder) {
    if (open) parts.push(made("p", open.sentences.join(" "), "of-open"));
    if (answer.rows.length) parts.push(list());
  }
  if (props.folder && progress()) parts.push(made("p", progress(), "looking"));
  box.replaceChildren(...parts);
  drawSigns();
}

function drawSigns() {
  const sentences = new Map(answer.folder === props.folder ? answer.rows.map((row) => [row.index, row.sentences]) : []);
  document.querySelectorAll("#captions_gallery .thumbnail-item").forEach((picture, index) => {
    const found = sentences.get((props.first ?? 0) + index)?.join(" ") ?? "";
    if ((picture.dataset.found ?? "") === found) return;
    picture.dataset.found = found;
    picture.title = found;
  });
}

async function ask(again = false) {
  clearTimeout(due);
  const folder = props.folder;
  if (!folder) return draw();
  try {
    const said = await server.list_findings({ folder, again });
    if (props.folder !== folder) return;
    answer = said.error ? { ...said, rows: [], folder } : said;
    draw();
    if (!answer.done && !answer.error) due = setTimeout(ask, ASK_MS, true);
  } catch {
    due = setTimeout(ask, 4 * ASK_MS); // the server is away for a moment
  }
}

// Another picture of the folder says nothing new: only what was read again is asked for.
let asked = "";
watch(["folder", "picture", "first", "stamp"], () => {
  draw();
  const now = `${props.stamp} ${props.folder}`;
  if (now === asked) return;
  asked = now;
  clearTimeout(due);
  due = setTimeout(ask, 50);
});
new MutationObserver(drawSigns).observe(document.body, { childList: true, subtree: true });
