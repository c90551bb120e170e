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
  let unanswered = null; // the box whose list does not follow yet what was typed in it
  let entered = null; // the box in which Enter was pressed before its list followed

  const isBox = (node) =>
    node instanceof HTMLInputElement && node.getAttribute("role") === "combobox" && !node.readOnly;
  const listOf = (box) => document.getElementById(box.getAttribute("aria-controls") ?? "");
  const optionsOf = (box) => [...(listOf(box)?.querySelectorAll("[role=option]") ?? [])];
  const nameOf = (option) => option.getAttribute("aria-label") ?? "";
  const takesAnyText = (box) => box.closest(".only-these") === null; // widgets.py says so: gradio's markup does not
  const chosenOnes = (box) =>
    [...(box.closest(".wrap-inner")?.querySelectorAll(".token") ?? [])].map((token) => token.textContent.trim());

  const isOfSeveral = (box) => box.closest(".of-several") !== null;

  const sameName = (box, text = box.value) => {
    const options = optionsOf(box);
    const small = text.trim().toLowerCase();
    return (
      options.find((option) => nameOf(option) === text) ??
      options.find((option) => nameOf(option).toLowerCase() === small)
    );
  };
  const match = (box, text = box.value) => {
    const small = text.trim().toLowerCase();
    if (!small) return undefined;
    const exact = sameName(box, text);
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

  // gradio filters a moment late, and before the key has changed the text; not at all for what is pasted or of an input
  // method. What stands in `then` is done after it has
  const filter = (box, then) => {
    unanswered = box;
    box.dispatchEvent(new KeyboardEvent("keydown", { key: "Unidentified", bubbles: true }));
    setTimeout(() => {
      if (unanswered === box) unanswered = null;
      then();
    });
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
    const isOneOfSeveral = chosenOnes(box).includes(option ? nameOf(option) : text);
    unmark(box);
    setTimeout(() => closeStray(document.activeElement), LATE_MS);
    if (!option && !isOneOfSeveral && !takesAnyText(box)) {
      typed = box; // another Enter is no choice either
      tell(box, text, box.dataset.before);
      return;
    }
    setTimeout(() => (box.dataset.before = box.value));
    if (isOneOfSeveral)
      write(box, ""); // pressed again it would go away
    else if (option) press(option);
    else {
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
    filter(box, () => mark(box));
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
      if (unanswered !== box || isOfSeveral(box)) choose(box);
      else {
        entered = box;
        setTimeout(() => {
          if (entered === box && typed === box) choose(box);
          entered = null;
        });
      }
    } else if (key === "Enter" && !box.value && isOfSeveral(box) && !listOf(box)?.querySelector("li.active")) {
      event.stopImmediatePropagation(); // gradio would add an empty one
    }
  };

  const onMouse = ({ target }) => {
    if (typed && listOf(typed)?.contains(target)) unmark(typed);
  };

  // The box was left before its list followed: it is asked behind the person's back, for this text, because the choice
  // before may come to the box only now and stand in it instead
  const chooseLate = (box, text, isFixed, find) => {
    if (document.activeElement === box) return;
    box.dispatchEvent(new FocusEvent("focus"));
    write(box, text);
    filter(box, () => {
      const option = find(box, text);
      unmark(box);
      if (option) press(option);
      else if (isFixed) tell(box, text, box.dataset.before);
      if (document.activeElement !== box) box.dispatchEvent(new FocusEvent("blur"));
    });
  };

  const onBlur = ({ target: box }) => {
    if (!isBox(box) || typed !== box) return;
    const find = entered === box ? match : sameName;
    const text = box.value;
    const isFixed = !takesAnyText(box);
    const isLate = unanswered === box && !sameName(box) && text && !isOfSeveral(box);
    const option = isLate ? undefined : find(box);
    unmark(box);
    if (chosenOnes(box).includes(text)) write(box, "");
    else if (option && (isFixed || nameOf(option) !== text)) press(option);
    else if (isLate) setTimeout(() => chooseLate(box, text, isFixed, find));
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
