// @ts-check
/** The history and the progress of a job, as they happen. */

/**
 * Follow a job's events from its first one; the returned function stops it.
 *
 * @param {number | string} jobId
 * @param {{onLine: (line: any) => void, onProgress?: (job: any) => void, onEnd?: () => void}} listener
 * @returns {() => void}
 */
export function followJob(jobId, { onLine, onProgress, onEnd }) {
  const source = new EventSource(`/jobs/${jobId}/events`);
  const data = (/** @type {Event} */ event) => JSON.parse(/** @type {MessageEvent} */ (event).data);
  for (const kind of ["state", "log"]) {
    source.addEventListener(kind, (event) => onLine(data(event)));
  }
  source.addEventListener("progress", (event) => onProgress?.(data(event)));
  source.addEventListener("end", () => {
    source.close();
    onEnd?.();
  });
  const stop = () => source.close();
  window.addEventListener("pagehide", stop);
  return stop;
}
