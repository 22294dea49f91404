// Conversations, kept in this browser for each model and caller, and their list. See docs/decisions/0325.

import { el } from "./dom.js";
import { load, storeNewest } from "./storage.js";

const MOST = 50, TITLE_CHARS = 60;

/** An id that nobody guesses: without API keys it is all that protects a conversation. */
export function newId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return [...bytes].map(byte => byte.toString(16).padStart(2, "0")).join("");
}

/** The conversations of a model and a caller: `{id, title, messages}`, the latest first. */
export class Conversations {
  constructor(model, caller) {
    this.name = `conversations:${model}:${caller}`;
    this.all = load(this.name, []);
  }

  /** Store a conversation, and make it the first. */
  save(conversation) {
    conversation.title ||= conversation.messages[0].text.slice(0, TITLE_CHARS);
    this.all = storeNewest(this.name, [conversation, ...this.others(conversation.id)], MOST);
  }

  /** Store a conversation again, unless it was deleted meanwhile. */
  update(conversation) {
    if (this.all.some(each => each.id === conversation.id)) this.save(conversation);
  }

  /** The other conversations, as they are stored by now: another tab may have changed them. */
  others(id) {
    return load(this.name, this.all).filter(each => each.id !== id);
  }

  /** Forget a conversation. */
  remove(id) {
    this.all = storeNewest(this.name, this.others(id), MOST);
  }
}

/** The list as elements. `actions` has `begin`, `open(conversation)` and `remove(conversation)`; `now` is the open one's id. */
export function listOf(conversations, now, actions) {
  const items = conversations.all.map(each => {
    const label = el("button", {class: "thread", type: "button", title: each.title, onclick: () => actions.open(each), "aria-current": each.id === now ? "true" : null}, each.title);
    const remove = el("button", {class: "icon", type: "button", onclick: () => actions.remove(each)}, "×");
    remove.setAttribute("aria-label", actions.labelOfRemove(each));
    return el("li", {}, label, remove);
  });
  return [
    el("button", {id: "new", class: "wide-button", type: "button", say: "newConversation", onclick: actions.begin}),
    el("h2", {say: "conversations"}),
    items.length ? el("ul", {class: "threads"}, items) : el("p", {class: "soft", say: "noConversations"}),
    el("p", {class: "soft", say: "kept"}),
  ];
}
