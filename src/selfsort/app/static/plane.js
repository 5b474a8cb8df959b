// A plane to move about in with mouse, finger and keyboard: what the map of pictures and the map of the world share.

import { color, el } from "./dom.js";

// `draw(pen, view)` paints; view has scale k, offset x, y, and the size of the window. `pick(x, y)` answers a click,
// `lasso(inside)` the end of a lasso, `inside(x, y)` telling whether a point of the window lies in it.
// By keyboard, what is nearest to the middle is picked (with `far`, Infinity, behind its place), or `toggle`d in the selection. One may zoom out to `most`, twice the extent else.
export function plane({ label, extent, draw, pick, toggle: select, lasso, hover = () => {}, most = () => null }) {
  const canvas = el("canvas", { tabIndex: 0, role: "application", "aria-label": label });
  const toggle = el("button", { type: "button", "aria-pressed": "false", onclick: () => setLasso(!lassoing) }, "Lasso");
  const tools = el("div", { class: "planetools" }, toggle,
    el("button", { type: "button", "aria-label": "Closer", onclick: () => zoom(1.5) }, "+"),
    el("button", { type: "button", "aria-label": "Farther", onclick: () => zoom(1 / 1.5) }, "−"),
    el("button", { type: "button", onclick: () => fit() }, "Whole"));
  const box = el("div", { class: "plane" }, canvas, tools);
  const pen = canvas.getContext("2d");
  const view = { k: 1, x: 0, y: 0, width: 0, height: 0 };
  const fingers = new Map();
  let [lassoing, path, queued, least, moved] = [false, null, false, 1, false];

  function setLasso(on) {
    lassoing = on;
    toggle.setAttribute("aria-pressed", String(on));
    canvas.classList.toggle("lasso", on);
  }

  function fit() {
    const { left, top, right, bottom } = extent();
    view.k = Math.min((view.width - 64) / (right - left || 1), (view.height - 64) / (bottom - top || 1));
    const far = most();
    least = far ? Math.min(view.k, view.width / (far.right - far.left), view.height / (far.bottom - far.top)) : view.k / 2;
    view.x = (view.width - (left + right) * view.k) / 2;
    view.y = (view.height - (top + bottom) * view.k) / 2;
    paint();
  }

  function zoom(by, x = view.width / 2, y = view.height / 2) {
    const k = Math.max(least, Math.min(view.k * by, least * 2000));
    view.x = x - ((x - view.x) * k) / view.k;
    view.y = y - ((y - view.y) * k) / view.k;
    view.k = k;
    paint();
  }

  function paint() {
    if (!queued) requestAnimationFrame(now);
    queued = true;
  }

  function now() {
    queued = false;
    const density = Math.min(2, devicePixelRatio || 1);
    pen.setTransform(density, 0, 0, density, 0, 0);
    pen.clearRect(0, 0, view.width, view.height);
    draw(pen, view);
    if (canvas.matches(":focus-visible")) cross();
    if (path?.length > 1) {
      pen.beginPath();
      path.forEach(([x, y], i) => (i ? pen.lineTo(x, y) : pen.moveTo(x, y)));
      pen.closePath();
      pen.strokeStyle = color("var(--accent)");
      pen.lineWidth = 2;
      pen.setLineDash([6, 4]);
      pen.stroke();
      pen.setLineDash([]);
      pen.globalAlpha = 0.12;
      pen.fillStyle = pen.strokeStyle;
      pen.fill();
      pen.globalAlpha = 1;
    }
  }

  // What the keyboard is about.
  function cross() {
    const [x, y] = middle();
    pen.strokeStyle = color("var(--accent)");
    pen.lineWidth = 2;
    pen.beginPath();
    for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1]]) {
      pen.moveTo(x + 5 * dx, y + 5 * dy);
      pen.lineTo(x + 16 * dx, y + 16 * dy);
    }
    pen.stroke();
  }
  const middle = () => [view.width / 2, view.height / 2];
  canvas.addEventListener("focus", paint);
  canvas.addEventListener("blur", paint);

  const at = (event) => {
    const place = canvas.getBoundingClientRect();
    return [event.clientX - place.left, event.clientY - place.top];
  };
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    fingers.set(event.pointerId, at(event));
    moved = false;
    if ((lassoing || event.shiftKey) && fingers.size === 1) path = [at(event)];
  });
  canvas.addEventListener("pointermove", (event) => {
    const before = fingers.get(event.pointerId);
    const [x, y] = at(event);
    if (!before) return hover(x, y);
    if (Math.hypot(x - before[0], y - before[1]) > 3) moved = true;
    if (path) {
      path.push([x, y]);
    } else if (fingers.size === 1 && moved) {
      view.x += x - before[0];
      view.y += y - before[1];
      fingers.set(event.pointerId, [x, y]);
    } else if (fingers.size === 2) {
      const [other] = [...fingers].filter(([id]) => id !== event.pointerId).map(([, place]) => place);
      const by = Math.hypot(x - other[0], y - other[1]) / Math.max(1, Math.hypot(before[0] - other[0], before[1] - other[1]));
      fingers.set(event.pointerId, [x, y]);
      zoom(by, (x + other[0]) / 2, (y + other[1]) / 2);
    }
    return paint();
  });
  const up = (event) => {
    if (!fingers.delete(event.pointerId)) return;
    if (path) {
      const shape = new Path2D();
      path.forEach(([x, y], i) => (i ? shape.lineTo(x, y) : shape.moveTo(x, y)));
      shape.closePath();
      pen.setTransform(1, 0, 0, 1, 0, 0);
      if (path.length > 2) lasso((x, y) => pen.isPointInPath(shape, x, y));
      path = null;
      paint();
    } else if (!moved && event.type === "pointerup") {
      pick(...at(event));
    }
  };
  canvas.addEventListener("pointerup", up);
  canvas.addEventListener("pointercancel", up);
  canvas.addEventListener("pointerleave", () => hover(-1, -1));
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    zoom(1.0015 ** -event.deltaY, ...at(event));
  }, { passive: false });
  canvas.addEventListener("keydown", (event) => {
    const steps = { ArrowLeft: [60, 0], ArrowRight: [-60, 0], ArrowUp: [0, 60], ArrowDown: [0, -60] };
    if (event.key in steps) {
      view.x += steps[event.key][0];
      view.y += steps[event.key][1];
      paint();
    } else if (event.key === "+" || event.key === "=") zoom(1.3);
    else if (event.key === "-") zoom(1 / 1.3);
    else if (event.key === "0") fit();
    else if (event.key === "Enter") pick(...middle(), Infinity);
    else if (event.key === " ") select(...middle());
    else if (event.key === "a" && (event.ctrlKey || event.metaKey)) lasso((x, y) => x >= 0 && y >= 0 && x < view.width && y < view.height);
    else return;
    event.preventDefault();
    event.stopPropagation();
  });
  const observer = new ResizeObserver(() => {
    const [first, density] = [!view.width, Math.min(2, devicePixelRatio || 1)];
    [view.width, view.height] = [box.clientWidth, box.clientHeight];
    [canvas.width, canvas.height] = [Math.round(view.width * density), Math.round(view.height * density)];
    if (first && view.width) fit();
    else paint();
  });
  observer.observe(box);
  return { box, canvas, view, tools, paint, fit, close: () => observer.disconnect() };
}
