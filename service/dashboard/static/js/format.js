// @ts-check
/** Numbers and times as people read them. */

const counts = new Intl.NumberFormat("en");

/** @param {number} value @returns {string} for example 10,000 */
export function count(value) {
  return counts.format(value);
}

/** @param {number} value @param {string} one @param {string} [many] @returns {string} "1 image" */
export function plural(value, one, many = `${one}s`) {
  return `${count(value)} ${value === 1 ? one : many}`;
}

/** @param {number | null | undefined} value @returns {string} of a ratio in [0, 1]: .334 */
export function ratio(value) {
  if (value === null || value === undefined) return "–";
  return value.toFixed(3).replace(/^(-?)0\./, "$1.");
}

/** @param {number | null | undefined} value @returns {string} of a score: 0.98 */
export function score(value) {
  if (value === null || value === undefined) return "–";
  return value >= 0.995 && value < 1 ? "> 0.99" : value.toFixed(2);
}

/** @param {number} seconds @returns {string} for example 3 min */
export function duration(seconds) {
  if (seconds < 90) return `${Math.max(1, Math.round(seconds))} s`;
  const minutes = Math.round(seconds / 60);
  return minutes < 90 ? `${minutes} min` : `${(minutes / 60).toFixed(1)} h`;
}

/** @param {number} bytes @returns {string} for example 2.4 MB */
export function size(bytes) {
  if (bytes < 1000) return `${bytes} B`;
  const units = ["kB", "MB", "GB"];
  const power = Math.min(units.length, Math.floor(Math.log10(bytes) / 3));
  const value = bytes / 1000 ** power;
  return `${value.toFixed(value < 10 ? 1 : 0)} ${units[power - 1]}`;
}
