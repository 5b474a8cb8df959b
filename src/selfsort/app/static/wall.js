// The wall of groups: what is there, at one glance.

import * as actions from "./actions.js";
import * as data from "./data.js";
import { now, run, title } from "./data.js";
import { capital, count, counted, el, pictures, redraw } from "./dom.js";
import { draggable } from "./drag.js";
import { preview, sharpen, show } from "./preview.js";
import { virtual } from "./virtual.js";

let kind = "";
const order = []; // of kinds, which stays as it was at first
const picked = new Set(); // keys of groups that are to be merged

export function wall(scroller) {
  const chips = el("div", { class: "chips", role: "group", "aria-label": "Kinds" });
  const slider = granularity();
  const merging = el("div", { class: "merging", hidden: true });
  const head = el("div", { class: "head over" }, chips, slider.box);
  let groups = fitting();
  let at = null; // key of the group that the keyboard is about
  const grid = virtual({
    scroller, count: groups.length, width: () => (innerWidth < 600 ? 150 : 220), height: (side) => side + 70, gap: 16, make, fill, settled, role: "list", label: "Groups",
  });
  grid.box.classList.add("wall");
  const empty = el("p", { class: "empty", hidden: true });
  scroller.replaceChildren(head, merging, grid.box, empty);
  refresh();

  function fitting() {
    const found = now.groups.filter((group) => !kind || group.kind === kind).filter((group) => group.size || now.showHidden);
    const nowhere = data.members(-1).length;
    if (nowhere && !kind) found.push({ key: -1, nowhere: true, size: nowhere, covers: data.members(-1).slice(0, 5) });
    return found;
  }

  function make() {
    const covers = Array.from({ length: 4 }, preview);
    const check = el("input", { type: "checkbox", tabIndex: -1 });
    const link = el("a", { draggable: false }, el("div", { class: "covers" }, covers), el("h3"), el("p", { class: "size" }), el("p", { class: "why" }));
    return el("article", { class: "card", role: "listitem" }, link, el("label", { class: "check", title: "Choose it for merging" }, check));
  }

  function fill(card, index) {
    const group = groups[index];
    const [link, label] = card.children;
    const [covers, name, size, why] = link.children;
    card.group = group;
    link.href = `#/${group.nowhere ? "nowhere" : `group/${group.key}`}${now.cut ? `?groups=${now.n}` : ""}`;
    name.textContent = group.nowhere ? "Belong nowhere" : title(group);
    name.classList.toggle("unsure", !group.name);
    size.textContent = `${pictures(group.size)}${group.kind && !kind ? ` · ${group.kind}` : ""}`;
    why.textContent = group.nowhere ? "Unlike the others, or taken out by you" : (group.why ?? "");
    covers.dataset.n = Math.min(4, group.covers.length);
    [...covers.children].forEach((image, at) => {
      const row = group.covers[at];
      image.hidden = row === undefined;
      if (row !== undefined) show(image, row);
    });
    label.hidden = group.nowhere || now.cut;
    label.firstChild.checked = picked.has(group.key);
    label.firstChild.setAttribute("aria-label", `Choose ${name.textContent} for merging`);
    card.classList.toggle("picked", picked.has(group.key));
    if (group.nowhere || now.cut) delete card.dataset.drop;
    else card.dataset.drop = group.key;
  }

  function settled(cells) {
    for (const card of cells.values()) for (const image of card.querySelectorAll("img:not([hidden])")) sharpen(image);
  }

  grid.box.addEventListener("change", (event) => {
    const { group } = event.target.closest(".card");
    event.target.checked ? picked.add(group.key) : picked.delete(group.key);
    refresh();
  });
  grid.box.addEventListener("pointerdown", (event) => {
    const card = event.target.closest(".card");
    if (!card || card.group.nowhere || now.cut || event.target.closest("label")) return;
    const { group } = card; // the card may be of another when it is dropped
    draggable(event, { begin: () => title(group), drop: (key) => key !== group.key && actions.merge([key, group.key], key) });
  });
  grid.box.addEventListener("keydown", (event) => {
    const card = event.target.closest(".card");
    if (!card) return;
    const at = groups.indexOf(card.group);
    const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -grid.columns(), ArrowDown: grid.columns() };
    if (event.key in steps && event.target.tagName === "A") {
      event.preventDefault();
      grid.reveal(Math.max(0, Math.min(groups.length - 1, at + steps[event.key])))?.querySelector("a").focus({ preventScroll: true });
    } else if (event.key === " " && !card.group.nowhere && !now.cut && event.target.tagName === "A") {
      event.preventDefault();
      picked.has(card.group.key) ? picked.delete(card.group.key) : picked.add(card.group.key);
      refresh();
    }
  });

  function refresh() {
    const alive = new Set(now.groups.map((group) => group.key));
    for (const key of picked) if (!alive.has(key)) picked.delete(key);
    drawChips();
    slider.refresh();
    groups = fitting();
    grid.resize(groups.length);
    empty.hidden = groups.length > 0;
    const all = now.n_hidden ? "All pictures are hidden. The menu has “Hidden pictures”." : "There are no groups.";
    empty.textContent = kind ? "No group is of this kind." : run.n ? all : "There are no pictures in this run.";
    const left = picked.size < 2 && merging.contains(document.activeElement);
    merging.hidden = picked.size < 2;
    if (left) focus(at);
    redraw(merging,
      el("span", {}, `${picked.size} groups chosen`),
      el("button", { type: "button", class: "main", onclick: () => {
        const keys = now.groups.map((group) => group.key).filter((key) => picked.has(key));
        picked.clear();
        actions.merge(keys);
      } }, "Merge them"),
      el("button", { type: "button", onclick: () => { picked.clear(); refresh(); } }, "Choose none"),
    );
  }

  function drawChips() {
    const sizes = new Map();
    for (const group of now.groups) if (group.kind) sizes.set(group.kind, (sizes.get(group.kind) ?? 0) + group.size);
    if (!sizes.has(kind)) kind = "";
    const chip = (name, text) => el("button", { type: "button", "data-key": name || "all", "aria-pressed": String(kind === name), onclick: () => { kind = name; refresh(); } }, text);
    for (const [name] of [...sizes].sort((a, b) => b[1] - a[1])) if (!order.includes(name)) order.push(name);
    const kinds = order.filter((name) => sizes.has(name)).map((name) => [name, sizes.get(name)]);
    redraw(chips, ...(kinds.length > 1 ? [chip("", "All"), ...kinds.map(([name, n]) => chip(name, `${capital(name)} ${count(n)}`))] : []));
  }

  grid.box.addEventListener("focusin", (event) => { at = event.target.closest(".card")?.group.key ?? at; });
  function focus(key = at, { still = false } = {}) {
    const index = Math.max(0, groups.findIndex((group) => group.key === key));
    const cell = (still && grid.cells.get(index)) || grid.reveal(index);
    cell?.querySelector("a").focus({ preventScroll: true });
  }

  // Returns whether there was anything to give up.
  function escape() {
    const any = picked.size > 0;
    picked.clear();
    if (any) refresh();
    return any;
  }

  return { refresh, close: () => grid.close(), focus, at: () => at, escape };
}

// Coarser or finer: where the slider stands is the logarithm of the number of groups.
function granularity() {
  const box = el("div", { class: "granularity" });
  if (!run.levels) return { box, refresh() {} };
  const { most } = run.levels;
  const at = (n) => Math.round((1000 * Math.log(n)) / Math.log(Math.max(2, most)));
  const input = el("input", { type: "range", min: "0", max: "1000", "aria-label": "Number of groups, from coarse to fine" });
  const said = el("output");
  said.style.minWidth = `${counted(most, "group").length}ch`; // it moves nothing as its number changes
  const say = (n) => {
    said.textContent = counted(n, "group");
    input.setAttribute("aria-valuetext", said.textContent);
  };
  const keep = el("button", { type: "button", class: "main", onclick: () => actions.regroup(now.n) }, "Group like this");
  const back = el("button", { type: "button", onclick: () => actions.backToOwn() }, "Back to your groups");
  let [waiting, busy] = [null, false];

  async function ask(n) {
    waiting = n;
    if (busy) return;
    busy = true;
    while (waiting !== null) {
      const next = waiting;
      waiting = null;
      await actions.attempt(() => data.look(next));
    }
    busy = false;
  }
  input.addEventListener("input", () => {
    const n = Math.max(1, Math.min(most, Math.round(Math.max(2, most) ** (input.value / 1000))));
    say(n);
    ask(n);
  });
  input.addEventListener("keydown", (event) => { // a step of its own would be less than a group
    const by = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1 }[event.key];
    if (!by) return;
    event.preventDefault();
    input.value = at(stepBy(by));
  });
  const looking = el("div", { class: "looking", hidden: true }, keep, back);
  box.append(el("span", {}, "coarser"), input, el("span", {}, "finer"), said, looking);
  return {
    box,
    refresh() {
      if (document.activeElement !== input || now.n === null) input.value = at(now.n ?? Math.max(1, now.groups.length));
      if (waiting === null) say(now.groups.length); // else another number is asked for already
      if (!now.cut && [keep, back].includes(document.activeElement)) input.focus();
      looking.hidden = !now.cut;
    },
  };
}

export const coarser = () => stepBy(-1);
export const finer = () => stepBy(1);

function stepBy(by) {
  if (!run.levels) return 1;
  const n = now.n ?? now.groups.length;
  const wanted = by > 0 ? Math.max(n + 1, Math.round(n * 1.25)) : Math.min(n - 1, Math.round(n / 1.25));
  const next = Math.max(1, Math.min(run.levels.most, wanted));
  actions.attempt(() => data.look(next));
  return next;
}
