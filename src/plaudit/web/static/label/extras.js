// What is asked beside the ranking: attributes, confidence, flags, a rationale.

import { el } from "../app.js";

/** Radio buttons for a scale; choosing the chosen one again takes it back. */
function ratings(verdict, attribute, letter, legend) {
  const name = `attribute-${attribute.name}-${letter}`;
  const values = Array.from({ length: attribute.high - attribute.low + 1 }, (_, i) => attribute.low + i);
  const set = (value) => {
    const given = { ...verdict.now.attributes[attribute.name] };
    if (value === null) delete given[letter];
    else given[letter] = value;
    verdict.change({ attributes: { ...verdict.now.attributes, [attribute.name]: given } });
  };
  const inputs = values.map((value) =>
    el("input", {
      type: "radio",
      name,
      value: String(value),
      onchange: () => set(value),
      onclick: (event) => verdict.now.attributes[attribute.name]?.[letter] === value && event.detail && set(null),
      "aria-label": ends(attribute, value),
    }),
  );
  const element = el(
    "fieldset",
    { class: "rating", id: `field-${attribute.name}-${letter}`, title: attribute.help || null },
    el("legend", {}, legend, attribute.required && el("span", { class: "soft" }, " (required)")),
    el("div", { class: "segments" }, inputs.map((input, i) => el("label", {}, input, el("span", { "aria-hidden": "true" }, String(values[i]))))),
    (attribute.low_label || attribute.high_label) &&
      el("div", { class: "ends soft small", "aria-hidden": "true" }, el("span", {}, attribute.low_label), el("span", {}, attribute.high_label)),
  );
  const show = () => {
    const given = verdict.now.attributes[attribute.name]?.[letter];
    inputs.forEach((input, i) => (input.checked = values[i] === given));
  };
  return { element, show };
}

function ends(attribute, value) {
  if (value === attribute.low && attribute.low_label) return `${value}, ${attribute.low_label}`;
  if (value === attribute.high && attribute.high_label) return `${value}, ${attribute.high_label}`;
  return `${value} of ${attribute.high}`;
}

/** Attributes of one answer, for its card. */
export function answerRatings(verdict, letter) {
  const asked = verdict.task.form.attributes.filter((a) => a.per === "answer");
  return asked.map((a) => ratings(verdict, a, letter, a.label || a.name));
}

/** Everything about the item as a whole. */
export function itemExtras(verdict) {
  const { form } = verdict.task;
  const made = form.attributes.filter((a) => a.per === "item").map((a) => ratings(verdict, a, "*", a.label || a.name));
  if (form.confidence) made.push(confidence(verdict));
  made.push(flags(verdict));
  if (form.rationale !== "off") made.push(rationale(verdict));
  return made;
}

function confidence(verdict) {
  const words = ["a guess", "unsure", "fairly sure", "sure", "certain"];
  const inputs = words.map((word, i) =>
    el("input", { type: "radio", name: "confidence", value: String(i + 1), "aria-label": `${i + 1}, ${word}`, onchange: () => verdict.change({ confidence: i + 1 }) }),
  );
  return {
    element: el(
      "fieldset",
      { class: "rating" },
      el("legend", {}, "How sure are you?"),
      el("div", { class: "segments" }, inputs.map((input, i) => el("label", { title: words[i] }, input, el("span", { "aria-hidden": "true" }, String(i + 1))))),
      el("div", { class: "ends soft small", "aria-hidden": "true" }, el("span", {}, words[0]), el("span", {}, words[4])),
    ),
    show: () => inputs.forEach((input, i) => (input.checked = verdict.now.confidence === i + 1)),
  };
}

function flags(verdict) {
  const { form } = verdict.task;
  const flag = (field, words) => el("button", { class: "button small flag", type: "button", "data-flag": field, onclick: () => toggle(verdict, field) }, words);
  const buttons = [
    form.all_bad && flag("allBad", verdict.isPair ? "Both are bad" : "All are bad"),
    form.not_rankable && flag("notRankable", "Cannot be ranked"),
  ].filter(Boolean);
  return {
    element: el("div", { class: "cluster" }, buttons),
    show: () => buttons.forEach((b) => b.setAttribute("aria-pressed", String(verdict.now[b.dataset.flag]))),
  };
}

export function toggle(verdict, field) {
  const { form } = verdict.task;
  if (field === "allBad" ? form.all_bad : form.not_rankable) verdict.change({ [field]: !verdict.now[field] });
}

function rationale(verdict) {
  const required = verdict.task.form.rationale === "required";
  const input = el("textarea", {
    id: "rationale",
    rows: "3",
    maxlength: "5000",
    dir: "auto",
    oninput: () => verdict.change({ rationale: input.value }, { typing: true }),
  });
  return {
    element: el(
      "div",
      { class: "field", id: "field-rationale" },
      el("label", { for: "rationale" }, "Why? ", !required && el("span", { class: "optional" }, "(optional)")),
      input,
    ),
    show: () => input.value !== verdict.now.rationale && (input.value = verdict.now.rationale),
  };
}
