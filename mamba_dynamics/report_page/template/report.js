"use strict";
// Columns are sorted by their headers' buttons; without scripts there are none.
const keyOf = (row, column) => row.cells[column].dataset.key;
const number = key => (key === "" ? NaN : Number(key));
function compare(one, other) {
  if (one === "" || other === "") return (one === "") - (other === "");
  const difference = number(one) - number(other);
  return Number.isNaN(difference) ? one.localeCompare(other) : difference;
}
function sort(table, header) {
  const column = header.cellIndex, body = table.tBodies[0];
  const down = header.getAttribute("aria-sort") === "ascending";
  for (const one of table.tHead.rows[0].cells) one.removeAttribute("aria-sort");
  header.setAttribute("aria-sort", down ? "descending" : "ascending");
  const rows = [...body.rows].sort((a, b) => {
    const one = keyOf(a, column), other = keyOf(b, column);
    return (down && one !== "" && other !== "" ? -1 : 1) * compare(one, other);
  });
  body.append(...rows);
}
for (const table of document.querySelectorAll("table.sortable"))
  for (const header of table.tHead.rows[0].cells) {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...header.childNodes);
    button.addEventListener("click", () => sort(table, header));
    header.append(button);
  }
// A link to a layer opens its details.
function openTarget() {
  const target = document.getElementById(location.hash.slice(1));
  if (target instanceof HTMLDetailsElement) target.open = true;
}
addEventListener("hashchange", openTarget);
openTarget();
// Paper has no folds.
let opened = [];
addEventListener("beforeprint", () => {
  opened = [...document.querySelectorAll("details:not([open])")];
  for (const one of opened) one.open = true;
});
addEventListener("afterprint", () => {
  for (const one of opened) one.open = false;
});
const download = document.getElementById("download");
download.hidden = false;
download.firstElementChild.addEventListener("click", () => {
  const text = document.getElementById("document").textContent;
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type: "application/json" }));
  link.download = "classification.json";
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
});
