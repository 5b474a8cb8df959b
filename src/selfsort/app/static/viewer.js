// One picture by itself, large, with what is known of it.

import * as actions from "./actions.js";
import { HIDDEN, LOCKED, details, now, on, source, title } from "./data.js";
import { bytes, count, el, leave, redraw, wayBack } from "./dom.js";

// `left(index)` is called with the place of the picture that was seen last; it takes the focus.
export function view(rows, index, left = wayBack()) {
  const image = el("img", { alt: "" });
  const facts = el("dl", { class: "facts" });
  const heading = el("h2");
  const place = el("p", { class: "place", "aria-live": "polite" });
  const missing = el("p", { class: "warn", hidden: true }, "The original is gone or was changed: this is the small picture that the run has of it.");
  const button = (text, label, act) => el("button", { type: "button", onclick: act, title: label }, text);
  const lockButton = button("Lock", "No later grouping moves it", () => act(now.flags[rows[index]] & LOCKED ? actions.unlock : actions.lock));
  const hideButton = button("Hide", "Do not show it; nothing is deleted", () => act(now.flags[rows[index]] & HIDDEN ? actions.show : actions.hide));
  const steps = [["before", "Picture before", -1, "‹"], ["after", "Next picture", 1, "›"]].map(([name, label, by, text]) =>
    el("button", { type: "button", class: `step ${name}`, "aria-label": label, onclick: () => go(by) }, text));
  const box = el("dialog", { class: "viewer", "aria-label": "Picture" },
    el("figure", {}, image),
    el("aside", {}, heading, place, missing, facts,
      el("div", { class: "actions" },
        button("Move to…", "Move it to another group", () => moveIt()), lockButton,
        button("Not this group", "It does not belong to its group", () => act(actions.notThis)),
        hideButton,
        button("Similar", "Show the pictures most like it", () => similar()),
        button("Close", "Back to the pictures (Esc)", () => box.close()))),
    ...steps);

  const act = (what) => what([rows[index]]);
  const personButton = ({ person, name }) =>
    el("button", { type: "button", class: "person", title: "Name this person", "data-key": `person ${person}`, onclick: () => actions.namePerson(person, name).then((changed) => changed && show()) }, name);

  async function moveIt() {
    await actions.moveSomewhere([rows[index]]);
  }

  function similar() {
    box.close();
    location.hash = `#/like/${rows[index]}`;
  }

  function go(step) {
    index = Math.max(0, Math.min(rows.length - 1, index + step));
    show();
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
    place.textContent = `${count(index + 1)} of ${count(rows.length)}`;
    const [known] = await details([row]).catch(() => [{}]);
    if (row !== rows[index] || !known) return;
    missing.hidden = !known.missing;
    const name = known.path?.split("/").pop() ?? "";
    image.alt = heading.textContent = name;
    const taken = known.taken && `${known.taken.replace("T", " ")} (${{ exif: "from the camera", name: "from its name", changed: "from a program" }[known.source] ?? "from the file"})`;
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
    z: () => actions.undo(), y: () => actions.redo(),
  };
  box.addEventListener("keydown", (event) => {
    if (event.target.closest("dialog") !== box) return;
    if (event.key === "ArrowLeft") go(-1);
    else if (event.key === "ArrowRight") go(1);
    else if (!event.ctrlKey && !event.metaKey && !event.altKey && event.key.toLowerCase() in keys) keys[event.key.toLowerCase()]();
    else return;
    event.preventDefault();
  });
  box.addEventListener("click", (event) => event.target.tagName === "FIGURE" && box.close());
  box.addEventListener("close", () => {
    off();
    leave(box);
    left(index);
  });
  const off = on("groups", () => show());
  document.body.append(box);
  box.showModal();
  show();
}
