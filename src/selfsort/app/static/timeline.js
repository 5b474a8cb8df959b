// Pictures by time: how many in each month, and event by event.

import * as data from "./data.js";
import { run, source } from "./data.js";
import { counted, el, pictures } from "./dom.js";
import { virtual } from "./virtual.js";

const month = new Intl.DateTimeFormat("en-US", { month: "long", year: "numeric", timeZone: "UTC" });
const date = (text) => new Date(`${text}Z`);
const STRIP = 4;

export function rowsOfEvent(number) {
  const rows = [];
  run.facts.event.forEach((event, row) => event === number && rows.push(row));
  return rows.sort((a, b) => run.facts.time[a] - run.facts.time[b]);
}

export function timeline(scroller) {
  const box = el("div", { class: "timeline" }, el("p", { class: "empty" }, "Reading when pictures were taken…"));
  scroller.replaceChildren(box);
  let [list, closed, order, at] = [null, false, [], null]; // numbers of the events that are shown; the one that the keyboard is about
  data.facts().then(draw, (error) => box.replaceChildren(el("p", { class: "empty" }, error.message)));

  function draw() {
    if (closed) return;
    const { events, event, time } = run.facts;
    const byEvent = events.map(() => []);
    for (let row = 0; row < run.n; row++) if (event[row] >= 0 && data.isShown(row)) byEvent[event[row]].push(row);
    order = events.map((_, i) => i).filter((i) => byEvent[i].length).reverse(); // newest first
    const undated = [];
    for (let row = 0; row < run.n; row++) if (!Number.isFinite(time[row]) && data.isShown(row)) undated.push(row);
    const head = el("div", { class: "head" }, el("h2", {}, counted(order.length, "event")),
      el("a", { href: "#/undated" }, `${pictures(undated.length)} without a date`));
    const top = scroller.scrollTop;
    list?.close();
    list = virtual({ scroller, count: order.length, width: () => 330, height: () => 134, gap: 10, make, fill, role: "list", label: "Events" });
    list.box.classList.add("events");
    const chart = order.length ? months(order, byEvent) : "";
    box.replaceChildren(head, chart, list.box);
    if (chart) chart.scrollLeft = chart.scrollWidth; // the newest
    if (top) requestAnimationFrame(() => requestAnimationFrame(() => { scroller.scrollTop = top; }));
    if (!order.length) box.append(el("p", { class: "empty" }, "No picture says when it was taken, neither in its metadata nor by its name."));

    function make() {
      return el("article", { class: "event", role: "listitem" }, el("a", {}, el("h3"), el("p", { class: "size" }), el("div", { class: "strip" }, Array.from({ length: STRIP }, () => el("img", { alt: "", decoding: "async", fetchPriority: "low" })))));
    }

    function fill(cell, index) {
      cell.index = index;
      const number = order[index];
      const rows = byEvent[number];
      const [link] = cell.children;
      link.href = `#/event/${number}`;
      link.children[0].textContent = events[number].days;
      link.children[1].textContent = [pictures(rows.length), ...events[number].places].join(" · ");
      [...link.children[2].children].forEach((image, at) => {
        const row = rows[Math.floor((at * rows.length) / Math.min(STRIP, rows.length))];
        image.hidden = at >= rows.length;
        if (at < rows.length) image.src = source(row, "small");
      });
    }
  }

  // One bar per month; pressing it goes to the newest event of that month.
  function months(order, byEvent) {
    const numbers = new Map();
    order.forEach((number, at) => {
      const start = date(run.facts.events[number].start);
      const key = start.getUTCFullYear() * 12 + start.getUTCMonth();
      const entry = numbers.get(key) ?? { n: 0, at, start };
      entry.n += byEvent[number].length;
      numbers.set(key, entry);
    });
    const most = Math.max(1, ...[...numbers.values()].map((entry) => entry.n));
    const [first, last] = [Math.min(...numbers.keys()), Math.max(...numbers.keys())];
    const each = Array.from({ length: last - first + 1 }, (_, i) => numbers.get(first + i)); // with the months between that have none
    const bars = each.map((entry) => {
      if (!entry) return el("i");
      const label = `${month.format(entry.start)}: ${pictures(entry.n)}`;
      const bar = el("button", { type: "button", title: label, "aria-label": label, onclick: () => list.reveal(entry.at)?.querySelector("a").focus() }, el("span"));
      bar.firstChild.style.height = `${Math.max(4, 100 * Math.sqrt(entry.n / most))}%`;
      return bar;
    });
    const [oldest, newest] = [order.at(-1), order[0]].map((number) => el("p", {}, month.format(date(run.facts.events[number].start))));
    return el("div", { class: "months", role: "group", "aria-label": "Months" }, el("div", { class: "bars" }, bars), el("div", {}, bars.length > 1 ? [oldest, newest] : oldest));
  }

  box.addEventListener("keydown", (event) => {
    const cell = event.target.closest(".event");
    const by = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -list?.columns(), ArrowDown: list?.columns() }[event.key];
    if (!cell || !by) return;
    event.preventDefault();
    list.reveal(Math.max(0, Math.min(order.length - 1, cell.index + by)))?.querySelector("a").focus({ preventScroll: true });
  });
  box.addEventListener("focusin", (event) => { at = order[event.target.closest(".event")?.index] ?? null; });

  function focus(number = at, { still = false } = {}) {
    const index = order.indexOf(number);
    const cell = index >= 0 && ((still && list?.cells.get(index)) || list?.reveal(index));
    (cell || box).querySelector("a")?.focus({ preventScroll: true });
  }

  return { refresh: () => run.facts && draw(), focus, at: () => at, close: () => { closed = true; list?.close(); } };
}
