// Everything by keyboard. Single keys can be switched off, and never act while someone types.

import { dialog, el, memory } from "../app.js";

export const KEYS = {
  pair: [
    ["1", "A is better"],
    ["2", "B is better"],
    ["[ ]", "one step toward A, toward B"],
    ["=", "equally good"],
  ],
  ranking: [
    ["1 … 9", "go to answer A, B, C …"],
    ["↑ ↓", "move that answer up or down"],
    ["=", "tie it with the one above, or untie it"],
  ],
  both: [
    ["Enter", "look it over; Enter again submits"],
    ["z", "undo the last change"],
    ["b", "both, or all, are bad"],
    ["n", "cannot be ranked"],
    ["s", "skip"],
    ["x", "stop showing me this: skip, and nothing as sensitive again"],
    ["g", "guidelines"],
    ["?", "this help"],
  ],
};

export const isOn = () => memory.get("keys") !== false;

const TYPING = "textarea, select, [contenteditable], input:not([type=radio], [type=checkbox])";
// What Enter presses by itself. A grip does nothing when pressed, and neither does a radio button.
const PRESSED = "button:not(.grip), a, summary, input:not([type=radio])";

/** Listen for keys. ``act(key)`` says whether it did something. */
export function listen(act) {
  document.addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
    if (document.querySelector("dialog[open]") || event.target.matches(TYPING)) return;
    if (event.key === "Enter" && event.target.matches(PRESSED)) return;
    // Arrows belong to radio buttons while those have the focus.
    if (event.key.startsWith("Arrow") && event.target.matches("input")) return;
    if (!isOn() && event.key.length === 1 && event.key !== "?") return;
    if (rated(event) || act(event.key)) event.preventDefault();
  });
}

/** A digit on a scale chooses that value there, and does not speak of the answers. */
function rated({ key, target }) {
  if (!/^[0-9]$/.test(key) || !target.matches(".rating input")) return false;
  const input = target.closest(".rating").querySelector(`input[value="${key}"]`);
  input?.focus();
  if (input && !input.checked) input.click();
  return true;
}

/** All keys, and the switch. */
export function help(kind) {
  const list = (rows) => rows.map(([key, words]) => el("div", { class: "key-row" }, el("dt", {}, el("kbd", {}, key)), el("dd", {}, words)));
  const onOff = el("input", { type: "checkbox", onchange: () => memory.set("keys", onOff.checked) });
  onOff.checked = isOn();
  const box = dialog({
    title: "Keys",
    broad: true,
    content: [
      el("dl", { class: "keys" }, list(KEYS[kind]), list(KEYS.both)),
      el("label", { class: "check" }, onOff, el("span", {}, "Single keys work", el("small", { class: "soft" }, "Switch this off if speech or another device presses keys for you. Tab, Enter and arrows always work."))),
    ],
    actions: [el("button", { class: "button primary", type: "button", onclick: () => box.close() }, "Close")],
  });
  box.showModal();
}
