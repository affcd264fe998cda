// What several of these pages use: a message that outlives the page that it speaks of, and secrets shown once.

import { copy, dialog, el, toast } from "../app.js";

const KEY = "plaudit:said";

/** Load the page anew, which shows what changed, and say what was done. */
export function reloadWith(words) {
  try {
    sessionStorage.setItem(KEY, words);
  } catch {
    // then without words
  }
  location.reload();
}

try {
  const words = sessionStorage.getItem(KEY);
  sessionStorage.removeItem(KEY);
  if (words) toast(words);
} catch {
  // nothing was kept
}

/** A link that is shown this once. Resolves when the dialog is closed. */
export function showOnce({ title, link, words }) {
  return new Promise((resolve) => {
    const close = el("button", { class: "button primary", type: "button" }, "Done");
    const box = dialog({
      title,
      content: [
        ...words.map((w) => el("p", {}, w)),
        el(
          "div",
          { class: "secret" },
          el("code", { id: "secret" }, link),
          el("button", { class: "button small", type: "button", onclick: () => copy(link) }, "Copy"),
        ),
        el("p", { class: "small soft" }, "This link is not shown again. Whoever has it can use it: send it to the person alone."),
      ],
      actions: [close],
      broad: true,
    });
    close.addEventListener("click", () => box.close());
    box.addEventListener("close", resolve);
    box.showModal();
  });
}
