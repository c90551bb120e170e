// Ticks of painted pictures: a press marks a picture as bad or good, and the button keeps the bad ones.
/* global element, server */

const part = (query) => element.querySelector(query);
const pictures = () => [...element.querySelectorAll("button.bad-picture")];

async function keep() {
  const bad = pictures().filter((each) => each.getAttribute("aria-pressed") === "true");
  const asked = { folder: JSON.parse(part(".bad-pictures").dataset.folder), bad: bad.map((each) => each.dataset.name) };
  part(".kept").textContent = "…";
  try {
    const answer = await server.keep_bad_pictures(asked);
    part(".kept").textContent = answer.text;
    if (answer.done)
      pictures()
        .filter((each) => !bad.includes(each))
        .forEach((each) => each.remove());
  } catch {
    part(".kept").textContent = "The server does not answer.";
  }
}

element.addEventListener("click", (event) => {
  const picture = event.target.closest("button.bad-picture");
  if (picture) picture.setAttribute("aria-pressed", String(picture.getAttribute("aria-pressed") !== "true"));
  else if (event.target.closest("button.keep-bad")) keep();
});
