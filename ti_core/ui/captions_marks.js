// Ctrl and a click (Cmd on a Mac, or Shift) marks pictures of the gallery; what is marked gets a frame.
/* global props, watch, trigger */
const gallery = () => document.querySelector("#captions_gallery");
const pictures = () => [...(gallery()?.querySelectorAll(".thumbnail-item") ?? [])];

// Before gradio sees it: such a click does not open the picture.
document.addEventListener(
  "click",
  (event) => {
    const picture = event.target.closest?.("#captions_gallery .thumbnail-item");
    if (!picture || !(event.ctrlKey || event.metaKey || event.shiftKey)) return;
    event.preventDefault();
    event.stopPropagation();
    trigger("mark", { index: pictures().indexOf(picture) });
  },
  true,
);

function drawMarks() {
  const marked = new Set(props.marked ?? []);
  pictures().forEach((picture, index) => {
    if (picture.classList.contains("marked") !== marked.has(index)) picture.classList.toggle("marked");
  });
}
watch(["marked"], drawMarks);
new MutationObserver(drawMarks).observe(document.body, { childList: true, subtree: true });
