// @ts-check
/** The button that ends the session of a browser that has signed in. */
import { send } from "./api.js";

document.querySelector("[data-sign-out]")?.addEventListener("click", async () => {
  await send("DELETE", "/session", undefined);
  location.assign("/sign-in");
});
