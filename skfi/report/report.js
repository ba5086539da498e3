// The table of the dropped rows: sort, filter, page and save what stands in the page.
// Everything a user gave is set as text, never read as markup.
"use strict";

(() => {
  const source = document.getElementById("rows-data");
  if (!source) return;
  const table = JSON.parse(source.textContent);
  const { count, columns, data, pictures, pixelated } = table;

  const PAGE = 50; // rows in the page at a time
  const SHORT = 160; // characters of a text before "more"
  const BREATH = 30; // milliseconds of preparing the filter before the page may answer
  const byId = (id) => document.getElementById(id);
  const place = (id) => columns.findIndex((column) => column.id === id);
  const GIVEN = place("given");
  const PREDICTED = place("predicted");
  const ROW = place("row");
  const NOUN = columns[ROW].name.split(" ")[0]; // "row", or "position" where it counts from 0

  const review = makeReview(table);
  let shown = Uint32Array.from({ length: count }, (_, i) => i); // as sorted and filtered
  let sorted = shown;
  let page = 0;
  let sort = { column: -1, descending: false };

  const make = (tag, text, className) => {
    const element = document.createElement(tag);
    if (text !== undefined) element.textContent = text;
    if (className) element.className = className;
    return element;
  };

  const display = (value, kind) => {
    if (value === null) return "";
    if (kind === "number" && !Number.isInteger(value)) {
      const size = Math.abs(value);
      if (size < 1e-3) return value.toExponential(2);
      if (size >= 1e3) return String(Math.round(value));
      // Four digits; quicker than toPrecision, which counts for a million numbers.
      let scale = 10;
      for (let below = 100; size < below && scale < 1e6; below /= 10) scale *= 10;
      return String(Math.round(value * scale) / scale);
    }
    return String(value);
  };
  // Labels are names, even where they are numbers.
  const side = ({ kind, id }) =>
    kind === "number" && id !== "given" && id !== "predicted" ? "num" : "text";

  // What is searched, one string a row: texts, and numbers as they are shown.
  const texts = [];
  const numbers = [];
  const prepare = (end) => {
    for (let i = texts.length; i < end; i++) {
      let text = "";
      let number = "";
      for (let c = 0; c < columns.length; c++) {
        const value = data[c][i];
        if (value === null) continue;
        if (columns[c].kind === "number") number += display(value, "number") + "\n";
        else text += value + "\n";
      }
      texts.push(text.toLowerCase());
      numbers.push(number);
    }
  };
  let asked = false; // a search waits for the rest
  const prepareAll = () => {
    const until = performance.now() + BREATH;
    while (texts.length < count && performance.now() < until) {
      prepare(Math.min(count, texts.length + 200));
    }
    if (texts.length < count) setTimeout(prepareAll, 0);
    else if (asked) filter();
  };

  const order = () => {
    const all = Uint32Array.from({ length: count }, (_, i) => i);
    if (sort.column < 0) return all;
    const values = data[sort.column];
    const sign = sort.descending ? -1 : 1;
    const collator = new Intl.Collator(undefined, { numeric: true });
    const compare =
      columns[sort.column].kind === "number"
        ? (a, b) => (a < b ? -1 : a > b ? 1 : 0)
        : collator.compare;
    return all.sort((i, j) => {
      const a = values[i];
      const b = values[j];
      if (a === null || b === null) return (a === null) - (b === null) || i - j;
      return sign * compare(a, b) || i - j;
    });
  };

  const filter = () => {
    const wanted = byId("rows-filter").value.trim().toLowerCase();
    const chosen = byId("rows-class").selectedIndex;
    const label = chosen > 0 ? labels[chosen - 1] : undefined;
    asked = wanted !== "" && texts.length < count;
    if (asked) {
      byId("rows-status").textContent = "Searching…";
      return;
    }
    shown = sorted.filter(
      (i) =>
        (label === undefined || data[GIVEN][i] === label) &&
        review.matches(i) &&
        (!wanted || texts[i].includes(wanted) || numbers[i].includes(wanted)),
    );
    page = 0;
    draw();
  };

  const longCell = (cell, text, row) => {
    const short = text.slice(0, SHORT).replace(/[\ud800-\udbff]$/, "") + "…";
    const shownText = make("bdi", short);
    const button = make("button", "more", "more");
    button.type = "button";
    button.setAttribute("aria-expanded", "false");
    button.setAttribute("aria-label", `more of the text in ${NOUN} ${row}`);
    button.addEventListener("click", () => {
      const open = button.getAttribute("aria-expanded") !== "true";
      shownText.textContent = open ? text : short;
      button.textContent = open ? "less" : "more";
      button.setAttribute("aria-expanded", String(open));
      button.setAttribute("aria-label", `${open ? "less" : "more"} of the text in ${NOUN} ${row}`);
    });
    cell.append(shownText, button);
  };

  const drawRow = (i) => {
    const line = make("tr");
    line.tabIndex = -1;
    line.dataset.index = i;
    const row = data[ROW][i];
    line.append(review.cell(i, NOUN));
    if (pictures.length) {
      const cell = make("td");
      if (i < pictures.length) {
        const picture = make("img", undefined, pixelated ? "small" : "");
        picture.alt = `${NOUN} ${row}`;
        picture.src = pictures[i];
        cell.append(picture);
      }
      line.append(cell);
    }
    columns.forEach((column, c) => {
      const value = data[c][i];
      const cell = make(c === ROW ? "th" : "td", undefined, side(column));
      if (c === ROW) cell.scope = "row";
      if (column.first) cell.className += " own-first";
      cell.dataset.name = column.name;
      const text = display(value, column.kind);
      if (text.length > SHORT) longCell(cell, text, row);
      else if (text) cell.append(make("bdi", text));
      if (column.kind === "number" && value !== null && text !== String(value)) {
        cell.title = String(value);
      }
      if (c === PREDICTED && value !== data[GIVEN][i]) cell.className += " differs";
      line.append(cell);
    });
    return line;
  };

  const draw = () => {
    const pages = Math.max(1, Math.ceil(shown.length / PAGE));
    page = Math.min(Math.max(page, 0), pages - 1);
    const from = page * PAGE;
    review.clear();
    const lines = Array.from(shown.slice(from, from + PAGE), drawRow);
    if (lines.length) lines[0].tabIndex = 0;
    byId("rows-body").replaceChildren(...lines);
    review.show();
    const number = (n) => n.toLocaleString("en");
    let told = "No row matches.";
    if (shown.length) {
      told = `Rows ${number(from + 1)} to ${number(from + lines.length)} of ${number(shown.length)}`;
      if (shown.length < count) told += ` that match, of ${number(count)}`;
    }
    byId("rows-status").textContent = told;
    byId("rows-back").disabled = page === 0;
    byId("rows-next").disabled = page >= pages - 1;
    byId("rows-page").value = page + 1;
    byId("rows-page").max = pages;
    byId("rows-pages").textContent = `of ${number(pages)}`;
    const all = shown.length === count ? "all " : "";
    byId("rows-save").textContent = `Save ${all}${number(shown.length)} as CSV`;
    byId("rows-save").disabled = shown.length === 0;
  };

  const drawHead = () => {
    const line = make("tr");
    const decision = make("th");
    decision.scope = "col";
    decision.append(make("span", "decision"));
    line.append(decision);
    if (pictures.length) {
      const head = make("th");
      head.scope = "col";
      head.append(make("span", "picture"));
      line.append(head);
    }
    columns.forEach((column, c) => {
      const head = make("th", undefined, side(column));
      head.scope = "col";
      if (column.first) head.className += " own-first";
      const button = make("button");
      button.type = "button";
      button.append(make("bdi", column.name));
      const arrow = make("span", undefined, "arrow");
      arrow.setAttribute("aria-hidden", "true");
      button.append(arrow);
      button.addEventListener("click", () => {
        const again = sort.column === c;
        if (again && sort.descending) sort = { column: -1, descending: false };
        else sort = { column: c, descending: again };
        for (const other of line.children) other.removeAttribute("aria-sort");
        if (sort.column === c) {
          head.setAttribute("aria-sort", sort.descending ? "descending" : "ascending");
        }
        sorted = order();
        filter();
      });
      head.append(button);
      line.append(head);
    });
    byId("rows-head").replaceChildren(line);
  };

  // A spreadsheet runs a text that begins like a formula, so it gets an apostrophe.
  const quoted = (text) => {
    const safe = /^[=+\-@\t\r\n]/.test(text) ? "'" + text : text;
    return '"' + safe.replaceAll('"', '""') + '"';
  };
  const save = () => {
    const lines = [columns.map((column) => quoted(column.name)).join(",")];
    for (const i of shown) {
      const cells = columns.map((column, c) => {
        const value = data[c][i];
        if (value === null) return "";
        return column.kind === "number" ? String(value) : quoted(value);
      });
      lines.push(cells.join(","));
    }
    const blob = new Blob(["\ufeff", lines.join("\r\n"), "\r\n"], { type: "text/csv" });
    const link = make("a");
    link.href = URL.createObjectURL(blob);
    link.download = "dropped-rows.csv";
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60000);
  };

  const collator = new Intl.Collator(undefined, { numeric: true });
  const labels = [...new Set(data[GIVEN])].sort((a, b) => collator.compare(a, b));
  byId("rows-class").append(...labels.map((label) => make("option", display(label, "text"))));

  let waiting;
  byId("rows-filter").addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(filter, 120);
  });
  byId("rows-class").addEventListener("change", filter);
  review.onChange(filter);
  byId("rows-save").addEventListener("click", save);
  const turn = (to) => {
    page = to;
    draw();
    byId("rows-table").scrollIntoView();
  };
  byId("rows-back").addEventListener("click", () => turn(page - 1));
  byId("rows-next").addEventListener("click", () => turn(page + 1));
  byId("rows-page").addEventListener("change", (event) => {
    turn((Math.trunc(Number(event.target.value)) || 1) - 1);
  });

  drawHead();
  draw();
  byId("rows-table").hidden = false;
  setTimeout(prepareAll, 0);
})();
