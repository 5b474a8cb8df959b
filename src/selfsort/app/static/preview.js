// Small previews of pictures: the run's own ones at once, sharper ones in their place when scrolling rests.

import { source } from "./data.js";
import { el } from "./dom.js";

const AT_ONCE = 3; // sharp ones that are asked for at once: the server makes them, and the browser has few connections
const small = new Set(); // images whose small preview is on its way
const sharp = new Set(); // images whose sharp one is on its way
const wanting = new Set(); // images that wait for theirs until all small ones are there

export const preview = () => {
  const image = el("img", { alt: "", draggable: false, decoding: "async" });
  for (const name of ["load", "error"]) image.addEventListener(name, () => arrived(image));
  return image;
};

function arrived(image) {
  small.delete(image);
  sharp.delete(image);
  next();
}

// Shows a picture, unless it is shown already.
export function show(image, row) {
  if (image.small === source(row, "small")) return;
  Object.assign(image, { small: source(row, "small"), sharp: source(row, "tile") });
  sharp.delete(image);
  wanting.delete(image);
  small.add(image);
  image.removeAttribute("src"); // nothing of the picture before it
  image.src = image.small;
}

// Asks for the sharp one, once there is time.
export function sharpen(image) {
  if (image.getAttribute("src") !== image.sharp) wanting.add(image);
  next();
}

function next() {
  for (const image of wanting) {
    if (small.size || sharp.size >= AT_ONCE) return;
    wanting.delete(image);
    if (!image.checkVisibility()) continue; // it is out of sight again
    sharp.add(image);
    image.src = image.sharp;
  }
}
