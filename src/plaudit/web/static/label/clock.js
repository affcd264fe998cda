// How long someone was really at it, and holding the item meanwhile.

import { api } from "../app.js";

const IDLE = 60_000; // without a sign of life for longer, time does not count
const WARN = 60; // seconds before the item goes back, where it is held for much longer
const AGAIN = 2000; // milliseconds between two attempts to hold it

/** Milliseconds as minutes and seconds. */
export const spent = (ms) => `${Math.floor(ms / 60000)}:${String(Math.floor(ms / 1000) % 60).padStart(2, "0")}`;

/**
 * Counts active time and keeps the lease. ``heard`` is told: {state, seconds} with state "leased", "warning",
 * "expired" (it can still be judged) or "elsewhere" (judged or skipped in another window).
 */
export class Clock {
  constructor(path, task, heard) {
    Object.assign(this, { path, heard });
    this.active = 0;
    this.left = task.seconds_left;
    this.every = Math.max(2, task.heartbeat_seconds);
    this.warn = Math.min(WARN, 1.5 * this.every);
    this.lastBeat = 0;
    this.lastSign = performance.now();
    this.lastTick = performance.now();
    this.sinceBeat = 0;
    this.sign = () => this.#alive();
    for (const kind of SIGNS) addEventListener(kind, this.sign, { passive: true, capture: true });
    this.timer = setInterval(() => this.#tick(), 1000);
  }

  stop() {
    clearInterval(this.timer);
    for (const kind of SIGNS) removeEventListener(kind, this.sign, { capture: true });
  }

  get ms() {
    return Math.round(this.active);
  }

  #alive() {
    this.lastSign = performance.now();
    // Back at a page whose time is short or over: hold the item again at once.
    if (this.left < this.warn && this.lastSign - this.lastBeat > AGAIN) this.beat();
  }

  #tick() {
    const now = performance.now();
    const passed = Math.min(now - this.lastTick, 5000); // a computer that slept was not at work
    this.left -= (now - this.lastTick) / 1000;
    this.lastTick = now;
    const isActive = !document.hidden && now - this.lastSign < IDLE;
    if (isActive) this.active += passed;
    this.sinceBeat += passed / 1000;
    if (now - this.lastSign < this.every * 1000 + IDLE && this.sinceBeat >= this.every) this.beat();
    else if (this.left <= 0) this.heard({ state: "expired", seconds: 0 });
    else if (this.left < this.warn) this.heard({ state: "warning", seconds: Math.round(this.left) });
  }

  /** Tell the server that someone is here. */
  async beat() {
    if (this.beating) return;
    this.beating = true;
    this.sinceBeat = 0;
    this.lastBeat = performance.now();
    try {
      const held = await api("POST", `${this.path}/heartbeat`, { active_ms: this.ms });
      this.left = held.seconds_left;
      this.heard({ state: STATES[held.state] ?? "expired", seconds: held.seconds_left });
    } catch {
      // Not reached, or refused: the time that is left goes on running out.
    } finally {
      this.beating = false;
    }
  }
}

const STATES = { leased: "leased", submitted: "elsewhere", skipped: "elsewhere" };
const SIGNS = ["pointerdown", "pointermove", "keydown", "scroll", "wheel", "touchstart"];
