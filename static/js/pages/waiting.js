// The first heartbeat of a new monitor.
//
// A page that waits for it has #waiting, which polls no longer return once it has arrived. Then the server's
// announcement (from the URL in data-received) is shown in its place and announced to screen readers. It is
// added to every later poll until the reader closes it or leaves.
(() => {
  "use strict";

  const room = document.getElementById("waiting");
  if (!room) return;
  const address = room.dataset.received;
  let card = null, requested = false;

  // A live region must exist before its text is set, or screen readers don't announce it.
  const announcement = document.createElement("div");
  announcement.className = "visually-hidden";
  announcement.setAttribute("role", "status");
  document.body.append(announcement);

  // At the start of the element that contained #waiting, else below the page header.
  const place = room.parentElement.id;
  const opening = new RegExp(place ? `<[^<>]*\\sid="${place}"[^<>]*>` : "</header>");
  const withCard = (page) => page.replace(opening, (tag) => tag + card.outerHTML);

  async function show(live) {
    const response = await fetch(address, { headers: { "HX-Request": "true" } });
    // No heartbeat: someone paused or deleted the monitor.
    if (response.status !== 200 || response.redirected) return;
    const words = document.createElement("template");
    words.innerHTML = await response.text();
    card = words.content.getElementById("received");
    if (!card) return;
    const parent = place && document.getElementById(place);
    if (parent) parent.prepend(card);
    else live.querySelector("header").after(card);
    card.querySelector("[data-close-received]").addEventListener("click", close);
    const title = card.querySelector("h2");
    // By then time.js has converted the time to the reader's time zone.
    setTimeout(() => (announcement.textContent = title.textContent.trim()), 1100);
  }

  function close() {
    card.remove();
    card = null;
  }

  document.addEventListener("htmx:beforeSwap", (event) => {
    if (!event.detail.target.matches('[hx-swap="calm"]') || !event.detail.shouldSwap) return;
    if (card?.isConnected) event.detail.serverResponse = withCard(event.detail.serverResponse);
  });

  document.addEventListener("htmx:afterSwap", (event) => {
    if (requested || !event.detail.target.matches('[hx-swap="calm"]') || document.getElementById("waiting")) return;
    requested = true;
    show(event.detail.target);
  });
})();
