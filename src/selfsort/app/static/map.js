// The map of all pictures: what is alike lies close together.

import { isShown, now, on, run, source, title } from "./data.js";
import { color, el, isDark } from "./dom.js";
import { plane } from "./plane.js";
import { selection } from "./selection.js";
import { look } from "./viewer.js";

const NONE = 65535;
const TURN = 137.508; // degrees, so that groups whose keys follow each other get colors far apart

// By its key, which a group keeps, also when all are grouped again.
export const colorOf = (key, dark) => `hsl(${(((key * TURN) % 360) + 360) % 360} ${60 + (Math.abs(key) % 3) * 12}% ${dark ? 62 : 42}%)`;

export function map(scroller) {
  const tip = el("figure", { class: "tip", hidden: true }, el("img", { alt: "" }), el("figcaption"));
  const faces = new Map();
  let placed = [];
  const chart = plane({ label: "Map of all pictures. Arrows move, + and - zoom; Enter opens the picture in the middle, Space selects it, Ctrl+A selects all in sight. Shift and drag draws a lasso.", extent, draw, pick, toggle, lasso, hover });
  chart.box.append(tip);
  scroller.replaceChildren(chart.box);
  scroller.classList.add("fixed");
  const off = on("selection", chart.paint);
  refresh();

  function refresh() {
    placed = [];
    for (let row = 0; row < run.n; row++) if (run.x[row] !== undefined && run.x[row] !== NONE && isShown(row)) placed.push(row);
    chart.paint();
  }

  function extent() {
    let [left, top, right, bottom] = [Infinity, Infinity, -Infinity, -Infinity];
    for (const row of placed) {
      [left, right] = [Math.min(left, run.x[row]), Math.max(right, run.x[row])];
      [top, bottom] = [Math.min(top, run.y[row]), Math.max(bottom, run.y[row])];
    }
    return placed.length ? { left, top, right, bottom } : { left: 0, top: 0, right: 1, bottom: 1 };
  }

  function draw(pen, { k, x, y, width, height }) {
    const dark = isDark();
    const colors = now.groups.map((group) => colorOf(group.key, dark));
    const dot = Math.max(2, Math.min(7, 2 + Math.sqrt((width * height) / Math.max(1, placed.length)) / 12));
    const seen = [];
    const byGroup = new Map();
    for (const row of placed) {
      const [px, py] = [run.x[row] * k + x, run.y[row] * k + y];
      if (px < -40 || py < -40 || px > width + 40 || py > height + 40) continue;
      seen.push(row);
      if (!byGroup.has(now.group[row])) byGroup.set(now.group[row], []);
      byGroup.get(now.group[row]).push(px, py);
    }
    for (const [group, places] of byGroup) {
      pen.fillStyle = group < 0 ? "#8888" : colors[group];
      for (let i = 0; i < places.length; i += 2) pen.fillRect(places[i] - dot / 2, places[i + 1] - dot / 2, dot, dot);
    }
    if (seen.length <= 400) for (const row of seen) thumbnail(pen, row, run.x[row] * k + x, run.y[row] * k + y, now.group[row] < 0 ? "#8888" : colors[now.group[row]]);
    if (selection.size) {
      pen.strokeStyle = color("var(--text)");
      pen.lineWidth = 2;
      const side = seen.length <= 400 ? 50 : dot + 4;
      for (const row of seen) if (selection.has(row)) pen.strokeRect(run.x[row] * k + x - side / 2, run.y[row] * k + y - side / 2, side, side);
    }
  }

  // In the picture's shape, though the run's thumbnails are squares, with a frame in its group's color.
  function thumbnail(pen, row, x, y, frame) {
    let image = faces.get(row);
    if (!image) {
      if (faces.size > 2000) faces.clear();
      faces.set(row, (image = new Image()));
      image.onload = chart.paint;
      image.src = source(row, "small");
    }
    if (!image.complete || !image.naturalWidth) return;
    const longest = Math.max(run.width[row], run.height[row]) || 1;
    const [width, height] = [run.width[row], run.height[row]].map((side) => Math.max(10, (40 * side) / longest));
    pen.fillStyle = frame;
    pen.fillRect(x - width / 2 - 3, y - height / 2 - 3, width + 6, height + 6);
    pen.drawImage(image, x - width / 2, y - height / 2, width, height);
  }

  function nearest(x, y, far = 22) {
    let [best, least] = [-1, far ** 2];
    for (const row of placed) {
      const distance = (run.x[row] * chart.view.k + chart.view.x - x) ** 2 + (run.y[row] * chart.view.k + chart.view.y - y) ** 2;
      if (distance < least) [best, least] = [row, distance];
    }
    return best;
  }

  function hover(x, y) {
    const row = x < 0 ? -1 : nearest(x, y);
    tip.hidden = row < 0;
    if (row < 0) return;
    const group = now.groups[now.group[row]];
    tip.firstChild.src = source(row, "small");
    tip.lastChild.textContent = group ? title(group) : "belongs nowhere";
    tip.style.transform = `translate(${Math.min(x + 16, chart.view.width - 150)}px, ${Math.min(y + 16, chart.view.height - 160)}px)`;
  }

  function pick(x, y, far) {
    const row = nearest(x, y, far);
    if (row < 0) return selection.clear();
    return look(row);
  }

  function toggle(x, y) {
    const row = nearest(x, y, Infinity);
    if (row >= 0) selection.toggle(row);
  }

  function lasso(inside) {
    const { k, x, y } = chart.view;
    selection.set(placed.filter((row) => inside(run.x[row] * k + x, run.y[row] * k + y)));
  }

  return {
    refresh,
    focus: () => chart.canvas.focus(),
    close() {
      off();
      chart.close();
      scroller.classList.remove("fixed");
    },
  };
}
