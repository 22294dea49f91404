// The latest requests from this browser, for each model and caller.

import { el } from "./dom.js";
import { load, storeNewest } from "./storage.js";
import { language, t } from "./words.js";

const MOST = 20;

/** The requests: `{at, row, result, failed, request}`, the latest first. */
export class History {
  constructor(model, caller) {
    this.name = `history:${model}:${caller}`;
    this.all = load(this.name, []);
  }

  add(request) {
    this.all = storeNewest(this.name, [request, ...this.all], MOST);
  }

  clear() {
    this.all = storeNewest(this.name, [], MOST);
  }
}

/** The history as elements, with `again(row)` and `clear()` to call. */
export function tableOf(history, {again, clear}) {
  const title = el("h2", {}, t("history"));
  if (!history.all.length) return [title, el("p", {class: "soft"}, t("noHistory"))];
  const rows = history.all.map(({at, row, result, failed}) => el("tr", {},
    el("td", {}, el("time", {datetime: new Date(at).toISOString()}, new Date(at).toLocaleString(language()))),
    el("td", {class: failed ? "wrong" : null}, imagesOf(row), result),
    el("td", {class: "row-of"}, typeof row === "object" && !Array.isArray(row) ? Object.entries(row).map(([name, value]) => `${name} ${value?.image?.name ?? JSON.stringify(value)}`).join(", ") : JSON.stringify(row)),
    el("td", {}, el("button", {class: "quiet", type: "button", onclick: () => again(row)}, t("again")))));
  const heads = ["when", "result", "inputs"].map(key => el("th", {scope: "col"}, t(key)));
  return [
    title,
    el("div", {class: "wide", tabindex: "0"}, el("table", {}, el("thead", {}, el("tr", {}, heads, el("td"))), el("tbody", {}, rows))),
    el("p", {class: "soft"}, t("kept"), " ", el("button", {class: "quiet", type: "button", onclick: clear}, t("clear"))),
  ];
}

function imagesOf(row) {
  const images = Object.values(row ?? {}).map(value => value?.image).filter(image => image?.thumbnail);
  return images.map(({name, thumbnail}) => el("img", {class: "of-row", src: thumbnail, alt: name}));
}
