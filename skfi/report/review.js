// Decisions about the rows: keep, drop or relabel, by mouse or keyboard, kept in the browser and
// saved as decisions.csv, whose rows count from 1. The table itself is report.js's.
"use strict";

const makeReview = ({ columns, data, count, labels, first, key }) => {
  const byId = (id) => document.getElementById(id);
  const place = (id) => columns.findIndex((column) => column.id === id);
  const GIVEN = place("given");
  const PREDICTED = place("predicted");
  const PROBABILITY = place("probability");
  const ROW = place("row");
  const STORE = `skfi-decisions-${key}`;
  const decisions = new Map(); // index of a row -> { action, label }
  const selects = new Map(); // those in the page
  let changed = () => {};

  const number = (i) => data[ROW][i] - first + 1;
  const text = (value) => (value === null ? "" : String(value));
  const given = (i) => text(data[GIVEN][i]);
  const predicted = (i) => text(data[PREDICTED][i]);
  const code = ({ action, label }) => (action === "relabel" ? `relabel:${label}` : action);

  const quoted = (cell) => (/[",\r\n]/.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell);
  const asCsv = () => {
    const lines = [...decisions]
      .map(([i, { action, label }]) => [number(i), action, action === "relabel" ? label : ""])
      .sort((a, b) => a[0] - b[0])
      .map(([row, action, label]) => `${row},${action},${quoted(label)}`);
    return ["row,action,label", ...lines, ""].join("\r\n");
  };
  const records = (csv) => {
    const rows = [[""]];
    let inside = false;
    for (let k = 0; k < csv.length; k++) {
      const sign = csv[k];
      const row = rows[rows.length - 1];
      if (inside) {
        if (sign !== '"') row[row.length - 1] += sign;
        else if (csv[k + 1] === '"') row[row.length - 1] += csv[++k];
        else inside = false;
      } else if (sign === '"') inside = true;
      else if (sign === ",") row.push("");
      else if (sign === "\n") rows.push([""]);
      else if (sign !== "\r" && sign !== "\ufeff") row[row.length - 1] += sign;
    }
    return rows.filter((row) => row.length > 1);
  };
  // Takes a file of decisions, and returns how many rows of it are not in this page or not known.
  const read = (csv) => {
    const [head, ...rows] = records(csv);
    if (!head || head.join() !== "row,action,label") return -1;
    const index = new Map(Array.from({ length: count }, (_, i) => [number(i), i]));
    let unknown = 0;
    for (const [row, action, label] of rows) {
      const i = index.get(Number(row));
      const fits = ["keep", "drop"].includes(action) || (action === "relabel" && labels.includes(label));
      if (i === undefined || !fits) unknown += 1;
      else decisions.set(i, { action, label: action === "relabel" ? label : "" });
    }
    return unknown;
  };
  const remember = () => {
    try {
      localStorage.setItem(STORE, asCsv());
    } catch {
      byId("review-note").textContent =
        "This browser keeps no decisions when the page is closed: save them as a file.";
    }
  };

  const show = () => {
    for (const [i, select] of selects) {
      const decision = decisions.get(i);
      select.value = decision ? code(decision) : "";
      select.closest("tr").dataset.decision = decision ? decision.action : "";
    }
    byId("review-progress").value = decisions.size;
    byId("review-status").textContent =
      `${decisions.size.toLocaleString("en")} of ${count.toLocaleString("en")} decided`;
    byId("review-save").disabled = decisions.size === 0;
  };
  const decide = (i, value) => {
    if (value === "") decisions.delete(i);
    else if (value.startsWith("relabel:")) {
      decisions.set(i, { action: "relabel", label: value.slice(8) });
    } else decisions.set(i, { action: value, label: "" });
    remember();
    show();
  };

  const option = (value, words) => {
    const element = document.createElement("option");
    element.value = value;
    element.textContent = words;
    return element;
  };
  // The cell of a row: its decision, and what the model suggests.
  const cell = (i, noun) => {
    const element = document.createElement("td");
    const select = document.createElement("select");
    select.setAttribute("aria-label", `decision about ${noun} ${data[ROW][i]}`);
    select.append(option("", "undecided"), option("keep", "keep"), option("drop", "drop"));
    for (const label of labels) {
      if (label !== given(i)) select.append(option(`relabel:${label}`, `relabel to ${label}`));
    }
    select.addEventListener("change", () => decide(i, select.value));
    const suggestion = document.createElement("span");
    suggestion.className = "suggestion";
    const sure = PROBABILITY < 0 || data[PROBABILITY][i] === null ? "" :
      ` (${Math.round(100 * data[PROBABILITY][i])} %)`;
    const what = document.createElement("bdi");
    what.textContent = predicted(i);
    suggestion.append("predicted: ", what, sure);
    element.append(select, suggestion);
    selects.set(i, select);
    return element;
  };

  const byKey = (i, pressed) => {
    if (pressed === "k") return "keep";
    if (pressed === "d") return "drop";
    if (pressed === "u") return "";
    const label = pressed === "r" ? predicted(i) : labels[Number(pressed) - 1];
    if (!/^[1-9r]$/.test(pressed) || !labels.includes(label)) return undefined;
    return label === given(i) ? "keep" : `relabel:${label}`;
  };
  byId("rows-body").addEventListener("keydown", (event) => {
    const row = event.target;
    if (row.tagName !== "TR" || event.ctrlKey || event.metaKey || event.altKey) return;
    const to = { ArrowDown: row.nextElementSibling, ArrowUp: row.previousElementSibling };
    if (event.key in to) {
      event.preventDefault();
      to[event.key]?.focus();
      return;
    }
    const i = Number(row.dataset.index);
    const value = byKey(i, event.key);
    if (value === undefined) return;
    event.preventDefault();
    decide(i, value);
    row.nextElementSibling?.focus();
  });
  byId("review-keys").textContent =
    "Keys, on a row: ↓ and ↑ go to the next and the last one, k keeps, d drops, r takes the " +
    "predicted label, u is undecided" +
    (labels.length < 10
      ? `, ${labels.map((label, k) => `${k + 1} is ${label}`).join(", ")}.`
      : ".");
  byId("review-filter").addEventListener("change", () => changed());
  byId("review-save").addEventListener("click", () => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([asCsv()], { type: "text/csv" }));
    link.download = "decisions.csv";
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60000);
  });
  byId("review-load").addEventListener("change", async (event) => {
    const [file] = event.target.files;
    if (!file) return;
    const unknown = read(await file.text());
    byId("review-note").textContent =
      unknown < 0
        ? "That file has not the columns row, action and label."
        : unknown
          ? `${unknown} decisions of the file are about other rows or labels, and were left out.`
          : "The file was read.";
    remember();
    show();
    changed();
    event.target.value = "";
  });

  try {
    read(localStorage.getItem(STORE) ?? "");
  } catch {
    // Nothing was kept.
  }
  return {
    cell,
    show,
    clear: () => selects.clear(),
    onChange: (callback) => (changed = callback),
    matches: (i) => {
      const wanted = byId("review-filter").value;
      const decision = decisions.get(i);
      if (wanted === "all") return true;
      if (wanted === "undecided") return !decision;
      return wanted === "decided" ? Boolean(decision) : decision?.action === wanted;
    },
  };
};
