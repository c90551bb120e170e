/* What the keyboard chooses in gradio's dropdowns. By itself Enter takes the first choice that holds the typed text anywhere: `anna` chose Joanna.
   Here an exact name wins, then the same name in other capital letters, then the first that begins so. Where nothing does, the text stays as typed in
   lists that take any text; the others say so. It stands before gradio's own handlers, and uses nothing of gradio but its ARIA roles and its mouse. */
() => {
  if (window.dropdownsAreMended) return;
  window.dropdownsAreMended = true;
  let typed = null; // the box in which something was typed since it was entered, and no arrow key was pressed after it

  const isBox = (node) => node instanceof HTMLInputElement && node.getAttribute("role") === "combobox" && !node.readOnly;
  const listOf = (box) => document.getElementById(box.getAttribute("aria-controls") ?? "");
  const optionsOf = (box) => [...(listOf(box)?.querySelectorAll("[role=option]") ?? [])];
  const nameOf = (option) => option.getAttribute("aria-label") ?? "";
  const takesAnyText = (box) => !box.classList.contains("subdued"); // gradio greys a text that is in no such list
  const chosenOnes = (box) => [...(box.closest(".wrap-inner")?.querySelectorAll(".token") ?? [])].map((token) => token.textContent.trim());

  const isOfSeveral = (box) => box.closest(".of-several") !== null; // widgets.py says so: gradio's markup does not

  const sameName = (box) => {
    const options = optionsOf(box), text = box.value, small = text.trim().toLowerCase();
    return options.find((option) => nameOf(option) === text) ?? options.find((option) => nameOf(option).toLowerCase() === small);
  };
  const match = (box) => {
    const small = box.value.trim().toLowerCase();
    if (!small) return undefined;
    const isCut = listOf(box)?.querySelector(".scroll-sentinel"); // the exact name may stand among those that are not shown yet
    return sameName(box) ?? (isCut ? undefined : optionsOf(box).find((option) => nameOf(option).toLowerCase().startsWith(small)));
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

  const choose = (box) => {
    const option = match(box), text = box.value, isOneOfSeveral = chosenOnes(box).includes(option ? nameOf(option) : text);
    unmark(box);
    if (isOneOfSeveral) write(box, ""); // pressed again it would go away
    else if (option) press(option);
    else if (!takesAnyText(box)) {
      typed = box; // another Enter is no choice either
      tell(box, text, box.dataset.before);
    } else {
      box.blur(); // gradio takes it as typed then, whichever choice is marked
      if (isOfSeveral(box)) box.focus(); // for the next one
    }
  };

  document.addEventListener("focusin", ({ target: box }) => {
    if (!isBox(box)) return;
    untell(box);
    box.dataset.before = box.value;
  });

  document.addEventListener("input", ({ target: box }) => {
    if (!isBox(box)) return;
    typed = box;
    untell(box);
    // gradio filters before the key has changed the text, and not at all for what is pasted or comes from an input method
    box.dispatchEvent(new KeyboardEvent("keydown", { key: "Unidentified", bubbles: true }));
    setTimeout(() => mark(box));
  });

  document.addEventListener("keydown", (event) => {
    const box = event.target;
    if (!isBox(box)) return;
    if (event.isComposing || event.keyCode === 229) {
      if (event.key === "Enter") event.stopImmediatePropagation(); // it ends the word of an input method
    } else if (event.key === "ArrowUp" || event.key === "ArrowDown") unmark(box); // what gradio marks now is what Enter takes
    else if (typed === box && (event.key === "Home" || event.key === "End")) event.stopImmediatePropagation(); // moves in the text alone
    else if (typed === box && event.key === "Enter") {
      event.preventDefault();
      event.stopImmediatePropagation();
      choose(box);
    } else if (event.key === "Enter" && !box.value && isOfSeveral(box) && !listOf(box)?.querySelector("li.active")) {
      event.stopImmediatePropagation(); // gradio would add an empty one
    }
  }, true);

  document.addEventListener("mousedown", ({ target }) => {
    if (typed && listOf(typed)?.contains(target)) unmark(typed);
  }, true);

  document.addEventListener("blur", ({ target: box }) => {
    if (!isBox(box) || typed !== box) return;
    const option = sameName(box), text = box.value, isFixed = !takesAnyText(box);
    unmark(box);
    if (chosenOnes(box).includes(text)) write(box, "");
    else if (option && isFixed) press(option);
    else if (isFixed && text) tell(box, text, box.dataset.before);
    typed = null;
  }, true);
}
