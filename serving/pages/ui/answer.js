// A prediction in words: the class with its name and probability, a number, or whatever it is.

import { number, share } from "./card.js";
import { el } from "./dom.js";
import { show } from "./markdown.js";
import { t } from "./words.js";

const MOST = 10;

/** The answer as elements: a sentence, the classes with bars, and the service's own answer. */
export function answerOf(said, status) {
  const classes = probabilitiesOf(said, status), text = said.predictions;
  const sentence = typeof text === "string" ? el("div", {class: "markdown"}) : el("p", {class: "sentence"}, summaryOf(said, status));
  if (typeof text === "string") show(text, sentence);
  return [
    sentence,
    classes && el("ul", {class: "bars"}, classes.slice(0, MOST).map(barOf)),
    el("details", {}, el("summary", {}, t("details")), el("pre", {id: "raw", tabindex: "0"}, JSON.stringify(said, null, 2))),
  ].filter(Boolean);
}

/** The answer in one line. */
export function summaryOf(said, status) {
  const label = status.label || t("prediction"), classes = probabilitiesOf(said, status), value = said.predictions;
  if (said.labels && Array.isArray(value)) return said.labels.map((name, at) => `${name} ${number(value[at])}`).join(", ");
  if (classes) return `${t("mostLikely", {label, value: String(classes[0][0])})}, ${t("withProbability", {share: share(classes[0][1])})}`;
  return t("isValue", {label, value: typeof value === "number" ? number(value) : typeof value === "string" ? value : JSON.stringify(value)});
}

/** Pairs of class and probability, the likeliest first; null where the model has no classes. */
function probabilitiesOf({predictions, classes}) {
  if (!classes) return null;
  const all = Array.isArray(predictions) ? predictions : [1 - predictions, predictions];
  if (all.length !== classes.length || !all.every(Number.isFinite)) return null;
  return classes.map((name, at) => [name, all[at]]).sort((one, other) => other[1] - one[1]);
}

function barOf([name, probability]) {
  const bar = el("progress", {value: probability, max: 1, "aria-hidden": "true"});
  return el("li", {}, el("span", {class: "name"}, String(name)), bar, el("span", {class: "share"}, share(probability)));
}
