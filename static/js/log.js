// Log rows that arrive while the page is open slide in (see css/log.css).
(() => {
  "use strict";

  // Before they are painted, so that no row flashes at its final position first.
  new MutationObserver((changes) => {
    for (const { target, addedNodes } of changes) {
      if (!target.classList.contains("timeline")) continue;
      for (const node of addedNodes) node.classList?.add("entry-new");
    }
  }).observe(document.getElementById("main"), { childList: true, subtree: true });
})();
