// Pictures in a grid under a heading: those of a group, or of any other set; beside them, the groups to drop them on.

import * as actions from "./actions.js";
import * as data from "./data.js";
import { now, run, source, title } from "./data.js";
import { count, el, icon, pictures, redraw } from "./dom.js";
import { NEW, pictureGrid } from "./grid.js";
import { selection } from "./selection.js";

const SORTS = {
  "surest first": null,
  "least sure first": (a, b) => run.sure[a] - run.sure[b] || a - b,
  "by name": (a, b) => a - b,
  "oldest first": (a, b) => at(a) - at(b) || a - b,
  "newest first": (a, b) => at(a, -1) - at(b, -1) || a - b,
};
const BY_TIME = new Set(["oldest first", "newest first"]);
// Those without a date come last in both orders.
const at = (row, sign = 1) => (Number.isFinite(run.facts?.time[row]) ? sign * run.facts.time[row] : Number.MAX_VALUE);
let order = "surest first";
const typed = new Map(); // key of a group -> the name that somebody is about to give it

// A scroller with the grid, and the list of groups beside it. `heading()` is drawn anew whenever groups change.
function frame(scroller, { heading, rows, label, named, sorted = true, none = "There are no pictures here." }) {
  const head = el("div", { class: "head" });
  const tools = el("div", { class: "sorting" });
  const inner = el("div", { class: "scroller" });
  const side = el("aside", { class: "targets", "aria-label": "Groups to drop pictures on" });
  scroller.replaceChildren(el("div", { class: "split" }, inner, side));
  scroller.classList.add("fixed");
  const ordered = () => (sorted && SORTS[order] ? [...rows()].sort(SORTS[order]) : rows());
  const grid = pictureGrid(inner, ordered, label);
  const empty = el("p", { class: "empty" }, none);
  inner.append(head, grid.box, empty);

  let [choosing, closed] = [false, false];
  const choose = el("button", { type: "button", class: "touch", "aria-pressed": "false", onclick: () => {
    choosing = !choosing;
    choose.setAttribute("aria-pressed", String(choosing));
    grid.choose(choosing);
  } }, "Select");

  function refresh() {
    if (sorted && BY_TIME.has(order) && !run.facts) data.facts().then(() => closed || refresh(), () => null);
    const typing = head.contains(document.activeElement) && document.activeElement.tagName === "INPUT";
    if (!typing) redraw(head, ...heading(grid.rows), tools);
    grid.refresh();
    empty.hidden = grid.rows().length > 0;
    tools.hidden = !empty.hidden;
    drawTargets();
  }

  function drawTargets() {
    const here = now.groups.find((group) => location.hash === `#/group/${group.key}`);
    redraw(side,
      el("p", {}, now.cut ? "Pictures can be moved between your own groups." : "Drop pictures on a group"),
      el("ul", {}, now.cut ? [] : el("li", { class: "new", "data-drop": String(NEW) }, "+ A new group"),
        now.cut ? [] : now.groups.filter((group) => group !== here).slice(0, 300).map((group) =>
          el("li", { "data-drop": String(group.key) },
            el("a", { href: `#/group/${group.key}`, "data-key": String(group.key), draggable: false }, el("img", { src: data.source(group.covers[0] ?? 0, "small"), alt: "", loading: "lazy", draggable: false }),
              el("span", {}, title(group)), el("small", {}, count(group.size)))))),
    );
  }

  if (sorted) {
    const choice = el("select", { "aria-label": "Order", onchange: () => {
      order = choice.value;
      refresh();
    } }, Object.keys(SORTS).map((name) => el("option", { selected: name === order }, name)));
    tools.append(choice);
  }
  tools.append(choose, el("button", { type: "button", onclick: () => selection.set(grid.rows()) }, "Select all"));
  refresh();
  return {
    refresh,
    scroller: inner,
    title: named,
    around: () => ordered,
    left: grid.focus,
    focus: grid.focus,
    at: grid.at,
    close() {
      closed = true;
      grid.close();
      scroller.classList.remove("fixed");
    },
  };
}

export function group(scroller, key) {
  const find = () => now.groups.findIndex((each) => each.key === key);
  const made = frame(scroller, { heading, rows: () => (find() < 0 ? [] : data.members(find())), label: "Pictures of the group", named: () => (now.groups[find()] ? title(now.groups[find()]) : "No such group") });
  const name = typed.has(key) && scroller.querySelector("input.name"); // the run was made again meanwhile
  if (name) {
    name.focus();
    name.setSelectionRange(name.value.length, name.value.length);
  }
  return made;

  function heading(rows) {
    const each = now.groups[find()];
    const back = el("a", { class: "back", href: "#/", "aria-label": "All groups" }, icon("back"));
    if (!each) return [back, el("h2", {}, "This group is gone"), el("span", { class: "note" }, "Its pictures are in other groups now.")];
    const name = el("input", { class: "name", value: typed.get(key) ?? each.name, placeholder: title(each), "aria-label": "Name of the group", maxLength: 200, disabled: now.cut });
    name.addEventListener("input", () => typed.set(key, name.value));
    name.addEventListener("keydown", (event) => {
      if (event.key === "Escape") name.value = each.name;
      if (event.key === "Enter" || event.key === "Escape") {
        name.blur();
        made.focus();
      }
      event.stopPropagation();
    });
    // another window or tab that comes to the front leaves it the active element: what is half typed is not kept then
    name.addEventListener("blur", async () => {
      await null; // a field that is taken out of the page has lost the focus before it is out
      if (document.activeElement === name || !name.isConnected) return;
      typed.delete(key);
      if (name.value.trim() !== each.name) actions.rename(key, name.value.trim());
    });
    const button = (text, label, act) => el("button", { type: "button", "data-key": text, title: label, onclick: act, disabled: now.cut }, text);
    const others = (each.alternatives ?? []).map((other) => el("button", { type: "button", class: "other", onclick: () => actions.rename(key, other), disabled: now.cut }, other));
    return [
      back, name,
      el("span", { class: "size" }, pictures(each.size)),
      el("span", { class: "why" }, each.why ?? ""),
      others.length ? el("span", { class: "others" }, "or", others) : "",
      now.cut ? el("button", { type: "button", class: "main", onclick: () => actions.backToOwn() }, "Back to your groups") : "",
      el("div", { class: "buttons" },
        button("Split…", "Divide it by the likeness of its pictures", () => actions.splitGroup(key)),
        now.groups.length < 2 ? null : button("Merge…", "Put it together with another group", async () => {
          const into = await actions.mergeSomewhere(key);
          if (into !== null) location.hash = `#/group/${into}`;
        }),
        button("Lock all", "No later grouping moves its pictures", () => actions.lock([...rows()])),
        button("Hide all", "Do not show its pictures; nothing is deleted", () => actions.hide([...rows()]))),
    ];
  }
}

export function set(scroller, { heading, rows, sorted, none, back = "#/" }) {
  return frame(scroller, {
    heading: () => [el("a", { class: "back", href: back, "aria-label": "Back" }, icon("back")), el("h2", {}, heading), el("span", { class: "size" }, pictures(rows().length))],
    rows: () => rows().filter(data.isShown), label: heading, named: () => heading, sorted, none,
  });
}
