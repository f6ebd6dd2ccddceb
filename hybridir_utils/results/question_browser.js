"use strict";
// Texts of the data go into the page as text alone: nothing here makes HTML.
const at = id => document.getElementById(id);
const plain = text => text.normalize("NFKC").toLowerCase();
const count = number => number.toLocaleString("en");
let tasks, task, shown, hits = [], place = 0;

function made(tag, text, about = {}) {
  const element = document.createElement(tag);
  element.textContent = text;
  Object.entries(about).forEach(([name, value]) => element.setAttribute(name, value));
  return element;
}

function fill(id, names) {
  const before = at(id).value;
  at(id).replaceChildren(...Object.entries(names).map(([value, name]) => made("option", name, { value })));
  if (before in names) at(id).value = before;
  at(id).parentElement.hidden = Object.keys(names).length < 2;
}

const named = values => Object.fromEntries(values.map(value => [value, value]));

function chooseTask() {
  const before = task?.texts[hits[place]];
  task = tasks[at("task").value];
  if (task.texts[hits[place]] !== before) hits = []; // which counted another task's questions
  task.plain ??= task.texts.map(plain);
  fill("base", named([...new Set(task.lists.map(list => list.base))].filter(base => base !== task.reference)));
  fill("language", { "": "all", ...named([...new Set(task.languages)].sort()) });
  chooseBase();
}

function chooseBase() {
  const seeds = task.lists.filter(list => list.base === at("base").value).map(list => list.seed);
  fill("seed", named(seeds.some(Boolean) ? [...new Set(seeds.filter(Boolean))] : [0]));
  chooseSeed();
}

function chooseSeed() {
  const current = hits[place], [base, seed] = [at("base").value, Number(at("seed").value)];
  shown = task.lists.filter(list => list.base === task.reference || (list.base === base && (list.seed === seed || !list.seed)));
  const others = shown.map(list => list.strategy).filter(name => name !== task.leader).sort((a, b) => (b === task.against) - (a === task.against));
  const compared = others.length < shown.length;
  fill("order", { set: "as in the set", ...(compared && { gain: `${task.leader} gains most`, loss: `${task.leader} loses most` }) });
  fill("against", named(compared ? others : []));
  find(current);
}

function find(current) {
  const wanted = plain(at("search").value), language = at("language").value;
  hits = task.texts.flatMap((_, q) => ((!language || task.languages[q] === language) && task.plain[q].includes(wanted) ? [q] : []));
  const order = at("order").value;
  if (order !== "set") {
    const towards = q => (gain(q) === null ? -Infinity : gain(q) * (order === "gain" ? 1 : -1));
    hits.sort((a, b) => towards(b) - towards(a) || a - b);
  }
  place = Math.max(0, hits.indexOf(current));
  show();
}

// of the leader's AP over that of the strategy it is held against, in thousandths; null where there is none
function gain(q) {
  const [one, other] = [task.leader, at("against").value].map(name => shown.find(list => list.strategy === name)?.ap[q] ?? null);
  return one === null || other === null ? null : one - other;
}

// as in figures; where two are compared, these two first
function ordered() {
  const names = at("order").value === "set" ? [] : [at("against").value, task.leader];
  return [...shown].sort((a, b) => names.indexOf(b.strategy) - names.indexOf(a.strategy));
}

function signed(thousandths) {
  return `${thousandths < 0 ? "−" : "+"}${(Math.abs(thousandths) / 1000).toFixed(3)}`;
}

function step(by) {
  place += by;
  show();
}

function show() {
  const q = hits[place];
  const there = task.texts.length < task.asked ? ` (${count(task.texts.length)} of the task’s ${count(task.asked)} questions are here)` : "";
  at("hits").textContent = (hits.length ? `${count(place + 1)} of ${count(hits.length)} found` : "no question found") + there;
  at("previous").disabled = !place;
  at("next").disabled = place + 1 >= hits.length;
  at("question").textContent = hits.length ? task.texts[q] : "";
  at("question").lang = hits.length ? task.languages[q] : "en";
  const gained = hits.length && gain(q) !== null ? ` · AP of ${task.leader} − ${at("against").value}: ${signed(gain(q))}` : "";
  at("about").textContent = hits.length ? `${task.languages[q]} · relevant in the pool: ${task.answers[q]}${gained}` : "";
  at("lists").replaceChildren(...(hits.length ? ordered().map(list => column(list, q)) : []));
}

function column(list, q) {
  const rows = list.top.slice(q * task.depth, (q + 1) * task.depth).map(row => task.seen[q][row]);
  const first = rows.findIndex(row => task.relevant[q].includes(row)) + 1;
  const section = made("section", ""), items = made("ol", "");
  const ap = list.ap[q] === null ? "–" : (list.ap[q] / 1000).toFixed(3);
  section.append(made("h2", list.strategy), made("p", `AP ${ap} · first relevant: ${first ? `rank ${first}` : `none in the first ${rows.length}`}`), items);
  items.append(...rows.map(row => candidate(row, task.relevant[q].includes(row))));
  return section;
}

function candidate(row, isRelevant) {
  const [language, text] = task.candidates[row], item = made("li", "", isRelevant ? { class: "relevant" } : {});
  item.append(made("b", language), isRelevant ? " " : "", isRelevant ? made("span", "✓ relevant") : "", made("p", text, { dir: "auto", lang: language }));
  return item;
}

async function unpacked() {
  const bytes = Uint8Array.from(atob(at("data").textContent), letter => letter.charCodeAt(0));
  return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).json();
}

unpacked().then(data => {
  tasks = data;
  Object.entries({ task: chooseTask, base: chooseBase, seed: chooseSeed, language: () => find(), order: () => find(), against: () => find() })
    .forEach(([id, change]) => at(id).addEventListener("change", change));
  at("search").addEventListener("input", () => find());
  at("previous").addEventListener("click", () => step(-1));
  at("next").addEventListener("click", () => step(1));
  fill("task", named(Object.keys(tasks)));
  chooseTask();
});
