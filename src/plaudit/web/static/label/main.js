// The labeler's page: an item, then the next.

import { ApiError, announce, api, el, memory, sentence, toast } from "../app.js";
import { Clock, spent } from "./clock.js";
import { askSkip, askUntouched, review, showFeedback } from "./dialogs.js";
import { Draft } from "./draft.js";
import { toggle } from "./extras.js";
import { Guide } from "./guide.js";
import { itemView } from "./item.js";
import * as keys from "./keys.js";
import { flush, isKept, send } from "./outbox.js";
import { Verdict } from "./verdict.js";

const work = document.getElementById("work");
const place = document.getElementById("item");
const { slug, reasons, help, guidelines, mustRead } = JSON.parse(document.getElementById("setup").textContent);
const root = `/api/projects/${slug}`;
const guide = new Guide(root);
const told = { text: document.getElementById("progress"), time: document.getElementById("time"), notice: document.getElementById("notice") };
let forget = () => {}; // takes away the last "Saved"
let current = null; // {task, verdict, view, draft, clock, editing}
let turn = 0; // counts what was asked for: an answer that comes after a later question is not shown

// Items

/** The next item, or why there is none. */
async function next() {
  leave();
  const asked = ++turn;
  let claimed;
  try {
    claimed = await api("POST", `${root}/claim`, {});
  } catch (error) {
    if (asked !== turn) return;
    return error.code === "guidelines_unread" ? guide.read(place).then(next, refused) : refused(error);
  }
  if (asked !== turn) return;
  progress(claimed.progress);
  if (claimed.task) return open(claimed.task);
  return claimed.why === "wait" ? waiting(claimed.seconds) : finished();
}

function open(task, editing = false) {
  if (task.hidden && !editing) return hidden(task);
  if (!editing && task.guideline_version !== guide.version) {
    guide.load().catch(() => {});
    if (guide.version) toast("The guidelines have changed: they stand beside the item.");
  }
  const path = `${root}/assignments/${task.assignment}`;
  const verdict = new Verdict(task);
  const actions = { submit: () => submit(), skip: () => skip(), stop, undo: () => current?.sending || verdict.undo(), cancel: () => (history.replaceState(null, "", `/p/${slug}`), next()) };
  const view = itemView(task, verdict, actions, { editing });
  current = { task, path, verdict, view, editing };
  if (!editing) {
    current.draft = new Draft(path, task, verdict, (state) => view.say(SAVED[state]));
    current.clock = new Clock(path, task, lease);
    if (current.draft.from) view.say("Your draft is back");
    if (current.draft.other) offerOther(current.draft);
  }
  place.replaceChildren(view.element);
  scrollTo(0, 0);
  view.heading.focus({ preventScroll: true });
  document.title = `${view.heading.textContent} · plaudit`;
}

const SAVED = { saving: "Saving …", saved: "Draft saved", "kept here": "Draft kept on this computer", elsewhere: "Judged in another window" };

function offerOther(draft) {
  const other = draft.other;
  toast("A newer draft from another window is shown.", { action: { label: "Use this window’s", run: () => current?.verdict.restore(other) } });
}

function leave() {
  current?.clock?.stop();
  told.notice.hidden = true;
  current = null;
}

/** Someone's own judgement, to be changed. */
async function edit(assignment) {
  if (current?.sending) return;
  const asked = ++turn;
  try {
    const task = await api("GET", `${root}/assignments/${assignment}`);
    if (asked !== turn) return;
    if (!task.editable) {
      toast("This judgement can no longer be changed.");
      return next();
    }
    leave();
    progress(task.progress);
    return open(task, true);
  } catch (error) {
    return refused(error);
  }
}

// What one does with an item

async function submit({ reviewed = false } = {}) {
  const { task, path, verdict, view, draft, clock, editing } = current;
  if (current.sending) return;
  const missing = verdict.missing();
  if (missing.length) return view.complain(missing);
  if (verdict.untouched && !editing && !reviewed && !(await askUntouched(verdict.summary()))) return;
  current.sending = true;
  view.busy(true);
  try {
    const body = verdict.body(clock?.ms ?? 0);
    const waiting = (is, error) => {
      if (is) notice(`${trouble(error)} Your judgement is kept on this computer and sent as soon as the server answers.`, "warn");
      else told.notice.hidden = true;
      view.freeze(is);
    };
    const done = await send(path, task.assignment, editing ? "revise" : "submit", body, { waiting, before: () => draft?.hold() });
    draft?.end();
    progress(done.progress);
    announce("Saved");
    forget();
    if (done.feedback) await showFeedback(done.feedback);
    else if (!editing) forget = toast(done.surplus ? "Saved, as an extra to what others said" : "Saved", { action: { label: "Undo", run: () => edit(task.assignment) } });
    else forget = toast("Your change is saved");
    if (editing) history.replaceState(null, "", `/p/${slug}`);
    return next();
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    current.sending = false;
    view.busy(false);
    if (error.code === "already_judged") {
      draft?.end();
      toast(sentence(error.message));
      return next();
    }
    draft?.resume();
    notice([error.message, ...error.problems.map((p) => p.message)].map(sentence).join(" "), "bad");
  }
}

/** Why a judgement waits. */
const trouble = (error) => (error.wait ? sentence(error.message) : "Waiting for the connection.");

async function skip(reason) {
  const said = await askSkip(reasons, reason);
  if (said) await pass("skip", said, "Skipped");
}

/** One key, without a question, on what is hard to read; anything else is skipped in the usual way. */
function stop() {
  if (current && !current.task.sensitivity) return skip("sensitive");
  return pass("stop-showing", undefined, "Skipped. You will be shown nothing as sensitive; Account changes that.");
}

async function pass(action, body, words) {
  if (current?.sending) return;
  const path = current?.path ?? `${root}/assignments/${waitingToShow}`;
  try {
    await api("POST", `${path}/${action}`, body);
  } catch (error) {
    return notice(sentence(error.message), "bad");
  }
  current?.draft?.end();
  toast(words);
  return next();
}

function lease({ state, seconds }) {
  const { clock } = current ?? {};
  told.time.textContent = clock ? spent(clock.ms) : "";
  // Something else that is being said stays; and no voice should count seconds.
  if (!told.notice.hidden && told.notice.dataset.of !== "lease") return;
  const soon = Math.max(15, 15 * Math.round(seconds / 15));
  if (state === "leased") told.notice.hidden = true;
  else if (state === "warning") notice(`This item goes back in about ${soon} seconds. Move, or press a key, to keep it.`, "warn", "lease");
  else if (state === "elsewhere") notice("You have judged or skipped this item in another window. Reload the page for the next one.", "info", "lease");
  else notice("This item went back, so that others can judge it. Go on if you like: your draft is kept, and your answer is still welcome.", "info", "lease");
}

// What one sees instead of an item

let waitingToShow = null;

function hidden(task) {
  waitingToShow = task.assignment;
  const show = el("button", { class: "button primary large", type: "button" }, "Show it");
  show.addEventListener("click", async () => {
    try {
      await api("POST", `${root}/assignments/${task.assignment}/reveal`);
    } catch (error) {
      return notice(sentence(error.message), "bad");
    }
    told.notice.hidden = true;
    open({ ...task, hidden: false });
  });
  message(
    `Sensitive content, level ${task.sensitivity} of 3`,
    [
      el("p", {}, "The prompt and the answers are hidden until you ask for them. You may skip this item, and you may stop seeing such items altogether: neither counts against you."),
      help && el("p", { class: "soft" }, help),
      el("div", { class: "veil", "aria-hidden": "true" }),
    ],
    [show, el("button", { class: "button", type: "button", onclick: () => skip() }, "Skip"), el("button", { class: "button", type: "button", title: "x", onclick: stop }, "Stop showing me this")],
  );
}

function message(title, content, actions = []) {
  const heading = el("h1", { tabindex: "-1" }, title);
  place.replaceChildren(el("div", { class: "message stack" }, heading, content.filter(Boolean), actions.length > 0 && el("div", { class: "cluster" }, actions)));
  heading.focus();
}

const finished = () =>
  message("Nothing is left for you", [el("p", { class: "lead" }, "Every item that is open to you has been judged or skipped. Thank you."), el("p", {}, el("a", { href: `/p/${slug}/history` }, "Look at your judgements"))]);

function waiting(seconds) {
  const wait = Math.min(60, Math.max(3, seconds));
  message("Others are at the last items", [el("p", { class: "lead" }, "Some may come back. This page looks again by itself.")]);
  later(wait * 1000);
}

/** Ask again in a while, unless something else has been asked for meanwhile. */
function later(ms) {
  const asked = turn;
  setTimeout(() => asked === turn && next(), ms);
}

function refused(error) {
  if (error.passing) {
    const words = error.wait ? sentence(error.message.split(":")[0]) : "The server cannot be reached";
    message(words.replace(/\.$/, ""), [el("p", { class: "lead" }, "This page tries again by itself. Nothing that you did is lost.")]);
    return later(Math.max(4000, 1000 * error.wait));
  }
  const words = { project_paused: "The project is paused", project_closed: "The project is closed" }[error.code] ?? "This did not work";
  return message(words, [el("p", { class: "lead" }, sentence(error.message)), error.code?.startsWith("project_") && el("p", {}, "What you have judged is kept.")], [
    el("button", { class: "button", type: "button", onclick: next }, "Look again"),
  ]);
}

function notice(text, tone, of = "") {
  told.notice.className = `notice ${tone}`;
  told.notice.dataset.of = of;
  if (told.notice.textContent !== text) told.notice.textContent = text;
  told.notice.hidden = false;
}

function progress({ today, total, left }) {
  told.text.textContent = `${today} today · ${total} in all · ${left} open to you`;
}

// Keys

function onKey(key) {
  if (key === "?") return keys.help(current?.verdict.isPair ? "pair" : "ranking"), true;
  if (key === "g") return guide.toggle(), true;
  if (!current) {
    const act = place.querySelector(".veil") && { x: stop, s: skip }[key];
    return act ? (act(), true) : false;
  }
  if (current.sending) return false;
  const { verdict, view, task, editing } = current;
  if (key === "Enter") return look(), true;
  if (key === "z") return verdict.undo() ? announce(`Undone. ${verdict.summary()}`) : announce("Nothing to undo"), true;
  if (key === "b" && task.form.all_bad) return toggle(verdict, "allBad"), announce(verdict.summary()), true;
  if (key === "n" && task.form.not_rankable) return toggle(verdict, "notRankable"), announce(verdict.summary()), true;
  if (key === "s" && !editing) return skip(), true;
  if (key === "x" && !editing) return stop(), true;
  if (verdict.isPair) {
    if (key === "[" || key === "]") return announce(view.ask.step(key === "[" ? -1 : 1)), true;
    const side = { 1: task.form.strength ? -2 : -1, 2: task.form.strength ? 2 : 1, "=": 0 }[key];
    return side === undefined ? false : (view.ask.choose(side), announce(verdict.summary()), true);
  }
  if (key >= "1" && key <= "9") return view.focusAnswer(Number(key) - 1);
  if (key === "=" && task.form.ties) {
    const letter = view.ask.focused();
    return letter ? (view.ask.act(letter, "tie"), true) : false;
  }
  return false;
}

async function look() {
  const missing = current.verdict.missing();
  if (missing.length) return current.view.complain(missing);
  if (current.verdict.untouched && !current.editing) return submit();
  if (await review(current.verdict)) return submit({ reviewed: true });
}

// Start

keys.listen(onKey);
document.getElementById("help-button").addEventListener("click", () => keys.help(current?.verdict.isPair === false ? "ranking" : "pair"));
setInterval(() => current?.clock && (told.time.textContent = spent(current.clock.ms)), 1000);
addEventListener("beforeunload", (event) => {
  if ((current?.sending && !isKept(current.task.assignment)) || (current?.draft?.dirty && memory.get(current.draft.name) === null)) event.preventDefault();
});
work.hidden = false;
if (guidelines) await guide.load().catch(() => {});
const sent = await flush((is, error) => is && notice(`${trouble(error)} An earlier judgement waits to be sent.`, "warn"));
if (sent) toast("An earlier judgement has been sent.");
told.notice.hidden = true;
const wanted = new URLSearchParams(location.search).get("edit");
if (wanted) edit(wanted);
else if (mustRead && guide.unread) guide.read(place).then(next, refused);
else next();
