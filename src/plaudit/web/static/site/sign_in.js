// Name and password.

import { onSubmit, ownPath, patient, tellSignedIn } from "../app.js";

onSubmit(document.getElementById("sign-in"), async ({ name, password }) => {
  await patient("POST", "/api/sign-in", { name, password }, { ask: false });
  tellSignedIn();
  location.assign(ownPath(new URLSearchParams(location.search).get("next")));
});
