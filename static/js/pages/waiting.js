// The first heartbeat of a new monitor.
//
// A page that waits for it has #waiting, which the answers of the page's own poll no longer have once it
// came. Then what the server says of it (the address in data-received) is shown in its place, is carried
// along by every later answer until the reader closes it or leaves, and is said to screen readers.
(() => {
  "use strict";

  const room = document.getElementById("waiting");
  if (!room) return;
  const address = room.dataset.received;
  let card = null, asked = false;

  // It has to be there before its words, or nobody is told of them.
  const said = document.createElement("div");
  said.className = "visually-hidden";
  said.setAttribute("role", "status");
  document.body.append(said);

  // First in what the waiting was first in, else below the head of the page.
  const place = room.parentElement.id;
  const opening = new RegExp(place ? `<[^<>]*\\sid="${place}"[^<>]*>` : "</header>");
  const withCard = (page) => page.replace(opening, (tag) => tag + card.outerHTML);

  async function show(live) {
    const response = await fetch(address, { headers: { "HX-Request": "true" } });
    // Nothing came: somebody paused or deleted it.
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
    // By then time.js has made its time the reader's.
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
