// Rows of the log that come while the page is open slide in (css/pages/log.css says how).
(() => {
  "use strict";

  // Before they are painted, so that none is seen in its place first.
  new MutationObserver((changes) => {
    for (const { target, addedNodes } of changes) {
      if (!target.classList.contains("timeline")) continue;
      for (const node of addedNodes) node.classList?.add("entry-new");
    }
  }).observe(document.getElementById("main"), { childList: true, subtree: true });
})();
