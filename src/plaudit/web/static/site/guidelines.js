// Saying that the guidelines have been read.

import { api, sentence, toast } from "../app.js";

const button = document.getElementById("seen");
button?.addEventListener("click", async () => {
  try {
    await api("POST", `/api/projects/${button.dataset.slug}/guidelines/seen`, { version: Number(button.dataset.version) });
    location.assign(`/p/${button.dataset.slug}`);
  } catch (error) {
    toast(sentence(error.message));
  }
});
