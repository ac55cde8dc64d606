// @ts-check
/** One image large in a dialog: each box is judged by itself, and images that look like it are shown. */
import { get, send, withQuery } from "./api.js";
import { shotOf } from "./boxes.js";
import { cropOf } from "./crops.js";
import { element } from "./dom.js";
import { ratio, score } from "./format.js";
import { verdictBadge } from "./reviewer.js";
import { Stage, StageView } from "./stage.js";
import { toast } from "./toast.js";
import { VERDICTS } from "./verdicts.js";

/** @typedef {import("./boxes.js").Box} Box */
/** @typedef {{label: string, score?: number, box: Box, is_object: boolean | null}} OpenBox null is not judged */

const MAX_BOXES = 9; // each has a key
const SURE = 0.3; // boxes with lower scores are listed if they are the best one, or judged
const SAME_PX = 0.5;
const NUM_SIMILAR = 12;
/** @type {[string, boolean | null][]} */
const ANSWERS = [
  ["Object", true],
  ["Nothing", false],
  ["Open", null],
];

export class ImageDialog {
  /** @param {(image: any) => void} onJudged gets the image with its new verdict */
  constructor(onJudged) {
    this.onJudged = onJudged;
    /** @type {any} */
    this.image = null;
    /** @type {OpenBox[]} */
    this.boxes = [];
    this.frame = element("div", { class: "stage" });
    this.title = element("h2", { class: "truncate", id: "image-dialog-title" });
    this.verdicts = element("div", { class: "verdict-list", role: "group", "aria-label": "Verdict on the image" });
    this.table = element("div", { class: "box-list" });
    this.similar = element("div", { class: "crops", role: "group", "aria-label": "Images that look like it" });
    this.dialog = this.build();
    this.stage = new Stage(this.frame);
    this.view = new StageView([this.stage]);
  }

  build() {
    const dialog = element(
      "dialog",
      { class: "viewer wide-side", "aria-labelledby": "image-dialog-title" },
      element("div", { class: "viewer-stages" }, this.frame),
      element(
        "aside",
        { class: "viewer-side" },
        element(
          "header",
          { class: "row" },
          this.title,
          element("button", { class: "button quiet push", type: "button", onclick: () => dialog.close() }, "Close ", element("kbd", { text: "Esc" })),
        ),
        this.verdicts,
        element("h3", { text: "Boxes" }),
        element("p", { class: "muted small", text: "A box that holds an object makes the image contain one. A box of nothing is trained on as a negative all the same." }),
        this.table,
        element("button", { class: "button", type: "button", onclick: () => this.showSimilar() }, "Show images that look like it ", element("kbd", { text: "S" })),
        this.similar,
      ),
    );
    dialog.addEventListener("keydown", (event) => this.onKey(event));
    document.body.append(dialog);
    return dialog;
  }

  /** Show an image by its id. @param {number} id */
  async open(id) {
    const image = await get(`/images/${id}`).catch(() => null);
    if (!image) return;
    this.image = image;
    this.boxes = boxesOf(image);
    this.title.textContent = image.file_name;
    this.similar.replaceChildren();
    this.draw();
    if (!this.dialog.open) this.dialog.showModal();
    this.view.reset();
  }

  draw() {
    const { image } = this;
    const drawn = this.boxes.map((box, index) => ({ ...box, label: `${index + 1} ${box.label}`, is_object: box.is_object === true, is_nothing: box.is_object === false }));
    this.stage.show(image, drawn, 0);
    const groups = [...this.frame.querySelectorAll(".boxes g")].reverse();
    for (const [index, box] of drawn.entries()) groups[index]?.classList.toggle("faint", box.is_nothing);
    this.view.place();
    this.verdicts.replaceChildren(...this.verdictButtons());
    this.table.replaceChildren(...this.boxes.map((box, index) => this.boxRow(box, index)));
    if (this.boxes.length === 0) this.table.append(element("p", { class: "muted", text: "The detector found no box here." }));
  }

  verdictButtons() {
    return Object.entries(VERDICTS).map(([verdict, { name, key }]) =>
      element(
        "button",
        { class: "button", type: "button", "aria-pressed": String(this.image.verdict === verdict), onclick: () => this.save(verdict) },
        element("span", { text: name }),
        element("kbd", { text: key.toUpperCase() }),
      ),
    );
  }

  /** @param {OpenBox} box @param {number} index */
  boxRow(box, index) {
    const answers = ANSWERS.map(([name, answer]) =>
      element("button", { type: "button", "aria-pressed": String(box.is_object === answer), text: name, onclick: () => this.answer(index, answer) }),
    );
    const name = `Box ${index + 1}, ${box.label}`;
    const row = element(
      "div",
      { class: "row box-row" },
      element("kbd", { text: String(index + 1) }),
      element("span", { class: "truncate", text: box.label }),
      element("span", { class: "muted num", text: box.score === undefined ? "" : score(box.score) }),
      element("div", { class: "segmented push", role: "group", "aria-label": name }, ...answers),
    );
    row.addEventListener("mouseenter", () => this.mark(index));
    row.addEventListener("mouseleave", () => this.mark(-1));
    return row;
  }

  /** @param {number} index */
  mark(index) {
    const groups = [...this.frame.querySelectorAll(".boxes g")].reverse();
    for (const [at, group] of groups.entries()) group.classList.toggle("chosen", at === index);
  }

  /** @param {number} index @param {boolean | null} answer */
  answer(index, answer) {
    const box = this.boxes[index];
    if (!box) return;
    box.is_object = answer;
    const hasObject = this.boxes.some((other) => other.is_object);
    this.save(hasObject ? "contains-object" : this.image.verdict);
  }

  /**
   * Save the verdict on the image with those on its boxes, unless somebody has judged it meanwhile.
   *
   * @param {string | null} verdict
   */
  async save(verdict) {
    const { image } = this;
    const expected = image.verdict;
    if (verdict !== "contains-object") {
      for (const box of this.boxes) if (box.is_object) box.is_object = null;
    }
    const boxes = this.boxes
      .filter((box) => box.is_object !== null)
      .map(({ box, is_object, label }) => ({ box, is_object, label }));
    try {
      const now = await get(`/images/${image.id}`);
      if (isSameJudgement(now, image)) {
        const judged = await send("PUT", `/images/${image.id}/verdict`, { verdict, boxes, expected });
        this.keep(image, judged);
      } else {
        this.keep(image, now);
        toast("Somebody else judged this image meanwhile", { text: "Their verdicts stay. Judge again to change them.", kind: "bad" });
        if (image === this.image) this.boxes = boxesOf(image);
      }
    } catch {
      if (image === this.image) this.boxes = boxesOf(image); // a message says why; the page shows what is saved
    }
    if (image === this.image) this.draw();
  }

  /** @param {any} image @param {any} judged */
  keep(image, judged) {
    image.verdict = judged.verdict;
    image.judged_boxes = judged.judged_boxes;
    this.onJudged(image);
  }

  /** Show the images of the pool whose best detection looks most like this one's. */
  async showSimilar() {
    const { id } = this.image;
    const found = await get(withQuery(`/images/${id}/similar`, { n: NUM_SIMILAR })).catch(() => null);
    if (!found || this.image.id !== id) return;
    const tiles = found.items.map((/** @type {any} */ { image, detection, cosine }) => {
      const alt = `${image.file_name}, similarity ${ratio(cosine)}`;
      const picture = detection ? cropOf(image, detection.box, { alt: "" }) : shotOf(image, [], { alt: "" });
      const open = () => this.open(image.id);
      return element(
        "figure",
        { class: "tile" },
        element("button", { class: "tile-button", type: "button", "aria-label": `Open ${alt}`, onclick: open }, picture),
        element("figcaption", {}, element("span", { text: ratio(cosine) }), element("span", {}, verdictBadge(image.verdict))),
      );
    });
    this.similar.replaceChildren(...tiles);
  }

  /** @param {KeyboardEvent} event */
  onKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const verdict = Object.entries(VERDICTS).find(([, { key }]) => key === event.key)?.[0];
    const index = Number(event.key) - 1;
    const box = this.boxes[index];
    if (verdict) this.save(verdict);
    else if (box) this.answer(index, box.is_object === null ? true : box.is_object ? false : null);
    else if (event.key === "s") this.showSimilar();
    else if (!this.view.onKey(event.key)) return;
    event.preventDefault();
    event.stopPropagation();
  }
}

/** Return an image's best detections and judged boxes, with what was judged. @param {any} image @returns {OpenBox[]} */
function boxesOf(image) {
  const judged = [...image.judged_boxes];
  const isListed = (/** @type {any} */ detection, /** @type {number} */ at) =>
    at === 0 || detection.score >= SURE || judged.some((other) => isSame(other.box, detection.box));
  const found = image.detections.filter(isListed).slice(0, MAX_BOXES).map((/** @type {any} */ detection) => {
    const at = judged.findIndex((other) => isSame(other.box, detection.box));
    const [match] = at >= 0 ? judged.splice(at, 1) : [];
    return { ...detection, is_object: match ? match.is_object : null };
  });
  return [...found, ...judged.map((other) => ({ box: other.box, label: other.label ?? "box", is_object: other.is_object }))];
}

/** Return whether an image and its boxes are judged as they were. @param {any} now @param {any} seen */
function isSameJudgement(now, seen) {
  return now.verdict === seen.verdict && JSON.stringify(now.judged_boxes) === JSON.stringify(seen.judged_boxes);
}

/** @param {Box} first @param {Box} second */
function isSame(first, second) {
  return ["x1", "y1", "x2", "y2"].every(
    (name) => Math.abs(first[/** @type {keyof Box} */ (name)] - second[/** @type {keyof Box} */ (name)]) < SAME_PX,
  );
}
