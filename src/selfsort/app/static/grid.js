// Pictures in a grid: looked at, selected by click, Shift, Ctrl, rectangle or keyboard, dragged to a group.

import * as actions from "./actions.js";
import { HIDDEN, LOCKED, on, now, run } from "./data.js";
import { $, clickedFirst, el, icon, pictures } from "./dom.js";
import { band, draggable } from "./drag.js";
import { preview, sharpen, show } from "./preview.js";
import { selection } from "./selection.js";
import { look } from "./viewer.js";
import { virtual } from "./virtual.js";

// What a drop target says that makes a new group; no group has this key.
export const NEW = 0;

// `rows()` gives the rows to show; it is asked again by `refresh`.
export function pictureGrid(scroller, rows, label) {
  let shown = rows();
  let [active, anchor, choosing] = [0, 0, false];

  const grid = virtual({
    scroller, count: shown.length, width: () => (innerWidth < 600 ? 104 : 150), height: (side) => side, gap: 6, make, fill, settled, role: "listbox", label,
  });
  grid.box.setAttribute("aria-multiselectable", "true");
  grid.box.classList.add("pictures");
  const off = on("selection", mark);

  function make() {
    return el("div", { class: "tile", role: "option" }, preview(), el("span", { class: "marks", "aria-hidden": "true" }));
  }

  function fill(cell, index) {
    const row = shown[index];
    const [image, marks] = cell.children;
    cell.index = index;
    if (cell.row !== row) fit(image, row);
    cell.row = row;
    show(image, row);
    const flags = now.flags[row];
    marks.replaceChildren(...(flags & LOCKED ? [icon("locked")] : []), ...(flags & HIDDEN ? [icon("hidden")] : []));
    cell.setAttribute("aria-posinset", index + 1); // cells are used again, so their order in the document says nothing
    cell.setAttribute("aria-setsize", shown.length);
    cell.setAttribute("aria-label", run.names?.[row] ?? `Picture ${row}`);
    cell.setAttribute("aria-selected", selection.has(row));
    cell.tabIndex = index === active ? 0 : -1;
  }

  // The run's own thumbnails are squashed to squares: the element gets the picture's shape, the cell cuts it off.
  function fit(image, row) {
    const aspect = Math.min(4, Math.max(0.25, run.width[row] / run.height[row] || 1));
    image.style.width = `${Math.max(1, aspect) * 100}%`;
    image.style.height = `${Math.max(1, 1 / aspect) * 100}%`;
    image.style.left = `${(1 - Math.max(1, aspect)) * 50}%`;
    image.style.top = `${(1 - Math.max(1, 1 / aspect)) * 50}%`;
  }

  function settled(cells) {
    for (const cell of cells.values()) sharpen(cell.firstChild);
  }

  function mark() {
    for (const cell of grid.cells.values()) cell.setAttribute("aria-selected", selection.has(cell.row));
  }

  // What is there already is not moved into sight if it is `still`: the pointer is on it, or the eye.
  function activate(index, { still = false } = {}) {
    const before = grid.cells.get(active);
    if (before) before.tabIndex = -1;
    active = Math.max(0, Math.min(shown.length - 1, index));
    const cell = (still && grid.cells.get(active)) || grid.reveal(active);
    if (cell) {
      cell.tabIndex = 0;
      cell.focus({ preventScroll: true });
    }
  }

  const range = (from, to) => shown.slice(Math.min(from, to), Math.max(from, to) + 1);
  const open = (index) => look(shown[index]);

  function focus(row, how) {
    if (shown.length) activate(Math.max(shown.indexOf(row), 0), how);
    else $("main").focus();
  }

  let firstRow = -1; // of the first click of two

  function clicked(cell, event) {
    activate(cell.index, { still: true });
    if (event.detail < 2) firstRow = cell.row;
    if (event.shiftKey) selection.set(range(anchor, cell.index));
    else if (event.ctrlKey || event.metaKey) selection.toggle(cell.row);
    else if (event.pointerType === "touch") return selection.size || choosing ? selection.toggle(cell.row) : open(cell.index);
    else selection.set(selection.size === 1 && selection.has(cell.row) ? [] : [cell.row]);
    if (!event.shiftKey) anchor = cell.index;
    return undefined;
  }

  let [held, taken] = [0, false];
  grid.box.addEventListener("click", (event) => {
    const cell = event.target.closest(".tile");
    if (cell && !taken) clicked(cell, event);
    taken = false;
  });
  grid.box.addEventListener("contextmenu", (event) => event.pointerType === "touch" && event.preventDefault()); // a long press selects
  const opened = () => { // wherever the second click was: the first one may have moved the tiles, or put a bar over them
    const index = grid.box.contains(clickedFirst()) ? shown.indexOf(firstRow) : -1;
    if (index >= 0 && !document.querySelector("dialog[open]")) open(index);
  };
  addEventListener("dblclick", opened);
  const pressed = (event) => {
    taken = false;
    if (event.button !== 0 || event.target.closest("button, input, a, select, dialog")) return;
    const cell = event.target.closest(".tile");
    if (!cell) {
      if (event.pointerType === "touch") return;
      const before = event.ctrlKey || event.metaKey || event.shiftKey ? selection.rows() : [];
      if (!before.length) selection.clear();
      let last = [];
      band(event, scroller, (rectangle) => {
        last = grid.within(rectangle);
        selection.set([...before, ...last.map((index) => shown[index])]);
      }, () => last.length && activate(last[0], { still: true }));
      return;
    }
    if (event.pointerType === "touch") {
      clearTimeout(held);
      held = setTimeout(() => {
        selection.toggle(cell.row);
        taken = true; // the click that follows is of the same press
      }, 500);
      const moved = ({ clientX, clientY }) => Math.hypot(clientX - event.clientX, clientY - event.clientY) > 10 && release();
      const release = () => {
        clearTimeout(held);
        cell.removeEventListener("pointermove", moved);
      };
      cell.addEventListener("pointermove", moved);
      for (const name of ["pointerup", "pointercancel"]) cell.addEventListener(name, release, { once: true });
      return;
    }
    draggable(event, {
      begin() {
        if (!selection.has(cell.row)) selection.set([cell.row]);
        return pictures(selection.size);
      },
      drop: (key) => (key === NEW ? actions.newGroup() : actions.move(key)),
    });
  };
  scroller.addEventListener("pointerdown", pressed);

  grid.box.addEventListener("keydown", (event) => {
    const page = grid.columns() * Math.max(1, Math.floor(scroller.clientHeight / 160) - 1);
    const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -grid.columns(), ArrowDown: grid.columns(), PageUp: -page, PageDown: page, Home: -shown.length, End: shown.length };
    if (event.key in steps && !event.altKey && !event.ctrlKey && !event.metaKey) {
      event.preventDefault();
      activate(active + steps[event.key]);
      if (event.shiftKey) selection.set(range(anchor, active));
      else anchor = active;
    } else if (event.key === " ") {
      event.preventDefault();
      selection.toggle(shown[active]);
      anchor = active;
    } else if (event.key === "Enter") {
      event.preventDefault();
      open(active);
    } else if (event.key === "a" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      selection.set(shown);
    }
  });

  return {
    box: grid.box,
    rows: () => shown,
    // Whether a tap selects a picture instead of opening it.
    choose: (on) => { choosing = on; },
    focus: (row = shown[active], how) => focus(row, how),
    // The picture that the keyboard is about.
    at: () => shown[active],
    refresh() {
      const focused = grid.box.contains(document.activeElement);
      shown = rows();
      active = Math.max(0, Math.min(active, shown.length - 1));
      anchor = Math.min(anchor, active);
      grid.resize(shown.length);
      if (focused) focus(shown[active], { still: true });
    },
    close() {
      off();
      removeEventListener("dblclick", opened);
      grid.close();
      scroller.removeEventListener("pointerdown", pressed);
    },
  };
}
