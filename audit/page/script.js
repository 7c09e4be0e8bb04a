// Sorts a table by the column whose heading is pressed, upwards first, then downwards; and shows only the rows that have the
// words of the filter. Neither is there without this script, and all else works without it.
"use strict";

(() => {
  const words = new Intl.Collator(undefined, { numeric: true, sensitivity: "base" });
  const tables = Array.from(document.querySelectorAll("table.sortable"));

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

  const makeSortable = (table) => {
    table.caption.append(" The buttons in the headings sort it.");
    for (const heading of table.tHead.rows[0].cells) {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...heading.childNodes);
      button.addEventListener("click", () => sort(heading));
      heading.append(button);
      heading.setAttribute("aria-sort", "none");
    }
  };

  // What a row can be found by: all that it says, and what its cells say when they are pointed at.
  const found = new WeakMap();
  const textOf = (row) => {
    if (!found.has(row)) {
      const parts = Array.from(row.cells, (cell) => `${cell.textContent} ${cell.title}`);
      found.set(row, parts.join(" ").normalize("NFC").toLowerCase());
    }
    return found.get(row);
  };

  const filterTable = (table, wanted) => {
    let shown = 0;
    for (const row of table.tBodies[0].rows) {
      const text = wanted.length ? textOf(row) : "";
      row.hidden = !wanted.every((word) => text.includes(word));
      shown += row.hidden ? 0 : 1;
    }
    const listing = table.closest(".listing");
    listing.classList.toggle("filtered", wanted.length > 0);
    listing.classList.toggle("unmatched", shown === 0);
    return shown;
  };

  const filter = (text, result) => {
    const wanted = text.normalize("NFC").toLowerCase().split(/\s+/).filter(Boolean);
    const shown = tables.map((table) => filterTable(table, wanted));
    const all = tables.reduce((sum, table) => sum + table.tBodies[0].rows.length, 0);
    const count = shown.reduce((sum, one) => sum + one, 0);
    result.textContent = wanted.length ? `${count.toLocaleString("en")} of ${all.toLocaleString("en")} rows` : "";
  };

  document.documentElement.classList.add("scripted");
  tables.forEach(makeSortable);
  const form = document.querySelector(".filter");
  if (form !== null && tables.length > 0) {
    const [box, result] = [form.querySelector("input"), form.querySelector("output")];
    form.hidden = false;
    box.addEventListener("input", () => filter(box.value, result));
    // A page that was left and come back to has its text again.
    filter(box.value, result);
  }
})();
