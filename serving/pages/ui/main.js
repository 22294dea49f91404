// The frame of the page: its head, the key, the state of the service, and the view that fits the model.

import { asFailure, key, send } from "./api.js";
import { card } from "./card.js";
import { chatView } from "./chat.js";
import { el, say, sayAgain } from "./dom.js";
import { formView } from "./form.js";
import { choose, language, LANGUAGES, t } from "./words.js";

const REFRESH_MS = 5_000;

const name = el("h1", {id: "name", say: "title"});
const state = el("span", {id: "state", class: "badge", role: "status", say: "asking"});
const note = el("p", {id: "note", class: "note", hidden: true});
const place = el("div", {id: "view"});
const keyInput = el("input", {id: "key", type: "password", autocomplete: "off", "aria-describedby": "key-hint"});
const keyForm = el("form", {id: "key-form", hidden: true, onsubmit: useKey},
  el("label", {for: "key", say: "key"}), keyInput, el("button", {say: "useKey"}),
  el("small", {id: "key-hint", say: "keyHint"}), el("p", {id: "key-problem", class: "wrong", role: "alert"}));
const changeKey = el("button", {id: "change-key", class: "quiet", type: "button", hidden: true, say: "changeKey", onclick: () => keyForm.hidden ? showKey() : keyForm.hidden = true});
const languages = el("select", {id: "language", sayLabel: "language", onchange: () => speak(languages.value)},
  Object.entries(LANGUAGES).map(([tag, word]) => el("option", {value: tag, lang: tag}, word)));
const about = el("details", {id: "about", hidden: true}, el("summary", {say: "about"}), el("div", {class: "panel"}));

/** The latest status. Views keep this object, so that they see a new version without being made again. */
const latest = {};
let shown = "", view = null;

function speak(tag) {
  choose(tag);
  languages.value = tag;
  document.documentElement.lang = tag;
  sayAgain();
  if ("champion" in latest) card(about.lastChild, latest), showState(latest);
  view?.relabel?.();
}

function showKey() {
  keyForm.hidden = false;
  keyInput.focus();
}

function useKey(event) {
  event.preventDefault();
  key.set(keyInput.value.trim());
  keyInput.value = "";
  keyForm.hidden = true;
  refresh();
}

async function refresh() {
  const used = key.get();
  try {
    Object.assign(latest, await (await send("status")).json());
  } catch (error) {
    if (used === key.get()) failed(asFailure(error)); // else another key was entered, and is asked for by itself
    return;
  }
  if (!shown) keyForm.hidden = true; // later, somebody may be typing another key
  about.hidden = false;
  changeKey.hidden = !key.get();
  showState(latest);
  card(about.lastChild, latest);
  const wanted = JSON.stringify([latest.champion?.name, latest.chat, latest.history, latest.inputs, latest.caller]);
  if (wanted === shown) return;
  shown = wanted;
  view?.close?.();
  view = latest.champion ? (latest.chat ? chatView(place, latest) : formView(place, latest)) : null;
  if (!view) place.replaceChildren();
  document.body.classList.toggle("chats", Boolean(latest.champion && latest.chat));
  about.open = Boolean(latest.champion) && !latest.chat;
}

function failed(failure) {
  const wantsKey = failure.status === 401;
  badge(wantsKey ? "needsKey" : failure.status ? "refusedState" : "unreachable", wantsKey ? "warn" : "bad");
  tell(wantsKey ? "" : failure.detail);
  if (!wantsKey || !keyForm.hidden && !key.get()) return;
  document.getElementById("key-problem").textContent = key.get() ? t(failure.key) : "";
  key.set("");
  changeKey.hidden = about.hidden = true;
  shown = "";
  view?.close?.();
  view = null;
  place.replaceChildren();
  showKey();
}

function showState(status) {
  const model = status.champion;
  if (model) name.textContent = `${model.name} ${model.version}`, name.removeAttribute("data-said");
  else say(name, "noModel");
  document.title = model ? `${model.name} ${model.version}` : t("title");
  if (status.draining) badge("stopping", "warn");
  else if (!model || Object.keys(status.unhealthy).length) badge("notReady", "bad");
  else if (status.stale) badge("registryAway", "warn");
  else badge("ready", "good");
  const refused = Object.entries(status.refused).map(([role, {version, reason}]) => t("refused", {role: t(role), version, reason}));
  tell([status.problem, ...Object.values(status.unhealthy), ...refused].filter(Boolean).join(" "));
}

function badge(key, kind) {
  if (state.dataset.key === key) return; // a status that is said again would be read again
  state.dataset.key = key;
  say(state, key);
  state.className = `badge ${kind}`;
}

function tell(text) {
  note.hidden = !text;
  note.textContent = text;
}

document.body.append(
  el("a", {class: "skip", href: "#main", say: "skip"}),
  el("header", {}, el("div", {class: "who"}, name, state), el("div", {class: "tools"}, changeKey, languages)),
  el("main", {id: "main", tabindex: "-1"}, note, keyForm, about, place),
  el("footer", {}, el("a", {href: "docs", say: "api"}), " · ", el("a", {href: "metrics", say: "metrics"}), " · ", el("a", {href: "openapi.json"}, "OpenAPI")),
);
speak(language());
refresh();
setInterval(() => document.hidden || refresh(), REFRESH_MS);
