// Pages that keep themselves current.
//
// An element with hx-trigger="tianji:tick from:body" is asked for again every two seconds while the
// tab is visible, and at once when it becomes visible. With hx-ext="calm" hx-swap="calm" only what
// changed is touched, so focus, selected text, scrolling and open details stay as they are.
// Inside an open <details data-live>, hx-trigger="tianji:tick-open from:closest details" does the same.
// Children of an element with data-keep are left alone: they were loaded separately.
(() => {
  "use strict";

  const EVERY_MS = 2000;

  function tick() {
    if (document.hidden) return;
    document.body.dispatchEvent(new CustomEvent("tianji:tick"));
    for (const details of document.querySelectorAll("details[data-live][open]")) {
      details.dispatchEvent(new CustomEvent("tianji:tick-open"));
    }
  }

  setInterval(tick, EVERY_MS);
  document.addEventListener("visibilitychange", tick);
  window.addEventListener("pageshow", (event) => event.persisted && tick());

  // --- The calm swap -----------------------------------------------------------------------------

  // What the reader does to an element is not the server's to undo.
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
      // Moving an element takes the focus from it.
      if (focused && focused !== document.activeElement && focused.isConnected) {
        focused.focus({ preventScroll: true });
      }
      return added.length ? added : true;
    },
  });

  // --- When the answer is not the fragment -------------------------------------------------------

  // A whole page means that something redirected, most likely to the sign-in page.
  document.addEventListener("htmx:beforeSwap", (event) => {
    const { xhr, requestConfig } = event.detail;
    if (!/^\s*<!doctype/i.test(xhr.responseText)) return;
    event.detail.shouldSwap = false;
    if (xhr.status >= 400) return;
    if (requestConfig.verb === "get") window.location.reload();
    else window.location.assign(xhr.responseURL);
  });

  const isLive = (event) => event.detail.elt && event.detail.elt.matches('[hx-swap="calm"]');
  const setOffline = (away) => {
    const notice = document.getElementById("offline");
    if (notice) notice.hidden = !away;
  };

  for (const fault of ["htmx:sendError", "htmx:timeout"]) {
    document.addEventListener(fault, (event) => isLive(event) && setOffline(true));
  }
  document.addEventListener("htmx:responseError", (event) => {
    if (!isLive(event)) return;
    // What the page shows is gone or no longer the reader's: let the page itself say so.
    if ([403, 404].includes(event.detail.xhr.status)) window.location.reload();
    else setOffline(true);
  });
  document.addEventListener("htmx:afterOnLoad", (event) => {
    if (isLive(event) && event.detail.xhr.status < 400) setOffline(false);
  });
})();
