// Pictures that are the same, side by side: which to keep, which to hide or to throw away, and what is not the same at all.

import * as actions from "./actions.js";
import * as data from "./data.js";
import { now, source } from "./data.js";
import { bytes, count, dialog, el, pictures } from "./dom.js";
import { view } from "./viewer.js";

const LEVELS = { identical: "Identical files", "same shot": "The same shot, resized or saved anew", burst: "Taken within moments" };
const PAGE = 20; // sets that are drawn at once

export function same(scroller) {
  const box = el("div", { class: "same" }, el("p", { class: "empty" }, "Comparing…"));
  scroller.replaceChildren(box);
  let [sets, level, shown, closed] = [[], "", PAGE, false];
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

  const left = (each) => each.rows.filter((row) => !(now.flags[row] & (data.HIDDEN | data.GONE)));

  async function draw() {
    const open = sets.filter((each) => left(each).length > 1);
    const numbers = Object.keys(LEVELS).map((name) => [name, open.filter((each) => each.level === name).length]);
    if (!numbers.some(([name, n]) => name === level && n)) level = numbers.find(([, n]) => n)?.[0] ?? "";
    const chips = el("div", { class: "chips", role: "group", "aria-label": "How alike" }, numbers.map(([name, n]) =>
      el("button", { type: "button", "aria-pressed": String(name === level), disabled: !n, onclick: () => { level = name; shown = PAGE; draw(); } }, `${LEVELS[name]} ${count(n)}`)));
    const here = open.filter((each) => each.level === level);
    const known = new Map();
    const rows = here.slice(0, shown).flatMap(left);
    for (let start = 0; start < rows.length; start += 500) for (const each of await data.details(rows.slice(start, start + 500))) known.set(each.row, each);
    if (closed) return;
    const list = el("ol", { class: "sets" }, here.slice(0, shown).map((each) => drawSet(left(each), known)));
    const more = here.length > shown ? el("button", { type: "button", onclick: () => { shown += PAGE; draw(); } }, `Show ${count(Math.min(PAGE, here.length - shown))} more`) : "";
    box.replaceChildren(el("div", { class: "head" }, chips), here.length ? list : el("p", { class: "empty" }, "No two pictures are the same."), more);
  }

  function drawSet(rows, known) {
    let kept = rows[0];
    const name = `keep-${rows[0]}`;
    const items = rows.map((row) => {
      const each = known.get(row) ?? {};
      const radio = el("input", { type: "radio", name, checked: row === kept, onchange: () => { kept = row; } });
      return el("li", {}, el("button", { type: "button", class: "look", "aria-label": `Look at ${each.path}`, onclick: () => view(rows, rows.indexOf(row)) }, el("img", { src: source(row, "tile"), alt: "", loading: "lazy" })),
        el("label", {}, radio, "Keep"), el("p", { class: "path" }, each.path ?? ""), el("p", { class: "size" }, `${each.width} × ${each.height}, ${bytes(each.size ?? 0)}`));
    });
    const others = () => rows.filter((row) => row !== kept);
    return el("li", { class: "set" }, el("ul", {}, items), el("div", { class: "actions" },
      el("button", { type: "button", onclick: () => actions.hide(others()) , hidden: level === "identical" }, "Hide the others"),
      el("button", { type: "button", onclick: async () => { await actions.different(rows); await load(); }, hidden: level === "identical" }, "Not the same"),
      el("button", { type: "button", class: "bad", onclick: async () => { if (await trash(others())) await load(); } }, "Move the others to the trash…")));
  }

  return { refresh: () => sets.length && draw(), focus: () => box.querySelector("button")?.focus(), close: () => { closed = true; } };
}

async function trash(rows) {
  const known = await data.details(rows);
  const total = known.reduce((sum, each) => sum + each.size, 0);
  const list = el("ul", { class: "paths" }, known.map((each) => el("li", {}, each.path)));
  const text = el("div", {}, el("p", {}, `${pictures(rows.length)} of ${bytes(total)} go to the trash of this computer. From there they can be put back.`), list);
  if ((await dialog("Move to the trash?", text, [["", "Cancel"], ["trash", "Move to the trash", "bad"]])) !== "trash") return false;
  return actions.attempt(async () => {
    const { trashed, failed } = await data.trash(rows);
    actions.say(failed.length ? `${pictures(trashed)} moved to the trash; ${failed[0]}` : `${pictures(trashed)} moved to the trash.`, { bad: failed.length > 0 });
  });
}
