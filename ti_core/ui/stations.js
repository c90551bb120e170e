/* The stations at the top of the page: a press opens a tab, and the station of the open tab is marked. */
/* global element */
const stations = [...element.querySelectorAll("button[data-tab]")];
const tabButton = (id) => document.getElementById(`tab-${id}-button`);

for (const station of stations) {
  station.addEventListener("click", () => tabButton(station.dataset.tab)?.click());
}

function markStation() {
  for (const station of stations) {
    const isHere = station.dataset.tabs
      .split(" ")
      .some((id) => tabButton(id)?.getAttribute("aria-selected") === "true");
    if (isHere) station.setAttribute("aria-current", "step");
    else station.removeAttribute("aria-current");
  }
}

// The tabs may be drawn after this.
const watched = { subtree: true, childList: true, attributeFilter: ["aria-selected"] };
new MutationObserver(markStation).observe(document.body, watched);
markStation();
