// Live times.
//
// <time datetime data-past="{} ago" data-future="in {}"> is updated every second;
// <time datetime data-clock> is shown in the reader's time zone. Both show the exact local time and UTC as a
// tooltip. Without this script the server's text stays, which was right when the page was rendered.
(() => {
  "use strict";

  const DAY = 86400, HOUR = 3600, MINUTE = 60;
  const [d, h, min, s] = (document.body.dataset.units || "d,h,min,s").split(",");
  const language = document.documentElement.lang || undefined;
  const full = new Intl.DateTimeFormat(language, { dateStyle: "full" });
  // Digits only, and with colons in every language, like the server's.
  const figures = { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" };
  const clock = new Intl.DateTimeFormat("en-GB", figures);
  const zoned = new Intl.DateTimeFormat("en-GB", { ...figures, timeZoneName: "short" });
  const date = new Intl.DateTimeFormat(language, { day: "numeric", month: "short" });
  const dateWithYear = new Intl.DateTimeFormat(language, { day: "numeric", month: "short", year: "numeric" });

  // The server's clock minus the browser's. A slow response makes it look smaller, so the largest seen is
  // the best.
  let offset = -Infinity;

  function learn(root) {
    const element = root.querySelector("[data-now]");
    if (element) offset = Math.max(offset, Date.parse(element.dataset.now) - Date.now());
  }

  const now = () => Date.now() + (offset === -Infinity ? 0 : offset);

  // The same as monitors/domain/durations.py: two units at most, no seconds from ten minutes on.
  function words(seconds) {
    const pair = (a, unitA, b, unitB) => (b ? `${a} ${unitA} ${b} ${unitB}` : `${a} ${unitA}`);
    if (seconds < MINUTE) return `${seconds} ${s}`;
    if (seconds < 10 * MINUTE) return pair(Math.floor(seconds / MINUTE), min, seconds % MINUTE, s);
    if (seconds < HOUR) return `${Math.floor(seconds / MINUTE)} ${min}`;
    if (seconds < DAY) return pair(Math.floor(seconds / HOUR), h, Math.floor((seconds % HOUR) / MINUTE), min);
    if (seconds < 30 * DAY) return pair(Math.floor(seconds / DAY), d, Math.floor((seconds % DAY) / HOUR), h);
    return `${Math.floor(seconds / DAY)} ${d}`;
  }

  function set(element, text) {
    if (element.textContent !== text) element.textContent = text;
  }

  // "Sunday, 22 November 2026, 21:05:12 GMT+7 · 2026-11-22 14:05:12 UTC"
  function exact(at) {
    const utc = at.toISOString();
    return `${full.format(at)}, ${zoned.format(at)} · ${utc.slice(0, 10)} ${utc.slice(11, 19)} UTC`;
  }

  function show(element) {
    const at = new Date(element.dateTime);
    const title = exact(at);
    if (element.title !== title) element.title = title;
    const here = new Date(now());
    if ("clock" in element.dataset) {
      const today = at.toDateString() === here.toDateString();
      const day = at.getFullYear() === here.getFullYear() ? date : dateWithYear;
      set(element, today ? clock.format(at) : `${day.format(at)}, ${clock.format(at)}`);
    } else if ("past" in element.dataset) {
      const passed = (here - at) / 1000;
      const future = passed < 0 && element.dataset.future;
      const pattern = future || element.dataset.past;
      set(element, pattern.replace("{}", words(Math.floor(future ? -passed : Math.max(passed, 0)))));
    }
  }

  function showAll() {
    for (const element of document.querySelectorAll("time[data-past], time[data-clock]")) show(element);
  }

  learn(document);
  showAll();
  setInterval(() => document.hidden || showAll(), 1000);
  document.addEventListener("htmx:afterSwap", (event) => {
    learn(event.detail.target);
    showAll();
  });
})();
