// The page as a whole: which view is shown, the bars around it, and the keys.

import * as actions from "./actions.js";
import { address } from "./address.js";
import * as data from "./data.js";
import { now, on, run } from "./data.js";
import { $, closeDialogs, count, counted, dialog, duration, el, icon, pictures, redraw, setHome, wayBack, whenReleased } from "./dom.js";
import { group, set } from "./group.js";
import { map } from "./map.js";
import { places } from "./places.js";
import { same } from "./same.js";
import { selection } from "./selection.js";
import { rowsOfEvent, timeline } from "./timeline.js";
import { view as viewer } from "./viewer.js";
import { coarser, finer, wall } from "./wall.js";

const VIEWS = [["", "Groups", wall], ["map", "Map", map], ["time", "Time", timeline], ["places", "Places", places], ["same", "Same", same]];
const every = (test) => Array.from({ length: run.n }, (_, row) => row).filter((row) => run.ok[row] && test(row));
const found = { words: "", rows: [] };
let view = null;
const left = new Map(); // hash -> where its view was scrolled to, and what the keyboard was about
let shownHash = null;
let seen = null; // the picture that is seen large

// What each address shows. Those that need to ask first are async, and are dropped if the address changed meanwhile.
const ROUTES = {
  group: (main, key) => group(main, Number(key)),
  nowhere: (main) => set(main, { heading: "Belong nowhere", rows: () => data.members(-1) }),
  hidden: (main) => {
    now.showHidden = true;
    return set(main, { heading: "Hidden", rows: () => every((row) => now.flags[row] & data.HIDDEN) });
  },
  locked: (main) => set(main, { heading: "Locked", rows: () => every((row) => now.flags[row] & data.LOCKED) }),
  picked: (main) => set(main, { heading: "Taken here", rows: () => run.picked ?? [], back: "#/places" }),
  like: async (main, row) => {
    const rows = await data.like(Number(row));
    return () => set(main, { heading: "Most like it", rows: () => rows, sorted: false });
  },
  found: async (main) => () => set(main, { heading: found.words, rows: () => found.rows, sorted: false }),
  search: async (main, words) => {
    const rows = await data.search(words);
    $("words").value = words;
    const none = "No name of a file has these words, and no text that was read. The menu has “Read the text in pictures”.";
    return () => set(main, { heading: `“${words}”`, rows: () => rows, none });
  },
  event: async (main, number) => {
    const { events } = await data.facts();
    const rows = rowsOfEvent(Number(number));
    return () => set(main, { heading: events[number]?.days ?? "No such event", rows: () => rows, sorted: false, back: "#/time" });
  },
  undated: async (main) => {
    await data.facts();
    return () => set(main, { heading: "Without a date", back: "#/time", rows: () => every((row) => !Number.isFinite(run.facts.time[row])) });
  },
  flaw: async (main, name) => {
    const { flaws } = await data.facts();
    const bit = 1 << flaws.indexOf(name);
    return () => set(main, { heading: name === "cut" ? "Cut short" : `Seem ${name}`, rows: () => every((row) => run.facts.flaws[row] & bit) });
  },
};

async function route({ keepFocus = false } = {}) {
  const main = $("main");
  const { base: hash, name, argument, groups } = address();
  if (shownHash !== null) left.set(shownHash, { top: (view?.scroller ?? main).scrollTop, at: view?.at?.() });
  // what these show is not in their address: after a reload it has to be asked for again
  if ((name === "found" && !found.words) || (name === "picked" && !run.picked?.length)) return location.replace(name === "found" ? "#/" : "#/places");
  const make = VIEWS.find(([path]) => path === name)?.[2] ?? ROUTES[name] ?? wall;
  const wanted = groups && run.levels ? Math.min(groups, run.levels.most) : null;
  const look = wanted ? now.n !== wanted : name === "group" && now.cut; // keys of groups are of these only
  let build = () => make(main, argument);
  if (look || make.constructor.name === "AsyncFunction") {
    try {
      if (look) await data.look(wanted);
      if (make.constructor.name === "AsyncFunction") build = await make(main, argument);
    } catch (error) {
      actions.say(error.message, { bad: true });
      if (address().base === hash && shownHash !== hash) location.replace(`#/${shownHash ?? ""}`); // what is still shown
      return;
    }
    if (address().base !== hash) return;
  }
  view?.close();
  const isOther = shownHash !== hash;
  if (isOther) selection.clear();
  now.showHidden = name === "hidden";
  main.classList.remove("fixed");
  shownHash = hash;
  view = build();
  main.scrollTop = 0;
  const [{ top, at } = {}, shown] = [left.get(hash), view];
  if (left.has(hash)) requestAnimationFrame(() => requestAnimationFrame(() => { // once it has its height
    if (view !== shown) return;
    (view.scroller ?? main).scrollTop = top;
    if (!keepFocus && !document.querySelector("dialog[open]")) view.focus?.(at, { still: true });
  }));
  for (const link of $("views").children) {
    if (link.getAttribute("href") === `#/${VIEWS.some(([path]) => path === name) ? name : ""}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  if (name !== "search" && isOther) $("words").value = "";
  entitle();
  if (!keepFocus) view.focus?.();
  showPicture();
}

// Shows the picture that the address names, or none.
function showPicture() {
  const { base, picture } = address();
  if (base !== shownHash) return;
  if (picture !== null && !run.ok[picture]) history.replaceState(null, "", `#/${base}`);
  if (picture === null || !run.ok[picture]) {
    seen?.close();
    seen = null;
  } else if (!seen?.goTo(picture)) {
    seen?.close();
    const around = view.around?.(picture);
    const list = around?.().includes(picture) ? around : () => [picture];
    const back = wayBack();
    const mine = seen = viewer(picture, list, (row) => {
      if (seen === mine) seen = null;
      entitle();
      if (shownHash === base) (view.left ?? back)(row);
    });
  }
}

// What the tab of the browser is called.
function entitle(what = view?.title?.() ?? VIEWS.find(([path]) => path === shownHash)?.[1]) {
  document.title = [what, run.name, "selfsort"].filter(Boolean).join(" · ");
}

function refresh() {
  whenReleased(draw);
}

function draw() {
  const { base, name, groups } = address();
  if (groups !== null && base === shownHash && !now.cut) { // they are the user's own again
    seen?.close();
    return location.replace(name === "group" ? "#/" : `#/${name}`);
  }
  view?.refresh();
  if (!seen) entitle();
  drawSelection();
  const [undo, redo] = [$("undo"), $("redo")];
  undo.disabled = !now.undo;
  redo.disabled = !now.redo;
  undo.title = now.undo ? `Undo: ${now.undo.said} (Ctrl+Z)` : "Nothing to undo";
  redo.title = now.redo ? `Do again: ${now.redo.said} (Ctrl+Shift+Z)` : "Nothing to do again";
  return undefined;
}

// ---- the bar of selected pictures

const TOOLS = [
  ["m", "Move to…", "Move to another group", () => actions.moveSomewhere()],
  ["n", "New group", "Make a group of them", () => actions.newGroup()],
  ["x", "Not this", "They do not belong to their group", () => actions.notThis()],
  ["l", "Lock", "No later grouping moves them", () => (all(data.LOCKED) ? actions.unlock() : actions.lock())],
  ["h", "Hide", "Do not show them; nothing is deleted", () => (all(data.HIDDEN) ? actions.show() : actions.hide())],
  ["t", "Keep together", "They belong together", () => actions.together(), 2],
  ["p", "Keep apart", "The first does not belong with the others", () => actions.apart(), 2],
  ["s", "Similar", "Show the pictures most like the first", () => { location.hash = `#/like/${selection.rows()[0]}`; }],
];
const all = (flag) => selection.rows().every((row) => now.flags[row] & flag);

const home = () => view?.focus?.(undefined, { still: true });

function drawSelection() {
  const bar = $("selection");
  const isLeft = !selection.size && bar.contains(document.activeElement);
  bar.hidden = !selection.size;
  if (isLeft) home();
  if (!selection.size) return;
  const names = { l: all(data.LOCKED) ? "Unlock" : "Lock", h: all(data.HIDDEN) ? "Show again" : "Hide" };
  redraw(bar, el("strong", {}, `${count(selection.size)} selected`),
    ...TOOLS.map(([key, text, label, act, least = 1]) => el("button", { type: "button", "data-key": key, title: `${label} (${key.toUpperCase()})`, onclick: act, disabled: selection.size < least || (now.cut && key !== "s") }, names[key] ?? text)),
    now.cut ? el("button", { type: "button", "data-key": "own", class: "main", title: "Only your own groups can be corrected", onclick: () => actions.backToOwn() }, "Back to your groups") : "",
    el("button", { type: "button", "data-key": "none", class: "quiet", title: "Select none (Esc)", "aria-label": "Select none", onclick: () => selection.clear() }, icon("close")));
}

// ---- what is wrong, and jobs

const TROUBLES = {
  silent: ["selfsort review does not answer.", "If it has ended, start it again and use the page that it opens. What was corrected is kept; nothing can be changed until it answers."],
  refused: ["selfsort review was started again.", "Open the address that it printed; this page then goes on."],
};
function drawTrouble(trouble) {
  const [what, todo] = TROUBLES[trouble] ?? [];
  $("trouble").hidden = !trouble;
  $("trouble").replaceChildren(...(trouble ? [el("strong", {}, what), el("span", {}, todo)] : []));
  if (!trouble) actions.say("selfsort review answers again.");
}

let before = null;
function drawJob(job) {
  const box = $("job");
  if (before?.running && job && !job.running) actions.say(job.error || finished(job), { bad: Boolean(job.error) });
  before = job;
  box.hidden = !job?.running;
  if (!job?.running) return;
  const share = job.total ? job.done / job.total : null;
  const bar = el("progress", share === null ? { "aria-label": job.name } : { max: 1, value: share, "aria-label": job.name });
  const left = job.left ? `, ${duration(job.left)} left` : "";
  redraw(box, el("span", {}, `${job.name}: ${job.stage || "starting"}${job.total ? ` ${count(job.done)} of ${count(job.total)}` : ""}${left}`), bar, el("button", { type: "button", onclick: () => actions.attempt(data.stop) }, "Stop"));
}

function finished({ name, result }) {
  if (result?.destination) {
    const left = result.n_skipped ? `; ${pictures(result.n_skipped)} left out, such as ${result.skipped[0]}` : "";
    return `${name}: ${counted(result.done || result.planned, "file")} ${result.done ? "written" : "would be written"} to ${result.destination}${left}.`;
  }
  if (result?.n_with_text !== undefined) return `${name}: done. Text in ${pictures(result.n_with_text)}; search finds it.`;
  const moved = result?.moved;
  if (!moved || moved.moved === undefined) return `${name}: done.`;
  const added = result.changes?.new ? `, ${pictures(result.changes.new)} new` : "";
  const gone = result.changes?.gone ? `, ${pictures(result.changes.gone)} not there any more` : "";
  return `${name}: done. ${pictures(moved.moved)} in another group, ${counted(moved.new_groups, "new group")}, ${count(moved.gone_groups)} fewer${added}${gone}.`;
}

// ---- menu, keys, help

const KEYS = [
  ["1 – 5", "Groups, map, time, places, same"], ["/", "Search"], ["[  ]", "Coarser, finer"], ["Arrows", "Move in a grid, with Shift select"],
  ["Space", "Select, or choose a group for merging"], ["Enter", "Open"], ["Ctrl+A", "Select all of a grid"], ["Esc", "Select none, or back"], ["Enter, Space, Ctrl+A on a map", "Open or select what is in the middle, select what is in sight"],
  ...TOOLS.map(([key, , label]) => [key.toUpperCase(), label]), ["Ctrl+Z, Z", "Undo"], ["Ctrl+Shift+Z, Y", "Do again"], ["Arrows in the large view", "The picture before, the next"], ["M, N, X, H in the large view", "Correct it and go on to the next"], ["G", "Group again"], ["?", "These keys"],
];

async function help() {
  await dialog("Keys", el("dl", { class: "keys" }, KEYS.flatMap(([key, text]) => [el("dt", {}, key), el("dd", {}, text)])), [["", "Close"]], { wide: true });
}

async function menu() {
  const theme = document.documentElement.dataset.theme ?? "";
  const item = (value, text) => el("li", {}, el("button", { value }, text));
  const themes = [["", "As the system"], ["light", "Light"], ["dark", "Dark"]].map(([value, text]) => el("option", { value, selected: value === theme }, text));
  const content = el("div", {},
    el("ul", { class: "menu" }, item("regroup", "Group again…"), item("text", "Read the text in pictures"), item("export", "Export…"), item("history", "What was corrected…"), item("hidden", `Hidden pictures (${count(now.n_hidden)})`), item("locked", "Locked pictures"),
      item("blurred", "Pictures that seem blurred"), item("dark", "Pictures that seem dark"), item("empty", "Pictures that seem empty"), item("cut", "Pictures that are cut short"), item("help", "Keys…")),
    el("label", { class: "theme" }, "Colors", el("select", { onchange: (event) => setTheme(event.target.value) }, themes)),
    run.warnings.length ? el("ul", { class: "warnings" }, run.warnings.map((text) => el("li", {}, text))) : "",
    el("p", { class: "note" }, `Pictures in ${run.root}. Corrections are kept at once, beside the run; originals are only read.`));
  const value = await dialog("More", content, [["", "Close"]]);
  if (value === "regroup") await actions.regroup(null);
  else if (value === "text") await actions.attempt(data.readText);
  else if (value === "export") await actions.exportSomewhere();
  else if (value === "history") await actions.showHistory();
  else if (value === "help") await help();
  else if (value === "hidden" || value === "locked") location.hash = `#/${value}`;
  else if (value) location.hash = `#/flaw/${value}`;
}

function setTheme(value) {
  if (value) document.documentElement.dataset.theme = value;
  else delete document.documentElement.dataset.theme;
  try {
    localStorage.setItem("selfsort-theme", value);
  } catch { /* it holds for this visit then */ }
  refresh();
}

function key(event) {
  const typing = event.target.closest("input:not([type=checkbox], [type=radio], [type=range]), select, textarea");
  const command = event.ctrlKey || event.metaKey;
  const dialogs = document.querySelectorAll("dialog[open]");
  const pressed = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  if (event.repeat && /^[a-z]$/.test(pressed)) return;
  if (command && pressed === "z" && !typing && [...dialogs].every((box) => box.classList.contains("viewer"))) event.shiftKey ? actions.redo() : actions.undo();
  else if (dialogs.length || typing || command || event.altKey) return;
  else if (event.key === "Escape" && selection.size) selection.clear();
  else if (event.key === "Escape") view?.escape?.() || (location.hash = document.querySelector(".back")?.getAttribute("href") ?? "#/");
  else if (event.key === "/") $("words").focus();
  else if (event.key === "?") help();
  else if (event.key === "[" && document.querySelector(".wall")) coarser();
  else if (event.key === "]" && document.querySelector(".wall")) finer();
  else if (pressed === "z") actions.undo();
  else if (pressed === "y") actions.redo();
  else if (pressed === "g") actions.regroup(null);
  else if (/^[1-5]$/.test(event.key)) location.hash = `#/${VIEWS[event.key - 1][0]}`;
  else if (selection.size && TOOLS.some(([of]) => of === pressed)) {
    const [, , , act, least = 1] = TOOLS.find(([of]) => of === pressed);
    if (selection.size >= least) act();
    else actions.say("That needs two pictures or more.", { bad: true });
  } else return;
  event.preventDefault();
}

// ---- begin

async function begin() {
  try {
    const theme = localStorage.getItem("selfsort-theme");
    if (theme) document.documentElement.dataset.theme = theme;
  } catch { /* no memory for such things here */ }
  $("views").replaceChildren(...VIEWS.map(([path, text]) => el("a", { href: `#/${path}` }, text)));
  for (const [id, name] of [["undo", "undo"], ["redo", "redo"], ["menu", "menu"], ["by-picture-label", "picture"]]) $(id).prepend(icon(name));
  $("undo").addEventListener("click", () => actions.undo());
  $("redo").addEventListener("click", () => actions.redo());
  $("menu").addEventListener("click", menu);
  $("search").addEventListener("submit", (event) => {
    event.preventDefault();
    const words = $("words").value.trim();
    location.hash = words ? `#/search/${encodeURIComponent(words)}` : "#/";
  });
  $("words").addEventListener("keydown", (event) => event.key === "Escape" && ($("words").blur(), view?.focus?.()));
  const searchBy = async (file) => {
    if (!file) return;
    const done = await actions.attempt(async () => {
      found.rows = await data.byPicture(file);
      found.words = `Most like ${file.name}`;
    });
    if (done && location.hash === "#/found") route();
    else if (done) location.hash = "#/found";
  };
  $("by-picture").addEventListener("change", async (event) => {
    await searchBy(event.target.files[0]);
    event.target.value = "";
  });
  addEventListener("dragover", (event) => event.preventDefault());
  addEventListener("drop", (event) => {
    event.preventDefault();
    searchBy(event.dataTransfer.files[0]);
  });
  setHome(home);
  addEventListener("hashchange", () => (address().base === shownHash ? showPicture() : route()));
  on("look", showPicture);
  on("titled", entitle);
  addEventListener("keydown", key);
  on("groups", refresh);
  on("selection", drawSelection);
  on("job", drawJob);
  on("trouble", drawTrouble);
  on("failed", (error) => actions.say(error.message, { bad: true }));
  try {
    await data.load();
  } catch (error) {
    $("main").replaceChildren(el("p", { class: "empty" }, error.message));
    return;
  }
  const begun = () => {
    $("library").textContent = run.name;
    if (!seen) entitle();
    data.names().then(() => view?.refresh(), () => null);
  };
  on("run", () => { // what was open showed rows of another run
    if (address().picture !== null) history.replaceState(null, "", `#/${address().base}`);
    closeDialogs();
    found.rows = [];
    left.clear();
    selection.clear();
    if (/^#\/(like|event|picked|found)/.test(location.hash)) location.hash = "#/"; // numbers of that run
    else route({ keepFocus: true });
    begun();
  });
  await route({ keepFocus: true });
  refresh();
  data.watch();
  begun();
}

begin();
