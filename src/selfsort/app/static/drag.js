// Dragging with the mouse, a pen or a finger onto anything that says where it leads (data-drop: the key of a group).

import { el } from "./dom.js";

const FAR = 6; // pixels before a press becomes a drag
const EDGE = 56; // pixels from the edge of what scrolls, where it does while something is dragged

// Call when a press begins on something that can be dragged. `begin()` is called when it moves far enough and returns the
// words to carry along; `drop(key)` when it ends on a target.
export function draggable(press, { begin, drop }) {
  if (press.button !== 0 || press.pointerType === "touch") return;
  let carried = null;
  let over = null;
  let last = press;

  const target = (event) => document.elementFromPoint(event.clientX, event.clientY)?.closest("[data-drop]");
  const mark = (next) => {
    if (next === over) return;
    over?.classList.remove("over");
    next?.classList.add("over");
    over = next;
  };
  const scroll = () => {
    if (!carried?.isConnected) return;
    const box = document.elementFromPoint(last.clientX, last.clientY)?.closest(".targets, .scroller, main");
    if (box) {
      const { top, bottom } = box.getBoundingClientRect();
      box.scrollTop += (Math.min(0, last.clientY - top - EDGE) + Math.max(0, last.clientY - bottom + EDGE)) / 4;
      mark(target(last)); // what moved under the pointer
    }
    requestAnimationFrame(scroll);
  };
  const moved = (event) => {
    last = event;
    if (!carried) {
      if (Math.hypot(event.clientX - press.clientX, event.clientY - press.clientY) < FAR) return;
      carried = el("div", { class: "carried" }, begin());
      document.body.append(carried);
      document.body.classList.add("dragging");
      requestAnimationFrame(scroll);
    }
    carried.style.transform = `translate(${event.clientX + 12}px, ${event.clientY + 12}px)`;
    mark(target(event));
  };
  const end = () => {
    mark(null);
    carried?.remove();
    document.body.classList.remove("dragging");
    removeEventListener("pointermove", moved);
    removeEventListener("pointerup", up);
    removeEventListener("pointercancel", end);
    removeEventListener("keydown", escape, true);
  };
  const up = (event) => {
    const [was, on] = [carried, target(event)];
    end();
    if (!was) return;
    addEventListener("click", swallow, { capture: true, once: true });
    setTimeout(() => removeEventListener("click", swallow, { capture: true }), 0);
    if (on) drop(Number(on.dataset.drop));
  };
  const swallow = (event) => {
    event.stopPropagation();
    event.preventDefault();
  };
  const escape = (event) => {
    if (event.key !== "Escape") return;
    event.stopPropagation();
    end();
  };
  addEventListener("pointermove", moved);
  addEventListener("pointerup", up);
  addEventListener("pointercancel", end);
  addEventListener("keydown", escape, true);
}

// A rectangle drawn with the mouse; `during(rectangle)` is called as it grows, `after` at its end.
export function band(press, during, after) {
  const box = el("div", { class: "band" });
  const moved = (event) => {
    const [left, right] = [Math.min(press.clientX, event.clientX), Math.max(press.clientX, event.clientX)];
    const [top, bottom] = [Math.min(press.clientY, event.clientY), Math.max(press.clientY, event.clientY)];
    if (right - left + bottom - top < FAR) return;
    if (!box.isConnected) document.body.append(box);
    Object.assign(box.style, { left: `${left}px`, top: `${top}px`, width: `${right - left}px`, height: `${bottom - top}px` });
    during({ left, top, right, bottom });
  };
  const end = () => {
    box.remove();
    removeEventListener("pointermove", moved);
    removeEventListener("pointerup", end);
    removeEventListener("pointercancel", end);
    setTimeout(after, 0); // the press itself moves the focus
  };
  addEventListener("pointermove", moved);
  addEventListener("pointerup", end);
  addEventListener("pointercancel", end);
}
