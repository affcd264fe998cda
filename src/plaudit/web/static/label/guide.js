// The guidelines beside the work, and the step at which they must be read.

import { api, el, memory, setHtml } from "../app.js";
import { showGuidelines } from "./dialogs.js";

const WIDE = matchMedia("(min-width: 75rem)");

export class Guide {
  constructor(root) {
    this.root = root;
    this.panel = document.getElementById("guide");
    this.button = document.getElementById("guide-button");
    this.button.addEventListener("click", () => this.toggle());
    WIDE.addEventListener("change", () => this.#place());
    this.version = 0;
    this.reading = false;
  }

  /** Fetch the version that holds; there may be none. */
  async load() {
    try {
      const found = await api("GET", `${this.root}/guidelines`);
      this.version = found.version;
      this.unread = !found.read;
      this.html = found.html;
      setHtml(this.panel.querySelector(".prose"), found.html);
      this.panel.querySelector(".version").textContent = `Version ${found.version}`;
    } catch (error) {
      if (error.status !== 404) throw error;
      this.html = null;
    }
    this.#place();
  }

  #place() {
    const open = this.html && !this.reading && WIDE.matches && memory.get("guide") !== false;
    this.panel.hidden = !open;
    document.getElementById("work").classList.toggle("with-guide", Boolean(open));
    this.button.hidden = !this.html || this.reading;
    if (WIDE.matches) this.button.setAttribute("aria-expanded", String(Boolean(open)));
    else this.button.removeAttribute("aria-expanded");
  }

  toggle() {
    if (!this.html || this.reading) return;
    if (!WIDE.matches) return void showGuidelines(this.html);
    memory.set("guide", this.panel.hidden);
    this.#place();
  }

  /** The reading step. Resolves when the person has said that it is read. */
  async read(place) {
    this.reading = true; // once on the page is enough
    await this.load();
    const text = el("div", { class: "prose card guide-text", dir: "auto" });
    setHtml(text, this.html ?? "");
    const heading = el("h1", { tabindex: "-1" }, this.version > 1 ? "The guidelines have changed" : "Read the guidelines first");
    place.replaceChildren(
      el(
        "div",
        { class: "reading stack" },
        heading,
        el("p", { class: "lead" }, "They stand beside every item, and each judgement is kept with the version it was made under."),
        text,
      ),
    );
    heading.focus();
    await new Promise((resolve) => {
      const button = el("button", { class: "button primary large", type: "button", onclick: resolve }, "I have read them");
      place.firstElementChild.append(el("p", {}, button));
    });
    await api("POST", `${this.root}/guidelines/seen`, { version: this.version });
    this.reading = false;
    this.#place();
  }
}
