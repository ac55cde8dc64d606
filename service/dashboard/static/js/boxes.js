// @ts-check
/** Images with boxes drawn over them, in SVG. */
import { element, svg } from "./dom.js";
import { score } from "./format.js";

/** @typedef {{x1: number, y1: number, x2: number, y2: number}} Box */
/** @typedef {{label?: string | null, score?: number, box: Box, is_object?: boolean}} DrawnBox */
/** @typedef {{id: number, width: number, height: number, file_name: string, links: {thumbnail: string}}} ShownImage */

export const SMALL_SIDE = 384;
export const LARGE_SIDE = 1024;
const MAX_FRAMES = 60; // more hide the image, and make a gallery slow
const MAX_LABELS = 8;

/**
 * Return an image with its boxes: `<div class="shot">`.
 *
 * @param {ShownImage} image
 * @param {DrawnBox[]} boxes
 * @param {{threshold?: number, large?: boolean, labels?: boolean, alt?: string}} [options]
 */
export function shotOf(image, boxes, { threshold = 0, large = false, labels = true, alt } = {}) {
  const picture = element("img", {
    src: `${image.links.thumbnail}?max_side=${large ? LARGE_SIDE : SMALL_SIDE}`,
    alt: alt ?? altOf(image, boxes),
    decoding: "async",
    draggable: "false",
  });
  return element("div", { class: "shot" }, picture, ...overlay(image, boxes, { threshold, labels }));
}

/**
 * Draw other boxes over the image of a shot.
 *
 * @param {Element} shot
 * @param {{width: number, height: number}} image
 * @param {DrawnBox[]} boxes
 * @param {number} threshold
 */
export function redrawBoxes(shot, image, boxes, threshold) {
  const picture = shot.querySelector("img");
  if (picture) shot.replaceChildren(picture, ...overlay(image, boxes, { threshold }));
}

/**
 * Return the layers that draw boxes over an image: the frames of the surest, and some labels.
 *
 * @param {{width: number, height: number}} image
 * @param {DrawnBox[]} boxes surest first
 * @param {{threshold?: number, labels?: boolean, apart?: boolean}} [options] `apart` makes an
 *   element of each frame, so that a script can mark it; a gallery would be slow with so many
 * @returns {Element[]}
 */
export function overlay(image, boxes, { threshold = 0, labels = true, apart = false } = {}) {
  const shown = boxes
    .filter((item) => item.score === undefined || item.score >= threshold)
    .slice(0, MAX_FRAMES);
  const frames = svg("svg", {
    class: "boxes",
    viewBox: `0 0 ${image.width} ${image.height}`,
    "aria-hidden": "true",
  });
  // the surest box is drawn last, on top
  const drawn = [...shown].reverse();
  if (apart) frames.append(...drawn.map((item) => framesOf([item])));
  else frames.append(...[false, true].map((isObject) => framesOf(drawn.filter((item) => Boolean(item.is_object) === isObject))));
  const labelled = labels ? shown.slice(0, MAX_LABELS).reverse() : [];
  return [frames, ...labelled.map((item) => label(image, item))];
}

/**
 * Return the boxes that are likeliest to be wrong, at least one: those from 0.3 on, or the surest.
 *
 * @template {DrawnBox} Found
 * @param {Found[]} boxes the surest first
 * @returns {Found[]}
 */
export function surest(boxes) {
  return boxes.filter((box, index) => index === 0 || (box.score ?? 0) >= 0.3);
}

/** Return the frames of boxes, all objects or none, as one line over a wider one. @param {DrawnBox[]} boxes */
function framesOf(boxes) {
  const d = boxes.map(({ box: { x1, y1, x2, y2 } }) => `M${x1} ${y1}H${x2}V${y2}H${x1}Z`).join("");
  return svg(
    "g",
    { class: boxes[0]?.is_object ? "object" : "detection" },
    svg("path", { class: "under", d }),
    svg("path", { class: "over", d }),
  );
}

/** @param {{width: number, height: number}} image @param {DrawnBox} item */
function label(image, { label: name, score: value, box }) {
  const words = [name, value === undefined ? "" : score(value)].filter(Boolean).join(" ");
  const made = element("span", { class: "box-label", "aria-hidden": "true", text: words });
  const top = box.y1 / image.height;
  // a label near the right edge grows to the left
  if (box.x1 / image.width < 0.7) made.style.left = `${clamp(box.x1 / image.width) * 100}%`;
  else made.style.right = `${clamp(1 - box.x2 / image.width) * 100}%`;
  if (top < 0.1) made.style.top = `${clamp(top) * 100}%`;
  else made.style.bottom = `${(1 - top) * 100}%`;
  return made;
}

/** @param {number} share */
function clamp(share) {
  return Math.min(Math.max(share, 0), 1);
}

/** @param {ShownImage} image @param {DrawnBox[]} boxes */
function altOf(image, boxes) {
  const [first] = boxes;
  const found = first ? `, ${first.label} ${score(first.score)}` : "";
  return `${image.file_name}${found}`;
}
