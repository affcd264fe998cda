// Adding items: rows from a file or pasted text, read here and sent as JSON.

import { api, ApiError, clearProblems, el, fieldError, sentence } from "../app.js";

const form = document.getElementById("import-form");
const text = form.elements.rows;
const words = document.getElementById("rows-help");
const done = document.getElementById("import-done");
const MOST = 64 * 2 ** 20;
const SHOWN = 20;
let file = null; // what the file holds: too long a text would make the field slow

document.getElementById("file").addEventListener("change", async (event) => {
  const chosen = event.target.files[0];
  file = null;
  clearProblems(form);
  if (!chosen) return tell();
  if (chosen.size > MOST) return fieldError(text, "The file is larger than 64 MB: add it with plaudit collect import.");
  file = { name: chosen.name, text: await chosen.text() };
  if (!form.elements.source.value) form.elements.source.value = chosen.name;
  tell();
});
text.addEventListener("input", tell);

function tell() {
  if (file === null && !text.value.trim()) return void (words.textContent = "");
  try {
    const rows = read();
    words.textContent = `${rows.length.toLocaleString("en")} ${rows.length === 1 ? "row" : "rows"}${file ? ` in ${file.name}` : ""}.`;
    fieldError(text, "");
  } catch (error) {
    words.textContent = "";
    fieldError(text, error.message);
  }
}

/** The rows of the file, or else of the field: a JSON list, one object, or one object a line. */
function read() {
  const content = (file?.text ?? text.value).replace(/^\ufeff/, "").trim();
  if (!content) throw new Error("Choose a file or paste rows first.");
  try {
    const whole = JSON.parse(content);
    return Array.isArray(whole) ? whole : [whole];
  } catch {
    // not one JSON value: then lines
  }
  return content.split(/\r?\n/).flatMap((line, i) => {
    if (!line.trim()) return [];
    try {
      return [JSON.parse(line)];
    } catch (error) {
      throw new Error(`Line ${i + 1} is not JSON: ${error.message}`);
    }
  });
}

form.noValidate = true;
form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const button = event.submitter ?? form.querySelector('[type="submit"]');
  if (button.getAttribute("aria-busy") === "true") return;
  clearProblems(form);
  done.replaceChildren();
  let rows;
  try {
    rows = read();
  } catch (error) {
    fieldError(text, error.message);
    return text.focus();
  }
  button.setAttribute("aria-busy", "true");
  try {
    const body = { items: rows, purpose: form.elements.purpose.value, source: form.elements.source.value };
    show(await api("POST", form.dataset.path, body, { timeout: 120000 }));
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    refuse(error);
  } finally {
    button.removeAttribute("aria-busy");
  }
});

function show({ added, known, notes }) {
  const parts = [`${added.toLocaleString("en")} ${added === 1 ? "item was" : "items were"} added.`];
  if (known) parts.push(`${known.toLocaleString("en")} ${known === 1 ? "was" : "were"} there already.`);
  done.replaceChildren(
    el(
      "div",
      { class: "notice ok" },
      el("strong", {}, parts.join(" ")),
      notes.map((n) => el("p", {}, sentence(n))),
      el("div", { class: "cluster" }, el("a", { class: "button small", href: form.dataset.items }, "See the items")),
    ),
  );
  file = null;
  form.reset();
  words.textContent = "";
}

/** ``api:2 [responses]: …`` as ``Row 2, responses: …``. */
const spoken = (message) =>
  message.replace(/^.*?:(\d+)(?: \[([^\]]*)\])?: /, (_, row, field) => `Row ${row}${field ? `, ${field}` : ""}: `);

function refuse(error) {
  const shown = error.problems.slice(0, SHOWN).map((p) => el("li", {}, spoken(p.message)));
  const more = error.problems.length - shown.length;
  done.replaceChildren(
    el(
      "div",
      { class: "notice bad", tabindex: "-1" },
      el("strong", {}, `Nothing was added. ${sentence(error.message.replace(/^.*?: (?=\d+ of )/, ""))}`),
      shown.length > 0 && el("ul", { class: "problems" }, shown),
      more > 0 && el("p", {}, `And ${more} more.`),
    ),
  );
  done.firstElementChild.focus();
}
