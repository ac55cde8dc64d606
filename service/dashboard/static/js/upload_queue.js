// @ts-check
/** Uploads file by file: plans the requests, sends them in turn, and says what became of each file. */
import { Problem, upload } from "./api.js";
import { plural } from "./format.js";

/**
 * @typedef {object} QueuedFile
 * @property {File} file
 * @property {string} path
 * @property {"waiting" | "sending" | "stored" | "known" | "queued" | "refused" | "skipped"} state
 * @property {number} share sent so far, in [0, 1]
 * @property {string} reason of a refusal, or a note
 * @property {any} [job] that unpacks an archive
 */
/** @typedef {{split: string, source: string}} Destination */

const MAX_FILES = 50;
const MAX_BYTES = 32 * 1024 * 1024;
const ARCHIVE = /\.(zip|tar|tgz|tar\.(gz|bz2|xz))$/i;
const ANNOTATIONS = /\.json$/i;
const IMAGE = /\.(jpe?g|png|webp|gif|bmp|tiff?|avif|heic|heif|jp2|ppm|pgm)$/i;

/** @param {QueuedFile} item */
export const isArchive = (item) => ARCHIVE.test(item.file.name);
/** @param {QueuedFile} item */
export const isAnnotations = (item) => ANNOTATIONS.test(item.file.name);
/** @param {QueuedFile} item */
export const isImage = (item) => item.file.type.startsWith("image/") || IMAGE.test(item.file.name);
/** @param {string} split */
export const isLabelled = (split) => split === "train" || split === "val";

/** @param {{file: File, path: string}} found @returns {QueuedFile} */
export function queued({ file, path }) {
  return { file, path, state: "waiting", share: 0, reason: "" };
}

/**
 * Send all files that wait.
 *
 * @param {QueuedFile[]} items
 * @param {Destination} destination
 * @param {() => void} onChange
 */
export async function sendAll(items, destination, onChange) {
  const waiting = items.filter((item) => item.state === "waiting");
  const requests = isLabelled(destination.split) ? labelledRequests(waiting) : plainRequests(waiting);
  for (const item of waiting.filter((item) => !requests.some(({ files }) => files.includes(item)))) {
    item.state = "skipped";
    item.reason = isAnnotations(item) ? "labels go to train or val" : "neither an image nor a zip";
  }
  onChange();
  for (const request of requests) await sendOne(request, destination, onChange);
}

/**
 * Return why files cannot be sent as labelled ones, or an empty text.
 *
 * @param {QueuedFile[]} items
 */
export function labelledProblem(items) {
  const annotations = items.filter(isAnnotations).length;
  if (items.some(isArchive) || annotations === 1) return "";
  if (annotations > 1) return `There are ${annotations} JSON files: add one at a time, with its images.`;
  return "Labelled images need their boxes: add the COCO JSON too, or a zip with both.";
}

/** @typedef {{path: string, files: QueuedFile[], field: (item: QueuedFile) => string}} PlannedRequest */

/** @param {QueuedFile[]} items @returns {PlannedRequest[]} */
function plainRequests(items) {
  const images = batches(items.filter((item) => !isArchive(item) && isImage(item)));
  const archives = items.filter(isArchive);
  return [
    ...images.map((files) => ({ path: "/images", files, field: () => "files" })),
    ...archives.map((item) => ({ path: "/imports", files: [item], field: () => "archive" })),
  ];
}

/** One request for each zip, and one for the images with their JSON. @param {QueuedFile[]} items @returns {PlannedRequest[]} */
function labelledRequests(items) {
  const field = (/** @type {QueuedFile} */ item) =>
    isArchive(item) ? "archive" : isAnnotations(item) ? "annotations" : "files";
  const archives = items.filter(isArchive);
  const loose = items.filter((item) => !isArchive(item) && (isAnnotations(item) || isImage(item)));
  const requests = archives.map((item) => ({ path: "/labelled-images", files: [item], field }));
  const json = loose.filter(isAnnotations);
  if (json.length === 0 || json.length === loose.length) return requests;
  // the JSON goes with every batch, which stores the images that it has
  const images = batches(loose.filter((item) => !isAnnotations(item)));
  const labelled = images.map((files) => ({ path: "/labelled-images", files: [...json, ...files], field }));
  return [...labelled, ...requests];
}

/**
 * Split files into requests that are neither long nor large.
 *
 * @param {QueuedFile[]} items
 * @returns {QueuedFile[][]}
 */
function batches(items) {
  /** @type {QueuedFile[][]} */
  const made = [];
  let bytes = Infinity;
  for (const item of items) {
    const last = made.at(-1);
    if (!last || last.length === MAX_FILES || bytes + item.file.size > MAX_BYTES) {
      made.push([item]);
      bytes = item.file.size;
    } else {
      last.push(item);
      bytes += item.file.size;
    }
  }
  return made;
}

/** @param {PlannedRequest} request @param {Destination} destination @param {() => void} onChange */
async function sendOne({ path, files, field }, { split, source }, onChange) {
  const body = new FormData();
  body.append("split", split);
  body.append("source", source);
  for (const item of files) body.append(field(item), item.file);
  const sent = files.filter((item) => item.state === "waiting");
  for (const item of sent) item.state = "sending";
  /** @type {Record<string, string>} */
  const headers = path === "/images" ? { Prefer: "respond-async" } : {};
  try {
    const onProgress = (/** @type {number} */ loaded) => {
      share(files, loaded);
      onChange();
    };
    const answer = await upload(path, body, { headers, onProgress });
    settle(path, sent, answer.body, answer.status);
  } catch (error) {
    if (!(error instanceof Problem) || error.status >= 500) {
      for (const item of sent) Object.assign(item, { state: "waiting", share: 0 });
      throw error;
    }
    for (const item of sent) Object.assign(item, { state: "refused", reason: error.message });
  } finally {
    onChange();
  }
}

/** Say how far each file is: they are sent one after another. @param {QueuedFile[]} files @param {number} loaded */
function share(files, loaded) {
  let left = loaded;
  for (const item of files) {
    item.share = Math.min(1, Math.max(0, left / Math.max(1, item.file.size)));
    left -= item.file.size;
  }
}

/** @param {string} path @param {QueuedFile[]} sent @param {any} answer @param {number} status */
function settle(path, sent, answer, status) {
  if (path === "/imports") Object.assign(/** @type {QueuedFile} */ (sent[0]), { state: "queued", job: answer });
  else if (path === "/images") settleImages(sent, answer, status);
  else settleLabelled(sent, answer);
}

/** @param {QueuedFile[]} sent @param {any} answer of one file, or of several @param {number} status */
function settleImages(sent, answer, status) {
  const outcomes = answer.items ?? [{ status, image: answer }];
  for (const [index, item] of sent.entries()) settleFile(item, outcomes[index]);
}

/** @param {QueuedFile} item @param {any} outcome */
function settleFile(item, outcome) {
  if (outcome?.problem) Object.assign(item, { state: "refused", reason: outcome.problem.detail });
  else Object.assign(item, { state: outcome?.status === 200 ? "known" : "stored", share: 1 });
}

/** @param {QueuedFile[]} sent @param {any} answer */
function settleLabelled(sent, answer) {
  const outcomes = new Map(answer.items.map((/** @type {any} */ found) => [nameOf(found.file_name), found]));
  for (const item of sent) {
    if (isArchive(item) || isAnnotations(item)) settleWhole(item, answer);
    else if (outcomes.has(item.file.name)) settleFile(item, outcomes.get(item.file.name));
    else Object.assign(item, { state: "refused", reason: "the JSON has no image of this name" });
  }
}

/** @param {QueuedFile} item a zip, or the JSON @param {any} answer */
function settleWhole(item, answer) {
  const stored = answer.items.filter((/** @type {any} */ found) => !found.problem);
  const boxes = stored.reduce((/** @type {number} */ sum, /** @type {any} */ found) => sum + (found.num_boxes ?? 0), 0);
  const refused = answer.items
    .filter((/** @type {any} */ found) => found.problem)
    .map((/** @type {any} */ found) => `${found.file_name}: ${found.problem.detail}`);
  const missing = answer.problems.map((/** @type {any} */ found) => `${found.item}: ${found.reason}`);
  // loose images are batched: a JSON that names others is no problem then
  const reasons = isArchive(item) ? [...refused, ...missing] : [];
  const note = isArchive(item) ? `${plural(stored.length, "image")} with ${plural(boxes, "box", "boxes")}` : "";
  const rest = reasons.length > 0 ? `${note ? "; " : ""}${plural(reasons.length, "problem")}, the first: ${reasons[0]}` : "";
  Object.assign(item, { state: stored.length > 0 ? "stored" : "refused", share: 1, reason: `${note}${rest}` });
}

/** @param {string} path */
function nameOf(path) {
  return path.split("/").at(-1) ?? path;
}
