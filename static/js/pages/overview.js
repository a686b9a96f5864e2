// The overview: filters without reload, keyboard shortcuts, bulk selection, news, and the number of monitors
// that are down in the tab's icon.
//
// Without this script the same links, forms and page still work.
(() => {
  "use strict";

  const live = document.getElementById("live");
  const bulk = document.getElementById("bulk");
  const toasts = document.getElementById("toasts");
  const keys = document.getElementById("keys");
  const search = () => document.getElementById("q");
  const links = () => [...live.querySelectorAll(".monitor-name > a")].filter((link) => link.closest("tbody"));

  // --- Filters, sorting and search -----------------------------------------------------------------

  let visiting = false, travelled = false;

  function visit(url, { replace = false } = {}) {
    if (url !== window.location.href) history[replace ? "replaceState" : "pushState"](null, "", url);
    visiting = true;
    htmx.trigger(live, "htmx:abort");
    htmx.trigger(live, "tianji:visit");
  }

  window.addEventListener("popstate", () => {
    clearTimeout(typing);
    typed = false;
    travelled = true;
    visit(window.location.href);
  });

  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[data-view]");
    if (!link || event.button || event.ctrlKey || event.metaKey || event.shiftKey || event.altKey) return;
    event.preventDefault();
    visit(link.href);
    if (link.dataset.view === "top") window.scrollTo(0, 0);
  });

  function address(form) {
    const url = new URL(form.action);
    for (const [name, value] of new FormData(form)) if (value.trim()) url.searchParams.set(name, value.trim());
    return url.href.replaceAll("%2C", ",");
  }

  let typing;
  let typed = false;
  document.addEventListener("input", (event) => {
    if (event.target.id !== "q") return;
    travelled = false;
    clearTimeout(typing);
    const form = event.target.form;
    // One history entry per search, not one per letter.
    typing = setTimeout(() => { visit(address(form), { replace: typed }); typed = true; }, 250);
  });
  document.addEventListener("focusin", (event) => { if (event.target.id === "q") typed = false; });
  document.addEventListener("submit", (event) => {
    if (event.target.id !== "search") return;
    event.preventDefault();
    clearTimeout(typing);
    visit(address(event.target), { replace: typed });
  });

  document.addEventListener("htmx:afterSwap", (event) => {
    if (event.detail.target !== live) return;
    // Keep what was typed, unless another link or the browser's Back button led here.
    const field = search();
    if (visiting && field && (travelled || field !== document.activeElement)) field.value = field.defaultValue;
    visiting = travelled = false;
    showChoice();
    showDown();
  });

  // --- Monitors that are down, in the tab icon -------------------------------------------------------

  const icon = document.querySelector('link[rel="icon"]');
  const calmIcon = icon.href;

  function showDown() {
    const down = Number(live.querySelector("[data-down]")?.dataset.down || 0);
    const words = down > 99 ? "99" : String(down);
    const picture = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 22 22"><rect width="22" height="22" rx="6" fill="#d92d20"/><text x="11" y="16.5" text-anchor="middle" font-family="sans-serif" font-weight="700" font-size="15" fill="#fff">${words}</text></svg>`;
    const href = down ? `data:image/svg+xml,${encodeURIComponent(picture)}` : calmIcon;
    if (icon.href !== href) icon.href = href;
  }

  // --- Toasts and browser notifications ----------------------------------------------------------------

  const TOAST_MS = 8000, TOASTS = 4, WANTED = "tianji:notify";
  const notify = document.getElementById("notify");

  const notifies = () => "Notification" in window && Notification.permission === "granted"
    && localStorage.getItem(WANTED) === "yes";

  function showNotify() {
    if (!notify) return;
    // Browsers only offer it on https and localhost.
    notify.hidden = !("Notification" in window) || !window.isSecureContext || Notification.permission === "denied";
    notify.textContent = notifies() ? notify.dataset.off : notify.dataset.on;
    notify.setAttribute("aria-pressed", String(notifies()));
    document.body.toggleAttribute("data-background", notifies());
  }

  notify?.addEventListener("click", async () => {
    const wanted = !notifies();
    if (wanted) await Notification.requestPermission();
    localStorage.setItem(WANTED, wanted ? "yes" : "no");
    showNotify();
  });

  function inBrowser({ text, url }) {
    // On a visible page, the toast is enough.
    if (!notifies() || !document.hidden) return;
    try {
      const shown = new Notification(text, { tag: url, icon: calmIcon });
      shown.onclick = () => { window.focus(); window.location.assign(url); };
    } catch {
      // Mobile browsers have the API but don't support it.
    }
  }

  document.addEventListener("tianji:news", (event) => {
    for (const { text, status, url } of event.detail.value) {
      const toast = document.createElement("a");
      toast.className = `toast toast-${status}`;
      toast.href = url;
      toast.textContent = text;
      inBrowser({ text, url });
      toasts.append(toast);
      if (toasts.children.length > TOASTS) toasts.firstChild.remove();
      const leave = () => (toast.matches(":hover, :focus") ? setTimeout(leave, 2000) : toast.remove());
      setTimeout(leave, TOAST_MS);
    }
  });

  // --- Bulk selection ----------------------------------------------------------------------------------

  const boxes = () => [...live.querySelectorAll('tbody input[name="monitor"]')];

  function showChoice() {
    if (!bulk) return;
    const all = boxes();
    const selected = all.filter((box) => box.checked).length;
    const words = selected ? bulk.querySelector("#bulk-count").dataset.words.replace("{}", selected) : "";
    const status = bulk.querySelector("#bulk-count");
    if (status.textContent !== words) status.textContent = words;
    bulk.classList.toggle("bulk-on", selected > 0);
    const whole = document.getElementById("choose-all");
    if (!whole) return;
    whole.checked = selected > 0 && selected === all.length;
    whole.indeterminate = selected > 0 && selected < all.length;
  }

  function choose(wanted) {
    for (const box of boxes()) box.checked = wanted;
    showChoice();
  }

  let lastBox;
  document.addEventListener("click", (event) => {
    const box = event.target.closest('input[name="monitor"]');
    if (!box) return;
    const all = boxes();
    const [from, to] = [all.indexOf(lastBox), all.indexOf(box)].sort((a, b) => a - b);
    if (event.shiftKey && from >= 0) for (const between of all.slice(from, to)) between.checked = box.checked;
    lastBox = box;
    showChoice();
  });
  document.addEventListener("change", (event) => {
    if (event.target.id === "choose-all") choose(event.target.checked);
    else if (event.target.name === "monitor") showChoice();
  });
  bulk?.addEventListener("submit", () => (bulk.elements.view.value = window.location.search.slice(1)));

  // Clicking anywhere in a row opens the monitor; tooltips and links in it still work.
  document.addEventListener("click", (event) => {
    const row = event.target.closest("tbody .monitor");
    if (!row || event.defaultPrevented || event.target.closest("a, input, label, .monitor-choose")) return;
    if (!window.getSelection().isCollapsed) return;
    const link = row.querySelector(".monitor-name > a");
    if (event.ctrlKey || event.metaKey) window.open(link.href);
    else link.click();
  });

  // --- Keyboard shortcuts ------------------------------------------------------------------------------

  function step(by) {
    const all = links();
    const at = all.indexOf(document.activeElement?.closest(".monitor")?.querySelector(".monitor-name > a"));
    const next = all[at < 0 ? (by > 0 ? 0 : all.length - 1) : Math.min(Math.max(at + by, 0), all.length - 1)];
    next?.focus();
    next?.closest(".monitor").scrollIntoView({ block: "nearest" });
  }

  function leave(event) {
    if (event.target === search()) {
      // Browsers would clear the field as well.
      event.preventDefault();
      event.target.blur();
    } else if (boxes().some((box) => box.checked)) choose(false);
  }

  const KEYS = {
    "/": () => { search()?.focus(); search()?.select(); },
    j: () => step(1),
    k: () => step(-1),
    x: () => document.activeElement?.closest(".monitor")?.querySelector('input[name="monitor"]')?.click(),
    "?": () => keys.showModal(),
  };

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
    if (event.key === "Escape") return leave(event);
    const types = event.target.matches('input:not([type="checkbox"]), textarea, select, [contenteditable]');
    if (types || !Object.hasOwn(KEYS, event.key)) return;
    event.preventDefault();
    KEYS[event.key]();
  });

  showDown();
  showChoice();
  showNotify();
  // After going back, the browser restores the selection after this script has run.
  window.addEventListener("pageshow", showChoice);
})();
