// @ts-check
/** Starting a training: its form, what it would do, and its job while it runs. */
import { prepareActivation } from "./activation.js";
import { send } from "./api.js";
import { shotOf, surest } from "./boxes.js";
import { element, input, part } from "./dom.js";
import { count, duration, plural, score } from "./format.js";
import { watchTraining } from "./training_job.js";

const PREVIEW_AFTER_MS = 250;
const page = part("retrain");
const form = page.querySelector("[data-retrain-form]");

/**
 * Return the request that the form describes; what is empty is left to the service's defaults.
 *
 * @param {HTMLFormElement} of
 */
function requestOf(of) {
  /** @type {Record<string, unknown>} */
  const request = {};
  const isNew = input(of, "start_from").value === "new";
  for (const field of of.elements) {
    if (!(field instanceof HTMLInputElement || field instanceof HTMLSelectElement)) continue;
    const { name, value } = field;
    if (!name || value === "") continue;
    if (name === "start_from") {
      if (!isNew) request.start_from = value;
    } else if (name === "hold") request.selection = { hold: value };
    else if (name === "sampler") request.sampler = { name: value };
    else if (name === "architecture" || name === "weights") {
      if (isNew) request[name] = value;
    } else request[name] = field.type === "number" ? Number(value) : value;
  }
  return request;
}

/** @param {HTMLFormElement} of */
function prepareForm(of) {
  let timer = 0;
  let asked = 0;
  const preview = async () => {
    showChoices(of);
    asked += 1;
    const number = asked;
    if (!of.checkValidity()) return;
    const options = { quiet: true };
    const plan = await send("POST", "/retrain/preview", requestOf(of), options).catch((error) => ({ error }));
    if (number !== asked) return; // a newer one is under way
    if (plan.error) showProblem(plan.error);
    else showPlan(of, plan);
  };
  of.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(preview, PREVIEW_AFTER_MS);
  });
  of.addEventListener("submit", async (event) => {
    event.preventDefault();
    const button = /** @type {HTMLButtonElement} */ (part("start"));
    button.disabled = true;
    try {
      const job = await send("POST", "/retrain", requestOf(of));
      location.assign(`${location.pathname}?job=${job.id}`);
    } catch {
      button.disabled = false; // the reason is on the page as a toast, or as the offline line
    }
  });
  window.addEventListener("service-back", preview);
  preview();
}

/** Show the fields that belong to the choice of parent version. @param {HTMLFormElement} of */
function showChoices(of) {
  const isNew = input(of, "start_from").value === "new";
  part("new-detector").hidden = !isNew;
  for (const field of of.querySelectorAll("[data-mining]")) {
    if (field instanceof HTMLElement) field.hidden = isNew;
  }
  const architecture = /** @type {HTMLSelectElement} */ (of.elements.namedItem("architecture"));
  const weights = /** @type {HTMLSelectElement} */ (of.elements.namedItem("weights"));
  const known = architecture.selectedOptions[0]?.dataset.weights?.split(" ").filter(Boolean) ?? [];
  if (weights.dataset.of === architecture.value) return;
  weights.dataset.of = architecture.value;
  const names = { imagenet: "a backbone that knows ImageNet", COCO_V1: "a detector that knows COCO" };
  weights.replaceChildren(
    ...known.map((value) => element("option", { value, text: names[/** @type {keyof names} */ (value)] })),
    element("option", { value: "", text: "random ones" }),
  );
}

/** @param {Error} error */
function showProblem(error) {
  part("plan-loading").hidden = true;
  part("plan-problem").hidden = false;
  part("plan-problem").textContent = error.message;
  for (const name of ["plan-figures", "plan-words", "plan-tiles"]) part(name).replaceChildren();
  part("plan-images").hidden = true;
  /** @type {HTMLButtonElement} */ (part("start")).disabled = true;
}

/** @param {HTMLFormElement} of @param {any} plan */
function showPlan(of, plan) {
  part("plan-loading").hidden = true;
  part("plan-problem").hidden = true;
  /** @type {HTMLButtonElement} */ (part("start")).disabled = false;
  setPlaceholders(of, plan);
  part("plan-figures").replaceChildren(...figuresOf(of, plan));
  part("plan-words").replaceChildren(...wordsOf(of, plan).map((words) => step(...words)));
  part("plan-images").hidden = plan.mined.length === 0;
  const isHardest = input(of, "strategy").value === "hard";
  part("plan-images-title").textContent = isHardest
    ? `The hardest ${count(plan.mined.length)} of the ${count(plan.num_mined)} that would be mined`
    : `${count(plan.mined.length)} of the ${count(plan.num_mined)} that would be mined`;
  part("plan-tiles").replaceChildren(...plan.mined.map(tileOf));
}

/** Show in empty fields what will be used. @param {HTMLFormElement} of @param {any} plan */
function setPlaceholders(of, plan) {
  input(of, "num_negatives").placeholder = String(plan.num_mined);
  input(of, "learning_rate").placeholder = String(plan.learning_rate);
  input(of, "steps_per_epoch").placeholder = String(plan.steps_per_epoch);
}

/** @param {HTMLFormElement} of @param {any} plan */
function figuresOf(of, plan) {
  const epochs = Number(input(of, "epochs").value);
  const rounds = Number(input(of, "iterations").value);
  const time = plan.estimated_s === null ? "–" : duration(plan.estimated_s);
  const timeNote = plan.estimated_s === null ? "no training of this kind yet to tell from" : "as fast as the last one";
  return [
    figure("New negatives", count(plan.num_mined), plan.num_kept ? `and ${count(plan.num_kept)} kept` : "from the pool"),
    figure("Steps", count(plan.num_steps), `${plural(epochs, "epoch")} of ${count(plan.steps_per_epoch)}`),
    figure(rounds > 1 ? "Time of a round" : "Time", time, timeNote),
  ];
}

/** @param {string} name @param {string} value @param {string} note */
function figure(name, value, note) {
  return element(
    "div",
    { class: "figure" },
    element("dt", { text: name }),
    element(
      "dd",
      {},
      element("span", { class: "figure-value", text: value }),
      element("span", { class: "figure-note", text: note }),
    ),
  );
}

/** @param {HTMLFormElement} of @param {any} plan @returns {[string, string, string?][]} title, text, page where to act on it */
function wordsOf(of, plan) {
  const learner = plan.parent_version ?? `A new ${plan.architecture}`;
  const negatives = plan.num_mined + plan.num_kept;
  /** @type {[string, string, string?][]} */
  const words = [
    [
      `${learner} learns from ${plural(plan.num_labelled + negatives, "image")}`,
      `${plural(plan.num_labelled, "labelled image")} with the classes ${plan.class_names.join(", ")}` +
        (negatives ? `, and ${plural(negatives, "image")} without an object: ${plan.num_mined} new, ${plan.num_kept} kept from its own training.` : "."),
    ],
  ];
  if (plan.negatives_per_batch) {
    words.push([`${plan.negatives_per_batch} of ${plan.batch_size} images in every batch are negatives`, "By count, not by chance."]);
  }
  if (plan.pool && plan.pool.scored < plan.pool.images) {
    const left = plural(plan.pool.images - plan.pool.scored, "image");
    words.push([`First it scores ${left} of the pool`, "So other images than these may turn out to be the hardest."]);
  }
  if (plan.num_held) {
    words.push([`${plural(plan.num_held, "image")} held back`, "They look like true objects that nobody has labelled. The round tests its own candidates again.", "/dashboard/held"]);
  }
  words.push([judgedTitle(plan), judgedText(of, plan)]);
  const rounds = Number(input(of, "iterations").value);
  if (rounds > 1) words.push([`Up to ${rounds} rounds`, "Each mines with the version before it. A round that improves neither AP nor false detections is the last."]);
  return words;
}

/** @param {any} plan */
function judgedTitle(plan) {
  if (!plan.num_val) return "Nothing chooses its best epoch";
  return `Chosen by ${plural(plan.num_val, "labelled image")}, judged on ${plural(plan.num_sealed, "sealed one")}`;
}

/** @param {HTMLFormElement} of @param {any} plan */
function judgedText(of, plan) {
  if (!plan.num_val) return "Add labelled images of the split val, or the last epoch is taken unseen.";
  if (!plan.num_sealed) return "Without sealed negatives nobody can say whether it is better: it will only be offered.";
  const texts = {
    auto: "It serves at once if false detections fall and AP hardly drops; otherwise it is refused, and nothing changes.",
    manual: "It waits until a person activates it.",
    never: "It is measured and listed, nothing more.",
  };
  return texts[/** @type {keyof texts} */ (input(of, "promotion").value)];
}

/** @param {string} title @param {string} text @param {string} [page] */
function step(title, text, page) {
  const made = element("li", {}, element("strong", { text: title }), element("span", { class: "muted", text }));
  if (page) made.append(" ", element("a", { href: page, text: "Look at them" }));
  return made;
}

/** @param {any} item */
function tileOf({ image, detections, max_score: highest }) {
  return element(
    "figure",
    { class: "tile" },
    shotOf(image, surest(detections), { labels: false }),
    element(
      "figcaption",
      {},
      element("span", { class: "truncate", text: image.file_name, title: image.file_name }),
      element("span", { text: score(highest) }),
    ),
  );
}

if (form instanceof HTMLFormElement) prepareForm(form);
const job = page.querySelector("[data-job]");
if (job instanceof HTMLElement) watchTraining(job);
prepareActivation();
