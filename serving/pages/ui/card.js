// What is known of the model: its score and the gate first, then the latest requests, then everything.

import { el } from "./dom.js";
import { language, t } from "./words.js";

/** Show the model of a status in a place. */
export function card(place, status) {
  const made = [
    status.champion && tiles("score", scores(status)),
    el("h2", {}, t("lastRequests")), tiles("tiles", requests(status)),
    facts(status),
  ];
  const open = place.querySelector("details")?.open;
  const text = made.map(part => part ? part.textContent : "").join("\n");
  if (place.dataset.text === text) return; // nothing has changed, and a reader keeps its place
  place.dataset.text = text;
  place.replaceChildren(...made.filter(Boolean));
  if (open) place.querySelector("details").open = true;
}

function tiles(id, pairs) {
  return el("dl", {id, class: "tiles"}, pairs.map(([name, value, more]) =>
    el("div", {class: "tile"}, el("dt", {}, name), el("dd", {}, el("b", {}, value), more && el("span", {}, more)))));
}

function scores({tags, champion}) {
  const score = tags["mlops.score"], gate = tags["mlops.gate"], outcome = tags["mlops.outcome"];
  const [before] = (tags["mlops.champion"] || "none").split(" ");
  const against = before === "none" ? t("noComparison") : t("comparedWith", {version: before});
  return [
    score === undefined ? [t("score"), "–", t("noScore")] : [t("score"), number(Number(score)), tags["mlops.metric"]],
    gate && [t("gate"), t(gate === "passed" ? "passed" : "gateRefused"), `${outcome && before !== "none" ? `${t(outcome)}, ` : ""}${against}`],
    [t("version"), String(champion.version), champion.stage || ""],
  ].filter(Boolean);
}

function requests({recent, queue_rows: waiting}) {
  return [
    [t("median"), ms(recent.p50_ms)], [t("p95"), ms(recent.p95_ms)], [t("p99"), ms(recent.p99_ms)],
    [t("counted"), recent.requests.toLocaleString(language())],
    [t("failedShare"), recent.failed === null ? "–" : share(recent.failed)],
    [t("waiting"), waiting.toLocaleString(language())],
  ];
}

function facts(status) {
  const rows = [[t("wanted"), status.wanted]];
  if (status.champion) rows.push([t("run"), status.champion.run_id]);
  if (status.challenger) rows.push([t("challenger"), `${t("version")} ${status.challenger.version}`]);
  const links = Object.entries(status.links).map(([name, url]) => el("a", {href: url, target: "_blank", rel: "noopener noreferrer"}, t(name)));
  const row = (name, ...values) => el("tr", {}, el("th", {scope: "row"}, name), el("td", {}, values));
  return el("details", {}, el("summary", {}, t("tags")), el("table", {id: "card"}, el("tbody", {},
    rows.map(([name, value]) => row(name, String(value))),
    links.length > 0 && row(t("inMlflow"), links.flatMap(link => [link, " "])),
    Object.entries(status.tags).map(([name, value]) => row(name, value)))));
}

/** A number as people read it: four significant digits at least, whole ones as they are. */
export function number(value) {
  const most = Math.abs(value) < 1 ? {maximumSignificantDigits: 4} : {maximumFractionDigits: 4};
  return value.toLocaleString(language(), most);
}

export const share = value => value.toLocaleString(language(), {style: "percent", minimumFractionDigits: 1, maximumFractionDigits: 1});

const ms = value => value === null ? "–" : `${value.toLocaleString(language(), {maximumFractionDigits: value < 10 ? 2 : 0})} ms`;
