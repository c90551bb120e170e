// What starts the photos: the form changes, a thumbnail is pressed.
/* global element, part, watch, loadPhotos, choosePhoto, listenToEditor, undo, leaveOut, rowOf, photos */

element.addEventListener("click", ({ target }) => {
  const name = target.closest(".photo")?.dataset.name;
  if (name === undefined) return;
  if (target.closest(".out")) leaveOut(rowOf(name));
  else choosePhoto(photos.chosen === name ? "" : name);
});
part("[data-act=undo]").addEventListener("click", undo);
part("[data-act=more]").addEventListener("click", () => loadPhotos(true));
listenToEditor();

let due = 0;
const load = () => {
  clearTimeout(due); // gradio changes one property after the other
  due = setTimeout(loadPhotos);
};
watch(["stamp"], load);
load();
