// A monitor's page: "now" moves through the current window, and changing the range needs no reload.
//
// Without this script the picture stays as the server drew it, and the ranges are links.
(() => {
  "use strict";

  const live = document.getElementById("live");
  // With colons in every language, like the server's times.
  const clock = new Intl.DateTimeFormat("en-GB", {
    hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23",
  });
  const calm = window.matchMedia("(prefers-reduced-motion: reduce)");

  // --- The current window ----------------------------------------------------------------------------

  const STEP_MS = 250;

  // The server's clock minus the browser's, as in time.js: the largest seen is the best.
  let offset = -Infinity;

  function learn() {
    const shown = live.querySelector("[data-now]");
    if (shown) offset = Math.max(offset, Date.parse(shown.dataset.now) - Date.now());
  }

  function set(element, name, value) {
    if (element && element.getAttribute(name) !== value) element.setAttribute(name, value);
  }

  function move() {
    const picture = document.getElementById("window");
    if (!picture || document.hidden) return;
    const [start, end, last] = ["start", "end", "last"].map((name) => Date.parse(picture.dataset[name]));
    const at = (time) => Math.min(Math.max((time - start) / (end - start), 0), 1) * 100;
    const now = at(Date.now() + offset);
    const x = `${now.toFixed(2)}%`;
    const line = picture.querySelector("[data-now-line]");
    set(line, "x1", x);
    set(line, "x2", x);
    set(picture.querySelector("[data-now-words]"), "x", x);
    set(picture.querySelector("[data-waited]"), "width", `${Math.max(now - at(last), 0).toFixed(2)}%`);
  }

  // In the reader's time zone, like all other times.
  function tell() {
    for (const words of live.querySelectorAll("tspan[data-at]")) {
      const text = clock.format(Date.parse(words.dataset.at));
      if (words.textContent !== text) words.textContent = text;
    }
  }

  function draw() {
    learn();
    tell();
    move();
  }

  draw();
  setInterval(() => calm.matches || move(), STEP_MS);
  document.body.addEventListener("tianji:tick", move);
  document.addEventListener("htmx:afterSwap", (event) => event.detail.target === live && draw());

  // --- The time range --------------------------------------------------------------------------------

  function visit(url) {
    htmx.trigger(live, "htmx:abort");
    htmx.trigger(live, "tianji:visit");
    const charts = document.getElementById("charts");
    if (!charts) return;
    const range = new URL(url).searchParams.get("range");
    charts.dataset.url = range ? `${charts.dataset.address}?range=${encodeURIComponent(range)}` : charts.dataset.address;
    htmx.trigger(charts, "htmx:abort");
    htmx.trigger(charts, "tianji:charts");
  }

  window.addEventListener("popstate", () => visit(window.location.href));
  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[data-range]");
    if (!link || event.button || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
    event.preventDefault();
    if (link.href !== window.location.href) history.pushState(null, "", link.href);
    visit(link.href);
  });
})();
