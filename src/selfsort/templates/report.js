"use strict";
// The wall of groups. Names of files may hold anything, so text only ever enters the page as text nodes.

const D = JSON.parse(document.getElementById("data").textContent);
const N = D.paths.length;
const PER_PAGE = 120; // pictures of an open group in the page at once
const NOWHERE = -1;
const $ = (id) => document.getElementById(id);
const number = (n) => n.toLocaleString("en-US");
const plural = (n, one, many) => `${number(n)} ${n === 1 ? one : many}`;
const state = { level: D.level, sort: "size", query: "", open: null, page: 0, matches: null };

function el(tag, properties, ...children) {
  const node = document.createElement(tag);
  for (const [key, value] of Object.entries(properties || {})) {
    if (key.startsWith("on")) node.addEventListener(key.slice(2), value);
    else if (key in node) node[key] = value;
    else node.setAttribute(key, value);
  }
  node.append(...children);
  return node;
}

/* ---- data ---- */

// No control and no direction-changing characters: a file name must not rearrange the page.
const visible = (path) => path.replace(/[\u0000-\u001f\u007f-\u009f\u200e\u200f\u2028-\u202e\u2066-\u2069]/g, "\ufffd");
const fileName = (row) => visible(D.paths[row].slice(D.paths[row].lastIndexOf("/") + 1));
const aspect = (row) => {
  const [width, height] = [D.width[row], D.height[row]];
  return width && height ? Math.min(6, Math.max(1 / 6, width / height)) : 1;
};
const images = new Map(D.thumbnails.rows.map((row, i) => [row, D.thumbnails.images[i]]));
const source = (row) => "data:image/jpeg;base64," + D.thumbnails.prefix + images.get(row);
const unreadable = new Set(D.unreadable);
const order = Array.from({ length: N }, (_, row) => row).filter((row) => !unreadable.has(row));
order.sort((a, b) => D.sure[b] - D.sure[a] || a - b);
let searchable = null; // made on the first search: one copy of all paths is enough

const levels = D.groups.map((groups, level) => {
  const byGroup = new Map(groups.map((group) => [group.group, { ...group, rows: [] }]));
  byGroup.set(NOWHERE, { group: NOWHERE, number: NOWHERE, size: 0, sure: 0, parent: null, prototypes: [], odd: [], rows: [] });
  for (const row of order) byGroup.get(D.labels[level][row])?.rows.push(row);
  const nowhere = byGroup.get(NOWHERE);
  nowhere.size = nowhere.rows.length;
  nowhere.prototypes = nowhere.rows.filter((row) => images.has(row)).slice(0, 12);
  return byGroup;
});
const groupsNow = () => levels[state.level];
const digits = Math.max(3, ...D.groups.flat().map((group) => String(group.number).length)); // as folders of exports are called
const title = (group) => (group.group === NOWHERE ? "Belongs nowhere" : group.name || `group-${String(group.number).padStart(digits, "0")}`);

/* ---- parts ---- */

function picture(row, height) {
  const ratio = aspect(row);
  const shape = { alt: fileName(row), title: visible(D.paths[row]) };
  const node = images.has(row)
    ? el("img", { ...shape, src: source(row), decoding: "async" })
    : el("span", { title: shape.title, className: "blank" }, fileName(row));
  node.style.aspectRatio = ratio.toFixed(3);
  node.style.setProperty("--ratio", ratio.toFixed(3));
  if (height) node.style.height = `${height}px`;
  return node;
}

function tile(row) {
  const node = picture(row);
  if (!images.has(row)) node.textContent = ""; // its name stands below
  const frame = el("span", { className: "frame" }, node);
  const name = el("span", { className: "name" }, fileName(row));
  return el("li", {}, el("button", { type: "button", className: "tile", onclick: () => showPicture(row) }, frame, name));
}

const strip = (rows) => el("ul", { className: "strip" }, ...rows.map((row) => el("li", {}, picture(row))));

const matching = (group) => (state.matches ? group.rows.filter((row) => state.matches[row]) : group.rows);

function fillStrips(row, group) {
  const strips = row.querySelector(".strips");
  if (strips.childElementCount) return;
  let shown = group.prototypes;
  if (state.matches) {
    const found = matching(group);
    shown = [...found.filter((item) => images.has(item)), ...found.filter((item) => !images.has(item))].slice(0, 12);
  } else if (!shown.length) shown = group.rows.slice(0, 12);
  strips.append(strip(shown));
  const odd = state.matches ? [] : group.odd.filter((item) => !shown.includes(item));
  if (odd.length) strips.append(el("div", { className: "odd" }, el("p", {}, "odd ones out"), strip(odd)));
}

// Strips are filled near the window only, and emptied again, so thousands of groups never mean thousands of pictures.
const nearby = new IntersectionObserver(
  (entries) => {
    for (const { target, isIntersecting } of entries) {
      if (isIntersecting) fillStrips(target, groupsNow().get(Number(target.dataset.group)));
      else {
        const strips = target.querySelector(".strips");
        strips.style.minHeight = `${strips.offsetHeight}px`; // what lies below must not move
        strips.replaceChildren();
      }
    }
  },
  { rootMargin: "500px 0px" },
);

function groupRow(group) {
  const nowhere = group.group === NOWHERE;
  const found = state.matches ? matching(group).length : group.size;
  const button = el("button", { type: "button", ariaExpanded: "false", onclick: () => toggle(group.group) }, title(group));
  const heading = el("h3", {}, button);
  if (group.name) heading.append(el("small", {}, `group ${group.number}`));
  const size = state.matches ? `${number(found)} of ${plural(group.size, "picture matches", "pictures match")}` : plural(group.size, "picture", "pictures");
  const head = el("div", { className: "head" }, heading, el("span", { className: "meta" }, size));
  if (!nowhere) {
    const bar = el("b");
    bar.style.width = `${group.sure}%`;
    const hint = "Mean share of a picture's nearest neighbors that are in the same group";
    head.append(el("span", { className: "meta sure", title: hint }, el("i", { ariaHidden: "true" }, bar), el("span", {}, `${group.sure} % sure`)));
  }
  if (group.why) head.append(el("p", { className: "why", title: "Why the name: share of this group's pictures, and of all others" }, group.why));
  const strips = el("div", { className: "strips", onclick: () => toggle(group.group) });
  const row = el("li", { id: `group-${group.group}` }, head, strips);
  row.dataset.group = group.group;
  row.style.setProperty("--c", colorOf(group.group));
  const light = (on) => () => atlas?.highlight(on ? group.group : null);
  row.addEventListener("mouseenter", light(true));
  row.addEventListener("mouseleave", light(false));
  row.addEventListener("focusin", light(true));
  row.addEventListener("focusout", light(false));
  return row;
}

const rowOf = (group) => $(`group-${group}`);

/* ---- the wall ---- */

const compare = {
  size: (a, b) => b.size - a.size || a.group - b.group,
  sure: (a, b) => b.sure - a.sure || b.size - a.size,
  unsure: (a, b) => a.sure - b.sure || b.size - a.size,
  number: (a, b) => a.number - b.number,
};

function renderWall() {
  const nowhere = groupsNow().get(NOWHERE);
  const groups = [...groupsNow().values()].filter((group) => group !== nowhere).sort(compare[state.sort]);
  if (nowhere.size) groups.push(nowhere);
  const shown = state.matches ? groups.filter((group) => group.rows.some((row) => state.matches[row])) : groups;
  nearby.disconnect();
  $("wall").replaceChildren(...shown.map(groupRow));
  for (const row of $("wall").children) nearby.observe(row);
  $("n-groups").textContent = number(D.groups[state.level].length);
  $("n-nowhere").textContent = number(nowhere.size);
  if (state.open !== null && rowOf(state.open)) openPanel();
  else state.open = null;
  if ($("columns").getBoundingClientRect().top < 0) $("columns").scrollIntoView({ behavior: "instant" });
  return shown.length;
}

function recolor() {
  for (const row of $("wall").children) row.style.setProperty("--c", colorOf(Number(row.dataset.group)));
}

function setLevel(level, open = null) {
  if (level < 0 || level >= levels.length) return;
  state.level = level;
  state.open = open;
  state.page = 0;
  $("levels").querySelectorAll("input")[level].checked = true;
  const shown = renderWall();
  atlas?.levelChanged();
  announce(state.matches ? foundText(shown) : plural(D.groups[level].length, "group", "groups") + (levels.length > 1 ? `, level ${level + 1} of ${levels.length}` : ""));
  remember();
}

function setQuery(query) {
  state.query = query;
  const wanted = query.normalize("NFC").toLowerCase();
  state.matches = null;
  if (wanted) {
    searchable ??= D.paths.map((path) => path.normalize("NFC").toLowerCase());
    state.matches = new Uint8Array(N);
    for (let row = 0; row < N; row++) state.matches[row] = searchable[row].includes(wanted) && !unreadable.has(row);
  }
  state.page = 0;
  const shown = renderWall();
  atlas?.draw();
  announce(wanted ? foundText(shown) : "");
  remember();
}

const foundText = (groups) => {
  const found = state.matches.reduce((sum, match) => sum + match, 0);
  return found ? `${plural(found, "picture", "pictures")} in ${plural(groups, "group", "groups")}` : `No file path contains “${state.query}”`;
};

const announce = (text) => ($("announce").textContent = text);

/* ---- one open group ---- */

function toggle(group) {
  if (state.open === group) {
    closePanel();
    state.open = null;
  } else {
    closePanel();
    Object.assign(state, { open: group, page: 0 });
    openPanel();
  }
  remember();
}

function closePanel() {
  const row = state.open === null ? null : rowOf(state.open);
  row?.querySelector(".panel")?.remove();
  row?.querySelector("h3 button").setAttribute("aria-expanded", "false");
}

function openPanel() {
  const row = rowOf(state.open);
  row.querySelector(".panel")?.remove();
  row.querySelector("h3 button").setAttribute("aria-expanded", "true");
  const group = groupsNow().get(state.open);
  const rows = matching(group);
  const from = state.page * PER_PAGE;
  const to = Math.min(from + PER_PAGE, rows.length);
  const panel = el("div", { className: "panel" });
  const kin = relatives(group);
  if (kin) panel.append(kin);
  panel.append(el("ul", { className: "tiles" }, ...rows.slice(from, to).map(tile)));
  if (rows.length > PER_PAGE) {
    const turn = (step) => () => {
      state.page += step;
      openPanel();
      rowOf(state.open).scrollIntoView({ behavior: "instant" });
      announce(`Pictures ${number(state.page * PER_PAGE + 1)} and on, of ${number(rows.length)}`);
    };
    panel.append(
      el("div", { className: "pager" },
        el("button", { type: "button", disabled: from === 0, onclick: turn(-1) }, "Previous"),
        el("span", {}, `${number(from + 1)}–${number(to)} of ${number(rows.length)}, most sure first`),
        el("button", { type: "button", disabled: to === rows.length, onclick: turn(1) }, "Show more")));
  }
  row.append(panel);
}

function relatives(group) {
  if (group.group === NOWHERE) return null;
  const link = (level, other) =>
    el("button", { type: "button", onclick: () => { setLevel(level, other.group); reveal(other.group); } }, `${title(other)} · ${number(other.size)}`);
  const node = el("div", { className: "kin" });
  const parent = levels[state.level - 1]?.get(group.parent);
  const children = [...(levels[state.level + 1]?.values() || [])].filter((child) => child.group !== NOWHERE && child.parent === group.group);
  if (parent && parent.group !== NOWHERE) node.append("Part of ", link(state.level - 1, parent));
  if (children.length > 1) node.append(node.childNodes.length ? "and splits into " : "Splits into ", ...children.sort(compare.size).map((child) => link(state.level + 1, child)));
  return node.childNodes.length ? node : null;
}

function reveal(group) {
  const row = rowOf(group);
  if (!row) return;
  row.scrollIntoView({ behavior: "instant" }); // rows fill as they pass: a long glide would miss its aim
  row.querySelector("h3 button").focus({ preventScroll: true });
}

function openGroup(group) {
  if (!rowOf(group)) return;
  if (state.open !== group) toggle(group);
  reveal(group);
}

function showPicture(row) {
  const facts = el("dl", { className: "pairs" });
  const add = (key, value) => facts.append(el("div", {}, el("dt", {}, key), el("dd", { className: "path" }, value)));
  add("Path", visible(D.paths[row]));
  if (D.width[row]) add("Size", `${number(D.width[row])} × ${number(D.height[row])} pixels`);
  add("Sure", `${D.sure[row]} %`);
  add(levels.length > 1 ? "Groups" : "Group", levels.map((groups, level) => title(groups.get(D.labels[level][row]))).join(" › "));
  $("picture-body").replaceChildren(picture(row, Math.min(192, 300 / aspect(row))), facts);
  $("picture-copy").onclick = async () => {
    await navigator.clipboard.writeText(D.paths[row]);
    $("picture-copy").textContent = "Copied";
  };
  $("picture-copy").textContent = "Copy path";
  $("picture").showModal();
}

/* ---- address, colors, keys ---- */

function remember() {
  const hash = new URLSearchParams({ level: state.level, sort: state.sort });
  if (state.query) hash.set("q", state.query);
  if (state.open !== null) hash.set("group", state.open);
  history.replaceState(null, "", "#" + hash);
}

function recall() {
  const hash = new URLSearchParams(location.hash.slice(1));
  if (!hash.has("level")) return false;
  const level = Number(hash.get("level"));
  if (Number.isInteger(level) && level >= 0 && level < levels.length) state.level = level;
  if (hash.get("sort") in compare) state.sort = hash.get("sort");
  $("sort").value = state.sort;
  $("filter").value = hash.get("q") || "";
  const open = hash.has("group") ? Number(hash.get("group")) : null;
  state.open = groupsNow().has(open) ? open : null;
  setQuery($("filter").value);
  setLevel(state.level, state.open);
  if (state.open !== null) reveal(state.open);
  return true;
}

const THEMES = { "": ["◐", "as the system"], light: ["☀", "light"], dark: ["☾", "dark"] };

function setTheme(theme) {
  document.documentElement.dataset.theme = theme;
  $("theme").firstElementChild.textContent = THEMES[theme][0];
  $("theme").setAttribute("aria-label", `Colors: ${THEMES[theme][1]}`);
  try {
    localStorage.setItem("selfsort-theme", theme);
  } catch { /* private windows and some systems keep nothing for local files */ }
  themeChanged();
}

function nextTheme() {
  const names = Object.keys(THEMES);
  setTheme(names[(names.indexOf(document.documentElement.dataset.theme || "") + 1) % names.length]);
}

function themeChanged() {
  forgetColors();
  recolor();
  atlas?.draw();
}

function step(by) {
  const rows = [...$("wall").children];
  const now = rows.indexOf(document.activeElement.closest?.(".wall > li"));
  const row = rows[Math.min(rows.length - 1, Math.max(0, now < 0 ? 0 : now + by))];
  if (row) reveal(Number(row.dataset.group));
}

const keys = {
  "[": () => setLevel(state.level - 1),
  "]": () => setLevel(state.level + 1),
  j: () => step(1),
  k: () => step(-1),
  "/": () => $("filter").focus(),
  m: () => atlas?.focus(),
  t: nextTheme,
  "?": () => $("keys").showModal(),
};

function start() {
  $("toolbar").hidden = false;
  $("levels").parentElement.hidden = levels.length < 2;
  D.groups.forEach((groups, level) => {
    const input = el("input", { type: "radio", name: "level", value: String(level), checked: level === state.level, onchange: () => setLevel(level) });
    input.setAttribute("aria-label", `${groups.length} groups, level ${level + 1} of ${levels.length} from coarse to fine`);
    $("levels").append(el("label", {}, input, el("span", {}, number(groups.length))));
  });
  $("sort").addEventListener("change", () => { state.sort = $("sort").value; renderWall(); remember(); });
  let timer = 0;
  $("filter").addEventListener("input", () => { clearTimeout(timer); timer = setTimeout(() => setQuery($("filter").value), 120); });
  $("theme").addEventListener("click", nextTheme);
  $("help").addEventListener("click", keys["?"]);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", themeChanged);
  addEventListener("hashchange", recall);
  addEventListener("keydown", (event) => {
    const typing = event.target.closest("input[type=search], select, dialog");
    if (event.key === "Escape" && event.target === $("filter")) event.target.blur();
    if (typing || event.ctrlKey || event.metaKey || event.altKey || !$("keys-on").checked || !(event.key in keys)) return;
    event.preventDefault();
    keys[event.key]();
  });
  try {
    setTheme(localStorage.getItem("selfsort-theme") in THEMES ? localStorage.getItem("selfsort-theme") : "");
  } catch {
    setTheme("");
  }
  if (!recall()) renderWall();
}
