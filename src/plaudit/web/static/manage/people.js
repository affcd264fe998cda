// Members and invitations.

import { api, confirmDialog, onSubmit, sentence, toast } from "../app.js";
import { reloadWith, showOnce } from "./common.js";

const told = async (work) => {
  try {
    await work();
  } catch (error) {
    toast(sentence(error.message));
  }
};

for (const row of document.querySelectorAll("[data-person]")) {
  const { path, name } = row.dataset;
  const role = row.querySelector("select.role");
  role.addEventListener("change", async () => {
    const before = role.dataset.role;
    const sure =
      role.value !== "owner" ||
      (await confirmDialog({
        title: `Make ${name} an owner?`,
        text: "Owners change the rules, invite and remove people, and export everything.",
        confirm: "Make them an owner",
      }));
    if (!sure) return void (role.value = before);
    try {
      await api("PATCH", path, { role: role.value });
      role.dataset.role = role.value;
      toast(`${name} is ${role.value} now`);
    } catch (error) {
      role.value = before;
      toast(sentence(error.message));
    }
  });

  row.querySelector("[data-link]")?.addEventListener("click", () =>
    told(async () => {
      const sure = await confirmDialog({
        title: `A sign-in link for ${name}?`,
        text: "It signs in once, within two days. Where they are signed in now they are signed out, and older links end.",
        confirm: "Make the link",
      });
      if (!sure) return;
      const made = await api("POST", `${path}/sign-in-link`);
      await showOnce({ title: `${name}’s link`, link: location.origin + made.path, words: ["It signs in once, within two days."] });
    }),
  );

  const part = row.querySelector("[data-part]");
  part.addEventListener("click", () =>
    told(async () => {
      const ends = part.dataset.part === "end";
      const sure = await confirmDialog({
        title: ends ? `End ${name}’s part?` : `Restore ${name}’s part?`,
        text: ends ? "They can no longer open this project. What they judged stays, and counts." : "They can open this project again, in the role they had.",
        confirm: ends ? "End it" : "Restore it",
        danger: ends,
      });
      if (!sure) return;
      await api("PATCH", path, { disabled: ends });
      reloadWith(ends ? `${name}’s part has ended` : `${name} is back`);
    }),
  );
}

onSubmit(document.getElementById("invite-form"), async (body, event) => {
  const made = await api("POST", event.target.dataset.path, body);
  const people = made.max_uses === 1 ? "one person" : `${made.max_uses} people`;
  const until = new Date(made.expires * 1000).toLocaleDateString("en", { dateStyle: "long" });
  await showOnce({
    title: "The invitation",
    link: location.origin + made.path,
    words: [`For ${people} to join as ${made.role}, until ${until}.`],
  });
  location.reload();
});

for (const button of document.querySelectorAll("[data-end]"))
  button.addEventListener("click", () =>
    told(async () => {
      const sure = await confirmDialog({
        title: "End this invitation?",
        text: "Nobody can join by it any more. Those who did stay.",
        confirm: "End it",
        danger: true,
      });
      if (!sure) return;
      await api("DELETE", button.dataset.end);
      reloadWith("The invitation has ended");
    }),
  );
