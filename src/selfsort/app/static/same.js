// Pictures that are the same, side by side: which to keep, which to hide or to throw away, and what is not the same at all.

import * as actions from "./actions.js";
import * as data from "./data.js";
import { now, run, source } from "./data.js";
import { bytes, count, counted, dialog, el, redraw } from "./dom.js";
import { look } from "./viewer.js";

const LEVELS = { identical: "Identical files", "same shot": "The same shot, resized or saved anew", burst: "Taken within moments" };
const PAGE = 20; // sets that are drawn at once

export function same(scroller) {
  const box = el("div", { class: "same" }, el("p", { class: "empty" }, "Comparing…"));
  scroller.replaceChildren(box);
  let [sets, level, shown, closed, drawn] = [[], "", PAGE, false, 0];
  load();

  async function load() {
    try {
      sets = await data.duplicates();
    } catch (error) {
      box.replaceChildren(el("p", { class: "empty" }, error.message));
      return;
    }
    if (!closed) await draw();
  }

  // What is said not to be the same, and what is not said any more, changes which sets there are.
  let seen = now.version;
  function refresh() {
    if (sets.length) draw();
    if (seen !== now.version) load();
    seen = now.version;
  }

  const left = (each) => each.rows.filter((row) => !(now.flags[row] & (data.HIDDEN | data.GONE)));

  async function draw() {
    const mine = ++drawn;
    const open = sets.filter((each) => left(each).length > 1);
    const numbers = Object.keys(LEVELS).map((name) => [name, open.filter((each) => each.level === name).length]);
    if (!numbers.some(([name, n]) => name === level && n)) level = numbers.find(([, n]) => n)?.[0] ?? "";
    const chips = el("div", { class: "chips", role: "group", "aria-label": "How alike" }, numbers.map(([name, n]) =>
      el("button", { type: "button", "data-key": name, "aria-pressed": String(name === level), disabled: !n, onclick: () => { level = name; shown = PAGE; draw(); } }, `${LEVELS[name]} ${count(n)}`)));
    const here = open.filter((each) => each.level === level);
    const known = new Map();
    const rows = here.slice(0, shown).flatMap(left);
    try {
      for (let start = 0; start < rows.length; start += 500) for (const each of await data.details(rows.slice(start, start + 500))) known.set(each.row, each);
    } catch (error) {
      if (!closed && mine === drawn) box.replaceChildren(el("p", { class: "empty" }, error.message));
      return;
    }
    if (closed || mine !== drawn) return;
    const list = el("ol", { class: "sets" }, here.slice(0, shown).map((each) => drawSet(each, left(each), known)));
    const more = here.length > shown ? el("button", { type: "button", onclick: () => { shown += PAGE; draw(); } }, `Show ${count(Math.min(PAGE, here.length - shown))} more`) : "";
    redraw(box, el("div", { class: "head" }, chips), here.length ? list : el("p", { class: "empty" }, "No two pictures are the same."), more);
  }

  function drawSet(set, rows, known) {
    const id = `selfsort-keep ${run.stamp} ${set.rows}`; // remembered while this tab is open
    const keep = () => rows.find((row) => String(row) === sessionStorage.getItem(id)) ?? rows[0];
    const name = `keep-${rows[0]}`;
    const items = rows.map((row) => {
      const each = known.get(row) ?? {};
      const radio = el("input", { type: "radio", name, checked: row === keep(), onchange: () => sessionStorage.setItem(id, row) });
      return el("li", {}, el("button", { type: "button", class: "look", "aria-label": `Look at ${each.path}`, onclick: () => look(row) }, el("img", { src: source(row, "tile"), alt: "", loading: "lazy" })),
        el("label", {}, radio, "Keep"), el("p", { class: "path" }, each.path ?? ""), el("p", { class: "size" }, `${each.width} × ${each.height}, ${bytes(each.size ?? 0)}`));
    });
    const others = () => rows.filter((row) => row !== keep());
    return el("li", { class: "set" }, el("ul", {}, items), el("div", { class: "actions" },
      el("button", { type: "button", onclick: () => actions.hide(others()) , hidden: level === "identical" }, "Hide the others"),
      el("button", { type: "button", onclick: () => actions.different(rows), hidden: level === "identical" }, "Not the same"),
      el("button", { type: "button", class: "bad", onclick: async () => { if (await trash(others(), known.get(keep())?.path)) await load(); } }, "Move the others to the trash…")));
  }

  function around(row) {
    const set = sets.find((each) => each.level === level && each.rows.includes(row));
    return set && (() => left(set));
  }

  return { refresh, around, focus: () => box.querySelector("button")?.focus(), close: () => { closed = true; } };
}

// First the server says what it would do; then a person does.
async function trash(rows, keeping) {
  const stamp = run.stamp;
  return actions.attempt(async () => {
    const { files, refused } = await data.trash(rows, { stamp });
    const total = files.reduce((sum, file) => sum + file.size, 0);
    const beside = files.filter((file) => file.belongs_to), alone = files.filter((file) => file.only_copy);
    const content = el("div", {},
      el("p", {}, `${files.length - beside.length} of ${counted(rows.length, "file")}${beside.length ? `, and ${beside.length} that belong to them,` : ""} to go to the trash of this computer (${bytes(total)}), from where they can be put back. ${keeping} stays.`),
      alone.length ? el("p", { class: "warn" }, `${alone.length === 1 ? "One is" : `${alone.length} are`} the only copy of what they hold.`) : "",
      el("ul", { class: "paths" }, files.map((file) => el("li", {}, `${file.path}${file.belongs_to ? ` (belongs to ${file.belongs_to})` : ""}${file.only_copy ? " (the only copy)" : ""}`)), refused.map((text) => el("li", {}, `stays: ${text}`))));
    const buttons = files.length ? [["", "Cancel"], ["trash", "Move to the trash", "bad"]] : [["", "Close"]];
    if ((await dialog("Move to the trash?", content, buttons)) !== "trash") return;
    const result = await data.trash(rows, { confirmed: true, alone: alone.length > 0, shown: beside.map((file) => file.path), stamp });
    const left = result.refused.length ? `; ${result.refused[0]}` : "";
    actions.say(`${counted(result.trashed, "file")} moved to the trash${left}.`, { bad: result.refused.length > 0 });
  });
}
