// Unfinished work: in this browser at once, on the server a moment later.

import { api, memory } from "../app.js";

const SOON = 800;

/** Keeps a verdict. ``told`` hears "saved", "saving", "kept here" (no server) or "elsewhere" (judged meanwhile). */
export class Draft {
  constructor(path, task, verdict, told) {
    Object.assign(this, { path, verdict, told });
    this.name = `draft:${task.assignment}`;
    this.rev = task.draft?.rev ?? 0;
    this.dirty = false;
    this.#takeUp(task);
    this.listen = () => this.#changed();
    verdict.addEventListener("change", this.listen);
  }

  /** What was left: this browser's copy where the server has nothing newer, else the server's. */
  #takeUp(task) {
    const here = memory.get(this.name);
    const there = task.draft;
    if (here && (!there || here.rev >= there.rev)) {
      this.verdict.restore(here.payload);
      this.rev = there?.rev ?? 0;
      this.from = "here";
      this.#later();
    } else if (there) {
      this.verdict.restore(there.payload);
      this.from = "server";
      if (here?.unsaved) this.other = here.payload;
    }
  }

  #changed() {
    memory.set(this.name, { rev: this.rev, payload: this.verdict.now, unsaved: true });
    this.#later();
  }

  #later() {
    this.dirty = true;
    this.told("saving");
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.save(), SOON);
  }

  /** Bring it to the server now. */
  async save() {
    clearTimeout(this.timer);
    if (!this.dirty || this.ended || this.held) return;
    if (this.saving) return void (this.timer = setTimeout(() => this.save(), SOON));
    this.dirty = false;
    this.saving = this.#put();
    await this.saving;
  }

  async #put() {
    const payload = this.verdict.now;
    try {
      this.rev = (await api("PUT", `${this.path}/draft`, { rev: this.rev, payload })).rev;
      // What was changed while it was on its way is newer than what arrived.
      const { now } = this.verdict;
      if (!this.ended) memory.set(this.name, { rev: this.rev, payload: now, unsaved: now !== payload });
      this.told("saved");
    } catch (error) {
      if (error.status === 409 && error.body?.rev !== undefined) {
        // Another tab wrote meanwhile; what is on this screen is what its reader sees, so it goes on top.
        this.rev = error.body.rev;
        this.dirty = true;
        this.timer = setTimeout(() => this.save(), SOON);
      } else if (error.passing) {
        this.dirty = true;
        this.told("kept here");
        this.timer = setTimeout(() => this.save(), 5000);
      } else if (error.code === "already_judged") this.told("elsewhere");
    } finally {
      this.saving = null;
    }
  }

  /** While a judgement is sent no draft is: it would arrive after it. Waits for one that is on its way. */
  async hold() {
    this.held = true;
    clearTimeout(this.timer);
    await this.saving;
  }

  /** The judgement was refused: go on. */
  resume() {
    this.held = false;
    this.#changed();
  }

  /** The work is done: forget it here. */
  end() {
    this.ended = true;
    clearTimeout(this.timer);
    this.verdict.removeEventListener("change", this.listen);
    memory.remove(this.name);
  }
}
