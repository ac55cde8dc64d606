// @ts-check
/** What a reviewer did in this tab, newest last; it survives a reload. */

/** @typedef {import("./verdicts.js").Change} Change */

export class UndoStack {
  /** @param {string} list what is reviewed: each list has its own */
  constructor(list) {
    this.store = `hardneg-undo ${list}`;
    /** @type {Change[][]} */
    this.steps = JSON.parse(sessionStorage.getItem(this.store) ?? "[]");
  }

  get isEmpty() {
    return this.steps.length === 0;
  }

  /** @param {Change[]} changes */
  push(changes) {
    this.steps.push(changes);
    this.keep();
  }

  /** Return the changes that take the last step back, or null. @returns {Change[] | null} */
  pop() {
    const step = this.steps.pop();
    this.keep();
    if (!step) return null;
    return step.map(({ imageId, expected, verdict }) => ({ imageId, expected: verdict, verdict: expected }));
  }

  /** Forget an image, because its verdict is somebody else's now. @param {number} imageId */
  forget(imageId) {
    this.steps = this.steps
      .map((step) => step.filter((change) => change.imageId !== imageId))
      .filter((step) => step.length > 0);
    this.keep();
  }

  keep() {
    sessionStorage.setItem(this.store, JSON.stringify(this.steps));
  }
}
