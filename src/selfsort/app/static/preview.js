// Small previews of pictures: the run's own one at once, a sharper one in its place when scrolling rests.

import { source } from "./data.js";
import { el } from "./dom.js";

export const preview = () => {
  const image = el("img", { alt: "", draggable: false, decoding: "async" });
  for (const name of ["load", "error"]) image.addEventListener(name, () => image.waits && sharpen(image));
  return image;
};

// Shows a picture, unless it is shown already. The small ones go before all sharp ones that still wait.
export function show(image, row) {
  const small = source(row, "small");
  if (image.small === small) return;
  Object.assign(image, { small, sharp: source(row, "tile"), waits: false, fetchPriority: "high" });
  image.removeAttribute("src"); // nothing of the picture before it
  image.src = small;
}

// Asks for the sharp one once the small one is there: a new address stops the loading of the one before.
export function sharpen(image) {
  image.waits = !image.complete;
  if (image.waits || image.getAttribute("src") === image.sharp) return;
  image.fetchPriority = "low";
  image.src = image.sharp;
}
