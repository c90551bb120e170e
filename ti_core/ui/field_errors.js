/* Errors stand at the field that they are about: marked, with the sentence right below it, and the first one has the
   focus. A box of messages lists them as links, or whichever element has data-errors-of="train" (the beginning of the
   fields' ids). What is changed in a field takes its error away. */
/* exported showErrorsAtFields */
function showErrorsAtFields() {
  if (window.fieldErrors) return;
  const MOUNT_MS = 2000; // for what a fold holds to be there
  const LOOK_MS = 200;
  const ours = new Map(); // beginning of the fields' ids -> their errors, as drawn
  let timer = 0;

  const blockOf = (id) => document.getElementById(id);
  const controlOf = (block) =>
    block.querySelector("input[type=radio]:checked") ??
    block.querySelector("textarea, input:not([type=range], [type=file], [type=hidden])") ??
    block.querySelector("input, button");
  const controlsOf = (block) => block.querySelectorAll("textarea, input:not([type=file], [type=hidden])");
  const labelOf = (block, id) => block?.querySelector("[data-testid=block-info]")?.textContent.trim() || id;
  const valueOf = (block) =>
    [...block.querySelectorAll("textarea, input, .token, .file-name")]
      .map((part) => (["checkbox", "radio"].includes(part.type) ? part.checked : (part.value ?? part.textContent)))
      .join("\n");
  const isShown = (node) => node.getClientRects().length > 0;

  const until = async (isThere) => {
    const end = performance.now() + MOUNT_MS;
    while (!isThere() && performance.now() < end) await new Promise((done) => setTimeout(done, 20));
    return isThere();
  };

  // ---- the way to a field

  const unfold = async ({ folds }) => {
    for (const id of folds) {
      const content = () => document.querySelector(`#${CSS.escape(id)} > [data-testid=accordion-content]`);
      if (!(await until(content)) || content().style.display !== "none") continue;
      document.querySelector(`#${CSS.escape(id)} > .label-wrap`).click();
      await until(() => content().style.display !== "none");
    }
  };
  const openTab = ({ tab }) => {
    const button = document.querySelector(`[role=tab][data-tab-id="${CSS.escape(tab)}"]`);
    if (button?.getAttribute("aria-selected") === "false") button.click();
  };
  const focusOn = async (error) => {
    openTab(error);
    await unfold(error);
    if (!(await until(() => blockOf(error.id) && isShown(blockOf(error.id))))) return;
    const block = blockOf(error.id);
    controlOf(block)?.focus({ preventScroll: true });
    block.scrollIntoView({ block: "center" });
  };

  // ---- at the field

  const mark = (error) => {
    const block = blockOf(error.id);
    if (!block) return false;
    unmark(block);
    const note = document.createElement("p");
    note.className = "field-error";
    note.id = `${error.id}_error`;
    note.textContent = error.sentence;
    block.append(note);
    block.classList.add("has-error");
    for (const control of controlsOf(block)) {
      control.setAttribute("aria-invalid", "true");
      control.setAttribute("aria-describedby", note.id);
    }
    error.value = valueOf(block);
    return true;
  };
  const unmark = (block) => {
    block.classList.remove("has-error");
    block.querySelector(":scope > .field-error")?.remove();
    for (const control of controlsOf(block)) {
      control.removeAttribute("aria-invalid");
      control.removeAttribute("aria-describedby");
    }
  };

  // ---- all of a form

  const linkTo = (error) => {
    const link = document.createElement("button");
    link.type = "button";
    link.className = "error-link";
    link.textContent = labelOf(blockOf(error.id), error.label);
    link.title = error.sentence;
    link.onclick = () => focusOn(error);
    return link;
  };
  const listOf = (errors) => {
    const list = document.createElement("span");
    const one = errors.length === 1;
    list.append(one ? "One field needs a look: " : `${errors.length} fields need a look: `);
    errors.forEach((error, i) => list.append(...(i ? [" · "] : []), linkTo(error)));
    return list;
  };
  const drawLinks = (prefix) => {
    const { errors, box, text } = ours.get(prefix);
    const places = [...document.querySelectorAll(`[data-errors-of="${CSS.escape(prefix)}"]`)];
    for (const place of places) place.replaceChildren(...(errors.length ? [listOf(errors)] : []));
    box.replaceChildren(...(errors.length && !places.length ? [listOf(errors)] : []));
    if (text) box.append(Object.assign(document.createElement("p"), { textContent: text }));
  };
  const look = () => {
    for (const [prefix, form] of ours) {
      const isWrong = ({ id, value }) => !blockOf(id) || valueOf(blockOf(id)) === value;
      const changed = form.errors.filter((error) => !isWrong(error));
      if (!changed.length) continue;
      for (const error of changed) unmark(blockOf(error.id));
      form.errors = form.errors.filter((error) => !changed.includes(error));
      drawLinks(prefix);
    }
    if (![...ours.values()].some((form) => form.errors.length)) timer = clearInterval(timer) ?? 0;
  };

  const tell = async (element, { value, problems = [], stamp }) => {
    const box = element.querySelector(".message-text");
    const prefix = (element.closest(".block")?.id ?? "").replace(/_message$/, "");
    for (const { id } of ours.get(prefix)?.errors ?? []) if (blockOf(id)) unmark(blockOf(id));
    const form = { errors: [], box, text: problems.length ? "" : (value ?? ""), stamp };
    ours.set(prefix, form);
    drawLinks(prefix);
    if (!problems.length) return;

    // Each at its own field; what has none, or one that this page does not show now, is told in the box
    const left = [];
    for (const [sentence, id, label, folds, tab] of problems) {
      const error = { sentence, id, label, folds, tab };
      if (id) await unfold(error);
      const isDrawn = id && (await until(() => blockOf(id) || !isShown(element))) && mark(error);
      if (ours.get(prefix) !== form) return; // another answer has come meanwhile
      if (isDrawn) form.errors.push(error);
      else left.push(sentence);
    }
    const isBefore = (one, other) => blockOf(one.id).compareDocumentPosition(blockOf(other.id)) & 4;
    form.errors.sort((one, other) => (isBefore(one, other) ? -1 : 1));
    form.text = left.join("\n");
    drawLinks(prefix);
    if (form.errors.length) {
      timer ||= setInterval(look, LOOK_MS);
      if (document.querySelector(".tabs")?.contains(element) ? isShown(element) : true) await focusOn(form.errors[0]);
    } else if (isShown(element)) element.scrollIntoView({ block: "nearest" });
  };

  /* Links to the errors of the fields whose ids begin with `prefix`, in the element of this id. */
  const linksInto = (id, prefix) => {
    const place = document.getElementById(id);
    if (!place) return;
    place.dataset.errorsOf = prefix;
    if (ours.has(prefix)) drawLinks(prefix);
  };

  window.fieldErrors = { tell, linksInto };
}
