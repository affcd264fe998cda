// One item: retire it, say what is right, set its level.

import { api, fieldError, onSubmit, sentence, toast } from "../app.js";
import { reloadWith } from "./common.js";

for (const button of document.querySelectorAll("[data-change]")) {
  button.addEventListener("click", async () => {
    try {
      await api("PATCH", button.dataset.change, JSON.parse(button.dataset.body));
      reloadWith(button.dataset.said);
    } catch (error) {
      toast(sentence(error.message));
    }
  });
}

/** ``2 > 1 = 3`` as [[1], [0, 2]]. Throws an Error in words. */
export function ranking(line, count) {
  const groups = line.split(">").map((group) =>
    group.split("=").map((name) => {
      const number = Number(name.trim());
      if (!name.trim() || !Number.isInteger(number) || number < 1 || number > count)
        throw new Error(`“${name.trim()}” in “${line}” is no answer: write numbers from 1 to ${count}.`);
      return number - 1;
    }),
  );
  const named = groups.flat();
  if (new Set(named).size !== named.length || named.length !== count)
    throw new Error(`“${line}” must name each of the ${count} answers once.`);
  return groups;
}

const gold = document.getElementById("gold-form");
if (gold)
  onSubmit(gold, async ({ accepted, rationale }) => {
    const lines = accepted.split("\n").filter((line) => line.trim());
    let rankings;
    try {
      if (!lines.length) throw new Error("Write at least one ranking.");
      rankings = lines.map((line) => ranking(line, Number(gold.dataset.answers)));
    } catch (error) {
      fieldError(gold.elements.accepted, error.message);
      return void gold.elements.accepted.focus();
    }
    await api("PATCH", gold.dataset.path, { accepted: rankings, rationale });
    reloadWith("Saved");
  });

const level = document.getElementById("level-form");
if (level)
  onSubmit(level, async ({ sensitivity }) => {
    await api("PATCH", level.dataset.path, { sensitivity: Number(sensitivity) });
    reloadWith("Saved");
  });
