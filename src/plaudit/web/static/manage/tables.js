// Tables marked data-sortable: each column's head becomes a button. Without this script they are plain tables.

import { announce } from "../app.js";

for (const table of document.querySelectorAll("table[data-sortable]")) {
  const heads = [...table.tHead.rows[0].cells];
  const body = table.tBodies[0];
  heads.forEach((head, column) => {
    if (head.dataset.plain !== undefined) return;
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    head.setAttribute("aria-sort", "none");
    button.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") !== "descending" && head.classList.contains("num");
      const descending = down || head.getAttribute("aria-sort") === "ascending";
      for (const other of heads) if (other.hasAttribute("aria-sort")) other.setAttribute("aria-sort", "none");
      head.setAttribute("aria-sort", descending ? "descending" : "ascending");
      body.append(...[...body.rows].sort(by(column, descending)));
      announce(`Sorted by ${button.textContent}, ${descending ? "descending" : "ascending"}`);
    });
  });
}

function by(column, descending) {
  const numbers = new Intl.Collator(undefined, { numeric: true });
  const value = (row) => row.cells[column].dataset.value ?? row.cells[column].textContent.trim();
  return (one, two) => {
    const a = value(one);
    const b = value(two);
    // What is not known stands last either way.
    const unknown = (isUnknown(one, column) ? 1 : 0) - (isUnknown(two, column) ? 1 : 0);
    if (unknown) return unknown;
    const order = a !== "" && b !== "" && !isNaN(a) && !isNaN(b) ? a - b : numbers.compare(a, b);
    return descending ? -order : order;
  };
}

function isUnknown(row, column) {
  const cell = row.cells[column];
  return cell.classList.contains("num") && !cell.dataset.value;
}
