// Ctrl and a click (Cmd on a Mac, or Shift) marks pictures of the gallery; what is marked gets a frame.
/* global props, watch, trigger */
const gallery = () => document.querySelector("#captions_gallery");
const pictures = () => [...(gallery()?.querySelectorAll(".thumbnail-item") ?? [])];
// The gallery shows a page of the folder's pictures; they are counted through the whole folder.
const indexOf = (picture) => (props.first ?? 0) + pictures().indexOf(picture);

// What is meant, with the clicks that the server has not answered yet: it is told all of it each time, so that the
// answer to an earlier click takes no later one away. A frame stands where the server knows of it.
const ANSWERED_WITHIN_MS = 3000;
let meant = new Set(props.marked ?? []);
let clickedAt = 0;

// Before gradio sees it: such a click does not open the picture.
document.addEventListener(
  "click",
  (event) => {
    const picture = event.target.closest?.("#captions_gallery .thumbnail-item");
    if (!picture || !(event.ctrlKey || event.metaKey || event.shiftKey)) return;
    event.preventDefault();
    event.stopPropagation();
    const index = indexOf(picture);
    if (!meant.delete(index)) meant.add(index);
    clickedAt = Date.now();
    trigger("mark", { marked: [...meant] });
  },
  true,
);

function drawMarks() {
  const marked = new Set(props.marked ?? []);
  pictures().forEach((picture, index) => {
    const isMarked = marked.has((props.first ?? 0) + index);
    if (picture.classList.contains("marked") !== isMarked) picture.classList.toggle("marked");
  });
}
watch(["marked", "first"], () => {
  if (Date.now() - clickedAt > ANSWERED_WITHIN_MS) meant = new Set(props.marked ?? []);
  drawMarks();
});
new MutationObserver(drawMarks).observe(document.body, { childList: true, subtree: true });
