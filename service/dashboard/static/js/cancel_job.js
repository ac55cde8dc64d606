// @ts-check
/** The cancelling of jobs. */
import { get, send } from "./api.js";
import { isOpen } from "./job_words.js";
import { toast } from "./toast.js";

/**
 * Cancel a job unless it is over by now, and say so.
 *
 * @param {string | number} id
 * @returns {Promise<any>} the job as it is then
 */
export async function cancelJob(id) {
  const found = await get(`/jobs/${id}`);
  if (!isOpen(found)) {
    toast("The job is over already");
    return found;
  }
  const job = await send("POST", `/jobs/${id}/cancel`);
  if (isOpen(job)) toast("The job stops within one step", { text: "Nothing unfinished is left behind." });
  else toast("The job is cancelled");
  return job;
}
