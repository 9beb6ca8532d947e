// What a page does beside its links and forms: times in the viewer's zone, keys, and live regions.

const light = document.getElementById("live-light");
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
  for (const one of document.querySelectorAll("time[datetime]")) {
    const then = new Date(one.dateTime);
    one.title = then.toLocaleString() + " (" + one.dateTime + ")";
    one.textContent = one.dataset.as === "clock" ? then.toLocaleTimeString() : ago(then);
  }
}

let isPaused = false;

function show(state, said) {
  if (!light) return;
  light.hidden = false;
  light.className = "live " + (isPaused ? "paused" : state);
  light.textContent = isPaused ? "paused" : said;
}

function pause(wanted) {
  isPaused = wanted;
  show("", "live");
  light?.setAttribute("aria-pressed", String(isPaused));
  if (!isPaused) document.body.dispatchEvent(new Event("changed"));
}

// Whoever types or has something open is not to lose it; and a paused page asks nothing.
function isInUse() {
  const region = document.getElementById("region");
  return region.querySelector("details[open], input:checked") || document.activeElement?.closest("#region :is(input, select, textarea)");
}

document.addEventListener("htmx:before:request", (event) => {
  if (event.target.id === "region" && (isPaused || document.hidden || isInUse())) event.preventDefault();
});
document.addEventListener("htmx:after:swap", () => {
  tellTimes();
  show("", "as of " + new Date().toLocaleTimeString());
});
document.addEventListener("htmx:sse:error", () => show("lost", "reconnecting"));
document.addEventListener("htmx:sse:after:connection", () => show("", "live"));
document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-copy], #live-light, #theme");
  if (!button) return;
  if (button === light) pause(!isPaused);
  else if (button.id === "theme") nextTheme();
  else navigator.clipboard?.writeText(button.dataset.copy);
});

function nextTheme() {
  const all = ["auto", "light", "dark"];
  const next = all[(all.indexOf(document.documentElement.dataset.theme) + 1) % all.length];
  document.documentElement.dataset.theme = next;
  const path = document.querySelector("a.name").getAttribute("href");
  document.cookie = `rota-theme=${next}; path=${path}; max-age=31536000; samesite=strict`;
}

const GO = { o: "overview", q: "queues", j: "jobs", f: "failures", s: "schedules", w: "workers", a: "activity", y: "system" };
let isGoing = false;
let row = -1;

function move(by) {
  const rows = [...document.querySelectorAll("tbody tr:has(a)")];
  if (!rows.length) return;
  row = Math.max(0, Math.min(rows.length - 1, row + by));
  rows[row].querySelector("a").focus();
}

document.addEventListener("keydown", (event) => {
  const at = event.target;
  if (event.ctrlKey || event.metaKey || event.altKey || at.closest?.("input, select, textarea")) return;
  if (isGoing) {
    isGoing = false;
    const link = document.querySelector(`.side a[data-name="${GO[event.key]}"]`);
    if (link) link.click();
    return;
  }
  if (event.key === "g") isGoing = true;
  else if (event.key === "j") move(1);
  else if (event.key === "k") move(-1);
  else if (event.key === ".") pause(!isPaused);
  else if (event.key === "t") nextTheme();
  else if (event.key === "?") document.getElementById("keys")?.showModal();
  else if (event.key === "/") {
    event.preventDefault();
    document.querySelector('input[type="search"]')?.focus();
  }
});

// Without a script these would do nothing.
document.getElementById("theme")?.removeAttribute("hidden");
tellTimes();
setInterval(tellTimes, 10_000);
