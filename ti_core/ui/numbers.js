/* What is typed into a box of a number is never changed in silence. By itself a browser leaves a comma out, so that 0,2
   became 2, and gradio's sliders take their lowest number for an empty box and their highest for a higher one. */
/* exported readNumbersAsTyped */
function readNumbersAsTyped() {
  if (window.numbersAreRead) return;
  window.numbersAreRead = true;

  const isNumber = (node) => node instanceof HTMLInputElement && node.type === "number";
  const isOfSlider = (box) => box.dataset.testid === "number-input";
  const takesFractions = (box) => !Number.isInteger(Number(box.step || "1"));
  const blockOf = (box) => box.closest("div.block"); // a label of gradio's is called so too
  const untell = (box) => blockOf(box)?.querySelector(":scope > .field-note")?.remove();
  const tell = (box, text) => {
    untell(box);
    const note = document.createElement("p");
    note.className = "field-note";
    note.setAttribute("role", "status");
    note.textContent = text;
    blockOf(box)?.append(note);
  };
  const write = (box, text) => {
    box.value = text;
    box.dispatchEvent(new Event("input", { bubbles: true }));
  };

  const THOUSANDS = /^\d{1,3}(,\d{3})+$/;
  const NUMBER = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i;
  const DECIMAL_COMMA = /^[+-]?\d*,\d+$/;
  const meant = (box, text) => {
    if (takesFractions(box) && DECIMAL_COMMA.test(text)) return text.replace(",", ".");
    if (!takesFractions(box) && THOUSANDS.test(text)) return text.replaceAll(",", "");
    return NUMBER.test(text) ? text : undefined;
  };

  const onBeforeInput = (event) => {
    const box = event.target;
    const text = event.data ?? event.dataTransfer?.getData("text/plain");
    if (!isNumber(box)) return;
    if (!text) return untell(box); // something is deleted
    if (event.inputType === "insertText" && text.length === 1) {
      if (text !== ",") return;
      event.preventDefault();
      if (takesFractions(box)) document.execCommand("insertText", false, ".");
      else tell(box, "A whole number is wanted here, without a comma.");
      return;
    }
    const pasted = text.trim().replace(/^["'\u2018\u201c\u201e\u00ab]|["'\u2019\u201d\u201c\u00bb]$/g, "");
    const number = meant(box, pasted);
    if (number === text) return;
    event.preventDefault();
    if (number === undefined) tell(box, `'${pasted.slice(0, 40)}' is no number.`);
    else document.execCommand("insertText", false, number);
  };

  const onFocus = ({ target: box }) => {
    if (!isNumber(box)) return;
    untell(box);
    box.dataset.before = box.value;
  };

  // Before gradio's own handler, which takes the nearest number that the slider has
  const onBlur = ({ target: box }) => {
    if (!isNumber(box) || !isOfSlider(box)) return;
    const { value, min, max } = box;
    const before = box.dataset.before || min;
    if (value === "") {
      write(box, before);
      tell(box, `Nothing was typed: ${before} stays.`);
    } else if (Number(value) < Number(min)) tell(box, `${value} is too low: ${min} is taken, the lowest.`);
    else if (Number(value) > Number(max)) tell(box, `${value} is too high: ${max} is taken, the highest.`);
  };

  document.addEventListener("beforeinput", onBeforeInput, true);
  document.addEventListener("focusin", onFocus);
  document.addEventListener("blur", onBlur, true);
}
