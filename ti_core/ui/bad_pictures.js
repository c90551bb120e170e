// Ticks of painted pictures: a press marks a picture as bad or good, and the button keeps the bad ones. The server
// sends the list anew, also while somebody marks, and gradio sets every attribute and text to what it sent: what was
// marked and said is put back.
/* global element, server */

const part = (query) => element.querySelector(query);
const pictures = () => [...element.querySelectorAll("button.bad-picture")];

const good = new Set(); // names of the pictures that were marked as good
let folder = null; // whose pictures they are
let said = ""; // of the last press of "Keep the bad ones"

// Sets only what differs: it is called after every change, its own ones too.
function putBack() {
  const now = part(".bad-pictures")?.dataset.folder ?? null;
  if (now !== null && now !== folder) {
    folder = now;
    good.clear();
    said = "";
  }
  for (const picture of pictures()) {
    const pressed = String(!good.has(picture.dataset.name));
    if (picture.getAttribute("aria-pressed") !== pressed) picture.setAttribute("aria-pressed", pressed);
  }
  const kept = part(".kept"); // what it says may be translated by now, and then it is not ours to change
  if (said && kept && !kept.textContent) kept.textContent = said;
}

function say(text) {
  said = text;
  part(".kept").textContent = text;
}

async function keep() {
  const bad = pictures()
    .map((each) => each.dataset.name)
    .filter((name) => !good.has(name));
  const asked = folder;
  say("…");
  try {
    const answer = await server.keep_bad_pictures({ folder: JSON.parse(asked), bad });
    if (folder !== asked || !part(".kept")) return; // another name's pictures are shown by now
    say(answer.text);
    if (!answer.done) return;
    for (const picture of pictures()) if (!bad.includes(picture.dataset.name)) picture.remove();
    good.clear();
  } catch {
    if (part(".kept")) say("The server does not answer.");
  }
}

element.addEventListener("click", (event) => {
  const name = event.target.closest("button.bad-picture")?.dataset.name;
  if (event.target.closest("button.keep-bad")) keep();
  if (name === undefined) return;
  if (!good.delete(name)) good.add(name);
  putBack();
});
new MutationObserver(putBack).observe(element, { attributes: true, childList: true, subtree: true });
putBack();
