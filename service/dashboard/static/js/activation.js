// @ts-check
/** Letting another version serve, after a question: each `[data-activate]` asks it. */
import { send } from "./api.js";
import { part } from "./dom.js";
import { count } from "./format.js";

/** Prepare the buttons of the page; the dialog is in `activate_dialog.html`. */
export function prepareActivation() {
  const dialog = /** @type {HTMLDialogElement} */ (part("activate-dialog"));
  const confirm = /** @type {HTMLButtonElement} */ (part("activate-confirm"));
  let version = "";
  for (const button of document.querySelectorAll("[data-activate]")) {
    if (!(button instanceof HTMLButtonElement)) continue;
    button.addEventListener("click", () => {
      version = button.dataset.activate ?? "";
      ask(button.dataset);
      dialog.showModal();
    });
  }
  part("activate-cancel").addEventListener("click", () => dialog.close());
  confirm.addEventListener("click", async () => {
    confirm.disabled = true;
    part("activate-status").textContent = `Loading ${version} beside the version that serves…`;
    try {
      await send("POST", `/model-versions/${encodeURIComponent(version)}/activate`);
      location.reload();
    } catch {
      dialog.close(); // the reason is on the page as a toast, or as the offline line
    } finally {
      confirm.disabled = false;
      part("activate-status").textContent = "";
    }
  });
}

/** @param {DOMStringMap} of the button */
function ask({ activate, serving, hasServed, scored, images }) {
  const isBack = hasServed === "true";
  part("activate-title").textContent = isBack ? `Roll back to ${activate}?` : `Let ${activate} serve?`;
  part("activate-confirm").textContent = isBack ? "Roll back" : "Activate";
  const now = serving ? `${serving} serves now. ` : "No version serves now. ";
  const change = `From then on ${activate} scores uploads and ranks the pool. `;
  part("activate-text").textContent = now + change + coverage(scored, images) + undo(serving);
}

/** @param {string | undefined} scored @param {string | undefined} images */
function coverage(scored, images) {
  if (!images || scored === images) return "";
  return `It has scored ${count(Number(scored))} of ${count(Number(images))} images, and scores the rest in the background. `;
}

/** @param {string | undefined} serving */
function undo(serving) {
  return serving ? `You can go back to ${serving} at any time.` : "";
}
