// One's own judgements, newest first.

import { api, el, sentence } from "../app.js";

const place = document.getElementById("mine");
const { slug } = place.dataset;

try {
  const mine = await api("GET", `/api/projects/${slug}/mine?limit=200`);
  place.replaceChildren(mine.length ? table(mine) : el("div", { class: "empty" }, el("h2", {}, "Nothing yet"), el("p", {}, "What you judge is listed here."), el("p", {}, el("a", { class: "button primary", href: `/p/${slug}` }, "Begin"))));
} catch (error) {
  place.replaceChildren(el("p", { class: "notice bad" }, sentence(error.message)));
}

function table(mine) {
  const when = (seconds) => new Date(seconds * 1000).toLocaleString([], { dateStyle: "medium", timeStyle: "short" });
  const row = (past) =>
    el(
      "tr",
      {},
      el("td", { class: "nowrap" }, el("time", { datetime: new Date(past.when * 1000).toISOString() }, when(past.when))),
      el("td", { class: "text", dir: "auto" }, past.excerpt, past.training && el("span", { class: "badge info" }, "Practice")),
      el("td", { class: "num" }, String(past.answers)),
      el("td", { class: "nowrap" }, past.editable && el("a", { href: `/p/${slug}?edit=${past.assignment}` }, "Change", el("span", { class: "away" }, `: ${past.excerpt}`))),
    );
  return el(
    "div",
    { class: "card flush" },
    el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "My judgements" },
      el("table", { class: "table" },
        el("thead", {}, el("tr", {}, el("th", { scope: "col" }, "When"), el("th", { scope: "col" }, "Prompt"), el("th", { scope: "col", class: "num" }, "Answers"), el("th", { scope: "col" }, el("span", { class: "away" }, "Change")))),
        el("tbody", {}, mine.map(row)))),
  );
}
