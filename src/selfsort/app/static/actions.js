// Everything that changes something, and what is said about it. Whatever is done here can be undone.

import * as data from "./data.js";
import { now } from "./data.js";
import { $, count, dialog, el, pictures } from "./dom.js";
import { selection } from "./selection.js";

let fading = 0;

export function say(message, { undoable = false, bad = false } = {}) {
  const box = $("said");
  box.replaceChildren(el("span", {}, message));
  if (undoable) box.append(el("button", { type: "button", onclick: () => undo() }, "Undo"));
  box.classList.toggle("bad", bad);
  box.classList.add("seen");
  clearTimeout(fading);
  fading = setTimeout(() => box.classList.remove("seen"), bad ? 12000 : 6000);
}

// Does one thing, says that it is done, or what went wrong.
export async function attempt(doing, said = "") {
  try {
    await doing();
    if (said) say(said, { undoable: true });
    return true;
  } catch (error) {
    say(error.message, { bad: true });
    return false;
  }
}

const chosen = (rows) => rows ?? selection.rows();

async function correct(body, said) {
  const done = await attempt(() => data.correct(body), said);
  if (done) selection.clear();
  return done;
}

export const titleOf = (key) => {
  const group = now.groups.find((each) => each.key === key);
  return group ? data.title(group) : "the group";
};

export async function move(key, rows) {
  rows = chosen(rows);
  if (!rows.length) return;
  await correct({ do: "move", rows, keys: [key] }, `Moved ${pictures(rows.length)} to ${titleOf(key)}.`);
}

export async function moveSomewhere() {
  const rows = chosen();
  const key = await pickGroup(`Move ${pictures(rows.length)} to`, { create: true });
  if (key === "new") await newGroup(rows);
  else if (key !== null) await move(key, rows);
}

export async function newGroup(rows) {
  rows = chosen(rows);
  if (rows.length) await correct({ do: "split", rows }, `Made a new group of ${pictures(rows.length)}.`);
}

const simple = (what, said) => async (rows) => {
  rows = chosen(rows);
  if (rows.length) await correct({ do: what, rows }, said(pictures(rows.length)));
};

export const notThis = simple("not-this", (n) => `Took ${n} out of the group.`);
export const lock = simple("lock", (n) => `Locked ${n}: no later grouping moves them.`);
export const unlock = simple("unlock", (n) => `Unlocked ${n}.`);
export const hide = simple("hide", (n) => `Hid ${n}. Nothing is deleted.`);
export const show = simple("show", (n) => `Showing ${n} again.`);
export const together = simple("must-link", (n) => `${n} stay together.`);
export const apart = simple("cannot-link", () => "The first and the others stay apart.");
export const different = simple("not-the-same", () => "They do not come up as the same again.");

export async function merge(keys, into = keys[0]) {
  const others = keys.filter((key) => key !== into);
  if (others.length) {
    await attempt(() => data.correct({ do: "merge", keys: [into, ...others] }), `Merged ${others.length + 1} groups into ${titleOf(into)}.`);
  }
}

export async function mergeSomewhere(key) {
  const into = await pickGroup(`Merge ${titleOf(key)} into`, { without: key });
  if (into !== null) await merge([into, key], into);
  return into;
}

export const rename = (key, name) => attempt(() => data.correct({ do: "rename", keys: [key], name }), name ? `Named it ${name}.` : "Took the name away.");

export async function splitGroup(key) {
  const input = el("input", { type: "number", min: "2", max: "1000", placeholder: "found", id: "n-parts" });
  const content = el("div", { class: "fields" }, el("p", {}, "Its pictures are compared anew, among themselves only. The largest part stays this group."), el("label", { for: "n-parts" }, "Parts"), input);
  if ((await dialog(`Split ${titleOf(key)}`, content, [["", "Cancel"], ["split", "Split", "main"]])) !== "split") return;
  const before = now.groups.length;
  await attempt(async () => {
    await data.split(key, input.value ? Number(input.value) : undefined);
    say(`Split into ${now.groups.length - before + 1} groups.`, { undoable: true });
  });
}

export async function undo(number) {
  const what = now.undo;
  if (!number && !what) return say("There is nothing to undo.");
  if (await attempt(() => data.undo(number))) say(number ? "Undone." : `Undone: ${what}.`);
}

export async function redo(number) {
  const what = now.redo;
  if (!number && !what) return say("There is nothing to do again.");
  if (await attempt(() => data.redo(number))) say(number ? "Done again." : `Done again: ${what}.`);
}

export async function regroup(n) {
  const taught = now.n_corrections ? ` Your ${count(now.n_corrections)} corrections stay, and other pictures follow them.` : "";
  const text = n ? `All pictures are grouped again, into ${count(n)} groups.${taught}` : `All pictures are grouped again; new ones are added.${taught}`;
  if ((await dialog("Group again", el("p", {}, text), [["", "Cancel"], ["go", "Group again", "main"]])) === "go") await attempt(() => data.regroup(n));
}

const MODES = [
  ["copy", "Folders with copies, one per group"], ["hardlink", "Folders with hard links (take no space)"], ["symlink", "Folders with links"],
  ["xmp", "Keywords in sidecar files (digiKam, darktable, Lightroom)"], ["csv", "A table (CSV)"], ["parquet", "A table (Parquet)"], ["json", "JSON"], ["fiftyone", "A dataset for FiftyOne"],
];

export async function exportSomewhere() {
  const mode = el("select", { id: "export-mode" }, MODES.map(([value, text]) => el("option", { value }, text)));
  const place = el("input", { type: "text", id: "export-place", placeholder: "/home/me/sorted", spellcheck: false, autocomplete: "off" });
  const beside = el("input", { type: "checkbox", id: "export-beside" });
  const stem = el("input", { type: "checkbox", id: "export-stem" });
  const sidecars = el("div", { class: "options", hidden: true }, el("label", {}, beside, "Beside the originals"), el("label", {}, stem, "Named as Lightroom does (img.xmp)"));
  const update = () => {
    sidecars.hidden = mode.value !== "xmp";
    place.disabled = mode.value === "xmp" && beside.checked;
  };
  mode.addEventListener("change", update);
  beside.addEventListener("change", update);
  const content = el("div", { class: "fields" }, el("p", {}, "Originals are only read. An export can be taken back with selfsort undo."),
    el("label", { for: "export-mode" }, "As"), mode, el("label", { for: "export-place" }, "Folder"), place, sidecars);
  const value = await dialog("Export", content, [["", "Cancel"], ["plan", "Only plan"], ["export", "Export", "main"]]);
  if (!value) return;
  const destination = mode.value === "xmp" && beside.checked ? null : place.value.trim();
  if (destination === "") return say("Give a folder to export to.", { bad: true });
  await attempt(() => data.exportTo({ mode: mode.value, destination, names: stem.checked ? "stem" : "full", dry_run: value === "plan" }));
}

// Asks for a group; resolves to its key, "new", or null.
export async function pickGroup(heading, { without = null, create = false } = {}) {
  const list = el("ul", { class: "choices", role: "listbox" });
  const words = el("input", { type: "search", placeholder: "Find a group", "aria-label": "Find a group" });
  const fill = () => {
    const wanted = words.value.toLowerCase();
    const fitting = now.groups.filter((group) => group.key !== without && data.title(group).toLowerCase().includes(wanted));
    const items = fitting.slice(0, 200).map((group) =>
      el("li", {}, el("button", { value: String(group.key) }, el("img", { src: data.source(group.covers[0] ?? 0, "small"), alt: "" }), el("span", {}, data.title(group)), el("small", {}, count(group.size)))),
    );
    if (create) items.unshift(el("li", {}, el("button", { value: "new" }, el("span", { class: "plus" }, "+"), el("span", {}, "A new group"))));
    list.replaceChildren(...items);
  };
  words.addEventListener("input", fill);
  words.addEventListener("keydown", (event) => {
    if (event.key !== "Enter") return;
    event.preventDefault();
    list.querySelector(create && words.value ? "li:nth-child(2) button" : "button")?.click();
  });
  fill();
  const value = await dialog(heading, el("div", {}, words, list), []);
  return value === null || value === "new" ? value : Number(value);
}

export async function showHistory() {
  const entries = await data.history();
  const rows = entries.slice(0, 500).map((entry) =>
    el("li", { class: entry.undone ? "undone" : "" },
      el("time", {}, new Date(entry.at).toLocaleString()), el("span", {}, entry.said),
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
