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
      scrollAtEdge(box, last.clientY);
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

// Scrolls a box while the pointer is near its upper or lower edge, or beyond: the farther, the faster.
function scrollAtEdge(box, y) {
  const { top, bottom } = box.getBoundingClientRect();
  box.scrollTop += (Math.min(0, y - top - EDGE) + Math.max(0, y - bottom + EDGE)) / 4;
}

// A rectangle drawn with the mouse over what scrolls in `scroller`; `during(rectangle)`, in pixels of the window, is called
// as it grows, `after` at its end.
export function band(press, scroller, during, after) {
  const box = el("div", { class: "band" });
  const start = scroller.scrollTop;
  let [last, drawn] = [press, ""];
  const draw = () => {
    const from = press.clientY + start - scroller.scrollTop; // where the point is now that was pressed
    const [left, right] = [Math.min(press.clientX, last.clientX), Math.max(press.clientX, last.clientX)];
    const [top, bottom] = [Math.min(from, last.clientY), Math.max(from, last.clientY)];
    if (!box.isConnected && right - left + bottom - top < FAR) return;
    if (!box.isConnected) document.body.append(box);
    if (drawn === `${[left, top, right, bottom]}`) return;
    drawn = `${[left, top, right, bottom]}`;
    const seen = scroller.getBoundingClientRect();
    const [above, below] = [Math.max(top, seen.top), Math.min(bottom, seen.bottom)];
    Object.assign(box.style, { left: `${left}px`, top: `${above}px`, width: `${right - left}px`, height: `${Math.max(0, below - above)}px` });
    during({ left, top, right, bottom });
  };
  let going = true;
  const scroll = () => {
    if (!going) return;
    if (box.isConnected) scrollAtEdge(scroller, last.clientY);
    draw();
    requestAnimationFrame(scroll);
  };
  const moved = (event) => {
    last = event;
    draw();
  };
  const end = () => {
    going = false;
    box.remove();
    removeEventListener("pointermove", moved);
    removeEventListener("pointerup", end);
    removeEventListener("pointercancel", end);
    setTimeout(after, 0); // the press itself moves the focus
  };
  addEventListener("pointermove", moved);
  addEventListener("pointerup", end);
  addEventListener("pointercancel", end);
  requestAnimationFrame(scroll);
}
