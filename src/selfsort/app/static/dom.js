// The few things of the DOM that every part of the page uses. Text only ever becomes text: nothing here parses HTML.

export const $ = (id) => document.getElementById(id);

export function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "class") node.className = value;
    else if (name in node && typeof value !== "string") node[name] = value;
    else if (value !== false) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return node;
}

// Drawn, because not every system has a font with such characters. Lines on a square of 24 units.
const ICONS = {
  locked: "M5 11h14v9H5zM8 11V8a4 4 0 0 1 8 0v3",
  hidden: "M4 12c4-6 12-6 16 0c-4 6-12 6-16 0zM12 10a2 2 0 1 0 .01 0M4 20L20 4",
  undo: "M9 5L4 10l5 5M4 10h9a6 5 0 0 1 0 10h-3",
  redo: "M15 5l5 5l-5 5M20 10h-9a6 5 0 0 0 0 10h3",
  menu: "M5 12h.01M12 12h.01M19 12h.01",
  picture: "M3 5h14v9M3 5v13h8M6 14l3-3l3 3M15 15a3 3 0 1 0 .01 0M17.5 19.5L21 22",
  close: "M6 6l12 12M18 6L6 18",
  before: "M15 5l-7 7l7 7",
  after: "M9 5l7 7l-7 7",
  back: "M11 5l-7 7l7 7M4 12h16",
};
export function icon(name) {
  const [picture, line] = ["svg", "path"].map((tag) => document.createElementNS("http://www.w3.org/2000/svg", tag));
  picture.setAttribute("viewBox", "0 0 24 24");
  picture.setAttribute("class", `drawn drawn-${name}`);
  picture.setAttribute("aria-hidden", "true");
  line.setAttribute("d", ICONS[name]);
  picture.append(line);
  return picture;
}

export const count = (n) => n.toLocaleString("en-US");
export const counted = (n, thing) => `${count(n)} ${thing}${n === 1 ? "" : "s"}`;
export const pictures = (n) => counted(n, "picture");
// What words are compared by: "ete" finds "Été".
export const plain = (text) => text.normalize("NFD").replace(/\p{M}/gu, "").toLowerCase();

export function bytes(n) {
  for (const unit of ["bytes", "kB", "MB", "GB"]) {
    if (n < 1000 || unit === "GB") return unit === "bytes" ? `${n} bytes` : `${n.toFixed(n < 10 ? 1 : 0)} ${unit}`;
    n /= 1000;
  }
}

// A day, and with so many characters of the time, of ISO 8601 without an offset; written as in names and in the terminal.
const days = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "long", year: "numeric", timeZone: "UTC" });
export function moment(text, time = 5) {
  const day = days.format(new Date(`${text.slice(0, 10)}T00:00Z`));
  return time ? `${day}, ${text.slice(11, 11 + time)}` : day;
}

// When something was noted, in the time of this machine.
export function noted(text) {
  const at = new Date(text);
  return moment(new Date(at - at.getTimezoneOffset() * 60000).toISOString());
}

export function duration(seconds) {
  if (seconds < 90) return `${Math.max(1, Math.round(seconds))} s`;
  return seconds < 5400 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`;
}

const controls = (box) => [...box.querySelectorAll("a[href], button, input, select, canvas")].filter((node) => !node.disabled && node.checkVisibility());

// Returns what gives the focus back to the control in a box that has it now, also after what is in the box was drawn anew:
// then to the control of the same data-key, else to the one in the same place. It says whether there is one.
function keeper(box) {
  const focused = document.activeElement;
  const place = controls(box).indexOf(focused);
  return () => {
    const after = controls(box);
    const same = after.find((node) => node === focused) ?? (focused.dataset.key && after.find((node) => node.dataset.key === focused.dataset.key));
    const to = same || (place < 0 ? null : after[Math.min(place, after.length - 1)]);
    to?.focus({ preventScroll: true });
    return Boolean(to);
  };
}

// Replaces what is in a box; the focus stays.
export function redraw(box, ...children) {
  const keep = box.contains(document.activeElement) ? keeper(box) : null;
  box.replaceChildren(...children);
  keep?.();
}

// Returns what gives the focus back to where it is now, for when a dialog is left. If that is gone, the view takes it.
export function wayBack() {
  const active = document.activeElement;
  if (active === document.body) return () => {};
  const box = active.closest(".virtual") ? null : active.closest("dialog, .selection, .bar, main"); // cells are used again
  const keep = box && keeper(box);
  return () => keep?.() || atHome();
}
let atHome = () => $("main").focus();
export const setHome = (focus) => { atHome = focus; };

// A dialog with a form; resolves to the value of the button that closed it, null if it was left. Focus goes back.
// Enter in a field presses the button of kind "main", which has the focus where there is no field. `accept(value)` may
// keep it open by answering false, with what was typed. One that `isLasting` is about no picture: it stays when others close.
export function dialog(heading, content, buttons, { wide = false, accept = null, isLasting = false } = {}) {
  const box = el("dialog", { class: `${wide ? "wide " : ""}${isLasting ? "lasting" : ""}`, "aria-label": heading });
  // what only leaves is no submit button, or Enter in a field would press it
  const actions = buttons.map(([value, text, kind]) =>
    value ? el("button", { value, class: kind ?? "", autofocus: kind === "main" && !content.querySelector("input, select") }, text) : el("button", { type: "button", onclick: () => box.close("") }, text),
  );
  const form = el("form", { method: "dialog" }, el("h2", {}, heading), content, el("div", { class: "actions" }, actions));
  let busy = false;
  form.addEventListener("submit", async (event) => {
    if (!accept) return;
    event.preventDefault();
    if (busy) return;
    busy = true;
    if (await accept(event.submitter.value)) box.close(event.submitter.value);
    busy = false;
  });
  box.append(form);
  document.body.append(box);
  const back = wayBack();
  const main = actions.find((button) => button.className === "main");
  box.addEventListener("keydown", (event) => { // by itself it would press the first button that is not "Cancel"
    if (event.key !== "Enter" || !main || !event.target.matches("input, select")) return;
    event.preventDefault();
    main.click();
  });
  box.showModal();
  let outside = false;
  const isOutside = ({ target, clientX, clientY }) => {
    const { left, top, right, bottom } = box.getBoundingClientRect();
    return target === box && (clientX < left || clientX > right || clientY < top || clientY > bottom);
  };
  box.addEventListener("pointerdown", (event) => { outside = isOutside(event); });
  box.addEventListener("click", (event) => outside && isOutside(event) && box.close(""));
  return new Promise((resolve) => {
    box.addEventListener("close", () => {
      leave(box);
      back();
      resolve(box.returnValue || null);
    });
  });
}

// Messages are shown in the dialog that is open, else they would lie behind it; they outlive it.
export function leave(box) {
  if (box.contains($("said"))) document.body.append($("said"));
  box.remove();
}

export function closeDialogs() {
  for (const box of document.querySelectorAll("dialog[open]:not(.lasting)")) box.close("");
}

// Nothing is drawn anew between press and release: the click would be lost.
let pressing = false;
let after = null;
addEventListener("pointerdown", (event) => { pressing = !event.target.matches("input[type=range]"); }, true); // whose effect is seen as it moves
for (const name of ["pointerup", "pointercancel"]) {
  addEventListener(name, () => {
    pressing = false;
    const waiting = after;
    after = null;
    if (waiting) setTimeout(waiting, 0);
  }, true);
}
export function whenReleased(work) {
  if (pressing) after = work;
  else work();
}

// The first click of two may move or replace what lies under the pointer. Both clicks are of what the first one was on: on
// anything else the second one does nothing.
let first = null;
const pressed = (node) => node.closest("label") ?? node.closest("button, a, input, select, canvas, dialog, .tile, .card");
addEventListener("click", (event) => {
  if (event.detail < 2) first = pressed(event.target); // 0 is the keyboard
  else if (pressed(event.target) !== first) {
    event.stopPropagation();
    event.preventDefault();
  }
}, true);
// What the first click of the two was on.
export const clickedFirst = () => first;

const probe = el("span", { hidden: true });

// What a color of the style sheet is now, for canvases; they know neither variables nor light-dark().
export function color(value) {
  if (!probe.isConnected) document.body.append(probe);
  probe.style.color = value;
  return getComputedStyle(probe).color;
}

export const isDark = () => color("light-dark(rgb(0, 0, 0), rgb(255, 255, 255))") === "rgb(255, 255, 255)";
export const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);
