// What stands below the picture as a whole: what it knows, what is folded, what each answer of the server brings.
/* global element, state, kept, keep, part, put, tick, isOver, takeChart, drawChart, drawRuns, drawAnswers */
/* global listenToChart, listenToRuns */
/* exported drawBelow, listenBelow, showRun, watchThumbnail */

function drawBelow(d) {
  state.mayTrain = !d.you || d.you.may_train;
  const before = `${state.run} ${state.isOverBelow}`;
  state.run = d.run || "";
  state.isOverBelow = isOver(d.state);
  takeChart(d);
  if (`${state.run} ${state.isOverBelow}` !== before) drawChart(); // what can be repaired has changed
  const zip = part(".zip");
  zip.hidden = !state.run;
  zip.href = `live/zip?${new URLSearchParams({ run: state.run })}`;
  drawRuns(d);
  drawAnswers(d.tab_answers);
}

function showRun(run) {
  state.show = run;
  put(".queue-note", "");
  state.queueVersion = ""; // the buttons of the list depend on it
  tick();
  if (run) element.scrollIntoView({ block: "nearest" });
}

// A picture is in the page only while its row is in sight.
function watchThumbnail(item) {
  state.thumbnails.unobserve(item);
  state.thumbnails.observe(item);
}

function drawThumbnails(entries) {
  for (const { target, isIntersecting } of entries) {
    const place = target.querySelector(".thumb");
    const { picture } = target.dataset;
    if (!isIntersecting || !picture) place.replaceChildren();
    else if (place.firstChild?.getAttribute("src") !== picture) {
      const image = document.createElement("img");
      image.src = picture;
      image.alt = "";
      place.replaceChildren(image);
    }
  }
}

// What somebody has unfolded stays so, in this browser.
function rememberFolds() {
  for (const fold of element.querySelectorAll("details[data-fold]")) {
    const key = `textual-inversion-fold-${fold.dataset.fold}`;
    fold.open = kept(key) === "open";
    fold.addEventListener("toggle", () => keep(key, fold.open ? "open" : "closed"));
  }
}

function listenBelow() {
  Object.assign(state, {
    run: "", // the folder of the run that is shown
    mayTrain: false,
    isOverBelow: false,
    chart: { rows: [], steps: { first: 1, last: 1 }, total: 0, pointed: null, other: null },
    runs: { mark: "", most: 200, rows: new Map() }, // rows: folder -> { item, what, zip, by, row }
    runsInUse: new Set(), // those that a job runs or waits for
    answers: new Map(), // tab -> what it says of the small job that it ordered last
    thumbnails: new IntersectionObserver(drawThumbnails),
  });
  rememberFolds();
  listenToChart();
  listenToRuns();
}
