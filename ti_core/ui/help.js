/* The help of a field shows while the field is used, or when its "?" is pressed. The "?" is for mouse and finger: the
   keyboard gets the help with the focus, so it is no stop of the Tab key. */
/* exported addHelpButtons */
function addHelpButtons() {
  if (window.helpIsThere) return;
  window.helpIsThere = true;
  let count = 0;

  const controlsOf = (block) => block.querySelectorAll("input, textarea, select");
  const addTo = (help) => {
    const block = help.closest(".block[id]");
    if (!block || block.querySelector(":scope > .help")) return;
    const label = block.querySelector("[data-testid='block-info'], .label-text")?.textContent.trim() ?? "";
    help.id ||= `help-${(count += 1)}`;
    for (const control of controlsOf(block)) control.setAttribute("aria-describedby", help.id);
    const button = document.createElement("button");
    button.type = "button";
    button.className = "help";
    button.tabIndex = -1;
    button.textContent = "?";
    button.setAttribute("aria-label", `Help: ${label}`);
    button.setAttribute("aria-expanded", "false");
    button.setAttribute("aria-controls", help.id);
    button.addEventListener("click", (event) => {
      event.preventDefault();
      const isShown = block.toggleAttribute("data-help");
      button.setAttribute("aria-expanded", String(isShown));
    });
    block.append(button);
  };
  const addAll = () => document.querySelectorAll(".block[id] .info-text").forEach(addTo);

  let isDue = false;
  const addSoon = () => {
    if (isDue) return;
    isDue = true;
    requestAnimationFrame(() => {
      isDue = false;
      addAll();
    });
  };
  new MutationObserver(addSoon).observe(document.body, { childList: true, subtree: true });
  addAll();
}
