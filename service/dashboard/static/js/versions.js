// @ts-check
/** The table of versions: two to compare, and lists for a training elsewhere. */
import { prepareActivation } from "./activation.js";
import { send, withQuery } from "./api.js";
import { input, part } from "./dom.js";
import { toast } from "./toast.js";

const page = part("versions");

/** Compare the two chosen versions, the older one as the one before. */
function prepareChoice() {
  const boxes = [...page.querySelectorAll("[data-choose]")].filter((box) => box instanceof HTMLInputElement);
  if (boxes.length === 0) return;
  const button = /** @type {HTMLButtonElement} */ (part("compare"));
  const chosen = () => boxes.filter((box) => box.checked);
  const show = () => {
    const isFull = chosen().length === 2;
    button.disabled = !isFull;
    for (const box of boxes) box.disabled = isFull && !box.checked;
    for (const box of boxes) box.closest("tr")?.setAttribute("aria-selected", String(box.checked));
  };
  for (const box of boxes) box.addEventListener("change", show);
  button.addEventListener("click", () => {
    const [now, before] = chosen().map((box) => box.value); // the table has the newest first
    location.assign(withQuery("/dashboard/compare", { before, model_version: now }));
  });
  show();
}

/** @param {HTMLFormElement} form @param {() => Promise<void>} act */
function onSubmit(form, act) {
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const button = form.querySelector("button");
    if (button) button.disabled = true;
    try {
      await act();
    } catch {
      // the reason is on the page as a toast, or as the offline line
    } finally {
      if (button) button.disabled = false;
    }
  });
}

/** @param {HTMLFormElement} form */
function prepareFreeze(form) {
  onSubmit(form, async () => {
    const number = input(form, "num_negatives").value;
    await send("POST", "/training-runs", {
      start_from: input(form, "start_from").value,
      strategy: input(form, "strategy").value,
      ...(number ? { num_negatives: Number(number) } : {}),
    });
    location.hash = "elsewhere";
    location.reload();
  });
}

/** @param {HTMLFormElement} form */
function prepareResult(form) {
  const list = /** @type {HTMLElement} */ (form.closest("[data-list]"));
  const status = part("result-status", list);
  onSubmit(form, async () => {
    status.textContent = "Reading the file, and trying the detector on a few images…";
    const body = new FormData();
    body.append("checkpoint", input(form, "checkpoint").files?.[0] ?? "");
    body.append("training_run_id", list.dataset.list ?? "");
    if (input(form, "name").value) body.append("name", input(form, "name").value);
    try {
      const version = await send("POST", "/model-versions", body);
      if (version.job) location.assign(`/dashboard/retrain?job=${version.job.id}`);
      else toast(`${version.name} is here`);
    } finally {
      status.textContent = "";
    }
  });
}

prepareChoice();
prepareActivation();
for (const form of page.querySelectorAll("form")) {
  if (form.matches("[data-freeze-form]")) prepareFreeze(form);
  if (form.matches("[data-result-form]")) prepareResult(form);
}
