// Small comforts: copy buttons, confirmations in a dialog, menus that close, forms that are sent once.
(() => {
  "use strict";

  document.documentElement.classList.add("js");

  // The zone in which the next page shows its times (tianji/zones.py); this one stays as it is.
  const { timeZone } = Intl.DateTimeFormat().resolvedOptions();
  if (timeZone && !document.cookie.split("; ").includes(`zone=${timeZone}`)) {
    const secure = location.protocol === "https:" ? "; secure" : "";
    document.cookie = `zone=${timeZone}; path=/; max-age=31536000; samesite=lax${secure}`;
  }

  // Somebody who sent a form that was refused goes on where it has to be corrected.
  document.querySelector('[aria-invalid="true"]')?.focus();

  function select(text) {
    // Browsers give the clipboard only to https and localhost; this works elsewhere too.
    const field = document.createElement("textarea");
    field.value = text;
    field.className = "visually-hidden";
    document.body.append(field);
    field.select();
    const copied = document.execCommand("copy");
    field.remove();
    if (!copied) throw new Error("no clipboard");
  }

  // A clipboard takes a promise, so that what is fetched first is still what the reader's click asked for.
  async function toClipboard(text) {
    try {
      const blob = text.then((words) => new Blob([words], { type: "text/plain" }));
      await navigator.clipboard.write([new ClipboardItem({ "text/plain": blob })]);
    } catch {
      select(await text);
    }
  }

  // <button data-copy-from="/address/" data-copy-what="push_url">: what an address answers to a POST.
  async function fetchText({ copyFrom, copyWhat }) {
    const headers = { ...JSON.parse(document.body.getAttribute("hx-headers")), Accept: "application/json" };
    const response = await fetch(copyFrom, { method: "POST", headers });
    if (response.redirected || response.status === 403) window.location.reload();
    if (!response.ok) throw new Error(response.statusText);
    return (await response.json())[copyWhat];
  }

  async function copy(button) {
    const source = document.getElementById(button.dataset.copy);
    source?.select();
    const words = (button.dataset.words ??= button.textContent);
    try {
      await toClipboard(source ? Promise.resolve(source.value) : fetchText(button.dataset));
      button.textContent = button.dataset.copied;
    } catch {
      button.textContent = button.dataset.failed || words;
    }
    setTimeout(() => (button.textContent = words), 1500);
  }

  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-copy], [data-copy-from]");
    if (button) copy(button);

    const hider = event.target.closest("[data-empty]");
    if (hider) {
      event.preventDefault();
      document.getElementById(hider.dataset.empty).replaceChildren();
    }

    const closer = event.target.closest("dialog [data-close]");
    if (closer) {
      event.preventDefault();
      closer.closest("dialog").close();
    }

    for (const menu of document.querySelectorAll("details.menu[open]")) {
      if (!menu.contains(event.target)) menu.open = false;
    }
  });

  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    for (const menu of document.querySelectorAll("details.menu[open]")) {
      menu.open = false;
      menu.querySelector("summary").focus();
    }
  });

  // <a href="/confirm/" hx-get="/confirm/" hx-target="#dialog">: a page without this script.
  document.addEventListener("htmx:afterSwap", (event) => {
    if (event.detail.target.id === "dialog" && !event.detail.target.open) event.detail.target.showModal();
  });

  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (form.method !== "post") return;
    if (form.dataset.sent) event.preventDefault();
    else if (!event.defaultPrevented) form.dataset.sent = "yes";
  });
  window.addEventListener("pageshow", () => {
    for (const form of document.querySelectorAll("form[data-sent]")) delete form.dataset.sent;
  });

  // Where a choice of language or colours leads back to: some pages do not let the browser say it.
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (!form.matches(".choose") || form.elements.next) return;
    const back = Object.assign(document.createElement("input"), { type: "hidden", name: "next" });
    back.value = window.location.pathname + window.location.search;
    form.append(back);
  });
})();
