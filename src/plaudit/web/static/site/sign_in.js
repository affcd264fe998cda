// Name and password.

import { api, onSubmit, ownPath, tellSignedIn } from "../app.js";

onSubmit(document.getElementById("sign-in"), async ({ name, password }) => {
  await api("POST", "/api/sign-in", { name, password }, { ask: false });
  tellSignedIn();
  location.assign(ownPath(new URLSearchParams(location.search).get("next")));
});
