// What is typed into the caption box and not saved yet, kept in this browser for each picture, and the template that is
// being written, so that a reload loses nothing.
/* exported keepDraft, keepPasted, settleDrafts, keepTemplate, restoreTemplate */

// ---- captions. `opened` is what the box belongs to: folder, picture, and its caption as it was read.

const MOST_DRAFTS = 200;
const UNCHANGED = { __type__: "update" };
const draftKey = ([folder, picture]) => `${folder}\n${picture}`;
const draftsOf = (kept) => ({ ...(kept && typeof kept.drafts === "object" ? kept.drafts : {}) });

// Something was typed: what is to be kept, and a note.
function keepDraft(opened, text, kept) {
  if (!opened?.[1]) return [kept, ""];
  const drafts = draftsOf(kept);
  delete drafts[draftKey(opened)]; // so that the newest stands last
  if (text !== opened[2]) drafts[draftKey(opened)] = { opened, text };
  const newest = Object.entries(drafts).slice(-MOST_DRAFTS);
  const note = text === opened[2] ? "" : "Not saved yet. A reload keeps it.";
  return [{ last: opened.slice(0, 2), drafts: Object.fromEntries(newest) }, note];
}

// The text is another one: by a program that fills the box in, of which gradio tells no input, or by the server, whose
// texts are no drafts; then somebody has clicked elsewhere.
function keepPasted(opened, text, kept) {
  const box = document.querySelector("#captions_text textarea");
  const isTyped = box !== null && document.activeElement === box && text === box.value && text !== opened?.[2];
  return isTyped ? keepDraft(opened, text, kept) : [UNCHANGED, UNCHANGED];
}

// The server has answered: `settled` are the pictures whose text it has saved, or shown otherwise; what else was typed
// for the picture that is shown now comes back into the box.
function settleDrafts(opened, given, kept, settled) {
  const text = document.querySelector("#captions_text textarea")?.value ?? given; // somebody may be typing on
  const drafts = draftsOf(kept);
  for (const place of Array.isArray(settled) ? settled : []) delete drafts[draftKey(place)];
  const state = { last: opened?.[1] ? opened.slice(0, 2) : kept?.last, drafts };
  const draft = opened?.[1] ? drafts[draftKey(opened)] : null;
  if (draft && text === opened[2] && draft.text !== text && Array.isArray(draft.opened)) {
    return [draft.opened, draft.text, state, [], "This text was typed before and is not saved yet. Discard drops it."];
  }
  if (!opened?.[1] || text === opened[2]) return [UNCHANGED, UNCHANGED, state, [], ""];
  const [still, note] = keepDraft(opened, text, state);
  return [UNCHANGED, UNCHANGED, still, [], note];
}

// ---- templates. `opened` is the template whose sentences are in the box: its name, and these as they were read.

// Something was typed, or the server has answered.
function keepTemplate(opened, text, name) {
  const isSaved = text.trim() === (opened?.[1] ?? "").trim() && name === (opened?.[0] ?? "");
  return [isSaved ? {} : { opened, text, name }];
}

// The tab is chosen: what was kept comes back where nothing else was opened or typed since the reload.
function restoreTemplate(opened, text, name, kept) {
  const isUntouched = !opened?.[0] && text === opened?.[1] && name === "";
  const isDraft = typeof kept?.text === "string" && typeof kept.name === "string" && Array.isArray(kept.opened);
  if (!isUntouched || !isDraft) return [UNCHANGED, UNCHANGED, UNCHANGED, UNCHANGED];
  const value = "These sentences were typed before and are not saved yet.";
  return [kept.opened, kept.text, kept.name, { __type__: "update", value, visible: true }];
}
