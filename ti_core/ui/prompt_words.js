// The words of the embeddings as buttons that put them into the prompt, and the keys of A1111's prompt boxes.
/* global element, server */

const boxes = () => [...document.querySelectorAll("#txt2img_prompt textarea, #txt2img_negative_prompt textarea")];
let lastBox = null;
let listed = ""; // the words that are shown

function put(box, text, start, end) {
  box.focus();
  box.setRangeText(text, start, end, "end");
  box.dispatchEvent(new Event("input", { bubbles: true })); // gradio keeps what was typed
}

// At the cursor of the box that was used last, with a space to its neighbours.
function insert(word) {
  const box = lastBox?.isConnected ? lastBox : boxes()[0];
  if (!box) return;
  const [start, end] = box === lastBox ? [box.selectionStart, box.selectionEnd] : [box.value.length, box.value.length];
  const before = /(^|[\s([])$/.test(box.value.slice(0, start)) ? "" : " ";
  const after = /^($|[\s,.:)\]])/.test(box.value.slice(end)) ? "" : " ";
  put(box, before + word + after, start, end);
  lastBox = box;
}

// Ctrl+Up and Ctrl+Down: (word:1.1) for what is selected, else for the word at the cursor.
function weigh(box, by) {
  const { value } = box;
  let [start, end] = [box.selectionStart, box.selectionEnd];
  if (start === end) {
    start -= value.slice(0, start).match(/[^\s,()[\]:]*$/)[0].length;
    end += value.slice(end).match(/^[^\s,()[\]:]*/)[0].length;
  }
  if (start === end) return;
  const words = value.slice(start, end);
  const closing = value[start - 1] === "(" && /^:([\d.]+)\)/.exec(value.slice(end));
  const weight = Math.max(0, Math.round(((closing ? +closing[1] : 1) + by) * 10) / 10);
  const inside = weight === 1 ? words : `(${words}:${weight})`;
  const from = closing ? start - 1 : start;
  put(box, inside, from, closing ? end + closing[0].length : end);
  const first = from + (weight === 1 ? 0 : 1);
  box.setSelectionRange(first, first + words.length);
}

async function list() {
  let words;
  try {
    words = await server.embedding_words({});
  } catch {
    return; // the run panel says that the server does not answer
  }
  const asText = JSON.stringify(words);
  if (asText === listed) return; // a press of a button that is replaced meanwhile would be lost
  listed = asText;
  const buttons = words.map(([name, text]) => {
    const button = document.createElement("button");
    button.type = "button";
    button.dataset.word = text;
    button.textContent = name;
    return button;
  });
  element.querySelector(".words").replaceChildren(...buttons);
  element.querySelector(".none").hidden = words.length > 0;
}

element.addEventListener("click", ({ target }) => {
  if (target.matches("button[data-word]")) insert(target.dataset.word);
});
document.addEventListener("focusin", ({ target }) => {
  if (boxes().includes(target)) lastBox = target;
});
document.addEventListener("keydown", (event) => {
  const inForm = event.target.closest?.('[id^="txt2img_"]');
  if (!inForm || !(event.ctrlKey || event.metaKey) || event.isComposing) return;
  if (event.key === "Enter") {
    event.preventDefault();
    document.querySelector("#txt2img_run")?.click();
  } else if (["ArrowUp", "ArrowDown"].includes(event.key) && boxes().includes(event.target)) {
    event.preventDefault();
    weigh(event.target, event.key === "ArrowUp" ? 0.1 : -0.1);
  }
});
new IntersectionObserver((seen) => {
  if (seen.some((each) => each.isIntersecting)) list(); // each time that the tab comes to the front
}).observe(element);
