// The rules of a project: only what was changed is sent, so that two people at once do not undo each other.

import { api, confirmDialog, onSubmit, sentence, toast } from "../app.js";
import { reloadWith } from "./common.js";

onSubmit(document.getElementById("title-form"), async ({ title }, event) => {
  await api("PATCH", event.target.dataset.path, { title });
  reloadWith("The title was changed");
});

const state = document.getElementById("state-form");
state.addEventListener("change", async () => {
  const wanted = new FormData(state).get("state");
  const before = state.dataset.state;
  const back = () => (state.elements.state.value = before);
  const sure =
    wanted !== "closed" ||
    (await confirmDialog({
      title: "Close the project?",
      text: "Labelers are told that it has ended. Nothing is deleted, and you can open it again.",
      confirm: "Close it",
    }));
  if (!sure) return void back();
  try {
    await api("POST", state.dataset.path, { state: wanted });
    state.dataset.state = wanted;
    toast(`The project is ${wanted} now`);
  } catch (error) {
    back();
    toast(sentence(error.message));
  }
});

// Rules

const form = document.getElementById("rules-form");
const list = document.getElementById("attribute-list");
const template = document.getElementById("attribute-template");
const unsaved = document.getElementById("unsaved");
let made = list.children.length;
let saved = read();

/** All rules as the API knows them. */
function read() {
  const found = { attributes: [] };
  for (const input of form.elements) {
    if (!input.name || input.name.startsWith("attributes.")) continue;
    found[input.name] = value(input);
  }
  found.blur_from = Number(found.blur_from);
  for (const part of list.querySelectorAll("[data-attribute]")) {
    const attribute = {};
    for (const input of part.querySelectorAll("[name]")) attribute[input.name.split(".")[2]] = value(input);
    found.attributes.push(attribute);
  }
  return found;
}

function value(input) {
  if (input.type === "checkbox") return input.checked;
  if (input.dataset.percent !== undefined) return input.value === "" ? null : Math.round(input.value * 1e6) / 1e8;
  if (input.type === "number") return input.value === "" ? null : Number(input.value);
  return input.value.trim();
}

function changes() {
  const now = read();
  return Object.fromEntries(Object.entries(now).filter(([name, v]) => JSON.stringify(v) !== JSON.stringify(saved[name])));
}

function tell() {
  const names = Object.keys(changes());
  unsaved.textContent = names.length ? `Not saved: ${names.map((n) => n.replaceAll("_", " ")).join(", ")}` : "";
}
form.addEventListener("input", tell);
addEventListener("beforeunload", (event) => Object.keys(changes()).length && event.preventDefault());

onSubmit(form, async () => {
  number();
  const changed = changes();
  if (!Object.keys(changed).length) return toast("Nothing was changed");
  await api("PATCH", form.dataset.path, changed);
  saved = read();
  tell();
  toast("Saved");
});

// Attributes

for (const button of document.querySelectorAll("[data-known]"))
  button.addEventListener("click", () => {
    const known = JSON.parse(button.dataset.known);
    if (known.name && read().attributes.some((a) => a.name === known.name)) return toast("That one is there already");
    list.append(template.content.cloneNode(true));
    const part = list.lastElementChild;
    for (const input of part.querySelectorAll("[name]")) {
      const given = known[input.name.split(".")[2]];
      if (input.type === "checkbox") input.checked = given;
      else input.value = given;
    }
    made += 1;
    for (const node of part.querySelectorAll("[id], [for]")) {
      if (node.id) node.id = node.id.replace("NEW", `n${made}`);
      if (node.htmlFor) node.htmlFor = node.htmlFor.replace("NEW", `n${made}`);
    }
    number();
    part.querySelector("input").focus();
    tell();
  });

list.addEventListener("click", (event) => {
  if (!event.target.closest("[data-remove]")) return;
  event.target.closest("[data-attribute]").remove();
  number();
  tell();
  document.querySelector("[data-known]").focus();
});

/** Names of fields by place, which is how the server speaks of them. */
function number() {
  [...list.querySelectorAll("[data-attribute]")].forEach((part, n) => {
    for (const input of part.querySelectorAll("[name]")) input.name = `attributes.${n}.${input.name.split(".")[2]}`;
  });
}
