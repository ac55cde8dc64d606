// @ts-check
/** Short messages at the corner of the page, read aloud by screen readers. */
import { element, part } from "./dom.js";

const SHOWN_MS = 6000;

/**
 * Show a message. A failure stays until it is closed.
 *
 * @param {string} title
 * @param {{text?: string, kind?: "plain" | "bad", action?: {name: string, run: () => void}}} [more]
 */
export function toast(title, { text = "", kind = "plain", action } = {}) {
  const box = element("div", { class: `toast ${kind}`, role: kind === "bad" ? "alert" : null });
  const words = element("div", {}, element("strong", { text: title }));
  if (text) words.append(element("p", { text }));
  box.append(words);
  const close = () => box.remove();
  if (action) {
    const run = () => {
      close();
      action.run();
    };
    box.append(element("button", { class: "link", type: "button", text: action.name, onclick: run }));
  }
  const name = "Close this message";
  box.append(
    element("button", { class: "link", type: "button", "aria-label": name, text: "×", onclick: close }),
  );
  visibleRegion().append(box);
  if (kind !== "bad") setTimeout(close, SHOWN_MS);
}

/** Return the region of messages, within the open dialog if there is one: a page behind it is inert. */
function visibleRegion() {
  const region = part("toasts");
  const dialog = [...document.querySelectorAll("dialog[open]")].at(-1);
  if (dialog && region.parentElement !== dialog) {
    dialog.append(region);
    dialog.addEventListener("close", () => document.body.append(region), { once: true });
  }
  return region;
}
