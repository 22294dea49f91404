// Server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html) of an answer to a POST.

/** The events of an answer: `{event, data}`, with the text of its data. */
export async function* events(answer) {
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "", event = "", data = [];
  try {
    for (;;) {
      const {done, value} = await reader.read();
      if (done) return;
      const lines = (rest + value).split("\n");
      rest = lines.pop();
      for (const line of lines.map(each => each.replace(/\r$/, ""))) {
        if (line.startsWith("event:")) event = line.slice(6).trim();
        else if (line.startsWith("data:")) data.push(line.slice(5).replace(/^ /, ""));
        else if (line === "" && data.length) {
          yield {event, data: data.join("\n")};
          event = "", data = [];
        }
      }
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}
