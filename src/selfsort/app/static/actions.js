// Everything that changes something, and what is said about it. Whatever is done to groups can be undone.

import * as data from "./data.js";
import { now, run } from "./data.js";
import { $, count, counted, dialog, el, noted, pictures, plain } from "./dom.js";
import { selection } from "./selection.js";

let fading = 0;

export function say(message, { undoable = false, bad = false, way = null } = {}) {
  const box = $("said");
  ([...document.querySelectorAll("dialog[open]")].at(-1) ?? document.body).append(box);
  box.replaceChildren(el("span", {}, message));
  const step = now.undo;
  if (undoable && step) box.append(el("button", { type: "button", onclick: () => undo(step.number) }, "Undo"));
  if (way) box.append(el("button", { type: "button", onclick: way[1] }, way[0]));
  box.classList.toggle("bad", bad);
  box.classList.add("seen");
  clearTimeout(fading);
  fading = setTimeout(() => box.classList.remove("seen"), bad ? 12000 : 6000);
}

// Does one thing, says that it is done, or what went wrong.
export async function attempt(doing, said = "") {
  try {
    await doing();
    if (said) say(typeof said === "function" ? said() : said, { undoable: true });
    return true;
  } catch (error) {
    say(error.message, { bad: true });
    return false;
  }
}

export const backToOwn = () => attempt(() => data.look(null));

// Whether something may be changed now; if not, it is said why.
function free() {
  if (data.isSilent()) say("selfsort review does not answer: nothing was changed.", { bad: true });
  return !data.isSilent();
}

function ready() {
  if (now.cut) say("These are coarser or finer groups: only your own can be corrected.", { way: ["Back to your groups", backToOwn] });
  return !now.cut && free();
}

// Corrects the rows given, or those selected, which are then not selected any more. What is said of a picture holds for
// copies of its file too.
async function correct(body, given, said) {
  if (!ready()) return;
  const rows = given ?? selection.rows();
  if (!rows.length || !(await attempt(() => data.correct({ ...body, rows }), () => said(now.undo?.pictures ?? pictures(rows.length)))) || given) return;
  const done = new Set(rows); // others may have been selected meanwhile
  selection.set(selection.rows().filter((row) => !done.has(row)));
}

export const titleOf = (key) => {
  const group = now.groups.find((each) => each.key === key);
  return group ? data.title(group) : "the group";
};

export const move = (key, rows) => correct({ do: "move", keys: [key] }, rows, (n) => `Moved ${n} to ${titleOf(key)}.`);

export async function moveSomewhere(rows) {
  if (!ready()) return;
  const moving = rows ?? selection.rows();
  const groups = new Set(moving.map((row) => now.group[row]));
  const here = groups.size === 1 ? now.groups[[...groups][0]]?.key : null; // they are there already
  const picked = await pickGroup(`Move ${pictures(moving.length)} to`, { create: true, without: here });
  if (picked?.name !== undefined) await newGroup(rows, picked.name);
  else if (picked) await move(picked.key, rows);
}

const simple = (what, said) => (rows) => correct({ do: what }, rows, said);

export const newGroup = (rows, name = "") =>
  correct({ do: "split", ...(name ? { name } : {}) }, rows, (n) => `Made a new group${name ? ` ${titleFor(name)}` : ""} of ${n}.`);
export const notThis = simple("not-this", (n) => `Took ${n} out of the group.`);
export const lock = simple("lock", (n) => `Locked ${n}: no later grouping changes that.`);
export const unlock = simple("unlock", (n) => `Unlocked ${n}.`);
export const hide = simple("hide", (n) => `Hid ${n}. Nothing is deleted.`);
export const show = simple("show", (n) => `Showing ${n} again.`);
const two = (act) => (rows) => ((rows ?? selection.rows()).length < 2 ? say("That needs two pictures or more.", { bad: true }) : act(rows));
export const together = two(simple("must-link", (n) => `${n} stay together.`));
export const apart = two(simple("cannot-link", () => "The first and the others stay apart."));
export const different = simple("not-the-same", () => "They do not come up as the same again.");

// What the groups are called before and after says which name stays: one that a person gave goes on, also from a part.
export async function merge(keys, into = keys[0]) {
  const others = keys.filter((key) => key !== into);
  if (!others.length || !ready()) return;
  const before = [into, ...others].map(titleOf);
  await attempt(() => data.correct({ do: "merge", keys: [into, ...others] }), () => {
    const kept = titleOf(into);
    const gone = before.filter((_, at) => at !== Math.max(0, before.indexOf(kept)));
    return `Merged ${gone.length === 1 ? gone[0] : `${gone.length} groups`} into ${kept}.`;
  });
}

export async function mergeSomewhere(key) {
  if (!ready()) return null;
  const picked = await pickGroup(`Merge ${titleOf(key)} into`, { without: key });
  if (picked) await merge([picked.key, key], picked.key);
  return picked?.key ?? null;
}

export const rename = (key, name) => ready() && attempt(() => data.correct({ do: "rename", keys: [key], name }), name ? `Named it ${titleFor(name)}.` : "Took the name away.");
const titleFor = (name) => (name.length > 60 ? `${name.slice(0, 60)}…` : name);

export async function namePerson(person, name) {
  if (!free()) return false;
  const unnamed = `person ${person}`;
  const input = el("input", { type: "text", maxlength: "200", id: "person-name", value: name === unnamed ? "" : name, autofocus: true });
  const content = el("div", { class: "fields" }, el("p", {}, "The name stays beside the run, on this machine. Search finds pictures by it; exported tables have it."), el("label", { for: "person-name" }, "Name"), input);
  if ((await dialog(`Name ${unnamed}`, content, [["", "Cancel"], ["name", "Name", "main"]], { isLasting: true })) !== "name") return false;
  const given = input.value.trim();
  if ((given || unnamed) === name || !(await attempt(() => data.namePerson(person, given)))) return false;
  say(given ? `Named ${unnamed} ${given}.` : `Took the name of ${unnamed} away.`);
  return true;
}

export async function splitGroup(key) {
  if (!ready()) return;
  const input = el("input", { type: "number", min: "2", max: "1000", placeholder: "found", id: "n-parts" });
  const content = el("div", { class: "fields" }, el("p", {}, "Its pictures are compared anew, among themselves only. The largest part stays this group."), el("label", { for: "n-parts" }, "Parts"), input);
  if ((await dialog(`Split ${titleOf(key)}`, content, [["", "Cancel"], ["split", "Split", "main"]])) !== "split") return;
  const before = now.groups.length;
  await attempt(async () => {
    await data.split(key, input.value ? Number(input.value) : undefined);
    say(`Split into ${now.groups.length - before + 1} groups.`, { undoable: true });
  });
}

// By its number, so that what is undone is what was said, whatever another tab did meanwhile. Without one it is the last
// step when its turn has come: three presses undo three steps, however fast they are.
async function turn(number, of, act, said, none) {
  if (!free()) return;
  let step = null;
  const which = () => {
    step = number ? { number } : of();
    return step && { number: step.number };
  };
  if (await attempt(() => act(which))) say(!step ? none : step.said ? `${said}: ${step.said}.` : `${said}.`);
}

export const undo = (number) => turn(number, () => now.undo, data.undo, "Undone", "There is nothing to undo.");
export const redo = (number) => turn(number, () => now.redo, data.redo, "Done again", "There is nothing to do again.");

export async function regroup(n) {
  const taught = now.n_corrections ? ` What you corrected stays (${counted(now.n_corrections, "correction")}), and other pictures follow.` : "";
  const asked = n ?? run.asked;
  const text = `All pictures are grouped again${asked ? `, into about ${count(asked)} groups` : ""}; new ones are added.${taught} The other groups of now cannot be brought back by Undo.`;
  const others = !n && run.asked ? [["find", "Find the number of groups"]] : [];
  const value = await dialog("Group again", el("p", {}, text), [["", "Cancel"], ...others, ["go", "Group again", "main"]]);
  if (value) await attempt(() => data.regroup(n ?? null, value === "find"));
}

const MODES = [
  ["copy", "Folders with copies, one per group"], ["hardlink", "Folders with hard links (take no space)"], ["symlink", "Folders with links"],
  ["xmp", "Keywords in sidecar files (digiKam, darktable, Lightroom)"], ["csv", "A table (CSV)"], ["parquet", "A table (Parquet)"], ["json", "JSON"], ["fiftyone", "A dataset for FiftyOne"],
];

// What was given last stays while this tab is open.
const GIVEN = "selfsort-export";

export async function exportSomewhere() {
  const given = JSON.parse(sessionStorage.getItem(GIVEN) ?? "{}");
  const mode = el("select", { id: "export-mode" }, MODES.map(([value, text]) => el("option", { value, selected: value === given.mode }, text)));
  const place = el("input", { type: "text", id: "export-place", placeholder: "/home/me/sorted", spellcheck: false, autocomplete: "off", value: given.place ?? "" });
  const beside = el("input", { type: "checkbox", id: "export-beside", checked: given.beside ?? false });
  const stem = el("input", { type: "checkbox", id: "export-stem", checked: given.stem ?? false });
  const sidecars = el("div", { class: "options" }, el("label", {}, beside, "Beside the originals"), el("label", {}, stem, "Named as Lightroom does (img.xmp)"));
  const isBeside = () => mode.value === "xmp" && beside.checked;
  const update = () => {
    sidecars.hidden = mode.value !== "xmp";
    place.disabled = isBeside();
    sessionStorage.setItem(GIVEN, JSON.stringify({ mode: mode.value, place: place.value, beside: beside.checked, stem: stem.checked }));
  };
  update();
  const content = el("div", { class: "fields", oninput: update, onchange: update }, el("p", {}, `Your groups as they are now${now.cut ? ", not the coarser or finer ones that you are looking at" : ""}. Originals are only read. An export can be taken back with selfsort undo.`),
    el("label", { for: "export-mode" }, "As"), mode, el("label", { for: "export-place" }, "Folder"), place, sidecars);
  const accept = (value) => {
    const destination = isBeside() ? null : place.value.trim();
    if (destination === "") return void say("Give a folder to export to.", { bad: true });
    return attempt(() => data.exportTo({ mode: mode.value, destination, names: stem.checked ? "stem" : "full", dry_run: value === "plan" }));
  };
  await dialog("Export", content, [["", "Cancel"], ["plan", "Only plan"], ["export", "Export", "main"]], { accept, isLasting: true });
}

// Asks for a group; resolves to its `key`, to the `name` of one to make (empty if it gets none), or to null.
export async function pickGroup(heading, { without = null, create = false } = {}) {
  const list = el("ul", { class: "choices" });
  const words = el("input", { type: "search", placeholder: create ? "Find a group, or name a new one" : "Find a group", "aria-label": "Find a group", maxlength: "200" });
  let marked = null; // what Enter takes
  const mark = (button) => {
    marked?.classList.remove("first");
    (marked = button)?.classList.add("first");
    button?.scrollIntoView({ block: "nearest" });
  };
  const name = () => words.value.trim();
  const fill = () => {
    const wanted = plain(name());
    const isTaken = wanted && now.groups.some((group) => plain(data.title(group)) === wanted);
    const fitting = now.groups.filter((group) => group.key !== without && plain(data.title(group)).includes(wanted));
    fitting.sort((a, b) => (plain(data.title(b)) === wanted) - (plain(data.title(a)) === wanted)); // what is called just so
    const items = fitting.slice(0, 200).map((group) =>
      el("li", {}, el("button", { value: String(group.key) }, el("img", { src: data.source(group.covers[0] ?? 0, "small"), alt: "" }), el("span", {}, data.title(group)), el("small", {}, count(group.size)))),
    );
    if (create && !isTaken) items.unshift(el("li", {}, el("button", { value: "new" }, el("span", { class: "plus" }, "+"), el("span", {}, name() ? `A new group “${name()}”` : "A new group"))));
    list.replaceChildren(...(items.length ? items : [el("li", { class: "note" }, isTaken ? "They are in this group already." : "No group has this in its name.")]));
    const buttons = list.querySelectorAll("button");
    mark(create && !isTaken && name() && fitting.length ? buttons[1] : buttons[0]);
  };
  words.addEventListener("input", fill);
  words.addEventListener("keydown", (event) => {
    const by = { ArrowUp: -1, ArrowDown: 1 }[event.key];
    const buttons = [...list.querySelectorAll("button")];
    if (by) mark(buttons[Math.max(0, Math.min(buttons.length - 1, buttons.indexOf(marked) + by))]);
    else if (event.key === "Enter") marked?.click();
    else return;
    event.preventDefault();
  });
  fill();
  const value = await dialog(heading, el("div", {}, words, list), [["", "Cancel"]]);
  return value === null ? null : value === "new" ? { name: name() } : { key: Number(value) };
}

export async function showHistory() {
  let entries = [];
  if (!(await attempt(async () => { entries = await data.history(); }))) return;
  const rows = entries.map((entry) =>
    el("li", { class: entry.undone ? "undone" : "" },
      el("time", {}, noted(entry.at)), el("span", {}, entry.said),
      el("button", { type: "button", onclick: async (event) => {
        event.target.disabled = true;
        await (entry.undone ? redo(entry.number) : undo(entry.number));
        event.target.closest("dialog")?.close();
        showHistory();
      } }, entry.undone ? "Do again" : "Undo")),
  );
  const list = rows.length ? el("ul", { class: "history" }, rows) : el("p", {}, "Nothing was corrected yet.");
  await dialog("What was corrected", list, [["", "Close"]], { wide: true });
}
