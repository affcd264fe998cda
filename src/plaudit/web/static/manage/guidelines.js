// The guidelines' editor. The server renders the preview: what it shows is what labelers get.

import { api, confirmDialog, onSubmit, sentence, setHtml, toast } from "../app.js";
import { reloadWith } from "./common.js";

const form = document.getElementById("guidelines-form");
const preview = document.getElementById("preview");
const text = form.elements.markdown;
let waiting = null;
let asked = 0;

async function look() {
  const mine = ++asked;
  try {
    const { html } = await api("POST", preview.dataset.path, { markdown: text.value });
    if (mine === asked) setHtml(preview, html);
  } catch (error) {
    toast(sentence(error.message));
  }
}

document.getElementById("look").addEventListener("click", look);
text.addEventListener("input", () => {
  clearTimeout(waiting);
  waiting = setTimeout(look, 800);
});
if (!preview.childNodes.length) look();

onSubmit(form, async ({ markdown, note }) => {
  const sure = await confirmDialog({
    title: "Publish these guidelines?",
    text: "Labelers read the new version before their next item. A published version is never changed.",
    confirm: "Publish",
  });
  if (!sure) return;
  const made = await api("POST", form.dataset.path, { markdown, note });
  reloadWith(`Version ${made.version} is published`);
});
