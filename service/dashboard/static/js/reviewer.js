// @ts-check
/** One person's verdicts on a page: given at once, saved in turn, taken back without end. */
import { element } from "./dom.js";
import { plural } from "./format.js";
import { toast } from "./toast.js";
import { UndoStack } from "./undo_stack.js";
import { VERDICTS, VerdictQueue, verdictName } from "./verdicts.js";

/** @typedef {import("./verdicts.js").Verdict} Verdict */
/** @typedef {import("./verdicts.js").Conflict} Conflict */
/** @typedef {{id: number, verdict: Verdict}} SeenImage */

export class Reviewer {
  /**
   * @param {string} list what is reviewed: each list has its own undo
   * @param {(imageId: number, verdict: Verdict) => void} onVerdict gets each image's present verdict
   */
  constructor(list, onVerdict) {
    this.onVerdict = onVerdict;
    this.undoStack = new UndoStack(list);
    /** @type {Conflict[]} */
    this.conflicts = [];
    this.queue = new VerdictQueue({
      onSaved: onVerdict,
      onConflict: (conflict) => this.onConflict(conflict),
      onWaiting: showWaiting,
    });
    showWaiting(this.queue.waiting.length);
  }

  /** Give a verdict to the images that have another one. @param {SeenImage[]} images @param {Verdict} verdict */
  judge(images, verdict) {
    const changes = images
      .filter((image) => image.verdict !== verdict)
      .map((image) => ({ imageId: image.id, expected: image.verdict, verdict }));
    if (changes.length === 0) return;
    this.undoStack.push(changes);
    this.send(changes);
  }

  /** Take the last step back, and return its images. @returns {number[]} */
  undo() {
    const changes = this.undoStack.pop();
    if (!changes) {
      toast("There is nothing to undo");
      return [];
    }
    this.send(changes);
    return changes.map(({ imageId }) => imageId);
  }

  /** @param {import("./verdicts.js").Change[]} changes */
  send(changes) {
    for (const { imageId, verdict } of changes) this.onVerdict(imageId, verdict);
    this.queue.add(changes);
  }

  /** Show the other person's verdict, and one message for all conflicts of a step. @param {Conflict} conflict */
  onConflict(conflict) {
    this.undoStack.forget(conflict.imageId);
    this.onVerdict(conflict.imageId, conflict.theirs);
    this.conflicts.push(conflict);
    if (this.conflicts.length === 1) queueMicrotask(() => this.reportConflicts());
  }

  reportConflicts() {
    const [first] = this.conflicts;
    const number = this.conflicts.length;
    this.conflicts = [];
    if (!first) return;
    const theirs = number === 1 ? `It is now “${verdictName(first.theirs)}”, and stays so.` : "Their verdicts stay.";
    toast(`Somebody else judged ${plural(number, "image")} meanwhile`, { text: `${theirs} Judge again to change it.`, kind: "bad" });
  }
}

/** Return the buttons of the three verdicts. @param {(verdict: Verdict) => void} judge @param {Record<string, string>} [names] in other words */
export function verdictButtons(judge, names = {}) {
  return Object.entries(VERDICTS).map(([verdict, { name, key }]) =>
    element(
      "button",
      { class: "button", type: "button", "aria-pressed": "false", "data-verdict": verdict, onclick: () => judge(/** @type {Verdict} */ (verdict)) },
      element("span", { text: names[verdict] ?? name }),
      element("kbd", { text: key.toUpperCase() }),
    ),
  );
}

/** Return the badge of a verdict, or nothing. @param {Verdict} verdict */
export function verdictBadge(verdict) {
  if (!verdict) return "";
  return element("span", { class: `badge dot ${VERDICTS[verdict].badge}`, text: verdictName(verdict) });
}

/** @param {number} waiting */
function showWaiting(waiting) {
  const badge = document.querySelector("[data-saved]");
  if (!badge) return;
  badge.textContent = waiting > 0 ? `${plural(waiting, "verdict")} to be saved` : "All saved";
  badge.classList.toggle("good", waiting === 0);
  badge.classList.toggle("warn", waiting > 0);
}
