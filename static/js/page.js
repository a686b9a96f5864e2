// Conveniences: copy buttons, confirmation dialogs, menus that close, forms that are only sent once.
(() => {
  "use strict";

  document.documentElement.classList.add("js");

  // The time zone for the times on the next page (core/timezones.py); this one stays as it is.
  const { timeZone } = Intl.DateTimeFormat().resolvedOptions();
  if (timeZone && !document.cookie.split("; ").includes(`zone=${timeZone}`)) {
    const secure = location.protocol === "https:" ? "; secure" : "";
    document.cookie = `zone=${timeZone}; path=/; max-age=31536000; samesite=lax${secure}`;
  }

  // If a form was rejected, focus the first field with an error.
  document.querySelector('[aria-invalid="true"]')?.focus();

  function select(text) {
    // Browsers only allow clipboard access on https and localhost; this works elsewhere too.
    const field = document.createElement("textarea");
    field.value = text;
    field.className = "visually-hidden";
    document.body.append(field);
    field.select();
    const copied = document.execCommand("copy");
    field.remove();
    if (!copied) throw new Error("no clipboard");
  }

  // A promise, so that text that has to be fetched first still counts as the result of the click.
  async function toClipboard(text) {
    try {
      const blob = text.then((words) => new Blob([words], { type: "text/plain" }));
      await navigator.clipboard.write([new ClipboardItem({ "text/plain": blob })]);
    } catch {
      select(await text);
    }
  }

  // <button data-copy-from="/url/" data-copy-what="push_url">: copies a field of the response to a POST.
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

  // A search inside a form: it has found by then, and Enter would save the form.
  document.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && event.target.matches("[data-find]")) event.preventDefault();
  });

  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    for (const menu of document.querySelectorAll("details.menu[open]")) {
      menu.open = false;
      menu.querySelector("summary").focus();
    }
  });

  // <a href="/confirm/" hx-get="/confirm/" hx-target="#dialog">: a normal page without this script.
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

  // The page to return to after changing language or theme: some pages don't send a referrer.
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (!form.matches(".choose") || form.elements.next) return;
    const back = Object.assign(document.createElement("input"), { type: "hidden", name: "next" });
    back.value = window.location.pathname + window.location.search;
    form.append(back);
  });
})();
