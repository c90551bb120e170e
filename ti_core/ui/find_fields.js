/* Shows the folded fields that have what is typed in their label, A1111's name or help; INDEX: group -> field ->
   words. A style sheet hides the others, because gradio makes the fields of a group when it is opened first. */
/* exported findFields */
/* global INDEX */
function findFields(text) {
  const index = INDEX;
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  const sheet =
    document.getElementById("found-fields") ??
    document.head.appendChild(Object.assign(document.createElement("style"), { id: "found-fields" }));
  const hidden = [];
  for (const [group, fields] of Object.entries(index)) {
    const heard = (field) =>
      fields[field]
        .flatMap((each) => [each, window.translated?.(each) ?? ""])
        .join(" ")
        .toLowerCase();
    const left = Object.keys(fields).filter((field) => !words.every((word) => heard(field).includes(word)));
    const accordion = document.getElementById(group);
    const head = accordion?.querySelector("button.label-wrap");
    const isOpen = head?.classList.contains("open");
    const isWanted = words.length > 0 && left.length < Object.keys(fields).length;
    if (words.length) hidden.push(...left, ...(isWanted ? [] : [group]));
    if (head && isWanted && !isOpen) {
      accordion.dataset.found = "";
      head.click();
    } else if (head && !isWanted && isOpen && "found" in accordion.dataset) {
      delete accordion.dataset.found;
      head.click();
    }
  }
  sheet.textContent = hidden.length
    ? `${hidden.map((id) => `#${CSS.escape(id)}`).join(", ")} { display: none !important; }`
    : "";
  const isNone = words.length > 0 && hidden.length >= Object.values(index).flatMap(Object.keys).length;
  const box = document.getElementById("train_find");
  if (box) box.dataset.told = "No folded field has that in its label or help.";
  box?.toggleAttribute("data-none", isNone);
}
