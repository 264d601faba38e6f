"use strict";
const data = JSON.parse(document.getElementById("data").textContent);
const clusters = data.clusters || { "": data };
const SIGN = { all: "●", part: "◐", none: "" };
const at = (id) => document.getElementById(id);
let shown = null;
let cells = null;
let opened = null;

function element(name, text, kind) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  if (kind) made.className = kind;
  return made;
}

function choices(select, names) {
  select.replaceChildren(...names.map((name) => element("option", name)));
}

function load() {
  shown = clusters[at("cluster").value] || Object.values(clusters)[0];
  cells = new Map(shown.cells.map((cell) => [cell.from + "\n" + cell.to, cell]));
  choices(at("by"), ["SMI", ...shown.meshes]);
  draw();
}

const wordOf = (cell, by) => (!cell ? "none" : cell.undecided ? "?" : by === "SMI" ? cell.smi : cell.meshes[by]);

/* In the view of one mesh a difference is one of this mesh. */
function differs(cell, by) {
  if (!cell || cell.undecided) return false;
  if (by === "SMI") return cell.differs;
  return cell.ports.some((port) => port.requests.some((each) => each.meshes[by] !== each.smi && (port.port !== null || each.smi === "deny")));
}

function draw() {
  const by = at("by").value;
  const has = (text, part) => text.toLowerCase().includes(part.trim().toLowerCase());
  const get = (from, to) => cells.get(from + "\n" + to);
  const matters = (cell) => cell && (!at("only").checked || differs(cell, by));
  let callers = shown.callers.filter((name) => has(name, at("from").value));
  let receivers = shown.receivers.filter((name) => has(name, at("to").value));
  if (!at("empty").checked || at("only").checked) {
    callers = callers.filter((from) => receivers.some((to) => matters(get(from, to))));
    receivers = receivers.filter((to) => callers.some((from) => matters(get(from, to))));
  }
  const table = element("table");
  table.setAttribute("role", "grid");
  table.setAttribute("aria-label", "Callers in rows, receivers in columns");
  const head = table.createTHead().insertRow();
  head.append(element("th", "from ↓  to →"));
  for (const to of receivers) {
    const th = element("th");
    th.scope = "col";
    th.title = to;
    th.append(element("span", to));
    head.append(th);
  }
  const body = table.createTBody();
  for (const from of callers) {
    const row = body.insertRow();
    const th = element("th", from);
    th.scope = "row";
    th.title = from;
    row.append(th);
    for (const to of receivers) row.append(cellOf(from, to, get(from, to), by));
  }
  const first = table.querySelector("td");
  if (first) first.tabIndex = 0;
  const nothing = element("p", "No caller and receiver match. Clear the filters above.", "dim");
  nothing.style.padding = "0 16px";
  at("grid").replaceChildren(callers.length && receivers.length ? table : nothing);
  // What comes into view must not do so under the names, which stay where they are.
  at("grid").style.scrollPadding = `${head.offsetHeight}px 0 0 ${head.cells[0].offsetWidth}px`;
  const count = shown.cells.filter((cell) => differs(cell, by)).length;
  at("count").textContent = `${callers.length} callers, ${receivers.length} receivers; ` + (count ? `${count} cells differ` : "no cell differs");
}

function cellOf(from, to, cell, by) {
  const word = wordOf(cell, by);
  const td = element("td", SIGN[word] ?? "?", word === "?" ? "" : word);
  td.tabIndex = -1;
  td.dataset.from = from;
  td.dataset.to = to;
  if (differs(cell, by)) {
    td.classList.add("differs");
    td.append(element("b", "≠"));
  }
  const said = word === "?" ? "not decided" : word + " allowed";
  td.setAttribute("aria-label", `${from} to ${to}: ${said}${differs(cell, by) ? ", a mesh differs" : ""}`);
  td.title = td.getAttribute("aria-label");
  return td;
}

function open(td) {
  close();
  opened = td;
  td.setAttribute("aria-selected", "true");
  const { from, to } = td.dataset;
  const cell = cells.get(from + "\n" + to);
  const panel = at("detail");
  const end = element("button", "Close");
  end.addEventListener("click", close);
  panel.replaceChildren(end, element("h2", `${from} → ${to}`));
  if (!cell) panel.append(element("p", "Nothing is allowed, by SMI and by every mesh."));
  else if (cell.undecided) panel.append(element("p", `Not decided: ${cell.undecided}. Ask for single requests with smihub explain.`));
  else for (const port of cell.ports) panel.append(...portOf(port));
  panel.append(element("h3", "The same in a terminal"), element("pre", `smihub matrix --from '${from}' --to '${to}'`));
  panel.hidden = false;
  panel.scrollTop = 0;
  td.scrollIntoView({ block: "nearest", inline: "nearest" });
  // On a narrow screen it stands below the grid.
  if (getComputedStyle(panel.parentElement).display === "block") panel.scrollIntoView({ block: "nearest" });
}

function close() {
  if (opened) opened.removeAttribute("aria-selected");
  opened = null;
  at("detail").hidden = true;
}

function portOf(port) {
  const name = port.port === null ? "any other port" : `port ${port.port}`;
  const words = ["SMI: " + port.smi, ...Object.entries(port.meshes).map(([mesh, word]) => `${mesh}: ${word}`)];
  const list = element("ul");
  const rank = (each) => Object.values(each.meshes).every((word) => word === each.smi);
  for (const each of [...port.requests].sort((one, other) => rank(one) - rank(other))) list.append(requestOf(each));
  return [element("h3", `${name}, ${port.protocol}`), element("div", words.join(" · "), "dim"), list];
}

function requestOf(each) {
  const item = element("li");
  const text = each.paths ? `${each.methods ? each.methods.join(",") : "any method"} ${each.paths.slice(0, 6).join(", ")}${each.paths.length > 6 ? ` and ${each.paths.length - 6} more` : ""}` : "bytes";
  item.append(element("code", text + (each.at ? ` at ${each.at}` : "")));
  if (each.headers) {
    const ways = each.headers.map((lines) => lines.map(([name, value]) => `${name}: "${value}"`).join(", ") || "no such header");
    item.append(element("div", "with " + ways.slice(0, 3).join(" or ") + (ways.length > 3 ? ` or ${ways.length - 3} more ways` : ""), "dim"));
  }
  const other = Object.entries(each.meshes).filter(([, word]) => word !== each.smi);
  item.append(element("div", other.length ? `SMI: ${each.smi}` : each.smi));
  for (const [mesh, word] of other) item.append(element("div", `≠ ${mesh}: ${word} (${(each.losses?.[mesh] || []).join(", ")})`, "bad"));
  if (other.length) {
    const quoted = JSON.stringify(each.example).replaceAll("'", "'\\''");
    item.append(element("pre", `echo '${quoted}' | smihub explain --batch -`));
  }
  return item;
}

function move(td, rows, columns) {
  const row = td.parentElement;
  const table = row.parentElement;
  const next = table.rows[row.rowIndex - 1 + rows]?.cells[td.cellIndex + columns];
  if (!next || next.tagName !== "TD") return;
  td.tabIndex = -1;
  next.tabIndex = 0;
  next.focus();
  next.scrollIntoView({ block: "nearest", inline: "nearest" });
}

const STEPS = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
at("grid").addEventListener("keydown", (event) => {
  const td = event.target.closest("td");
  if (!td) return;
  if (STEPS[event.key]) move(td, ...STEPS[event.key]);
  else if (event.key === "Enter" || event.key === " ") open(td);
  else return;
  event.preventDefault();
});
at("grid").addEventListener("click", (event) => {
  const td = event.target.closest("td");
  if (td) open(td);
});
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  const back = opened;
  close();
  back?.focus();
});
for (const id of ["by", "from", "to", "only", "empty"]) at(id).addEventListener("input", draw);
at("cluster").addEventListener("input", load);
document.querySelector("form").addEventListener("submit", (event) => event.preventDefault());
choices(at("cluster"), Object.keys(clusters));
at("cluster-label").hidden = Object.keys(clusters).length < 2;
load();
