// Live pages.
//
// An element with hx-trigger="tianji:tick from:body" is reloaded about every two seconds while the tab is
// visible, and immediately when it becomes visible. With hx-ext="calm" hx-swap="calm" only what has changed
// is touched, so focus, selection, scroll position and open details stay as they are.
// If its content has data-version, the request includes that version, and the server answers 204 if it is
// still current. With data-here, it is requested from the page's URL.
// Inside an open <details data-live>, hx-trigger="tianji:tick-open from:closest details" does the same.
// The children of an element with data-keep are left alone: they were loaded separately.
(() => {
  "use strict";

  // Including the time that the server caches responses, changes appear within three seconds.
  const EVERY_MS = 2200, JITTER = 0.1;

  // A hidden tab doesn't poll, unless browser notifications are on; then it polls rarely.
  const HIDDEN_TICKS = 14;
  let skipped = 0;

  function tick() {
    if (document.hidden && (!("background" in document.body.dataset) || ++skipped < HIDDEN_TICKS)) return;
    skipped = 0;
    document.body.dispatchEvent(new CustomEvent("tianji:tick"));
    for (const details of document.querySelectorAll("details[data-live][open]")) {
      details.dispatchEvent(new CustomEvent("tianji:tick-open"));
    }
  }

  // Each tab has its own rhythm, so that tabs opened or reconnected together don't poll together.
  (function again() {
    setTimeout(() => (tick(), again()), EVERY_MS * (1 + JITTER * (2 * Math.random() - 1)));
  })();
  document.addEventListener("visibilitychange", tick);
  window.addEventListener("pageshow", (event) => event.persisted && tick());
  window.addEventListener("online", tick);

  document.addEventListener("htmx:configRequest", (event) => {
    const { elt, headers } = event.detail;
    if (!elt.matches('[hx-swap="calm"]')) return;
    const shown = elt.querySelector("[data-version]");
    if ("here" in elt.dataset) event.detail.path = window.location.pathname + window.location.search;
    if (!shown) return;
    if (event.detail.triggeringEvent?.type !== "tianji:visit") headers["Tianji-Version"] = shown.dataset.version;
    if ("news" in shown.dataset) headers["Tianji-News"] = shown.dataset.news;
  });

  // --- The calm swap -----------------------------------------------------------------------------

  // Attributes that the reader controls; the server must not reset them.
  const READERS_OWN = new Set(["open"]);

  function syncAttributes(from, to) {
    for (const { name } of [...from.attributes]) {
      if (!to.hasAttribute(name) && !READERS_OWN.has(name)) from.removeAttribute(name);
    }
    for (const { name, value } of to.attributes) {
      if (from.getAttribute(name) !== value && !READERS_OWN.has(name)) from.setAttribute(name, value);
    }
  }

  function counterpart(node, at) {
    if (node.id) {
      for (let other = at; other; other = other.nextSibling) {
        if (other.id === node.id && other.nodeName === node.nodeName) return other;
      }
      return null;
    }
    return at && !at.id && at.nodeName === node.nodeName ? at : null;
  }

  function syncChildren(from, to, added) {
    let at = from.firstChild;
    for (const node of [...to.childNodes]) {
      const match = counterpart(node, at);
      if (!match) {
        from.insertBefore(node, at);
        added.push(node);
        continue;
      }
      if (match === at) at = at.nextSibling;
      else from.insertBefore(match, at);
      if (match.nodeType !== Node.ELEMENT_NODE) {
        if (match.nodeValue !== node.nodeValue) match.nodeValue = node.nodeValue;
        continue;
      }
      syncAttributes(match, node);
      if (!match.hasAttribute("data-keep")) syncChildren(match, node, added);
    }
    while (at) {
      const gone = at;
      at = at.nextSibling;
      gone.remove();
    }
  }

  htmx.defineExtension("calm", {
    isInlineSwap: () => false,
    handleSwap(style, target, fragment) {
      if (style !== "calm") return false;
      const focused = document.activeElement;
      const added = [];
      syncChildren(target, fragment, added);
      // Moving an element removes its focus.
      if (focused && focused !== document.activeElement && focused.isConnected) {
        focused.focus({ preventScroll: true });
      }
      return added.length ? added : true;
    },
  });

  // --- When the response is not the fragment -----------------------------------------------------

  // A whole page means that there was a redirect, most likely to the sign-in page.
  document.addEventListener("htmx:beforeSwap", (event) => {
    const { xhr, requestConfig } = event.detail;
    if (!/^\s*<!doctype/i.test(xhr.responseText)) return;
    event.detail.shouldSwap = false;
    if (xhr.status >= 400) return;
    if (requestConfig.verb === "get") window.location.reload();
    else window.location.assign(xhr.responseURL);
  });

  const isLive = (event) => event.detail.elt && event.detail.elt.matches('[hx-swap="calm"]');
  const clock = new Intl.DateTimeFormat("en-GB", {
    hour: "2-digit", minute: "2-digit", hourCycle: "h23",
  });
  let updated = new Date();

  function setOffline(away) {
    const notice = document.getElementById("offline");
    if (!away) updated = new Date();
    if (!notice || notice.hidden === !away) return;
    // The text is set after it is shown, so that screen readers announce it.
    notice.hidden = !away;
    notice.textContent = away ? notice.dataset.words.replace("{}", clock.format(updated)) : "";
  }

  for (const fault of ["htmx:sendError", "htmx:timeout"]) {
    document.addEventListener(fault, (event) => isLive(event) && setOffline(true));
  }
  document.addEventListener("htmx:responseError", (event) => {
    if (!isLive(event)) return;
    // It was deleted, or the reader has lost access: reload, so that the page says so.
    if ([403, 404].includes(event.detail.xhr.status)) window.location.reload();
    else setOffline(true);
  });
  document.addEventListener("htmx:afterOnLoad", (event) => {
    if (isLive(event) && event.detail.xhr.status < 400) setOffline(false);
  });
})();
