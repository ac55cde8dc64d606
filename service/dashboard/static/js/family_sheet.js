// @ts-check
/** All images of a family in a sheet; what is ticked gets one verdict by one key. */
import { get, withQuery } from "./api.js";
import { shotOf } from "./boxes.js";
import { cropOf } from "./crops.js";
import { element, part } from "./dom.js";
import { plural, score } from "./format.js";
import { verdictBadge, verdictButtons } from "./reviewer.js";
import { VERDICTS } from "./verdicts.js";

/** @typedef {import("./verdicts.js").Verdict} Verdict */

const PAGE_SIZE = 1000;

export class FamilySheet {
  /**
   * @param {{onVerdict: (images: any[], verdict: Verdict) => void, onMove: (step: number) => void, onOpen: (image: any) => void, onUndo: () => void}} listeners
   */
  constructor(listeners) {
    this.listeners = listeners;
    this.dialog = /** @type {HTMLDialogElement} */ (part("sheet"));
    /** @type {any} */
    this.family = null;
    /** @type {any[]} */
    this.members = [];
    /** Images that the verdict leaves out. @type {Set<number>} */
    this.leftOut = new Set();
    part("sheet-verdicts").replaceChildren(...verdictButtons((verdict) => this.judge(verdict)));
    part("sheet-close").addEventListener("click", () => this.dialog.close());
    this.dialog.addEventListener("keydown", (event) => this.onKey(event));
  }

  get isOpen() {
    return this.dialog.open;
  }

  /** @param {any} family */
  async open(family) {
    this.family = family;
    this.leftOut.clear();
    part("sheet-title").textContent = `Family ${family.number}`;
    if (!this.dialog.open) this.dialog.showModal();
    this.members = family.members;
    this.draw();
    this.members = await membersOf(family);
    if (this.family === family) this.draw();
  }

  draw() {
    part("sheet-tiles").replaceChildren(...this.members.map((member) => this.tile(member)));
    this.showNote();
  }

  /** @param {any} member */
  tile(member) {
    const { image, detection, max_score: maxScore } = member;
    const alt = `${image.file_name}, score ${score(maxScore)}`;
    const picture = detection ? cropOf(image, detection.box, { alt }) : shotOf(image, [], { alt });
    const tick = element("input", { type: "checkbox", checked: !this.leftOut.has(image.id), "aria-label": `Judge ${image.file_name}` });
    const tile = element(
      "figure",
      { class: "tile", "data-image": image.id },
      element("button", { class: "tile-button", type: "button", "aria-label": `Open ${alt}`, onclick: () => this.listeners.onOpen(image) }, picture),
      element(
        "figcaption",
        {},
        element("label", { class: "check" }, tick, score(maxScore)),
        element("span", { "data-mark": "" }, verdictBadge(image.verdict)),
      ),
    );
    tick.addEventListener("change", () => {
      if (tick.checked) this.leftOut.delete(image.id);
      else this.leftOut.add(image.id);
      tile.classList.toggle("left-out", !tick.checked);
      this.showNote();
    });
    return tile;
  }

  showNote() {
    const ticked = this.members.length - this.leftOut.size;
    const all = plural(this.members.length, "image");
    part("sheet-note").textContent = this.leftOut.size === 0 ? all : `${ticked} of ${all}`;
  }

  /** @param {Verdict} verdict */
  judge(verdict) {
    const chosen = this.members.map((member) => member.image).filter((image) => !this.leftOut.has(image.id));
    if (chosen.length > 0) this.listeners.onVerdict(chosen, verdict);
  }

  /** Show an image's present verdict. @param {number} id @param {Verdict} verdict */
  mark(id, verdict) {
    const mark = this.dialog.querySelector(`[data-image="${id}"] [data-mark]`);
    mark?.replaceChildren(verdictBadge(verdict));
  }

  /** @param {KeyboardEvent} event */
  onKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target instanceof HTMLSelectElement) return;
    const verdict = Object.entries(VERDICTS).find(([, { key }]) => key === event.key)?.[0];
    if (verdict) this.judge(/** @type {Verdict} */ (verdict));
    else if (event.key === "ArrowRight") this.listeners.onMove(1);
    else if (event.key === "ArrowLeft") this.listeners.onMove(-1);
    else if (event.key === "z") this.listeners.onUndo();
    else return;
    event.preventDefault();
    event.stopPropagation();
  }
}

/** Return all members of a family, hardest first. @param {any} family */
async function membersOf(family) {
  if (family.isComplete) return family.members;
  const members = [];
  for (let offset = 0; offset !== null; ) {
    const page = await get(withQuery(`/families/${family.id}`, { offset, limit: PAGE_SIZE })).catch(() => null);
    if (!page) return family.members;
    members.push(...page.members);
    offset = page.next_offset;
  }
  family.members = members;
  family.isComplete = true;
  return members;
}
