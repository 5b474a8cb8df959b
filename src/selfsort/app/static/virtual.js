// A grid of which only what can be seen is in the document: cells of one size, used again as the view moves.

import { el } from "./dom.js";

// `make()` returns a cell, `fill(cell, index)` shows item `index` in it. `scroller` scrolls; `width()` is the least width
// of a cell, `height(side)` its height for the width that it gets; `settled` is called with the cells in view when scrolling rests.
export function virtual({ scroller, count, width, height, gap, make, fill, settled = () => {}, role, label }) {
  const box = el("div", { class: "virtual", role, "aria-label": label });
  const cells = new Map();
  const free = [];
  let [columns, step, side, total, rest, queued] = [1, 0, 0, count, 0, false];

  function measure() {
    const across = box.clientWidth;
    if (!across) return;
    columns = Math.max(1, Math.floor((across + gap) / (width() + gap)));
    side = (across - gap * (columns - 1)) / columns;
    step = height(side) + gap;
    box.style.height = `${Math.max(0, Math.ceil(total / columns) * step - gap)}px`;
    for (const [index, cell] of cells) place(cell, index);
    show();
  }

  function place(cell, index) {
    const [x, y] = [(index % columns) * (side + gap), Math.floor(index / columns) * step];
    cell.style.transform = `translate(${x}px, ${y}px)`;
    cell.style.width = `${side}px`;
    cell.style.height = `${step - gap}px`;
  }

  function show() {
    queued = false;
    if (!step) return;
    const above = box.getBoundingClientRect().top - scroller.getBoundingClientRect().top;
    const first = Math.max(0, Math.floor((-above - step) / step)) * columns;
    const last = Math.min(total, (Math.ceil((scroller.clientHeight - above) / step) + 1) * columns);
    for (const [index, cell] of cells) {
      if (index < first || index >= last) {
        cells.delete(index);
        cell.hidden = true;
        free.push(cell);
      }
    }
    for (let index = first; index < last; index++) {
      if (cells.has(index)) continue;
      let cell = free.pop();
      if (!cell) box.append((cell = make()));
      cell.hidden = false;
      cells.set(index, cell);
      place(cell, index);
      fill(cell, index);
    }
    settle();
  }

  function settle() {
    clearTimeout(rest);
    rest = setTimeout(() => settled(cells), 120);
  }

  const scrolled = () => {
    if (!queued) requestAnimationFrame(show);
    queued = true;
  };
  const observer = new ResizeObserver(measure);
  observer.observe(box);
  observer.observe(scroller); // how much of the grid can be seen
  scroller.addEventListener("scroll", scrolled, { passive: true });

  return {
    box,
    cells,
    columns: () => columns,
    refill() {
      for (const [index, cell] of cells) fill(cell, index);
      settle();
    },
    resize(n) {
      total = n;
      for (const [index, cell] of cells) {
        if (index >= n) {
          cells.delete(index);
          cell.hidden = true;
          free.push(cell);
        }
      }
      measure();
      this.refill();
    },
    // Scrolls as far as needed to see item `index`, and returns its cell.
    reveal(index) {
      const top = Math.floor(index / columns) * step + box.offsetTop;
      if (top < scroller.scrollTop + 60) scroller.scrollTop = Math.max(0, top - 60);
      else if (top + step > scroller.scrollTop + scroller.clientHeight - 70) scroller.scrollTop = top + step - scroller.clientHeight + 70;
      show();
      return cells.get(index);
    },
    // Items whose cells a rectangle of the window touches.
    within({ left, top, right, bottom }) {
      const at = box.getBoundingClientRect();
      const found = [];
      for (let index = 0; index < total; index++) {
        const [x, y] = [at.left + (index % columns) * (side + gap), at.top + Math.floor(index / columns) * step];
        if (x < right && x + side > left && y < bottom && y + step - gap > top) found.push(index);
      }
      return found;
    },
    close() {
      observer.disconnect();
      scroller.removeEventListener("scroll", scrolled);
      clearTimeout(rest);
    },
  };
}
