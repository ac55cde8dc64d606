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
  part("toasts").append(box);
  if (kind !== "bad") setTimeout(close, SHOWN_MS);
}
