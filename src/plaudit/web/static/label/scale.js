// Two answers: which is better, and how much.

import { el } from "../app.js";
import { STRENGTH } from "./verdict.js";

/** The scale for a pair. Returns {element, show(), step(direction), choose(side)}. */
export function pairScale(verdict, { strength, ties }) {
  const steps = strength ? [4, 3, 2, 1] : [1];
  const sides = [...steps.map((s) => -s), ...(ties ? [0] : []), ...[...steps].reverse()];
  const words = (side) => {
    if (side === 0) return "A and B are equally good";
    return `${side < 0 ? "A" : "B"} is ${strength ? STRENGTH[Math.abs(side)] : "better"}`;
  };
  const inputs = sides.map((side) =>
    el("input", {
      type: "radio",
      name: "side",
      value: String(side),
      "aria-label": words(side),
      onchange: () => verdict.change({ side, touched: true, notRankable: false }),
    }),
  );
  const cells = sides.map((side, i) =>
    el("label", { class: side === 0 ? "middle" : side < 0 ? "left" : "right", title: words(side) }, inputs[i], el("span", { "aria-hidden": "true" }, strength ? face(side) : short(side))),
  );
  const told = el("p", { class: "told", "aria-hidden": "true" });
  const element = el(
    "fieldset",
    { class: `scale${strength ? "" : " plain"}`, id: "field-side" },
    el("legend", { class: "away" }, "Which answer is better?"),
    el("div", { class: "ends", "aria-hidden": "true" }, el("span", {}, "A is better"), el("span", {}, "B is better")),
    el("div", { class: "cells" }, cells),
    told,
  );

  function show() {
    const { side, notRankable } = verdict.now;
    inputs.forEach((input, i) => (input.checked = sides[i] === side && !notRankable));
    told.textContent = notRankable ? "Not rankable" : side === null ? " " : words(side);
    element.classList.toggle("off", notRankable);
  }

  return {
    element,
    show,
    choose: (side) => sides.includes(side) && verdict.change({ side, touched: true, notRankable: false }),
    /** One step toward A (−1) or B (1). */
    step(direction) {
      const at = sides.indexOf(verdict.now.side);
      const middle = (sides.length - 1) / 2;
      const from = at < 0 ? (direction < 0 ? Math.ceil(middle) : Math.floor(middle)) : at;
      const next = Math.min(sides.length - 1, Math.max(0, from + direction));
      verdict.change({ side: sides[next], touched: true, notRankable: false });
      return words(sides[next]);
    },
    focus: () => (inputs.find((input) => input.checked) ?? inputs[0]).focus(),
  };
}

const face = (side) => (side === 0 ? "=" : String(Math.abs(side)));
const short = (side) => (side === 0 ? "Equally good" : side < 0 ? "A is better" : "B is better");
