// What a page does beside its links and forms: times in the viewer's zone, marks, keys, and a region that stays live.

const root = document.documentElement;
const main = document.getElementById("live");
const light = document.getElementById("live-light");
const bar = document.getElementById("away");
const help = document.getElementById("keys");
const one = (selector, within = document) => within?.querySelector(selector);
const all = (selector, within = document) => [...(within?.querySelectorAll(selector) ?? [])];
const clock = () => new Date().toLocaleTimeString();
// What needs a script is shown by it.
root.dataset.script = "on";

// Times

const words = new Intl.RelativeTimeFormat("en", { numeric: "auto", style: "short" });
const STEPS = [["second", 60], ["minute", 60], ["hour", 24], ["day", 1e9]];

function ago(then) {
  let amount = (then - Date.now()) / 1000;
  for (const [unit, most] of STEPS) {
    if (Math.abs(amount) < most) return words.format(Math.round(amount), unit);
    amount /= most;
  }
  return "";
}

function tellTimes() {
  for (const time of all("time[datetime]")) {
    const then = new Date(time.dateTime);
    time.title = `${then.toLocaleString()} (${time.dateTime})`;
    time.textContent = time.dataset.as === "clock" ? then.toLocaleTimeString() : ago(then);
  }
}

// The live region: the stream says that something changed, and the region asks for itself again.

let stream = null;
let isPaused = false;
let asOf = clock();

function show(state) {
  if (!light) return;
  light.className = `live ${isPaused ? "paused" : state}`;
  light.textContent = isPaused ? `paused, as of ${asOf}` : { lost: "reconnecting" }[state] ?? (state || "live");
  light.title = `as of ${asOf} (.)`;
  light.setAttribute("aria-pressed", String(isPaused));
}

function pause(wanted) {
  if (!light || wanted === isPaused) return;
  isPaused = wanted;
  show("");
  // A paused page asks nothing: its stream ends, and begins anew.
  if (isPaused) return stream?.reader?.cancel();
  htmx.trigger(main, "resume");
  changed();
}

const changed = () => document.body.dispatchEvent(new Event("changed"));

// Who types, has a sheet open or has marked rows is not to lose it.
const isInUse = () =>
  one("#region details.sheet[open], #region tbody input:checked") ??
  document.activeElement?.closest("#region :is(input:not([type=checkbox]), select, textarea)");

const tell = (text) => Object.assign(bar, { textContent: text, hidden: !text });

// Asked again, the page leads to the door, and from there back here.
function isOver() {
  if (!isInUse()) location.reload();
  tell("Your session is over: what you do here is refused until you log in again.");
}

document.addEventListener("htmx:sse:before:connection", (event) => {
  if (isPaused) event.preventDefault();
});
document.addEventListener("htmx:sse:after:connection", (event) => {
  stream = event.detail.connection;
  show("");
  // What has happened while it was away, it has not said.
  if (stream.attempt > 0) changed();
});
document.addEventListener("htmx:sse:error", (event) => {
  show("lost");
  if (event.detail.status === 401) isOver();
});
document.addEventListener("htmx:before:request", (event) => {
  if (event.target.id === "region" && (isPaused || document.hidden || isInUse())) event.preventDefault();
});
document.addEventListener("htmx:before:swap", (event) => {
  const status = event.detail.ctx.response?.status ?? 200;
  if (event.target.id !== "region" || status < 400 || status === 404) return;
  event.preventDefault();
  if (status !== 401) tell(`The server answers with an error (${status}): what is shown is as of ${asOf}.`);
});
for (const name of ["htmx:error", "htmx:response:error"])
  document.addEventListener(name, (event) => {
    const status = event.detail.ctx?.response?.status;
    if (event.target !== main && event.target.id !== "region") return;
    if (status === 401) return isOver();
    show("lost");
    if (!status) tell(`The server does not answer: what is shown is as of ${asOf}.`);
    if (event.target === main) setTimeout(() => htmx.trigger(main, "resume"), 5000);
  });
document.addEventListener("htmx:after:swap", (event) => {
  if (event.target.id !== "region" && event.target.id !== "live") return;
  asOf = clock();
  tell("");
  show("");
  tellTimes();
  tellMarks();
});

// Marks of rows: one by one, from one to another with shift, all of a table.

const marks = (within) => all("tbody input[type=checkbox]", within);
let last = null;

function tellMarks() {
  for (const box of all("[data-select-all]")) {
    const boxes = marks(box.closest("table"));
    const marked = boxes.filter((each) => each.checked).length;
    box.checked = marked > 0 && marked === boxes.length;
    box.indeterminate = marked > 0 && marked < boxes.length;
  }
  const marked = all("#region tbody input[type=checkbox]:checked").length;
  for (const place of all("[data-selected]")) place.textContent = marked ? `${marked} marked` : "";
}

document.addEventListener("click", (event) => {
  const box = event.target.closest?.("table input[type=checkbox]");
  if (!box) return;
  const boxes = marks(box.closest("table"));
  if (box.matches("[data-select-all]")) for (const each of boxes) each.checked = box.checked;
  else if (event.shiftKey && boxes.includes(last)) {
    const [from, to] = [boxes.indexOf(last), boxes.indexOf(box)].sort((a, b) => a - b);
    for (const each of boxes.slice(from, to + 1)) each.checked = box.checked;
  }
  last = box;
  tellMarks();
});

// Buttons of the frame

light?.addEventListener("click", () => pause(!isPaused));
one("#theme")?.addEventListener("click", nextTheme);
one("#help")?.addEventListener("click", () => help.showModal());
document.addEventListener("click", (event) => {
  const button = event.target.closest?.("[data-copy]");
  if (button) copy(button);
});

async function copy(button) {
  await navigator.clipboard?.writeText(button.dataset.copy);
  const before = button.textContent;
  button.textContent = one("#heard").textContent = "Copied";
  setTimeout(() => (button.textContent = before), 1500);
}

function nextTheme() {
  const every = ["auto", "light", "dark"];
  const next = every[(every.indexOf(root.dataset.theme) + 1) % every.length];
  root.dataset.theme = next;
  one("#theme span").textContent = next;
  one("#heard").textContent = `Theme: ${next}`;
  const path = one("a.name").getAttribute("href");
  document.cookie = `rota-theme=${next}; path=${path}; max-age=31536000; samesite=strict`;
}

// Keys

const toggle = one("#keys-on");
let goesUntil = 0;

if (toggle) {
  toggle.checked = localStorage.getItem("rota-keys") !== "off";
  toggle.addEventListener("change", () => localStorage.setItem("rota-keys", toggle.checked ? "on" : "off"));
}

const row = () => document.activeElement?.closest("tbody tr, [data-row]");

function move(by) {
  const rows = all("#region :is(tbody tr, [data-row])").filter((each) => one("a, button, summary, input", each));
  const at = rows.indexOf(row());
  const next = rows[at < 0 ? 0 : Math.max(0, Math.min(rows.length - 1, at + by))];
  one("a, button, summary, input", next)?.focus();
}

// The sheet or the button that has this key: of the row one is on, else of the page.
function act(key) {
  const found = one(`[data-key="${key}"]`, row()) ?? one(`#region [data-key="${key}"]`);
  if (!found) return;
  // What is done to marked rows is done to the one that one is on where none is marked.
  if (!row()?.contains(found) && !one("#region tbody input:checked")) one("input[type=checkbox]", row())?.click();
  if (found.tagName !== "DETAILS") return found.click();
  found.open = true;
  (one("input:not([type=hidden]), textarea, select", found) ?? one("button", found))?.focus();
}

function back() {
  const sheet = one("#region details.sheet[open], .top details[open]");
  const up = one("a[rel=up]") ?? one(".side a[aria-current]");
  if (sheet) {
    sheet.open = false;
    one("summary", sheet).focus();
  } else if (document.activeElement !== document.body) document.activeElement.blur();
  else if (up && up.pathname !== location.pathname) up.click();
}

const KEYS = {
  j: () => move(1),
  k: () => move(-1),
  x: () => one("input[type=checkbox]", row())?.click(),
  g: () => (goesUntil = Date.now() + 2000),
  t: nextTheme,
  ".": () => pause(!isPaused),
  "?": () => help.showModal(),
  "/": () => one(".top input[type=search]")?.focus(),
  "[": () => one("a[rel=prev]")?.click(),
  "]": () => one("a[rel=next]")?.click(),
};
for (const key of "rcp") KEYS[key] = () => act(key);

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing || !help || help.open) return;
  if (event.key === "Escape") return back();
  const at = event.target;
  if (at.closest("textarea, select, [contenteditable], input:not([type=checkbox])")) return;
  if (event.key === "Enter" && at.matches("tbody input")) {
    // Else it would send the form that the box is in.
    event.preventDefault();
    return one("a", row())?.click();
  }
  if (!toggle.checked) return;
  const goes = Date.now() < goesUntil;
  goesUntil = 0;
  if (goes) return one(`.side a[data-go="${CSS.escape(event.key)}"]`)?.click();
  if (!Object.hasOwn(KEYS, event.key)) return;
  event.preventDefault();
  KEYS[event.key]();
});

one(".side [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });
tellTimes();
tellMarks();
// The stream may have begun before this script did.
stream = main?._htmx?.sse ?? null;
show(stream?.status ? "" : "connecting");
setInterval(tellTimes, 10_000);
