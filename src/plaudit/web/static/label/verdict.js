// What the labeler says of one item, with undo; turned into what the API takes.

import { asShown, same } from "./ranking.js";

export const STRENGTH = { 1: "slightly better", 2: "better", 3: "clearly better", 4: "much better" };

/** Everything on the form. ``side``: pairs only, −4 (A much better) to 4 (B much better), 0 a tie, null nothing yet. */
const blank = (letters) => ({
  groups: asShown(letters),
  side: null,
  touched: false,
  allBad: false,
  notRankable: false,
  confidence: null,
  rationale: "",
  attributes: {},
});

export class Verdict extends EventTarget {
  constructor(task) {
    super();
    this.task = task;
    this.letters = task.answers.map((answer) => answer.key);
    this.isPair = task.form.kind === "pair";
    this.now = task.judgement ? this.#stored(task.judgement) : blank(this.letters);
    this.past = [];
  }

  /** Change some of it. ``typing`` changes are one step of undo together with the one before. */
  change(part, { typing = false } = {}) {
    const next = { ...this.now, ...part };
    if (same(next, this.now)) return false;
    if (!(typing && this.typing)) this.past.push(this.now);
    this.typing = typing;
    this.now = next;
    this.dispatchEvent(new Event("change"));
    return true;
  }

  rank(groups) {
    return !same(groups, this.now.groups) && this.change({ groups, touched: true, notRankable: false });
  }

  undo() {
    if (!this.past.length) return false;
    this.now = this.past.pop();
    this.typing = false;
    this.dispatchEvent(new Event("change"));
    return true;
  }

  /** Take up a draft; parts that do not fit this item are left as they are. */
  restore(draft) {
    const fits = Array.isArray(draft?.groups) && same(draft.groups.flat().sort(), [...this.letters].sort());
    this.now = { ...this.now, ...draft, groups: fits ? draft.groups : this.now.groups };
    this.past = [];
    this.dispatchEvent(new Event("change"));
  }

  get untouched() {
    return !this.isPair && !this.now.touched && !this.now.notRankable;
  }

  /** What is still missing, in words, with the place to go to. */
  missing() {
    const { form } = this.task;
    const found = [];
    if (this.now.notRankable) return this.#rationale();
    if (this.isPair && this.now.side === null) found.push({ field: "side", words: "Say which answer is better." });
    for (const attribute of form.attributes) {
      if (!attribute.required) continue;
      const given = this.now.attributes[attribute.name] ?? {};
      const wanted = attribute.per === "item" ? ["*"] : this.letters;
      const left = wanted.filter((letter) => given[letter] === undefined);
      if (left.length) {
        const where = attribute.per === "item" ? "" : ` answer ${left.join(", ")}`;
        found.push({ field: `${attribute.name}-${left[0]}`, words: `Rate${where} on “${attribute.label || attribute.name}”.` });
      }
    }
    return [...found, ...this.#rationale()];
  }

  #rationale() {
    const asked = this.task.form.rationale === "required" && !this.now.rationale.trim();
    return asked ? [{ field: "rationale", words: "Say why, in a few words." }] : [];
  }

  /** The body of a judgement. */
  body(activeMs) {
    const { now } = this;
    const [a, b] = this.letters;
    let { groups } = now;
    if (this.isPair) groups = now.side === 0 ? [[a, b]] : now.side < 0 ? [[a], [b]] : [[b], [a]];
    const strength = this.isPair && this.task.form.strength && now.side ? Math.abs(now.side) : null;
    return {
      groups: now.notRankable ? [] : groups,
      strength: now.notRankable ? null : strength,
      all_bad: now.allBad && !now.notRankable,
      not_rankable: now.notRankable,
      untouched: this.untouched,
      confidence: now.confidence,
      rationale: now.rationale,
      attributes: now.attributes,
      active_ms: activeMs,
      guideline_version: this.task.guideline_version,
      client: { width: innerWidth, touch: matchMedia("(pointer: coarse)").matches },
    };
  }

  /** In words, for the bar and the review. */
  summary() {
    const { now } = this;
    if (now.notRankable) return "Not rankable";
    const bad = now.allBad ? (this.isPair ? ", both bad" : ", all bad") : "";
    if (!this.isPair) return now.groups.map((group) => group.join(" = ")).join(" › ") + bad;
    if (now.side === null) return "Nothing chosen yet";
    if (now.side === 0) return `A and B are equally good${bad}`;
    const how = this.task.form.strength ? STRENGTH[Math.abs(now.side)] : "better";
    return `${now.side < 0 ? "A" : "B"} is ${how}${bad}`;
  }

  #stored(judgement) {
    const made = blank(this.letters);
    const { groups } = judgement;
    if (groups.length) made.groups = groups;
    if (this.isPair && groups.length) {
      made.side = groups.length === 1 ? 0 : (judgement.strength ?? 1) * (groups[0][0] === this.letters[0] ? -1 : 1);
    }
    return {
      ...made,
      touched: !judgement.untouched,
      allBad: judgement.all_bad,
      notRankable: judgement.not_rankable,
      confidence: judgement.confidence,
      rationale: judgement.rationale,
      attributes: judgement.attributes,
    };
  }
}
