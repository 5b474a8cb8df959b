// The pictures that are selected, the same in all views.

import { emit } from "./data.js";

const rows = new Set();

export const selection = {
  has: (row) => rows.has(row),
  get size() {
    return rows.size;
  },
  rows: () => [...rows],
  set(wanted) {
    rows.clear();
    for (const row of wanted) rows.add(row);
    emit("selection");
  },
  toggle(row) {
    rows.has(row) ? rows.delete(row) : rows.add(row);
    emit("selection");
  },
  clear() {
    if (!rows.size) return;
    rows.clear();
    emit("selection");
  },
};
