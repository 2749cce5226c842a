// Live panels: server-sent events replace the content of elements named by `data-live`; a reader can pause them.
// And forms: what was refused need not be typed again, and no form is sent twice.
"use strict";

const state = document.getElementById("live-state");
const pause = document.getElementById("live-pause");
let source = null;

function say(text, kind) {
  state.textContent = text;
  state.dataset.kind = kind;
}

function swap(element, html) {
  const focused = element.contains(document.activeElement) ? document.activeElement.id : "";
  element.innerHTML = html; // rendered and escaped by the server
  mark();
  if (focused) document.getElementById(focused)?.focus({ preventScroll: true });
}

// The queues' links come with every update, the same for all pages.
function mark() {
  document.querySelectorAll("nav a").forEach((link) => {
    if (link.pathname === location.pathname) link.setAttribute("aria-current", "page");
  });
}

// What is listed on other pages than the overview stays as it was loaded: a form must not change under one's hands.
const whole = document.querySelector("section[data-live]") !== null;

function connect() {
  source = new EventSource("/tower/live");
  source.onopen = () => say(whole ? "Live" : "Live counts only", "on");
  source.onerror = () => say("Connection lost, trying again", "lost");
  for (const name of new Set([...document.querySelectorAll("[data-live]")].map((e) => e.dataset.live))) {
    source.addEventListener(name, (event) => {
      document.querySelectorAll(`[data-live="${name}"]`).forEach((element) => swap(element, event.data));
    });
  }
}

mark();
if (pause) {
  pause.hidden = false;
  pause.addEventListener("click", () => {
    const running = source !== null;
    if (running) {
      source.close();
      source = null;
      say("Paused", "paused");
    } else {
      connect();
    }
    pause.textContent = running ? "Resume" : "Pause";
  });
  // A page in the background is not read; it catches up when it is looked at again.
  document.addEventListener("visibilitychange", () => {
    if (source === null) return;
    source.close();
    if (document.visibilityState === "visible") connect();
  });
  connect();
}

// What was typed into a form that is refused is there again on the page that says why.
const TYPED = "o2c-typed";

function fields(form, hidden) {
  return [...form.querySelectorAll("input")].filter((input) => (input.type === "hidden") === hidden);
}

// The hidden fields say what a form is about; the version of it that was seen is not part of that.
function about(form) {
  return JSON.stringify(fields(form, true).map((input) => (input.name === "etag" ? "" : input.value)));
}

// Kept until its form is there again: the queue of a service that is away shows none.
function giveBack() {
  if (document.querySelector(".notice.good[data-outcome]") !== null) sessionStorage.removeItem(TYPED);
  const typed = JSON.parse(sessionStorage.getItem(TYPED));
  if (typed === null) return;
  const form = [...document.querySelectorAll("form[method=post]")].find((form) => about(form) === typed.about);
  if (!form) return;
  sessionStorage.removeItem(TYPED);
  fields(form, false).forEach((input, place) => (input.value = typed.values[place] ?? input.value));
  form.closest("details")?.setAttribute("open", "");
}

giveBack();
document.addEventListener("submit", ({ target: form }) => {
  if (form.method !== "post") return;
  const values = fields(form, false).map((input) => input.value);
  sessionStorage.setItem(TYPED, JSON.stringify({ about: about(form), values }));
});

// A second click while the first is on its way would only be refused.
document.addEventListener("submit", (event) => {
  setTimeout(() => event.target.querySelectorAll("button").forEach((button) => (button.disabled = true)));
});
