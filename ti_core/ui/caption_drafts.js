// What is typed into the caption box and not saved yet, kept in this browser for each picture, so that a reload loses
// nothing. `opened` is what the box belongs to: folder, picture, and its caption as it was read.
/* exported keepDraft, settleDrafts */

const MOST_DRAFTS = 200;
const UNCHANGED = { __type__: "update" };
const draftKey = ([folder, picture]) => `${folder}\n${picture}`;
const draftsOf = (kept) => ({ ...(kept && typeof kept.drafts === "object" ? kept.drafts : {}) });

// Something was typed.
function keepDraft(opened, text, kept) {
  if (!opened?.[1]) return [kept];
  const drafts = draftsOf(kept);
  delete drafts[draftKey(opened)]; // so that the newest stands last
  if (text !== opened[2]) drafts[draftKey(opened)] = { opened, text };
  const newest = Object.entries(drafts).slice(-MOST_DRAFTS);
  return [{ last: opened.slice(0, 2), drafts: Object.fromEntries(newest) }];
}

// The server has answered: `settled` are the pictures whose text it has saved, or shown otherwise; what else was typed
// for the picture that is shown now comes back into the box.
function settleDrafts(opened, text, kept, settled) {
  const drafts = draftsOf(kept);
  for (const place of Array.isArray(settled) ? settled : []) delete drafts[draftKey(place)];
  const state = { last: opened?.[1] ? opened.slice(0, 2) : kept?.last, drafts };
  const draft = opened?.[1] ? drafts[draftKey(opened)] : null;
  if (draft && text === opened[2] && draft.text !== text && Array.isArray(draft.opened)) {
    return [draft.opened, draft.text, state, [], "This text was typed before and is not saved yet. Discard drops it."];
  }
  if (!opened?.[1] || text === opened[2]) return [UNCHANGED, UNCHANGED, state, [], ""];
  return [UNCHANGED, UNCHANGED, keepDraft(opened, text, state)[0], [], UNCHANGED];
}
