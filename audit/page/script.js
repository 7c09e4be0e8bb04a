// Sorts a table by the column whose heading is pressed: upwards first, then downwards.
"use strict";

(() => {
  const words = new Intl.Collator(undefined, { numeric: true, sensitivity: "base" });

  const valueOf = (row, index) => {
    const cell = row.cells[index];
    return cell.dataset.value === undefined ? cell.textContent : cell.dataset.value;
  };

  // What is not there stays last, whichever way the table is sorted.
  const compare = (a, b, isNumber, direction) => {
    if (a === "" || b === "") {
      return (a === "") - (b === "");
    }
    return direction * (isNumber ? Number(a) - Number(b) : words.compare(a, b));
  };

  const sort = (heading) => {
    const table = heading.closest("table");
    const body = table.tBodies[0];
    const isNumber = heading.dataset.kind === "number";
    const next = heading.getAttribute("aria-sort") === "ascending" ? "descending" : "ascending";
    const direction = next === "ascending" ? 1 : -1;
    const rows = Array.from(body.rows, (row) => ({ row, value: valueOf(row, heading.cellIndex) }));
    rows.sort((a, b) => compare(a.value, b.value, isNumber, direction));
    for (const other of table.tHead.rows[0].cells) {
      other.setAttribute("aria-sort", other === heading ? next : "none");
    }
    body.append(...rows.map((entry) => entry.row));
  };

  for (const button of document.querySelectorAll("table.sortable th button")) {
    button.addEventListener("click", () => sort(button.closest("th")));
  }
})();
