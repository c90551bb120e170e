/* Opens the run that the page greets with in the run panel; where that has no such row, the Compare tab shows it. */
/* exported openLatestRun */
function openLatestRun() {
  const run = document.querySelector("#latest_run [data-run]")?.dataset.run;
  const rows = [...document.querySelectorAll("#runs [data-run]")];
  const row = rows.find((each) => each.dataset.run === run);
  const open = row?.querySelector("button[data-action=open]"); // its text is in the browser's language
  if (!open) {
    document.getElementById("tab-compare-button")?.click();
    return;
  }
  open.click();
  document.getElementById("live")?.scrollIntoView({ block: "start" });
}
