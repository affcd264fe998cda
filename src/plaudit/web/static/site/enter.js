// A one-time link or an invitation. The token stands behind #; it leaves the address bar at once.

import { ApiError, api, el, onSubmit, patient, sentence, tellSignedIn } from "../app.js";

const place = document.getElementById("enter");
const token = location.hash.slice(1);
const least = Number(place.dataset.leastPassword);
history.replaceState(null, "", location.pathname);
// Another link opened over this page changes only what stands behind #.
addEventListener("hashchange", () => location.reload());

const entered = () => {
  tellSignedIn();
  location.assign("/");
};

function say(title, ...content) {
  const heading = el("h1", { tabindex: "-1" }, title);
  place.replaceChildren(heading, ...content);
  heading.focus();
}

function login(found) {
  const button = el("button", { class: "button primary large", type: "submit" }, `Sign in as ${found.name}`);
  const form = el("form", { class: "form" }, el("p", { class: "lead" }, "This link works once."), el("p", {}, button));
  onSubmit(form, async () => {
    await api("POST", "/api/links/enter", { token }, { ask: false });
    entered();
  });
  say("Sign in", form);
  button.focus();
}

async function invitation(found) {
  // This page is open to anyone, and is not told who looks at it.
  const me = await api("GET", "/api/me", undefined, { ask: false }).catch(() => null);
  const role = { labeler: "a labeler", reviewer: "a reviewer", owner: "an owner" }[found.role];
  const form = el(
    "form",
    { class: "form" },
    el("p", { class: "lead" }, `You are invited to “${found.project}” as ${role}.`),
    el("div", { class: "field" }, el("label", { for: "name" }, "Your name"), el("input", { id: "name", name: "name", autocomplete: "username", required: true, maxlength: "80" }), el("p", { class: "help" }, "The owners of the project see it. Others, and the data, see a pseudonym.")),
    el("div", { class: "field" }, el("label", { for: "password" }, "Password ", el("span", { class: "optional" }, "(optional)")), el("input", { id: "password", name: "password", type: "password", autocomplete: "new-password", maxlength: "200" }), el("p", { class: "help" }, `At least ${least} characters. Without one you stay signed in on this browser for two weeks, and need a new link after that.`)),
    el("p", {}, el("button", { class: "button primary large", type: "submit" }, "Join")),
  );
  onSubmit(form, async ({ name, password }) => {
    await patient("POST", "/api/links/join", { token, name, password: password || null }, { ask: false });
    entered();
  });
  if (!me) return say("Welcome", form);
  const button = el("button", { class: "button primary large", type: "button" }, `Join as ${me.name}`);
  button.addEventListener("click", async () => {
    try {
      await api("POST", "/api/links/accept", { token }, { ask: false, headers: { "x-csrf-token": me.csrf } });
      entered();
    } catch (error) {
      say("This did not work", el("p", { class: "lead" }, sentence(error.message)));
    }
  });
  const other = el("details", { class: "more" }, el("summary", {}, `I am not ${me.name}`), form);
  say("Welcome", el("p", { class: "lead" }, `You are invited to “${found.project}” as ${role}.`), el("p", {}, button), other);
}

if (!token) {
  say("A link is missing", el("p", { class: "lead" }, "Open the whole link that you were sent, up to its last letter."));
} else {
  try {
    const found = await api("POST", "/api/links/look", { token }, { ask: false });
    if (found.kind === "login") login(found);
    else await invitation(found);
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    say("This link does not work", el("p", { class: "lead" }, error.status === 404 ? "It was used before, is too old, or is not whole. Ask for a new one." : sentence(error.message)), el("p", {}, el("a", { class: "button", href: "/sign-in" }, "Sign in with a password")));
  }
}
