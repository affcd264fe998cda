// Questions on the way: skip, untouched order, a look before submitting, what practice has shown.

import { dialog, el, fieldError, onSubmit, setHtml } from "../app.js";
import { spoken } from "./ranking.js";

/** Why an item is passed by; none of ``reasons`` is chosen beforehand but ``chosen``. Resolves to {reason, note} or null. */
export function askSkip(reasons, chosen = null) {
  return new Promise((resolve) => {
    const form = el(
      "form",
      { class: "form" },
      el(
        "fieldset",
        { class: "field" },
        el("legend", { class: "away" }, "Why?"),
        reasons.map(([value, words]) =>
          el("label", { class: "check" }, el("input", { type: "radio", name: "reason", value, checked: value === chosen }), el("span", {}, words)),
        ),
      ),
      el("div", { class: "field" }, el("label", { for: "skip-note" }, "Anything to add? ", el("span", { class: "optional" }, "(optional)")), el("textarea", { id: "skip-note", name: "note", rows: "2", maxlength: "1000" })),
      el("div", { class: "actions" }, el("button", { class: "button", type: "button", onclick: () => box.close() }, "Go back"), el("button", { class: "button primary", type: "submit" }, "Skip this item")),
    );
    const box = dialog({ title: "Skip this item", content: [el("p", { class: "soft" }, "It goes to someone else. Skipping counts against nobody."), form] });
    let said = null;
    onSubmit(form, async (values) => {
      if (!values.reason) {
        const first = form.querySelector("[name=reason]");
        fieldError(first, "Say why: any of these will do.");
        return first.focus();
      }
      said = { reason: values.reason, note: values.note };
      box.close();
    });
    box.addEventListener("close", () => resolve(said));
    box.showModal();
  });
}

const yesOrNo = (options) =>
  new Promise((resolve) => {
    let said = false;
    const yes = el("button", { class: "button primary", type: "button", onclick: () => ((said = true), box.close()) }, options.yes);
    const no = el("button", { class: "button", type: "button", onclick: () => box.close() }, options.no);
    const box = dialog({ title: options.title, content: options.content, actions: [no, yes] });
    box.addEventListener("close", () => resolve(said));
    box.showModal();
    yes.focus();
  });

/** The order is as it was shown: is that meant? */
export const askUntouched = (summary) =>
  yesOrNo({
    title: "You have not changed the order",
    content: [
      el("p", {}, "The answers stand as they were shown, in a random order: ", el("b", {}, summary), "."),
      el("p", { class: "soft" }, "Submit it if that is your ranking."),
    ],
    yes: "Submit as it is",
    no: "Go back",
  });

/** What is about to be submitted, in full. */
export const review = (verdict) =>
  yesOrNo({
    title: "Your judgement",
    content: [
      el("p", { class: "review" }, verdict.summary()),
      !verdict.isPair && !verdict.now.notRankable && el("ol", { class: "away" }, verdict.now.groups.flat().map((l) => el("li", {}, spoken(verdict.now.groups, l)))),
      verdict.now.rationale.trim() && el("p", { class: "soft", dir: "auto" }, verdict.now.rationale),
    ].filter(Boolean),
    yes: "Submit",
    no: "Go back",
  });

/** After a practice item: what was expected. */
export function showFeedback(feedback) {
  return new Promise((resolve) => {
    // Where all answers are equally good, no pair is decided, and only the tie itself is right.
    const share = feedback.agreement ?? Number(feedback.exact);
    const head = share === 1 ? "As expected" : share === 0 ? "Not as expected" : "Partly as expected";
    const ranks = feedback.accepted.map((groups) => groups.map((g) => g.join(" = ")).join(" › "));
    const next = el("button", { class: "button primary", type: "button", onclick: () => box.close() }, "Go on");
    const box = dialog({
      title: head,
      content: [
        feedback.agreement === null && el("p", {}, "None of the answers is better than another here."),
        share > 0 && share < 1 && el("p", {}, `${Math.round(100 * share)} % of the pairs are in the expected order.`),
        el("p", {}, ranks.length > 1 ? "Any of these was expected: " : "Expected was: ", el("b", {}, ranks.join(" or ")), "."),
        feedback.rationale && el("p", { dir: "auto" }, feedback.rationale),
        el("p", { class: "soft" }, "This was for practice, and is told only here."),
      ].filter(Boolean),
      actions: [next],
    });
    box.addEventListener("close", resolve);
    box.showModal();
    next.focus();
  });
}

/** Guidelines in a dialog, for narrow screens. */
export function showGuidelines(html) {
  const text = el("div", { class: "prose", dir: "auto", tabindex: "0", role: "document", "aria-label": "Guidelines" });
  setHtml(text, html);
  const box = dialog({
    title: "Guidelines",
    broad: true,
    content: [text],
    actions: [el("button", { class: "button primary", type: "button", onclick: () => box.close() }, "Close")],
  });
  box.showModal();
}
