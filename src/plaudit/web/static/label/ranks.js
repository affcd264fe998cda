// The ranking as a list of rows: grip, buttons, keys.

import { announce, el } from "../app.js";
import { draggable } from "./drag.js";
import * as ranking from "./ranking.js";

/** The list for a verdict. Returns {element, show(), focus(letter)}. */
export function rankList(verdict, { ties, excerpts }) {
  const list = el("ol", { class: "ranking", "aria-label": "Your ranking, best first" });
  const rows = Object.fromEntries(verdict.letters.map((letter) => [letter, row(letter)]));

  function row(letter) {
    const button = (name, words, key, act) =>
      el("button", { class: "button quiet step", type: "button", "data-act": name, "aria-label": `${words}`, title: `${words} (${key})`, onclick: act }, STEPS[name]);
    return el(
      "li",
      { class: "rank", "data-letter": letter },
      el("span", { class: "place" }),
      el(
        "button",
        { class: "grip", type: "button", "aria-describedby": "ranking-help" },
        el("span", { class: "dots", "aria-hidden": "true" }),
        el("span", { class: "name" }, "Answer ", el("b", {}, letter)),
        el("span", { class: "away place-words" }),
        el("span", { class: "excerpt", "aria-hidden": "true", dir: "auto" }, excerpts[letter]),
      ),
      el(
        "span",
        { class: "steps" },
        button("up", `Move answer ${letter} up`, "↑", () => act(letter, "up")),
        button("down", `Move answer ${letter} down`, "↓", () => act(letter, "down")),
        ties && button("tie", `Tie answer ${letter} with the one above`, "=", () => act(letter, "tie")),
      ),
    );
  }

  /** Do a step to an answer, and say where it stands then. */
  function act(letter, name) {
    const focused = document.activeElement;
    if (!verdict.rank(ranking[name](verdict.now.groups, letter))) {
      announce(`${ranking.spoken(verdict.now.groups, letter)}; it goes no further`);
      return;
    }
    announce(ranking.spoken(verdict.now.groups, letter));
    // Moving a row in the page takes the focus away from what is in it.
    if (focused && focused !== document.body) focused.focus({ preventScroll: true });
    rows[letter].scrollIntoView({ block: "nearest" });
  }

  function show() {
    const { groups } = verdict.now;
    const places = ranking.places(groups);
    const focused = document.activeElement;
    const order = groups.flat();
    if (!ranking.same([...list.children].map((r) => r.dataset.letter), order)) list.append(...order.map((l) => rows[l]));
    if (list.contains(focused)) focused.focus({ preventScroll: true });
    for (const letter of order) {
      const { rank, tied } = places[letter];
      const at = ranking.indexOf(groups, letter);
      const made = rows[letter];
      made.querySelector(".place").textContent = `${rank}${tied ? "=" : ""}`;
      made.querySelector(".place-words").textContent = `, ${ranking.spoken(groups, letter).split(": ")[1]}`;
      made.classList.toggle("tied", tied && groups[at][0] !== letter);
      const tieButton = made.querySelector('[data-act="tie"]');
      if (tieButton) {
        const words = tied ? `Take answer ${letter} out of the tie` : at ? `Tie answer ${letter} with the one above` : `Tie answer ${letter} with the one below`;
        tieButton.setAttribute("aria-label", words);
        tieButton.title = `${words} (=)`;
        tieButton.setAttribute("aria-pressed", String(tied));
      }
    }
    list.classList.toggle("off", verdict.now.notRankable);
  }

  list.addEventListener("keydown", (event) => {
    const letter = event.target.closest?.(".rank")?.dataset.letter;
    const name = { ArrowUp: "up", ArrowDown: "down" }[event.key];
    if (!letter || !name || !event.target.matches(".grip") || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    act(letter, name);
  });
  /** The middle of a row ties; so does the seam between two tied rows, for a group is not parted by a drop. */
  function where(letter, other, share) {
    const { groups } = verdict.now;
    const group = groups[ranking.indexOf(groups, other)].filter((l) => l !== letter);
    if (!ties) return share < 0.5 ? "before" : "after";
    if (share < 0.3 && group[0] === other) return "before";
    return share > 0.7 && group.at(-1) === other ? "after" : "onto";
  }

  draggable(list, where, (letter, other, where) => {
    const { groups } = verdict.now;
    const next = where === "onto" ? ranking.join(groups, letter, other) : ranking.beside(groups, letter, other, where === "after");
    if (verdict.rank(next)) announce(ranking.spoken(next, letter));
    rows[letter].querySelector(".grip").focus({ preventScroll: true });
  });

  return {
    element: list,
    act,
    show,
    focus: (letter) => rows[letter]?.querySelector(".grip").focus(),
    focused: () => document.activeElement?.closest?.(".rank")?.dataset.letter ?? null,
  };
}

const STEPS = { up: "↑", down: "↓", tie: "=" };
