// @ts-check
/** A box with a little of what is around it, cut from its image: to compare boxes at one size. */
import { LARGE_SIDE } from "./boxes.js";
import { element, svg } from "./dom.js";

/** @typedef {import("./boxes.js").Box} Box */
/** @typedef {import("./boxes.js").ShownImage & {media_type: string, links: {content: string}}} CroppedImage */

const MARGIN = 0.2; // of the longer side of the box, on each side
const SHARP_SHARE = 0.3; // of the image's longer side: of smaller parts the original is shown
const SHOWN_BY_BROWSERS = /^image\/(jpeg|png|webp|gif|bmp)$/;

/**
 * Return a square part of an image with a box drawn on it: `<div class="crop">`.
 *
 * @param {CroppedImage} image
 * @param {Box} box
 * @param {{alt: string, isObject?: boolean, sharp?: boolean}} options `sharp` loads the original
 *   where the part is small
 */
export function cropOf(image, box, { alt, isObject = false, sharp = false }) {
  const { left, top, side } = squareAround(image, box);
  const share = side / Math.max(image.width, image.height);
  const isSharp = sharp && share < SHARP_SHARE && SHOWN_BY_BROWSERS.test(image.media_type);
  const picture = element("img", {
    src: isSharp ? image.links.content : `${image.links.thumbnail}?max_side=${LARGE_SIDE}`,
    alt,
    decoding: "async",
    loading: "lazy",
    draggable: "false",
  });
  picture.style.width = `${(100 * image.width) / side}%`;
  picture.style.height = `${(100 * image.height) / side}%`;
  picture.style.left = `${(-100 * left) / side}%`;
  picture.style.top = `${(-100 * top) / side}%`;
  const place = { x: box.x1, y: box.y1, width: box.x2 - box.x1, height: box.y2 - box.y1 };
  const frame = svg(
    "svg",
    { class: "boxes", viewBox: `${left} ${top} ${side} ${side}`, "aria-hidden": "true" },
    svg(
      "g",
      { class: isObject ? "object" : "detection" },
      svg("rect", { class: "under", ...place }),
      svg("rect", { class: "over", ...place }),
    ),
  );
  return element("div", { class: "crop" }, picture, frame);
}

/** Return the square around a box, moved into the image where it fits. @param {{width: number, height: number}} image @param {Box} box */
function squareAround({ width, height }, { x1, y1, x2, y2 }) {
  const longer = Math.max(x2 - x1, y2 - y1);
  const side = Math.max(longer, Math.min(longer * (1 + 2 * MARGIN), width, height));
  return { left: within((x1 + x2 - side) / 2, side, width), top: within((y1 + y2 - side) / 2, side, height), side };
}

/** @param {number} start @param {number} side @param {number} length */
function within(start, side, length) {
  if (side >= length) return (length - side) / 2;
  return Math.min(Math.max(start, 0), length - side);
}
