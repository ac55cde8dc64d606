// @ts-check
/** Shortcuts of one key, and the sheet that lists them at `?`. */
import { element, part } from "./dom.js";

/**
 * @typedef {object} Shortcut
 * @property {string} key as in KeyboardEvent.key, `Shift+ArrowDown`, or two after each other: `g o`
 * @property {string} does the action in words, for the sheet
 * @property {(event: KeyboardEvent) => void} run
 */

/** @type {Shortcut[]} */
const shortcuts = [];
/** @type {Record<string, string>} */
const SHOWN = { ArrowUp: "↑", ArrowDown: "↓", ArrowLeft: "←", ArrowRight: "→", " ": "Space", Escape: "Esc" };
const CHORD_MS = 1200;
let chord = "";
let chordTimer = 0;

/** @param {...Shortcut} added */
export function addShortcuts(...added) {
  shortcuts.push(...added);
}

/** Show the sheet of all shortcuts of this page. */
export function showShortcuts() {
  const rows = shortcuts.map(({ key, does }) =>
    element(
      "div",
      {},
      element("dt", { text: does }),
      element("dd", {}, ...keysOf(key).map((name) => element("kbd", { text: name }))),
    ),
  );
  part("shortcut-list").replaceChildren(...rows);
  /** @type {HTMLDialogElement} */ (part("shortcut-sheet")).showModal();
}

/** @param {string} key */
function keysOf(key) {
  const keys = key.length === 1 ? [key] : key.split(/[ +]/);
  return keys.map((name) => SHOWN[name] ?? (name.length === 1 ? name.toUpperCase() : name));
}

/** @param {KeyboardEvent} event */
function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.defaultPrevented) return;
  if (isTyping(event) || isBehindDialog(event)) return;
  const name = event.shiftKey && event.key.length > 1 ? `Shift+${event.key}` : event.key;
  const found =
    shortcuts.find(({ key }) => chord && key === `${chord} ${name}`) ??
    shortcuts.find(({ key }) => key === name);
  const isStart = !found && shortcuts.some(({ key }) => key.startsWith(`${name} `));
  setChord(isStart ? name : "");
  if (!found) return;
  event.preventDefault();
  found.run(event);
}

/** @param {string} keys */
function setChord(keys) {
  clearTimeout(chordTimer);
  chord = keys;
  if (keys) chordTimer = setTimeout(() => setChord(""), CHORD_MS);
}

/** @param {KeyboardEvent} event */
function isTyping(event) {
  const target = event.target;
  if (!(target instanceof HTMLElement)) return false;
  if (target instanceof HTMLInputElement) {
    const usesLetters = !["checkbox", "radio", "range", "button"].includes(target.type);
    return usesLetters || event.key.startsWith("Arrow") || event.key === " ";
  }
  if (target instanceof HTMLSelectElement || target instanceof HTMLTextAreaElement) return true;
  return (event.key === "Enter" || event.key === " ") && target.matches("button, a, summary");
}

/** @param {KeyboardEvent} event */
function isBehindDialog(event) {
  const open = document.querySelector("dialog.dialog[open]");
  return open !== null && event.key !== "?";
}

document.addEventListener("keydown", onKey);
