// The map of the world: where pictures were taken. Its shapes come with selfsort; nothing is fetched from elsewhere.

import * as data from "./data.js";
import { run } from "./data.js";
import { color, count, el, pictures } from "./dom.js";
import { plane } from "./plane.js";
import { selection } from "./selection.js";

const CELL = 34; // pixels, at least, within which places are drawn as one; twice as many at most

export function places(scroller) {
  const note = el("p", { class: "note" });
  let [placed, lands, clusters] = [[], [], []];
  const chart = plane({ label: "Map of the world. Arrows move, + and - zoom; Enter opens the place in the middle, Space selects its pictures, Ctrl+A those in sight. Shift and drag draws a lasso.", extent, draw, pick, toggle, lasso, most: () => WORLD() });
  chart.box.append(note);
  chart.tools.append(el("button", { type: "button", onclick: () => open(placed) }, "All of them"));
  scroller.replaceChildren(chart.box);
  scroller.classList.add("fixed");
  Promise.all([data.facts(), data.shapes()]).then(([, shapes]) => {
    lands = outlines(shapes);
    refresh();
    chart.fit();
  }, (error) => { note.textContent = error.message; });

  const mercator = (latitude) => (Math.log(Math.tan(Math.PI / 4 + (Math.max(-84, Math.min(84, latitude)) * Math.PI) / 360)) * 180) / Math.PI;

  function refresh() {
    if (!run.facts) return;
    placed = [];
    for (let row = 0; row < run.n; row++) if (Number.isFinite(run.facts.latitude[row]) && data.isShown(row)) placed.push(row);
    note.textContent = placed.length ? `Of ${pictures(placed.length)} it is known where they were taken. Press a place to see them.` : "No picture says where it was taken.";
    chart.paint();
  }

  const east = (row) => run.facts.longitude[row];
  const south = (row) => -mercator(run.facts.latitude[row]);

  const WORLD = () => ({ left: -170, right: 190, top: -mercator(78), bottom: mercator(58) });

  function extent() {
    if (!placed.length) return WORLD();
    let [left, right, top, bottom] = [Infinity, -Infinity, Infinity, -Infinity];
    for (const row of placed) {
      [left, right] = [Math.min(left, east(row)), Math.max(right, east(row))];
      [top, bottom] = [Math.min(top, south(row)), Math.max(bottom, south(row))];
    }
    const room = 4;
    return { left: left - room, right: right + room, top: top - room, bottom: bottom + room };
  }

  function draw(pen, { k, x, y, width, height }) {
    pen.fillStyle = color("var(--sunken)");
    pen.strokeStyle = color("var(--line)");
    pen.lineWidth = 1;
    for (const { path } of lands) {
      pen.beginPath();
      for (const ring of path) ring.forEach(([px, py], i) => (i ? pen.lineTo(px * k + x, py * k + y) : pen.moveTo(px * k + x, py * k + y)));
      pen.fill("evenodd");
      pen.stroke();
    }
    pen.textAlign = "center";
    pen.textBaseline = "middle";
    pen.font = "12px system-ui, sans-serif";
    pen.fillStyle = color("var(--muted)");
    for (const { name, box: [left, top, right, bottom] } of lands) { // where there is room for its name
      if ((right - left) * k > pen.measureText(name).width + 12 && (bottom - top) * k > 20) pen.fillText(name, ((left + right) / 2) * k + x, ((top + bottom) / 2) * k + y);
    }
    // The cells lie on the world, not on the window, and their sides are halved at once: moving changes no cluster, and
    // zooming divides or joins whole ones.
    const cells = new Map();
    const side = 2 ** Math.ceil(Math.log2(CELL / k));
    for (const row of placed) {
      const key = `${Math.floor(east(row) / side)} ${Math.floor(south(row) / side)}`;
      const cell = cells.get(key) ?? { x: 0, y: 0, rows: [] };
      cell.x += east(row) * k + x;
      cell.y += south(row) * k + y;
      cell.rows.push(row);
      cells.set(key, cell);
    }
    clusters = [...cells.values()].map((cell) => ({ x: cell.x / cell.rows.length, y: cell.y / cell.rows.length, rows: cell.rows }))
      .filter((each) => each.x > -CELL && each.y > -CELL && each.x < width + CELL && each.y < height + CELL);
    pen.font = "600 12px system-ui, sans-serif";
    const [accent, text, onAccent] = ["--accent", "--text", "--on-accent"].map((name) => color(`var(${name})`));
    for (const each of clusters) {
      each.radius = Math.min(26, 8 + 3 * Math.log2(1 + each.rows.length));
      pen.beginPath();
      pen.arc(each.x, each.y, each.radius, 0, 2 * Math.PI);
      pen.fillStyle = accent;
      pen.fill();
      if (each.rows.some((row) => selection.has(row))) {
        pen.lineWidth = 3;
        pen.strokeStyle = text;
        pen.stroke();
      }
      pen.fillStyle = onAccent;
      if (each.rows.length > 1) pen.fillText(count(each.rows.length), each.x, each.y);
    }
  }

  function there(x, y, far = 4) {
    const distance = (each) => Math.hypot(each.x - x, each.y - y) - each.radius;
    return clusters.filter((each) => distance(each) <= far).sort((a, b) => distance(a) - distance(b))[0];
  }

  function pick(x, y, far) {
    open(there(x, y, far)?.rows ?? []);
  }

  function toggle(x, y) {
    const rows = there(x, y, Infinity)?.rows ?? [];
    const others = selection.rows().filter((row) => !rows.includes(row));
    selection.set(rows.every(selection.has) ? others : [...others, ...rows]);
    chart.paint();
  }

  function open(rows) {
    if (!rows.length) return;
    run.picked = rows;
    location.hash = "#/picked";
  }

  function lasso(inside) {
    const { k, x, y } = chart.view;
    selection.set(placed.filter((row) => inside(east(row) * k + x, south(row) * k + y)));
    chart.paint();
  }

  // TopoJSON: arcs are steps on a grid, and a country is rings of arcs, those with a negative number run backwards.
  function outlines({ transform: { scale, translate }, arcs, objects }) {
    const lines = arcs.map((arc) => {
      let [px, py] = [0, 0];
      return arc.map(([dx, dy]) => {
        px += dx;
        py += dy;
        return [px * scale[0] + translate[0], -mercator(py * scale[1] + translate[1])];
      });
    });
    const line = (index) => (index < 0 ? [...lines[~index]].reverse() : lines[index]);
    const ring = (indices) => unwrapped(indices.flatMap((index, i) => (i ? line(index).slice(1) : line(index))));
    return objects.countries.geometries.map(({ type, arcs: shape, properties }) => {
      const path = (type === "Polygon" ? [shape] : shape ?? []).flatMap((polygon) => polygon.map(ring));
      const box = path.map(around).sort((a, b) => (b[2] - b[0]) * (b[3] - b[1]) - (a[2] - a[0]) * (a[3] - a[1]))[0] ?? [0, 0, 0, 0]; // of the largest part
      return { name: properties.name, path, box };
    });
  }

  // A country that lies on both sides of the date line goes on beyond it.
  function unwrapped(ring) {
    let turn = 0;
    return ring.map(([px, py], i) => {
      const step = i ? px - ring[i - 1][0] : 0;
      turn += step > 180 ? -360 : step < -180 ? 360 : 0;
      return [px + turn, py];
    });
  }

  function around(ring) {
    const [xs, ys] = [ring.map(([x]) => x), ring.map(([, y]) => y)];
    return [Math.min(...xs), Math.min(...ys), Math.max(...xs), Math.max(...ys)];
  }

  return {
    refresh,
    focus: () => chart.canvas.focus(),
    close() {
      chart.close();
      scroller.classList.remove("fixed");
    },
  };
}
