// @ts-check
/** Files that a person drops or chooses, with those in folders and their subfolders. */

/** @typedef {{file: File, path: string}} Found the path begins with the dropped folder */

/**
 * Return the files of a drop. Call it at once in the listener: the browser forgets the items after.
 *
 * @param {DataTransfer} dropped
 * @returns {Promise<Found[]>}
 */
export async function droppedFiles(dropped) {
  const entries = [...dropped.items].map((item) => item.webkitGetAsEntry()).filter((entry) => entry !== null);
  const found = [];
  for (const entry of entries) found.push(...(await filesOf(entry)));
  return found;
}

/** @param {FileList | null} chosen @returns {Found[]} */
export function chosenFiles(chosen) {
  const files = [...(chosen ?? [])];
  const found = files.map((file) => ({ file, path: file.webkitRelativePath || file.name }));
  return found.filter(({ path }) => !isHidden(path)).sort(byPath);
}

/** @param {FileSystemEntry} entry @returns {Promise<Found[]>} */
async function filesOf(entry) {
  if (isHidden(entry.name)) return [];
  if (entry.isFile) return [{ file: await fileOf(entry), path: entry.fullPath.replace(/^\//, "") }];
  const found = [];
  for (const child of await childrenOf(entry)) found.push(...(await filesOf(child)));
  return found.sort(byPath);
}

/** @param {FileSystemEntry} entry @returns {Promise<File>} */
function fileOf(entry) {
  return new Promise((resolve, reject) => /** @type {FileSystemFileEntry} */ (entry).file(resolve, reject));
}

/** Return all entries of a folder; the browser hands them out by the hundred. @param {FileSystemEntry} entry @returns {Promise<FileSystemEntry[]>} */
async function childrenOf(entry) {
  const reader = /** @type {FileSystemDirectoryEntry} */ (entry).createReader();
  const children = [];
  for (;;) {
    /** @type {FileSystemEntry[]} */
    const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
    if (some.length === 0) return children;
    children.push(...some);
  }
}

/** Such as `.DS_Store`, and the copies of names that macOS puts into zips. @param {string} path */
function isHidden(path) {
  return path.split("/").some((name) => name.startsWith(".") || name === "__MACOSX" || name === "Thumbs.db");
}

/** @param {Found} first @param {Found} second */
function byPath(first, second) {
  return first.path.localeCompare(second.path, "en", { numeric: true });
}
