// @ts-check
/** Rows of images that fill the width: none is cropped, and all images of a row are equally high. */

const NARROWEST = 0.5; // width over height; longer images are shown within this shape
const WIDEST = 2.6;

/** @typedef {{start: number, end: number, height: number}} Row images `start` to `end`, exclusive */

/**
 * Divide images into rows.
 *
 * @param {{width: number, height: number}[]} images
 * @param {{width: number, height: number, gap: number}} place width of a row, wanted height, gap
 * @param {Row[]} [known] rows that were made before; all but the last stay
 * @returns {Row[]}
 */
export function justify(images, { width, height, gap }, known = []) {
  const rows = known.slice(0, -1);
  let start = rows.at(-1)?.end ?? 0;
  let sum = 0;
  for (let index = start; index < images.length; index += 1) {
    sum += shapeOf(/** @type {{width: number, height: number}} */ (images[index]));
    const free = width - gap * (index - start);
    if (sum * height < free) continue;
    rows.push({ start, end: index + 1, height: free / sum });
    start = index + 1;
    sum = 0;
  }
  if (start < images.length) rows.push({ start, end: images.length, height });
  return rows;
}

/** Return width over height of an image's place. @param {{width: number, height: number}} image */
export function shapeOf(image) {
  return Math.min(Math.max(image.width / image.height, NARROWEST), WIDEST);
}
