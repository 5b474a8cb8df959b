// One picture by itself, large, with what is known of it.

import * as actions from "./actions.js";
import { address, withPicture } from "./address.js";
import { HIDDEN, LOCKED, details, emit, now, on, source, title } from "./data.js";
import { bytes, count, el, icon, leave, moment, redraw } from "./dom.js";

const FAR = 40; // pixels that a finger moves to the side for the next picture

// The page shows the picture that the address names, so that Back closes it and a reload keeps it.
export function look(row) {
  history.pushState({ picture: true }, "", withPicture(row)); // no event tells of it
  emit("look");
}

// `list()` gives the pictures to step through, as they are now; `left(row)` is called with the one that was seen last.
export function view(row, list, left) {
  let rows = list();
  let index = rows.indexOf(row);
  let gone = null; // the picture that was corrected last
  const image = el("img", { alt: "" });
  const facts = el("dl", { class: "facts" });
  const heading = el("h2");
  const place = el("p", { class: "place", "aria-live": "polite" });
  const missing = el("p", { class: "warn", hidden: true }, "The original is gone or was changed: this is the small picture that the run has of it.");
  const button = (text, label, act) => el("button", { type: "button", onclick: act, title: label }, text);
  const lockButton = button("Lock", "No later grouping moves it", () => one(now.flags[rows[index]] & LOCKED ? actions.unlock : actions.lock));
  const hideButton = button("Hide", "Do not show it; nothing is deleted", () => act(now.flags[rows[index]] & HIDDEN ? actions.show : actions.hide));
  const moveButton = button("Move to…", "Move it to another group", () => moveIt());
  const notThisButton = button("Not this group", "It does not belong to its group", () => act(actions.notThis));
  const steps = [["before", "Picture before", -1], ["after", "Next picture", 1]].map(([name, label, by]) =>
    el("button", { type: "button", class: `step ${name}`, "aria-label": label, onclick: () => go(by) }, icon(name)));
  const note = el("p", { class: "note", hidden: true }, "These are coarser or finer groups: only your own can be corrected. ", button("Back to your groups", "Show your own groups", () => actions.backToOwn()));
  const box = el("dialog", { class: "viewer", "aria-label": "Picture" },
    el("figure", {}, image),
    el("aside", {}, heading, place, missing, facts,
      el("div", { class: "actions" },
        moveButton, lockButton, notThisButton, hideButton,
        button("Similar", "Show the pictures most like it", () => similar()),
        el("button", { type: "button", class: "close", onclick: close, title: "Back to the pictures (Esc)" }, "Close")), note),
    ...steps);

  const one = (what) => what([rows[index]]);

  // Corrects the picture and shows the next one.
  async function act(what) {
    const [row, before] = [rows[index], now.version];
    await one(what);
    if (now.version === before) return;
    gone = row;
    if (rows[index] === row && box.open) go(1); // it is still among the pictures of this view
  }

  async function undo() {
    await actions.undo();
    if (gone !== null && rows.includes(gone)) goTo(gone);
    gone = null;
  }
  const personButton = ({ person, name }) =>
    el("button", { type: "button", class: "person", title: "Name this person", "data-key": `person ${person}`, onclick: () => actions.namePerson(person, name).then((changed) => changed && show()) }, name);

  const moveIt = () => act(actions.moveSomewhere);

  function similar() {
    location.hash = `#/like/${rows[index]}`; // which closes it
  }

  const go = (step) => goTo(rows[Math.max(0, Math.min(rows.length - 1, index + step))]);

  function goTo(row) {
    if (!rows.includes(row)) return false;
    index = rows.indexOf(row);
    if (address().picture !== row) history.replaceState(history.state, "", withPicture(row));
    show();
    return true;
  }

  let closing = false; // Back is on its way: a second press must not go farther
  function close() {
    if (closing) return undefined;
    closing = true;
    if (history.state?.picture) return history.back();
    history.replaceState(null, "", `#/${address().base}`); // the page was opened with this address
    return emit("look");
  }

  // Groups have changed: the picture may be out of this view, or back in it.
  function relist() {
    if (!box.open) return undefined;
    rows = list();
    if (!rows.length) return close();
    const at = rows.indexOf(address().picture);
    return goTo(rows[at < 0 ? Math.min(index, rows.length - 1) : at]);
  }

  async function show() {
    const row = rows[index];
    image.src = source(row, "large");
    const end = rows.length === 1 ? steps : index === 0 ? [steps[0]] : index === rows.length - 1 ? [steps[1]] : [];
    for (const step of steps) step.disabled = false;
    if (end.includes(document.activeElement)) steps.find((step) => !end.includes(step))?.focus(); // it is of no use any more
    for (const step of end) step.disabled = true;
    const group = now.groups[now.group[row]];
    hideButton.textContent = now.flags[row] & HIDDEN ? "Show again" : "Hide";
    lockButton.textContent = now.flags[row] & LOCKED ? "Unlock" : "Lock";
    for (const node of [moveButton, lockButton, notThisButton, hideButton]) node.disabled = now.cut;
    note.hidden = !now.cut;
    place.textContent = `${count(index + 1)} of ${count(rows.length)}`;
    const [known] = await details([row]).catch(() => [{}]);
    if (row !== rows[index] || !known || !box.open) return;
    missing.hidden = !known.missing;
    const name = known.path?.split("/").pop() ?? "";
    image.alt = heading.textContent = name;
    emit("titled", name);
    const taken = known.taken && `${moment(known.taken, { second: 8, minute: 5, day: 0 }[known.precision])} (${{ exif: "from the camera", name: "from its name", changed: "from a program" }[known.source] ?? "from the file"})`;
    const pairs = [
      ["Group", group ? title(group) : "belongs nowhere"], ["Taken", taken], ["Place", known.place && known.place + (known.guessed ? " (guessed from pictures of the same time)" : "")],
      ["Camera", known.camera], ["Size", known.width && `${known.width} × ${known.height}, ${bytes(known.size)}, ${known.format}`],
      ["Text", known.text], ["Amounts", known.amounts?.join(", ")], ["Kind", known.kind], ["Seems to show", known.objects], ["Faces", known.faces], ["People", known.people?.length && el("span", {}, known.people.map(personButton))], ["Flaws", known.flaws?.join(", ")],
      ["Copies", known.copies || null], ["File", known.path],
    ];
    redraw(facts, ...pairs.filter(([, value]) => value).flatMap(([term, value]) => [el("dt", {}, term), el("dd", {}, value instanceof Node ? value : String(value))]));
  }

  const keys = {
    l: () => lockButton.click(), h: () => hideButton.click(), m: moveIt, n: () => act(actions.newGroup), x: () => act(actions.notThis), s: similar,
    z: undo, y: () => actions.redo(),
  };
  box.addEventListener("keydown", (event) => {
    if (event.target.closest("dialog") !== box) return;
    if (event.key === "ArrowLeft") go(-1);
    else if (event.key === "ArrowRight") go(1);
    else if (!event.ctrlKey && !event.metaKey && !event.altKey && event.key.toLowerCase() in keys) keys[event.key.toLowerCase()]();
    else return;
    event.preventDefault();
  });
  let from = null; // where a finger came down
  box.addEventListener("pointerdown", (event) => { from = event.pointerType === "touch" && event.isPrimary && event.target.closest("figure") ? event : null; });
  box.addEventListener("pointerup", (event) => {
    if (!from || !event.isPrimary) return;
    const [x, y] = [event.clientX - from.clientX, event.clientY - from.clientY];
    from = null;
    if (Math.abs(x) > FAR && Math.abs(x) > 1.5 * Math.abs(y)) go(x < 0 ? 1 : -1);
  });
  box.addEventListener("pointercancel", () => { from = null; });
  box.addEventListener("click", (event) => event.target.tagName === "FIGURE" && close());
  box.addEventListener("close", () => {
    off();
    leave(box);
    if (address().picture !== null) close(); // by the key of the browser
    left(rows[index]);
  });
  const off = on("groups", relist);
  document.body.append(box);
  box.showModal();
  show();
  return { goTo, close: () => box.close() };
}
