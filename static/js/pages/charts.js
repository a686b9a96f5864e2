// Charts that can be read with the mouse, by touch and with the keyboard, and that stay up to date.
//
// The server writes a <title> for each stripe of a chart, which browsers show as a tooltip. This script
// shows that text immediately, above the chart, and makes the chart a slider over its stripes for the
// keyboard. #charts is reloaded now and then: from the URL that the page requested last ([data-url]),
// perhaps before any chart has loaded, or from that of the charts shown.
(() => {
  "use strict";

  // By chart element: its stripes, their texts, and the index of the selected one.
  const known = new WeakMap();

  const readoutOf = (box) => box.closest(".chart-card").querySelector(".chart-readout");

  function learn(box) {
    const stripes = [...box.querySelectorAll(".chart-target")];
    const chart = known.get(box) ?? { at: null };
    // Otherwise the browser's own tooltip would repeat it.
    chart.words = stripes.map((stripe, index) => {
      const title = stripe.querySelector("title");
      title?.remove();
      return title ? title.textContent : chart.words[index];
    });
    chart.stripes = stripes;
    known.set(box, chart);
    if (chart.at !== null) chart.at = Math.min(chart.at, stripes.length - 1);
    const svg = box.querySelector("svg");
    svg.removeAttribute("role");
    svg.setAttribute("aria-hidden", "true");
    // tabindex comes from the server: if a swap removed it, the focus would be lost.
    const attributes = {
      role: "slider", "aria-label": box.dataset.label, "aria-valuemin": 1, "aria-valuemax": stripes.length,
    };
    for (const [name, value] of Object.entries(attributes)) box.setAttribute(name, value);
    show(box, chart);
  }

  function show(box, chart) {
    const read = chart.at === null ? chart.stripes.length - 1 : chart.at;
    box.setAttribute("aria-valuenow", read + 1);
    box.setAttribute("aria-valuetext", chart.words[read]);
    box.classList.toggle("chart-on", chart.at !== null);
    readoutOf(box).textContent = chart.at === null ? box.dataset.summary : chart.words[chart.at];
    if (chart.at === null) return;
    const { x, width } = chart.stripes[read];
    const middle = `${x.baseVal.valueInSpecifiedUnits + width.baseVal.valueInSpecifiedUnits / 2}%`;
    const cursor = box.querySelector(".chart-cursor");
    cursor.setAttribute("x1", middle);
    cursor.setAttribute("x2", middle);
  }

  function read(box, at) {
    const chart = known.get(box);
    if (!chart || chart.at === at) return;
    chart.at = at;
    show(box, chart);
  }

  function learnAll() {
    for (const box of document.querySelectorAll("[data-chart]")) learn(box);
  }

  // --- Pointing ------------------------------------------------------------------------------------

  function point(event) {
    const box = event.target.closest?.("[data-chart]");
    if (!box || !known.has(box)) return;
    const { left, width } = box.getBoundingClientRect();
    const share = ((event.clientX - left) / width) * 100;
    const { stripes } = known.get(box);
    const at = stripes.findIndex(({ x, width: wide }) => (
      share < x.baseVal.valueInSpecifiedUnits + wide.baseVal.valueInSpecifiedUnits
    ));
    read(box, at < 0 ? stripes.length - 1 : at);
  }

  document.addEventListener("pointermove", point);
  document.addEventListener("pointerdown", point);
  document.addEventListener("pointerout", (event) => {
    const box = event.target.closest?.("[data-chart]");
    // After a touch, the text stays, so that it can be read.
    if (box && event.pointerType === "mouse" && !box.contains(event.relatedTarget)) read(box, null);
  });

  // --- Keys ----------------------------------------------------------------------------------------

  const STEPS = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, PageDown: -10, PageUp: 10 };

  document.addEventListener("keydown", (event) => {
    const box = event.target;
    if (!box.matches?.("[data-chart]") || event.ctrlKey || event.metaKey || event.altKey) return;
    const chart = known.get(box);
    const last = chart.stripes.length - 1;
    if (event.key === "Escape") return read(box, null);
    if (event.key === "Home") read(box, 0);
    else if (event.key === "End") read(box, last);
    else if (Object.hasOwn(STEPS, event.key)) {
      read(box, Math.min(Math.max((chart.at ?? last) + STEPS[event.key], 0), last));
    } else return;
    event.preventDefault();
  });
  document.addEventListener("focusin", (event) => {
    const box = event.target;
    if (box.matches?.("[data-chart]:focus-visible") && known.get(box).at === null) read(box, known.get(box).stripes.length - 1);
  });
  document.addEventListener("focusout", (event) => {
    if (event.target.matches?.("[data-chart]")) read(event.target, null);
  });

  // --- Updates -------------------------------------------------------------------------------------

  let loaded = Date.now();

  document.body.addEventListener("tianji:tick", () => {
    const shown = document.querySelector("#charts [data-charts]");
    if (!shown || Date.now() - loaded < shown.dataset.every * 1000) return;
    loaded = Date.now();
    htmx.trigger("#charts", "tianji:charts");
  });
  document.addEventListener("htmx:configRequest", (event) => {
    if (event.detail.elt.id !== "charts") return;
    const shown = event.detail.elt.querySelector("[data-charts]");
    event.detail.path = event.detail.elt.dataset.url ?? shown?.dataset.charts ?? event.detail.path;
  });
  document.addEventListener("htmx:afterSwap", (event) => {
    if (!event.detail.target.querySelector("[data-chart]")) return;
    loaded = Date.now();
    learnAll();
  });

  learnAll();
})();
