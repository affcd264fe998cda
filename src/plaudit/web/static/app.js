// What every page uses: requests, messages, dialogs, forms, safe HTML. Loaded by base.html.

const meta = (name) => document.querySelector(`meta[name="${name}"]`);
export const user = meta("user")?.content ?? null;

// HTML that the server has sanitised; nothing else may pass (the policy is the only one the CSP allows).
const policy = window.trustedTypes?.createPolicy("plaudit", { createHTML: (html) => html }) ?? {
  createHTML: (html) => html,
};

/** Put HTML that the server sanitised into an element. Never for text that came from anywhere else. */
export function setHtml(element, html) {
  element.innerHTML = policy.createHTML(html);
}

// Marks that turn the direction of text around: on a page they are written out, as in templates (feedback/store/confusables.py).
const TURNING = { "\u202a": "LRE", "\u202b": "RLE", "\u202c": "PDF", "\u202d": "LRO", "\u202e": "RLO", "\u2066": "LRI", "\u2067": "RLI", "\u2068": "FSI", "\u2069": "PDI", "\u200e": "LRM", "\u200f": "RLM", "\u061c": "ALM" };

/** Text with its turning marks written out; what is no text stays what it is. */
export const marked = (text) => (typeof text === "string" ? text.replace(/[\u202a-\u202e\u2066-\u2069\u200e\u200f\u061c]/g, (c) => `⟨${TURNING[c]}⟩`) : text);

/** An element: el("p", {class: "soft", onclick: f}, "text", child). Text is text, never HTML; a field's text is as it is. */
export function el(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (name === "class") made.className = value;
    else if (value === true) made.setAttribute(name, "");
    else made.setAttribute(name, name === "title" || name === "aria-label" ? marked(value) : value);
  }
  const shown = tag === "textarea" ? (c) => c : marked;
  made.append(...children.flat().filter((c) => c !== null && c !== undefined && c !== false).map(shown));
  return made;
}

export const reducedMotion = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

// Requests

export class ApiError extends Error {
  constructor(status, { code, message, problems = [] }, body = null, wait = 0) {
    super(message);
    Object.assign(this, { status, code, problems, body, wait });
  }
  /** Worth trying again: no answer, or one that says nothing about the request. */
  get passing() {
    return this.status === 0 || this.status === 429 || this.status >= 500;
  }
}

/**
 * A request with JSON in and out. Throws ApiError {status, code, message, problems, body}; status 0 means that no
 * answer came; wait is how many seconds the server asks for. Signed out meanwhile: a dialog asks to sign in in another tab, and the request is sent again.
 */
export async function api(method, path, body = undefined, { headers = {}, timeout = 20000, ask = true, stale = true } = {}) {
  const answer = await send(method, path, body, headers, timeout);
  if (answer.ok) return answer.status === 204 ? null : answer.json();
  const found = await answer.json().catch(() => null);
  const error = new ApiError(answer.status, found?.error ?? unexplained(answer.status), found, Number(answer.headers.get("retry-after")) || 0);
  const again = { headers, timeout, ask, stale: false };
  if (error.code === "csrf" && user && stale) {
    // The session is another one: of the same person, who signed in anew, or of someone else.
    const found = await refreshed();
    if (found === "other" && ask) await signedInAgain();
    if (found === "same" || (found === "other" && ask)) return api(method, path, body, again);
  }
  if (error.status === 401 && user && ask) {
    await signedInAgain();
    return api(method, path, body, again);
  }
  throw error;
}

/** As api, sent again a few times while the server is too busy to begin. */
export async function patient(...request) {
  for (let tries = 1; ; tries++) {
    try {
      return await api(...request);
    } catch (error) {
      if (error.code !== "busy" || tries === 6) throw error;
      const wait = error.wait * 1000 * (0.5 + Math.random());
      await new Promise((resolve) => setTimeout(resolve, wait));
    }
  }
}

async function send(method, path, body, headers, timeout) {
  const all = { "x-csrf-token": meta("csrf")?.content ?? "", ...headers };
  if (body !== undefined) all["content-type"] = "application/json";
  try {
    return await fetch(path, {
      method,
      headers: all,
      body: body === undefined ? undefined : JSON.stringify(body),
      signal: AbortSignal.timeout(timeout),
      credentials: "same-origin",
    });
  } catch {
    throw new ApiError(0, { code: "offline", message: "the server cannot be reached" });
  }
}

const unexplained = (status) => ({ code: "http", message: `the server answered with ${status}` });

/** Take up the session that the browser has now: "same" person, "other", or "none". */
async function refreshed() {
  const answer = await send("GET", "/api/me", undefined, {}, 20000).catch(() => null);
  if (!answer?.ok) return "none";
  const me = await answer.json();
  if (me.name !== user) return "other";
  meta("csrf").content = me.csrf;
  return "same";
}

let asking = null;

/** Resolves when the person is signed in again; the page and what was done on it stay. */
export function signedInAgain() {
  asking ??= new Promise((resolve) => {
    const words = el("p", { role: "status" });
    const box = dialog({
      title: "You are signed out",
      content: [
        el("p", {}, "Nothing is lost: what you did on this page is kept here. Sign in in another tab, then come back."),
        words,
      ],
      actions: [
        el("button", { class: "button", type: "button", onclick: () => look(true) }, "I have signed in"),
        el("a", { class: "button primary", href: "/sign-in?next=/account", target: "_blank", rel: "opener" }, "Sign in in a new tab"),
      ],
      closable: false,
    });
    const look = async (asked) => {
      const found = await refreshed();
      if (found === "same") done();
      else if (found === "other") words.textContent = `Someone else is signed in now. This page is ${user}’s: sign in as ${user}.`;
      else if (asked) words.textContent = "Not yet: sign in in the other tab first. A sign-in link works too.";
    };
    const onFocus = () => look(false);
    const channel = new BroadcastChannel("plaudit");
    channel.onmessage = onFocus;
    addEventListener("focus", onFocus);
    const done = () => {
      removeEventListener("focus", onFocus);
      channel.close();
      asking = null;
      box.close();
      resolve();
    };
    box.showModal();
  });
  return asking;
}

/** Tell the other tabs that someone signed in here. */
export function tellSignedIn() {
  const channel = new BroadcastChannel("plaudit");
  channel.postMessage("signed in");
  channel.close();
}

/** Only paths on this site; everything else leads home. */
export function ownPath(path, otherwise = "/") {
  return /^\/(?![/\\])/.test(path ?? "") && !/[\x00-\x1f\\]/.test(path) ? path : otherwise;
}

// Messages

/** Say something to screen readers. */
export function announce(text) {
  const live = document.getElementById("live");
  live.textContent = "";
  setTimeout(() => (live.textContent = text), 40);
}

/** A short message that goes by itself. ``action``: {label, run}. Returns a function that takes it away. */
export function toast(text, { action = null, seconds = action ? 20 : 6 } = {}) {
  const gone = () => made.remove();
  const made = el(
    "div",
    { class: "toast" },
    el("span", {}, text),
    action && el("button", { type: "button", onclick: () => (gone(), action.run()) }, action.label),
    el("button", { type: "button", class: "close", "aria-label": "Close this message", onclick: gone }, "×"),
  );
  const shelf = document.getElementById("toasts");
  while (shelf.children.length > 2) shelf.firstElementChild.remove();
  shelf.append(made);
  // Whoever reads it or stands on it keeps it.
  const later = () => setTimeout(() => (made.matches(":hover, :focus-within") ? later() : gone()), seconds * 1000);
  later();
  return gone;
}

// Dialogs

let count = 0;

/** A native dialog, not yet shown; it removes itself when closed, and the browser returns the focus. */
export function dialog({ title, content = [], actions = [], closable = true, broad = false }) {
  const id = `dialog-${++count}`;
  const box = el(
    "dialog",
    { class: `dialog${broad ? " broad" : ""}`, "aria-labelledby": id },
    el("h2", { id }, title),
    el("div", { class: "stack" }, content),
    actions.length > 0 && el("div", { class: "actions" }, actions),
  );
  if (!closable) {
    box.setAttribute("closedby", "none");
    // Browsers that do not know the attribute let a second Escape through.
    box.addEventListener("cancel", (event) => event.preventDefault());
    box.addEventListener("keydown", (event) => event.key === "Escape" && event.preventDefault());
  }
  box.addEventListener("close", () => box.remove());
  document.body.append(box);
  return box;
}

/** Ask yes or no. Resolves to whether it was confirmed. */
export function confirmDialog({ title, text, confirm = "Yes", cancel = "Cancel", danger = false }) {
  return new Promise((resolve) => {
    let said = false;
    const yes = el("button", { class: `button primary${danger ? " danger" : ""}`, type: "button" }, confirm);
    const no = el("button", { class: "button", type: "button" }, cancel);
    const box = dialog({ title, content: [el("p", {}, text)], actions: [no, yes] });
    yes.addEventListener("click", () => ((said = true), box.close()));
    no.addEventListener("click", () => box.close());
    box.addEventListener("close", () => resolve(said));
    box.showModal();
    (danger ? no : yes).focus();
  });
}

// Forms

/** The form's values by name: text trimmed at the ends, numbers as numbers, checkboxes as true or false. */
export function values(form) {
  const found = {};
  for (const field of form.elements) {
    if (!field.name || field.disabled) continue;
    if (field.type === "checkbox" && field.dataset.list !== undefined) {
      found[field.name] ??= [];
      if (field.checked) found[field.name].push(field.value);
    } else if (field.type === "checkbox") found[field.name] = field.checked;
    else if (field.type === "radio") field.checked && (found[field.name] = field.value);
    else if (field.type === "number") found[field.name] = field.value === "" ? null : Number(field.value);
    else found[field.name] = field.type === "password" ? field.value : field.value.trim();
  }
  return found;
}

/** Show an error at the fields it speaks of, the rest above the form; focus goes to the first of them. */
export function showProblems(form, error) {
  clearProblems(form);
  const rest = [];
  let first = null;
  for (const problem of error.problems ?? []) {
    const field = problem.field && form.elements.namedItem(problem.field);
    const input = field instanceof RadioNodeList ? field[0] : field;
    const place = input?.closest?.(".field");
    if (!place) {
      rest.push(problem.field ? `${problem.field}: ${problem.message}` : problem.message);
      continue;
    }
    fieldError(input, problem.message);
    first ??= input;
  }
  if (rest.length || !first) {
    const words = rest.length ? rest : [sentence(error.message)];
    form.prepend(el("div", { class: "notice bad form-problem", role: "alert" }, words.map((w) => el("p", {}, w))));
  }
  first?.focus();
}

/** An error beside one input; an empty message takes it away. */
export function fieldError(input, message) {
  const place = input.closest(".field");
  let words = place.querySelector(":scope > .error");
  if (!words) place.append((words = el("p", { class: "error", id: `${input.id || input.name}-error` })));
  words.textContent = marked(message);
  const ids = (input.getAttribute("aria-describedby") ?? "").split(" ").filter((id) => id && id !== words.id);
  if (message) ids.push(words.id);
  if (ids.length) input.setAttribute("aria-describedby", ids.join(" "));
  else input.removeAttribute("aria-describedby");
  if (message) input.setAttribute("aria-invalid", "true");
  else input.removeAttribute("aria-invalid");
}

export function clearProblems(form) {
  form.querySelectorAll(".form-problem").forEach((n) => n.remove());
  for (const input of form.querySelectorAll("[aria-invalid]")) fieldError(input, "");
}

/** Run ``send(values)`` when the form is submitted: once at a time, problems shown where they belong. */
export function onSubmit(form, send) {
  form.noValidate = true;
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const button = event.submitter ?? form.querySelector('[type="submit"]');
    if (button?.getAttribute("aria-busy") === "true") return;
    button?.setAttribute("aria-busy", "true");
    clearProblems(form);
    try {
      await send(values(form), event);
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      showProblems(form, error);
    } finally {
      button?.removeAttribute("aria-busy");
    }
  });
}

/** A message of the server as a sentence. */
export const sentence = (text) => (text ? text[0].toUpperCase() + text.slice(1) + (/[.!?]$/.test(text) ? "" : ".") : "");

/** Copy text; tells whether it worked. */
export async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    toast("Copied");
    return true;
  } catch {
    toast("Could not copy: select the text and copy it by hand");
    return false;
  }
}

// This browser's own memory, which may be full or forbidden.

export const memory = {
  get(key) {
    try {
      return JSON.parse(localStorage.getItem(`plaudit:${key}`));
    } catch {
      return null;
    }
  },
  set(key, value) {
    try {
      localStorage.setItem(`plaudit:${key}`, JSON.stringify(value));
      return true;
    } catch {
      return false;
    }
  },
  remove(key) {
    try {
      localStorage.removeItem(`plaudit:${key}`);
    } catch {
      // nothing was kept
    }
  },
  keys(prefix) {
    try {
      const all = Object.keys(localStorage).filter((k) => k.startsWith(`plaudit:${prefix}`));
      return all.map((k) => k.slice("plaudit:".length));
    } catch {
      return [];
    }
  },
};

// The header

const menu = document.querySelector(".menu");
document.addEventListener("click", (event) => menu?.open && !menu.contains(event.target) && (menu.open = false));
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape" || !menu?.open) return;
  menu.open = false;
  menu.querySelector("summary").focus();
});
document.querySelector("[data-sign-out]")?.addEventListener("click", async () => {
  if (memory.keys("outbox:").length) {
    const sure = await confirmDialog({
      title: "Sign out now?",
      text: "A judgement on this computer has not reached the server yet. It is sent when you sign in here again.",
      confirm: "Sign out",
      cancel: "Stay",
    });
    if (!sure) return;
  }
  try {
    await api("POST", "/api/sign-out", undefined, { ask: false });
  } catch (error) {
    if (error.status !== 401) return void toast(sentence(error.message));
  }
  for (const key of memory.keys("draft:")) memory.remove(key);
  location.assign("/sign-in");
});
