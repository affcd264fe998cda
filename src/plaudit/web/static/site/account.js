// Password, what one is willing to see, API tokens, signing out everywhere.

import { api, confirmDialog, copy, el, onSubmit, sentence, toast } from "../app.js";

const me = await api("GET", "/api/me");

// Password
const password = document.getElementById("password-form");
password.querySelector(".old").hidden = !me.has_password;
password.querySelector("h2").textContent = me.has_password ? "Change your password" : "Set a password";
onSubmit(password, async (values) => {
  await api("POST", "/api/me/password", { password: values.password, old: me.has_password ? values.old : null });
  me.has_password = true;
  password.reset();
  password.querySelector(".old").hidden = false;
  toast("Your password is set. You are signed out everywhere else.");
});

// Sensitivity, per project
const LEVELS = ["Nothing sensitive", "Mildly sensitive", "Sensitive", "Everything"];
document.getElementById("levels").replaceChildren(
  ...me.projects.map((project) => {
    const choices = LEVELS.map((words, level) => {
      const input = el("input", { type: "radio", name: `level-${project.slug}`, value: String(level), checked: level === project.max_sensitivity });
      input.addEventListener("change", async () => {
        try {
          await api("POST", `/api/projects/${project.slug}/my/sensitivity`, { level });
          toast("Saved");
        } catch (error) {
          toast(sentence(error.message));
        }
      });
      return el("label", {}, input, el("span", {}, words));
    });
    return el("fieldset", { class: "field" }, el("legend", { class: "label" }, project.title), el("div", { class: "segments" }, choices));
  }),
);
if (!me.projects.length) document.getElementById("levels").textContent = "You have no project.";

// Tokens
const list = document.getElementById("tokens");
const day = (seconds) => (seconds ? new Date(seconds * 1000).toLocaleDateString([], { dateStyle: "medium" }) : "–");

async function showTokens() {
  const tokens = await api("GET", "/api/me/tokens");
  list.replaceChildren(
    tokens.length
      ? el("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Your tokens" },
          el("table", { class: "table" },
            el("thead", {}, el("tr", {}, ["Name", "May", "Ends in", "Expires", "Last used"].map((w) => el("th", { scope: "col" }, w)), el("th", { scope: "col" }, el("span", { class: "away" }, "Revoke")))),
            el("tbody", {}, tokens.map((t) => el("tr", {}, el("td", { class: "text" }, t.name), el("td", { class: "text" }, t.scopes.join(", ")), el("td", {}, el("code", {}, `…${t.last4}`)), el("td", { class: "nowrap" }, day(t.expires)), el("td", { class: "nowrap" }, day(t.last_used)), el("td", {}, el("button", { class: "button small danger", type: "button", onclick: () => revoke(t) }, "Revoke")))))))
      : el("p", { class: "soft" }, "You have no tokens."),
  );
}

async function revoke(token) {
  if (!(await confirmDialog({ title: `Revoke “${token.name}”?`, text: "Programs that use it stop working at once.", confirm: "Revoke", danger: true }))) return;
  try {
    await api("DELETE", `/api/me/tokens/${token.id}`);
  } catch (error) {
    toast(sentence(error.message));
  }
  showTokens();
}

const form = document.getElementById("token-form");
onSubmit(form, async ({ name, scopes, days }) => {
  const made = await api("POST", "/api/me/tokens", { name, scopes: scopes ?? [], days });
  form.reset();
  const shown = document.getElementById("new-token");
  shown.replaceChildren(
    el("div", { class: "notice ok" }, el("strong", {}, "Copy it now: it is not shown again."), el("div", { class: "secret" }, el("code", { tabindex: "0" }, made.token), el("button", { class: "button small", type: "button", onclick: () => copy(made.token) }, "Copy"))),
  );
  shown.querySelector("code").focus();
  showTokens();
});
showTokens();

document.getElementById("everywhere").addEventListener("click", async () => {
  if (!(await confirmDialog({ title: "Sign out everywhere?", text: "All browsers in which you are signed in are signed out, this one too.", confirm: "Sign out" }))) return;
  try {
    await api("POST", "/api/sign-out?everywhere=true");
  } catch (error) {
    return void toast(sentence(error.message));
  }
  location.assign("/sign-in");
});
