// @ts-check
/** The row of small images below a large one: one of them is shown, and each has its verdict. */
import { SMALL_SIDE } from "./boxes.js";
import { element } from "./dom.js";
import { VERDICTS } from "./verdicts.js";

export class Strip {
  /** @param {HTMLElement} place an element with role listbox @param {(index: number) => void} onChoose */
  constructor(place, onChoose) {
    this.place = place;
    place.addEventListener("click", (event) => {
      const tile = /** @type {HTMLElement} */ (event.target).closest("[data-index]");
      if (tile instanceof HTMLElement) onChoose(Number(tile.dataset.index));
    });
  }

  /** @param {any[]} images */
  draw(images) {
    this.place.replaceChildren();
    this.add(images);
  }

  /** Draw further images after those that are there. @param {any[]} images */
  add(images) {
    const start = this.place.children.length;
    this.place.append(...images.map((image, index) => tileOf(image, start + index)));
    for (const [index, { verdict }] of images.entries()) this.mark(start + index, verdict);
  }

  /** @param {number} index @param {import("./verdicts.js").Verdict} verdict */
  mark(index, verdict) {
    const tile = this.place.children[index];
    const mark = tile?.querySelector(".strip-mark");
    if (!(tile instanceof HTMLElement) || !mark) return;
    tile.dataset.verdict = verdict ?? "";
    mark.textContent = verdict ? VERDICTS[verdict].key.toUpperCase() : "";
  }

  /** @param {number} index */
  choose(index) {
    for (const tile of this.place.children) tile.setAttribute("aria-selected", String(tile.id === `tile-${index}`));
    this.place.setAttribute("aria-activedescendant", `tile-${index}`);
    const tile = this.place.children[index];
    if (tile instanceof HTMLElement) {
      this.place.scrollLeft = tile.offsetLeft - this.place.clientWidth / 2 + tile.offsetWidth / 2;
    }
  }
}

/** @param {any} image @param {number} index */
function tileOf(image, index) {
  return element(
    "div",
    { class: "strip-tile", role: "option", id: `tile-${index}`, "data-index": index },
    element("img", {
      src: `${image.links.thumbnail}?max_side=${SMALL_SIDE}`,
      alt: image.file_name,
      loading: "lazy",
      decoding: "async",
    }),
    element("span", { class: "strip-mark", "aria-hidden": "true" }),
  );
}
