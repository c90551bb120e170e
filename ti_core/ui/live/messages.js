// What a run has to say, folded, with the newest in sight.
/* global state, part, put */
/* exported drawNotices */

function drawNotices(texts) {
  const list = part(".notices");
  for (const text of texts) {
    const item = document.createElement("li");
    item.textContent = text;
    list.append(item);
  }
  state.cursor.notices += texts.length;
  const count = list.children.length;
  part(".messages").hidden = !count;
  put(".message-count", count ? `(${count})` : "");
  put(".newest-message", count ? list.lastChild.textContent : "");
}
