
/* ---- the map ---- */

const reachesMap = $("canvas") && D.x.some((x) => x >= 0);
const atlas = reachesMap ? makeAtlas($("canvas")) : null;

function makeAtlas(canvas) {
  const pen = canvas.getContext("2d");
  const points = el("canvas"); // all points, drawn once per view; hovering only lays signs over it
  const ink = points.getContext("2d");
  const view = { k: 1, x: 0, y: 0 };
  const CELLS = 128;
  const cell = (v) => Math.min(CELLS - 1, Math.floor((v / 10001) * CELLS));
  const grid = makeGrid();
  const bitmaps = new Map();
  const gone = el("img");
  let [width, height, density] = [0, 0, 1];
  let pixels = null;
  let lit = null; // highlighted group
  let hover = -1;
  let cursor = null; // group reached by arrow keys
  let cost = 0;
  let queued = false;
  let settle = 0;
  let drawn = null; // the view for which `points` was drawn
  let faces = true;

  function makeGrid() {
    const starts = new Int32Array(CELLS * CELLS + 1);
    const inside = order.filter((row) => D.x[row] >= 0);
    for (const row of inside) starts[cell(D.y[row]) * CELLS + cell(D.x[row]) + 1]++;
    for (let i = 0; i < CELLS * CELLS; i++) starts[i + 1] += starts[i];
    const next = starts.slice();
    const rows = new Int32Array(inside.length);
    for (const row of inside) rows[next[cell(D.y[row]) * CELLS + cell(D.x[row])]++] = row;
    return { starts, rows };
  }

  const screen = (row) => [D.x[row] * view.k + view.x, D.y[row] * view.k + view.y];

  function fit() {
    let [right, bottom] = [1, 1];
    for (const row of grid.rows) [right, bottom] = [Math.max(right, D.x[row]), Math.max(bottom, D.y[row])];
    view.k = Math.min((width - 64) / right, (height - 64) / bottom);
    view.x = (width - right * view.k) / 2;
    view.y = (height - bottom * view.k) / 2;
    draw();
  }

  function resize() {
    const box = canvas.getBoundingClientRect();
    if (!box.width) return;
    const first = !width;
    density = Math.min(2, devicePixelRatio || 1);
    [width, height] = [box.width, box.height];
    for (const each of [canvas, points]) [each.width, each.height] = [Math.round(width * density), Math.round(height * density)];
    pixels = ink.createImageData(canvas.width, canvas.height);
    if (first || !drawn) fit();
    else draw();
  }

  function stamp(radius) {
    const reach = Math.ceil(radius + 0.5);
    const dots = [];
    for (let dy = -reach; dy <= reach; dy++)
      for (let dx = -reach; dx <= reach; dx++) {
        const alpha = Math.min(1, Math.max(0, radius + 0.5 - Math.hypot(dx, dy)));
        if (alpha > 0) dots.push([dx, dy, alpha]);
      }
    return { reach, dots };
  }

  function drawPoints() {
    const began = performance.now();
    const { data, width: w, height: h } = pixels;
    const ground = getComputedStyle(canvas).backgroundColor.match(/\d+/g).map(Number);
    new Uint32Array(data.buffer).fill((255 << 24) | (ground[2] << 16) | (ground[1] << 8) | ground[0]);
    const crowd = Math.sqrt((width * height) / Math.max(1, grid.rows.length));
    const radius = Math.min(5, Math.max(1.1, crowd * 0.16) * Math.max(1, Math.sqrt(view.k / (Math.min(width, height) / 10000)) * 0.9)) * density;
    const { reach, dots } = stamp(radius);
    const labels = D.labels[state.level];
    const colors = palette();
    const chosen = (row) => (lit === null || labels[row] === lit) && (!state.matches || state.matches[row]);
    const dimmed = lit !== null || state.matches !== null;
    for (const pass of dimmed ? [0, 1] : [1])
      for (const row of grid.rows) {
        if (dimmed && chosen(row) !== Boolean(pass)) continue;
        const px = Math.round((D.x[row] * view.k + view.x) * density);
        const py = Math.round((D.y[row] * view.k + view.y) * density);
        if (px < reach || py < reach || px >= w - reach || py >= h - reach) continue;
        const [r, g, b] = colors.get(labels[row]);
        const strength = pass ? 0.85 : 0.16;
        for (const [dx, dy, alpha] of dots) {
          const at = 4 * ((py + dy) * w + px + dx);
          const a = alpha * strength;
          data[at] += (r - data[at]) * a;
          data[at + 1] += (g - data[at + 1]) * a;
          data[at + 2] += (b - data[at + 2]) * a;
        }
      }
    ink.putImageData(pixels, 0, 0);
    drawn = { ...view };
    cost = performance.now() - began;
  }

  function paint() {
    queued = false;
    if (!drawn) return;
    const k = view.k / drawn.k;
    pen.setTransform(1, 0, 0, 1, 0, 0);
    pen.fillStyle = getComputedStyle(canvas).backgroundColor;
    pen.fillRect(0, 0, canvas.width, canvas.height);
    pen.drawImage(points, (view.x - drawn.x * k) * density, (view.y - drawn.y * k) * density, points.width * k, points.height * k);
    pen.setTransform(density, 0, 0, density, 0, 0);
    if (faces) paintFaces();
    const marked = cursor === null ? null : center(groupsNow().get(cursor) || { prototypes: [] });
    if (marked && document.activeElement === canvas) ring(marked[0] * view.k + view.x, marked[1] * view.k + view.y, 26);
    if (hover >= 0) ring(...screen(hover), 7);
  }

  function ring(x, y, radius) {
    pen.lineWidth = 3;
    pen.strokeStyle = getComputedStyle(document.body).color;
    pen.beginPath();
    pen.arc(x, y, radius, 0, 2 * Math.PI);
    pen.stroke();
  }

  // Covers of groups first, then their other prototypes where there is room: zooming in brings more pictures.
  function paintFaces() {
    const side = width < 500 ? 34 : 44;
    const taken = [];
    const groups = [...groupsNow().values()].filter((group) => group.group !== NOWHERE && (lit === null || group.group === lit)).sort(compare.size);
    for (let rank = 0; rank < 12 && taken.length < 150; rank++)
      for (const group of groups) {
        const row = group.prototypes[rank];
        if (row === undefined || !images.has(row) || !(D.x[row] >= 0) || (state.matches && !state.matches[row])) continue;
        const [x, y] = screen(row);
        if (x < -side || y < -side || x > width + side || y > height + side) continue;
        if (taken.some(([a, b]) => Math.abs(a - x) < side * 1.15 && Math.abs(b - y) < side * 1.15)) continue;
        taken.push([x, y]);
        const bitmap = face(row);
        if (!bitmap.complete || !bitmap.naturalWidth) continue;
        const ratio = Math.min(2, Math.max(0.5, aspect(row)));
        const [w, h] = ratio > 1 ? [side, side / ratio] : [side * ratio, side];
        pen.fillStyle = colorOf(group.group);
        pen.beginPath();
        pen.roundRect(x - w / 2 - 2, y - h / 2 - 2, w + 4, h + 4, 5);
        pen.fill();
        pen.drawImage(bitmap, x - w / 2, y - h / 2, w, h);
      }
  }

  function face(row) {
    if (!bitmaps.has(row)) bitmaps.set(row, el("img", { src: source(row), onload: repaint }));
    return bitmaps.get(row) || gone;
  }

  const repaint = () => {
    if (!queued) requestAnimationFrame(paint);
    queued = true;
  };

  function draw() {
    if (!width) return;
    clearTimeout(settle);
    drawPoints();
    repaint();
  }

  // While the view moves, a map that is slow to draw is stretched from its last drawing and made sharp at rest.
  function moved() {
    clearTimeout(settle);
    if (cost < 12) draw();
    else {
      repaint();
      settle = setTimeout(draw, 90);
    }
  }

  function zoom(factor, x = width / 2, y = height / 2) {
    const low = Math.min(width, height) / 20000;
    const k = Math.min(low * 400, Math.max(low, view.k * factor));
    view.x = x - ((x - view.x) * k) / view.k;
    view.y = y - ((y - view.y) * k) / view.k;
    view.k = k;
    moved();
  }

  function nearest(x, y, reach = 14) {
    let [best, least] = [-1, reach * reach];
    const bound = (v, shift) => cell(Math.min(10000, Math.max(0, (v - shift) / view.k)));
    for (let cy = bound(y - reach, view.y); cy <= bound(y + reach, view.y); cy++)
      for (let cx = bound(x - reach, view.x); cx <= bound(x + reach, view.x); cx++)
        for (let i = grid.starts[cy * CELLS + cx]; i < grid.starts[cy * CELLS + cx + 1]; i++) {
          const [px, py] = screen(grid.rows[i]);
          const far = (px - x) ** 2 + (py - y) ** 2;
          if (far < least) [best, least] = [grid.rows[i], far];
        }
    return best;
  }

  function tip(row, x, y) {
    const node = $("tip");
    node.hidden = row < 0;
    if (row < 0) return;
    const group = groupsNow().get(D.labels[state.level][row]);
    const text = el("div", {}, el("strong", {}, title(group)), ` · ${plural(group.size, "picture", "pictures")}`);
    node.replaceChildren(...(images.has(row) ? [picture(row, Math.min(150, 260 / aspect(row)))] : []), text, el("div", { className: "path" }, visible(D.paths[row])));
    const box = canvas.getBoundingClientRect();
    const left = Math.min(innerWidth - node.offsetWidth - 8, box.left + x + 16);
    const below = box.top + y + 16;
    const top = below + node.offsetHeight > innerHeight ? box.top + y - node.offsetHeight - 16 : below;
    node.style.transform = `translate(${Math.max(8, left)}px, ${Math.max(8, top)}px)`;
  }

  function point(row, x, y) {
    if (row !== hover || row >= 0) tip(row, x, y);
    if (row === hover) return;
    hover = row;
    canvas.style.cursor = row >= 0 ? "pointer" : "";
    repaint();
  }

  const pointers = new Map();
  let travelled = 0;
  const place = (event) => {
    const box = canvas.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };

  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    pointers.set(event.pointerId, place(event));
    travelled = 0;
  });
  canvas.addEventListener("pointermove", (event) => {
    const [x, y] = place(event);
    const before = pointers.get(event.pointerId);
    if (!before) {
      point(nearest(x, y), x, y);
      return;
    }
    const other = [...pointers].find(([id]) => id !== event.pointerId)?.[1];
    pointers.set(event.pointerId, [x, y]);
    travelled += Math.hypot(x - before[0], y - before[1]);
    if (travelled < 4) return;
    point(-1);
    if (other) {
      const spread = (a) => Math.max(1, Math.hypot(a[0] - other[0], a[1] - other[1]));
      zoom(spread([x, y]) / spread(before), other[0], other[1]);
    } else {
      view.x += x - before[0];
      view.y += y - before[1];
      moved();
    }
  });
  const release = (event) => {
    pointers.delete(event.pointerId);
    if (event.type !== "pointerup" || travelled >= 4) return;
    const row = nearest(...place(event));
    point(-1);
    if (row >= 0) openGroup(D.labels[state.level][row]);
  };
  canvas.addEventListener("pointerup", release);
  canvas.addEventListener("pointercancel", release);
  canvas.addEventListener("pointerleave", () => point(-1));
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    point(-1);
    zoom(Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.0016)), ...place(event));
  }, { passive: false });

  function go(dx, dy) {
    const places = [...groupsNow().values()].filter((group) => group.group !== NOWHERE).map((group) => [group, center(group)]).filter(([, at]) => at);
    const from = cursor === null ? null : center(groupsNow().get(cursor) || { prototypes: [] });
    let [best, least] = [null, Infinity];
    for (const [group, [x, y]] of places) {
      if (group.group === cursor) continue;
      const [ax, ay] = from ? [x - from[0], y - from[1]] : [x - 5000, y - 5000];
      const along = ax * dx + ay * dy;
      const aside = Math.abs(ax * dy) + Math.abs(ay * dx);
      const far = from ? along + 2 * aside : Math.hypot(ax, ay);
      if ((!from || (along > 0 && along >= aside * 0.6)) && far < least) [best, least] = [group, far];
    }
    if (!best) return;
    cursor = best.group;
    const at = center(best);
    const [x, y] = [at[0] * view.k + view.x, at[1] * view.k + view.y];
    if (x < 30 || y < 30 || x > width - 30 || y > height - 30) {
      view.x += width / 2 - x;
      view.y += height / 2 - y;
    }
    highlight(cursor);
    tip(best.prototypes.find((item) => D.x[item] >= 0), at[0] * view.k + view.x + 14, at[1] * view.k + view.y + 14);
    announce(`${title(best)}, ${plural(best.size, "picture", "pictures")}, ${best.sure} % sure`);
  }

  const keysOfMap = {
    ArrowLeft: () => go(-1, 0),
    ArrowRight: () => go(1, 0),
    ArrowUp: () => go(0, -1),
    ArrowDown: () => go(0, 1),
    "+": () => zoom(1.4),
    "=": () => zoom(1.4),
    "-": () => zoom(1 / 1.4),
    0: fit,
    Enter: () => cursor !== null && openGroup(cursor),
  };
  canvas.addEventListener("keydown", (event) => {
    if (!(event.key in keysOfMap) || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    keysOfMap[event.key]();
  });
  canvas.addEventListener("blur", () => {
    cursor = null;
    tip(-1);
    highlight(null);
  });

  function highlight(group) {
    if (group === lit && cursor === null) return;
    lit = group;
    draw();
  }

  function show(on) {
    $("map").hidden = !on;
    $("columns").classList.toggle("with-map", on);
    $("map-toggle").setAttribute("aria-pressed", String(on));
    if (on) resize();
  }

  $("zoom-in").addEventListener("click", () => zoom(1.5));
  $("zoom-out").addEventListener("click", () => zoom(1 / 1.5));
  $("zoom-all").addEventListener("click", fit);
  $("faces").addEventListener("click", () => {
    faces = !faces;
    $("faces").setAttribute("aria-pressed", String(faces));
    repaint();
  });
  $("map-toggle").addEventListener("click", () => show($("map").hidden));
  new ResizeObserver(resize).observe(canvas);
  setTimeout(() => show(innerWidth >= 1000));
  return {
    draw,
    highlight,
    focus: () => { show(true); canvas.focus({ preventScroll: true }); canvas.scrollIntoView({ block: "nearest", behavior: "instant" }); },
    levelChanged: () => { [cursor, lit, hover] = [null, null, -1]; tip(-1); draw(); },
  };
}

if (!reachesMap) $("map-toggle")?.remove();
start();
