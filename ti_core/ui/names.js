/* Tabs and choices by arrow keys; names and roles where gradio's own components lack them or say something else than
   what stands there: a voice that is told "Download card" presses what is called so. */
/* exported mendNames */
function mendNames() {
  if (window.namesAreMended) return;
  window.namesAreMended = true;

  // gradio names each choice of a group for itself, anew at each change: arrows would not move among them, and Tab
  // would stop at each.
  const nameChoices = () => {
    for (const radio of document.querySelectorAll(".block[id] input[type=radio]")) {
      const { id } = radio.closest(".block[id]");
      if (radio.name !== id) radio.name = id;
    }
  };
  const mend = () => {
    // These have a text of their own, which then is their name.
    for (const button of document.querySelectorAll(".upload-container[aria-label]")) {
      if (button.textContent.trim()) button.removeAttribute("aria-label");
    }
    // A picture with its caption below it: the caption is the name, said once.
    for (const caption of document.querySelectorAll("button[aria-label] > .caption-label")) {
      const button = caption.parentElement;
      button.removeAttribute("aria-label");
      caption.title = caption.textContent.trim(); // where it is cut off
      const picture = button.querySelector("img");
      if (picture) picture.alt = "";
    }
    nameChoices();
    for (const empty of document.querySelectorAll("div.empty[aria-label]:not([role])")) {
      empty.setAttribute("role", "img");
    }
  };

  let isDue = false;
  const mendSoon = () => {
    if (isDue) return;
    isDue = true;
    requestAnimationFrame(() => {
      isDue = false;
      mend();
    });
  };
  // Tabs by arrow keys, as everywhere else.
  document.addEventListener("keydown", (event) => {
    const tab = event.target.closest?.("[role=tab]");
    const all = [...(tab?.parentElement.querySelectorAll("[role=tab]:not(:disabled)") ?? [])];
    const at = all.indexOf(tab);
    const last = all.length - 1;
    const to = { ArrowLeft: at ? at - 1 : last, ArrowRight: at < last ? at + 1 : 0, Home: 0, End: last }[event.key];
    if (at < 0 || to === undefined || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault();
    all[to].click();
    all[to].focus();
  });

  const names = { attributes: true, attributeFilter: ["name"], subtree: true };
  new MutationObserver(nameChoices).observe(document.body, names);
  new MutationObserver(mendSoon).observe(document.body, { childList: true, subtree: true });
  mend();
}
