// @ts-check
/** The map of look-alikes: what is drawn around gets one verdict. */
import { get } from "./api.js";
import { SMALL_SIDE } from "./boxes.js";
import { element, part } from "./dom.js";
import { count, plural, score } from "./format.js";
import { ImageDialog } from "./image_dialog.js";
import { MapCanvas } from "./map_canvas.js";
import { Reviewer, verdictButtons } from "./reviewer.js";
import { addShortcuts } from "./shortcuts.js";
import { showFailure, showState } from "./states.js";
import { VERDICTS, verdictName } from "./verdicts.js";

/** @typedef {import("./verdicts.js").Verdict} Verdict */
/** @typedef {{image_id: number, split: string, x: number, y: number, score: number | null, verdict: Verdict, family_number: number | null}} Point */

const SHOWN_TILES = 60;
/** @type {Record<string, string>} names of colours of the style sheet */
const VERDICT_COLOURS = { negative: "good", "contains-object": "warn", unsure: "accent" };
const SCORES = [
  { from: 0.9, name: "0.9 and more", colour: "bad" },
  { from: 0.5, name: "0.5 to 0.9", colour: "warn" },
  { from: 0, name: "Below 0.5", colour: "muted" },
];

class LookAlikeMap {
  constructor() {
    /** @type {Point[]} */
    this.points = [];
    /** @type {Map<number, Point[]>} by image */
    this.pointsOf = new Map();
    this.colour = "verdict";
    this.reviewer = new Reviewer("map", (id, verdict) => this.onVerdict(id, verdict));
    this.dialog = new ImageDialog((image) => this.onVerdict(image.id, image.verdict));
    this.map = new MapCanvas(/** @type {HTMLCanvasElement} */ (part("canvas")), {
      onSelect: (indices, adds) => this.select(indices, adds),
      onHover: (index, at) => this.showHint(index, at),
      lookOf: (index) => this.lookOf(index),
    });
    this.readColours();
    this.listen();
  }

  listen() {
    part("verdicts").replaceChildren(...verdictButtons((verdict) => this.judge(verdict)));
    part("undo").addEventListener("click", () => this.reviewer.undo());
    part("clear").addEventListener("click", () => this.select([], false));
    part("lasso").addEventListener("click", () => this.toggleLasso());
    for (const button of document.querySelectorAll("[data-colour]")) {
      if (button instanceof HTMLElement) button.addEventListener("click", () => this.setColour(button.dataset.colour ?? ""));
    }
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.readColours());
    for (const [verdict, { name, key }] of Object.entries(VERDICTS)) {
      const run = () => this.judge(/** @type {Verdict} */ (verdict));
      addShortcuts({ key, does: `${name}: all selected images`, run });
    }
    addShortcuts(
      { key: "l", does: "Draw with the lasso, or move the map", run: () => this.toggleLasso() },
      { key: "Escape", does: "Select none", run: () => this.select([], false) },
      { key: "z", does: "Undo", run: () => this.reviewer.undo() },
      { key: "+", does: "Zoom in", run: () => this.map.zoom(1.25) },
      { key: "-", does: "Zoom out", run: () => this.map.zoom(0.8) },
    );
  }

  async start() {
    showState("loading");
    try {
      const map = await get("/map");
      this.points = map.items;
      for (const point of this.points) this.pointsOf.set(point.image_id, [...(this.pointsOf.get(point.image_id) ?? []), point]);
      if (!this.points.some(({ verdict }) => verdict)) this.setColour("score");
      part("summary").textContent = `${plural(map.items.length, "detection")} of ${map.model_version}`;
    } catch (error) {
      part("summary").textContent = "";
      showFailure(error, () => this.start());
      return;
    }
    showState(this.points.length > 0 ? "list" : "empty");
    this.map.setPoints(this.points);
    this.drawLegend();
  }

  /** Read the style sheet's colours, which canvas cannot name. */
  readColours() {
    /** @type {Record<string, string>} */
    this.colours = {};
    const probe = element("span");
    document.body.append(probe);
    for (const name of ["good", "warn", "bad", "accent", "muted"]) {
      probe.style.color = `var(--${name})`;
      this.colours[name] = getComputedStyle(probe).color;
    }
    probe.remove();
    this.drawLegend();
    this.map.restyle();
  }

  /** @param {number} index @returns {import("./map_canvas.js").Look} */
  lookOf(index) {
    const point = /** @type {Point} */ (this.points[index]);
    const name = this.colour === "score" ? scoreClass(point.score).colour : (VERDICT_COLOURS[point.verdict ?? ""] ?? "muted");
    const { selected } = this.map;
    return {
      color: this.colours?.[name] ?? "",
      isHollow: point.split !== "pool",
      isFaint: selected.size > 0 && !selected.has(index),
    };
  }

  /** @param {string} colour */
  setColour(colour) {
    this.colour = colour;
    for (const button of document.querySelectorAll("[data-colour]")) {
      if (button instanceof HTMLElement) button.setAttribute("aria-pressed", String(button.dataset.colour === colour));
    }
    this.drawLegend();
    this.map.restyle();
  }

  drawLegend() {
    const verdicts = Object.entries(VERDICT_COLOURS).map(([verdict, colour]) => ({ name: verdictName(/** @type {Verdict} */ (verdict)), colour }));
    const entries = this.colour === "score" ? SCORES : [...verdicts, { name: "No verdict", colour: "muted" }];
    const items = entries.map(({ name, colour }) => element("li", { class: `legend-${colour}`, text: name }));
    if (this.points.some((point) => point.split !== "pool")) items.push(element("li", { class: "legend-hollow", text: "Sealed" }));
    part("legend").replaceChildren(...items);
  }

  toggleLasso() {
    this.map.isLasso = !this.map.isLasso;
    part("lasso").setAttribute("aria-pressed", String(this.map.isLasso));
    part("map").classList.toggle("lasso", this.map.isLasso);
  }

  /** @param {number[]} indices @param {boolean} adds */
  select(indices, adds) {
    this.map.selected = new Set(adds ? [...this.map.selected, ...indices] : indices);
    this.map.restyle();
    this.showSelection();
  }

  /** Return the selected images, each once. @returns {{id: number, verdict: Verdict, split: string}[]} */
  chosen() {
    const images = new Map();
    for (const index of this.map.selected) {
      const { image_id: id, verdict, split } = /** @type {Point} */ (this.points[index]);
      images.set(id, { id, verdict, split });
    }
    return [...images.values()];
  }

  showSelection() {
    const images = this.chosen();
    part("selection").hidden = images.length === 0;
    part("no-selection").hidden = images.length > 0;
    const sealed = images.filter(({ split }) => split !== "pool").length;
    part("selected").textContent = `${plural(images.length, "image")} selected${sealed > 0 ? `, ${count(sealed)} of them sealed` : ""}`;
    part("tiles").replaceChildren(...images.slice(0, SHOWN_TILES).map((image) => this.tile(image)));
    part("more").hidden = images.length <= SHOWN_TILES;
    part("more").textContent = `and ${count(images.length - SHOWN_TILES)} more`;
  }

  /** @param {{id: number, verdict: Verdict}} image */
  tile({ id, verdict }) {
    return element(
      "button",
      { class: "strip-tile", type: "button", "data-image": id, "data-verdict": verdict ?? "", "aria-label": `Open image ${id}: ${verdictName(verdict)}`, onclick: () => this.dialog.open(id) },
      element("img", { src: `/images/${id}/thumbnail?max_side=${SMALL_SIDE}`, alt: "", loading: "lazy", decoding: "async" }),
      element("span", { class: "strip-mark", "aria-hidden": "true", text: verdict ? VERDICTS[verdict].key.toUpperCase() : "" }),
    );
  }

  /** @param {Verdict} verdict */
  judge(verdict) {
    const images = this.chosen();
    if (images.length > 0) this.reviewer.judge(images, verdict);
  }

  /** @param {number} id @param {Verdict} verdict */
  onVerdict(id, verdict) {
    for (const point of this.pointsOf.get(id) ?? []) point.verdict = verdict;
    this.map.restyle();
    const tile = part("tiles").querySelector(`[data-image="${id}"]`);
    if (tile) tile.replaceWith(this.tile({ id, verdict }));
  }

  /** Show the image under the mouse. @param {number} index @param {import("./map_canvas.js").Place} at */
  showHint(index, at) {
    const hint = part("hint");
    const point = this.points[index];
    hint.hidden = !point;
    if (!point) return;
    const { clientWidth, clientHeight } = part("map");
    hint.style.left = `${Math.min(at.x + 16, clientWidth - 176)}px`;
    hint.style.top = `${Math.min(at.y + 16, clientHeight - 170)}px`;
    if (hint.dataset.image === String(point.image_id)) return;
    hint.dataset.image = String(point.image_id);
    const family = point.family_number ? `Family ${point.family_number}` : point.split === "pool" ? "No family" : "Sealed";
    hint.replaceChildren(
      element("img", { src: `/images/${point.image_id}/thumbnail?max_side=${SMALL_SIDE}`, alt: "" }),
      element("p", { class: "caption" }, element("span", { text: family }), element("span", { text: score(point.score) })),
    );
  }
}

/** @param {number | null} value */
function scoreClass(value) {
  return SCORES.find(({ from }) => (value ?? 0) >= from) ?? /** @type {(typeof SCORES)[0]} */ (SCORES.at(-1));
}

new LookAlikeMap().start();
