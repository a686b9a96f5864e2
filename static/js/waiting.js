// The first heartbeat of a new monitor.
//
// A page that waits for it contains #waiting, which is missing from the page's poll responses once the
// heartbeat has arrived. Then the card from the URL in data-received takes its place, is added to every
// later response until the user closes it or leaves, and is announced to screen readers.
(() => {
  "use strict";

  const room = document.getElementById("waiting");
  if (!room) return;
  const address = room.dataset.received;
  let card = null, asked = false;

  // It must exist before its text is set, or screen readers do not announce it.
  const said = document.createElement("div");
  said.className = "visually-hidden";
  said.setAttribute("role", "status");
  document.body.append(said);

  // At the start of the element that #waiting was in, or else below the page header.
  const place = room.parentElement.id;
  const opening = new RegExp(place ? `<[^<>]*\\sid="${place}"[^<>]*>` : "</header>");
  const withCard = (page) => page.replace(opening, (tag) => tag + card.outerHTML);

  async function show(live) {
    const response = await fetch(address, { headers: { "HX-Request": "true" } });
    // No heartbeat: the monitor was paused or deleted.
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
    // By then time.js has converted its time to the user's time zone.
    setTimeout(() => (said.textContent = title.textContent.trim()), 1100);
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
    if (asked || !event.detail.target.matches('[hx-swap="calm"]') || document.getElementById("waiting")) return;
    asked = true;
    show(event.detail.target);
  });
})();
