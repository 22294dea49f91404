// The field for an image: a file chooser that also takes files that are dropped on it, with a preview.

import { el, say } from "./dom.js";
import { language } from "./words.js";

const TYPES = "image/png,image/jpeg,image/webp,image/gif,image/bmp";
/** Pixels of a thumbnail, and bytes of a file that the history keeps whole. */
const THUMBNAIL = 96, SMALL = 16 * 1024;

/** The input of a field: `{element, node, file, write}`. `write` takes a File, base64, or nothing. */
export function imageInput(made, hint) {
  const node = el("input", {...made, type: "file", accept: TYPES, "aria-describedby": `${made["aria-describedby"]} ${hint}`});
  const picture = el("img", {alt: "", hidden: true}), about = el("p", {class: "soft", role: "status"});
  const remove = el("button", {class: "quiet", type: "button", hidden: true, say: "removeImage", onclick: () => (write(null), node.focus())});
  const element = el("div", {class: "drop"}, node, el("p", {id: hint, class: "soft", say: "imageHint"}), el("div", {class: "preview"}, picture, el("div", {}, about, remove)));
  let shown = 0;

  function write(value) {
    const chosen = new DataTransfer();
    if (typeof value === "string" && value) value = fileOf(value);
    if (value instanceof File) chosen.items.add(value);
    node.files = chosen.files;
    show();
  }

  async function show() {
    const file = node.files[0], turn = shown += 1;
    picture.hidden = remove.hidden = !file;
    about.textContent = "";
    about.removeAttribute("data-said");
    if (!file) return picture.removeAttribute("src");
    const [url, size] = await Promise.all([dataUrl(file), sizeOf(file)]);
    if (turn !== shown) return; // another file has been chosen meanwhile
    picture.src = url;
    picture.hidden = !size;
    say(about, size ? "imageIs" : "imageUnseen", {name: file.name, size: bytes(file.size), ...size});
  }

  node.addEventListener("change", show);
  for (const name of ["dragenter", "dragover"]) element.addEventListener(name, event => (event.preventDefault(), element.classList.add("over")));
  for (const name of ["dragleave", "drop"]) element.addEventListener(name, () => element.classList.remove("over"));
  element.addEventListener("drop", event => {
    event.preventDefault();
    if (event.dataTransfer.files.length) write(event.dataTransfer.files[0]), node.focus();
  });
  return {element, node: () => node, file: () => node.files[0], write};
}

/** What the history keeps of a file: its name, a thumbnail, and a small file whole. */
export async function keptImage(file) {
  const whole = file.size <= SMALL ? await dataUrl(file) : undefined;
  return {name: file.name, thumbnail: await sizeOf(file) ? whole ?? await thumbnailOf(file) : undefined, whole};
}

/** The File of a data URL or of base64. */
export function fileOf(text, name = "example") {
  const letters = atob(text.slice(text.indexOf(",") + 1));
  return new File([Uint8Array.from(letters, letter => letter.charCodeAt(0))], name);
}

function dataUrl(file) {
  return new Promise((good, bad) => {
    const reader = new FileReader();
    reader.onload = () => good(reader.result);
    reader.onerror = () => bad(reader.error);
    reader.readAsDataURL(file);
  });
}

/** Width and height; null for a file that the browser cannot show. */
async function sizeOf(file) {
  try {
    const image = await createImageBitmap(file);
    return {width: image.width, height: image.height};
  } catch {
    return null;
  }
}

async function thumbnailOf(file) {
  const image = await createImageBitmap(file), scale = Math.min(1, THUMBNAIL / Math.max(image.width, image.height));
  const canvas = el("canvas", {width: Math.max(1, Math.round(image.width * scale)), height: Math.max(1, Math.round(image.height * scale))});
  canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
  return canvas.toDataURL("image/webp", 0.8);
}

function bytes(count) {
  const [unit, value] = count < 1e6 ? ["kilobyte", count / 1e3] : ["megabyte", count / 1e6];
  return value.toLocaleString(language(), {style: "unit", unit, maximumFractionDigits: value < 10 ? 1 : 0});
}
