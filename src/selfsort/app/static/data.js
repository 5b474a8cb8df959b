// What the server knows, as the page holds it: `run` stays while the run stays, `now` changes with every correction.

const token = document.querySelector("meta[name=token]").content;
const listeners = new Map();

export const run = { n: 0, stamp: "", names: null, facts: null };
export const now = { groups: [], group: new Int32Array(0), flags: new Uint8Array(0), version: "", showHidden: false, n: null };
export const LOCKED = 1, HIDDEN = 2, PLACED = 4, GONE = 8;

export function on(event, listener) {
  if (!listeners.has(event)) listeners.set(event, new Set());
  listeners.get(event).add(listener);
  return () => listeners.get(event).delete(listener);
}

export function emit(event, value) {
  for (const listener of [...(listeners.get(event) ?? [])]) listener(value);
}

const told = ({ error, detail }) => error ?? (typeof detail === "string" ? detail : JSON.stringify(detail));

async function answer(response) {
  if (response.ok) return response;
  let message = `The server answered ${response.status}.`;
  try {
    message = response.headers.get("content-type").includes("json") ? told(await response.json()) : await response.text();
  } catch { /* what came is no message */ }
  throw Object.assign(new Error(message), { status: response.status });
}

// What is wrong with the server: "silent" while it does not answer, "refused" while another one is in its place.
let trouble = "";
export const isSilent = () => trouble !== "";
function note(now) {
  if (trouble !== now) emit("trouble", (trouble = now));
}

async function ask(path, options) {
  let response;
  try {
    response = await fetch(path, options);
  } catch {
    note("silent");
    throw new Error(`selfsort review does not answer${options?.method === "POST" ? ": this may not have been kept" : ""}.`);
  }
  return answer(response);
}

const getJson = async (path) => (await ask(path)).json();
const getPacked = async (path) => unpack(await (await ask(path)).arrayBuffer());
const post = (path, body) =>
  ask(path, {
    method: "POST",
    headers: { "content-type": body instanceof Blob ? "application/octet-stream" : "application/json", "x-selfsort-token": token },
    body: body instanceof Blob ? body : JSON.stringify(body),
  });

const TYPES = { int32: Int32Array, uint8: Uint8Array, uint16: Uint16Array, float32: Float32Array, float64: Float64Array };

// See pack.py: JSON that says where each array lies, then the arrays.
function unpack(buffer) {
  const length = new DataView(buffer).getUint32(0, true);
  const { arrays, ...facts } = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
  const start = Math.ceil((4 + length) / 8) * 8;
  for (const [name, { type, offset, length: size }] of Object.entries(arrays)) {
    facts[name] = new TYPES[type](buffer, start + offset, size);
  }
  return facts;
}

const stampOf = ({ version }) => version.split("-")[0];

export async function load() {
  now.n = null; // coarser or finer groups were of the run before
  let [columns, groups] = [];
  do { // both of one run, also if it is replaced just now
    [columns, groups] = await Promise.all([getPacked("/api/run"), getPacked(groupsPath())]);
  } while (stampOf(columns) !== stampOf(groups));
  Object.assign(run, columns, { stamp: stampOf(groups), names: null, facts: null, loading: null, picked: [] });
  take(groups);
  emit("run");
}

const groupsPath = () => (now.n === null ? "/api/groups" : `/api/groups?n=${now.n}`);

function take(groups) {
  Object.assign(now, groups);
  now.members = null;
  emit("groups");
}

let asked = 0;

// Coarser or finer: n groups, or null for the groups as they are. An answer that a later question overtook is dropped.
export async function look(n) {
  const before = now.n;
  now.n = n;
  const mine = ++asked;
  try {
    const groups = await getPacked(groupsPath());
    if (mine !== asked) return;
    if (stampOf(groups) === run.stamp) take(groups);
    else await load();
  } catch (error) {
    if (mine === asked) now.n = before;
    throw error;
  }
}

// Changes are made one after the other, in the order in which they were asked for.
let line = Promise.resolve();
let waiting = [];
export const isChanging = () => waiting.length > 0;

// `body` may be a function, which is called when the turn has come; null then stands for nothing to do. What was pressed
// twice before it was done is done once. What waits behind a change that fails is not done: an undo would be of another.
function change(path, body) {
  const named = typeof body === "function" ? null : path + JSON.stringify(body);
  const before = waiting.at(-1);
  if (named !== null && named === before?.named) return before.done;
  const one = { named, failed: null };
  one.done = line.then(() => {
    if (before?.failed) throw before.failed;
    return make(path, named === null ? body() : body);
  });
  waiting.push(one);
  line = one.done.catch((error) => { one.failed = error; }).then(() => waiting.shift());
  return one.done;
}

// Rows and keys are numbers of one run: the server refuses them if another is in its place, and the page looks again.
async function make(path, body) {
  if (body === null) return null;
  if (isSilent()) throw new Error("selfsort review does not answer: nothing was changed.");
  try {
    const answered = unpack(await (await post(path, body)).arrayBuffer());
    now.n = null;
    asked += 1;
    if (stampOf(answered) === run.stamp) take(answered);
    else await load();
  } catch (error) {
    if (error.status === 409) await load();
    throw error;
  }
  return body;
}

export const correct = (body) => change("/api/correct", { ...body, run: run.stamp });
export const split = (key, parts) => change("/api/split", { key, run: run.stamp, ...(parts ? { parts } : {}) });
export const undo = (step) => change("/api/undo", step);
export const redo = (step) => change("/api/redo", step);
export const history = () => getJson("/api/history");
export const duplicates = () => getJson("/api/duplicates");
export const details = (rows) => getJson(`/api/pictures?rows=${rows.join(",")}`);
export const search = async (words) => (await getJson(`/api/search?q=${encodeURIComponent(words)}`)).rows;
export const like = async (row) => (await getJson(`/api/search/like/${row}?run=${run.stamp}`)).rows;
export const byPicture = async (file) => (await (await post("/api/search/picture", file)).json()).rows;
export const regroup = async (groups, find) => emit("job", (await (await post("/api/regroup", { groups, find })).json()).job);
export const namePerson = (person, name) => post("/api/person", { person, name });
export const readText = async () => emit("job", (await (await post("/api/text", {})).json()).job);
export const stop = async () => emit("job", (await (await post("/api/stop", {})).json()).job);
export const exportTo = async (body) => emit("job", (await (await post("/api/export", body)).json()).job);
export const shapes = () => getJson("/static/countries-110m.json");
// Without `confirmed` it is only said what would be moved.
export async function trash(rows, { confirmed = false, alone = false, shown = [], stamp = run.stamp } = {}) {
  const result = await (await post("/api/trash", { rows, run: stamp, confirmed, only_copies: alone, shown })).json();
  if (confirmed) await look(now.n);
  return result;
}

export async function names() {
  run.names ??= await getJson("/api/names");
  return run.names;
}

export async function facts() {
  const loading = (run.loading ??= getPacked("/api/facts"));
  const found = await loading;
  if (loading !== run.loading) return facts(); // the run was made again meanwhile
  run.facts = found;
  return found;
}

export const source = (row, size) => `/picture/${row}/${size}?v=${run.stamp}`;
export const isShown = (row) => run.ok[row] && !(now.flags[row] & GONE) && (now.showHidden || !(now.flags[row] & HIDDEN));

// Rows of each group, the surest first; -1 for those that belong nowhere.
export function members(index) {
  if (!now.members || now.membersHidden !== now.showHidden) {
    const lists = new Map(now.groups.map((_, i) => [i, []]));
    lists.set(-1, []);
    for (let row = 0; row < run.n; row++) if (isShown(row)) lists.get(now.group[row])?.push(row);
    now.members = lists;
    now.membersHidden = now.showHidden;
  }
  const rows = now.members.get(index) ?? [];
  if (!rows.sorted) {
    rows.sort((a, b) => run.sure[b] - run.sure[a] || a - b);
    rows.sorted = true;
  }
  return rows;
}

// Of coarser or finer groups none was made by a person, and those that are no groups of the run have no number.
export const title = (group) => group.name || group.suggested || group.unnamed || "A group";

const PATIENCE = 8000; // milliseconds after which a server counts as silent

// Asks again and again whether anything changed: another tab, another program, a job.
export function watch() {
  let failed = false;
  const once = async () => {
    try {
      const { version, job } = await (await ask("/api/now", { signal: AbortSignal.timeout(PATIENCE) })).json();
      if (trouble === "refused") location.reload(); // this page has the token of the server before
      note("");
      if (run.wasRunning && !job?.running) run.loading = null; // it may have read more
      run.wasRunning = job?.running;
      failed = false;
      emit("job", job);
      if (isChanging()) return;
      if (version.split("-")[0] !== run.stamp) await load();
      else if (version !== now.version) await look(now.n);
    } catch (error) {
      if (error.status === 403) note("refused");
      else if (error instanceof DOMException) note("silent"); // it began to answer, and then took too long
      else if (!isSilent() && !failed) emit("failed", error);
      failed = true;
    }
  };
  const beat = async () => {
    if (!document.hidden) await once();
    setTimeout(beat, 1500);
  };
  document.addEventListener("visibilitychange", () => document.hidden || once());
  setTimeout(beat, 1500);
}
