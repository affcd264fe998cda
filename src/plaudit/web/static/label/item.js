// One item on the page: conversation, answers, what is asked, and the bar with which it is submitted.

import { announce, el, setHtml } from "../app.js";
import { answerRatings, itemExtras } from "./extras.js";
import { rankList } from "./ranks.js";
import { places } from "./ranking.js";
import { pairScale } from "./scale.js";

const BLANK = { empty: "This answer is empty.", "white space": "This answer is white space alone.", "nothing to see": "This answer shows nothing." };
const WHO = { system: "Instructions to the assistant", user: "Person", assistant: "Assistant" };

/** Build an item for a verdict. ``actions``: submit, skip, stop, undo, cancel (when editing). */
export function itemView(task, verdict, actions, { editing = false } = {}) {
  const heading = el("h1", { tabindex: "-1" }, editing ? "Change your judgement" : task.form.title);
  const excerpts = {};
  const cards = task.answers.map((answer) => answerCard(answer, verdict, excerpts));
  const ask = verdict.isPair
    ? pairScale(verdict, task.form)
    : rankList(verdict, { ties: task.form.ties, excerpts });
  const extras = itemExtras(verdict);
  const summary = el("p", { class: "summary", id: "summary" });
  const problem = el("p", { class: "missing", role: "alert" });
  const saved = el("span", { class: "saved soft small", role: "status" });
  const submit = el("button", { class: "button primary large", type: "button", id: "submit", onclick: actions.submit }, editing ? "Save the change" : "Submit");
  const undo = el("button", { class: "button quiet", type: "button", title: "Undo (z)", onclick: actions.undo }, "Undo");
  const element = el(
    "div",
    { class: `item ${verdict.isPair ? "pair" : "ranked"}` },
    el(
      "div",
      { class: "item-head" },
      heading,
      task.training && el("span", { class: "badge info" }, "Practice"),
      task.sensitivity > 0 && el("span", { class: "badge warn" }, `Sensitivity ${task.sensitivity}`),
    ),
    conversation(task.prompt),
    el(
      "div",
      { class: "judge" },
      el("section", { class: "answers", "aria-label": "Answers" }, cards.map((c) => c.element)),
      el(
        "section",
        { class: "asked card", "aria-label": "Your judgement" },
        !verdict.isPair && el("p", { id: "ranking-help", class: "soft small" }, howTo(task.form.ties)),
        ask.element,
        el("div", { class: "extras stack" }, extras.map((e) => e.element)),
      ),
    ),
    el(
      "div",
      { class: "bar" },
      el("div", { class: "bar-words" }, summary, problem, saved),
      el(
        "div",
        { class: "bar-buttons" },
        undo,
        editing
          ? el("button", { class: "button", type: "button", onclick: actions.cancel }, "Cancel")
          : el("button", { class: "button", type: "button", title: "Skip (s)", onclick: actions.skip }, "Skip"),
        !editing && task.sensitivity > 0 && el("button", { class: "button", type: "button", title: "Stop showing me this (x)", onclick: actions.stop }, "Stop showing me this"),
        submit,
      ),
    ),
  );

  // Messages stand above the bar, however high it is.
  const bar = element.querySelector(".bar");
  const tell = () => document.documentElement.style.setProperty("--bar-height", `${bar.offsetHeight}px`);
  new ResizeObserver(tell).observe(bar);

  function show() {
    ask.show();
    [...cards, ...extras].forEach((part) => part.show());
    summary.textContent = verdict.summary();
    summary.classList.toggle("nothing", verdict.isPair && verdict.now.side === null && !verdict.now.notRankable);
    undo.disabled = !verdict.past.length;
    problem.textContent = "";
  }
  verdict.addEventListener("change", show);
  show();

  return {
    element,
    heading,
    ask,
    say: (text) => (saved.textContent = text),
    /** What is on its way cannot be changed any more. */
    freeze: (is) => element.querySelectorAll(".judge, .bar-buttons").forEach((part) => (part.inert = is)),
    busy: (is) => submit.setAttribute("aria-busy", String(is)),
    /** What is missing, with the focus on the first of it. */
    complain(missing) {
      problem.textContent = missing.map((m) => m.words).join(" ");
      const place = document.getElementById(`field-${missing[0].field}`);
      (place?.querySelector("input, textarea") ?? place)?.focus();
    },
    focusAnswer(index) {
      const letter = verdict.letters[index];
      if (!letter) return false;
      cards[index].element.scrollIntoView({ block: "nearest" });
      ask.focus(letter);
      announce(`Answer ${letter}`);
      return true;
    },
  };
}

/** How to rank; the keys are hidden from those who have none. */
const howTo = (ties) => [
  "Drag by the dots, or use the buttons.",
  el("span", { class: "by-keys" }, ` Or press an answer’s number and then ↑ ↓${ties ? " =" : ""}.`),
  ties && " Drop onto an answer for a tie.",
];

function conversation(turns) {
  return el(
    "section",
    { class: "conversation", "aria-label": turns.length > 1 ? "Conversation" : "Prompt" },
    turns.map((turn) => {
      const text = el("div", { class: "prose", dir: "auto" });
      setHtml(text, turn.html);
      return el("div", { class: `turn ${turn.role}` }, el("p", { class: "who" }, WHO[turn.role]), text);
    }),
  );
}

function answerCard(answer, verdict, excerpts) {
  const text = el("div", { class: "prose", dir: "auto" });
  setHtml(text, answer.html);
  excerpts[answer.key] = text.textContent.trim().replace(/\s+/g, " ").slice(0, 60) || (BLANK[answer.blank] ?? "");
  const place = el("span", { class: "badge" });
  const ratings = answerRatings(verdict, answer.key);
  const id = `answer-${answer.key}`;
  const element = el(
    "article",
    { class: "answer card", "aria-labelledby": id, "data-letter": answer.key },
    el("header", { class: "spread" }, el("h2", { id }, "Answer ", answer.key), !verdict.isPair && place),
    text,
    // Beside the answer, not in it: it is no word of the model's.
    answer.blank && el("p", { class: "blank soft small" }, BLANK[answer.blank]),
    !answer.finished && el("p", { class: "cut soft small" }, "… cut off at the length limit"),
    ratings.length > 0 && el("div", { class: "ratings" }, ratings.map((r) => r.element)),
  );
  return {
    element,
    show() {
      ratings.forEach((r) => r.show());
      const { rank, tied } = places(verdict.now.groups)[answer.key];
      place.textContent = verdict.now.notRankable ? "–" : `${rank}${tied ? "=" : ""}`;
      place.setAttribute("aria-label", `rank ${place.textContent}`);
      const side = verdict.now.side;
      const chosen = verdict.isPair && side && (side < 0 ? "A" : "B") === answer.key;
      element.classList.toggle("chosen", Boolean(chosen) && !verdict.now.notRankable);
    },
  };
}
