/* What the keyboard chooses in gradio's dropdowns. By itself Enter takes the first choice that holds the typed text
   anywhere: `anna` chose Joanna. Here an exact name wins, then the same name in other capital letters, then the first
   that begins so, then the first that holds it. Where nothing does, the text stays as typed in lists that take any
   text; the others say so. Escape takes back what was typed.
   It stands before gradio's own handlers, and uses nothing of gradio but its ARIA roles and its mouse. */
/* exported chooseByKeyboard */
function chooseByKeyboard() {
  if (window.dropdownsAreMended) return;
  window.dropdownsAreMended = true;
  const LATE_MS = 100;
  let typed = null; // the box in which something was typed since it was entered, and no arrow key was pressed after it

  const isBox = (node) =>
    node instanceof HTMLInputElement && node.getAttribute("role") === "combobox" && !node.readOnly;
  const listOf = (box) => document.getElementById(box.getAttribute("aria-controls") ?? "");
  const optionsOf = (box) => [...(listOf(box)?.querySelectorAll("[role=option]") ?? [])];
  const nameOf = (option) => option.getAttribute("aria-label") ?? "";
  const takesAnyText = (box) => !box.classList.contains("subdued"); // gradio greys a text that is in no such list
  const chosenOnes = (box) =>
    [...(box.closest(".wrap-inner")?.querySelectorAll(".token") ?? [])].map((token) => token.textContent.trim());

  const isOfSeveral = (box) => box.closest(".of-several") !== null; // widgets.py says so: gradio's markup does not

  const sameName = (box) => {
    const options = optionsOf(box);
    const text = box.value;
    const small = text.trim().toLowerCase();
    return (
      options.find((option) => nameOf(option) === text) ??
      options.find((option) => nameOf(option).toLowerCase() === small)
    );
  };
  const match = (box) => {
    const small = box.value.trim().toLowerCase();
    if (!small) return undefined;
    const exact = sameName(box);
    const isCut = listOf(box)?.querySelector(".scroll-sentinel"); // the exact name may be among those not shown yet
    if (exact || isCut) return exact;
    const options = optionsOf(box);
    return (
      options.find((option) => nameOf(option).toLowerCase().startsWith(small)) ??
      options.find((option) => nameOf(option).toLowerCase().includes(small))
    );
  };
  const press = (option) => option.dispatchEvent(new MouseEvent("mousedown", { bubbles: true, cancelable: true }));
  const write = (box, text) => {
    box.value = text;
    box.dispatchEvent(new Event("input", { bubbles: true }));
  };

  const unmark = (box) => {
    if (typed === box) typed = null;
    box.closest(".wrap")?.removeAttribute("data-typed");
    box.removeAttribute("aria-activedescendant");
    for (const option of optionsOf(box)) option.removeAttribute("data-enter");
  };
  const mark = (box) => {
    if (typed !== box) return;
    const option = match(box);
    box.closest(".wrap")?.setAttribute("data-typed", "");
    for (const each of optionsOf(box)) each.toggleAttribute("data-enter", each === option);
    if (option) box.setAttribute("aria-activedescendant", option.id);
    else box.removeAttribute("aria-activedescendant");
  };
  const untell = (box) => box.closest(".block")?.querySelector(".not-in-list")?.remove();
  const tell = (box, text, kept) => {
    untell(box);
    const told = document.createElement("p");
    told.className = "not-in-list";
    told.setAttribute("role", "status");
    told.textContent = `'${text}' is not in this list. ${kept ? `'${kept}' stays chosen.` : "Nothing is chosen."}`;
    box.closest(".block")?.append(told);
  };

  const takeBack = (box) => {
    write(box, box.dataset.before ?? "");
    unmark(box);
  };

  // gradio answers a key a moment late: a list that Enter has closed may open again, with nobody in it to close it
  const closeStray = (entered) => {
    for (const box of document.querySelectorAll("input[role=combobox][aria-expanded=true]"))
      if (box !== entered) box.dispatchEvent(new FocusEvent("blur"));
  };

  const choose = (box) => {
    const option = match(box);
    const text = box.value;
    setTimeout(() => (box.dataset.before = box.value));
    const isOneOfSeveral = chosenOnes(box).includes(option ? nameOf(option) : text);
    unmark(box);
    setTimeout(() => closeStray(document.activeElement), LATE_MS);
    if (isOneOfSeveral)
      write(box, ""); // pressed again it would go away
    else if (option) press(option);
    else if (!takesAnyText(box)) {
      typed = box; // another Enter is no choice either
      tell(box, text, box.dataset.before);
    } else {
      box.blur(); // gradio takes it as typed then, whichever choice is marked
      if (isOfSeveral(box)) box.focus(); // for the next one
    }
  };

  const onFocus = ({ target: box }) => {
    closeStray(box);
    if (!isBox(box)) return;
    untell(box);
    box.dataset.before = box.value;
  };

  const onInput = ({ target: box }) => {
    if (!isBox(box)) return;
    typed = box;
    untell(box);
    // gradio filters before the key has changed the text, and not at all for what is pasted or of an input method
    box.dispatchEvent(new KeyboardEvent("keydown", { key: "Unidentified", bubbles: true }));
    setTimeout(() => mark(box));
  };

  const onKey = (event) => {
    const box = event.target;
    const { key } = event;
    if (!isBox(box)) return;
    if (event.isComposing || event.keyCode === 229) {
      if (key === "Enter") event.stopImmediatePropagation(); // it ends the word of an input method
    } else if (key === "ArrowUp" || key === "ArrowDown") {
      unmark(box); // what gradio marks now is what Enter takes
    } else if (typed === box && (key === "Home" || key === "End")) {
      event.stopImmediatePropagation(); // moves in the text alone
    } else if (typed === box && key === "Escape") {
      takeBack(box);
    } else if (typed === box && key === "Enter") {
      event.preventDefault();
      event.stopImmediatePropagation();
      choose(box);
    } else if (key === "Enter" && !box.value && isOfSeveral(box) && !listOf(box)?.querySelector("li.active")) {
      event.stopImmediatePropagation(); // gradio would add an empty one
    }
  };

  const onMouse = ({ target }) => {
    if (typed && listOf(typed)?.contains(target)) unmark(typed);
  };

  const onBlur = ({ target: box }) => {
    if (!isBox(box) || typed !== box) return;
    const option = sameName(box);
    const text = box.value;
    const isFixed = !takesAnyText(box);
    unmark(box);
    if (chosenOnes(box).includes(text)) write(box, "");
    else if (option && (isFixed || nameOf(option) !== text)) press(option);
    else if (isFixed && text) tell(box, text, box.dataset.before);
    typed = null;
  };

  document.addEventListener("focusin", onFocus);
  document.addEventListener("input", onInput);
  const BEFORE_GRADIO = true; // in the capture phase
  document.addEventListener("keydown", onKey, BEFORE_GRADIO);
  document.addEventListener("mousedown", onMouse, BEFORE_GRADIO);
  document.addEventListener("blur", onBlur, BEFORE_GRADIO);
}
