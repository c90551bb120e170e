/* Puts the page into the browser's language: TEXTS is language -> English text -> theirs, of ui/texts/*.json. English
   is what the page is written in, so that a text without a translation stays as it is. It looks at what is drawn, by
   whomever: gradio, the server's HTML, our scripts. In a key {} is any text, {w} a word, {n} a number, {t} a span of
   time, {d} a day, {s} the state of a job; what people typed is left alone (OWN). */
/* global TEXTS */
(() => {
  const languages = (navigator.languages ?? [navigator.language]).map((each) => each.toLowerCase().split("-")[0]);
  const language = languages.find((each) => each === "en" || each in TEXTS);
  window.translated = (text) => text;
  if (!language || language === "en") return;
  const table = TEXTS[language];

  const OWN =
    "script, style, q, textarea, [translate=no], .caption-label, p.words, .token, ul.options, [data-testid^=cell-]";
  const ATTRIBUTES = ["title", "aria-label", "placeholder", "alt", "aria-valuetext", "data-told"];
  const STATES = "ready|waiting|running|finished|interrupted|failed|stopping|cancelled|of another version";
  const KINDS = {
    "{}": "(.+)",
    "{n}": "([\\d.,e+-]*\\d)",
    "{w}": "(\\S+)",
    "{t}": "(\\d+ (?:s|min|h)(?: \\d+ (?:s|min))?)",
    "{d}": "(\\d{4}-\\d\\d-\\d\\d)",
    "{s}": `((?:${STATES})(?:, number \\d+(?:, after '.+')?| at \\d+ / \\d+| on [^,]+)?)`,
  };
  const escaped = (text) => text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
  const patternOf = (key) => {
    const parts = key.split(/(\{[a-z]?\})/).map((part) => KINDS[part] ?? escaped(part));
    return { pattern: new RegExp(`^${parts.join("")}$`), theirs: table[key] };
  };
  const letters = (key) => key.replace(/\{[a-z]?\}/g, "").length;
  const patterns = Object.keys(table)
    .filter((key) => /\{[a-z]?\}/.test(key))
    .sort((one, other) => letters(other) - letters(one)) // the most exact first
    .map(patternOf);

  // What a placeholder stands for may be a text of the page too, or a list of such.
  const inner = (text) => {
    const whole = find(text);
    if (whole !== null) return whole;
    const mark = [" · ", ": ", ", "].find((each) => text.includes(each));
    return mark ? text.split(mark).map(inner).join(mark) : text;
  };
  const find = (text) => {
    if (Object.hasOwn(table, text)) return table[text];
    for (const { pattern, theirs } of patterns) {
      const found = pattern.exec(text);
      if (!found) continue;
      let at = 0;
      return theirs.replace(/\{[a-z]?\}/g, () => inner(found[(at += 1)]));
    }
    // Several texts in one: a line of facts, or sentences.
    const mark = text.includes(" · ") ? " · " : " ";
    const parts = mark === " " ? text.split(/(?<=[.?!]) (?=[A-Z\d])/) : text.split(mark);
    return parts.length > 1 ? parts.map((part) => find(part) ?? part).join(mark) : null;
  };
  const known = new Map(); // of what was looked up: the same few texts are drawn again and again
  const translated = (text) => {
    if (known.has(text)) return known.get(text);
    const [, before, core, after] = text.match(/^([\s·]*)([^]*?)(\s*)$/);
    const found = /[a-z]{2}/i.test(core) ? find(core.replace(/\s+/g, " ")) : null;
    const whole = found === null ? text : before + found + after;
    if (known.size > 5000) known.clear();
    known.set(text, whole);
    return whole;
  };
  window.translated = translated;

  const isOwn = (element) => !element || element.closest(OWN) !== null;
  const translateText = (node) => {
    if (isOwn(node.parentElement)) return;
    const theirs = translated(node.data);
    if (theirs !== node.data) node.data = theirs;
  };
  const translateAttribute = (element, name) => {
    const value = element.getAttribute(name);
    const theirs = value ? translated(value) : value;
    if (theirs !== value) element.setAttribute(name, theirs);
  };
  // What the server says in a box that nobody can type into is set as a value, of which no observer tells.
  const VALUE = Object.getOwnPropertyDescriptor(HTMLTextAreaElement.prototype, "value");
  const translateBox = (box) => {
    if (!box.disabled || Object.hasOwn(box, "value")) return;
    const put = (text) => VALUE.set.call(box, box.disabled ? translated(String(text ?? "")) : text);
    Object.defineProperty(box, "value", { configurable: true, get: () => VALUE.get.call(box), set: put });
    put(VALUE.get.call(box));
  };
  const translateAll = (root) => {
    if (root.nodeType === Node.TEXT_NODE) return translateText(root);
    if (root.nodeType !== Node.ELEMENT_NODE) return;
    const walker = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
    for (let node = walker.nextNode(); node; node = walker.nextNode()) translateText(node);
    for (const name of ATTRIBUTES) {
      if (root.hasAttribute(name)) translateAttribute(root, name);
      for (const element of root.querySelectorAll(`[${name}]`)) translateAttribute(element, name);
    }
    for (const box of root.querySelectorAll("textarea")) translateBox(box);
  };
  new MutationObserver((changes) => {
    document.documentElement.lang = language;
    for (const { type, target, attributeName, addedNodes } of changes) {
      if (type === "characterData") translateText(target);
      else if (type === "attributes") translateAttribute(target, attributeName);
      else addedNodes.forEach(translateAll);
    }
  }).observe(document.documentElement, {
    subtree: true,
    childList: true,
    characterData: true,
    attributeFilter: ATTRIBUTES,
  });
  translateAll(document.documentElement);
})();
