// The field to ask in. Enter sends, Shift+Enter makes a new line.

import { el } from "./dom.js";

const MAX_HEIGHT = 200;

/** The field, with `send(text)` and `stop()` to call; `otherwise` is what gets the focus instead. */
export function composer({send, stop, otherwise}) {
  const input = el("textarea", {id: "question", rows: 1, sayPlaceholder: "messageHint", "aria-describedby": "send-hint", oninput: fit, onkeydown: typed});
  const ask = el("button", {id: "send", say: "send"});
  const halt = el("button", {id: "stop", type: "button", say: "stop", hidden: true, onclick: stop});
  let busy = false;

  function fit() {
    input.style.height = "auto";
    input.style.height = `${Math.min(input.scrollHeight + 2, MAX_HEIGHT)}px`;
  }

  function typed(event) {
    if (event.key === "Escape" && busy) stop();
    // While a Korean syllable is composed, Enter ends the syllable. Safari sends it after the composition, as key 229.
    if (event.key !== "Enter" || event.shiftKey || event.isComposing || event.keyCode === 229) return;
    event.preventDefault();
    submit();
  }

  function submit(event) {
    event?.preventDefault();
    const text = input.value.trim();
    if (!text || busy) return;
    input.value = "";
    fit();
    send(text);
  }

  return {
    element: el("form", {id: "composer", onsubmit: submit}, el("label", {class: "unseen", for: "question", say: "message"}),
      el("div", {class: "row"}, input, ask, halt), el("small", {id: "send-hint", class: "soft", say: "sendHint"})),
    /** On a touch screen the keyboard would cover the answer. */
    focus: () => (matchMedia("(pointer: coarse)").matches ? otherwise : input).focus({preventScroll: true}),
    busy(now) {
      // The focus must not be lost with the button that is hidden.
      const focused = document.activeElement === ask || document.activeElement === halt;
      busy = now;
      ask.hidden = now;
      halt.hidden = !now;
      if (focused) (now ? halt : input).focus();
    },
  };
}
