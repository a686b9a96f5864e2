// Rows that are added while the page is open slide in (see css/pages/log.css).
(() => {
  "use strict";

  // Before they are painted, so that they don't appear in place first.
  new MutationObserver((changes) => {
    for (const { target, addedNodes } of changes) {
      if (!target.classList.contains("timeline")) continue;
      for (const node of addedNodes) node.classList?.add("entry-new");
    }
  }).observe(document.getElementById("main"), { childList: true, subtree: true });
})();
